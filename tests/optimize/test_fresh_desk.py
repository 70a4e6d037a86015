"""The calls of the specification on a desk that was just set up: they run to their end, and say that prices are invented."""

import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from rest_framework.test import APIClient

from executions.setup import desk_setup
from market import store
from market.models import BarSeries
from market.services import bars_import_source
from optimize import claims, leases
from optimize.carrying import carry
from optimize.modelling import files
from tradingsite.common.actor import Actor

pytestmark = pytest.mark.django_db

Api = Callable[..., APIClient]
PERIOD = {"symbols": ["SPY"], "start": "2020-01-01", "end": "2024-12-31"}
STRATEGY = {"strategy_type": "momentum", **PERIOD}
MODEL = {"model_type": "xgboost", **PERIOD}


@pytest.fixture
def told(db: None, data_dir: Path) -> list[str]:
    """A desk that was just set up, and what was said meanwhile."""
    store.cache_clear()
    files.forget()
    lines: list[str] = []
    desk_setup(write=lines.append)
    return lines


@pytest.fixture
def ended(api: Api, told: list[str], warmed: None, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Return a way to ask for a job, carry it and look at it."""
    # Nobody renews leases here, and a whole grid of models takes longer than one.
    monkeypatch.setattr(claims, "LEASE", timedelta(minutes=5))
    monkeypatch.setattr(leases.Lease, "length", timedelta(minutes=5))

    def ask(path: str, body: dict[str, Any]) -> dict[str, Any]:
        client = api("trader")
        answer = client.post(f"/api/optimize/{path}", body, format="json")
        assert answer.status_code == 200, answer.json()
        asked = answer.json()
        assert asked["status"] == "running"
        assert asked["total_combinations"] > 1
        carry(UUID(asked["job_id"]), "tests", until=time.monotonic() + 300)
        found: dict[str, Any] = client.get(f"/api/optimize/{asked['job_id']}").json()
        return found

    return ask


@pytest.mark.parametrize(("path", "body"), [("strategy", STRATEGY), ("model", MODEL)])
def test_both_searches_of_the_specification_end_and_say_that_the_prices_are_generated(
    ended: Callable[..., dict[str, Any]], path: str, body: dict[str, Any]
) -> None:
    job = ended(path, body)
    assert job["status"] == "complete", job["error"]
    assert job["results"]
    assert job["best_params"] is not None
    assert job["generated"] is True
    assert [series["source"] for series in job["series"]] == ["demo"]
    assert job["verdict"]["outcome"] in ("review", "reject")
    assert "PRICES_GENERATED" in [reason["code"] for reason in job["verdict"]["reasons"]]


def test_the_set_up_says_that_it_entered_invented_prices_and_does_so_once(told: list[str]) -> None:
    assert [line for line in told if "SPY" in line and "invented" in line]
    again: list[str] = []
    desk_setup(write=again.append)
    assert again == []
    assert BarSeries.objects.filter(instrument__symbol="SPY").count() == 1


def test_a_desk_with_prices_of_its_own_gets_no_invented_ones(db: None, data_dir: Path) -> None:
    store.cache_clear()
    bars_import_source(actor=Actor.system("tests"), source="demo", symbols=["SPY"], timeframe="1h")
    desk_setup(write=lambda line: None)
    assert list(BarSeries.objects.filter(instrument__symbol="SPY").values_list("timeframe", flat=True)) == ["1h"]


def test_a_search_over_real_prices_is_not_called_generated(ended: Callable[..., dict[str, Any]]) -> None:
    job = ended("strategy", {**STRATEGY, "symbols": ["MSFT"], "start": "2008-01-01", "end": "2012-12-31"})
    assert job["generated"] is False
    assert "PRICES_GENERATED" not in [reason["code"] for reason in job["verdict"]["reasons"]]
