"""Where bars come from when they are asked for by name; files come through the import."""

from collections.abc import Iterable

from market.sources.base import Fetched, PricePoint, Source, SymbolFacts
from market.sources.demo import DemoSource
from market.sources.sample import SampleSource
from market.sources.yahoo import YahooSource
from tradingsite.common.contracts.registry import Registry

__all__ = ["Fetched", "PricePoint", "Source", "SymbolFacts", "generated", "sources"]

# The protocol's slug is the class's own; the registry only reads it.
sources: Registry[Source] = Registry("data source")  # type: ignore[type-var]
sources.register(SampleSource())
sources.register(DemoSource())
sources.register(YahooSource())


def generated(slugs: Iterable[str]) -> bool:
    """Say whether the prices of any of these sources are invented."""
    return any(slug in sources and sources.get(slug).generated for slug in slugs)
