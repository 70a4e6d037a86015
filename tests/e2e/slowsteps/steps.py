"""Step types for the tests.

`slow` waits, and leaves a line in a file at each start and end, which outlives a killed process; `buy_one` orders.
"""

import os
import time
from decimal import Decimal
from pathlib import Path
from typing import ClassVar

from rest_framework import serializers

from portfolio.selectors import account_default
from portfolio.services import order_place
from tradingsite.common.contracts.steps import StepConfig, StepContext, StepResult, StepType, step_types


class SlowConfig(StepConfig):
    seconds = serializers.FloatField(min_value=0, max_value=600)


@step_types.register
class SlowStep(StepType):
    slug: ClassVar[str] = "slow"
    title: ClassVar[str] = "Slow"
    help: ClassVar[str] = "Waits for a number of seconds."
    config_class: ClassVar[type[StepConfig]] = SlowConfig
    # So that it may stand among what a strategy decides by.
    reads_only: ClassVar[bool] = True

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


@step_types.register
class BuyStep(StepType):
    slug: ClassVar[str] = "buy_one"
    title: ClassVar[str] = "Buy one"
    help: ClassVar[str] = "Buys one share of each symbol, whatever is held already."
    config_class: ClassVar[type[StepConfig]] = StepConfig

    def run(self, context: StepContext) -> StepResult:
        orders = [
            order_place(
                actor=context.actor,
                account=account_default(),
                symbol=symbol,
                side="buy",
                quantity=Decimal(1),
                client_order_id=f"{context.execution_id}-{context.step_index}-{symbol}-open",
                strategy_id=context.strategy_id,
                execution_id=context.execution_id,
                source="sample",
                before_send=context.check,
            )
            for symbol in context.symbols
        ]
        return StepResult({"orders": [{"symbol": order.instrument.symbol, "status": order.status} for order in orders]})
