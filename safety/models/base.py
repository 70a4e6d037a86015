"""Rows that are only ever added."""

from typing import Any, ClassVar, NoReturn

from django.db import models

from safety.errors import LedgerReadOnly
from tradingsite.common.ids import uuid7


class LedgerQuerySet(models.QuerySet[Any]):
    """Rows that are only ever added."""

    def update(self, **kwargs: Any) -> NoReturn:
        raise LedgerReadOnly(f"{self.model._meta.verbose_name_plural} are never changed.")

    def delete(self) -> NoReturn:
        raise LedgerReadOnly(f"{self.model._meta.verbose_name_plural} are never removed.")


class Ledger(models.Model):
    """A line of history: written once, never changed, never removed."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)

    objects: ClassVar[Any] = LedgerQuerySet.as_manager()

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise LedgerReadOnly(f"{self._meta.verbose_name} {self.pk} is never changed.")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise LedgerReadOnly(f"{self._meta.verbose_name} {self.pk} is never removed.")
