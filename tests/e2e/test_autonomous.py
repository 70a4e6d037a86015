"""The autonomous agent in a desk of its own, which is killed while the agent thinks and while somebody listens."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

from tests.e2e import walk
from tests.e2e.sockets import ticket
from tests.support.desk import Desk, desk, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e")]

PHASES = ["observe", "analyse", "decide", "gate", "act", "reflect"]


def thinker(client: httpx.Client, seconds: float) -> str:
    """Make a strategy that takes its time before it decides about MSFT; return its id."""
    steps = [
        {"name": "prices", "type": "market_data", "config": {"source": "sample", "timeframe": "1d"}},
        {"name": "wait", "type": "slow", "config": {"seconds": seconds}},
        {
            "name": "signal",
            "type": "signal",
            "config": {"strategy_type": "sma_crossover", "params": {"fast": 10, "slow": 50}},
        },
    ]
    body = {"name": "Thinker", "type": "custom", "default_params": {}, "steps": steps}
    workflow = walk.post(client, "/api/workflows", body, 201)["id"]
    body = {"name": "Thinker", "workflow_id": workflow, "symbols": ["MSFT"]}
    return str(walk.post(client, "/api/strategies", body, 201)["id"])


def heard(one: Desk, client: httpx.Client, after: int, run: str) -> list[dict[str, Any]]:
    """Come back to the socket and return what was told of a run since, up to its end."""
    with connect(f"{one.url.replace('http', 'ws')}/ws/agent?ticket={ticket(client)}") as socket:
        hello = json.loads(socket.recv(timeout=20))
        assert hello["type"] == "hello"
        socket.send(json.dumps({"type": "replay", "after": after}))
        found: list[dict[str, Any]] = []
        while not found or found[-1]["type"] != "run_finished":
            found.append(json.loads(socket.recv(timeout=40)))
    assert {message["run_id"] for message in found} == {run}
    return found


def test_a_run_survives_its_socket_and_its_desk_and_tells_everything_once(tmp_path: Path) -> None:
    with desk(tmp_path) as one:
        first = one.manage("up", "--no-demo")
        one.wait_until_up(first)
        with one.client() as client:
            strategy = thinker(client, 4)
            body = {"strategies": [strategy], "autonomy": "act", "team_enabled": False}
            assert client.patch("/api/agent", json=body).status_code == 200
            with connect(f"{one.url.replace('http', 'ws')}/ws/agent?ticket={ticket(client)}") as socket:
                assert json.loads(socket.recv(timeout=20)) == {"type": "hello", "seq": 0}
                accepted = walk.post(client, "/api/agent/run?async=true", {}, 202)
                began = [json.loads(socket.recv(timeout=20)) for _ in range(2)]
            run, execution = accepted["run_id"], accepted["execution_id"]
            wait_until("the agent thinks", lambda: one.slow_steps(execution), 30)
        first.kill()
        second = one.manage("up", "--no-demo")
        one.wait_until_up(second)
        with one.client() as client:
            messages = [*began, *heard(one, client, began[-1]["seq"], run)]
            ended = walk.get(client, f"/api/agent/runs/{run}")
            orders = walk.get(client, "/api/portfolio/orders", execution_id=execution)["results"]
            lines = walk.get(client, "/api/agent/logs")["results"]
        assert ended["status"] == "completed", ended
        assert len(one.slow_steps(execution)) == 2
        assert [message["seq"] for message in messages] == list(range(1, len(messages) + 1))
        phases = [(message["phase"], message["status"]) for message in messages if message["type"] == "phase"]
        assert phases == [(phase, status) for phase in PHASES for status in ("running", "completed")]
        kinds = [message["type"] for message in messages if message["type"] != "phase"]
        assert kinds == ["run_started", "decision", *["order"] * len(orders), "run_finished"]
        assert messages[-1]["report"] == ended["report"]
        assert len(ended["report"]["orders"]) == len(orders) <= 1
        assert {each["phase"] for each in lines} == set(PHASES)


def test_the_report_is_the_answer_of_a_desk_at_work(tmp_path: Path) -> None:
    with desk(tmp_path) as one:
        program = one.manage("up", "--no-demo")
        one.wait_until_up(program)
        with one.client() as client:
            body = {"strategies": [thinker(client, 0.1)], "autonomy": "observe"}
            assert client.patch("/api/agent", json=body).status_code == 200
            answer = client.post("/api/agent/run", json={}, timeout=60)
            assert answer.status_code == 200, answer.text
            report = answer.json()
            assert report["status"] == "completed", report
            assert [each["symbol"] for each in report["decisions"]] == ["MSFT"]
            assert report["orders"] == []
            assert walk.get(client, "/api/agent")["last_run"]["id"] == report["id"]
