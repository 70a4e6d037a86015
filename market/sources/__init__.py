"""Where bars come from when they are asked for by name; files come through the import."""

from market.sources.base import Fetched, PricePoint, Source, SymbolFacts
from market.sources.demo import DemoSource
from market.sources.sample import SampleSource
from market.sources.yahoo import YahooSource
from tradingsite.common.contracts.registry import Registry

__all__ = ["Fetched", "PricePoint", "Source", "SymbolFacts", "sources"]

# The protocol's slug is the class's own; the registry only reads it.
sources: Registry[Source] = Registry("data source")  # type: ignore[type-var]
sources.register(SampleSource())
sources.register(DemoSource())
sources.register(YahooSource())
