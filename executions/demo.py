"""The demo run: the main job once over the sample prices, told line by line."""

import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from django.contrib.auth.models import User

from executions.choices import TERMINAL
from executions.models import StepExecution, WorkflowExecution
from executions.services import execution_create
from executions.setup import ADMIN
from portfolio.selectors import account_default, account_summary
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow
from tradingsite.common.decimals import decimal_string
from tradingsite.common.errors import AppError
from workflows.demo import DEMO_RUN_STRATEGY
from workflows.models import Strategy

TIMEOUT_S = 60.0
POLL_S = 0.1

Write = Callable[[str], object]


def demo_run(*, write: Write, strategy_name: str = DEMO_RUN_STRATEGY) -> str:
    """Run a strategy of the demo desk, wait for the end and write down what happened; return the run's status.

    Workers must be running. The run is an ordinary one: it shows on the pages and counts in the account.
    """
    strategy = Strategy.objects.alive().select_related("workflow").get(name=strategy_name)
    try:
        execution = execution_create(
            actor=Actor.for_user(User.objects.get(username=ADMIN)), workflow=strategy.workflow, strategy=strategy
        )
    except AppError as error:
        write(f"The demo run could not start: {error}")
        return "refused"
    write(
        f"\nDemo run of “{strategy.workflow.name}” with “{strategy.name}” over the sample prices (real, 2000 to 2013):"
    )
    shown: set[int] = set()
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        execution.refresh_from_db()
        _steps_tell(execution, shown, write)
        if execution.status in TERMINAL:
            break
        if time.monotonic() > deadline:
            write(f"  still {execution.status} after {TIMEOUT_S:.0f} s; it goes on, follow it at /runs/{execution.pk}/")
            return str(execution.status)
        time.sleep(POLL_S)
    run_tell(execution, write)
    return str(execution.status)


def _steps_tell(execution: WorkflowExecution, shown: set[int], write: Write) -> None:
    for step in StepExecution.objects.filter(execution=execution).order_by("index"):
        if step.completed_at is not None and step.index not in shown:
            shown.add(step.index)
            write(f"  {step.index + 1}. {step.name:<16} {step.status:<10} {step.summary}")


def run_tell(execution: WorkflowExecution, write: Write) -> None:
    """Write what a finished run decided, what the gate said, what was ordered, and what the account is worth."""
    results = execution.results or {}
    if execution.error_message:
        write(f"  {execution.error_code}: {execution.error_message}")
    for decision in results.get("decisions", []):
        write(f"  decided   {decision['action']:<4} {decision['symbol']:<6} {decision['reason']}")
    for order in results.get("orders", []):
        write(_order_line(order))
    if not results.get("orders"):
        write("  ordered   nothing")
    summary = account_summary(account_default(), utcnow())
    write(f"  account   equity {_money(summary['equity'])}, cash {_money(summary['cash'])}")
    for position in summary["positions"]:
        write(
            f"            {decimal_string(position['quantity'])} {position['symbol']} at {_money(position['mark_price'])}"
        )


def _order_line(order: dict[str, Any]) -> str:
    gate = "gate passed" if order["status"] != "denied" else f"gate denied: {order['code']}"
    line = f"  ordered   {order['side']:<4} {order['quantity']} {order['symbol']}: {gate}, {order['status']}"
    if Decimal(order["filled_quantity"]):
        line += f", {order['filled_quantity']} at {_money(order['average_price'])}, fee {_money(order['fees'])}"
    return line


def _money(amount: Any) -> str:
    return "unknown" if amount is None else f"{Decimal(str(amount)):,.2f}"
