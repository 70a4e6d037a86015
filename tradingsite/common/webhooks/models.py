"""Webhooks, what is to be delivered to them, and each attempt at it."""

from typing import Any, ClassVar, Self

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import models
from django.db.models import Exists, ExpressionWrapper, OuterRef, Q

from tradingsite.common.actor import Actor
from tradingsite.common.bases import Entity, SoftDeleted, SoftDeletedQuerySet
from tradingsite.common.clock import utcnow
from tradingsite.common.roles import Role

ANSWER_KEPT = 2048


class DisabledBecause(models.TextChoices):
    OWNER = "owner", "Its owner disabled it"
    GONE = "gone", "Its address answered 410 Gone"
    FAILING = "failing", "It failed for days without a success"


class DeliveryStatus(models.TextChoices):
    PENDING = "pending", "Pending: to be sent, or sent again"
    DELIVERED = "delivered", "Delivered: answered with 2xx"
    FAILED = "failed", "Failed: the last attempt is used up"


def _owner_is(least: Role) -> Q:
    names = [role.slug for role in Role if role >= least]
    groups = get_user_model().groups.through.objects.filter(user=OuterRef("created_by"), group__name__in=names)
    return Q(created_by__is_superuser=True) | Q(Exists(groups))


class WebhookQuerySet(SoftDeletedQuerySet):
    def visible_to(self, actor: Actor) -> Self:
        """Everybody's own; an operator's all."""
        return self.alive() if actor.may(Role.OPERATOR) else self.alive().filter(created_by_id=actor.user_id)

    def listening(self) -> Self:
        """Those to which anything may be sent. Whoever may have no webhook any more is told nothing either."""
        return self.alive().filter(_owner_is(Role.TRADER), enabled=True, created_by__is_active=True)

    def with_operators(self) -> Self:
        """Each with `of_operator`: whether its owner may see what is everybody's."""
        whether = ExpressionWrapper(_owner_is(Role.OPERATOR), output_field=models.BooleanField())
        return self.annotate(of_operator=whether)


class Webhook(SoftDeleted, Entity):
    """An address that wants to be told of events."""

    name = models.CharField(max_length=120)
    url = models.CharField(max_length=2000)
    event_types = models.JSONField(default=list)
    # Of floors above: plain ids.
    workflow_id = models.UUIDField(null=True, blank=True)
    strategy_id = models.UUIDField(null=True, blank=True)
    enabled = models.BooleanField(default=True)
    disabled_because = models.CharField(max_length=10, choices=DisabledBecause.choices, blank=True, default="")
    disabled_at = models.DateTimeField(null=True, blank=True)
    # Encrypted; see `signing`.
    secret = models.TextField()
    old_secret = models.TextField(blank=True, default="")
    old_secret_until = models.DateTimeField(null=True, blank=True)
    failing_since = models.DateTimeField(null=True, blank=True)
    last_success_at = models.DateTimeField(null=True, blank=True)
    nudged_at = models.DateTimeField(null=True, blank=True)
    version = models.PositiveIntegerField(default=1)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="webhooks")
    of_operator: bool  # of rows `with_operators`

    objects: ClassVar[Any] = WebhookQuerySet.as_manager()

    class Meta:
        db_table = "webhooks"
        ordering: ClassVar = ["-created_at", "-id"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(enabled=True, disabled_because="") | Q(enabled=False, disabled_because__gt=""),
                name="webhook_disabled_for_a_reason",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class WebhookDelivery(Entity):
    """One event for one webhook. `attempts` counts the claims: whoever sends writes only while it is the one it claimed."""

    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, related_name="deliveries", db_index=False)
    type = models.CharField(max_length=60)
    body = models.TextField(help_text="The JSON text as it is sent, the same at every attempt.")
    status = models.CharField(max_length=10, choices=DeliveryStatus.choices, default=DeliveryStatus.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)
    # Failed attempts since it was first sent or sent again by hand: the place in the schedule.
    failures = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True, blank=True, default=utcnow)
    claimed_until = models.DateTimeField(null=True, blank=True)
    delivered_at = models.DateTimeField(null=True, blank=True)
    last_status = models.PositiveSmallIntegerField(null=True, blank=True)
    last_error = models.CharField(max_length=300, blank=True, default="")

    class Meta:
        db_table = "webhook_deliveries"
        verbose_name_plural = "webhook deliveries"
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(status__in=DeliveryStatus.values), name="webhook_delivery_status"),
            models.CheckConstraint(
                condition=~Q(status=DeliveryStatus.PENDING) | Q(next_attempt_at__isnull=False),
                name="webhook_delivery_pending_has_time",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["webhook", "-id"], name="webhook_delivery_newest"),
            # The duty looks every second, and only for what is due.
            models.Index(
                fields=["webhook", "next_attempt_at"],
                condition=Q(status=DeliveryStatus.PENDING),
                name="webhook_delivery_due",
            ),
            models.Index(fields=["created_at"], name="webhook_delivery_created"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.message_id}"

    @property
    def message_id(self) -> str:
        """What receivers tell repetitions by."""
        return f"msg_{self.pk.hex}"


class WebhookAttempt(models.Model):
    """One attempt at a delivery. Without `ended_at` it is under way, or its process died and nobody knows the outcome."""

    id = models.BigAutoField(primary_key=True)
    delivery = models.ForeignKey(WebhookDelivery, on_delete=models.CASCADE, related_name="log", db_index=False)
    number = models.PositiveSmallIntegerField()
    started_at = models.DateTimeField(default=utcnow)
    ended_at = models.DateTimeField(null=True, blank=True)
    status = models.PositiveSmallIntegerField(null=True, blank=True, help_text="The HTTP status of the answer.")
    latency_ms = models.PositiveIntegerField(null=True, blank=True)
    answer = models.TextField(blank=True, default="", help_text="The first 2 kB.")
    error_code = models.CharField(max_length=60, blank=True, default="")
    error = models.CharField(max_length=300, blank=True, default="")

    class Meta:
        db_table = "webhook_attempts"
        ordering: ClassVar = ["id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["delivery", "number"], name="webhook_attempt_number"),
        ]

    def __str__(self) -> str:
        return f"attempt {self.number}"
