"""Shapes of webhooks and their deliveries. The secret is shown when it is made, and never again."""

from typing import Any, ClassVar

from rest_framework import serializers

from tradingsite.common.api.serializers import StrictModelSerializer, StrictSerializer, UtcDateTimeField
from tradingsite.common.webhooks.event_types import EVERY
from tradingsite.common.webhooks.models import Webhook, WebhookAttempt, WebhookDelivery


class WebhookBody(StrictSerializer):
    """What makes, replaces or changes a webhook."""

    name = serializers.CharField(max_length=120)
    url = serializers.CharField(
        max_length=2000, help_text="http or https, https alone in production, on the public network."
    )
    event_types = serializers.ListField(
        child=serializers.CharField(max_length=60),
        min_length=1,
        max_length=100,
        help_text=f"Of `GET /api/webhooks/event-types`; `{EVERY}` for all, also those to come.",
    )
    workflow_id = serializers.UUIDField(
        required=False, allow_null=True, default=None, help_text="Only events that belong to this workflow's runs."
    )
    strategy_id = serializers.UUIDField(
        required=False, allow_null=True, default=None, help_text="Only events that belong to this strategy."
    )
    enabled = serializers.BooleanField(required=False, default=True)


class WebhookShown(StrictModelSerializer):
    """A webhook without its secret."""

    event_types = serializers.ListField(child=serializers.CharField())
    disabled_at = UtcDateTimeField(allow_null=True)
    old_secret_until = UtcDateTimeField(allow_null=True, help_text="Until then the secret before this one signs too.")
    failing_since = UtcDateTimeField(allow_null=True, help_text="The first failure after the last success.")
    last_success_at = UtcDateTimeField(allow_null=True)
    created_at = UtcDateTimeField()
    updated_at = UtcDateTimeField()
    created_by = serializers.CharField(source="created_by.username")

    class Meta:
        model = Webhook
        fields: ClassVar = [
            "id",
            "name",
            "url",
            "event_types",
            "workflow_id",
            "strategy_id",
            "enabled",
            "disabled_because",
            "disabled_at",
            "old_secret_until",
            "failing_since",
            "last_success_at",
            "created_by",
            "created_at",
            "updated_at",
        ]


class WebhookWithSecret(WebhookShown):
    secret = serializers.CharField(help_text="Shown only now: `whsec_` and base64.")

    class Meta(WebhookShown.Meta):
        fields: ClassVar = [*WebhookShown.Meta.fields, "secret"]


class EventTypeShown(StrictSerializer):
    """What a webhook can be told of."""

    type = serializers.CharField()
    help = serializers.CharField()
    example = serializers.DictField(help_text="The body of such a request.")


class DeliveryShown(StrictModelSerializer):
    """One event for one webhook."""

    message_id = serializers.CharField(help_text="The `webhook-id` header, the same at every attempt.")
    next_attempt_at = UtcDateTimeField(allow_null=True)
    delivered_at = UtcDateTimeField(allow_null=True)
    last_status = serializers.IntegerField(allow_null=True, help_text="The HTTP status of the last answer.")
    created_at = UtcDateTimeField()

    class Meta:
        model = WebhookDelivery
        fields: ClassVar = [
            "id",
            "message_id",
            "type",
            "status",
            "attempts",
            "next_attempt_at",
            "delivered_at",
            "last_status",
            "last_error",
            "created_at",
        ]


class AttemptShown(StrictModelSerializer):
    """One attempt. Without `ended_at` it is under way, or its process ended before the outcome was known."""

    started_at = UtcDateTimeField()
    ended_at = UtcDateTimeField(allow_null=True)

    class Meta:
        model = WebhookAttempt
        fields: ClassVar = [
            "number",
            "started_at",
            "ended_at",
            "status",
            "latency_ms",
            "answer",
            "error_code",
            "error",
        ]


class DeliveryDetail(DeliveryShown):
    """A delivery with the text that is sent and each attempt at it."""

    body = serializers.CharField()
    log = AttemptShown(many=True)

    class Meta(DeliveryShown.Meta):
        fields: ClassVar = [*DeliveryShown.Meta.fields, "body", "log"]


def with_secret(webhook: Webhook, secret: str) -> dict[str, Any]:
    """Return a webhook as it is shown once, with its secret."""
    return {**WebhookShown(webhook).data, "secret": secret}
