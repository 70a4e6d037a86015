"""Keys for programs and tickets for sockets. Only hashes are kept."""

from typing import ClassVar

from django.conf import settings
from django.db import models

from tradingsite.common.bases import Entity


class ApiKey(Entity):
    """A program's key: acts in its creator's name with a role of its own."""

    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=12, unique=True)
    hashed_secret = models.CharField(max_length=64)
    role = models.CharField(max_length=10)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_keys")
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "api_key"
        ordering: ClassVar = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"


class SocketTicket(Entity):
    """A single-use ticket that opens one socket within a minute."""

    hashed_ticket = models.CharField(max_length=64, unique=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    actor_kind = models.CharField(max_length=10)
    actor_name = models.CharField(max_length=150)
    role = models.CharField(max_length=10)
    expires_at = models.DateTimeField()
    redeemed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "socket_ticket"
        indexes: ClassVar = [models.Index(fields=["expires_at"], name="socket_ticket_expires_at")]

    def __str__(self) -> str:
        return f"ticket of {self.actor_name}"
