"""Compiling, or loading what was compiled before, so that no job waits for it."""

import numpy as np

from market.bars import Bars
from optimize.engine.axis import make_axis
from optimize.engine.evaluation import evaluate
from optimize.engine.portfolio import portfolio_sums
from optimize.engine.series import prepare
from optimize.engine.settings import Settings
from optimize.engine.simulation import simulate
from workflows.strategies import strategy_types

_BARS = 130


def warm() -> None:
    """Call every kernel once, with the types that it is called with later."""
    steps = np.arange(_BARS)
    close = 100.0 + np.sin(steps / 5.0) * 10.0
    columns = dict.fromkeys(("open", "high", "low", "close"), close)
    series = prepare(Bars.of({"time": steps * 86_400_000_000_000, "volume": close, **columns}, symbol="WARM"))
    kind = strategy_types.get("three_indicator")
    params = kind.clean({"trend_period": 5, "rsi_period": 5, "macd_fast": 2, "macd_slow": 4, "macd_signal": 2})
    axis = make_axis([series])
    for settings in (Settings(), Settings(direction="long_short", stop_loss=0.1)):
        evaluate(kind, [params], [series], axis.windows([(0, 100)]), settings)
        portfolio_sums(kind, [params], [series], axis.windows([(0, 100)]), axis, np.array([[0, _BARS]]), settings)
        simulate(kind, params, series, (0, _BARS), settings)
