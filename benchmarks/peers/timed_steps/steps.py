"""A step that does nothing but say when."""

import time
from typing import ClassVar

from tradingsite.common.contracts.steps import StepConfig, StepContext, StepResult, StepType, step_types


@step_types.register
class TimedStep(StepType):
    slug: ClassVar[str] = "timed"
    title: ClassVar[str] = "Timed"
    help: ClassVar[str] = "Notes when it began and ended."
    config_class: ClassVar[type[StepConfig]] = StepConfig

    def run(self, context: StepContext) -> StepResult:
        began = time.monotonic()
        return StepResult({"began": began, "ended": time.monotonic()}, "done")
