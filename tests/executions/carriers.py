"""Workers that a test leads by the hand: the real runner in a thread, which stands still inside every step.

`standing` says where one stands, `go` how its step ends; a late word comes exactly when the test wants it.
"""

import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from django.db import OperationalError, connections

from executions.runner import run_execution
from tests.executions.conftest import Trials
from tradingsite.common.contracts.steps import StepConfig, StepContext, StepError, StepResult, StepRetryable, StepType
from workflows.models import Strategy

ANSWER_S = 30.0


class Carrier(threading.Thread):
    """A worker with one message: the real runner in a thread, in step with the test."""

    def __init__(self, execution_id: Any) -> None:
        super().__init__(name="carrier", daemon=True)
        self._execution_id = execution_id
        self._news: queue.Queue[StepContext | None] = queue.Queue()
        self._orders: queue.Queue[Callable[[StepContext], StepResult]] = queue.Queue()
        self.carried = False

    def run(self) -> None:
        try:
            self.carried = run_execution(self._execution_id, "carrier")
        except OperationalError:
            # As if its process had died: nothing more is written.
            self.carried = True
        finally:
            connections.close_all()
            self._news.put(None)

    def told(self, context: StepContext) -> StepResult:
        """Stand still inside a step until the test says how it ends."""
        self._news.put(context)
        return self._orders.get(timeout=ANSWER_S)(context)

    def standing(self) -> StepContext | None:
        """Return the step that it stands in; None when it is through."""
        context = self._news.get(timeout=ANSWER_S)
        if context is None:
            self.join(ANSWER_S)
        return context

    def go(self, order: Callable[[StepContext], StepResult]) -> StepContext | None:
        self._orders.put(order)
        return self.standing()


class ToldStep(StepType):
    slug: ClassVar[str] = "told"
    title: ClassVar[str] = "Told"
    help: ClassVar[str] = "Ends as a test says."
    config_class: ClassVar[type[StepConfig]] = StepConfig

    def run(self, context: StepContext) -> StepResult:
        carrier = threading.current_thread()
        assert isinstance(carrier, Carrier)
        return carrier.told(context)


def succeed(context: StepContext) -> StepResult:
    return StepResult({"attempt": context.attempt}, "done")


def look_and_succeed(context: StepContext) -> StepResult:
    context.check()
    return succeed(context)


def hand_over(context: StepContext) -> StepResult:
    return look_and_succeed(context)


def fail(_: StepContext) -> StepResult:
    raise StepError("for good")


def crash(_: StepContext) -> StepResult:
    raise RuntimeError("a fault of the step")


def fail_for_now(_: StepContext) -> StepResult:
    raise StepRetryable("for now")


def no_json(_: StepContext) -> StepResult:
    return StepResult({"attempt": float("nan")})


def die(_: StepContext) -> StepResult:
    raise OperationalError("the worker is gone")


class ToldTrials:
    """Strategies whose steps are told what to do, one for each list of steps."""

    def __init__(self, trials: Trials) -> None:
        self.actor = trials.actor
        self._trials = trials
        self._made: dict[tuple[tuple[str, int], ...], Strategy] = {}

    def told(self, kinds: Sequence[tuple[str, int]]) -> Strategy:
        if tuple(kinds) not in self._made:
            steps = [
                {"name": f"s{n}", "type": "told", "on_error": on_error, "retries": retries, "timeout_s": 3600}
                for n, (on_error, retries) in enumerate(kinds)
            ]
            self._made[tuple(kinds)] = self._trials.strategy(self._trials.workflow(*steps))
        return self._made[tuple(kinds)]
