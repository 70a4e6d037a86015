"""The admin's first page: how the desk does now, before the list of tables."""

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from django.urls import reverse

from executions.choices import ExecutionStatus
from executions.models import WorkflowExecution
from portfolio import selectors as portfolio
from portfolio.choices import OPEN
from portfolio.models import Order
from safety import selectors as safety
from safety.models import AlertEvent, KillSwitch
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
    open_orders = portfolio.orders_visible().filter(status__in=OPEN).count()
    context["desk_cards"] = [
        _card(request, "Trading", "Stopped" if switch["active"] else status["trading_state"].capitalize(),
              switch["reason"] or "The gate lets orders within the limits pass.", KillSwitch, bad=switch["active"]),
        _card(request, "Failed runs, 24 hours", failed, f"Of {runs.count()} runs.", WorkflowExecution, bad=bool(failed)),
        _card(request, "Orders today", status["trades_today"], f"{open_orders} still open.", Order),
        _card(request, "Alerts not seen", waiting, "Mark them once somebody has looked.", AlertEvent, bad=bool(waiting)),
        _card(request, "Waiting to be sent", unsent, "Work for the queue; empty at rest.", OutboxMessage),
    ]  # fmt: skip
    return context


def _card(
    request: HttpRequest, title: str, figure: Any, line: str, model: type[Model], *, bad: bool = False
) -> dict[str, Any]:
    """Return one card; it leads to its table where that is in the admin and this person may see it."""
    app, name = model._meta.app_label, model._meta.model_name
    seen = admin.site.is_registered(model) and request.user.has_perm(f"{app}.view_{name}")
    link = reverse(f"admin:{app}_{name}_changelist") if seen else ""
    return {"title": title, "figure": figure, "line": line, "link": link, "bad": bad}
