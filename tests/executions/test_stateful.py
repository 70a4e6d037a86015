"""Runs go through thousands of made-up lives, and after every event the database says what a small model says.

The services, the watchdog and the runner are the real ones. Each worker is a thread that stands still inside every step
until the test says how that step ends, so that a late word comes exactly when the test wants it: after another worker
took the run, after the watchdog ended it, after a retry gave it a new task.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from django.db import connection
from django.db.models.functions import Now
from hypothesis import Phase
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from executions import leases, runner, watchdog
from executions.errors import ExecutionFinished, ExecutionNotRetryable
from executions.leases import Lease, keeper
from executions.models import RunEnding, StepExecution, WorkflowExecution
from executions.news import stream_of
from executions.services import execution_cancel, execution_create, execution_retry
from tests.executions import run_model as model
from tests.executions.carriers import (
    Carrier,
    ToldStep,
    ToldTrials,
    crash,
    die,
    fail,
    fail_for_now,
    hand_over,
    look_and_succeed,
    no_json,
    succeed,
)
from tests.executions.conftest import Trials
from tradingsite.common import lifecycle
from tradingsite.common.clock import utcnow
from tradingsite.common.contracts.steps import StepContext, StepResult, step_types
from tradingsite.common.models import LiveEvent, OutboxMessage

# The machine never waits for time: leases run out because the test says so.
FOR_EVER = timedelta(hours=1)
RUNS_MAX = 4
WORKERS_MAX = 4

THOROUGH = os.environ.get("FAULTS") == "long"
# What must have come up among the made-up lives, or they say little.
MUST_MEET = {
    "another worker takes a run whose lease ran out",
    "the watchdog takes a run from a worker that still works",
    "a run loses its worker too often",
    "a run that was to be cancelled loses its worker",
    "a word comes too late",
    "a worker is asked to end",
    "a cancel within a step",
    "a cancel between two workers",
    "a retry",
}


FACTS = """
    SELECT status, attempts, fence, stale_writes, cancel_requested_at IS NOT NULL AS cancel_wanted,
        completed_at IS NOT NULL AS has_end, lease_until IS NOT NULL AS has_lease,
        EXISTS (SELECT 1 FROM outbox_message o WHERE o.task_id = r.task_id AND published_at IS NULL) AS called,
        (SELECT count(*) FROM earlier_tasks e WHERE e.execution_id = r.id) AS earlier_tasks,
        (SELECT count(*) FROM run_endings e WHERE e.execution_id = r.id) AS ends_noted,
        (SELECT count(*) FROM live_event WHERE stream = %(stream)s AND type = 'status'
            AND data->>'status' IN ('completed', 'failed', 'cancelled')) AS ends_told,
        (SELECT count(*) FROM audit_logs WHERE target_id = %(id)s AND action = 'execution.create') AS creates_audited,
        (SELECT count(*) FROM audit_logs WHERE target_id = %(id)s AND action = 'execution.cancel') AS cancels_audited,
        (SELECT count(*) FROM audit_logs WHERE target_id = %(id)s AND action = 'execution.retry') AS retries_audited
    FROM workflow_execution r WHERE task_id = %(task)s
"""


def read(row: WorkflowExecution) -> dict[str, Any]:
    """Return what the database holds of a run, in the model's words."""
    task = WorkflowExecution.objects.values_list("task_id", flat=True).get(pk=row.pk)
    with connection.cursor() as cursor:
        cursor.execute(FACTS, {"id": str(row.pk), "stream": stream_of(row.pk), "task": task})
        names = [column[0] for column in cursor.description]
        return dict(zip(names, cursor.fetchone(), strict=True))


class Life:
    """One run as it is and as it should be, with the workers that have to do with it."""

    def __init__(self, row: WorkflowExecution, steps: list[model.Step]) -> None:
        self.row = row
        self.run = model.Run(steps)
        self.hands: list[tuple[Carrier, model.Hand]] = []


class Lives(RuleBasedStateMachine):
    """Every event that a run may meet, in any order."""

    trials: ClassVar[ToldTrials]
    met: ClassVar[set[str]]

    def __init__(self) -> None:
        super().__init__()
        self.lives: list[Life] = []

    # --- people

    @initialize(data=st.data())
    def first_run(self, data: st.DataObject) -> None:
        self.create(data)

    @precondition(lambda self: 0 < len(self.lives) < RUNS_MAX)
    @rule(data=st.data())
    def create(self, data: st.DataObject) -> None:
        kinds = st.tuples(st.sampled_from(["fail", "continue"]), st.integers(0, 1))
        drawn = data.draw(st.lists(kinds, min_size=1, max_size=4), label="steps")
        strategy = self.trials.told(drawn)
        row = execution_create(actor=self.trials.actor, workflow=strategy.workflow, strategy=strategy)
        WorkflowExecution.objects.filter(pk=row.pk).update(max_attempts=model.MAX_ATTEMPTS)
        self.lives.append(Life(row, [model.Step(on_error, retries) for on_error, retries in drawn]))
        self._maybe_deliver(data, self.lives[-1])

    @precondition(lambda self: self._any("pending", "running"))
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        life = self._one(data, "pending", "running")
        if data.draw(st.integers(0, 2), label="changes one's mind"):
            return
        begun = any(step.status == "running" for step in life.run.steps)
        if begun:
            self.met.add("a cancel within a step" if life.run.status == "running" else "a cancel between two workers")
        execution_cancel(actor=self.trials.actor, execution=life.row)
        assert life.run.cancel()

    @precondition(lambda self: self._any("failed", "cancelled"))
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        life = self._one(data, "failed", "cancelled")
        self.met.add("a retry")
        execution_retry(actor=self.trials.actor, execution=life.row)
        assert life.run.retry()
        self._maybe_deliver(data, life)

    @rule(data=st.data())
    def what_is_refused_changes_nothing(self, data: st.DataObject) -> None:
        life = self._one(data, *model.STATUSES)
        if life.run.status in model.ENDED:
            with pytest.raises(ExecutionFinished):
                execution_cancel(actor=self.trials.actor, execution=life.row)
        if life.run.status not in ("failed", "cancelled"):
            with pytest.raises(ExecutionNotRetryable):
                execution_retry(actor=self.trials.actor, execution=life.row)
        if life.run.status in model.ENDED or (life.run.status == "running" and not life.run.expired):
            self._deliver(life)

    # --- the broker

    @precondition(lambda self: self._workers() < WORKERS_MAX and self._free())
    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        """A message arrives: the newest one or, if none waits, an old one again."""
        self._deliver(data.draw(st.sampled_from(self._free()), label="run"))

    def _maybe_deliver(self, data: st.DataObject, life: Life) -> None:
        # Mostly at once: most that can happen to a run happens to it in the hands of a worker.
        if self._workers() < WORKERS_MAX and data.draw(st.integers(0, 3), label="delivered at once"):
            self._deliver(life)

    def _deliver(self, life: Life) -> None:
        self._publish(life)
        life.run.calls = 0
        carrier = Carrier(life.row.pk)
        carrier.start()
        standing = carrier.standing()
        if life.run.expired:
            self.met.add("another worker takes a run whose lease ran out")
        hand = life.run.claim()
        if hand is None:
            assert standing is None
            assert not carrier.carried
            return
        self._stands_as(life, carrier, hand, standing, life.run.goes_on(hand))

    @precondition(lambda self: self._any("pending"))
    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        """The broker loses what it had of a run, and a while goes by."""
        life = self._one(data, "pending")
        self._publish(life)
        life.run.calls, life.run.forgotten = 0, True
        aged = WorkflowExecution.objects.filter(pk=life.row.pk, status="pending")
        long_ago = utcnow() - watchdog.LOST_AFTER - timedelta(seconds=1)
        aged.update(queued_at=long_ago)
        OutboxMessage.objects.filter(args=[str(life.row.pk)], published_at__isnull=False).update(published_at=long_ago)

    # --- workers

    @precondition(lambda self: self._workers() > 0)
    @rule(data=st.data())
    def step_ends_well(self, data: st.DataObject) -> None:
        self._go(data, succeed, lambda run, hand: run.succeeds(hand))

    @precondition(lambda self: self._workers() > 0)
    @rule(data=st.data())
    def step_looks_up_and_ends_well(self, data: st.DataObject) -> None:
        self._go(data, look_and_succeed, lambda run, hand: run.succeeds(hand, look=True))

    @precondition(lambda self: self._workers() > 0)
    @rule(data=st.data(), how=st.sampled_from([fail, crash, no_json]))
    def step_fails(self, data: st.DataObject, how: Callable[[StepContext], StepResult]) -> None:
        self._go(data, how, lambda run, hand: run.fails(hand))

    @precondition(lambda self: self._workers() > 0)
    @rule(data=st.data())
    def step_fails_for_now(self, data: st.DataObject) -> None:
        self._go(data, fail_for_now, lambda run, hand: run.fails(hand, for_now=True))

    @precondition(lambda self: self._workers() > 0)
    @rule(data=st.data())
    def step_runs_out_of_time(self, data: st.DataObject) -> None:
        def late(context: StepContext) -> StepResult:
            for lease in keeper._leases.values():
                if lease.check == context.check:
                    lease.deadline = 0.0
            return look_and_succeed(context)

        self._go(data, late, lambda run, hand: run.fails(hand, for_now=True, look=True))

    @precondition(lambda self: self._workers() > 0)
    @rule(data=st.data())
    def worker_is_asked_to_end(self, data: st.DataObject) -> None:
        lifecycle.stopping.set()
        try:
            self._go(data, hand_over, lambda run, hand: run.hands_over(hand))
        finally:
            lifecycle.stopping.clear()

    @precondition(lambda self: self._workers() > 0)
    @rule(data=st.data())
    def worker_dies(self, data: st.DataObject) -> None:
        self._go(data, die, lambda run, hand: False)

    @precondition(lambda self: self._workers() > 0)
    @rule(data=st.data())
    def keeper_looks(self, data: st.DataObject) -> None:
        life, (_, hand) = self._worker(data)
        keeper._keep(self._lease(life, hand))
        life.run.renewed(hand)

    # --- time

    @precondition(lambda self: self._any("running"))
    @rule(data=st.data(), noticed_by=st.sampled_from(["nobody", "the watchdog", "another worker"]))
    def lease_runs_out(self, data: st.DataObject, noticed_by: str) -> None:
        """A worker is not heard of for too long: it died, or it stands inside a step and knows nothing of it."""
        life = self._one(data, "running")
        self._expire(life)
        if noticed_by == "the watchdog":
            self.watchdog_looks()
        elif noticed_by == "another worker" and self._workers() < WORKERS_MAX:
            self._deliver(life)

    def _expire(self, life: Life) -> None:
        running = WorkflowExecution.objects.filter(pk=life.row.pk, status="running")
        life.run.expired = bool(running.update(lease_until=Now() - timedelta(seconds=1)))

    @precondition(lambda self: any(life.run.expired or life.run.forgotten for life in self.lives))
    @rule()
    def watchdog_looks(self) -> None:
        watchdog.tick()
        for life in self.lives:
            before = life.run.status
            life.run.watched()
            if before == "running" and life.run.status == "pending" and life.hands:
                self.met.add("the watchdog takes a run from a worker that still works")
            elif before == "running" and life.run.status == "failed":
                self.met.add("a run loses its worker too often")
            elif before == "running" and life.run.status == "cancelled":
                self.met.add("a run that was to be cancelled loses its worker")

    # --- what must hold

    @invariant()
    def the_database_says_what_the_model_says(self) -> None:
        """Also that each end was told once and that each wish has its row in the audit log."""
        for life in self.lives:
            run = life.run
            assert read(life.row) == {
                "status": run.status,
                "attempts": run.attempts,
                "fence": run.fence,
                "stale_writes": run.stale_writes,
                "cancel_wanted": run.cancel_wanted,
                "has_end": run.status in model.ENDED,
                "has_lease": run.status == "running",
                "called": run.calls > 0,
                "earlier_tasks": run.tasks - 1,
                "ends_noted": run.ends,
                "ends_told": run.ends,
                "creates_audited": 1,
                "cancels_audited": run.wishes,
                "retries_audited": run.tasks - 1,
            }
            rows = StepExecution.objects.filter(execution=life.row).order_by("index")
            steps = list(rows.values_list("status", "attempts", "output"))
            assert [step[:2] for step in steps] == [(step.status, step.attempts) for step in run.steps]
            outputs = {index: output["attempt"] for index, (*_, output) in enumerate(steps) if output is not None}
            assert outputs == run.outputs, "the output of a completed step is never written again"

    def teardown(self) -> None:
        """Whatever happened: when no worker dies any more, every run comes to an end."""
        try:
            for life in self.lives:
                while life.hands:
                    self._told(life, life.hands[0], die, lambda run, hand: False)
            for _ in range(model.MAX_ATTEMPTS + 1):
                for life in self.lives:
                    self._expire(life)
                self.watchdog_looks()
                for life in self.lives:
                    self._deliver(life)
                    while life.hands:
                        self._told(life, life.hands[0], succeed, lambda run, hand: run.succeeds(hand))
            self.the_database_says_what_the_model_says()
            assert all(life.run.status in model.ENDED for life in self.lives)
        finally:
            for rows in (WorkflowExecution, OutboxMessage, RunEnding, LiveEvent):
                rows.objects.all().delete()

    # --- how the rules do it

    def _any(self, *statuses: str) -> bool:
        return any(life.run.status in statuses for life in self.lives)

    def _free(self) -> list[Life]:
        return [life for life in self.lives if life.run.status == "pending" or life.run.expired]

    def _one(self, data: st.DataObject, *statuses: str) -> Life:
        fitting = [life for life in self.lives if life.run.status in statuses]
        return fitting[data.draw(st.integers(0, len(fitting) - 1), label="run")]

    def _workers(self) -> int:
        return sum(len(life.hands) for life in self.lives)

    def _worker(self, data: st.DataObject) -> tuple[Life, tuple[Carrier, model.Hand]]:
        standing = [(life, pair) for life in self.lives for pair in life.hands]
        return standing[data.draw(st.integers(0, len(standing) - 1), label="worker")]

    def _go(self, data: st.DataObject, order: Any, expected: Callable[[model.Run, model.Hand], bool]) -> None:
        life, pair = self._worker(data)
        self._told(life, pair, order, expected)

    def _told(self, life: Life, pair: Any, order: Any, expected: Callable[[model.Run, model.Hand], bool]) -> None:
        carrier, hand = pair
        life.hands.remove(pair)
        if order is hand_over:
            self.met.add("a worker is asked to end")
        if order is not die and life.run.stale(hand):
            self.met.add("a word comes too late")
        standing = carrier.go(order)
        self._stands_as(life, carrier, hand, standing, expected(life.run, hand))

    def _stands_as(
        self, life: Life, carrier: Carrier, hand: model.Hand, standing: StepContext | None, on: bool
    ) -> None:
        assert (standing is not None) == on
        if standing is not None:
            assert (standing.step_index, standing.attempt) == (hand.index, life.run.steps[hand.index].attempts)
            life.hands.append((carrier, hand))

    def _lease(self, life: Life, hand: model.Hand) -> Lease:
        return next(
            lease
            for held, lease in keeper._leases.items()
            if (held.execution_id, held.fence) == (life.row.pk, hand.fence)
        )

    def _publish(self, life: Life) -> None:
        OutboxMessage.objects.filter(args=[str(life.row.pk)], published_at=None).update(published_at=utcnow())


@pytest.fixture
def lives(trials: Trials, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Lives]]:
    while keeper._thread is not None:
        time.sleep(0.05)
    # The keeper looks when a rule says so.
    monkeypatch.setattr(keeper, "_thread", threading.current_thread())
    monkeypatch.setattr(runner, "FIRST_PAUSE_S", 0.002)
    monkeypatch.setattr("executions.fence.LEASE", FOR_EVER)
    monkeypatch.setattr(leases, "LEASE", FOR_EVER)
    # A fault of a step is logged with its traceback: hundreds of them are meant here.
    monkeypatch.setattr(runner.logger, "disabled", True)
    with step_types.temporarily(ToldStep):
        yield type("Lives", (Lives,), {"trials": ToldTrials(trials), "met": set()})


def profile() -> hypothesis_settings:
    if THOROUGH:
        return hypothesis_settings(max_examples=150, stateful_step_count=60, derandomize=False, print_blob=True)
    # A failure is shown as it was found: making it small takes minutes.
    count = 10 if connection.vendor == "postgresql" else 30
    return hypothesis_settings(max_examples=count, stateful_step_count=40, phases=[Phase.generate])


@pytest.mark.django_db(transaction=True)
def test_a_runs_database_says_what_its_model_says_after_every_event(lives: type[Lives]) -> None:
    run_state_machine_as_test(lives, settings=profile())
    if connection.vendor == "sqlite":
        assert lives.met == MUST_MEET
