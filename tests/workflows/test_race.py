"""Two writers at once, on PostgreSQL; each test has a control that shows the race without the lock."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from tests.workflows.conftest import SYSTEM
from tradingsite.common.writes import write_part
from workflows import services
from workflows.errors import WorkflowInUse
from workflows.models import Strategy, Workflow, WorkflowVersion
from workflows.services import definitions
from workflows.templates import template

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]


def _at_once(*works: Callable[[], Any]) -> list[Any]:
    """Run the works in threads that start together; return what each returned or raised."""
    results: list[Any] = [None] * len(works)
    barrier = threading.Barrier(len(works))

    def run(index: int) -> None:
        try:
            barrier.wait(10)
            results[index] = works[index]()
        except (IntegrityError, WorkflowInUse) as error:
            results[index] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return results


def _update(row: Workflow, period: int) -> Callable[[], Workflow]:
    body = template("two_indicator")
    body["default_params"]["trend_period"] = period
    return lambda: services.workflow_update(actor=SYSTEM, workflow_id=row.pk, **{**body, "name": row.name})


def test_simultaneous_updates_each_get_their_own_version(make_workflow: Any) -> None:
    row = make_workflow()
    results = _at_once(*[_update(row, period) for period in range(20, 28)])
    assert not [result for result in results if isinstance(result, Exception)]
    numbers = list(WorkflowVersion.objects.filter(workflow=row).values_list("version_number", flat=True))
    assert sorted(numbers) == list(range(1, 10))
    row.refresh_from_db()
    assert row.current_version.version_number == 9
    assert row.current_version.default_params == row.default_params


def test_control_without_the_lock_two_updates_take_one_number(
    make_workflow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = make_workflow()
    both_have_looked = threading.Barrier(2)
    saved = definitions._version_add

    def unlocked(workflow_id: Any) -> Workflow:
        return Workflow.objects.get(pk=workflow_id)

    def add_after_both(*args: Any, **kwargs: Any) -> WorkflowVersion:
        both_have_looked.wait(10)
        return saved(*args, **kwargs)

    monkeypatch.setattr(definitions, "_alive", unlocked)
    monkeypatch.setattr(definitions, "_version_add", add_after_both)
    results = _at_once(_update(row, 20), _update(row, 21))
    assert len([result for result in results if isinstance(result, IntegrityError)]) == 1


def test_a_workflow_is_not_deleted_under_a_strategy_that_is_being_made(make_workflow: Any) -> None:
    row = make_workflow()
    strategy_waits, go_on = threading.Event(), threading.Event()

    def make() -> None:
        with transaction.atomic():
            services.strategy_create(actor=SYSTEM, name="S", workflow_id=row.pk)
            strategy_waits.set()
            go_on.wait(10)

    def delete() -> None:
        strategy_waits.wait(10)
        # The delete must be waiting for the row's lock by now; it is let go on a little later.
        threading.Timer(0.3, go_on.set).start()
        services.workflow_delete(actor=SYSTEM, workflow_id=row.pk)

    results = _at_once(make, delete)
    assert isinstance(results[1], WorkflowInUse)
    row.refresh_from_db()
    assert row.deleted_at is None
    assert Strategy.objects.alive().count() == 1


def test_control_without_the_lock_the_strategy_loses_its_workflow(
    make_workflow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = make_workflow()
    monkeypatch.setattr("workflows.services.strategies._workflow", lambda pk: Workflow.objects.get(pk=pk))
    strategy_looked, deleted = threading.Event(), threading.Event()

    def make() -> None:
        with transaction.atomic():
            Workflow.objects.get(pk=row.pk)
            strategy_looked.set()
            deleted.wait(10)
            services.strategy_create(actor=SYSTEM, name="S", workflow_id=row.pk)

    def delete() -> None:
        strategy_looked.wait(10)
        services.workflow_delete(actor=SYSTEM, workflow_id=row.pk)
        deleted.set()

    _at_once(make, delete)
    row.refresh_from_db()
    assert row.deleted_at is not None
    assert Strategy.objects.alive().filter(workflow=row).count() == 1


def test_simultaneous_clones_get_different_names(make_workflow: Any) -> None:
    row = make_workflow("Origin")
    clone = lambda: services.workflow_clone(actor=SYSTEM, workflow_id=row.pk)  # noqa: E731
    results = _at_once(*[clone for _ in range(4)])
    names = sorted(result.name for result in results)
    assert names == ["Origin (Copy 2)", "Origin (Copy 3)", "Origin (Copy 4)", "Origin (Copy)"]


def test_counted_runs_are_not_lost(make_workflow: Any) -> None:
    row = make_workflow()
    _at_once(*[lambda: write_part(services.execution_counted(row.pk)) for _ in range(8)])
    row.refresh_from_db()
    assert row.executions_count == 8
