"""What becomes of an event: approved or rejected once, and rolled back exactly, never over somebody else's change."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optimize.adaptation import rounds
from optimize.adaptation.choices import Trigger
from optimize.adaptation.clamping import within
from optimize.adaptation.errors import (
    AdaptationStopped,
    ChangeTooLarge,
    EventNotFound,
    EventNotOpen,
    ParametersChanged,
)
from optimize.adaptation.models import AdaptationEvent, LiveAdaptation
from optimize.services import event_approve, event_reject, event_rollback, live_stop
from safety.models import AuditLog
from tests.optimize.adaptation.conftest import BETTER, LIVE, Desk
from tradingsite.common.actor import Actor
from tradingsite.common.errors import PermissionDenied, ValidationFailed
from workflows.services import strategy_update
from workflows.strategies import strategy_types

pytestmark = pytest.mark.django_db

OTHER = {"fast": 8, "slow": 40}


@pytest.fixture
def proposed(desk: Desk) -> LiveAdaptation:
    """An adaptation with a proposal that waits, event 1."""
    adaptation = desk.start()
    assert desk.round(adaptation, BETTER).status == "proposed"
    return adaptation


@pytest.fixture
def applied(desk: Desk) -> LiveAdaptation:
    """An adaptation that has applied BETTER in event 1."""
    adaptation = desk.start(mode="auto")
    assert desk.round(adaptation, BETTER).status == "applied"
    return adaptation


def param_text(desk: Desk) -> str:
    return json.dumps(desk.again().param)


def test_an_approved_proposal_is_live_and_watched(desk: Desk, proposed: LiveAdaptation) -> None:
    event = event_approve(actor=desk.actor, adaptation=proposed, number=1, reason="Looks good.")
    assert (event.status, event.about, event.trigger) == ("applied", 1, Trigger.DECISION)
    assert (event.applied_params, event.live_params, event.actor_name) == (BETTER, LIVE, desk.actor.name)
    assert event.version_after == (event.version_before or 0) + 1
    assert desk.params() == BETTER
    assert desk.watches(proposed) == [(1, False, "ended"), (2, True, "watching")]
    assert AuditLog.objects.get(action="adaptation.applied").reason == "Looks good."
    assert [told["status"] for told in desk.told("adaptation_result")] == ["proposed", "applied"]


def test_a_rejected_proposal_changes_nothing(desk: Desk, proposed: LiveAdaptation) -> None:
    event = event_reject(actor=desk.actor, adaptation=proposed, number=1)
    assert (event.status, event.about) == ("rejected", 1)
    assert desk.params() == LIVE
    assert desk.watches(proposed) == [(1, False, "ended")]


@pytest.mark.parametrize("first", [event_approve, event_reject])
@pytest.mark.parametrize("second", [event_approve, event_reject])
def test_a_proposal_is_decided_on_once(desk: Desk, proposed: LiveAdaptation, first: Any, second: Any) -> None:
    first(actor=desk.actor, adaptation=proposed, number=1)
    with pytest.raises(EventNotOpen):
        second(actor=desk.actor, adaptation=proposed, number=1)
    assert AdaptationEvent.objects.count() == 2


def test_only_a_proposal_that_waits_can_be_decided_on(desk: Desk) -> None:
    adaptation = desk.start(mode="suggest")
    desk.round(adaptation, BETTER)
    with pytest.raises(EventNotOpen):
        event_approve(actor=desk.actor, adaptation=adaptation, number=1)
    with pytest.raises(EventNotFound):
        event_approve(actor=desk.actor, adaptation=adaptation, number=2)
    assert desk.params() == LIVE


def test_a_superseded_proposal_cannot_be_approved(desk: Desk, proposed: LiveAdaptation) -> None:
    desk.round(proposed, OTHER)
    with pytest.raises(EventNotOpen):
        event_approve(actor=desk.actor, adaptation=proposed, number=1)
    event_approve(actor=desk.actor, adaptation=proposed, number=3)
    assert desk.params() == OTHER


def test_a_proposal_is_not_applied_over_somebody_else_s_change(desk: Desk, proposed: LiveAdaptation) -> None:
    desk.set(quick=9)
    with pytest.raises(ParametersChanged):
        event_approve(actor=desk.actor, adaptation=proposed, number=1)
    assert desk.params() == {"fast": 9, "slow": 40}
    assert desk.events(proposed) == [(1, "proposed", None)]
    assert desk.watches(proposed) == [(1, False, "watching")]
    # Once it is as it was, it may be.
    desk.set()
    event_approve(actor=desk.actor, adaptation=proposed, number=1)
    assert desk.params() == BETTER


def test_a_proposal_for_other_symbols_is_not_applied(desk: Desk, proposed: LiveAdaptation) -> None:
    strategy_update(actor=desk.actor, strategy_id=desk.strategy.pk, changes={"symbols": ["ACME", "IBM"]})
    with pytest.raises(ParametersChanged, match="other symbols"):
        event_approve(actor=desk.actor, adaptation=proposed, number=1)


def test_the_last_look_before_an_approval_keeps_the_bound(desk: Desk, proposed: LiveAdaptation) -> None:
    LiveAdaptation.objects.filter(pk=proposed.pk).update(max_param_change_pct=1)
    with pytest.raises(ChangeTooLarge, match="fast"):
        event_approve(actor=desk.actor, adaptation=proposed, number=1)
    assert desk.params() == LIVE


@pytest.mark.parametrize("decide", [event_approve, event_reject, event_rollback])
def test_nothing_of_a_stopped_adaptation_is_decided_any_more(desk: Desk, applied: LiveAdaptation, decide: Any) -> None:
    live_stop(actor=desk.actor, adaptation=applied)
    with pytest.raises(AdaptationStopped):
        decide(actor=desk.actor, adaptation=applied, number=1)
    assert desk.params() == BETTER


@pytest.mark.parametrize("decide", [event_approve, event_reject, event_rollback])
def test_only_its_owner_and_operators_decide(desk: Desk, proposed: LiveAdaptation, decide: Any) -> None:
    with pytest.raises(PermissionDenied):
        decide(actor=Actor(kind="user", name="x", user_id=None, role=desk.actor.role), adaptation=proposed, number=1)


def test_an_operator_approves_what_a_trader_started(
    desk: Desk, proposed: LiveAdaptation, operator_actor: Actor
) -> None:
    event_approve(actor=operator_actor, adaptation=proposed, number=1)
    assert desk.params() == BETTER


def test_a_rollback_restores_exactly_what_was_there(desk: Desk) -> None:
    # Written in another order, and with what stands for the default.
    desk.set(slow=40, quick=10)
    before = param_text(desk)
    adaptation = desk.start(mode="auto")
    desk.round(adaptation, BETTER)
    assert param_text(desk) != before
    event = event_rollback(actor=desk.actor, adaptation=adaptation, number=1, reason="I do not trust it.")
    assert param_text(desk) == before
    assert (event.status, event.about, event.applied_params, event.live_params) == ("rolled_back", 1, LIVE, BETTER)
    assert event.version_after == (event.version_before or 0) + 1
    assert desk.watches(adaptation) == [(1, True, "ended")]
    assert desk.told("adaptation_result")[-1]["status"] == "rolled_back"


def test_a_change_is_rolled_back_once(desk: Desk, applied: LiveAdaptation) -> None:
    event_rollback(actor=desk.actor, adaptation=applied, number=1)
    with pytest.raises(EventNotOpen):
        event_rollback(actor=desk.actor, adaptation=applied, number=1)
    assert desk.events(applied) == [(1, "applied", None), (2, "rolled_back", 1)]


def test_only_the_newest_change_that_stands_is_rolled_back_and_then_the_one_before(desk: Desk) -> None:
    before = param_text(desk)
    adaptation = desk.start(mode="auto")
    desk.round(adaptation, BETTER)
    between = param_text(desk)
    desk.round(adaptation, OTHER)
    with pytest.raises(EventNotOpen, match="event 2"):
        event_rollback(actor=desk.actor, adaptation=adaptation, number=1)
    event_rollback(actor=desk.actor, adaptation=adaptation, number=2)
    assert param_text(desk) == between
    event_rollback(actor=desk.actor, adaptation=adaptation, number=1)
    assert param_text(desk) == before


@pytest.mark.parametrize("changes", [{"param": {"quick": 12, "slow": 39}}, {"symbols": ["IBM"]}])
def test_nothing_is_rolled_back_over_somebody_else_s_change(
    desk: Desk, applied: LiveAdaptation, changes: dict[str, Any]
) -> None:
    strategy_update(actor=desk.actor, strategy_id=desk.strategy.pk, changes=changes)
    after = (param_text(desk), desk.again().symbols)
    with pytest.raises(ParametersChanged):
        event_rollback(actor=desk.actor, adaptation=applied, number=1)
    assert (param_text(desk), desk.again().symbols) == after
    assert desk.watches(applied) == [(1, True, "watching")]


def test_a_renamed_strategy_can_be_rolled_back(desk: Desk, applied: LiveAdaptation) -> None:
    strategy_update(actor=desk.actor, strategy_id=desk.strategy.pk, changes={"name": "Ours"})
    event_rollback(actor=desk.actor, adaptation=applied, number=1)
    assert desk.params() == LIVE
    assert desk.again().name == "Ours"


def test_a_broken_promise_takes_the_change_back_as_such(desk: Desk, applied: LiveAdaptation) -> None:
    event = rounds.take_back(
        adaptation=applied,
        event=AdaptationEvent.objects.get(),
        trigger=Trigger.BREACH,
        actor=Actor.system("watch"),
        message="It fell below its floor.",
    )
    assert (event.trigger, event.message, event.actor_name) == ("breach", "It fell below its floor.", "watch")
    assert desk.params() == LIVE
    assert desk.watches(applied) == [(1, True, "breached")]


def test_a_proposal_that_stood_on_what_was_rolled_back_is_closed(desk: Desk, applied: LiveAdaptation) -> None:
    LiveAdaptation.objects.filter(pk=applied.pk).update(mode="approve")
    desk.round(applied, {"fast": 10, "slow": 40})
    event_rollback(actor=desk.actor, adaptation=applied, number=1)
    assert desk.events(applied) == [
        (1, "applied", None),
        (2, "proposed", None),
        (3, "rolled_back", 1),
        (4, "superseded", 2),
    ]
    assert desk.watches(applied) == [(1, True, "ended"), (2, False, "ended")]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pct=st.floats(0.5, 100),
    live=st.fixed_dictionaries({"fast": st.integers(2, 30), "slow": st.integers(31, 60)}),
    found=st.fixed_dictionaries({"fast": st.integers(2, 60), "slow": st.integers(3, 80)}),
    mode=st.sampled_from(["auto", "approve"]),
)
def test_no_path_moves_a_parameter_further_than_it_may(
    desk: Desk, pct: float, live: dict[str, int], found: dict[str, int], mode: str
) -> None:
    """Whatever a round claims to have found, within reach or beyond it."""
    desk.set(quick=live["fast"], slow=live["slow"])
    # Of each parameter it may stay, so that there is always something to compare.
    adaptation = desk.start(
        mode=mode, max_param_change_pct=pct, trailing_window=250, search_space={"fast": [live["fast"]], "slow": [60]}
    )
    try:
        event = desk.round(adaptation, found)
        if event.status == "proposed":
            event_approve(actor=desk.actor, adaptation=adaptation, number=event.number)
    except ValidationFailed:
        # Averages in the wrong order are refused by the strategy itself.
        assert found["fast"] >= found["slow"]
    finally:
        desk.stop(adaptation)
    after, kind = desk.params(), strategy_types.get("sma_crossover")
    assert within(kind, live, after, pct) == []
    fits = within(kind, live, found, pct) == [] and found["fast"] < found["slow"]
    assert after == (found if fits else live)
