"""Two changes of one strategy at once, on PostgreSQL, with a control that shows the race without the lock."""

import itertools
import threading
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from django.db import IntegrityError, OperationalError, connection, transaction

from executions.models import WorkflowExecution
from tests.workflows.conftest import SYSTEM
from tests.workflows.test_race import _at_once
from workflows import services
from workflows.models import Strategy, StrategyVersion
from workflows.selectors import strategy_locked
from workflows.services import strategies

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]


def _change(strategy: Strategy, **changes: Any) -> Callable[[], Strategy]:
    return lambda: services.strategy_update(actor=SYSTEM, strategy_id=strategy.pk, changes=changes)


def test_simultaneous_changes_are_all_kept_each_as_its_own_version(make_workflow: Any, make_strategy: Any) -> None:
    strategy = make_strategy(workflow_id=make_workflow().pk)
    restore = lambda: services.strategy_version_restore(actor=SYSTEM, strategy_id=strategy.pk, number=1)  # noqa: E731
    periods = [_change(strategy, param={"trend_period": period}) for period in range(20, 25)]
    results = _at_once(*periods, _change(strategy, symbols=["IBM"]), restore, restore)
    assert not [result for result in results if isinstance(result, Exception)]
    rows = list(StrategyVersion.objects.order_by("version_number"))
    assert [row.version_number for row in rows] == list(range(1, 10))
    strategy.refresh_from_db()
    newest = rows[-1]
    assert (newest.param, newest.symbols) == (strategy.param, strategy.symbols)
    assert strategy.version_number == 9
    # Who changes the one does not write the other back as it was: of two neighbours one differs in one thing alone,
    # unless it is a return to version 1.
    for before, after in itertools.pairwise(rows):
        if not after.reason:
            assert (before.param == after.param) != (before.symbols == after.symbols)


def test_control_without_the_lock_two_changes_take_one_number(
    make_workflow: Any, make_strategy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    strategy = make_strategy(workflow_id=make_workflow().pk)
    both_have_looked = threading.Barrier(2)

    def unlocked(strategy_id: UUID) -> Strategy:
        row: Strategy = Strategy.objects.get(pk=strategy_id)
        both_have_looked.wait(10)
        return row

    monkeypatch.setattr(strategies, "strategy_locked", unlocked)
    results = _at_once(_change(strategy, param={"trend_period": 20}), _change(strategy, symbols=["IBM"]))
    assert len([result for result in results if isinstance(result, IntegrityError)]) == 1


@pytest.mark.parametrize("whole_row", [False, True])
def test_a_run_that_begins_does_not_wait_for_a_change_of_its_strategy(
    make_workflow: Any, make_strategy: Any, whole_row: bool
) -> None:
    """Else each could wait for the other: the run for the strategy, the change for the workflow that the run counts on.
    The control takes the row with its key."""
    strategy = make_strategy(workflow_id=make_workflow().pk)
    held, begun = threading.Event(), threading.Event()

    def change() -> None:
        with transaction.atomic():
            if whole_row:
                Strategy.objects.select_for_update().get(pk=strategy.pk)
            else:
                strategy_locked(strategy.pk)
            held.set()
            begun.wait(10)

    def begin() -> bool:
        held.wait(10)
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SET LOCAL lock_timeout = '500ms'")
                WorkflowExecution.objects.create(strategy=strategy, task_id="x")
                cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        except OperationalError:
            return True
        finally:
            begun.set()
        return False

    assert _at_once(change, begin)[1] is whole_row
