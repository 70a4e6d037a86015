"""Whatever is sent: a 4xx that names the field or the line, never a 500, and nothing half written."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core.files.uploadedfile import SimpleUploadedFile
from rest_framework.test import APIClient

from market.choices import ImportStatus
from market.models import BarImport
from portfolio.services import account_ensure_default
from tests.malformed.cases import ALL, PRICES, SIGNAL, Case, filled, workflow
from tradingsite.common.actor import Actor


def rows() -> dict[str, int]:
    return {model._meta.label: model._default_manager.count() for model in apps.get_models() if model._meta.managed}


def added(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    return {label: after[label] - count for label, count in before.items() if after[label] != count}


@pytest.fixture
def client(api: Callable[..., APIClient]) -> APIClient:
    client = api("admin")
    client.raise_request_exception = False
    return client


@pytest.fixture
def ids(client: APIClient, data_dir: Path) -> dict[str, str]:
    """A workflow and a strategy to aim at, and an account, so that nothing is refused for want of one."""
    account_ensure_default(actor=Actor.system("tests"))
    made = client.post("/api/workflows", workflow(PRICES, SIGNAL, name="Sound"), format="json")
    assert made.status_code == 201, made.content
    body = {
        "name": "Sound",
        "strategy_type": "sma_crossover",
        "workflow_id": made.json()["id"],
        "symbols": ["IBM"],
        "param": {},
        "enabled": True,
    }
    strategy = client.post("/api/strategies", body, format="json")
    assert strategy.status_code == 201, strategy.content
    return {"workflow": made.json()["id"], "strategy": strategy.json()["id"]}


def send(client: APIClient, case: Case, ids: dict[str, str]) -> Any:
    path = filled(case.path, ids)
    if case.method == "get":
        return client.get(path, case.query)
    if case.form is not None:
        form: dict[str, Any] = dict(case.form)
        if case.file is not None:
            form["file"] = SimpleUploadedFile(case.filename, case.file)
        return client.post(path, form, format="multipart")
    body = filled(case.body, ids)
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.generic(case.method.upper(), path, content, content_type="application/json")


@pytest.mark.django_db
@pytest.mark.parametrize("case", ALL, ids=[case.title for case in ALL])
def test_what_cannot_be_meant_is_refused_by_name(
    case: Case, client: APIClient, ids: dict[str, str], data_dir: Path
) -> None:
    before = rows()
    answer = send(client, case, ids)
    assert 400 <= answer.status_code < 500, answer.content
    assert answer["Content-Type"].startswith("application/problem+json")
    problem = answer.json()
    assert problem["status"] == answer.status_code
    assert problem["code"]
    named = [problem["detail"], *(text for error in problem.get("errors", []) for text in error.values())]
    assert any(case.names in str(text) for text in named), problem
    written = added(before, rows())
    if case.form is not None and written:
        # The history keeps a file that was refused, with its report; of its bars there is nothing.
        assert written == {"market.BarImport": 1, "safety.AuditLog": 1}
        assert BarImport.objects.get().status == ImportStatus.FAILED
    else:
        assert written == {}
    assert list(data_dir.rglob("*.parquet")) == []


def test_there_are_at_least_forty_of_them() -> None:
    assert len(ALL) >= 40
    assert len({case.title for case in ALL}) == len(ALL), "titles tell the cases apart"
