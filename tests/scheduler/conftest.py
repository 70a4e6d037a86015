"""Jobs that do what a test says, and schedules of them."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

import pytest
from rest_framework import serializers

from scheduler import firing, work
from scheduler.models import Schedule, ScheduleFire
from scheduler.services import schedule_create
from tradingsite.common.actor import Actor
from tradingsite.common.api.serializers import StrictSerializer
from tradingsite.common.clock import utcnow
from tradingsite.common.contracts.jobs import Job, RunStarter, job_types
from tradingsite.common.ids import uuid7
from tradingsite.common.models import OutboxMessage


class TrialConfig(StrictSerializer):
    number = serializers.IntegerField(default=0, max_value=1000)


class TrialJob(Job):
    """Does what `act` is, else returns its number."""

    slug: ClassVar[str] = "tests.job"
    title: ClassVar[str] = "Trial"
    help: ClassVar[str] = "Does what a test says."
    config_class: ClassVar[type[StrictSerializer]] = TrialConfig
    act: ClassVar[Callable[[], Mapping[str, Any]] | None] = None
    done: ClassVar[list[int]] = []

    def run(self, *, actor: Actor, config: Mapping[str, Any]) -> Mapping[str, Any]:
        self.done.append(config["number"])
        return TrialJob.act() if TrialJob.act is not None else {"number": config["number"]}


class TrialRun(RunStarter):
    """Starts a run that ends when the test says so."""

    slug: ClassVar[str] = "tests.run"
    title: ClassVar[str] = "Trial run"
    help: ClassVar[str] = "Starts what a test ends."
    config_class: ClassVar[type[StrictSerializer]] = TrialConfig
    act: ClassVar[Callable[[], UUID] | None] = None
    started: ClassVar[list[UUID]] = []
    cancelled: ClassVar[list[UUID]] = []

    def start(self, *, actor: Actor, config: Mapping[str, Any]) -> UUID:
        run_id = TrialRun.act() if TrialRun.act is not None else uuid7()
        self.started.append(run_id)
        return run_id

    def cancel(self, *, actor: Actor, run_id: UUID) -> None:
        self.cancelled.append(run_id)


class Clockwork:
    """Makes schedules and does what beats and workers do, in this thread."""

    def __init__(self, actor: Actor) -> None:
        self.actor = actor
        self.count = 0

    def create(self, **fields: Any) -> Schedule:
        self.count += 1
        said = {"name": f"Schedule {self.count}", "job_type": "tests.run", "schedule": {"every_s": 60}, **fields}
        return schedule_create(actor=said.pop("actor", self.actor), **said)

    def due(self, schedule: Schedule, *, ago: float) -> Schedule:
        """Let the schedule be due since `ago` seconds, as if no clock had run since."""
        moment = utcnow() - timedelta(seconds=ago)
        Schedule.objects.filter(pk=schedule.pk).update(created_at=moment, next_run_at=moment, due_at=moment)
        return self.again(schedule)

    def again(self, schedule: Schedule) -> Schedule:
        found: Schedule = Schedule.objects.get(pk=schedule.pk)
        return found

    def tick(self) -> int:
        return firing.tick()

    def fires(self, schedule: Schedule) -> list[ScheduleFire]:
        return list(schedule.fires.order_by("nominal_at", "id"))

    def statuses(self, schedule: Schedule) -> list[str]:
        return [fire.status for fire in self.fires(schedule)]

    def work(self) -> int:
        """Do what workers do with the messages that wait."""
        done = 0
        for message in OutboxMessage.objects.filter(task=work.TASK, published_at=None):
            message.published_at = utcnow()
            message.save()
            done += work.job_run(UUID(message.args[0]))
        return done

    def end(self, fire: ScheduleFire, status: str = "completed", **said: Any) -> None:
        assert fire.run_id is not None
        work.run_ended(run_id=fire.run_id, status=status, **{"result": None, "code": "", "message": "", **said})


@pytest.fixture
def clockwork(actor: Actor) -> Iterator[Clockwork]:
    for kept in (TrialJob.done, TrialRun.started, TrialRun.cancelled):
        kept.clear()
    TrialJob.act = TrialRun.act = None
    with job_types.temporarily(TrialJob, TrialRun):
        yield Clockwork(actor)


def at(text: str) -> datetime:
    """Return the UTC moment written `2026-03-08 07:00`."""
    return datetime.fromisoformat(f"{text}+00:00")
