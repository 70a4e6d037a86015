"""The pure engine of drift: weights that add up, and a watch that does not flap."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolio.drift import RECOVERY, Held, Watch, measure, watched

AT = datetime(2026, 1, 5, tzinfo=UTC)
THRESHOLD = Decimal("0.05")
D = Decimal

symbols = st.sampled_from(["ACME", "BETA", "GAMMA", "DELTA"])
weights = st.dictionaries(symbols, st.decimals("0.01", "0.25", places=4))
holdings = st.dictionaries(
    symbols,
    st.builds(Held, quantity=st.decimals("-100", "100", places=2), value=st.decimals("-1000", "5000", places=2)),
)
totals = st.lists(st.decimals("0", "0.1", places=4), max_size=60)


def test_drift_is_current_minus_target_and_the_total_is_what_would_change_hands() -> None:
    held = {"ACME": Held(D(10), D(700)), "GONE": Held(D(1), D(100))}
    found = measure({"ACME": D("0.5"), "BETA": D("0.3")}, held, cash=D(200))
    assert found is not None
    assert [(a.symbol, a.current_weight, a.drift, a.outside) for a in found.allocations] == [
        ("ACME", D("0.7"), D("0.2"), False),
        ("BETA", D(0), D("-0.3"), False),
        ("GONE", D("0.1"), D("0.1"), True),
    ]
    assert (found.cash_weight, found.cash_target) == (D("0.2"), D("0.2"))
    assert found.total == D("0.3")


@pytest.mark.parametrize("cash", [D(0), D(-1)])
def test_without_equity_nothing_is_measured(cash: Decimal) -> None:
    assert measure({"ACME": D("0.5")}, {}, cash=cash) is None


@given(weights, holdings, st.decimals("1", "10000", places=2))
def test_the_drifts_of_all_symbols_and_cash_add_up_to_nothing(
    targets: dict[str, Decimal], held: dict[str, Held], cash: Decimal
) -> None:
    found = measure(targets, held, cash=cash)
    if found is None:
        assert cash + sum(position.value for position in held.values()) <= 0
        return
    rounding = D("1e-9")
    drifts = [allocation.drift for allocation in found.allocations]
    assert abs(sum(drifts, found.cash_weight - found.cash_target)) <= rounding
    assert all(abs(drift) <= found.total + rounding for drift in drifts), "no symbol drifts further than the total"
    assert {a.symbol for a in found.allocations} == {*targets, *held}


def looks(totals: Sequence[Decimal]) -> list[bool]:
    """Return after each look whether the goal is over, as remembered from the looks before."""
    watch, over = Watch(), []
    for number, total in enumerate(totals):
        watch = watched(watch, total=total, threshold=THRESHOLD, at=AT + timedelta(minutes=number))
        over.append(watch.over_since is not None)
    return over


def alerts(over: Sequence[bool]) -> list[int]:
    return [n for n, now in enumerate(over) if now and not (n and over[n - 1])]


@given(totals)
def test_no_sequence_flaps_between_two_alerts_the_drift_has_recovered(totals: list[Decimal]) -> None:
    over = looks(totals)
    raised = alerts(over)
    for first, second in pairwise(raised):
        assert min(totals[first:second]) <= THRESHOLD * RECOVERY
    for n in raised:
        assert totals[n] > THRESHOLD
    recovered = [n for n in range(1, len(over)) if over[n - 1] and not over[n]]
    assert all(totals[n] <= THRESHOLD * RECOVERY for n in recovered)


@given(totals)
def test_what_goes_above_the_threshold_is_always_told(totals: list[Decimal]) -> None:
    assert all(now for now, total in zip(looks(totals), totals, strict=True) if total > THRESHOLD)
    assert not any(now for now, total in zip(looks(totals), totals, strict=True) if total <= THRESHOLD * RECOVERY)


@given(st.lists(st.decimals(THRESHOLD * RECOVERY + D("0.0001"), "0.1", places=4), max_size=60))
def test_a_drift_that_trembles_about_its_threshold_is_told_once_at_most(totals: list[Decimal]) -> None:
    assert len(alerts(looks(totals))) <= 1


def test_since_when_is_the_first_look_above_the_threshold() -> None:
    first = watched(Watch(), total=D("0.06"), threshold=THRESHOLD, at=AT)
    later = watched(first, total=D("0.09"), threshold=THRESHOLD, at=AT + timedelta(days=1))
    assert first.over_since == later.over_since == AT
    assert watched(later, total=D("0.04"), threshold=THRESHOLD, at=AT + timedelta(days=2)) == Watch()


def test_exactly_at_the_threshold_is_not_over() -> None:
    assert watched(Watch(), total=THRESHOLD, threshold=THRESHOLD, at=AT) == Watch()
