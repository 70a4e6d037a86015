"""Two of everything at once, on PostgreSQL; each with a control that shows the race without what prevents it."""

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from optimize.adaptation import changing, rounds
from optimize.adaptation.errors import AlreadyAdapting, EventNotOpen, RoundUnderWay
from optimize.adaptation.models import AdaptationEvent, AdaptationRound, LiveAdaptation
from optimize.leases import keeper
from optimize.services import adapting, event_approve, event_reject
from optimize.work import Piece
from tests.agents.autonomous.test_races import at_once
from tests.optimize.adaptation.conftest import BETTER, LIVE, Desk
from tests.support.desk import wait_until
from tradingsite.common.errors import AppError

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]


def without(model: Any, *names: str) -> Callable[[], None]:
    """Take constraints away, and return what puts them back."""
    taken = [each for each in model._meta.constraints if each.name in names]
    assert len(taken) == len(names)
    with connection.schema_editor() as editor:
        for each in taken:
            editor.remove_constraint(model, each)

    def back() -> None:
        with connection.schema_editor() as editor:
            for each in taken:
                editor.add_constraint(model, each)

    return back


def unlocked(adaptation_id: Any) -> LiveAdaptation:
    return LiveAdaptation.objects.select_related("strategy").get(pk=adaptation_id)


def meet(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, seconds: float = 2.0) -> None:
    """Let two go on from here together, or one alone where the other cannot come so far."""
    met, look = threading.Barrier(2), getattr(module, name)

    def then_wait(*args: Any, **kwargs: Any) -> Any:
        found = look(*args, **kwargs)
        with contextlib.suppress(threading.BrokenBarrierError):
            met.wait(seconds)
        return found

    monkeypatch.setattr(module, name, then_wait)


def refusals(results: list[Any]) -> list[type]:
    return [type(each) for each in results if isinstance(each, AppError)]


def test_of_two_starts_of_an_adaptation_one_is_there(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    meet(monkeypatch, adapting, "_searched")
    assert refusals(at_once(2, desk.start)) == [AlreadyAdapting]
    assert LiveAdaptation.objects.count() == 1
    assert LiveAdaptation.objects.get().schedule.deleted_at is None


def test_control_without_the_constraint_two_adaptations_are_there(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    meet(monkeypatch, adapting, "_searched")
    back = without(LiveAdaptation, "live_adaptation_one")
    try:
        at_once(2, desk.start)
        assert LiveAdaptation.objects.count() == 2
    finally:
        LiveAdaptation.objects.all().delete()
        back()


def test_of_two_that_begin_a_round_one_does(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    adaptation = desk.start()
    meet(monkeypatch, rounds, "_hindrance")
    assert refusals(at_once(2, lambda: desk.begin(adaptation))) == [RoundUnderWay]
    assert AdaptationRound.objects.count() == 1


def test_control_without_the_lock_and_the_constraint_two_rounds_begin(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    adaptation = desk.start()
    meet(monkeypatch, rounds, "_hindrance")
    monkeypatch.setattr(rounds, "locked_with_schedule", unlocked)
    back = without(AdaptationRound, "adaptation_round_one")
    try:
        at_once(2, lambda: desk.begin(adaptation))
        assert AdaptationRound.objects.count() == 2
    finally:
        AdaptationRound.objects.all().delete()
        back()


def ended(desk: Desk) -> LiveAdaptation:
    adaptation = desk.start(mode="auto")
    desk.finding.params = BETTER
    desk.carry(desk.begin(adaptation))
    return adaptation


def test_of_many_that_settle_a_round_one_does(desk: Desk) -> None:
    adaptation = ended(desk)
    assert sum(at_once(6, rounds.settle)) == 1
    assert desk.events(adaptation) == [(1, "applied", None)]
    assert desk.params() == BETTER


def test_control_without_the_lock_and_the_constraints_a_round_is_settled_twice(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    adaptation = ended(desk)
    desk.finding.params = None
    monkeypatch.setattr(rounds, "locked_with_schedule", unlocked)
    monkeypatch.setattr(
        rounds, "_concluded", lambda adaptation, row, job: rounds._round_event(adaptation, row, "no_change")
    )
    meet(monkeypatch, rounds, "_has_ended")
    back = without(AdaptationEvent, "adaptation_event_of_round", "adaptation_event_number")
    try:
        at_once(2, rounds.settle)
        assert len(desk.events(adaptation)) == 2
    finally:
        AdaptationEvent.objects.all()._raw_delete(AdaptationEvent.objects.db)
        back()


@pytest.mark.parametrize("other", [event_approve, event_reject])
def test_of_two_people_who_decide_at_once_one_does(desk: Desk, monkeypatch: pytest.MonkeyPatch, other: Any) -> None:
    adaptation = desk.start()
    desk.round(adaptation, BETTER)
    meet(monkeypatch, adapting, "require_active")
    ways = [event_approve, other]
    results = at_once(2, lambda: ways.pop()(actor=desk.actor, adaptation=adaptation, number=1))
    assert refusals(results) == [EventNotOpen]
    [decided] = [each for each in results if isinstance(each, AdaptationEvent)]
    assert len(desk.events(adaptation)) == 2
    assert desk.params() == (BETTER if decided.status == "applied" else LIVE)


def test_control_without_the_lock_and_the_constraint_both_decide(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    adaptation = desk.start()
    desk.round(adaptation, BETTER)
    meet(monkeypatch, adapting, "watches_end")
    monkeypatch.setattr(adapting, "locked", unlocked)
    back = without(AdaptationEvent, "adaptation_event_settled_once", "adaptation_event_number")
    try:
        results = at_once(2, lambda: event_reject(actor=desk.actor, adaptation=adaptation, number=1))
        assert refusals(results) == []
    finally:
        AdaptationEvent.objects.all()._raw_delete(AdaptationEvent.objects.db)
        back()


def test_of_two_that_roll_a_change_back_one_does(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    adaptation = ended(desk)
    rounds.settle()
    event = AdaptationEvent.objects.get()
    meet(monkeypatch, changing, "standing_change")

    def back() -> AdaptationEvent:
        return rounds.take_back(adaptation=adaptation, event=event, trigger="breach", actor=desk.actor, message="Back.")

    assert refusals(at_once(2, back)) == [EventNotOpen]
    assert desk.events(adaptation) == [(1, "applied", None), (2, "rolled_back", 1)]
    assert desk.params() == LIVE


def test_a_stop_ends_the_work_of_a_round_within_two_seconds(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a worker at work in another thread, whose lease is kept as in a process of its own."""
    monkeypatch.setattr(keeper, "_thread", None)
    adaptation, at_work, never = desk.start(mode="auto"), threading.Event(), threading.Event()

    def work(piece: Piece) -> None:
        at_work.set()
        for _ in range(1500):
            piece.check()
            never.wait(0.02)

    desk.finding.during, desk.finding.params = work, BETTER
    row = desk.begin(adaptation)

    def carry() -> None:
        try:
            desk.carry(row)
        finally:
            connection.close()

    worker = threading.Thread(target=carry)
    worker.start()
    assert at_work.wait(20)
    desk.stop(adaptation)
    began = time.monotonic()
    worker.join(30)
    assert time.monotonic() - began < 2.0
    wait_until("the keeper to rest", lambda: not keeper._leases, seconds=10)
    assert rounds.settle() == 0
    assert desk.events(adaptation) == [(1, "cancelled", None)]
    assert desk.params() == LIVE
