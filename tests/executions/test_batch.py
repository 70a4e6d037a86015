"""Many runs by one request: each with its own task, all of them or, if asked for, the good ones."""

import contextlib
import threading
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections
from rest_framework.test import APIClient

from executions import services
from executions.models import WorkflowExecution
from executions.services import RunRequest, executions_create
from tests.executions.conftest import Trials
from tests.support.queries import query_count
from tradingsite.common.models import OutboxMessage
from workflows.models import Workflow
from workflows.services import strategy_update

pytestmark = pytest.mark.django_db

Api = Callable[..., APIClient]
URL = "/api/workflows/execute-batch"


@pytest.fixture
def client(api: Api) -> APIClient:
    return api("trader")


def item(trials: Trials, **more: Any) -> dict[str, Any]:
    workflow = trials.workflow("one", n=1)
    return {"workflow_id": str(workflow.pk), "strategy_id": str(trials.strategy(workflow).pk), **more}


def nothing_started() -> bool:
    return not (
        WorkflowExecution.objects.exists()
        or OutboxMessage.objects.filter(task="executions.run").exists()
        or Workflow.objects.filter(executions_count__gt=0).exists()
    )


def test_each_item_is_a_run_with_a_task_of_its_own(client: APIClient, trials: Trials) -> None:
    same = item(trials, priority=2)
    items = [
        item(trials, priority=9, symbols=["IBM"], input_data={"n": 5}, mode="paper"),
        same,
        {**same, "priority": 7},
    ]
    answer = client.post(URL, items, format="json")
    assert answer.status_code == 202, answer.content
    assert client.get(answer["Location"]).status_code == 200
    body = answer.json()
    assert isinstance(body, list)
    assert [row["status"] for row in body] == ["pending"] * 3
    assert [row["errors"] for row in body] == [[]] * 3
    runs = [WorkflowExecution.objects.get(pk=row["workflow_execution_id"]) for row in body]
    assert [run.task_id for run in runs] == [row["task_id"] for row in body]
    assert len({run.pk for run in runs}) == 3
    assert [str(run.strategy_id) for run in runs] == [each["strategy_id"] for each in items]
    assert [run.priority for run in runs] == [9, 2, 7]
    assert runs[0].params == {"n": 5}
    messages = OutboxMessage.objects.filter(task="executions.run")
    assert {message.task_id for message in messages} == {run.task_id for run in runs}
    assert Workflow.objects.get(pk=same["workflow_id"]).executions_count == 2


def bad_items(trials: Trials) -> dict[str, Any]:
    """Return bad items by the pointer, without the position, that must name what is wrong with them."""
    off = item(trials)
    strategy_update(actor=trials.actor, strategy_id=uuid.UUID(off["strategy_id"]), changes={"enabled": False})
    return {
        "strategy_id": item(trials, strategy_id=str(uuid.uuid4())),
        "workflow_id": item(trials, workflow_id=str(uuid.uuid4())),
        "strategy_id ": item(trials, strategy_id=item(trials)["strategy_id"]),
        "strategy_id  ": off,
        "strategy_id   ": item(trials, strategy_id="seven"),
        "symbols/0": item(trials, symbols=["NOSUCH"]),
        "input_data/leverage": item(trials, input_data={"leverage": 9}),
        "priority": item(trials, priority=10),
        "mode": item(trials, mode="yolo"),
        "colour": item(trials, colour="red"),
        "": 7,
    }


def test_one_bad_item_is_named_by_its_position_and_nothing_starts(client: APIClient, trials: Trials) -> None:
    for pointer, bad in bad_items(trials).items():
        answer = client.post(URL, [item(trials), item(trials), bad, item(trials)], format="json")
        assert answer.status_code == 400, (pointer, answer.content)
        found = [error["pointer"] for error in answer.json()["errors"]]
        assert found == [f"2/{pointer.strip()}".rstrip("/")]
        assert nothing_started(), pointer


def test_partial_starts_the_good_ones_and_says_what_is_wrong_with_each_other(client: APIClient, trials: Trials) -> None:
    bad = bad_items(trials)
    answer = client.post(f"{URL}?partial=true", [item(trials), *bad.values(), item(trials)], format="json")
    assert answer.status_code == 202, answer.content
    first, *rest, last = answer.json()
    for row in (first, last):
        assert WorkflowExecution.objects.filter(pk=row["workflow_execution_id"], task_id=row["task_id"]).exists()
    for position, (pointer, row) in enumerate(zip(bad, rest, strict=True), 1):
        assert (row["workflow_execution_id"], row["task_id"], row["status"]) == (None, None, None)
        assert [e["pointer"] for e in row["errors"]] == [f"{position}/{pointer.strip()}".rstrip("/")]
    assert WorkflowExecution.objects.count() == OutboxMessage.objects.filter(task="executions.run").count() == 2


def test_partial_with_no_good_item_is_refused(client: APIClient, trials: Trials) -> None:
    items = [7, item(trials, strategy_id=str(uuid.uuid4()))]
    answer = client.post(f"{URL}?partial=true", items, format="json")
    assert answer.status_code == 400
    assert [error["pointer"] for error in answer.json()["errors"]] == ["0", "1/strategy_id"]
    assert nothing_started()


@pytest.mark.parametrize("body", [{}, [], "x", None, 7])
def test_what_is_no_list_of_items_is_refused(client: APIClient, body: Any) -> None:
    assert client.post(URL, body, format="json").status_code == 400
    assert nothing_started()


def test_a_hundred_start_and_one_more_does_not(client: APIClient, trials: Trials) -> None:
    one = item(trials)
    assert client.post(URL, [one] * 101, format="json").status_code == 400
    assert nothing_started()
    answer = client.post(URL, [one] * 100, format="json")
    assert (answer.status_code, len(answer.json())) == (202, 100)


def test_a_wrong_parameter_is_named(client: APIClient, trials: Trials) -> None:
    for query in ("partial=maybe", "colour=red"):
        answer = client.post(f"{URL}?{query}", [item(trials)], format="json")
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["pointer"] == query.split("=")[0]


def test_workflows_and_strategies_are_looked_up_once_for_all(client: APIClient, trials: Trials) -> None:
    def lookups(count: int) -> int:
        items = [item(trials) for _ in range(count)]
        _, made = query_count(lambda: client.post(URL, items, format="json"))
        return sum(sql.startswith("SELECT") and ('FROM "workflow"' in sql or 'FROM "strategy"' in sql) for sql in made)

    assert lookups(2) == lookups(6) == 2


def test_the_same_key_starts_the_batch_once(client: APIClient, trials: Trials) -> None:
    items = [item(trials), item(trials)]
    key = {"Idempotency-Key": "once"}
    first, second = (client.post(URL, items, format="json", headers=key) for _ in range(2))
    assert (first.status_code, second.status_code) == (202, 202)
    assert second["Idempotent-Replayed"] == "true"
    assert second.json() == first.json()
    assert WorkflowExecution.objects.count() == 2
    assert client.post(f"{URL}?partial=true", items, format="json", headers=key).status_code == 422


def in_threads(works: list[Callable[[], None]]) -> None:
    def run(work: Callable[[], None]) -> None:
        try:
            work()
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=[work]) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("headers", "runs"), [({"Idempotency-Key": "once"}, 3), ({}, 12)])
def test_a_batch_with_the_same_key_at_once_starts_once_and_without_a_key_each_time(
    trials: Trials, api: Api, trader: Any, headers: dict[str, str], runs: int
) -> None:
    items = [item(trials) for _ in range(3)]
    start, codes = threading.Barrier(4), []

    def post() -> None:
        client = api(trader)
        start.wait(10)
        codes.append(client.post(URL, items, format="json", headers=headers).status_code)

    in_threads([post] * 4)
    assert WorkflowExecution.objects.count() == runs
    assert OutboxMessage.objects.filter(task="executions.run").count() == runs
    assert set(codes) <= {202, 409}
    assert codes.count(202) >= 1


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_two_batches_over_the_same_workflows_in_opposite_order_do_not_block_each_other(
    trials: Trials, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [item(trials) for _ in range(2)]
    asked = [RunRequest(uuid.UUID(each["workflow_id"]), uuid.UUID(each["strategy_id"])) for each in made]
    both, write_one = threading.Barrier(2), services.write

    def slowly(*args: Any) -> Any:
        # Without the lock in advance both stand here with one workflow each and want the other's.
        written = write_one(*args)
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait(0.5)
        return written

    monkeypatch.setattr(services, "write", slowly)
    failures: list[Exception] = []

    def create(requests: list[RunRequest]) -> None:
        try:
            executions_create(actor=trials.actor, requests=dict(enumerate(requests)))
        except Exception as error:  # noqa: BLE001  # shown by the assertion
            failures.append(error)

    in_threads([lambda: create(asked), lambda: create(asked[::-1])])
    assert failures == []
    assert WorkflowExecution.objects.count() == 4
