"""What is told about instruments beside their prices: news, and reported figures. Rows are only added, by imports."""

from typing import ClassVar

from django.db import models

from market.choices import FeedKind, ImportStatus
from tradingsite.common.bases import Entity
from tradingsite.common.clock import utcnow
from tradingsite.common.decimals import ExactField
from tradingsite.common.ids import uuid7


class NewsItem(models.Model):
    """One item of news. `published_at` decides who may know of it: a run at an earlier moment never does."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    symbol = models.CharField(max_length=15)
    published_at = models.DateTimeField()
    source = models.CharField(max_length=60, help_text="Who told it, as the file has it.")
    headline = models.CharField(max_length=300)
    body = models.TextField(blank=True, default="")
    url = models.CharField(max_length=500, blank=True, default="", help_text="Text; the desk never follows it.")
    imported_at = models.DateTimeField(default=utcnow, editable=False)
    digest = models.CharField(max_length=64, unique=True, editable=False, help_text="SHA-256 of all that was told.")

    class Meta:
        db_table = "news_item"
        ordering: ClassVar[list[str]] = ["-published_at", "-id"]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["symbol", "-published_at", "-id"], name="news_of_symbol"),
            models.Index(fields=["-published_at", "-id"], name="news_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.symbol}: {self.headline}"


class Fundamental(models.Model):
    """One reported figure of a company. A restatement is another row, published later; neither replaces the other."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    symbol = models.CharField(max_length=15)
    metric = models.CharField(max_length=40, help_text="Such as eps, revenue_growth, debt_to_equity.")
    as_of = models.DateField(help_text="The end of the period that it describes.")
    published_at = models.DateTimeField(help_text="When it could first be known; decides who may see it.")
    value = ExactField()
    unit = models.CharField(max_length=20, blank=True, default="", help_text="Such as USD, ratio, percent.")
    source = models.CharField(max_length=60, blank=True, default="", help_text="Who told it, as the file has it.")
    imported_at = models.DateTimeField(default=utcnow, editable=False)

    class Meta:
        db_table = "fundamental"
        ordering: ClassVar[list[str]] = ["-published_at", "-id"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["symbol", "metric", "as_of", "published_at"], name="fundamental_one_of_a_moment"
            )
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["-published_at", "-id"], name="fundamental_newest")
        ]

    def __str__(self) -> str:
        return f"{self.symbol} {self.metric} of {self.as_of}"


class FeedImport(Entity):
    """One attempt to bring news or fundamentals in, whether it succeeded or not. History: rows are only added."""

    kind = models.CharField(max_length=14, choices=FeedKind.choices)
    filename = models.CharField(max_length=200, blank=True, default="")
    sha256 = models.CharField(max_length=64, blank=True, default="", help_text="Of the file as it came.")
    status = models.CharField(max_length=10, choices=ImportStatus.choices)
    report = models.JSONField(default=dict, blank=True)
    actor_name = models.CharField(max_length=150)
    created_by_id = models.IntegerField(null=True, blank=True, editable=False, db_index=True)

    class Meta:
        db_table = "feed_import"
        ordering: ClassVar[list[str]] = ["-created_at", "-id"]
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=["-created_at", "-id"], name="feed_import_newest")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}, {self.filename}: {self.get_status_display()}"
