"""Every change of state on the market floor."""

from market.services.feeds import fundamentals_import, news_import
from market.services.generated import demo_series_ensure
from market.services.imports import bars_import_file, bars_import_source
from market.services.instruments import instrument_create, instrument_update

__all__ = [
    "bars_import_file",
    "bars_import_source",
    "demo_series_ensure",
    "fundamentals_import",
    "instrument_create",
    "instrument_update",
    "news_import",
]
