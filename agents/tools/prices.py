"""Tools that look at the pinned prices: bars, and what can be computed from them."""

from collections.abc import Mapping
from typing import Any

from agents.tools.base import Desk, Tool, ToolRefused, arguments, figure, money
from market.errors import IndicatorParamsInvalid
from market.indicators import INDICATORS, indicator_get
from market.steps import default_name
from tradingsite.common.clock import rfc3339

MOST_BARS = 100
_COLUMNS = ("open", "high", "low", "close", "volume")
# What is told without being asked: enough to judge trend, strength, width and levels by.
STANDING: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("sma", {"period": 20}),
    ("sma", {"period": 50}),
    ("sma", {"period": 200}),
    ("rsi", {"period": 14}),
    ("macd", {}),
    ("adx", {"period": 14}),
    ("atr", {"period": 14}),
    ("natr", {"period": 14}),
    ("bbands", {"period": 20}),
    ("donchian", {"period": 20}),
    ("roc", {"period": 20}),
)


def _bars(desk: Desk, given: Mapping[str, Any]) -> dict[str, Any]:
    symbol = given["symbol"]
    bars = desk.bars(symbol).last(int(given.get("n", 20)))
    rows = [
        [rfc3339(bars.opened_at(index)), *(figure(float(getattr(bars, name)[index])) for name in _COLUMNS)]
        for index in range(len(bars))
    ]
    return {
        "symbol": symbol,
        "timeframe": bars.timeframe,
        "source": bars.source,
        "adjustment": bars.adjustment,
        **desk.notes(symbol),
        "order": "oldest first; the last one is the bar that is decided on",
        "columns": ["time", *_COLUMNS],
        "bars": rows,
    }


def _indicators(desk: Desk, given: Mapping[str, Any]) -> dict[str, Any]:
    symbol = given["symbol"]
    asked: list[tuple[str, Mapping[str, Any]]] = []
    if "indicator" in given:
        try:
            named = indicator_get(given["indicator"]).validate(given.get("params", {}))
        except IndicatorParamsInvalid as error:
            raise ToolRefused("; ".join(f"{e.pointer}: {e.detail}" for e in error.errors)) from None
        asked.append((given["indicator"], named))
    elif given.get("params"):
        raise ToolRefused("params: name the indicator that they are for in `indicator`.")
    bars = desk.bars(symbol)
    values: dict[str, Any] = {}
    for slug, params in [*asked, *STANDING]:
        indicator = indicator_get(slug)
        complete = indicator.validate(params)
        name = default_name(slug, complete)
        for output, array in indicator.figures(bars, complete).items():
            key = name if len(indicator.outputs) == 1 else f"{name}_{output}"
            previous = float(array[-2]) if len(array) > 1 else None
            values[key] = {"value": figure(float(array[-1])), "previous": figure(previous)}
    return {
        "symbol": symbol,
        "timeframe": bars.timeframe,
        **desk.notes(symbol),
        "time": rfc3339(bars.opened_at(-1)),
        "close": money(desk.close(symbol)),
        "bars": len(bars),
        "indicators": values,
        "missing": "a value of null means too few bars to compute it",
    }


GET_BARS = Tool(
    name="get_bars",
    description="The newest price bars of a symbol: time, open, high, low, close, volume.",
    parameters=arguments(
        n={"type": "integer", "minimum": 1, "maximum": MOST_BARS, "description": "How many bars; 20 when left out."}
    ),
    answer=_bars,
)
GET_INDICATORS = Tool(
    name="get_indicators",
    description="Technical indicators of a symbol, newest and previous value: averages, RSI, MACD, ADX, ATR, bands and "
    "channel always, and any other one when you name it.",
    parameters=arguments(
        indicator={"type": "string", "enum": sorted(INDICATORS), "description": "One more indicator to compute."},
        params={"type": "object", "maxProperties": 8, "description": 'Its parameters, such as {"period": 30}.'},
    ),
    answer=_indicators,
)
