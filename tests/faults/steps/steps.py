"""Step types for the fault tests: `marked` waits, `deadly` kills its worker, `stumbling` fails in its run's first life."""

import os
import signal
import time
from typing import ClassVar

from django.db import connection
from rest_framework import serializers

from tradingsite.common.contracts.steps import StepConfig, StepContext, StepError, StepResult, StepType, step_types


def mark(context: StepContext) -> None:
    """Leave a row that outlives the worker, outside of any transaction."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO fault_mark (execution_id, step, attempt, pid) VALUES (%s, %s, %s, %s)",
            [context.execution_id, context.step_name, context.attempt, os.getpid()],
        )


class MarkedConfig(StepConfig):
    seconds = serializers.FloatField(min_value=0, max_value=600)


@step_types.register
class MarkedStep(StepType):
    slug: ClassVar[str] = "marked"
    title: ClassVar[str] = "Marked"
    help: ClassVar[str] = "Waits, and leaves a mark when it begins."
    config_class: ClassVar[type[StepConfig]] = MarkedConfig

    def run(self, context: StepContext) -> StepResult:
        mark(context)
        end = time.monotonic() + context.config["seconds"]
        while time.monotonic() < end:
            context.check()
            time.sleep(0.05)
        return StepResult({"waited": context.config["seconds"]}, "waited")


@step_types.register
class DeadlyStep(StepType):
    slug: ClassVar[str] = "deadly"
    title: ClassVar[str] = "Deadly"
    help: ClassVar[str] = "Kills the process that carries it."
    config_class: ClassVar[type[StepConfig]] = StepConfig

    def run(self, context: StepContext) -> StepResult:
        mark(context)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("nobody outlives that")


@step_types.register
class StumblingStep(StepType):
    slug: ClassVar[str] = "stumbling"
    title: ClassVar[str] = "Stumbling"
    help: ClassVar[str] = "Fails at its first attempt, for good."
    config_class: ClassVar[type[StepConfig]] = StepConfig

    def run(self, context: StepContext) -> StepResult:
        mark(context)
        if context.attempt == 1:
            raise StepError("this life was not to be")
        return StepResult({}, "stood up again")
