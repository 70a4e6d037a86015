"""Runs by socket, admin and command."""

import threading
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from channels.db import database_sync_to_async
from channels.routing import URLRouter
from channels.testing import WebsocketCommunicator
from django.core.management import CommandError, call_command
from django.db import connections
from django.test import Client

from executions.management.commands import run_workflow
from executions.models import WorkflowExecution
from executions.routing import websocket_urlpatterns
from portfolio.services import account_ensure_default
from tests.executions.conftest import Trials
from tradingsite.common.actor import Actor
from tradingsite.common.contracts.steps import StepContext, StepError, StepResult
from tradingsite.common.live import consumer as consumer_module
from tradingsite.common.roles import Role

ROUTES = URLRouter(websocket_urlpatterns)
pytestmark = pytest.mark.django_db
committed = pytest.mark.django_db(transaction=True)


@pytest.fixture
def caller(monkeypatch: pytest.MonkeyPatch) -> dict[str, Actor | None]:
    who: dict[str, Actor | None] = {"actor": Actor(kind="user", name="viewer", role=Role.VIEWER)}
    monkeypatch.setattr(consumer_module, "actor_from_scope", lambda scope: who["actor"])
    return who


async def closed_with(path: str) -> int:
    socket = WebsocketCommunicator(ROUTES, path)
    await socket.connect()
    output = await socket.receive_output(5)
    assert output["type"] == "websocket.close"
    return int(output["code"])


@committed
async def test_a_socket_hears_of_its_run_alone_with_numbers_and_replays(trials: Trials, caller: Any) -> None:
    run = await database_sync_to_async(trials.create)("one")
    other = await database_sync_to_async(trials.create)("one")
    socket = WebsocketCommunicator(ROUTES, f"/ws/executions?execution_id={run.pk}")
    await socket.connect()
    hello = await socket.receive_json_from(5)
    assert hello == {"type": "hello", "seq": 1}
    await database_sync_to_async(trials.carry)(other)
    await database_sync_to_async(trials.carry)(run)
    heard = [await socket.receive_json_from(5) for _ in range(4)]
    assert {message["execution_id"] for message in heard} == {str(run.pk)}
    assert [message["seq"] for message in heard] == [2, 3, 4, 5]
    assert [message["type"] for message in heard] == ["status", "step", "step", "status"]
    await socket.send_json_to({"type": "replay", "after": 3})
    assert [(await socket.receive_json_from(5))["seq"] for _ in range(2)] == [4, 5]
    await socket.disconnect()


@committed
async def test_a_socket_without_a_run_hears_of_all(trials: Trials, caller: Any) -> None:
    socket = WebsocketCommunicator(ROUTES, "/ws/executions")
    await socket.connect()
    await socket.receive_json_from(5)
    runs = [await database_sync_to_async(trials.create)("one") for _ in range(2)]
    heard = [await socket.receive_json_from(5) for _ in runs]
    assert [message["execution_id"] for message in heard] == [str(run.pk) for run in runs]
    await socket.disconnect()


@committed
async def test_a_socket_needs_a_caller_a_role_and_a_run_that_is_there(trials: Trials, caller: Any) -> None:
    assert await closed_with(f"/ws/executions?execution_id={uuid.uuid4()}") == 4403
    assert await closed_with("/ws/executions?execution_id=seven") == 4403
    caller["actor"] = None
    assert await closed_with("/ws/executions") == 4401
    caller["actor"] = Actor(kind="user", name="nobody", role=None)
    assert await closed_with("/ws/executions") == 4403


ADMIN = "/admin/executions/workflowexecution/"


def act(client: Client, action: str, run: WorkflowExecution) -> None:
    answer = client.post(ADMIN, {"action": action, "_selected_action": [str(run.pk)]})
    assert answer.status_code == 302, answer.content


def test_the_admin_shows_runs_and_cancels_and_retries_through_the_services(
    browser: Callable[..., Client], trials: Trials
) -> None:
    client = browser("admin")
    run = trials.create("one")
    for path in (
        ADMIN,
        f"{ADMIN}{run.pk}/change/",
        "/admin/executions/stepexecution/",
        "/admin/executions/workerheartbeat/",
    ):
        assert client.get(path).status_code == 200, path
    act(client, "cancel_runs", run)
    assert trials.again(run).status == "cancelled"
    act(client, "cancel_runs", run)
    assert trials.again(run).status == "cancelled"
    act(client, "retry_runs", run)
    assert trials.again(run).status == "pending"


def test_nobody_edits_or_removes_a_run_in_the_admin(browser: Callable[..., Client], trials: Trials) -> None:
    client = browser("admin")
    run = trials.create("one")
    assert client.get(f"{ADMIN}add/").status_code == 403
    assert client.post(f"{ADMIN}{run.pk}/change/", {"status": "completed"}).status_code == 403
    assert client.post(f"{ADMIN}{run.pk}/delete/", {"post": "yes"}).status_code == 403
    assert trials.again(run).status == "pending"


class Helper:
    """Stands for the embedded workers: carries whatever waits, in a thread."""

    def __init__(self, trials: Trials) -> None:
        self._trials = trials

    def __call__(self, *, clock: bool) -> "Helper":
        return self

    def __enter__(self) -> None:
        self._thread = threading.Thread(target=self._carry)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._thread.join(20)

    def _carry(self) -> None:
        try:
            for run in WorkflowExecution.objects.filter(status="pending"):
                self._trials.carry(run)
        finally:
            connections.close_all()


@pytest.fixture
def helper(trials: Trials, monkeypatch: pytest.MonkeyPatch) -> Helper:
    one = Helper(trials)
    monkeypatch.setattr(run_workflow, "EmbeddedWorkers", one)
    monkeypatch.setattr(run_workflow.settings, "EMBEDDED", True)
    account_ensure_default(actor=Actor.system("test"))
    return one


@committed
def test_the_command_runs_a_workflow_by_name_and_tells_what_came_of_it(
    trials: Trials, helper: Helper, capsys: pytest.CaptureFixture[str]
) -> None:
    decision = {"symbol": "IBM", "action": "BUY", "reason": "the average rose"}
    trials.acts["one"] = lambda context: StepResult({"decisions": [decision]}, "decided")
    workflow = trials.workflow("one")
    trials.strategy(workflow, name="Mine")
    call_command("run_workflow", workflow.name, "--strategy", "Mine", "--wait", "--symbols", "IBM")
    told = capsys.readouterr().out
    for expected in ("decided", "BUY", "the average rose", "ordered   nothing", "account", "completed"):
        assert expected in told, told


@committed
def test_the_command_ends_with_an_error_when_the_run_fails(trials: Trials, helper: Helper) -> None:
    def fail(context: StepContext) -> StepResult:
        raise StepError("no", code="NO")

    trials.acts["one"] = fail
    workflow = trials.workflow("one")
    trials.strategy(workflow)
    with pytest.raises(CommandError, match="failed"):
        call_command("run_workflow", str(workflow.pk), "--wait")


def test_the_command_without_wait_says_that_the_run_waits(trials: Trials, capsys: pytest.CaptureFixture[str]) -> None:
    workflow = trials.workflow("one")
    trials.strategy(workflow)
    call_command("run_workflow", workflow.name)
    assert "waits until one starts" in capsys.readouterr().out
    assert WorkflowExecution.objects.get().status == "pending"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["Nothing of this name"], "no workflow"),
        (["Trial 1", "--strategy", "Nobody's"], "no strategy"),
        (["Trial 1"], "several"),
        (["Trial 1", "--strategy", "A", "--symbols", "NOSUCH"], "NOSUCH"),
    ],
)
def test_the_command_says_what_is_wrong_with_its_arguments(trials: Trials, arguments: list[str], message: str) -> None:
    workflow = trials.workflow("one")
    trials.strategy(workflow, name="A")
    trials.strategy(workflow, name="B")
    with pytest.raises(CommandError, match=message):
        call_command("run_workflow", *arguments)
    assert not WorkflowExecution.objects.exists()
