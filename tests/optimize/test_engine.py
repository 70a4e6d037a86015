"""The kernels against the plain reference, on prices with everything that goes wrong in prices."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimize.engine import Settings, evaluate, prepare, simulate
from optimize.engine.simulation import signal_bits
from tests.optimize import reference
from tests.optimize.histories import bars_of, histories, walk
from tests.workflows.test_strategies import SHORT
from workflows.strategies import (
    Column,
    ColumnSource,
    Comparison,
    Reading,
    Rule,
    StrategyType,
    column_sources,
    strategy_types,
)

TYPES = [kind for kind in strategy_types.all() if not kind.references]
costs = st.fixed_dictionaries(
    {
        "fee": st.sampled_from([0.0, 1e-5, 0.001, 0.02]),
        "slippage": st.sampled_from([0.0, 0.0005, 0.03]),
        "direction": st.sampled_from(["long_only", "long_short"]),
        "initial_cash": st.sampled_from([10_000.0, 1.0]),
        "periods_per_year": st.sampled_from([252.0, 365.0]),
        "stop_loss": st.sampled_from([None, None, 0.02, 0.1]),
        "take_profit": st.sampled_from([None, None, 0.03, 0.2]),
    }
)

# Says what the columns `enter` and `leave` say, so that any signals can be tried on any prices.
TOLD = StrategyType(
    slug="told",
    title="Told",
    help="Enter and leave where it is told.",
    parameters=(),
    constraints=(),
    grid={},
    warm_up=lambda p: 0,
    rule=lambda p: Rule((Comparison(Column("enter"), True, 0.5),), 1, (Comparison(Column("leave"), True, 0.5),), 1),
    reading=lambda columns, params: Reading(()),
)


def told(entries: Any, exits: Any) -> Any:
    """Return a block in which the strategy type `TOLD` says this."""
    return column_sources.temporarily(
        ColumnSource("enter", lambda bars, params: {"value": np.asarray(entries, dtype=np.float64)}),
        ColumnSource("leave", lambda bars, params: {"value": np.asarray(exits, dtype=np.float64)}),
    )


def flags(words: np.ndarray, count: int) -> np.ndarray:
    return np.unpackbits(words.view(np.uint8), bitorder="little")[:count].astype(bool)


def assert_figures(found: dict[str, Any], expected: dict[str, float]) -> None:
    assert set(found) == set(expected)
    for name, value in expected.items():
        # Sharpe and its kin are quotients of figures that are known to 1e-16 of the returns.
        np.testing.assert_allclose(float(found[name]), value, rtol=1e-9, atol=1e-9, err_msg=name)


def _assert_path(bars: Any, entries: Any, exits: Any, window: tuple[int, int], options: dict[str, Any]) -> None:
    expected = reference.trade(bars, entries, exits, *window, **options)
    with told(entries, exits):
        series = prepare(bars)
        path = simulate(TOLD, {}, series, window, Settings(**options))
        table = evaluate(TOLD, [{}], [series], np.array([[window]]), Settings(**options))
    scale = options.get("initial_cash", 10_000.0)
    np.testing.assert_allclose(path.equity, expected["equity"], rtol=1e-9, atol=1e-9 * scale)
    np.testing.assert_allclose(path.position, expected["position"], rtol=1e-9, atol=1e-12)
    assert len(path.trades) == len(expected["trades"])
    for found, trade in zip(path.trades, expected["trades"], strict=True):
        assert (found["entry_bar"], found["exit_bar"], found["closed"]) == (
            trade.entry_bar,
            trade.exit_bar,
            trade.closed,
        )
        for name in ("entry_price", "exit_price", "quantity", "profit"):
            assert found[name] == pytest.approx(getattr(trade, name), rel=1e-9, abs=1e-9 * scale), name
        assert found["return"] == pytest.approx(trade.share, rel=1e-9, abs=1e-9)
    assert_figures(path.statistics, expected["statistics"])
    assert_figures({name: values[0, 0, 0] for name, values in table.as_dict().items()}, expected["statistics"])


@settings(max_examples=400)
@given(bars=histories(), options=costs, data=st.data())
def test_any_signals_on_any_prices_come_to_what_the_reference_says(bars: Any, options: Any, data: Any) -> None:
    # Long silences between the words, so that positions are held.
    word = st.sampled_from([0, 0, 0, 0, 1, 2, 3])
    said = np.array(data.draw(st.lists(word, min_size=len(bars), max_size=len(bars))))
    sound = np.isfinite(np.stack((bars.open, bars.high, bars.low, bars.close))).all(axis=0)
    entries, exits = (said & 1 > 0) & sound, (said & 2 > 0) & sound
    first = data.draw(st.integers(0, len(bars) - 1))
    stop = data.draw(st.integers(first + 1, len(bars)))
    _assert_path(bars, entries, exits, (first, stop), options)


@pytest.mark.parametrize("direction", ["long_only", "long_short"])
@pytest.mark.parametrize("fee", [0.0, 0.001])
@pytest.mark.parametrize("kind", TYPES, ids=lambda k: k.slug)
def test_every_strategy_type_in_every_window_comes_to_what_the_reference_says(
    kind: Any, fee: float, direction: Any
) -> None:
    series = [prepare(walk(700, seed)) for seed in (3, 4)]
    grid = [kind.clean(params) for params in itertools.islice(kind.default_grid(), 0, 40, 7)]
    windows = np.array([[[0, 700], [0, 700]], [[200, 450], [100, 101]], [[450, 700], [5, 5]]])
    options = {"fee": fee, "slippage": 0.0005, "direction": direction}
    table = evaluate(kind, grid, series, windows, Settings(**options)).as_dict()
    assert table["sharpe"].shape == (len(grid), 3, 2)
    for (c, params), w, s in itertools.product(enumerate(grid), range(3), range(2)):
        first, stop = windows[w, s]
        if first == stop:
            assert table["trades"][c, w, s] == 0
            assert math.isnan(table["sharpe"][c, w, s])
            continue
        signals = kind.signals(series[s].bars, params)
        expected = reference.trade(series[s].bars, signals.entries, signals.exits, first, stop, **options)
        assert_figures({name: values[c, w, s] for name, values in table.items()}, expected["statistics"])


@given(bars=histories())
def test_the_kernels_say_of_every_type_what_the_live_step_says(bars: Any) -> None:
    series = prepare(bars)
    for kind in TYPES:
        params = kind.clean(SHORT[kind.slug])
        signals = kind.signals(bars, params)
        entries, exits = (flags(words, len(bars)) for words in signal_bits(kind, params, series))
        np.testing.assert_array_equal(entries, signals.entries & ~signals.exits, err_msg=kind.slug)
        np.testing.assert_array_equal(exits, signals.exits & ~signals.entries, err_msg=kind.slug)


@pytest.mark.parametrize("kind", TYPES, ids=lambda k: k.slug)
def test_the_kernels_say_what_the_live_step_says_for_the_whole_default_grid(kind: Any) -> None:
    series = prepare(walk(333, 9))
    for params in kind.default_grid():
        clean = kind.clean(params)
        signals = kind.signals(series.bars, clean)
        entries, exits = (flags(words, 333) for words in signal_bits(kind, clean, series))
        np.testing.assert_array_equal(entries, signals.entries & ~signals.exits)
        np.testing.assert_array_equal(exits, signals.exits & ~signals.entries)


@given(
    held=st.lists(st.lists(st.booleans(), min_size=70, max_size=70), min_size=1, max_size=5),
    needed=st.integers(1, 6),
)
def test_votes_are_counted_for_any_number_of_comparisons(held: Any, needed: int) -> None:
    votes = np.array(held)
    sources = [
        ColumnSource(f"vote{index}", lambda bars, params, row=row: {"value": row.astype(np.float64)})
        for index, row in enumerate(votes)
    ]
    comparisons = tuple(Comparison(Column(source.slug), True, 0.5) for source in sources)
    nothing = (Comparison(Column("close"), False, 0.0),)
    kind = StrategyType(
        "voted",
        "Voted",
        "",
        (),
        (),
        {},
        lambda p: 0,
        lambda p: Rule(comparisons, needed, nothing, 1),
        lambda c, p: Reading(()),
    )
    with column_sources.temporarily(*sources):
        entries, _ = signal_bits(kind, {}, prepare(walk(70)))
    np.testing.assert_array_equal(flags(entries, 70), votes.sum(axis=0) >= needed)


def _flat(count: int, **changes: Any) -> Any:
    columns = {name: np.full(count, 100.0) for name in ("open", "high", "low", "close")}
    for name, (bar, value) in changes.items():
        columns[name][bar] = value
    return bars_of(columns["open"], columns["high"], columns["low"], columns["close"])


def _told_path(bars: Any, enter: list[int], leave: list[int], **options: Any) -> Any:
    entries, exits = np.zeros(len(bars)), np.zeros(len(bars))
    entries[enter], exits[leave] = 1, 1
    with told(entries, exits):
        return simulate(TOLD, {}, prepare(bars), (0, len(bars)), Settings(**options))


def test_a_price_that_never_moves_has_no_sharpe_and_no_infinity() -> None:
    path = _told_path(_flat(50), [1], [40])
    assert path.statistics["total_return"] == 0
    for name in ("sharpe", "sortino", "calmar", "profit_factor"):
        assert math.isnan(path.statistics[name]), name


@pytest.mark.parametrize("spike", [1e3, 1e6])
def test_a_spike_before_a_window_costs_the_window_no_accuracy(spike: float) -> None:
    bars = walk(400, 5, volatility=1e-4)
    closes = bars.close.copy()
    closes[50] *= spike
    bars = bars_of(bars.open, bars.high, bars.low, closes)
    entries, exits = np.arange(400) % 20 == 3, np.arange(400) % 20 == 11
    for window in ((100, 400), (0, 400), (48, 60)):
        _assert_path(bars, entries, exits, window, {"fee": 1e-5})


def test_a_signal_of_the_last_bar_fills_nothing() -> None:
    path = _told_path(_flat(5), [4], [])
    assert not path.position.any()
    assert len(path.trades) == 0


def test_an_order_that_finds_no_price_is_not_kept() -> None:
    path = _told_path(_flat(6, open=(2, np.nan)), [1], [])
    assert not path.position.any()
    again = _told_path(_flat(6, open=(2, np.nan)), [1, 3], [])
    assert again.trades["entry_bar"].tolist() == [4]


@pytest.mark.parametrize(
    ("changes", "fill"),
    [
        ({"low": (3, 89.0)}, 90.0),  # inside the bar: at the level
        ({"open": (3, 85.0), "low": (3, 84.0)}, 85.0),  # the open has passed it
        ({"high": (3, 125.0)}, 120.0),
        ({"open": (3, 130.0), "high": (3, 131.0)}, 130.0),
        ({"low": (3, 89.0), "high": (3, 125.0)}, 90.0),  # both: the stop
        ({"low": (2, 89.0)}, 90.0),  # on the bar of the entry itself
    ],
)
def test_a_stop_or_a_target_is_filled_where_the_price_was(changes: Any, fill: float) -> None:
    path = _told_path(_flat(6, **changes), [1], [], stop_loss=0.1, take_profit=0.2)
    assert path.trades["exit_price"].tolist() == [fill]
    assert path.trades["exit_bar"].tolist() == [next(iter(changes.values()))[0]]
    assert path.position[-1] == 0


def test_a_ruined_account_is_flattened_and_trades_no_more() -> None:
    closes = np.array([100.0, 100, 100, 0.05, 0.06, 50, 100, 100, 100])
    bars = bars_of(closes, closes, closes, closes)
    path = _told_path(bars, [1, 5], [])
    assert path.statistics["ruined"] == 1
    assert path.trades["exit_bar"].tolist() == [4]
    assert path.position.tolist()[3] > 0
    assert not path.position[4:].any()


def test_a_short_of_the_whole_equity_gains_what_the_price_loses() -> None:
    closes = np.array([100.0, 100, 100, 90, 80])
    bars = bars_of(closes, closes, closes, closes)
    path = _told_path(bars, [], [0], direction="long_short")
    assert path.position[-1] == pytest.approx(-100)
    assert path.equity.tolist() == pytest.approx([10_000, 10_000, 10_000, 11_000, 12_000])


def test_the_answer_depends_neither_on_threads_nor_on_how_the_combinations_are_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("optimize.engine.evaluation.LITTLE_WORK", 0)
    kind = strategy_types.get("three_indicator")
    grid = [kind.clean(params) for params in kind.default_grid()]
    series = [prepare(walk(500, 1)), prepare(walk(444, 2))]
    windows = np.array([[[0, 250], [0, 200]], [[250, 500], [200, 444]]])
    whole = evaluate(kind, grid, series, windows, Settings(fee=0.001)).as_dict()
    threaded = evaluate(kind, grid, series, windows, Settings(fee=0.001), threads=3).as_dict()
    parts = [evaluate(kind, grid[a:b], series, windows, Settings(fee=0.001)).as_dict() for a, b in ((0, 5), (5, 18))]
    for name, values in whole.items():
        np.testing.assert_array_equal(values, threaded[name])
        np.testing.assert_array_equal(values, np.concatenate([part[name] for part in parts]))


def test_a_history_too_long_for_the_room_there_is_comes_to_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = strategy_types.get("two_indicator")
    grid = [kind.clean(params) for params in kind.default_grid()]
    series, windows = [prepare(walk(500, 1)), prepare(walk(444, 2))], np.array([[[0, 250], [0, 200]]])
    roomy = evaluate(kind, grid, series, windows, Settings(fee=0.001)).as_dict()
    for name, least in (("MOST_TABLE", 500 * 8 * 3), ("MOST_MASKS", 500 * 4), ("MOST_WORK", 1)):
        monkeypatch.setattr(f"optimize.engine.blocks.{name}", least)
    tight = evaluate(kind, grid, series, windows, Settings(fee=0.001), threads=2).as_dict()
    for name, values in roomy.items():
        np.testing.assert_array_equal(values, tight[name])


@pytest.mark.parametrize("threads", [1, 2])
def test_whoever_asks_to_stop_is_heard(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("optimize.engine.evaluation.LITTLE_WORK", 0)

    class Stop(Exception):
        pass

    def check() -> None:
        raise Stop

    kind = strategy_types.get("momentum")
    with pytest.raises(Stop):
        evaluate(
            kind,
            [kind.clean(params) for params in kind.default_grid()],
            [prepare(walk(100)), prepare(walk(100))],
            np.array([[[0, 100], [0, 100]]]),
            Settings(),
            threads=threads,
            check=check,
        )


@pytest.mark.parametrize("windows", [[[[0, 101]]], [[[-1, 50]]], [[[0, 50], [0, 50]]]])
def test_a_window_outside_its_series_is_refused(windows: Any) -> None:
    with pytest.raises(ValueError, match="window"):
        evaluate(TYPES[0], [], [prepare(walk(100))], np.array(windows), Settings())


@pytest.mark.parametrize(
    "wrong",
    [
        {"initial_cash": 0.0},
        {"fee": 1.0},
        {"fee": -0.1},
        {"slippage": math.nan},
        {"direction": "short"},
        {"stop_loss": 1.0},
        {"take_profit": 0.0},
        {"take_profit": 1.5, "direction": "long_short"},
        {"periods_per_year": math.inf},
    ],
)
def test_settings_outside_their_range_are_refused_by_name(wrong: Any) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Settings(**wrong)
