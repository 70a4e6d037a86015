"""The run as its worker writes it: every change fenced, told to the sockets in the same transaction."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from django.db.models import F

from executions import endings
from executions.calls import worker_call
from executions.choices import ExecutionStatus, OnError, StepStatus
from executions.errors import RunCancelled
from executions.fence import Claim, fenced
from executions.machine import StepState, StepTrace, progress_percent, results_of, tally_of
from executions.models import StepExecution, WorkflowExecution
from executions.news import tell_status, tell_step
from executions.payloads import INLINE_MAX, StepOutput, payload_keep
from tradingsite.common.clock import utcnow


def storable(text: str) -> str:
    """Return `text` as PostgreSQL takes it: without NUL and without halves of characters."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


@dataclass
class RunLedger:
    """One claimed run with its steps."""

    claim: Claim
    execution: WorkflowExecution
    steps: list[StepExecution]

    @classmethod
    def load(cls, held: Claim) -> Self:
        execution = WorkflowExecution.objects.select_related("workflow", "strategy").get(pk=held.execution_id)
        return cls(held, execution, list(execution.steps.select_related("payload").order_by("index")))

    def states(self) -> list[StepState]:
        return [StepState(step.index, step.status, step.on_error) for step in self.steps]

    def cancel_asked(self) -> bool:
        """Say whether somebody wants the run to end."""
        return WorkflowExecution.objects.filter(pk=self.claim.execution_id, cancel_requested_at__isnull=False).exists()

    def step_start(self, step: StepExecution) -> None:
        """Write that an attempt begins, before anything of it happens."""
        with fenced(self.claim):
            step.status = StepStatus.RUNNING
            step.attempts += 1
            step.started_at, step.completed_at = utcnow(), None
            step.error_code = step.error_message = ""
            step.save()
            tell_step(step)

    def step_complete(self, step: StepExecution, output: StepOutput, *, logs: list[dict[str, Any]]) -> None:
        """Write the output; from here on the step never runs again."""
        summary = storable(output.summary)
        if output.size <= INLINE_MAX:
            self._step_end(step, StepStatus.COMPLETED, output=output.data, summary=summary, logs=logs)
            return
        # Before the fence and without it: content by its own name harms nobody, and the run's row is not locked for
        # as long as megabytes take.
        payload = payload_keep(output)
        self._step_end(step, StepStatus.COMPLETED, payload=payload, summary=summary, logs=logs)

    def step_fail(self, step: StepExecution, code: str, message: str, *, logs: list[dict[str, Any]]) -> None:
        """Write that the step failed for good."""
        self._step_end(step, StepStatus.FAILED, error_code=code[:60], error_message=storable(message), logs=logs)

    def _step_end(self, step: StepExecution, status: str, **fields: Any) -> None:
        step.status, step.completed_at = status, utcnow()
        for name, value in fields.items():
            setattr(step, name, value)
        self.execution.progress = progress_percent(self.states())
        with fenced(self.claim, progress=self.execution.progress):
            step.save()
            tell_step(step)

    def finish(self, status: str) -> None:
        """End the run."""
        # Not one that was passed over: the run went on after that.
        failed = next((s for s in self.steps if s.status == StepStatus.FAILED and s.on_error != OnError.CONTINUE), None)
        if status == ExecutionStatus.FAILED and failed is not None:
            self._end(status, failed.error_code, f"step {failed.name}: {failed.error_message}")
        else:
            self._end(status, "", "")

    def fail(self, code: str, message: str) -> None:
        """End the run between two steps, for a reason outside them."""
        self._end(ExecutionStatus.FAILED, code, message)

    def _end(self, status: str, code: str, message: str) -> None:
        run = self.execution
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
        run.status, run.error_code, run.error_message = status, code[:60], message
        run.results, run.completed_at = results, utcnow()
        if status == ExecutionStatus.COMPLETED:
            run.progress = 100.0
        tally = asdict(tally_of(results["decisions"]))
        with fenced(
            self.claim,
            status=run.status,
            error_code=run.error_code,
            error_message=run.error_message,
            results=results,
            decisions_made=results["decisions_made"],
            orders_placed=results["orders_placed"],
            **tally,
            completed_at=run.completed_at,
            progress=run.progress,
            lease_until=None,
        ):
            if status == ExecutionStatus.CANCELLED:
                _cancel_open(self.steps)
            elif status == ExecutionStatus.FAILED:
                StepExecution.objects.filter(execution=run, status=StepStatus.PENDING).update(status=StepStatus.SKIPPED)
            tell_status(run)
            endings.note(run)

    def hand_over(self) -> None:
        """Give the run back: its interrupted step waits again, another worker is called at once.

        Raises:
            RunCancelled: somebody asked to cancel it a moment ago; nobody would take it up again.
        """
        run = self.execution
        run.status = ExecutionStatus.PENDING
        with fenced(
            self.claim,
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
            worker_call(run)


def _cancel_open(steps: Sequence[StepExecution]) -> None:
    for step in steps:
        if step.status in (StepStatus.PENDING, StepStatus.RUNNING):
            step.status = StepStatus.CANCELLED
            step.completed_at = utcnow() if step.started_at else None
            step.save()
