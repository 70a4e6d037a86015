"""The decision itself, over any sequence of observations: told on every crossing, once, and never for want of data."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from safety.alerting.observations import Change, Crossing, Gap, Rule, Seen, Stored, judge
from tradingsite.common.ids import uuid7

START = datetime(2026, 1, 1, tzinfo=UTC)
BOTH = Crossing(up=True, down=True)
# What a look may find: the condition holds, does not, lies on the line, or cannot be told.
LOOKS = st.lists(st.sampled_from([True, False, None, "gap"]), max_size=40)


def rule(**changes: Any) -> Rule:
    said: dict[str, Any] = {
        "id": uuid7(), "version": 1, "kind": "price_above", "name": "r", "symbol": "A", "threshold": Decimal(1),
        "config": {}, "severity": "info", "cooldown_s": 0, "snoozed_until": None, "channels": ("in_app",),
        "created_by_id": None, "watched_since": START, **changes,
    }  # fmt: skip
    return Rule(**said)


def found(look: object, at: datetime) -> Seen | Gap:
    if look == "gap":
        return Gap("NO_PRICE", "none")
    return Seen(look, Decimal(1), Decimal(1), at, lambda: "text")  # type: ignore[arg-type]


def gone_through(looks: list[object], crossing: Crossing | None, **changes: Any) -> tuple[list[int], Stored, int]:
    """Return at which looks an alert was raised, the last state, and how many looks were written."""
    stored, told, written = Stored(), [], 0
    subject = rule(**changes)
    for place, look in enumerate(looks):
        now = START + timedelta(seconds=place)
        change = judge(subject, stored, found(look, now), crossing=crossing, now=now)
        if change is not None:
            assert isinstance(change, Change)
            assert change.after.revision == stored.revision + 1
            stored, written = change.after, written + 1
            if change.fires:
                told.append(place)
    return told, stored, written


def flips(looks: list[object]) -> list[tuple[int, bool, bool | None]]:
    """Return each place at which the definite answer changed, what it became and what it was."""
    result: list[tuple[int, bool, bool | None]] = []
    before: bool | None = None
    for place, look in enumerate(looks):
        if isinstance(look, bool) and look is not before:
            result.append((place, look, before))
            before = look
    return result


@given(LOOKS)
def test_a_level_is_told_at_each_change_to_holding_and_at_no_other(looks: list[object]) -> None:
    told, stored, _ = gone_through(looks, None)
    assert told == [place for place, now, _ in flips(looks) if now]
    assert stored.triggered_count == len(told)


@given(LOOKS)
def test_a_crossing_is_told_at_each_change_of_side_but_the_first(looks: list[object]) -> None:
    told, _, _ = gone_through(looks, BOTH)
    assert told == [place for place, _, before in flips(looks) if before is not None]


@given(LOOKS, st.booleans())
def test_a_crossing_in_one_direction_is_told_in_that_alone(looks: list[object], up: bool) -> None:
    told, _, _ = gone_through(looks, Crossing(up=up, down=not up))
    assert told == [place for place, now, before in flips(looks) if before is not None and now is up]


@given(LOOKS)
def test_the_same_answer_again_writes_nothing(looks: list[object]) -> None:
    once = gone_through(looks, None)
    doubled = gone_through([look for look in looks for _ in range(3)], None)
    assert (len(doubled[0]), doubled[2]) == (len(once[0]), once[2])


@given(LOOKS)
def test_a_look_without_data_is_never_taken_for_a_no(looks: list[object]) -> None:
    _, stored, _ = gone_through([*looks, "gap"], None)
    assert stored.problem == "NO_PRICE"
    _, before, _ = gone_through(looks, None)
    assert stored.met == before.met


@given(LOOKS, st.integers(0, 20))
def test_a_cool_down_loses_no_count_and_lets_none_through_too_soon(looks: list[object], seconds: int) -> None:
    told, stored, _ = gone_through(looks, None, cooldown_s=seconds)
    free, _, _ = gone_through(looks, None)
    assert set(told) <= set(free)
    assert stored.triggered_count + stored.suppressed_count == len(free)
    assert all(later - earlier >= seconds for earlier, later in pairwise(told))
    assert told[:1] == free[:1]


@given(LOOKS)
def test_a_snoozed_rule_tells_nothing_and_counts(looks: list[object]) -> None:
    told, stored, _ = gone_through(looks, None, snoozed_until=START + timedelta(days=1))
    free, _, _ = gone_through(looks, None)
    assert (told, stored.suppressed_count) == ([], len(free))


@given(LOOKS, st.integers(1, 30))
def test_an_observation_from_before_what_was_seen_changes_nothing(looks: list[object], seconds: int) -> None:
    _, stored, _ = gone_through(looks, BOTH)
    if stored.observed_at is None:
        return
    old = stored.observed_at - timedelta(seconds=seconds)
    for look in (True, False, None):
        assert judge(rule(), stored, found(look, old), crossing=BOTH, now=START + timedelta(days=1)) is None
