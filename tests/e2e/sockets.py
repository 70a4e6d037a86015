"""A program on the site's sockets: a ticket, a connection, messages until something has happened."""

import json
import time
from typing import Any

import httpx
from websockets.sync.client import connect

from tests.e2e import walk
from tests.support.desk import Desk

PATIENCE_S = 40.0


def ticket(client: httpx.Client) -> str:
    return str(walk.post(client, "/api/auth/ws-ticket", {}, 201)["ticket"])


def listened_run(desk: Desk, client: httpx.Client) -> None:
    """Run a strategy while listening, then ask for the run again by number: both tell the same, in order, no gap."""
    found = walk.get(client, "/api/strategies", search="Demo: momentum")["results"][0]
    address = f"{desk.url.replace('http', 'ws')}/ws/executions"
    with connect(f"{address}?ticket={ticket(client)}") as feed:
        assert _next(feed)["type"] == "hello"
        started = walk.post(client, f"/api/workflows/{found['workflow_id']}/execute", {"strategy_id": found["id"]}, 202)
        run = started["workflow_execution_id"]
        heard = _until_the_end(feed, run)
    with connect(f"{address}?ticket={ticket(client)}&execution_id={run}") as one:
        last = _next(one)["seq"]
        one.send(json.dumps({"type": "replay", "after": 0}))
        replayed = [_next(one) for _ in range(last)]
    assert [message["seq"] for message in replayed] == list(range(1, last + 1))
    assert [_essence(message) for message in heard] == [_essence(message) for message in replayed]
    steps = [(message["index"], message["status"]) for message in replayed if message["type"] == "step"]
    names = [step["name"] for step in walk.get(client, f"/api/runs/{run}")["steps"]]
    assert steps == [(index, status) for index in range(len(names)) for status in ("running", "completed")]


def _next(socket: Any) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(socket.recv(timeout=PATIENCE_S))
    return message


def _until_the_end(feed: Any, run: str) -> list[dict[str, Any]]:
    heard: list[dict[str, Any]] = []
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        message = _next(feed)
        if message.get("execution_id") != run:
            continue
        heard.append(message)
        if message["type"] == "status" and message["status"] in ("completed", "failed", "cancelled"):
            assert message["status"] == "completed", message
            return heard
    raise AssertionError(f"no end of {run} was heard of: {heard}")


def _essence(message: dict[str, Any]) -> dict[str, Any]:
    # A feed numbers by event, a run's own stream by its messages.
    return {name: value for name, value in message.items() if name != "seq"}
