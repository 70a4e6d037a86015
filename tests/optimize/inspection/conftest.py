"""The sample prices, strategies on them, and jobs carried in this thread."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rest_framework.test import APIClient

from market import store
from market.services import bars_import_source
from optimize.carrying import carry
from optimize.models import OptimizationJob
from tradingsite.common.actor import Actor
from workflows.models import Strategy
from workflows.services import strategy_create, workflow_create

Api = Callable[..., APIClient]
SYSTEM = Actor.system("tests")


@pytest.fixture
def sample(db: None, data_dir: Path) -> None:
    store.cache_clear()
    bars_import_source(actor=SYSTEM, source="sample")


@pytest.fixture
def analysed(api: Api) -> Callable[..., dict[str, Any]]:
    """Return `analysed(kind, body)`: an analysis as its answer stands when it is over."""

    def analyse(kind: str, body: dict[str, Any]) -> dict[str, Any]:
        client = api("trader")
        answer = client.post(f"/api/optimize/{kind}", body, format="json")
        assert answer.status_code == 200, answer.json()
        key = answer.json()["job_id"]
        carry(OptimizationJob.objects.get(pk=key).pk, "tests", until=time.monotonic() + 600)
        found: dict[str, Any] = client.get(f"/api/optimize/{key}").json()
        assert found["status"] == "complete", found["error"]
        return found

    return analyse


@pytest.fixture
def crossing(db: None) -> Callable[..., Strategy]:
    """Return a factory of strategies that decide by the crossing of two averages."""

    def make(symbols: list[str] | None = None, steps: list[dict[str, Any]] | None = None, **config: Any) -> Strategy:
        signal = {"strategy_type": "sma_crossover", "params": {"fast": 10, "slow": 40}, **config}
        workflow = workflow_create(
            actor=SYSTEM,
            name="Crossing",
            type="custom",
            steps=[
                {"name": "prices", "type": "market_data", "config": {"source": "sample"}},
                {"name": "signal", "type": "signal", "config": signal},
                *(steps or []),
            ],
            default_params={},
        )
        return strategy_create(
            actor=SYSTEM, name="Crossing", workflow_id=workflow.pk, symbols=["IBM"] if symbols is None else symbols
        )

    return make
