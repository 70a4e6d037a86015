"""A strategy that sees the future is caught, with its bar; one that does not is left alone."""

from dataclasses import replace

import numpy as np
import pytest

from optimize.analysis.lookahead import EVEN, NAMED, look_ahead
from tests.optimize.analysis.planted import planted
from tests.optimize.histories import walk
from tests.workflows.samples import sample_bars
from workflows.strategies import Rule, StrategyType, strategy_types


@pytest.mark.parametrize(
    "kind", [kind for kind in strategy_types.all() if not kind.references], ids=lambda kind: kind.slug
)
def test_no_type_of_the_desk_sees_the_future(kind: StrategyType) -> None:
    combinations = [kind.clean(params) for params in kind.default_grid()][:6]
    for sight in look_ahead(kind, combinations, sample_bars("IBM").slice(0, 700), most_cuts=60):
        assert (sight.changed_signals, sight.changed_figures, sight.changes) == (0, 0, ())
        assert sight.cuts >= EVEN


@pytest.mark.parametrize("plant", ["tomorrow", "tomorrow_or_today"])
def test_a_peek_of_one_bar_is_caught_at_the_bar_that_peeks(plant: str) -> None:
    bars = walk(300, seed=3)
    with planted(plant) as kind:
        (sight,) = look_ahead(kind, [kind.clean({})], bars)
    rises = bars.close[1:] > bars.close[:-1]
    begins = np.flatnonzero(rises[1:] != rises[:-1]) + 1
    assert sight.changed_signals >= len(begins)
    assert sight.changed_figures > 0
    assert len(sight.changes) == NAMED
    # It never needs more than the next bar: what changes is always the last bar that was shown.
    assert {change.bar - change.cut for change in sight.changes} == {0}
    signals = [change for change in sight.changes if not change.column]
    for change in signals:
        expected = "enter" if bars.close[change.bar + 1] > bars.close[change.bar] else "exit"
        assert (change.whole, change.cut_short) == (expected, "nothing")
    named = [change.bar for change in signals]
    assert set(named) >= {bar for bar in begins.tolist() if bar <= named[-1]}


def test_a_figure_that_peeks_is_named_even_where_no_signal_changes() -> None:
    bars = walk(120, seed=4)
    with planted("tomorrow") as kind:
        sides = kind.rule({})
        rule = Rule(sides.entries, 2, sides.exits, 2)  # of one each: it never speaks
        silent = replace(kind, rule=lambda params: rule)
        (sight,) = look_ahead(silent, [silent.clean({})], bars)
    assert sight.changed_signals == 0
    assert sight.changed_figures == sight.cuts - 1  # the last cut hides nothing
    assert {change.column for change in sight.changes} == {"tomorrow"}
    assert all(change.cut_short is None for change in sight.changes)
    assert all(change.whole == bars.close[change.bar + 1] for change in sight.changes)


def test_a_figure_of_the_whole_history_changes_the_past_again_and_again() -> None:
    bars = walk(200, seed=5)
    with planted("best_of_all") as kind:
        (sight,) = look_ahead(kind, [kind.clean({})], bars)
    assert sight.changed_signals > 50
    assert any(change.bar < change.cut for change in sight.changes)


def test_a_figure_of_the_past_is_none_of_its_business() -> None:
    with planted("yesterday") as kind:
        (sight,) = look_ahead(kind, [kind.clean({})], walk(200, seed=6))
    assert (sight.changed_signals, sight.changed_figures) == (0, 0)


def test_cuts_that_had_to_be_left_out_are_counted() -> None:
    with planted("tomorrow") as kind:
        (sight,) = look_ahead(kind, [kind.clean({})], walk(2_000, seed=7), most_cuts=100)
    assert sight.left_out > 500
    assert 100 <= sight.cuts <= 100 + EVEN
    assert sight.changed_signals > 0


def test_each_combination_has_its_own_cuts_whatever_is_looked_at_beside_it() -> None:
    kind, bars = strategy_types.get("sma_crossover"), walk(400, seed=8)
    one, other = kind.clean({"fast": 3, "slow": 9}), kind.clean({"fast": 5, "slow": 40})
    assert look_ahead(kind, [one, other], bars) == [*look_ahead(kind, [one], bars), *look_ahead(kind, [other], bars)]


def test_the_analysis_stops_when_it_is_told_to() -> None:
    class Enough(Exception):
        pass

    asked: list[int] = []

    def check() -> None:
        asked.append(1)
        if len(asked) == 3:
            raise Enough

    kind = strategy_types.get("sma_crossover")
    with pytest.raises(Enough):
        look_ahead(kind, [kind.clean({})], walk(300), check=check)


@pytest.mark.parametrize("count", [1, 2])
def test_there_may_be_hardly_any_bars(count: int) -> None:
    kind = strategy_types.get("sma_crossover")
    (sight,) = look_ahead(kind, [kind.clean({})], walk(count))
    assert (sight.cuts, sight.changed_signals) == (count, 0)
