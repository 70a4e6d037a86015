"""Shapes of news and fundamentals over HTTP."""

from rest_framework import serializers

from market.models import FeedImport, Fundamental, NewsItem
from tradingsite.common.api.serializers import (
    DecimalStringField,
    StrictModelSerializer,
    StrictSerializer,
    UtcDateTimeField,
)


class NewsItemSerializer(StrictModelSerializer):
    source = serializers.CharField(read_only=True)  # type: ignore[assignment]  # a field of that name
    published_at = UtcDateTimeField(read_only=True)
    imported_at = UtcDateTimeField(read_only=True)

    class Meta:
        model = NewsItem
        fields = ("id", "symbol", "published_at", "source", "headline", "body", "url", "imported_at", "digest")
        read_only_fields = fields


class FundamentalSerializer(StrictModelSerializer):
    source = serializers.CharField(read_only=True)  # type: ignore[assignment]  # a field of that name
    published_at = UtcDateTimeField(read_only=True)
    value = DecimalStringField(read_only=True)
    imported_at = UtcDateTimeField(read_only=True)

    class Meta:
        model = Fundamental
        fields = ("id", "symbol", "metric", "as_of", "published_at", "value", "unit", "source", "imported_at")
        read_only_fields = fields


class FeedFileSerializer(StrictSerializer):
    """A file, as `multipart/form-data`."""

    file = serializers.FileField(allow_empty_file=True, help_text="CSV or JSON Lines, plain or gzipped.")


class FeedImportSerializer(StrictModelSerializer):
    created_at = UtcDateTimeField(read_only=True)
    report = serializers.JSONField(read_only=True, help_text="rows, added, unchanged, symbols and problems.")

    class Meta:
        model = FeedImport
        fields = ("id", "kind", "filename", "sha256", "status", "actor_name", "created_by_id", "created_at", "report")
        read_only_fields = fields
