"""Searches from the asking to the verdict, on the sample prices."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rest_framework.test import APIClient

from market import store
from market.services import bars_import_source
from optimize.carrying import carry
from optimize.models import OptimizationJob, TrialRecord
from tradingsite.common.actor import Actor

pytestmark = pytest.mark.django_db

Api = Callable[..., APIClient]
GOOD = {"strategy_type": "momentum", "symbols": ["MSFT"], "start": "2005-01-01", "end": "2009-12-31"}


@pytest.fixture(autouse=True)
def sample(db: None, data_dir: Path, warmed: None) -> None:
    store.cache_clear()
    bars_import_source(actor=Actor.system("tests"), source="sample")


@pytest.fixture
def searched(api: Api) -> Callable[..., dict[str, Any]]:
    """Return `searched(**changes)`: a search as its answer stands when it is over."""

    def search(**changes: Any) -> dict[str, Any]:
        client = api("trader")
        answer = client.post("/api/optimize/strategy", {**GOOD, **changes}, format="json")
        assert answer.status_code == 200, answer.json()
        key = answer.json()["job_id"]
        carry(OptimizationJob.objects.get(pk=key).pk, "tests", until=time.monotonic() + 600)
        found: dict[str, Any] = client.get(f"/api/optimize/{key}").json()
        return found

    return search


def test_a_search_ends_with_ranked_results_folds_and_a_verdict(searched: Callable[..., dict[str, Any]]) -> None:
    found = searched()
    assert found["status"] == "complete", found["error"]
    assert found["progress"] == {"combo": 18, "total": 18, "fold": 5, "n_folds": 5}
    assert found["evaluated"] == len(found["results"]) == 18
    assert [row["rank"] for row in found["results"]] == list(range(1, 19))
    ranked = [row["t_stat"] for row in found["results"] if not row["marks"]]
    assert ranked == sorted(ranked, reverse=True)
    assert found["best_params"] in [row["params"] for row in found["results"]]
    assert [fold["fold"] for fold in found["folds"]] == [1, 2, 3, 4, 5]
    assert found["verdict"]["outcome"] in ("promote", "review", "reject")
    assert TrialRecord.objects.get().count == 18


@pytest.mark.parametrize("search", ["random", "tpe"])
def test_a_search_of_few_trials_looks_at_as_many_and_the_same_again(
    searched: Callable[..., dict[str, Any]], search: str
) -> None:
    asked = {"search": search, "max_trials": 9, "seed": 5, "n_splits": 4}
    first, second = searched(**asked), searched(**asked)
    assert first["status"] == "complete", first["error"]
    assert first["evaluated"] + first["pruned"] == 9
    for name in ("results", "best_params", "folds", "verdict", "walk_forward"):
        assert first[name] == second[name]
    assert {record.count for record in TrialRecord.objects.all()} == {9}
