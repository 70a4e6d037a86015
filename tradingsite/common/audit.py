"""The audit hook: services below and above report each change of state; one sink writes it down.

The sink belongs to a higher floor, which installs it at start-up. A change that nobody can record does not happen.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from django.core.exceptions import ImproperlyConfigured
from django.db import models

from tradingsite.common.actor import Actor


class AuditSink(Protocol):
    def __call__(
        self,
        *,
        actor: Actor,
        action: str,
        target: models.Model,
        before: Mapping[str, Any] | None,
        after: Mapping[str, Any] | None,
        reason: str,
    ) -> models.Model: ...


_sink: AuditSink | None = None


def install_sink(sink: AuditSink) -> None:
    """Let `sink` make the audit rows from now on."""
    global _sink
    _sink = sink


def record(
    *,
    actor: Actor,
    action: str,
    target: models.Model,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    reason: str = "",
) -> None:
    """Write one change down, in the caller's transaction.

    Args:
        action: `<noun>.<verb>`, such as `workflow.create`.
        before, after: what the change touched, JSON-able.

    Raises:
        ImproperlyConfigured: when no sink is installed.
    """
    entry(actor=actor, action=action, target=target, before=before, after=after, reason=reason).save(force_insert=True)


def entry(
    *,
    actor: Actor,
    action: str,
    target: models.Model,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    reason: str = "",
) -> models.Model:
    """Return the row that `record` would write, for who writes it together with the change itself.

    Raises:
        ImproperlyConfigured: when no sink is installed.
    """
    if _sink is None:
        raise ImproperlyConfigured("no audit sink is installed: add the safety app to INSTALLED_APPS")
    return _sink(actor=actor, action=action, target=target, before=before, after=after, reason=reason)
