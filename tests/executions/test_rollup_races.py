"""Rolling up at the same moment. The control, without the lock, shows that there is a race."""

import contextlib
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connections, transaction

from executions import analytics, endings, rollup
from executions.models import RunEnding, WorkflowExecution
from tests.executions.analytics_desk import Desk, make_desk, note
from tradingsite.common import clock
from workflows.models import MetricsCoverage, WorkflowMetrics

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]

NOON = datetime(2026, 3, 10, 17, 0, tzinfo=UTC)
YESTERDAY = NOON - timedelta(days=1)


@pytest.fixture
def desk(transactional_db: None) -> Desk:
    """A desk whose days are closed, with one run of yesterday."""
    with clock.frozen(NOON):
        desk = make_desk(workflows=3)
        desk.run(YESTERDAY)
        rollup.close_days()
    return desk


def at_once(*works: Callable[[], Any]) -> None:
    """Run all `works` in threads of their own, and raise what one of them raised."""
    raised: list[BaseException] = []

    def run(work: Callable[[], Any]) -> None:
        try:
            with clock.frozen(NOON):
                work()
        except BaseException as error:  # noqa: BLE001  # told below, whatever it was
            raised.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    if raised:
        raise raised[0]


def ends(desk: Desk, workflow: int = 0) -> RunEnding:
    return note(desk.run(YESTERDAY, workflow=workflow))


def older_count_is_written_last(desk: Desk, monkeypatch: pytest.MonkeyPatch, wait_s: float) -> None:
    """Let one rolling up count, and before it writes, a run end and another rolling up do its whole work."""
    counted, other_done = threading.Event(), threading.Event()
    days_count = rollup.days_count
    first = ends(desk)

    def slow(*args: Any) -> Any:
        found = days_count(*args)
        if threading.current_thread().name == "slow":
            counted.set()
            other_done.wait(wait_s)
        return found

    def one() -> None:
        threading.current_thread().name = "slow"
        rollup.roll_up([first])

    def other() -> None:
        assert counted.wait(10)
        rollup.roll_up([ends(desk)])
        other_done.set()

    monkeypatch.setattr(rollup, "days_count", slow)
    at_once(one, other)


def runs_in_the_row() -> int:
    return int(WorkflowMetrics.objects.get().metrics["total_executions"])


def test_no_older_count_is_written_over_a_newer_one(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    older_count_is_written_last(desk, monkeypatch, 0.5)
    assert runs_in_the_row() == WorkflowExecution.objects.count() == 3


def test_control_without_the_lock_it_is(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollup, "coverage_locked", lambda: list(MetricsCoverage.objects.all()))
    older_count_is_written_last(desk, monkeypatch, 10)
    assert runs_in_the_row() < WorkflowExecution.objects.count() == 3


def test_many_settle_close_and_read_at_once_and_no_answer_is_ever_wrong(desk: Desk) -> None:
    """Runs begin and end in three workflows while others settle, close days and read; no read misses a known run."""
    known = threading.Lock()
    begun = [1, 0, 0]
    over = threading.Event()

    def carry(workflow: int) -> None:
        for number in range(25):
            with transaction.atomic():
                run = desk.run(YESTERDAY + timedelta(minutes=number), workflow=workflow, status="running")
            with known:
                begun[workflow] += 1
            with transaction.atomic():
                desk.end(run, status="completed" if number % 3 else "failed")

    def carry_all() -> None:
        with contextlib.ExitStack() as stack:
            stack.callback(over.set)
            for workflow in range(3):
                carry(workflow)

    def settle() -> None:
        while not over.is_set():
            endings.settle()
        endings.settle()

    def close() -> None:
        while not over.is_set():
            rollup.close_days()

    wrong: list[Any] = []

    def read() -> None:
        pks = [each.pk for each in desk.workflows]
        while not over.is_set():
            with known:
                least = list(begun)
            found = [tally.runs for tally in analytics.tallies(pks).values()]
            with known:
                most = [count + 1 for count in begun]
            if not all(low <= runs <= high for low, runs, high in zip(least, found, most, strict=True)):
                wrong.append((least, found, most))

    at_once(carry_all, settle, settle, close, read, read)
    assert wrong == []
    assert not RunEnding.objects.exists()
    rows = WorkflowMetrics.objects.all()
    assert sum(row.metrics["total_executions"] for row in rows) == 76
    assert sum(row.metrics["by_status"]["failed"] for row in rows) == 27
