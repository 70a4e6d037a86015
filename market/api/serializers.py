"""Shapes of the market's API."""

import math
from decimal import Decimal
from typing import Any

from rest_framework import serializers

from market.bars import Bars
from market.choices import Adjustment, AssetClass, OnConflict, SourceClock, Timeframe
from market.models import BarImport, DataSource, Instrument
from market.options import MOST_SYMBOLS, ImportOptions
from tradingsite.common.api.serializers import (
    DecimalStringField,
    StrictModelSerializer,
    StrictSerializer,
    SymbolField,
    UtcDateTimeField,
)


class DataSourceSerializer(StrictModelSerializer):
    class Meta:
        model = DataSource
        fields = ("id", "slug", "title", "kind", "clock", "generated")
        read_only_fields = fields


class SourceListSerializer(serializers.Serializer[Any]):
    """A source that is there, or could be asked for bars."""

    slug = serializers.CharField()
    title = serializers.CharField()
    kind = serializers.CharField()
    clock = serializers.CharField()
    generated = serializers.BooleanField()
    symbols = serializers.ListField(child=serializers.CharField())
    timeframes = serializers.ListField(child=serializers.CharField())
    importable = serializers.BooleanField(help_text="Bars can be imported from it by name.")


class InstrumentSerializer(StrictModelSerializer):
    lot_size = DecimalStringField()
    default_source = serializers.SlugRelatedField[DataSource](slug_field="slug", read_only=True)
    created_at = UtcDateTimeField(read_only=True)
    updated_at = UtcDateTimeField(read_only=True)

    class Meta:
        model = Instrument
        fields = (
            "id",
            "symbol",
            "name",
            "exchange",
            "currency",
            "asset_class",
            "price_precision",
            "quantity_precision",
            "lot_size",
            "default_source",
            "enabled",
            "created_by_id",
            "version",
            "created_at",
            "updated_at",
        )
        read_only_fields = fields


class InstrumentPatchSerializer(StrictSerializer):
    name = serializers.CharField(max_length=120, allow_blank=True, required=False)
    exchange = serializers.CharField(max_length=12, required=False, help_text="Code of the exchange calendar.")
    currency = serializers.RegexField(r"^[A-Z]{3}\Z", required=False)
    asset_class = serializers.ChoiceField(AssetClass.choices, required=False)
    price_precision = serializers.IntegerField(min_value=0, max_value=10, required=False)
    quantity_precision = serializers.IntegerField(min_value=0, max_value=10, required=False)
    lot_size = DecimalStringField(minimum=Decimal("1e-10"), required=False)
    default_source = serializers.SlugRelatedField[DataSource](
        slug_field="slug", queryset=DataSource.objects.all(), allow_null=True, required=False
    )
    enabled = serializers.BooleanField(required=False)


class InstrumentCreateSerializer(InstrumentPatchSerializer):
    symbol = SymbolField(help_text="Capital letters, digits, dots and dashes, at most 15.")


class BarSerializer(serializers.Serializer[Any]):
    """One bar; prices are statistics of the market and therefore numbers."""

    time = serializers.DateTimeField(help_text="When it opened, UTC.")
    open = serializers.FloatField()
    high = serializers.FloatField()
    low = serializers.FloatField()
    close = serializers.FloatField()
    volume = serializers.FloatField()


class BarsSerializer(serializers.Serializer[Any]):
    symbol = serializers.CharField()
    series_id = serializers.UUIDField(allow_null=True)
    source = serializers.CharField()  # type: ignore[assignment]  # a field of that name
    timeframe = serializers.CharField()
    adjustment = serializers.CharField()
    version = serializers.IntegerField()
    generated = serializers.BooleanField(help_text="The prices are invented.")
    market_now = serializers.DateTimeField(help_text="Where this market's present lies.")
    count = serializers.IntegerField()
    bars = BarSerializer(many=True)


class BarsQuerySerializer(StrictSerializer):
    symbol = SymbolField()
    timeframe = serializers.ChoiceField(Timeframe.choices, default=Timeframe.D1.value)
    source = serializers.RegexField(r"^[a-z][a-z0-9_-]{0,39}\Z", required=False)  # type: ignore[assignment]  # a field of that name
    adjustment = serializers.ChoiceField(Adjustment.choices, required=False)
    start = UtcDateTimeField(required=False)
    end = UtcDateTimeField(required=False)
    limit = serializers.IntegerField(min_value=1, max_value=10_000, default=1_000)
    version = serializers.IntegerField(min_value=1, max_value=2_147_483_647, required=False)


def bars_json(bars: Bars) -> list[dict[str, Any]]:
    """Return the bars as JSON objects, oldest first; what is no number is null."""
    times = [f"{text}Z" for text in bars.time.view("datetime64[ns]").astype("datetime64[s]").astype(str).tolist()]
    names = ("open", "high", "low", "close", "volume")
    columns = [[value if math.isfinite(value) else None for value in getattr(bars, name).tolist()] for name in names]
    return [
        {"time": time, "open": o, "high": h, "low": low, "close": c, "volume": v}
        for time, o, h, low, c, v in zip(times, *columns, strict=True)
    ]


class BarImportSerializer(StrictModelSerializer):
    source = serializers.CharField(source="source_slug", read_only=True)  # type: ignore[assignment]  # a field of that name
    created_at = UtcDateTimeField(read_only=True)

    class Meta:
        model = BarImport
        fields: tuple[str, ...] = (
            "id",
            "source",
            "filename",
            "sha256",
            "status",
            "options",
            "actor_name",
            "created_by_id",
            "created_at",
        )
        read_only_fields = fields


class BarImportDetailSerializer(BarImportSerializer):
    report = serializers.JSONField(read_only=True)

    class Meta(BarImportSerializer.Meta):
        fields = (*BarImportSerializer.Meta.fields, "report")
        read_only_fields = fields


class CommaListField(serializers.ListField):
    """A list; in a form also one text with commas, or the field repeated."""

    def get_value(self, dictionary: Any) -> Any:
        if hasattr(dictionary, "getlist"):
            given = dictionary.getlist(self.field_name)
            if not given:
                return serializers.empty
            return [part.strip() for text in given for part in str(text).split(",") if part.strip()]
        return super().get_value(dictionary)


class MappingField(serializers.JSONField):
    """`{"close": "Adj Close"}`; in a form as JSON text."""

    def to_internal_value(self, data: Any) -> dict[str, str]:
        value = super().to_internal_value(data)
        if not isinstance(value, dict) or not all(isinstance(header, str) for header in value.values()):
            raise serializers.ValidationError("Must map the desk's columns to headers of the file.", code="invalid")
        return value


class FileImportSerializer(StrictSerializer):
    """A file with its options, as `multipart/form-data`."""

    file = serializers.FileField(allow_empty_file=True, help_text="CSV, gzipped CSV or Parquet.")
    source = serializers.CharField(default="import", max_length=40)  # type: ignore[assignment]  # a field of that name
    clock = serializers.ChoiceField(SourceClock.choices, required=False)
    timeframe = serializers.ChoiceField(Timeframe.choices, default=Timeframe.D1.value)
    adjustment = serializers.ChoiceField(Adjustment.choices, required=False)
    adjust_from = serializers.ChoiceField(["adj_close"], required=False)
    exchange = serializers.CharField(max_length=12, required=False)
    currency = serializers.CharField(max_length=3, required=False)
    symbols = CommaListField(child=serializers.CharField(max_length=60), required=False, max_length=MOST_SYMBOLS)
    mapping = MappingField(required=False)
    tz = serializers.CharField(max_length=60, required=False)
    date_format = serializers.CharField(max_length=60, required=False)
    on_conflict = serializers.ChoiceField(OnConflict.choices, default=OnConflict.ERROR.value)

    def options(self) -> ImportOptions:
        given = {name: value for name, value in self.validated_data.items() if name != "file"}
        given["symbols"] = tuple(dict.fromkeys(given.get("symbols", ())))
        return ImportOptions(**given)


class SourceImportSerializer(StrictSerializer):
    """A source that is asked by name."""

    source = serializers.CharField(max_length=40)  # type: ignore[assignment]  # a field of that name
    symbols = serializers.ListField(child=serializers.CharField(max_length=60), required=False, max_length=MOST_SYMBOLS)
    timeframe = serializers.ChoiceField(Timeframe.choices, default=Timeframe.D1.value)
    replace = serializers.BooleanField(default=False, help_text="Take the source's figures where they differ.")


class IndicatorSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    title = serializers.CharField()
    outputs = serializers.ListField(child=serializers.CharField())
    params = serializers.JSONField(help_text="JSON Schema of the parameters.")
    warmup = serializers.IntegerField(help_text="Bars without a value at the beginning, with default parameters.")
