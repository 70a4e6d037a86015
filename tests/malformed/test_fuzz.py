"""Requests made from the site's own description, of every route: whatever they hold, no answer is a fault of ours."""

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from drf_spectacular.generators import SchemaGenerator
from rest_framework.test import APIClient

from portfolio.services import account_ensure_default
from tests.malformed.cases import PRICES, SIGNAL, UNKNOWN_ID, workflow
from tests.malformed.fuzz import Fuzz, Sent
from tradingsite.common.actor import Actor

# Of each route and role; `FUZZ_ROUNDS=20 pytest tests/malformed/test_fuzz.py` looks longer.
ROUNDS = int(os.environ.get("FUZZ_ROUNDS", "1"))
SEED = int(os.environ.get("FUZZ_SEED", "1"))


@pytest.fixture
def known(api: Callable[..., APIClient], data_dir: Path) -> list[str]:
    """Ids of what is there: a workflow, its strategy, two runs of it, a webhook, an agent, a schedule."""
    account_ensure_default(actor=Actor.system("tests"))
    client = api("trader")
    made = [client.post("/api/workflows", workflow(PRICES, SIGNAL, name="Sound"), format="json")]
    strategy = {
        "name": "Sound",
        "strategy_type": "sma_crossover",
        "workflow_id": made[0].json()["id"],
        "symbols": [],
        "param": {},
        "enabled": True,
    }
    made.append(client.post("/api/strategies", strategy, format="json"))
    hook = {"name": "Sound", "url": "https://1.1.1.1/", "event_types": ["*"]}
    made.append(client.post("/api/webhooks", hook, format="json"))
    assert all(answer.status_code == 201 for answer in made), [answer.content for answer in made]
    return [*(answer.json()["id"] for answer in made), UNKNOWN_ID]


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
def test_no_request_of_any_route_is_answered_by_a_fault(
    role: str, api: Callable[..., APIClient], known: list[str]
) -> None:
    client = api(role)
    client.raise_request_exception = False
    description = SchemaGenerator().get_schema(request=None, public=True)
    fuzz = Fuzz(description, seed=SEED + (role == "operator"), known=known, skipped=("/auth/token",))
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
    assert sum(count for status, count in answers.items() if status < 300) > answers.total() // 10, answers
