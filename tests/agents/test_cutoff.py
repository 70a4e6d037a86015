"""What a reader of a decision must know of the models' training."""

from dataclasses import replace
from decimal import Decimal

import pytest
from rest_framework import serializers

from agents.team.cutoff import remarked, remarks
from agents.team.words import Code, Member, ModelRef, Outcome, Provider, Role, Task, Team
from workflows.agent_section import ModelConfigSerializer

TASK = Task("ACME", "Decide.", Decimal(100), "2024-03-05T14:30:00Z")


def team(**cutoffs: str) -> Team:
    members = [
        Member(name, Role.ANALYST, "Think.", model=ModelRef(Provider.OPENAI, model=name, training_cutoff=cutoff))
        for name, cutoff in cutoffs.items()
    ]
    return Team((*members, Member("Rules", Role.DECISION, "Decide.")))


@pytest.mark.parametrize(
    ("cutoff", "codes"),
    [
        ("2024-03-04", []),
        ("2024-03-05", [Code.BEFORE_TRAINING_CUTOFF]),
        ("2025-01-01", [Code.BEFORE_TRAINING_CUTOFF]),
        ("", [Code.TRAINING_CUTOFF_UNKNOWN]),
    ],
)
def test_a_model_that_was_trained_on_the_day_of_the_bar_or_later_may_know_what_came_next(
    cutoff: str, codes: list[Code]
) -> None:
    assert list(remarks(team(some=cutoff), TASK)) == codes


def test_the_desks_own_rules_learnt_nothing() -> None:
    assert remarks(team(), TASK) == {}


def test_each_model_is_named_once_and_a_hold_for_a_failure_stays_as_it_is() -> None:
    both = team(one="2030-01-01", other="")
    sound = Outcome("ACME", {"action": "BUY", "confidence": 0.5, "reason": "It rises."})
    found = remarked(sound, both, TASK, most=2000)
    assert found.decision is not None
    assert found.decision["reason"].count("one was trained until") == 1
    assert found.warnings == (Code.BEFORE_TRAINING_CUTOFF, Code.TRAINING_CUTOFF_UNKNOWN)
    failed = Outcome("ACME", None, code=Code.MODEL_TIMED_OUT)
    assert remarked(failed, both, TASK, most=2000) is failed


def test_a_long_reason_makes_room_for_the_remark() -> None:
    sound = Outcome("ACME", {"action": "BUY", "confidence": 0.5, "reason": "x" * 2000})
    found = remarked(sound, replace(team(one="2030-01-01")), TASK, most=2000)
    assert found.decision is not None
    assert len(found.decision["reason"]) == 2000
    assert found.decision["reason"].endswith("it may know what came next.")


@pytest.mark.parametrize("day", ["2025-13-01", "2025-6-1", "June 2025", "2025-06-31T00:00"])
def test_a_day_that_is_none_is_refused(day: str) -> None:
    serializer = ModelConfigSerializer(data={"model": "m", "training_cutoff": day})
    with pytest.raises(serializers.ValidationError):
        serializer.is_valid(raise_exception=True)
    assert "training_cutoff" in serializer.errors
