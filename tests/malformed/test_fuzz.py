"""Requests made from the site's own description, of every route: whatever they hold, no answer is a fault of ours."""

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from drf_spectacular.generators import SchemaGenerator
from rest_framework.test import APIClient

from executions.jobs import RUN_WORKFLOW
from market.models import Instrument
from portfolio.services import account_ensure_default
from tests.malformed.cases import PRICES, SIGNAL, SIZE, UNKNOWN_ID, workflow
from tests.malformed.fuzz import Fuzz, Sent
from tradingsite.common.actor import Actor

# Of each route and role; `FUZZ_ROUNDS=20 pytest tests/malformed/test_fuzz.py` looks longer.
ROUNDS = int(os.environ.get("FUZZ_ROUNDS", "1"))
SEED = int(os.environ.get("FUZZ_SEED", "1"))


@dataclass
class World:
    """What is there to aim at: ids by kind, and bodies that each route takes."""

    known: dict[str, list[str]]
    sound: dict[str, Any]


@pytest.fixture
def world(api: Callable[..., APIClient], data_dir: Path) -> World:
    """Return a desk with one of everything, made by the trader."""
    account_ensure_default(actor=Actor.system("tests"))
    Instrument.objects.create(symbol="IBM")
    client = api("trader")
    made: dict[str, list[str]] = {}
    sound: dict[str, Any] = {}

    def make(path: str, body: dict[str, Any], *also: str, id_: str = "id") -> str:
        answer = client.post(f"/api{path}", body, format="json")
        assert answer.status_code in (200, 201, 202), f"{path}: {answer.content!r}"
        key: str = answer.json()[id_]
        made.setdefault(path.rpartition("/")[2] if not also else also[0], []).append(key)
        sound[f"post {path}"] = body
        return key

    flow = make("/workflows", workflow(PRICES, SIGNAL, SIZE, name="Sound"))
    aims = {"strategy_type": "sma_crossover", "workflow_id": flow, "symbols": ["IBM"], "param": {}}
    plan = make("/strategies", {"name": "Sound", "enabled": True, **aims})
    for _ in range(3):
        run = make(f"/workflows/{flow}/execute", {"strategy_id": plan}, "runs", id_="workflow_execution_id")
        made.setdefault("tasks", []).append(client.get(f"/api/runs/{run}").json()["task_id"])
    make("/webhooks", {"name": "Sound", "url": "https://1.1.1.1/", "event_types": ["*"]})
    make("/agents", {"name": "Sound", "kind": "rule", "endpoint": "sma_crossover"})
    make("/agents", {"name": "Model", "kind": "llm", "llm_config": {"model": "rules"}, "tools": ["a"]})
    timed = {"schedule": "0 9 * * 1-5", "timezone": "UTC", "enabled": True}
    job = {"job_type": RUN_WORKFLOW, "config": {"strategy_id": plan, "workflow_id": flow}}
    make("/scheduler", {"name": "Sound", **timed, **job})
    make("/auth/keys", {"name": "Sound", "role": "viewer"})
    aim = {"strategy_type": "momentum", "symbols": ["IBM"], "source": "demo"}
    search = {**aim, "start": "2018-01-01", "end": "2022-12-31"}
    make("/optimize/strategy", search, "optimize", id_="job_id")
    sound |= {
        "post /workflows/{workflow_id}/execute": {"strategy_id": plan, "priority": 3, "symbols": ["IBM"]},
        "post /workflows/execute-batch": [{"workflow_id": flow, "strategy_id": plan, "symbols": ["IBM"]}],
        "post /portfolio/orders": {"symbol": "IBM", "side": "buy", "quantity": "1", "source": "sample"},
        "post /scheduler/preview": timed,
        "post /optimize/strategy": search,
        "post /optimize/lookahead": search,
        "post /optimize/recursive": search,
        "post /optimize/parity": {"strategy_id": plan, "start": "2005-01-01", "end": "2099-12-31"},
        "post /strategies/{strategy_id}/backtest": {"start": "2005-01-01", "end": "2009-12-31", "source": "demo"},
        "patch /safety/limits": {"position_limit": "1000", "daily_trade_limit": 5},
        "post /market/instruments": {"symbol": "ODD", "exchange": "XNYS"},
    }
    for path, kind in (("/workflows", "{id}"), ("/strategies", "{id}"), ("/webhooks", "{id}"), ("/agents", "{id}")):
        sound |= {f"{method} {path}/{kind}": sound[f"post {path}"] for method in ("put", "patch")}
    made["instruments"] = ["IBM"]
    made["nothing"] = [UNKNOWN_ID]
    return World(made, sound)


def send(client: APIClient, sent: Sent) -> Any:
    headers = {f"HTTP_{name.upper().replace('-', '_')}": text for name, text in sent.headers.items()}
    return client.generic(sent.method, sent.path, sent.body, content_type=sent.content_type, **headers)


def complaint(answer: Any) -> str:
    """Return what is wrong with an answer, or nothing."""
    if answer.status_code >= 500:
        return f"{answer.status_code}: {answer.content[:300]!r}"
    if answer.status_code >= 400:
        if not answer["Content-Type"].startswith("application/problem+json"):
            return f"{answer.status_code} as {answer['Content-Type']}"
        problem = answer.json()
        if problem["status"] != answer.status_code or not problem["code"]:
            return f"{answer.status_code} says {problem}"
    return ""


@pytest.mark.django_db
@pytest.mark.parametrize("role", ["trader", "operator"])
def test_no_request_of_any_route_is_answered_by_a_fault(role: str, api: Callable[..., APIClient], world: World) -> None:
    client = api(role)
    client.raise_request_exception = False
    description = SchemaGenerator().get_schema(request=None, public=True)
    fuzz = Fuzz(
        description,
        seed=SEED + (role == "operator"),
        known=world.known,
        sound=world.sound,
        skipped=("/auth/token",),
    )
    complaints: list[str] = []
    answers: Counter[int] = Counter()
    for _ in range(ROUNDS):
        for route in fuzz.routes:
            sent = fuzz.of(route)
            answer = send(client, sent)
            answers[answer.status_code] += 1
            if found := complaint(answer):
                complaints.append(f"{found}\n    {sent}")
    assert not complaints, "\n".join([*complaints[:20], str(answers)])
    assert answers.total() == ROUNDS * len(fuzz.routes)
    assert sum(count for status, count in answers.items() if status < 300) > answers.total() // 4, answers
