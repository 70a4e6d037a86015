"""Which process asks an account's broker how its open orders stand."""

from typing import ClassVar

from django.db import models


class BrokerRound(models.Model):
    """One row for each account. Its lease spares the broker the same questions from several processes; that nothing is
    counted twice does not depend on it."""

    account = models.OneToOneField("portfolio.Account", primary_key=True, on_delete=models.CASCADE, related_name="+")
    holder = models.UUIDField(null=True, blank=True, help_text="The round that has the lease, or had it last.")
    lease_until = models.DateTimeField(null=True, blank=True)
    began_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "broker_round"
        ordering: ClassVar = ["account_id"]

    def __str__(self) -> str:
        return f"{self.account_id} at {self.began_at}"
