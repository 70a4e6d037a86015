"""Rounds by the clock: once for each time, skipped with a reason where none begins, and the fire ends with the round."""

import pytest

from optimize.adaptation import rounds
from optimize.adaptation.models import AdaptationRound, LiveAdaptation
from optimize.choices import JobStatus
from optimize.models import OptimizationJob
from scheduler import firing
from scheduler.models import Schedule, ScheduleFire
from scheduler.services import schedule_create, schedule_restore, schedule_run, schedule_switch, schedule_update
from tests.conftest import user_with_role
from tests.optimize.adaptation.conftest import BETTER, Desk, walk_rows
from tests.optimize.adaptation.test_freezing import kill_all
from tests.portfolio.conftest import Prices
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow
from tradingsite.common.roles import Role

pytestmark = pytest.mark.django_db


def by_the_clock(adaptation: LiveAdaptation) -> ScheduleFire:
    """Let the schedule be due now, and two clocks look."""
    minute = utcnow().replace(second=0, microsecond=0)
    due = {"cron": "* * * * *", "next_run_at": minute, "due_at": minute, "created_at": minute, "misfire_grace_s": 3600}
    Schedule.objects.filter(pk=adaptation.schedule_id).update(**due)
    assert firing.tick() == 1
    Schedule.objects.filter(pk=adaptation.schedule_id).update(next_run_at=minute, due_at=minute)
    firing.tick()
    found: ScheduleFire = adaptation.schedule.fires.get(nominal_at=minute)
    return found


def fire(adaptation: LiveAdaptation) -> ScheduleFire:
    """Fire the schedule now."""
    return schedule_run(actor=Actor.system("tests"), schedule_id=adaptation.schedule_id)


def test_a_time_begins_one_round_and_the_fire_ends_with_it(desk: Desk) -> None:
    adaptation = desk.start(mode="auto")
    desk.finding.params = BETTER
    begun = by_the_clock(adaptation)
    row = AdaptationRound.objects.get()
    assert (begun.status, begun.run_id, row.trigger) == ("running", row.pk, "schedule")
    assert row.actor_name == f"schedule {adaptation.schedule.name}"
    desk.carry(row)
    rounds.settle()
    begun.refresh_from_db()
    assert begun.status == "completed"
    assert begun.result == {
        "round_id": str(row.pk),
        "job_id": str(row.job_id),
        "event": 1,
        "status": "applied",
    }
    assert desk.events(adaptation) == [(1, "applied", None)]
    assert adaptation.events.get().trigger == "schedule"


def test_a_failed_round_is_a_failed_fire(desk: Desk) -> None:
    begun = fire(desk.start())
    row = AdaptationRound.objects.get()
    OptimizationJob.objects.filter(pk=row.job_id).update(
        status=JobStatus.FAILED, completed_at=utcnow(), error_code="MOON", error_detail="No."
    )
    rounds.settle()
    begun.refresh_from_db()
    assert (begun.status, begun.error_code) == ("failed", "MOON")


def test_without_a_new_bar_the_clock_does_not_ask_the_same_again(desk: Desk, prices: Prices) -> None:
    adaptation = desk.start()
    desk.round(adaptation)
    skipped = fire(adaptation)
    assert (skipped.status, skipped.error_code) == ("skipped", "NO_NEW_BARS")
    # Whoever asks by hand is answered, and a strategy that was changed is another question.
    desk.round(adaptation)
    desk.set(quick=12, slow=40)
    assert fire(adaptation).status == "running"
    desk.carry(AdaptationRound.objects.get(ended_at=None))
    rounds.settle()
    assert fire(adaptation).error_code == "NO_NEW_BARS"
    prices.series("ACME", walk_rows(402))
    assert fire(adaptation).status == "running"


def test_a_round_that_failed_is_tried_again_on_the_same_bars(desk: Desk) -> None:
    adaptation = desk.start()
    row = desk.begin(adaptation)
    OptimizationJob.objects.filter(pk=row.job_id).update(status=JobStatus.CANCELLED, completed_at=utcnow())
    rounds.settle()
    assert fire(adaptation).status == "running"


def test_a_fire_during_a_round_by_hand_is_skipped(desk: Desk) -> None:
    adaptation = desk.start()
    desk.begin(adaptation)
    skipped = fire(adaptation)
    assert (skipped.status, skipped.error_code) == ("skipped", "ROUND_UNDER_WAY")
    assert AdaptationRound.objects.count() == 1


def test_a_frozen_fire_is_skipped(desk: Desk) -> None:
    adaptation = desk.start()
    kill_all(desk)
    skipped = fire(adaptation)
    assert (skipped.status, skipped.error_code) == ("skipped", "ADAPTATION_FROZEN")


def test_a_round_that_cannot_be_planned_fails_its_fire_and_leaves_nothing_behind(desk: Desk, prices: Prices) -> None:
    adaptation = desk.start()
    LiveAdaptation.objects.filter(pk=adaptation.pk).update(trailing_window=399)
    assert fire(adaptation).status == "running"
    desk.carry(AdaptationRound.objects.get())
    rounds.settle()
    prices.series("ACME", walk_rows(401))
    LiveAdaptation.objects.filter(pk=adaptation.pk).update(trailing_window=401)
    failed = fire(adaptation)
    assert (failed.status, failed.error_code) == ("failed", "VALIDATION_FAILED")
    assert "400 complete" in failed.error_message
    assert AdaptationRound.objects.count() == 1
    assert OptimizationJob.objects.count() == 1


def test_a_stop_ends_the_fire_and_a_schedule_that_was_brought_back_begins_nothing(desk: Desk) -> None:
    adaptation = desk.start()
    begun = fire(adaptation)
    desk.stop(adaptation)
    begun.refresh_from_db()
    assert begun.status == "cancelled"
    schedule_restore(actor=desk.actor, schedule_id=adaptation.schedule_id)
    schedule_switch(actor=desk.actor, schedule_id=adaptation.schedule_id, enabled=True)
    skipped = fire(adaptation)
    assert (skipped.status, skipped.error_code) == ("skipped", "ADAPTATION_STOPPED")


def test_a_newer_fire_takes_the_place_of_a_round_where_the_schedule_says_so(desk: Desk) -> None:
    adaptation = desk.start()
    schedule_update(actor=desk.actor, schedule_id=adaptation.schedule_id, changes={"overlap": "cancel"})
    first = fire(adaptation)
    second = fire(adaptation)
    first.refresh_from_db()
    assert (first.status, second.status) == ("cancelled", "running")
    assert desk.events(adaptation) == [(1, "cancelled", None)]
    assert AdaptationRound.objects.filter(ended_at__isnull=True).get().pk == second.run_id


def test_somebody_else_s_schedule_begins_no_round(desk: Desk) -> None:
    adaptation = desk.start()
    thief = Actor.for_user(user_with_role(Role.TRADER, "thief"))
    said = {
        "name": "Not mine",
        "job_type": "optimize.adapt_parameters",
        "schedule": "0 3 * * *",
        "config": {"adaptation_id": str(adaptation.pk)},
    }
    stolen = schedule_create(actor=thief, **said)
    failed = schedule_run(actor=thief, schedule_id=stolen.pk)
    assert (failed.status, failed.error_code) == ("failed", "PERMISSION_DENIED")
    assert not AdaptationRound.objects.exists()


def test_an_operator_who_saves_the_schedule_answers_for_it(desk: Desk, operator_actor: Actor) -> None:
    adaptation = desk.start()
    schedule_update(actor=operator_actor, schedule_id=adaptation.schedule_id, changes={"schedule": "0 3 * * *"})
    assert fire(adaptation).status == "running"


def test_a_schedule_of_an_adaptation_that_never_was_fails(desk: Desk) -> None:
    made = schedule_create(
        actor=desk.actor,
        name="Of nothing",
        job_type="optimize.adapt_parameters",
        schedule="0 3 * * *",
        config={"adaptation_id": "01890a5d-ac96-774b-bcce-b302099a8057"},
    )
    begun = schedule_run(actor=Actor.system("tests"), schedule_id=made.pk)
    assert begun.status == "failed"
