"""Answers kept by Idempotency-Key."""

from typing import ClassVar

from django.db import models

from tradingsite.common.bases import Entity


class IdempotencyRecord(Entity):
    """The first answer to a key, so that a repeated request replays it instead of acting again."""

    scope = models.CharField(max_length=200)
    key = models.CharField(max_length=200)
    fingerprint = models.CharField(max_length=64)
    status_code = models.PositiveSmallIntegerField(null=True, blank=True)
    body = models.JSONField(null=True, blank=True)
    headers = models.JSONField(default=dict)
    expires_at = models.DateTimeField()

    class Meta:
        db_table = "idempotency_record"
        constraints: ClassVar = [models.UniqueConstraint(fields=["scope", "key"], name="idempotency_scope_key")]
        indexes: ClassVar = [models.Index(fields=["created_at"], name="idempotency_created_at")]

    def __str__(self) -> str:
        return f"{self.scope} {self.key}"
