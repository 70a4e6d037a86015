"""Reading news and fundamentals: all of them for people, and what could be known at a moment for a decision."""

from datetime import datetime

from django.db.models import QuerySet

from market.models import FeedImport, Fundamental, NewsItem


def news() -> QuerySet[NewsItem]:
    """Return all news, the newest first."""
    return NewsItem.objects.order_by("-published_at", "-pk")


def fundamentals() -> QuerySet[Fundamental]:
    """Return all reported figures, the latest published first."""
    return Fundamental.objects.order_by("-published_at", "-pk")


def feed_imports() -> QuerySet[FeedImport]:
    """Return the attempts to import either, newest first."""
    return FeedImport.objects.order_by("-pk")


def news_known(*, symbol: str, until: datetime, limit: int) -> list[NewsItem]:
    """Return the newest `limit` items about a symbol that were published at or before `until`, the newest first."""
    return list(news().filter(symbol=symbol, published_at__lte=until)[:limit])


def fundamentals_known(*, symbol: str, until: datetime) -> list[Fundamental]:
    """Return each metric's figure as it was known at `until`, by metric: of its latest period, as last published."""
    rows = Fundamental.objects.filter(symbol=symbol, published_at__lte=until)
    newest: dict[str, Fundamental] = {}
    for row in rows.order_by("metric", "as_of", "published_at", "pk"):
        newest[row.metric] = row
    return [newest[metric] for metric in sorted(newest)]
