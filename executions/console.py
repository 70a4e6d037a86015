"""The admin's first page: how the desk does now, before the list of tables."""

from datetime import timedelta
from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from executions.choices import ExecutionStatus
from executions.models import WorkflowExecution
from portfolio import selectors as portfolio
from safety import selectors as safety
from tradingsite.common.clock import utcnow
from tradingsite.common.models import OutboxMessage

WINDOW = timedelta(hours=24)


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add `desk_cards` to the context: title, figure, line, link and whether it wants attention."""
    status = safety.safety_status()
    since = utcnow() - WINDOW
    runs = WorkflowExecution.objects.filter(created_at__gte=since)
    failed = runs.filter(status=ExecutionStatus.FAILED).count()
    waiting = safety.alert_history().filter(acknowledged_at=None).count()
    unsent = OutboxMessage.objects.filter(published_at=None).count()
    switch = status["kill_switch"]
    open_orders = portfolio.orders_visible().open().count()
    context["desk_cards"] = [
        _card(request, "Trading", "Stopped" if switch["active"] else status["trading_state"].capitalize(),
              switch["reason"] or "The gate lets orders within the limits pass.", "safety.killswitch", bad=switch["active"]),
        _card(request, "Runs in 24 hours", runs.count(), f"{failed} failed", "executions.workflowexecution", bad=bool(failed)),
        _card(request, "Orders today", status["trades_today"], f"{open_orders} open", "portfolio.order"),
        _card(request, "Alerts not seen", waiting, "Mark them once somebody has looked.", "safety.alertevent", bad=bool(waiting)),
        _card(request, "Waiting to be sent", unsent, "Work for the queue; empty at rest.", "common.outboxmessage"),
    ]  # fmt: skip
    return context


def _card(request: HttpRequest, title: str, figure: Any, line: str, label: str, *, bad: bool = False) -> dict[str, Any]:
    """Return one card; it leads to its table where this person may see that."""
    app, model = label.split(".")
    seen = request.user.has_perm(f"{app}.view_{model}")  # type: ignore[union-attr]  # only staff come here
    link = reverse(f"admin:{app}_{model}_changelist") if seen else ""
    return {"title": title, "figure": figure, "line": line, "link": link, "bad": bad}
