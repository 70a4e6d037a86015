"""What is read: every filter and order of the list of runs, shallow and deep, and what else counts or shows runs."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlencode

from django.db.models import QuerySet
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory

from benchmarks.reading.fill import Desk
from executions.api.filters import ExecutionFilterSet
from executions.models import WorkflowExecution
from tradingsite.common.api.pagination import _cursor_write, keyset_order
from tradingsite.common.clock import rfc3339, utcnow

RUNS = "/api/v1/runs"
ORDERS = tuple(f"{sign}{name}" for name in ("created_at", "started_at", "completed_at") for sign in ("-", ""))


@dataclass(frozen=True)
class Case:
    """One address; `deep` is how many rows of the list lie before it, and `first` the address of the page without them."""

    group: str
    name: str
    url: str
    deep: int = 0
    first: str = ""
    page: bool = False


def _url(path: str = RUNS, **query: str | int) -> str:
    return f"{path}?{urlencode(query)}" if query else path


def _rows(query: dict[str, str | int]) -> QuerySet[WorkflowExecution]:
    request = Request(APIRequestFactory().get(RUNS, query))
    rows = ExecutionFilterSet(request.query_params, queryset=WorkflowExecution.objects.all(), request=request).qs
    found: QuerySet[WorkflowExecution] = keyset_order(rows, str(query.get("ordering", "-created_at")))
    return found


def _deep(group: str, name: str, at: int, **query: str | int) -> Iterator[Case]:
    """Return the first page and the one behind `at` rows, or behind half of them where there are fewer than twice as many."""
    rows = _rows(query)
    at = min(at, rows.count() // 2)
    order = str(query.get("ordering", "-created_at")).removeprefix("-")
    cursor = _cursor_write(rows.only("id", order)[at - 1], order, "n")
    first = _url(**query)
    yield Case(group, name, first)
    yield Case(group, f"{name}, {at:,} deep", _url(**query, cursor=cursor), deep=at, first=first)


def run_lists(desk: Desk, deep: int) -> Iterator[Case]:
    """The list of runs."""
    now = utcnow()
    year, month, day = (rfc3339(now - timedelta(days=days)) for days in (365, 30, 1))
    workflows = {"hot": desk.hot, "middling": desk.middling, "retired": desk.retired, "new": desk.new}
    for order in ORDERS:
        yield from _deep("order", f"by {order}", deep, ordering=order)
    yield from _deep("page size", "200 rows", deep, page_size=200)
    for word in ("completed", "failed", "cancelled", "running", "pending"):
        for order in ("-created_at", "-started_at", "completed_at"):
            yield from _deep("status", f"{word} by {order}", deep, status=word, ordering=order)
    for title, workflow in workflows.items():
        for order in ORDERS:
            yield from _deep(
                "workflow", f"{title} workflow by {order}", deep, workflow_id=str(workflow.pk), ordering=order
            )
    for order in ORDERS:
        yield from _deep("strategy", f"strategy by {order}", deep, strategy_id=str(desk.strategy.pk), ordering=order)
    for title, workflow in workflows.items():
        for word in ("completed", "failed", "pending"):
            for order in ("-created_at", "-started_at"):
                query = {"workflow_id": str(workflow.pk), "status": word, "ordering": order}
                yield Case("workflow and status", f"{title}, {word} by {order}", _url(**query))
    strategy_failed = {"strategy_id": str(desk.strategy.pk), "status": "failed"}
    yield Case("strategy and status", "strategy, failed", _url(**strategy_failed))
    yield Case("strategy and status", "strategy of a workflow", _url(
        strategy_id=str(desk.strategy.pk), workflow_id=str(desk.strategy.workflow_id)
    ))  # fmt: skip
    for title, span in {
        "created, last day": {"created_after": day},
        "created, a month a year ago": {"date_range": f"{rfc3339(now - timedelta(days=395))},{year}"},
        "created before a year ago": {"created_before": year},
        "started, last month": {"started_after": month},
        "started before a year ago": {"started_before": year},
        "started, a day a month ago": {
            "started_after": rfc3339(now - timedelta(days=31)), "started_before": month,
        },
    }.items():  # fmt: skip
        for order in ("-created_at", "created_at", "-started_at", "completed_at"):
            yield Case("times", f"{title} by {order}", _url(**span, ordering=order))
        for word in ("failed", "pending"):
            yield Case("times and status", f"{title}, {word}", _url(**span, status=word))
        for name, workflow in workflows.items():
            yield Case("times and workflow", f"{title}, {name} workflow", _url(**span, workflow_id=str(workflow.pk)))
        yield Case("times and strategy", f"{title}, strategy", _url(**span, strategy_id=str(desk.strategy.pk)))


def totals(desk: Desk) -> Iterator[Case]:
    """Lists that are asked for their total."""
    yield Case("total", "all runs", _url(count="true"))
    yield Case("total", "completed", _url(count="true", status="completed"))
    yield Case("total", "hot workflow", _url(count="true", workflow_id=str(desk.hot.pk)))
    yield Case("total", "hot workflow, failed", _url(count="true", workflow_id=str(desk.hot.pk), status="failed"))
    yield Case("total", "strategy", _url(count="true", strategy_id=str(desk.strategy.pk)))


def around(desk: Desk) -> Iterator[Case]:
    """What else counts or shows runs."""
    tasks = "/api/v1/tasks"
    yield Case("tasks", "active", tasks)
    for words in ("PENDING", "STARTED", "RETRY", "SUCCESS", "FAILURE", "REVOKED", "SUCCESS,FAILURE"):
        yield Case("tasks", words, _url(tasks, status=words))
    yield Case("tasks", "of a strategy", _url(tasks, strategy_id=str(desk.strategy.pk), status="FAILURE"))
    yield Case("tasks", "metrics", f"{tasks}/metrics")
    yield Case("workflows", "list", "/api/v1/workflows")
    yield Case("workflows", "list by executions_count", "/api/v1/workflows?ordering=-executions_count")
    for title, workflow in {"hot": desk.hot, "middling": desk.middling, "retired": desk.retired}.items():
        yield Case("workflows", f"{title}, detail", f"/api/v1/workflows/{workflow.pk}")
    run = WorkflowExecution.objects.filter(status="completed").order_by("-created_at").first()
    assert run is not None
    yield Case("one run", "detail", f"{RUNS}/{run.pk}")
    yield Case("one run", "steps", f"{RUNS}/{run.pk}/steps")


def analytics(desk: Desk) -> Iterator[Case]:
    """The figures of workflows."""
    base = "/api/v1/workflows"
    year = rfc3339(utcnow() - timedelta(days=365))
    some = ",".join(str(row.pk) for row in (desk.hot, desk.middling, desk.retired))
    cases = [
        Case("metrics", f"{title}{what}", _url(f"{base}/{workflow.pk}/metrics", **query))
        for title, workflow in {"hot": desk.hot, "middling": desk.middling, "retired": desk.retired}.items()
        for what, query in {"": {}, ", a year": {"created_after": year}, ", one version": {"version": 1}}.items()
    ]
    cases.append(Case("metrics", "hot, trends", f"{base}/{desk.hot.pk}/metrics/trends"))
    cases.append(Case("compare", "three workflows", _url(f"{base}/compare", workflow_ids=some)))
    yield from cases


def pages(deep: int) -> Iterator[Case]:
    """The pages that people look at, asked for with a session."""
    yield Case("pages", "overview", "/", page=True)
    yield Case("pages", "runs", "/runs/", page=True)
    for word in ("completed", "failed", "pending"):
        yield Case("pages", f"runs, {word}", f"/runs/?status={word}", page=True)
    rows = WorkflowExecution.objects.order_by("-pk").values_list("pk", flat=True)
    edge = rows[min(deep, rows.count() // 2)]
    yield Case("pages", f"runs, {deep:,} deep", f"/runs/?before={edge}", deep=deep, first="/runs/", page=True)
    run = WorkflowExecution.objects.filter(status="completed").order_by("-created_at").first()
    assert run is not None
    yield Case("pages", "one run", f"/runs/{run.pk}/", page=True)
