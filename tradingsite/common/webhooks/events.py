"""News of webhooks for the floors above."""

from django.dispatch import Signal

# Sent in the transaction in which the desk itself, not its owner, disables a webhook. Receivers get `webhook` and
# `reason`, a sentence.
webhook_disabled = Signal()
