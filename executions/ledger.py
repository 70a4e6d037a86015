"""The run as its worker writes it: every change fenced, told to the sockets in the same transaction."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self
from uuid import UUID

from django.db.models import F

from executions import endings
from executions.calls import worker_call
from executions.choices import ExecutionStatus, OnError, StepStatus
from executions.errors import RunCancelled
from executions.fence import NOT_CANCELLED, Beginning, Claim, claim, fenced, fenced_write
from executions.machine import RunStep, StepState, StepTrace, next_action, progress_percent, results_of, tally_of
from executions.models import StepExecution, WorkflowExecution
from executions.news import status_event, step_event, tell_status, tell_step
from executions.payloads import INLINE_MAX, StepOutput, payload_keep
from safety import killswitch
from tradingsite.common.clock import utcnow
from tradingsite.common.live.events import Event
from tradingsite.common.reads import KeyReader
from tradingsite.common.writes import Part, Sql, Write, insert, update


def storable(text: str) -> str:
    """Return `text` as PostgreSQL takes it: without NUL and without halves of characters."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


STEPS = KeyReader(StepExecution, "execution", order="index")


@dataclass
class RunLedger:
    """One claimed run with its steps."""

    held: Claim
    execution: WorkflowExecution
    steps: list[StepExecution]

    @classmethod
    def claim(cls, execution_id: UUID, worker: str) -> Self | None:
        """Claim a run, and have its next step begin with that when nobody wants the run or the desk to stop.

        Returns:
            None when the run is not to be had. `held.begun` says whether a step has begun.
        """
        steps: list[StepExecution] = []
        begun: StepExecution | None = None
        before: dict[str, Any] = {}

        def begin(run: WorkflowExecution) -> Beginning | None:
            nonlocal begun, before
            # Large outputs are read when a step wants them: few runs have one. After the run, whose `updated_at` tells
            # the claim when somebody has changed a step since.
            steps[:] = STEPS.all(run.pk)
            action = next_action(_states(steps), cancel_requested=run.cancel_requested_at is not None)
            if not isinstance(action, RunStep) or not killswitch.open_in_files(strategy_id=run.strategy_id):
                return None
            begun = steps[action.index]
            before = _change(begun, _beginning(begun))
            return Beginning(_row(begun, BEGINNING), step_event(begun), open_conditions(run.strategy_id))

        held = claim(execution_id, worker, begin)
        if held is None:
            return None
        if begun is not None and not held.begun:
            _change(begun, before)
        return cls(held, held.run, steps)

    @property
    def ended(self) -> bool:
        """Whether this worker has ended the run."""
        return self.execution.status != ExecutionStatus.RUNNING

    def states(self, *, completed: StepExecution | None = None) -> list[StepState]:
        """Return what the machine wants to know; with `completed`, as if that step were so."""
        return _states(self.steps, completed=completed)

    def cancel_asked(self) -> bool:
        """Say whether somebody wants the run to end."""
        return WorkflowExecution.objects.filter(pk=self.held.execution_id, cancel_requested_at__isnull=False).exists()

    def step_start(self, step: StepExecution) -> None:
        """Write that an attempt begins, before anything of it happens."""
        _change(step, _beginning(step))
        fenced_write(self.held, _row(step, BEGINNING), events=[step_event(step)])

    def step_start_if_open(self, step: StepExecution) -> bool:
        """Write that an attempt begins, if nobody wants the run or the desk to stop.

        Returns:
            False when somebody does, or another worker carries the run: nothing was written.
        """
        before = _change(step, _beginning(step))
        if fenced_write(
            self.held,
            _row(step, BEGINNING),
            events=[step_event(step)],
            only_if=open_conditions(self.execution.strategy_id),
        ):
            return True
        _change(step, before)
        return False

    def step_complete(self, step: StepExecution, output: StepOutput, *, logs: list[dict[str, Any]]) -> None:
        """Write the output; from here on the step never runs again."""
        ending = self._completed(step, output, logs)
        fenced_write(self.held, ending, events=[step_event(step)], progress=self.execution.progress)

    def step_complete_and_start(
        self, step: StepExecution, output: StepOutput, following: StepExecution, *, logs: list[dict[str, Any]]
    ) -> bool:
        """Write the output of a step and, in the same transaction, that the one following it begins.

        Returns:
            False when somebody wants the run or the desk to stop, or another worker carries it: nothing was written.
        """
        ending = self._completed(step, output, logs)
        before = _change(following, _beginning(following))
        if fenced_write(
            self.held,
            ending,
            _row(following, BEGINNING),
            events=[step_event(step), step_event(following)],
            only_if=open_conditions(self.execution.strategy_id),
            progress=self.execution.progress,
        ):
            return True
        _change(following, before)
        return False

    def step_complete_and_finish(self, step: StepExecution, output: StepOutput, *, logs: list[dict[str, Any]]) -> None:
        """Write the output of the last step and, in the same transaction, that the run is complete."""
        ending = self._completed(step, output, logs)
        self._complete(ending, events=[step_event(step)])

    def step_fail(self, step: StepExecution, code: str, message: str, *, logs: list[dict[str, Any]]) -> None:
        """Write that the step failed for good."""
        fields = {"error_code": code[:60], "error_message": storable(message), "logs": logs}
        ending = self._ending(step, StepStatus.FAILED, fields)
        fenced_write(self.held, ending, events=[step_event(step)], progress=self.execution.progress)

    def _completed(self, step: StepExecution, output: StepOutput, logs: list[dict[str, Any]]) -> Write:
        fields: dict[str, Any] = {"summary": storable(output.summary), "logs": logs}
        if output.size <= INLINE_MAX:
            fields["output"] = output.data
        else:
            # Before the fence and without it: content by its own name harms nobody, and the run's row is not locked
            # for as long as megabytes take.
            fields["payload"] = payload_keep(output)
        return self._ending(step, StepStatus.COMPLETED, fields)

    def _ending(self, step: StepExecution, status: str, fields: Mapping[str, Any]) -> Write:
        """Let the step have ended, and return the write that says so."""
        changes = {"status": status, "completed_at": utcnow(), **fields}
        _change(step, changes)
        self.execution.progress = progress_percent(self.states())
        return _row(step, changes)

    def finish(self, status: str) -> None:
        """End the run."""
        if status == ExecutionStatus.COMPLETED:
            self._complete()
            return
        # Not one that was passed over: the run went on after that.
        failed = next((s for s in self.steps if s.status == StepStatus.FAILED and s.on_error != OnError.CONTINUE), None)
        if status == ExecutionStatus.FAILED and failed is not None:
            self._end(status, failed.error_code, f"step {failed.name}: {failed.error_message}")
        else:
            self._end(status, "", "")

    def fail(self, code: str, message: str) -> None:
        """End the run between two steps, for a reason outside them."""
        self._end(ExecutionStatus.FAILED, code, message)

    def _complete(self, *others: Part, events: Sequence[Event] = ()) -> None:
        fields = self._over(ExecutionStatus.COMPLETED, "", "", progress=100.0)
        note = insert(endings.note_of(self.execution))
        fenced_write(self.held, *others, note, events=[*events, status_event(self.execution)], **fields)

    def _end(self, status: str, code: str, message: str) -> None:
        run = self.execution
        with fenced(self.held, **self._over(status, code, message, progress=run.progress)):
            if status == ExecutionStatus.CANCELLED:
                _cancel_open(self.steps)
            elif status == ExecutionStatus.FAILED:
                self._fail_begun(code, message)
                StepExecution.objects.filter(execution=run, status=StepStatus.PENDING).update(status=StepStatus.SKIPPED)
            tell_status(run)
            endings.note(run)

    def _fail_begun(self, code: str, message: str) -> None:
        """Let a step that was under way when a worker was lost end with its run, which nobody carries on."""
        for step in self.steps:
            if step.status == StepStatus.RUNNING:
                step.status, step.completed_at = StepStatus.FAILED, utcnow()
                step.error_code, step.error_message = code[:60], storable(message)
                step.save()
                tell_step(step)

    def _over(self, status: str, code: str, message: str, *, progress: float) -> dict[str, Any]:
        """Let the run have ended, and return what its row says of that."""
        results = results_of(
            [
                StepTrace(
                    name=step.name,
                    output=step.result if step.status == StepStatus.COMPLETED else {},
                    logs=step.logs,
                    summary=step.summary or step.error_message,
                )
                for step in self.steps
            ]
        )
        fields = {
            "status": status,
            "error_code": code[:60],
            "error_message": message,
            "results": results,
            "decisions_made": results["decisions_made"],
            "orders_placed": results["orders_placed"],
            **asdict(tally_of(results["decisions"])),
            "completed_at": utcnow(),
            "progress": progress,
            "lease_until": None,
        }
        _change(self.execution, fields)
        return fields

    def hand_over(self) -> None:
        """Give the run back: its interrupted step waits again, another worker is called at once.

        Raises:
            RunCancelled: somebody asked to cancel it a moment ago; nobody would take it up again.
        """
        run = self.execution
        run.status = ExecutionStatus.PENDING
        with fenced(
            self.held,
            status=run.status,
            attempts=F("attempts") - 1,
            fence=F("fence") + 1,
            lease_until=None,
            queued_at=utcnow(),
        ):
            if WorkflowExecution.objects.filter(pk=run.pk, cancel_requested_at__isnull=False).exists():
                raise RunCancelled
            for step in self.steps:
                if step.status == StepStatus.RUNNING:
                    step.status, step.started_at = StepStatus.PENDING, None
                    step.save()
                    tell_step(step)
            tell_status(run)
            worker_call(run, begun=True)


# What the beginning of an attempt writes; the lines of earlier attempts stand.
BEGINNING = ("status", "attempts", "started_at", "completed_at", "error_code", "error_message", "logs")


def open_conditions(strategy_id: UUID) -> list[Sql]:
    """Return what must hold for a step to begin: nobody wants the run or, in the database, the desk to stop."""
    return [NOT_CANCELLED, killswitch.open_in_database(strategy_id=strategy_id)]


def _states(steps: Sequence[StepExecution], *, completed: StepExecution | None = None) -> list[StepState]:
    done = StepStatus.COMPLETED
    return [StepState(step.index, done if step is completed else step.status, step.on_error) for step in steps]


def _beginning(step: StepExecution) -> dict[str, Any]:
    fresh = (StepStatus.RUNNING, step.attempts + 1, utcnow(), None, "", "", step.logs)
    return dict(zip(BEGINNING, fresh, strict=True))


def _change(row: StepExecution | WorkflowExecution, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Set these fields and return what they were."""
    before = {name: getattr(row, name) for name in fields}
    for name, value in fields.items():
        setattr(row, name, value)
    return before


def _row(step: StepExecution, fields: Iterable[str]) -> Write:
    return update(StepExecution, {"id": step.pk}, {name: getattr(step, name) for name in fields})


def _cancel_open(steps: Sequence[StepExecution]) -> None:
    for step in steps:
        if step.status in (StepStatus.PENDING, StepStatus.RUNNING):
            step.status = StepStatus.CANCELLED
            step.completed_at = utcnow() if step.started_at else None
            step.save()
