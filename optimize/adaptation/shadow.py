"""What parameters made on the bars since they were proposed or applied, beside what the others would have made.

On paper, by the bars: flat at the start, a signal filled at the next open, the costs of the adaptation. No Django here. Loads
what computes: import it in workers alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from market.bars import Bars, FloatArray, TimeArray, from_ns, to_ns
from optimize import engine
from optimize.adaptation.promising import Promise, breached, floor
from optimize.analysis.figures import statistics_of
from optimize.engine.settings import RUIN_SHARE
from tradingsite.common.clock import rfc3339
from workflows.strategies import StrategyType
from workflows.strategies.rules import Params

# Bars of the newest ones that wait for a symbol without them; then the others are judged without it.
LAG = 5
_SHOWN = ("total_return", "sharpe", "max_drawdown")


@dataclass(frozen=True, eq=False)
class Beside:
    """Two sets of parameters on the same bars, all symbols in equal parts.

    Attributes:
        time: int64[n], nanoseconds UTC.
        live, shadow: float64[n], the return of each bar.
    """

    time: TimeArray
    live: FloatArray
    shadow: FloatArray


def beside(
    strategy_type: StrategyType,
    live: Params,
    shadow: Params,
    bars: Sequence[Bars],
    *,
    after: datetime,
    most: int,
    settings: engine.Settings,
) -> Beside | None:
    """Trade both from the first bar that opened after `after`, for `most` bars at most; None where there is none yet.

    Args:
        bars: complete ones of each symbol, with those before that warm the indicators.

    Raises:
        ValidationFailed: the parameters are none of this strategy type.
    """
    combinations = [strategy_type.clean(live), strategy_type.clean(shadow)]
    series = [engine.prepare(each) for each in bars]
    start = to_ns(after) + 1
    axis = engine.make_axis(series, start=start, end=_until(bars, start))
    if not len(axis):
        return None
    windows = axis.windows([(0, min(len(axis), most))])
    first, second = engine.returns(strategy_type, combinations, series, windows, axis, settings)
    return Beside(first.time, first.value, second.value)


def _until(bars: Sequence[Bars], start: int) -> int:
    """Return the newest time that all symbols have a bar of; of a symbol that has fallen far behind, no further than LAG."""
    newest = min(int(each.time[-1]) if len(each) else 0 for each in bars)
    known = np.unique(np.concatenate([each.time[np.searchsorted(each.time, start) :] for each in bars]))
    return max(newest, int(known[-1 - LAG])) if len(known) > LAG else newest


def figures_of(found: Beside, promise: Promise, *, periods_per_year: float) -> dict[str, Any]:
    """Return what is shown of it: figures of both, how far the promise is from being broken, and where it broke.

    `log_return` and `floor` are sums of log returns over all bars so far; `breach` is the first bar that was below.
    """
    logs = np.log1p(np.maximum(found.live, RUIN_SHARE - 1))
    sums = np.cumsum(logs)
    after = breached(promise, logs)
    return {
        "live": _statistics(found.live, periods_per_year),
        "shadow": _statistics(found.shadow, periods_per_year),
        "log_return": float(sums[-1]),
        "floor": float(floor(promise, len(logs))),
        "breach": None
        if after is None
        else {
            "bar": after,
            "bar_time": rfc3339(from_ns(int(found.time[after - 1]))),
            "log_return": float(sums[after - 1]),
            "floor": float(floor(promise, after)),
        },
    }


def _statistics(returns: FloatArray, periods_per_year: float) -> dict[str, float | None]:
    equity = np.cumprod(1 + returns).astype(np.float64, copy=False)
    found = statistics_of(equity, 1.0, periods_per_year)
    return {name: found[name] for name in _SHOWN}
