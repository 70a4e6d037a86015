"""The account that people read follows the same conventions as the kernels of a search, bar by bar and trade by trade."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.bars import Bars
from optimize.analysis.account import play
from optimize.analysis.figures import costs_of, drawdowns_of, figures_of
from optimize.engine import Settings, prepare, simulate
from tests.optimize.histories import bars_of, histories, walk
from tests.optimize.test_engine import TOLD, TYPES, costs, told
from workflows.strategies import StrategyType

SHARED = (
    *("total_return", "sharpe", "sortino", "max_drawdown", "calmar", "trades", "win_rate"),
    *("profit_factor", "average_trade", "exposure", "ruined", "final_equity"),
)


def assert_equal(bars: Bars, entries: np.ndarray, exits: np.ndarray, window: tuple[int, int], given: Settings) -> None:
    mine = play(bars, entries, exits, window, given)
    with told(entries, exits):
        kernel = simulate(TOLD, {}, prepare(bars), window, given)
    np.testing.assert_allclose(mine.equity, kernel.equity, rtol=1e-9, atol=1e-12 * given.initial_cash)
    np.testing.assert_allclose(mine.position, kernel.position, rtol=1e-9)
    assert len(mine.trades) == len(kernel.trades)
    for trade, row in zip(mine.trades, kernel.trades, strict=True):
        assert (trade.entry_bar, trade.exit_bar, trade.closed) == (row["entry_bar"], row["exit_bar"], row["closed"])
        found = (trade.entry_price, trade.exit_price, trade.quantity)
        assert found == pytest.approx((row["entry_price"], row["exit_price"], row["quantity"]), rel=1e-9)
        assert trade.share == pytest.approx(row["return"], rel=1e-9, abs=1e-9)
    figures = figures_of(mine, given)
    if kernel.statistics["ruined"]:
        return  # of dust the figures are those of rounding
    for name in SHARED:
        value = figures[name]
        found_value = math.nan if value is None else float(value)
        assert found_value == pytest.approx(kernel.statistics[name], rel=1e-6, abs=1e-9, nan_ok=True), name


@settings(max_examples=150, deadline=None)
@given(bars=histories(), chosen=costs, data=st.data())
def test_any_signals_on_any_prices_trade_as_in_a_search(
    bars: Bars, chosen: dict[str, object], data: st.DataObject
) -> None:
    flags = st.lists(st.sampled_from([False, False, False, True]), min_size=len(bars), max_size=len(bars))
    entries, exits = np.array(data.draw(flags)), np.array(data.draw(flags))
    sound = np.isfinite([bars.open, bars.high, bars.low, bars.close]).all(axis=0)
    start = data.draw(st.integers(0, len(bars) - 1))
    stop = data.draw(st.integers(start + 1, len(bars)))
    assert_equal(bars, entries & sound, exits & sound, (start, stop), Settings(**chosen))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.slug)
@pytest.mark.parametrize("direction", ["long_only", "long_short"])
def test_every_type_trades_as_in_a_search(kind: StrategyType, direction: str) -> None:
    bars = walk(700, seed=12)
    signals = kind.signals(bars, kind.clean({}))
    chosen = Settings(fee=0.001, slippage=0.0005, direction=direction, stop_loss=0.08)  # type: ignore[arg-type]
    assert_equal(bars, signals.entries, signals.exits, (100, 650), chosen)


def flat(prices: list[float]) -> Bars:
    return bars_of(prices, prices, prices, prices)


def flags(count: int, *places: int) -> np.ndarray:
    result = np.zeros(count, dtype=bool)
    result[list(places)] = True
    return result


def test_costs_are_what_frictionless_trading_would_have_had_more() -> None:
    bars, window = flat([100.0, 100.0, 100.0, 100.0]), (0, 4)
    played = play(bars, flags(4, 0), flags(4, 1), window, Settings(fee=0.01, slippage=0.02))
    (trade,) = played.trades
    told_costs = costs_of(played.trades, 10_000.0)
    assert told_costs["fills"] == 2
    # At an unchanged price all that is lost went into costs.
    assert told_costs["fees"] + told_costs["slippage"] == pytest.approx(10_000.0 - played.equity[-1])
    assert told_costs["fees"] == pytest.approx(0.01 * trade.quantity * (102.0 + 98.0))
    assert told_costs["slippage"] == pytest.approx(trade.quantity * 4.0)
    assert trade.profit == pytest.approx(played.equity[-1] - 10_000.0)


def test_each_trade_says_why_it_ended() -> None:
    prices = [100.0, 100.0, 80.0, 80.0, 80.0, 100.0, 100.0, 100.0, 100.0]
    played = play(flat(prices), flags(9, 0, 3, 6), flags(9, 7), (0, 9), Settings(stop_loss=0.1, take_profit=0.2))
    assert [(trade.reason, trade.closed) for trade in played.trades] == [
        ("stop", True),
        ("target", True),
        ("signal", True),
    ]
    assert play(flat(prices), flags(9, 0), flags(9), (0, 9), Settings()).trades[0].reason == ""


def test_an_order_that_finds_no_price_is_counted() -> None:
    prices = [100.0, math.nan, 100.0, 100.0]
    played = play(flat(prices), flags(4, 0), flags(4), (0, 4), Settings())
    assert played.unfilled == 1
    assert played.trades == ()


def test_drawdowns_are_told_with_their_bars_the_deepest_first() -> None:
    falls = drawdowns_of(np.array([10.0, 9.0, 10.0, 12.0, 6.0, 9.0, 12.0, 13.0, 12.0]))
    assert [(fall.peak, fall.trough, fall.recovered, fall.bars) for fall in falls] == [
        (3, 4, 6, 3),
        (0, 1, 2, 2),
        (7, 8, None, 1),
    ]
    assert [fall.depth for fall in falls] == pytest.approx([0.5, 0.1, 1 / 13])
    assert drawdowns_of(np.array([1.0, 2.0])) == []


def test_a_window_without_bars_is_refused() -> None:
    with pytest.raises(ValueError, match="window"):
        play(flat([1.0, 2.0]), flags(2), flags(2), (1, 1), Settings())
