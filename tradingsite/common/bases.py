"""What every app's models are made of. Apart from the tables, so that a package of models can import it first."""

from typing import Any, ClassVar, Self

from django.db import models

from tradingsite.common.clock import utcnow
from tradingsite.common.ids import uuid7


class Entity(models.Model):
    """A row with a time-ordered UUID and its two times."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    created_at = models.DateTimeField(default=utcnow, editable=False)
    updated_at = models.DateTimeField(default=utcnow, editable=False)

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.updated_at = utcnow()
        if kwargs.get("update_fields") is not None:
            kwargs["update_fields"] = {*kwargs["update_fields"], "updated_at"}
        super().save(*args, **kwargs)


class SoftDeletedQuerySet(models.QuerySet[Any]):
    def alive(self) -> Self:
        return self.filter(deleted_at__isnull=True)

    def dead(self) -> Self:
        return self.filter(deleted_at__isnull=False)


class SoftDeleted(models.Model):
    """A row that is hidden instead of removed, so that its history stays readable."""

    deleted_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects: ClassVar[Any] = SoftDeletedQuerySet.as_manager()

    class Meta:
        abstract = True
