"""What every data source promises, and the registry of sources."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import ClassVar, Protocol

from market.bars import Bars


@dataclass(frozen=True)
class PricePoint:
    """A price and the moment at which it could be traded or was known."""

    price: Decimal
    time: datetime


@dataclass(frozen=True)
class SymbolFacts:
    """What a source knows of an instrument when the desk meets it for the first time."""

    name: str
    exchange: str = "XNYS"
    currency: str = "USD"
    asset_class: str = "equity"


@dataclass(frozen=True)
class Fetched:
    """One series as a source delivers it; `bars.version` and `bars.series_id` are still empty."""

    bars: Bars
    facts: SymbolFacts


class Source(Protocol):
    """A place that bars come from by name.

    Attributes:
        slug: also the folder of its files, and the word in the API.
        kind, clock: as in market.choices.
        generated: True when the prices are invented, which every page and answer then says.
        timeframes: what it can deliver.
    """

    slug: ClassVar[str]
    kind: ClassVar[str]
    clock: ClassVar[str]
    title: ClassVar[str]
    generated: ClassVar[bool]
    timeframes: ClassVar[tuple[str, ...]]

    def symbols(self) -> tuple[str, ...]:
        """Return the symbols it has; empty when it has too many to list."""
        ...

    def fetch(self, *, symbol: str, timeframe: str, start: datetime | None, wall: datetime) -> list[Fetched]:
        """Return the complete bars of `symbol`, one entry for each adjustment that it delivers.

        Raises:
            SeriesUnknown: when it does not have the symbol or the timeframe.
            MissingExtra, VendorFailed: where a vendor stands behind it.
        """
        ...
