"""The step type `slow`: waits, and leaves a line in a file at each start and end, which outlives a killed process."""

import os
import time
from pathlib import Path
from typing import ClassVar

from rest_framework import serializers

from tradingsite.common.contracts.steps import StepConfig, StepContext, StepResult, StepType, step_types


class SlowConfig(StepConfig):
    seconds = serializers.FloatField(min_value=0, max_value=600)


@step_types.register
class SlowStep(StepType):
    slug: ClassVar[str] = "slow"
    title: ClassVar[str] = "Slow"
    help: ClassVar[str] = "Waits for a number of seconds."
    config_class: ClassVar[type[StepConfig]] = SlowConfig

    def run(self, context: StepContext) -> StepResult:
        _note(context, "start")
        end = time.monotonic() + context.config["seconds"]
        while time.monotonic() < end:
            context.check()
            time.sleep(0.05)
        _note(context, "end")
        return StepResult({"waited": context.config["seconds"]}, "waited")


def _note(context: StepContext, what: str) -> None:
    # One short line appended at once is written whole, also from two processes.
    line = f"{context.execution_id} {context.step_name} {what} {os.getpid()} {time.time():.3f}\n"
    with Path(os.environ["SLOW_STEPS_FILE"]).open("a") as file:
        file.write(line)
