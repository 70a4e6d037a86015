"""Instruments, where their prices come from, and which file holds the present version of each series."""

from decimal import Decimal
from typing import Any, ClassVar

from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q

from market.choices import Adjustment, AssetClass, ImportStatus, SourceClock, SourceKind, Timeframe
from market.feed_models import FeedImport, Fundamental, NewsItem
from tradingsite.common.bases import Entity
from tradingsite.common.decimals import PLACES, QuantityField

__all__ = ["BarImport", "BarSeries", "DataSource", "FeedImport", "Fundamental", "Instrument", "NewsItem"]

SYMBOL_PATTERN = r"^[A-Z][A-Z0-9.\-]{0,14}\Z"
SLUG_PATTERN = r"^[a-z][a-z0-9_-]{0,39}\Z"


class DataSource(Entity):
    """A place that bars come from; `clock` says where its present lies."""

    slug = models.CharField(max_length=40, unique=True, validators=[RegexValidator(SLUG_PATTERN)])
    title = models.CharField(max_length=120, blank=True, default="")
    kind = models.CharField(max_length=10, choices=SourceKind.choices)
    clock = models.CharField(max_length=10, choices=SourceClock.choices)
    generated = models.BooleanField(default=False, help_text="The prices are invented, and every page says so.")

    class Meta:
        ordering: ClassVar[list[str]] = ["slug"]

    def __str__(self) -> str:
        return self.slug


class InstrumentQuerySet(models.QuerySet["Instrument"]):
    def tradeable(self) -> "InstrumentQuerySet":
        return self.filter(enabled=True)

    def lock(self) -> "InstrumentQuerySet":
        return self.select_for_update()


class Instrument(Entity):
    """Something that has a price, and the rules by which one orders it."""

    symbol = models.CharField(max_length=15, unique=True, validators=[RegexValidator(SYMBOL_PATTERN)])
    name = models.CharField(max_length=120, blank=True, default="")
    exchange = models.CharField(max_length=12, default="XNYS", help_text="Code of the exchange calendar.")
    currency = models.CharField(max_length=3, default="USD", validators=[RegexValidator(r"^[A-Z]{3}\Z")])
    asset_class = models.CharField(max_length=10, choices=AssetClass.choices, default=AssetClass.EQUITY)
    price_precision = models.PositiveSmallIntegerField(
        default=2, validators=[MaxValueValidator(PLACES)], help_text="Decimals of a price."
    )
    quantity_precision = models.PositiveSmallIntegerField(
        default=0, validators=[MaxValueValidator(PLACES)], help_text="Decimals of a quantity."
    )
    lot_size = QuantityField(
        default=1, validators=[MinValueValidator(Decimal("1e-10"))], help_text="Orders are multiples of it."
    )
    default_source = models.ForeignKey(
        DataSource, on_delete=models.PROTECT, null=True, blank=True, related_name="default_for"
    )
    enabled = models.BooleanField(default=True, help_text="Orders are refused for a disabled instrument.")
    created_by_id = models.IntegerField(null=True, blank=True, editable=False)
    version = models.PositiveIntegerField(default=1, editable=False)

    objects: ClassVar[Any] = InstrumentQuerySet.as_manager()

    class Meta:
        ordering: ClassVar[list[str]] = ["symbol"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=Q(lot_size__gt=0), name="instrument_lot_size_positive"),
            models.CheckConstraint(
                condition=Q(price_precision__lte=10, quantity_precision__lte=10), name="instrument_precision_storable"
            ),
        ]

    def __str__(self) -> str:
        return self.symbol

    @property
    def default_source_slug(self) -> str | None:
        """The source that it is read from when nobody says."""
        return None if self.default_source is None else self.default_source.slug


class BarSeriesQuerySet(models.QuerySet["BarSeries"]):
    def lock(self) -> "BarSeriesQuerySet":
        return self.select_for_update()


class BarSeries(Entity):
    """Bars of one instrument from one source. The bars are in an immutable file; `version` names the present one.

    A generated series has no file: its `version` is the number of bars that the last refresh counted.
    """

    instrument = models.ForeignKey(Instrument, on_delete=models.PROTECT, related_name="series")
    source = models.ForeignKey(DataSource, on_delete=models.PROTECT, related_name="series")
    timeframe = models.CharField(max_length=3, choices=Timeframe.choices)
    adjustment = models.CharField(max_length=14, choices=Adjustment.choices, default=Adjustment.NONE)
    version = models.PositiveIntegerField(default=0)
    first_at = models.DateTimeField(null=True, blank=True, help_text="When the first bar opened.")
    last_at = models.DateTimeField(null=True, blank=True, help_text="When the last bar opened.")
    bars_count = models.PositiveIntegerField(default=0)
    fingerprint = models.CharField(max_length=64, blank=True, default="", help_text="SHA-256 of the present bars.")

    objects: ClassVar[Any] = BarSeriesQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "bar series"
        ordering: ClassVar[list[str]] = ["instrument__symbol", "source__slug", "timeframe", "adjustment"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["instrument", "source", "timeframe", "adjustment"], name="bar_series_one_of_a_kind"
            ),
            models.CheckConstraint(
                condition=Q(bars_count=0, first_at=None, last_at=None)
                | Q(bars_count__gt=0, first_at__isnull=False, last_at__isnull=False),
                name="bar_series_range_with_bars",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.instrument.symbol} {self.source.slug} {self.timeframe} {self.adjustment}"


class BarImport(Entity):
    """One attempt to bring bars in, whether it succeeded or not. History: rows are only added."""

    source_slug = models.CharField(max_length=40)
    filename = models.CharField(max_length=200, blank=True, default="")
    sha256 = models.CharField(max_length=64, blank=True, default="", help_text="Of the file as it came.")
    options = models.JSONField(default=dict, blank=True)
    status = models.CharField(max_length=10, choices=ImportStatus.choices)
    report = models.JSONField(default=dict, blank=True)
    actor_name = models.CharField(max_length=150)
    created_by_id = models.IntegerField(null=True, blank=True, editable=False, db_index=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["-created_at", "-id"]
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=["-created_at", "-id"], name="bar_import_newest")]

    def __str__(self) -> str:
        return f"{self.filename or self.source_slug}: {self.get_status_display()}"
