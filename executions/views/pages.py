"""The pages that are read: overview, runs, one run, goals, one goal."""

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse, QueryDict
from django.urls import reverse
from django.views.decorators.http import require_safe

from executions.choices import ExecutionStatus
from executions.pages.goals import goal_page, goals_page
from executions.pages.overview import overview as overview_context
from executions.pages.run import run_page
from executions.pages.runs import runs_page
from executions.views.door import answer, page
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow


@require_safe
@page
def overview(request: HttpRequest, actor: Actor, context: dict[str, Any]) -> HttpResponse:
    context |= {"section": "overview", "panels": "overview/panels.html", **overview_context(utcnow())}
    return answer(request, "overview/index", context)


@require_safe
@page
def run_list(request: HttpRequest, actor: Actor, context: dict[str, Any]) -> HttpResponse:
    status = request.GET.get("status", "")
    if status not in ExecutionStatus.values:
        status = ""
    found = runs_page(status=status, before=_uuid(request, "before"), after=_uuid(request, "after"))
    context |= {
        "section": "runs",
        "panels": "runs/list_panels.html",
        "next_url": _runs_url(status, "before", found["older_than"]),
        "previous_url": _runs_url(status, "after", found["newer_than"]),
        **found,
    }
    return answer(request, "runs/list", context)


@require_safe
@page
def run(request: HttpRequest, actor: Actor, context: dict[str, Any], execution_id: UUID) -> HttpResponse:
    context |= {"section": "runs", "panels": "runs/panels.html"}
    context |= run_page(execution_id=execution_id, actor=actor, wall=utcnow())
    return answer(request, "runs/run", context)


@require_safe
@page
def goal_list(request: HttpRequest, actor: Actor, context: dict[str, Any]) -> HttpResponse:
    text = request.GET.get("page", "")
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else 1
    context |= {"section": "goals", "panels": "goals/list_panels.html", **goals_page(number)}
    return answer(request, "goals/list", context)


@require_safe
@page
def goal(request: HttpRequest, actor: Actor, context: dict[str, Any], goal_id: UUID) -> HttpResponse:
    context |= {"section": "goals", "panels": "goals/panels.html", **goal_page(goal_id, wall=utcnow())}
    return answer(request, "goals/goal", context)


def _uuid(request: HttpRequest, name: str) -> UUID | None:
    """Return the id in the address; one that is none counts as not given, as an old bookmark should still open."""
    try:
        return UUID(request.GET.get(name, ""))
    except ValueError:
        return None


def _runs_url(status: str, name: str, edge: UUID | None) -> str:
    if edge is None:
        return ""
    query = QueryDict(mutable=True)
    if status:
        query["status"] = status
    query[name] = str(edge)
    return f"{reverse('run-list')}?{query.urlencode()}"
