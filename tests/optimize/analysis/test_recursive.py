"""How many bars a strategy needs before its figures no longer depend on where its history begins."""

import pytest

from optimize.analysis.recursive import warm_up
from tests.optimize.analysis.planted import planted
from tests.optimize.histories import walk
from workflows.strategies import strategy_types

BARS = walk(2_500, seed=2)
STARTS = [500, 900, 1_300]


def test_a_simple_average_has_settled_when_it_exists() -> None:
    kind = strategy_types.get("sma_crossover")
    (found,) = warm_up(kind, [kind.clean({"fast": 10, "slow": 40})], BARS, STARTS)
    assert found.declared == 40
    assert [column.bars for column in found.columns] == [10, 40]
    assert found.columns[1].at_warm_up == pytest.approx(0, abs=1e-12)
    assert found.signals.bars is not None
    assert found.signals.bars <= 40
    assert found.enough


def test_an_exponential_average_needs_longer_than_it_declares() -> None:
    kind = strategy_types.get("ema_crossover")
    (found,) = warm_up(kind, [kind.clean({"fast": 10, "slow": 40})], BARS, STARTS, tolerance=1e-6)
    fast, slow = found.columns
    assert fast.bars is not None
    assert slow.bars is not None
    assert 40 < fast.bars < slow.bars < 600
    assert slow.at_warm_up is not None
    assert slow.at_warm_up > 1e-6
    # The nearer it has to be, the longer it takes.
    (rough,) = warm_up(kind, [kind.clean({"fast": 10, "slow": 40})], BARS, STARTS, tolerance=1e-3)
    assert rough.columns[1].bars is not None
    assert rough.columns[1].bars < slow.bars


def test_what_never_settles_is_said_so() -> None:
    with planted("best_of_all") as kind:
        (found,) = warm_up(kind, [kind.clean({})], BARS, STARTS, horizon=400)
    assert found.columns[0].bars is None
    assert not found.enough


def test_each_start_is_told_with_what_was_looked_at() -> None:
    kind = strategy_types.get("rsi_reversion")
    (found,) = warm_up(kind, [kind.clean({})], BARS, [500, 2_400], horizon=300)
    assert [(start.bar, start.horizon) for start in found.starts] == [(500, 300), (2_400, 100)]
    assert found.signals.bars == max(start.signals or 0 for start in found.starts)


@pytest.mark.parametrize("starts", [[], [0], [2_500]])
def test_a_start_without_history_before_it_is_refused(starts: list[int]) -> None:
    kind = strategy_types.get("momentum")
    with pytest.raises(ValueError, match="starts"):
        warm_up(kind, [kind.clean({})], BARS, starts)
