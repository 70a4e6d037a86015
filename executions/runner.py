"""Carrying one run: claim it, do its steps in order, write each result down before the next begins."""

import logging
import time
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import InterfaceError, OperationalError

from executions.choices import ExecutionStatus, StepStatus
from executions.errors import (
    STEP_CRASHED,
    STEP_OUTPUT_INVALID,
    STEP_TIMED_OUT,
    STEP_TYPE_MISSING,
    HandOver,
    LeaseLost,
    RunCancelled,
    RunHalted,
    StepTimedOut,
)
from executions.leases import Lease, keeper
from executions.ledger import RunLedger
from executions.machine import Finish, RunStep, next_action
from executions.models import StepExecution
from executions.payloads import OutputInvalid, StepOutput, checked_output
from executions.reporter import Reporter
from safety import killswitch
from safety.errors import KillSwitchActive
from tradingsite.common.actor import Actor
from tradingsite.common.contracts.registry import UnknownName
from tradingsite.common.contracts.steps import StepContext, StepRetryable, step_types
from tradingsite.common.errors import AppError, Unavailable
from workflows.definitions import config_typed

logger = logging.getLogger(__name__)

FIRST_PAUSE_S, BACKOFF_MAX_S = 0.5, 30.0


class StepFailure(Exception):
    """How an attempt of a step ended badly: its code, what it says, and whether another attempt may help."""

    def __init__(self, code: str, message: str, *, retryable: bool) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.retryable = retryable


def run_execution(execution_id: UUID, worker: str) -> bool:
    """Carry a run as far as it goes; return False when it was not ours to carry.

    A fault of the database ends the work at once and leaves the run to the watchdog, which finds its lease expired.
    """
    ledger = RunLedger.claim(execution_id, worker)
    if ledger is None:
        return False
    with keeper.kept(ledger.held) as lease:
        lease.strategy_id = ledger.execution.strategy_id
        try:
            _carry_until_told(ledger, lease)
        except LeaseLost:
            logger.warning("run %s went to another worker; this one writes nothing more", execution_id)
    return True


def _carry_until_told(ledger: RunLedger, lease: Lease) -> None:
    try:
        try:
            _carry(ledger, lease)
        except HandOver:
            ledger.hand_over()
    except RunCancelled:
        ledger.finish(ExecutionStatus.CANCELLED)


def _carry(ledger: RunLedger, lease: Lease) -> None:
    # As it was read a moment ago, after the claim.
    cancelled = ledger.execution.cancel_requested_at is not None
    begun = ledger.held.begun
    while isinstance(action := next_action(ledger.states(), cancel_requested=cancelled), RunStep):
        try:
            lease.check()
        except RunHalted as halted:
            ledger.fail(KillSwitchActive.code, halted.detail)
            return
        if begun or _started(ledger, ledger.steps[action.index]):
            begun = False
            step: StepExecution | None = ledger.steps[action.index]
            while step is not None:
                step = _carry_step(ledger, step, lease)
        if ledger.ended:
            return
        # Asked anew at each boundary: the lease keeper's last look may be a second old.
        cancelled = ledger.cancel_asked()
    ledger.finish(action.status)


def _started(ledger: RunLedger, step: StepExecution) -> bool:
    """Write that a step begins; False when it may not, for which the run is failed if the desk is halted."""
    strategy_id = ledger.execution.strategy_id
    if killswitch.open_in_files(strategy_id=strategy_id) and ledger.step_start_if_open(step):
        return True
    try:
        # A halted desk starts nothing more, whatever the step would do.
        killswitch.assert_open(strategy_id=strategy_id)
    except AppError as halted:
        ledger.fail(halted.code, halted.detail)
        return False
    if ledger.cancel_asked():
        return False
    ledger.step_start(step)
    return True


def _carry_step(ledger: RunLedger, step: StepExecution, lease: Lease) -> StepExecution | None:
    """Try a step that has begun until it succeeds, fails for good, or has used its retries up.

    Returns:
        The step that has begun with this one's end; None when the boundary needs a closer look, or the run has ended.
    """
    tries = 0
    while True:
        tries += 1
        reporter = Reporter(ledger, step)
        lease.tell = reporter.flush_if_due
        try:
            result = _attempt(ledger, step, lease, reporter)
        except StepFailure as failure:
            reporter.log(f"attempt {step.attempts} failed: {failure}")
            step.logs = reporter.close()
            if failure.retryable and tries <= step.retries:
                try:
                    lease.pause(min(FIRST_PAUSE_S * 2.0 ** (tries - 1), BACKOFF_MAX_S))
                except RunHalted as halted:
                    failure = StepFailure(KillSwitchActive.code, halted.detail, retryable=False)
                else:
                    ledger.step_start(step)
                    continue
            ledger.step_fail(step, failure.code, failure.message, logs=step.logs)
            if failure.code == KillSwitchActive.code:
                # The desk's doing, not the step's: a run that may go on after a failure ends here all the same.
                ledger.fail(failure.code, failure.message)
            return None
        except (HandOver, RunCancelled):
            step.logs = reporter.close()
            raise
        finally:
            lease.tell = None
            reporter.close()
        return _go_on(ledger, step, result, lease, reporter.lines)


def _go_on(
    ledger: RunLedger, step: StepExecution, output: StepOutput, lease: Lease, logs: list[dict[str, Any]]
) -> StepExecution | None:
    """Write that a step is complete, and in the same transaction what follows when nothing speaks against it."""
    action = next_action(ledger.states(completed=step), cancel_requested=False)
    if isinstance(action, Finish):
        ledger.step_complete_and_finish(step, output, logs=logs)
        return None
    following = ledger.steps[action.index]
    open_ = lease.holds() and killswitch.open_in_files(strategy_id=ledger.execution.strategy_id)
    # Whether somebody has asked to cancel the run, or halted the desk in the database, the write itself looks.
    if open_ and ledger.step_complete_and_start(step, output, following, logs=logs):
        return following
    ledger.step_complete(step, output, logs=logs)
    return None


def _attempt(ledger: RunLedger, step: StepExecution, lease: Lease, reporter: Reporter) -> StepOutput:
    try:
        step_type = step_types.get(step.type)()
        config = config_typed(step.type, step.config)
    except UnknownName:
        raise StepFailure(STEP_TYPE_MISSING, f"no step type {step.type!r} is installed", retryable=False) from None
    except AppError as error:
        raise StepFailure(error.code, error.detail, retryable=False) from error
    context = _context(ledger, step, config, lease, reporter)
    lease.deadline = time.monotonic() + step.timeout_s if step.timeout_s else None
    try:
        return checked_output(step_type.run(context))
    except OutputInvalid as error:
        raise StepFailure(STEP_OUTPUT_INVALID, str(error), retryable=False) from error
    except (LeaseLost, HandOver, RunCancelled, StepFailure):
        raise
    except RunHalted as halted:
        raise StepFailure(KillSwitchActive.code, halted.detail, retryable=False) from None
    except StepTimedOut:
        raise StepFailure(STEP_TIMED_OUT, f"not finished within {step.timeout_s:g} s", retryable=True) from None
    except (StepRetryable, Unavailable) as error:
        raise StepFailure(error.code, error.detail, retryable=True) from error
    except AppError as error:
        raise StepFailure(error.code, error.detail, retryable=False) from error
    except (OperationalError, InterfaceError):
        # Nothing can be written down now; the run is taken up again when its lease has expired.
        raise
    except Exception as error:  # the border to code that others wrote: its faults end the step, not the worker
        logger.exception("step %s of run %s crashed", step.name, ledger.execution.pk)
        raise StepFailure(STEP_CRASHED, f"{type(error).__name__}: {error}", retryable=False) from error
    finally:
        lease.deadline = None


def _context(
    ledger: RunLedger, step: StepExecution, config: Mapping[str, Any], lease: Lease, reporter: Reporter
) -> StepContext:
    execution = ledger.execution
    return StepContext(
        execution_id=execution.pk,
        step_index=step.index,
        step_name=step.name,
        attempt=step.attempts,
        actor=Actor(kind="system", name=f"run {execution.pk}", user_id=execution.created_by_id),
        strategy_id=execution.strategy_id,
        strategy_name=execution.strategy.name,
        workflow_name=execution.workflow.name if execution.workflow else execution.strategy.name,
        symbols=tuple(execution.symbols),
        params=execution.params,
        config=config,
        as_of=execution.as_of,
        mode=execution.mode,
        outputs={done.name: done.result for done in ledger.steps if done.status == StepStatus.COMPLETED},
        log=reporter.log,
        progress=reporter.progress,
        check=lease.check,
    )
