"""What the clock does with what is due: each nominal time once, by the policies of its schedule."""

import threading
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth import get_user_model
from django.db import OperationalError, connections

from safety.models import AlertEvent
from scheduler import firing, work
from scheduler.models import Schedule, ScheduleFire
from scheduler.services import clock_switch, schedule_delete, schedule_run, schedule_switch, schedule_update
from tests.conftest import user_with_role
from tests.scheduler.conftest import Clockwork, TrialJob, TrialRun
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow
from tradingsite.common.errors import Conflict
from tradingsite.common.models import OutboxMessage
from tradingsite.common.roles import Role

pytestmark = pytest.mark.django_db


def test_what_is_due_fires_once_and_the_next_time_follows_the_rule(clockwork: Clockwork) -> None:
    schedule = clockwork.due(clockwork.create(), ago=5)
    assert clockwork.tick() == 1
    assert clockwork.tick() == 0
    (fire,) = clockwork.fires(schedule)
    assert (fire.nominal_at, fire.status, fire.run_id) == (schedule.next_run_at, "running", TrialRun.started[0])
    after = clockwork.again(schedule)
    assert after.next_run_at == fire.nominal_at + timedelta(seconds=60)
    assert after.last_run_at == fire.fired_at


def test_what_is_not_due_stopped_or_deleted_does_not_fire(clockwork: Clockwork) -> None:
    clockwork.create()
    stopped = clockwork.due(clockwork.create(enabled=False), ago=5)
    deleted = clockwork.due(clockwork.create(), ago=5)
    schedule_delete(actor=clockwork.actor, schedule_id=deleted.pk)
    assert clockwork.tick() == 0
    assert not ScheduleFire.objects.exists()
    assert not clockwork.again(stopped).enabled


def test_a_nominal_time_that_was_written_before_is_not_fired_again(clockwork: Clockwork) -> None:
    schedule = clockwork.due(clockwork.create(), ago=5)
    assert schedule.next_run_at is not None
    ScheduleFire.objects.create(schedule=schedule, nominal_at=schedule.next_run_at, status="completed")
    assert clockwork.tick() == 0
    assert TrialRun.started == []
    assert clockwork.again(schedule).next_run_at == schedule.next_run_at + timedelta(seconds=60)


@pytest.mark.parametrize(("misfire", "fired", "missed"), [("skip", 0, 121), ("once", 1, None), ("all", 4, None)])
def test_two_hours_without_a_clock_go_by_the_misfire_policy(
    clockwork: Clockwork, misfire: str, fired: int, missed: int | None
) -> None:
    schedule = clockwork.create(misfire=misfire, misfire_bound=4, misfire_grace_s=1, overlap="queue")
    clockwork.due(schedule, ago=2 * 3600 + 30)
    assert clockwork.tick() == fired
    fires = [fire for fire in clockwork.fires(schedule) if fire.status != "missed"]
    assert len(fires) == fired
    newest = utcnow() - timedelta(seconds=30)
    expected = [newest - timedelta(seconds=60 * n) for n in reversed(range(fired))]
    for fire, wanted in zip(fires, expected, strict=True):
        assert abs(fire.nominal_at - wanted) < timedelta(seconds=5)
    noted = ScheduleFire.objects.filter(status="missed")
    assert [row.result for row in noted] == ([{"missed": missed}] if missed else [])
    assert [row.error_code for row in noted] == (["CLOCK_WAS_DOWN"] if missed else [])
    following = clockwork.again(schedule).next_run_at
    assert following is not None
    assert utcnow() < following < utcnow() + timedelta(seconds=60)


def test_what_is_late_within_the_grace_is_not_missed(clockwork: Clockwork) -> None:
    schedule = clockwork.due(clockwork.create(misfire="skip", misfire_grace_s=60), ago=50)
    assert clockwork.tick() == 1
    assert clockwork.statuses(schedule) == ["running"]


def test_all_that_was_missed_is_done_one_after_the_other(clockwork: Clockwork) -> None:
    schedule = clockwork.create(misfire="all", misfire_bound=3, misfire_grace_s=1)
    clockwork.due(schedule, ago=630)
    clockwork.tick()
    assert clockwork.statuses(schedule) == ["running", "waiting", "waiting"]
    for _ in range(2):
        running = next(fire for fire in clockwork.fires(schedule) if fire.status == "running")
        clockwork.end(running)
        assert firing.start_waiting() == 1
    assert clockwork.statuses(schedule) == ["completed", "completed", "running"]


def second_fire(clockwork: Clockwork, overlap: str) -> tuple[Schedule, ScheduleFire, ScheduleFire]:
    """Return a schedule whose second fire came while the first was at work."""
    schedule = clockwork.due(clockwork.create(overlap=overlap), ago=5)
    clockwork.tick()
    clockwork.due(schedule, ago=0)
    clockwork.tick()
    first, second = clockwork.fires(schedule)
    return schedule, first, second


def test_a_fire_is_skipped_while_the_earlier_one_is_at_work(clockwork: Clockwork) -> None:
    _, first, second = second_fire(clockwork, "skip")
    assert (first.status, second.status, second.error_code) == ("running", "skipped", "EARLIER_AT_WORK")
    assert len(TrialRun.started) == 1


def test_a_fire_waits_for_the_earlier_one(clockwork: Clockwork) -> None:
    schedule, first, second = second_fire(clockwork, "queue")
    assert second.status == "waiting"
    assert firing.start_waiting() == 0
    clockwork.end(first, "failed", code="X")
    assert firing.start_waiting() == 1
    assert clockwork.statuses(schedule) == ["failed", "running"]


def test_a_fire_cancels_the_earlier_one(clockwork: Clockwork) -> None:
    schedule, first, second = second_fire(clockwork, "cancel")
    assert TrialRun.cancelled == [first.run_id]
    assert clockwork.statuses(schedule) == ["cancelled", "running"]
    # What the cancelled run says later changes nothing.
    clockwork.end(first, "completed")
    assert clockwork.statuses(schedule) == ["cancelled", "running"]
    assert second.run_id == TrialRun.started[1]


def test_the_end_of_a_run_is_written_into_the_history_and_the_schedule(clockwork: Clockwork) -> None:
    schedule = clockwork.due(clockwork.create(), ago=5)
    clockwork.tick()
    clockwork.end(clockwork.fires(schedule)[0], "completed", result={"orders_placed": 2})
    after = clockwork.again(schedule)
    assert (after.last_status, after.last_result, after.failure_streak) == ("completed", {"orders_placed": 2}, 0)
    assert after.last_duration is not None
    (fire,) = clockwork.fires(schedule)
    assert (fire.status, fire.result) == ("completed", {"orders_placed": 2})


def test_failures_in_a_row_pause_the_schedule_with_an_alert(clockwork: Clockwork) -> None:
    schedule = clockwork.create(pause_after=3)
    for number in range(3):
        assert clockwork.again(schedule).enabled
        clockwork.due(schedule, ago=5 + number)
        clockwork.tick()
        clockwork.end(clockwork.fires(schedule)[0], "failed", code="BROKEN", message="it broke")
    after = clockwork.again(schedule)
    assert not after.enabled
    assert "3 failures in a row" in after.paused_reason
    assert "BROKEN it broke" in after.paused_reason
    alert = AlertEvent.objects.get()
    assert (alert.kind, "Schedule paused" in alert.name) == ("schedule", True)
    schedule_switch(actor=clockwork.actor, schedule_id=schedule.pk, enabled=True)
    assert (clockwork.again(schedule).failure_streak, clockwork.again(schedule).paused_reason) == (0, "")


def test_a_success_ends_the_streak(clockwork: Clockwork) -> None:
    schedule = clockwork.create(pause_after=2)
    for number, status in enumerate(("failed", "completed", "failed")):
        clockwork.due(schedule, ago=5 + number)
        clockwork.tick()
        clockwork.end(clockwork.fires(schedule)[0], status, code="X")
    assert clockwork.again(schedule).enabled


def test_a_run_that_cannot_be_started_fails_its_fire_and_leaves_nothing_behind(clockwork: Clockwork) -> None:
    def refuse() -> UUID:
        OutboxMessage.objects.create(task="half done", task_id="x", queue="control")
        raise Conflict("the strategy is disabled")

    TrialRun.act = refuse
    schedule = clockwork.due(clockwork.create(), ago=5)
    clockwork.tick()
    (fire,) = clockwork.fires(schedule)
    assert (fire.status, fire.error_code, fire.error_message) == ("failed", "CONFLICT", "the strategy is disabled")
    assert not OutboxMessage.objects.filter(task="half done").exists()


def test_a_fire_and_what_it_starts_are_written_together_or_not_at_all(clockwork: Clockwork) -> None:
    def lose_the_database() -> UUID:
        raise OperationalError("cannot execute INSERT in a read-only transaction")

    TrialRun.act = lose_the_database
    schedule = clockwork.due(clockwork.create(), ago=5)
    for _ in range(3):
        with pytest.raises(OperationalError):
            clockwork.tick()
    assert not ScheduleFire.objects.exists()
    assert clockwork.again(schedule).next_run_at == schedule.next_run_at
    TrialRun.act = None
    assert clockwork.tick() == 1
    assert len(clockwork.fires(schedule)) == 1


def test_a_starter_that_crashes_fails_its_own_fire_and_holds_nobody_up(clockwork: Clockwork) -> None:
    def crash() -> UUID:
        TrialRun.act = None
        raise KeyError("strategy")

    TrialRun.act = crash
    first, second = clockwork.due(clockwork.create(), ago=20), clockwork.due(clockwork.create(), ago=5)
    assert clockwork.tick() == 2
    (fire,) = clockwork.fires(first)
    assert (fire.status, fire.error_code, fire.error_message) == ("failed", "JOB_CRASHED", "KeyError: 'strategy'")
    assert clockwork.statuses(second) == ["running"]


def test_a_rule_that_can_no_longer_be_read_pauses_its_schedule_and_not_the_clock(clockwork: Clockwork) -> None:
    broken = clockwork.due(clockwork.create(schedule="0 0 * * *"), ago=20)
    Schedule.objects.filter(pk=broken.pk).update(timezone="Mars/Olympus")
    sound = clockwork.due(clockwork.create(), ago=5)
    assert clockwork.tick() == 1
    assert clockwork.statuses(sound) == ["running"]
    after = clockwork.again(broken)
    assert (after.enabled, "Mars/Olympus" in after.paused_reason) == (False, True)
    assert AlertEvent.objects.get().name == f"Schedule paused: {broken.name}"
    assert clockwork.tick() == 0


def test_what_waits_does_not_start_while_the_clock_is_stopped(clockwork: Clockwork) -> None:
    schedule, first, _ = second_fire(clockwork, "queue")
    clock_switch(actor=Actor.system("operator"), running=False)
    clockwork.end(first)
    assert firing.start_waiting() == 0
    assert clockwork.statuses(schedule) == ["completed", "waiting"]
    clock_switch(actor=Actor.system("operator"), running=True)
    assert firing.start_waiting() == 1


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.ADMIN])
def test_who_saves_a_schedule_last_answers_for_it(clockwork: Clockwork, role: Role) -> None:
    schedule = clockwork.create()
    person = user_with_role(role, "other")
    schedule_update(actor=Actor.for_user(person), schedule_id=schedule.pk, changes={"jitter_s": 1})
    assert clockwork.again(schedule).created_by_id == person.pk


def test_a_job_is_done_by_a_worker_once_however_often_its_message_comes(clockwork: Clockwork) -> None:
    schedule = clockwork.due(clockwork.create(job_type="tests.job", config={"number": 7}), ago=5)
    clockwork.tick()
    (fire,) = clockwork.fires(schedule)
    assert fire.status == "queued"
    assert clockwork.work() == 1
    assert not work.job_run(fire.pk)
    assert TrialJob.done == [7]
    assert clockwork.statuses(schedule) == ["completed"]
    assert clockwork.again(schedule).last_result == {"number": 7}


def test_a_job_that_crashes_fails_with_what_it_said(clockwork: Clockwork) -> None:
    def crash() -> dict[str, Any]:
        raise KeyError("price")

    TrialJob.act = crash
    schedule = clockwork.due(clockwork.create(job_type="tests.job"), ago=5)
    clockwork.tick()
    clockwork.work()
    (fire,) = clockwork.fires(schedule)
    assert (fire.status, fire.error_code, fire.error_message) == ("failed", "JOB_CRASHED", "KeyError: 'price'")


def test_a_job_whose_worker_is_lost_is_done_again_and_given_up_at_last(clockwork: Clockwork) -> None:
    schedule = clockwork.due(clockwork.create(job_type="tests.job"), ago=5)
    clockwork.tick()
    for attempt in (1, 2, 3):
        # A worker took it and died.
        ScheduleFire.objects.update(status="running", attempts=attempt, lease_until=utcnow() - timedelta(seconds=1))
        assert work.recover() == 1
        assert clockwork.statuses(schedule) == (["queued"] if attempt < 3 else ["failed"])
    assert clockwork.fires(schedule)[0].error_code == "WORKER_LOST"
    assert work.recover() == 0


def test_a_worker_that_comes_too_late_says_nothing(clockwork: Clockwork) -> None:
    schedule = clockwork.due(clockwork.create(job_type="tests.job"), ago=5)

    def meanwhile() -> dict[str, Any]:
        ScheduleFire.objects.update(lease_until=utcnow() - timedelta(seconds=1))
        work.recover()
        return {"number": 1}

    TrialJob.act = meanwhile
    clockwork.tick()
    (fire,) = clockwork.fires(schedule)
    work.job_run(fire.pk)
    assert clockwork.statuses(schedule) == ["queued"]


def test_a_stopped_clock_fires_nothing_and_makes_up_for_nothing(clockwork: Clockwork) -> None:
    schedule = clockwork.due(clockwork.create(misfire="all"), ago=600)
    operator = Actor.system("operator")
    clock_switch(actor=operator, running=False, reason="maintenance")
    assert clockwork.tick() == 0
    clock_switch(actor=operator, running=True)
    assert clockwork.tick() == 0
    following = clockwork.again(schedule).next_run_at
    assert following is not None
    assert following > utcnow()


def test_a_schedule_fired_by_hand_keeps_its_next_time(clockwork: Clockwork) -> None:
    schedule = clockwork.create(enabled=False)
    fire = schedule_run(actor=clockwork.actor, schedule_id=schedule.pk)
    assert (fire.manual, fire.status, fire.actor_name) == (True, "running", clockwork.actor.name)
    assert clockwork.again(schedule).next_run_at == schedule.next_run_at


def test_a_changed_rule_counts_anew_from_now(clockwork: Clockwork) -> None:
    schedule = clockwork.due(clockwork.create(), ago=600)
    schedule_update(actor=clockwork.actor, schedule_id=schedule.pk, changes={"schedule": "0 0 1 1 *"})
    assert clockwork.tick() == 0
    following = clockwork.again(schedule).next_run_at
    assert following is not None
    assert (following.month, following.day) == (1, 1)


def test_a_schedule_stops_firing_when_its_owner_may_no_more(clockwork: Clockwork) -> None:
    person = get_user_model().objects.create(username="gone")
    mine = clockwork.create()
    schedule = clockwork.due(mine, ago=5)
    Schedule.objects.filter(pk=schedule.pk).update(created_by=person)
    clockwork.tick()
    (fire,) = clockwork.fires(schedule)
    assert (fire.status, fire.error_code) == ("failed", "OWNER_NOT_ALLOWED")
    assert TrialRun.started == []


def test_the_jitter_delays_the_start_and_not_the_nominal_time(clockwork: Clockwork) -> None:
    schedule = clockwork.create(jitter_s=600, schedule={"every_s": 3600})
    assert schedule.next_run_at is not None
    assert schedule.due_at is not None
    assert schedule.next_run_at < schedule.due_at < schedule.next_run_at + timedelta(seconds=600)


def test_a_schedule_that_is_over_is_finished(clockwork: Clockwork) -> None:
    now = utcnow()
    schedule = clockwork.create(start_at=now - timedelta(hours=2), end_at=now + timedelta(seconds=1))
    assert schedule.next_run_at is None
    assert clockwork.tick() == 0


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_many_clocks_that_look_at_once_write_each_fire_once(clockwork: Clockwork) -> None:
    schedules = [clockwork.due(clockwork.create(misfire="all", misfire_bound=5), ago=200 + n) for n in range(8)]
    together = threading.Barrier(6)
    faults: list[BaseException] = []

    def look() -> None:
        together.wait()
        try:
            for _ in range(3):
                firing.tick()
        except Exception as fault:  # noqa: BLE001  # shown by the test
            faults.append(fault)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=look) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert faults == []
    for schedule in schedules:
        nominals = [fire.nominal_at for fire in clockwork.fires(schedule)]
        assert len(nominals) == len(set(nominals)) == 4
    assert len(TrialRun.started) == 8


def test_a_clock_says_nothing_in_another_name(clockwork: Clockwork) -> None:
    schedule = clockwork.create()
    assert work.actor_of(schedule) == Actor(
        kind="system", name=f"schedule {schedule.name}", user_id=clockwork.actor.user_id
    )
