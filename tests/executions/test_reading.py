"""What a page of the list costs PostgreSQL, counted in blocks: the same at any depth, for any filter in any order.

Blocks, unlike milliseconds, do not depend on the machine. `benchmarks/lists.py` measures the time, with the same rows.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import AbstractBaseUser
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from benchmarks.reading.fill import Desk, desk, runs_write
from executions.models import WorkflowExecution

pytestmark = [pytest.mark.postgres, pytest.mark.django_db]
TOTAL = 20_000
FILTERS = (
    "workflow_id={retired.pk}", "workflow_id={retired.pk}&status=failed", "workflow_id={new.pk}", "workflow_id={hot.pk}",
    "workflow_id={retired.pk}&created_after=2100-01-01", "strategy_id={strategy.pk}", "status=cancelled",
    "status=running", "created_before=2000-01-01", "started_before=2000-01-01",
)  # fmt: skip
ORDERS = ("-created_at", "created_at", "-started_at", "started_at", "-completed_at", "completed_at")


@pytest.fixture
def filled(viewer: AbstractBaseUser) -> Desk:
    with connection.cursor() as cursor:
        # A table and indexes of their own until the rollback: what earlier tests have rolled back lies in the old ones.
        cursor.execute("TRUNCATE workflow_execution CASCADE")
    runs_write(TOTAL, viewer)
    with connection.cursor() as cursor:
        # All that a page joins: a table last analysed while it was empty has the planner begin with it.
        cursor.execute("ANALYZE workflow_execution, workflow, workflow_versions, strategy, auth_user")
    return desk()


class Reader:
    """Reads pages and knows what their statement cost."""

    def __init__(self, client: APIClient) -> None:
        self.client = client
        self.plan: dict[str, Any] = {}

    def blocks(self, url: str) -> int:
        """Return how many blocks of the runs and of their indexes the statement for this page touches."""
        parts = urlsplit(url)
        with CaptureQueriesContext(connection) as made:
            answer = self.client.get(f"{parts.path}?{parts.query}")
        assert answer.status_code == 200, answer.content
        touched = 0
        for query in made:
            if "LIMIT" not in query["sql"] or '"workflow_execution"' not in query["sql"]:
                continue
            with connection.cursor() as cursor:
                # Whether an index serves is asked. That reading twenty thousand rows is sometimes thought as cheap is not.
                cursor.execute("SET LOCAL enable_seqscan = off")
                cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {query['sql']}")
                found = cursor.fetchone()[0]
            self.plan = (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]
            touched += blocks_of_runs(self.plan)
        return touched


@pytest.fixture
def reader(api: Callable[..., APIClient]) -> Reader:
    return Reader(api("viewer"))


def blocks_of_runs(plan: dict[str, Any]) -> int:
    """Add up the blocks of the nodes that read the runs; the names joined to them lie in tables of any test's size."""
    if plan.get("Relation Name") == "workflow_execution":
        touched: int = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
        return touched
    return sum(blocks_of_runs(part) for part in plan.get("Plans", ()))


def table_blocks() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_relation_size('workflow_execution') / current_setting('block_size')::int")
        return int(cursor.fetchone()[0])


def scans(plan: dict[str, Any]) -> Iterator[str]:
    """Yield how each table is read, as `Seq Scan workflow_execution`."""
    if "Relation Name" in plan:
        yield f"{plan['Node Type']} {plan['Relation Name']}"
    for part in plan.get("Plans", ()):
        yield from scans(part)


def test_a_page_far_down_the_list_touches_as_little_as_the_first(filled: Desk, reader: Reader) -> None:
    costly = []
    for order in ORDERS:
        url: str | None = f"/api/runs?ordering={order}&page_size=200"
        assert url is not None
        first = reader.blocks(url)
        for _ in range(60):
            assert url is not None
            url = reader.client.get(url).json()["next"]
        assert url is not None
        deep = reader.blocks(url)
        # Twelve thousand rows lie above it; their entries of the index fill hundreds of blocks.
        if deep > first * 1.3 + 20:
            costly.append((order, first, deep))
    assert not costly


def test_no_filter_in_any_order_reads_the_table(filled: Desk, reader: Reader) -> None:
    costly = []
    half = table_blocks() / 2
    for query in FILTERS:
        for order in ORDERS:
            url = f"/api/runs?{query.format(**vars(filled))}&ordering={order}"
            touched = reader.blocks(url)
            # With an index that lacks the filter, the runs of a retired workflow lie behind three quarters of all rows.
            if touched > half or "Seq Scan workflow_execution" in scans(reader.plan):
                costly.append((query, order, touched, half))
    assert not costly


def test_a_total_is_counted_in_the_runs_alone(db: None, api: Callable[..., APIClient]) -> None:
    for url in ("/api/runs?count=true", "/api/tasks?count=true"):
        with CaptureQueriesContext(connection) as made:
            assert api("viewer").get(url).json()["count"] == 0
        counted = next(query["sql"] for query in made if "COUNT" in query["sql"])
        assert "JOIN" not in counted


def test_renewing_a_lease_changes_no_index(db: None) -> None:
    indexed = {name.removeprefix("-") for index in WorkflowExecution._meta.indexes for name in index.fields}
    # PostgreSQL writes an entry into every index of the table when an indexed column changes.
    assert not indexed & {"lease_until", "progress", "updated_at", "fence", "attempts"}
