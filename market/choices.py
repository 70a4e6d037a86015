"""The words of the market floor."""

from django.db.models import TextChoices


class SourceKind(TextChoices):
    SAMPLE = "sample", "Shipped sample"
    DEMO = "demo", "Generated market"
    IMPORT = "import", "Imported files"
    YAHOO = "yahoo", "Yahoo Finance"


class SourceClock(TextChoices):
    """Where a source's present lies: at the wall clock, or at the open of its last bar."""

    LIVE = "live", "Live"
    HISTORICAL = "historical", "Historical"


class Timeframe(TextChoices):
    M1 = "1m", "1 minute"
    M5 = "5m", "5 minutes"
    M15 = "15m", "15 minutes"
    H1 = "1h", "1 hour"
    D1 = "1d", "1 day"


class Adjustment(TextChoices):
    NONE = "none", "As traded"
    SPLIT = "split", "Adjusted for splits"
    SPLIT_DIVIDEND = "split_dividend", "Adjusted for splits and dividends"


class AssetClass(TextChoices):
    EQUITY = "equity", "Equity"
    ETF = "etf", "Exchange-traded fund"
    CRYPTO = "crypto", "Crypto"
    FX = "fx", "Currency pair"
    FUTURE = "future", "Future"


class ImportStatus(TextChoices):
    DONE = "done", "Done"
    FAILED = "failed", "Failed"


class OnConflict(TextChoices):
    """What an import does with a bar that is already there with other figures."""

    ERROR = "error", "Refuse the file"
    REPLACE = "replace", "Replace the bar"


class FeedKind(TextChoices):
    NEWS = "news", "News"
    FUNDAMENTALS = "fundamentals", "Fundamentals"
