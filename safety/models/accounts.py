"""What safety holds against single accounts. They stand on a floor above, so they are named by their plain id."""

from typing import ClassVar

from django.db import models

from tradingsite.common.clock import utcnow


class ReconciliationBlock(models.Model):
    """Why an account may not trade before its books agree with its broker's. One row per reason; gone when cleared.

    The audit log keeps who set and who cleared it.
    """

    id = models.BigAutoField(primary_key=True)
    account_id = models.UUIDField()
    code = models.CharField(max_length=60, help_text="The kind of mismatch.")
    detail = models.TextField(blank=True, default="")
    since = models.DateTimeField(default=utcnow)

    class Meta:
        db_table = "reconciliation_block"
        ordering: ClassVar = ["since", "id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["account_id", "code"], name="reconciliation_block_once"),
        ]

    def __str__(self) -> str:
        return f"{self.code} of {self.account_id}"
