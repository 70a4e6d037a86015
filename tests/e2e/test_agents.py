"""An agent that is asked by a desk which is killed meanwhile: it is asked again with the same key, and acts once."""

from pathlib import Path

import httpx
import pytest

from tests.agents.program import Call, Program, served
from tests.e2e import walk
from tests.support.desk import desk, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e")]


def asked(client: httpx.Client, program: Program) -> str:
    """Register the program, and start a run that asks it about MSFT; return the run's id."""
    agent = {"name": "NewsDesk", "kind": "http", "endpoint": f"{program.url}/decide", "api_key_env": "NEWS_TOKEN"}
    made = walk.post(client, "/api/v1/agents", agent, 201)
    assert walk.get(client, f"/api/v1/agents/{made['id']}/health")["status"] == "ok"
    steps = [
        {"name": "prices", "type": "market_data", "config": {"source": "sample", "timeframe": "1d"}},
        {"name": "ask", "type": "http_agent", "config": {"agent": "NewsDesk", "timeout_s": 60}},
        {"name": "size", "type": "risk_check", "config": {"sizing": {"method": "quantity", "value": "10"}}},
        {"name": "buy", "type": "order", "config": {}},
    ]
    body = {"name": "Asked", "type": "custom", "default_params": {}, "steps": steps}
    workflow = walk.post(client, "/api/v1/workflows", body, 201)["id"]
    body = {"name": "Asked", "workflow_id": workflow, "symbols": ["MSFT"]}
    strategy = walk.post(client, "/api/v1/strategies", body, 201)["id"]
    started = walk.post(client, f"/api/v1/workflows/{workflow}/execute", {"strategy_id": strategy}, 202)
    return str(started["workflow_execution_id"])


def test_an_agent_is_asked_again_with_the_same_key_by_the_desk_that_comes_after_a_killed_one(tmp_path: Path) -> None:
    def acts_and_is_not_heard(call: Call) -> None:
        program.effects[call.headers["idempotency-key"]] += 1
        call.sleep(120)

    def decides_once(call: Call) -> None:
        key = call.headers["idempotency-key"]
        if key not in program.effects:
            program.effects[key] += 1
        buy = {"symbol": "MSFT", "action": "BUY", "confidence": 0.8, "reason": "the news"}
        call.answer(200, {"decisions": [buy], "tokens_used": 12})

    with served() as program:
        # The first call is the probe of its health.
        program.says(lambda call: call.answer(200), acts_and_is_not_heard, decides_once)
        env = {
            "OUTBOUND_ALLOWED": program.place,
            "AGENT_KEYS": f"NEWS_TOKEN@{program.place}",
            "NEWS_TOKEN": "hush-hush",
        }
        with desk(tmp_path, env) as one:
            first = one.manage("up")
            one.wait_until_up(first)
            with one.client() as client:
                run = asked(client, program)
                wait_until("the agent is asked", lambda: len(program.calls) >= 2, 30)
            first.kill()
            second = one.manage("up")
            one.wait_until_up(second)
            with one.client() as client:
                ended = walk.get(client, f"/api/v1/runs/{run}", wait=50)
                assert ended["status"] == "completed", ended
                assert (ended["decisions_made"], ended["orders_placed"]) == (1, 1)
                said = walk.get(client, f"/api/v1/workflow-executions/{run}/agent-conversation")["results"]
                orders = walk.get(client, "/api/v1/portfolio/orders", execution_id=run)["results"]
        probe, *asks = program.calls
        assert (probe.method, probe.path) == ("GET", "/health")
        assert len(asks) == 2
        assert len({call.body for call in asks}) == 1
        assert {call.headers["authorization"] for call in asks} == {"Bearer hush-hush"}
        assert dict(program.effects) == {f"{run}:ask": 1}
        assert [row["message_type"] for row in said] == ["request", "request", "response"]
        assert said[-1]["tokens_used"] == 12
        assert len(orders) == 1
        assert "hush-hush" not in one.logs() + str(said)
