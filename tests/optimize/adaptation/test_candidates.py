"""Which parameters a round may propose."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimize.adaptation import candidates as module
from optimize.adaptation.candidates import CANDIDATES_MAX, candidates, most_candidates
from optimize.adaptation.clamping import within
from tests.optimize.adaptation.kinds import decided, spaces
from tradingsite.common.errors import ValidationFailed
from workflows.strategies import StrategyType, strategy_types
from workflows.strategies.rules import Value

MOMENTUM = strategy_types.get("momentum")
LIVE: dict[str, Value] = {"lookback": 60, "threshold": 2.0, "exit_threshold": -1.0}


@given(decided(), st.data(), st.floats(0, 100))
def test_every_candidate_is_within_reach_in_the_range_and_on_the_way_to_the_space(
    decided: tuple[StrategyType, dict[str, Value]], data: st.DataObject, pct: float
) -> None:
    kind, live = decided
    space = data.draw(spaces(kind))
    found = candidates(kind, live, space, pct)
    assert found[0] == live
    assert len({tuple(sorted(each.items())) for each in found}) == len(found) <= most_candidates(kind, space)
    asked = kind.grid if space is None else space
    for each in found:
        assert within(kind, live, each, pct) == []
        assert kind.clean(each) == each
        for name, value in each.items():
            wanted = [live[name], *asked.get(name, ())]
            assert min(wanted) <= value <= max(wanted)
            assert value == live[name] or name in asked


def test_values_beyond_reach_become_its_edge_and_what_is_live_may_stay() -> None:
    found = candidates(MOMENTUM, LIVE, {"lookback": [20, 63, 126]}, 10)
    assert [each["lookback"] for each in found] == [60, 54, 63, 66]
    assert all({**each, "lookback": 60} == LIVE for each in found)


def test_several_rounds_travel_to_what_one_cannot_reach() -> None:
    live, travelled = dict(LIVE), []
    for _ in range(8):
        live = min(candidates(MOMENTUM, live, {"lookback": [21]}, 20), key=lambda each: each["lookback"])
        travelled.append(live["lookback"])
    assert travelled == [48, 39, 32, 26, 21, 21, 21, 21]


def test_what_breaks_a_constraint_is_no_candidate() -> None:
    space = {"threshold": [1.0, 3.0], "exit_threshold": [-2.0, 2.5]}
    found = candidates(MOMENTUM, {**LIVE, "threshold": 2.0, "exit_threshold": 2.0}, space, 50)
    assert {(each["threshold"], each["exit_threshold"]) for each in found} == {
        (2.0, 2.0), (2.0, 1.0), (1.0, 1.0), (3.0, 2.0), (3.0, 2.5), (3.0, 1.0),
    }  # fmt: skip


@pytest.mark.parametrize(("space", "pct"), [({"lookback": [60]}, 50), ({}, 50), (None, 0), ({"lookback": [500]}, 1)])
def test_where_nothing_may_move_the_live_parameters_are_alone(space: dict[str, list[Value]] | None, pct: float) -> None:
    assert candidates(MOMENTUM, LIVE, space, pct) == [LIVE]


def test_a_space_of_tuples_is_as_good_as_one_of_lists() -> None:
    assert candidates(MOMENTUM, LIVE, {"lookback": (54, 66)}, 10) == candidates(
        MOMENTUM, LIVE, {"lookback": [54, 66]}, 10
    )


@pytest.mark.parametrize(
    ("space", "pointer"),
    [
        ({"luck": [1]}, "search_space/luck"),
        ({"lookback": []}, "search_space/lookback"),
        ({"lookback": [60, 1.5]}, "search_space/lookback/1"),
        ({"lookback": 60}, "search_space/lookback"),
        ({"lookback": list(range(40, 81)), "threshold": [1 + step / 50 for step in range(100)]}, "search_space"),
        ({name: [step / 50 - 2 for step in range(490)] for name in ("threshold", "exit_threshold")}, "search_space"),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused_and_named(space: dict[str, list[Value]], pointer: str) -> None:
    with pytest.raises(ValidationFailed) as caught:
        candidates(MOMENTUM, LIVE, space, 100)
    assert [error.pointer for error in caught.value.errors] == [pointer]


def test_the_most_candidates_are_just_let_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    space: dict[str, list[Value]] = {"lookback": [58, 59, 61, 62]}
    assert most_candidates(MOMENTUM, space) == 5 <= CANDIDATES_MAX
    monkeypatch.setattr(module, "CANDIDATES_MAX", 5)
    assert len(candidates(MOMENTUM, LIVE, space, 50)) == 5
    monkeypatch.setattr(module, "CANDIDATES_MAX", 4)
    with pytest.raises(ValidationFailed):
        candidates(MOMENTUM, LIVE, space, 50)
