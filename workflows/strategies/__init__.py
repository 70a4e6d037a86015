"""The strategy types, by slug. `strategy_types.get(slug)` gives one; a higher floor may register more at start-up."""

from tradingsite.common.contracts.registry import Registry
from workflows.strategies.base import (
    Condition,
    Constraint,
    Parameter,
    Reading,
    Signals,
    StrategyType,
    Study,
    confidence,
    target_position,
)
from workflows.strategies.breakouts import BOLLINGER_BREAKOUT, DONCHIAN_BREAKOUT
from workflows.strategies.combinations import THREE_INDICATOR, TWO_INDICATOR
from workflows.strategies.crossovers import EMA_CROSSOVER, SMA_CROSSOVER
from workflows.strategies.macd import MACD
from workflows.strategies.momentum import MOMENTUM
from workflows.strategies.rsi_reversion import RSI_REVERSION
from workflows.strategies.rules import (
    Column,
    Columns,
    ColumnSource,
    Comparison,
    Rule,
    column_sources,
    sound_bars,
)

strategy_types: Registry[StrategyType] = Registry("strategy type")  # type: ignore[type-var]  # frozen, never assigned

for _strategy_type in (
    MOMENTUM,
    SMA_CROSSOVER,
    EMA_CROSSOVER,
    RSI_REVERSION,
    MACD,
    BOLLINGER_BREAKOUT,
    DONCHIAN_BREAKOUT,
    TWO_INDICATOR,
    THREE_INDICATOR,
):
    strategy_types.register(_strategy_type)

__all__ = [
    "Column",
    "ColumnSource",
    "Columns",
    "Comparison",
    "Condition",
    "Constraint",
    "Parameter",
    "Reading",
    "Rule",
    "Signals",
    "StrategyType",
    "Study",
    "column_sources",
    "confidence",
    "sound_bars",
    "strategy_types",
    "target_position",
]
