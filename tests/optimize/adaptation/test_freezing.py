"""While the kill switch is set, cannot be read, or an account is blocked, nothing begins and nothing is changed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model

from optimize.adaptation import rounds
from optimize.adaptation.choices import Trigger
from optimize.adaptation.errors import AdaptationFrozen
from optimize.adaptation.freezing import frozen, frozen_each
from optimize.adaptation.models import AdaptationEvent, AdaptationRound
from optimize.services import event_approve, event_reject, event_rollback
from safety import sentinel
from safety import services as safety
from safety.models import AlertEvent
from tests.optimize.adaptation.conftest import BETTER, LIVE, Desk
from tradingsite.common.actor import Actor
from tradingsite.common.contracts.jobs import Skipped
from tradingsite.common.ids import uuid7

pytestmark = pytest.mark.django_db

DESK = Actor.system("tests")
Freeze = Callable[[Desk], None]


def kill_all(desk: Desk) -> None:
    safety.kill(actor=DESK, reason="Stop.")


def kill_this(desk: Desk) -> None:
    safety.kill(actor=DESK, reason="Stop.", scope=desk.strategy.pk)


def block(desk: Desk) -> None:
    safety.reconciliation_block(actor=DESK, account_id=uuid7(), code="POSITION_MISMATCH", detail="10 here, 0 there")


FREEZES = [(kill_all, "KILL_SWITCH_ACTIVE"), (kill_this, "KILL_SWITCH_ACTIVE"), (block, "RECONCILIATION_BLOCKED")]


@pytest.mark.parametrize(("freeze", "code"), FREEZES)
def test_it_is_told_why(desk: Desk, freeze: Freeze, code: str) -> None:
    assert frozen(desk.strategy.pk) is None
    freeze(desk)
    found = frozen(desk.strategy.pk)
    assert found is not None
    assert found.code == code
    assert found.detail
    other = uuid7()
    each = frozen_each([desk.strategy.pk, other])
    assert each[desk.strategy.pk] == found
    assert (each[other] is None) == (freeze is kill_this)


@pytest.mark.parametrize(("freeze", "code"), FREEZES)
def test_no_round_begins(desk: Desk, freeze: Freeze, code: str) -> None:
    adaptation = desk.start()
    freeze(desk)
    with pytest.raises(AdaptationFrozen):
        desk.begin(adaptation)
    for trigger in (Trigger.SCHEDULE, Trigger.REGIME_CHANGE):
        found = rounds.round_start(adaptation_id=adaptation.pk, trigger=trigger, actor=DESK)
        assert isinstance(found, Skipped)
        assert found.code == "ADAPTATION_FROZEN"
    assert not AdaptationRound.objects.exists()


@pytest.mark.parametrize(("freeze", "code"), FREEZES)
def test_what_was_found_is_written_down_and_not_applied(desk: Desk, freeze: Freeze, code: str) -> None:
    adaptation = desk.start(mode="auto")
    desk.finding.params = BETTER
    desk.carry(desk.begin(adaptation))
    freeze(desk)
    rounds.settle()
    event = AdaptationEvent.objects.get()
    assert (event.status, event.code, event.proposed_params, event.applied_params) == ("frozen", code, BETTER, None)
    assert desk.params() == LIVE
    assert desk.watches(adaptation) == []
    assert AlertEvent.objects.filter(kind="adaptation", severity="warning").count() == 1


@pytest.mark.parametrize(("freeze", "code"), FREEZES)
def test_a_proposal_is_not_applied_but_may_be_rejected(desk: Desk, freeze: Freeze, code: str) -> None:
    adaptation = desk.start()
    desk.round(adaptation, BETTER)
    freeze(desk)
    with pytest.raises(AdaptationFrozen) as refused:
        event_approve(actor=desk.actor, adaptation=adaptation, number=1)
    assert refused.value.extra["frozen"]["code"] == code
    assert desk.params() == LIVE
    event_reject(actor=desk.actor, adaptation=adaptation, number=1)


@pytest.mark.parametrize(("freeze", "code"), FREEZES)
@pytest.mark.parametrize("trigger", [Trigger.DECISION, Trigger.BREACH])
def test_nothing_is_rolled_back(desk: Desk, freeze: Freeze, code: str, trigger: str) -> None:
    adaptation = desk.start(mode="auto")
    event = desk.round(adaptation, BETTER)
    freeze(desk)
    with pytest.raises(AdaptationFrozen):
        rounds.take_back(adaptation=adaptation, event=event, trigger=trigger, actor=DESK, message="Back.")
    assert desk.params() == BETTER
    assert desk.watches(adaptation) == [(1, True, "watching")]


def test_thawed_it_goes_on(desk: Desk, operator_actor: Actor) -> None:
    adaptation = desk.start(mode="auto")
    desk.round(adaptation, BETTER)
    kill_this(desk)
    safety.resume(actor=operator_actor, reason="All is well.", scope=desk.strategy.pk)
    event_rollback(actor=desk.actor, adaptation=adaptation, number=1)
    assert desk.params() == LIVE


def test_a_switch_that_cannot_be_read_freezes(desk: Desk, monkeypatch: pytest.MonkeyPatch, data_dir: Path) -> None:
    adaptation = desk.start(mode="auto")
    desk.finding.params = BETTER
    desk.carry(desk.begin(adaptation))

    def unreadable(*args: Any) -> bool:
        raise OSError("no such disk")

    monkeypatch.setattr(sentinel, "is_set", unreadable)
    rounds.settle()
    assert desk.events(adaptation) == [(1, "frozen", None)]
    assert desk.params() == LIVE
    with pytest.raises(AdaptationFrozen):
        desk.begin(adaptation)


def test_a_freeze_between_the_first_look_and_the_change_is_seen(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    adaptation = desk.start(mode="auto")
    desk.finding.params = BETTER
    desk.carry(desk.begin(adaptation))
    look = rounds.held

    def then_kill(found: Any) -> Any:
        said = look(found)
        kill_this(desk)
        return said

    monkeypatch.setattr(rounds, "held", then_kill)
    rounds.settle()
    assert desk.events(adaptation) == [(1, "frozen", None)]
    assert desk.params() == LIVE


def test_the_desk_does_nothing_by_itself_for_somebody_who_may_not_trade_any_more(desk: Desk) -> None:
    adaptation = desk.start(mode="auto")
    desk.finding.params = BETTER
    desk.carry(desk.begin(adaptation))
    get_user_model().objects.get(pk=desk.actor.user_id).groups.clear()
    rounds.settle()
    event = AdaptationEvent.objects.get()
    assert (event.status, event.code) == ("frozen", "OWNER_NOT_ALLOWED")
    assert desk.params() == LIVE
    found = rounds.round_start(adaptation_id=adaptation.pk, trigger=Trigger.REGIME_CHANGE, actor=DESK)
    assert isinstance(found, Skipped)
