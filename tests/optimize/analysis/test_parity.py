"""Decisions of runs beside those of a back-test over the same bars; every difference has its bar and its kind."""

from dataclasses import replace

import pytest

from market.bars import Bars
from optimize.analysis.parity import LiveDecision, parity
from tests.optimize.histories import walk
from workflows.strategies import strategy_types, target_position

BARS = walk(260, seed=9)
KIND = strategy_types.get("sma_crossover")
PARAMS = KIND.clean({"fast": 5, "slow": 20})


def live(bars: Bars, first: int, last: int) -> list[LiveDecision]:
    """Decide as the desk does, day by day, seeing only what was there."""
    found, held = [], False
    for index in range(first, last + 1):
        target = int(target_position(KIND.signals(bars.slice(0, index + 1), PARAMS))[-1])
        action = "BUY" if target and not held else "SELL" if held and not target else "HOLD"
        held = bool(target)
        found.append(LiveDecision(int(bars.time[index]), action, float(bars.close[index]), f"run {index}"))  # type: ignore[arg-type]
    return found


DECISIONS = live(BARS, 100, 250)


def test_a_desk_that_did_what_it_says_is_equal_at_every_bar() -> None:
    found = parity(KIND, PARAMS, BARS, DECISIONS)
    assert (found.bars, found.decided, found.agreed, found.differences) == (151, 151, 151, ())
    assert {decision.action for decision in DECISIONS} == {"BUY", "SELL", "HOLD"}


def test_the_order_in_which_runs_are_told_does_not_matter() -> None:
    assert parity(KIND, PARAMS, BARS, DECISIONS[::-1]) == parity(KIND, PARAMS, BARS, DECISIONS)


def test_a_decision_that_was_another_is_named_with_its_bar_and_run() -> None:
    place = next(index for index, decision in enumerate(DECISIONS) if decision.action == "SELL")
    wrong = [*DECISIONS]
    wrong[place] = replace(wrong[place], action="HOLD")
    found = parity(KIND, PARAMS, BARS, wrong)
    (difference,) = found.differences
    assert (difference.kind, difference.live, difference.backtest) == ("action", "HOLD", "SELL")
    assert (difference.time, difference.label) == (wrong[place].time, wrong[place].label)
    assert found.agreed == 150


def test_other_params_are_not_equal() -> None:
    found = parity(KIND, KIND.clean({"fast": 8, "slow": 50}), BARS, DECISIONS)
    assert found.agreed < found.decided


def test_a_day_on_which_nothing_ran_is_named() -> None:
    place = next(index for index, decision in enumerate(DECISIONS) if decision.action == "HOLD" and index > 5)
    found = parity(KIND, PARAMS, BARS, DECISIONS[:place] + DECISIONS[place + 1 :])
    (difference,) = found.differences
    assert (difference.kind, difference.time) == ("no_decision", DECISIONS[place].time)
    assert (found.bars, found.decided) == (151, 150)


def test_a_price_that_was_revised_since_is_named() -> None:
    wrong = [replace(DECISIONS[0], price=DECISIONS[0].price * 1.01), *DECISIONS[1:]]
    (difference,) = parity(KIND, PARAMS, BARS, wrong).differences
    assert difference.kind == "price"


def test_a_bar_that_is_gone_is_named() -> None:
    gone = LiveDecision(int(BARS.time[0]) - 1, "BUY", 100.0, "run x")
    (difference,) = parity(KIND, PARAMS, BARS, [gone, *DECISIONS]).differences
    assert (difference.kind, difference.label) == ("no_bar", "run x")
    assert parity(KIND, PARAMS, BARS, [gone]).bars == 0


def test_two_runs_that_contradict_each_other_are_named() -> None:
    place = next(index for index, decision in enumerate(DECISIONS) if decision.action == "BUY")
    other = replace(DECISIONS[place], action="HOLD", label="again")
    (difference,) = parity(KIND, PARAMS, BARS, [*DECISIONS, other]).differences
    assert (difference.kind, difference.label) == ("contradiction", "again")


def test_a_position_from_before_is_told_from_the_first_decision_that_trades() -> None:
    place = next(index for index, decision in enumerate(DECISIONS) if decision.action == "BUY") + 1
    found = parity(KIND, PARAMS, BARS, DECISIONS[place:])
    assert found.began_long
    assert found.differences == ()


def test_runs_that_only_held_on_to_a_position_are_equal() -> None:
    place = next(index for index, decision in enumerate(DECISIONS) if decision.action == "BUY") + 1
    found = parity(KIND, PARAMS, BARS, DECISIONS[place : place + 1])
    assert found.began_long
    assert found.agreed == 1


def test_a_step_that_looks_at_so_many_bars_is_compared_with_as_many() -> None:
    kind = strategy_types.get("ema_crossover")
    params = kind.clean({"fast": 5, "slow": 20})
    whole = parity(kind, params, BARS, DECISIONS)
    short = parity(kind, params, BARS, DECISIONS, history=25)
    assert short.bars == whole.bars
    assert short != whole


def test_buying_only_on_the_bar_on_which_it_begins_is_compared_as_such() -> None:
    place = next(index for index, decision in enumerate(DECISIONS) if decision.action == "BUY")
    late = [replace(decision, action="HOLD") for decision in DECISIONS[place + 1 : place + 2]]
    late += [LiveDecision(late[0].time, "HOLD", late[0].price, late[0].label)]
    assert parity(KIND, PARAMS, BARS, late, event_only=True).agreed == 1


def test_nothing_decided_is_nothing_to_compare() -> None:
    found = parity(KIND, PARAMS, BARS, [])
    assert (found.bars, found.decided, found.differences) == (0, 0, ())


@pytest.mark.parametrize("count", [3, 19])
def test_before_there_are_bars_enough_the_desk_holds_still(count: int) -> None:
    decisions = [LiveDecision(int(BARS.time[i]), "HOLD", float(BARS.close[i]), "run") for i in range(count)]
    assert parity(KIND, PARAMS, BARS, decisions).agreed == count
