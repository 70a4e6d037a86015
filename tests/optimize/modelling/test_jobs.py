"""Tunings from the asking to the model that is kept, over the API, on the sample prices."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rest_framework.test import APIClient

from market import store
from market.services import bars_import_source
from optimize.carrying import carry
from optimize.learning.families import FAMILIES
from optimize.modelling import asking, files
from optimize.models import OptimizationJob, TrialRecord, TunedModel
from optimize.services import job_cancel
from tradingsite.common.actor import Actor

pytestmark = pytest.mark.django_db

Api = Callable[..., APIClient]
GRIDS: dict[str, dict[str, list[Any]]] = {
    "xgboost": {"n_estimators": [5, 15], "max_depth": [2, 3]},
    "lightgbm": {"n_estimators": [5, 15], "num_leaves": [4]},
    "random_forest": {"n_estimators": [5, 10], "max_depth": [3]},
    "logistic": {"C": [0.01, 1.0]},
}
GOOD: dict[str, Any] = {
    "model_type": "logistic",
    "symbols": ["MSFT", "IBM"],
    "start": "2003-01-01",
    "end": "2006-12-31",
    "feature_config": {"returns": [1, 5], "volatility": [10], "indicators": [{"indicator": "rsi"}]},
    "param_grid": GRIDS["logistic"],
    "folds": {"n_splits": 3},
}


@pytest.fixture(autouse=True)
def sample(db: None, data_dir: Path, warmed: None) -> None:
    store.cache_clear()
    files.forget()
    bars_import_source(actor=Actor.system("tests"), source="sample")


@pytest.fixture
def tuned(api: Api) -> Callable[..., dict[str, Any]]:
    """Return `tuned(**changes)`: a tuning as its answer stands when it is over."""

    def tune(**changes: Any) -> dict[str, Any]:
        client = api("trader")
        answer = client.post("/api/optimize/model", {**GOOD, **changes}, format="json")
        assert answer.status_code == 200, answer.json()
        key = answer.json()["job_id"]
        carry(OptimizationJob.objects.get(pk=key).pk, "tests", until=time.monotonic() + 600)
        found: dict[str, Any] = client.get(f"/api/optimize/{key}").json()
        return found

    return tune


@pytest.mark.parametrize("slug", FAMILIES)
def test_a_tuning_ends_with_ranked_results_a_verdict_and_a_model(
    tuned: Callable[..., dict[str, Any]], api: Api, slug: str
) -> None:
    found = tuned(model_type=slug, param_grid=GRIDS[slug])

    assert found["status"] == "complete", found["error"]
    assert found["kind"] == "model"
    total = found["total_combinations"]
    assert found["progress"] == {"combo": total, "total": total, "fold": 3, "n_folds": 3}
    assert found["evaluated"] == len(found["results"]) == total
    ranked = [row["t_stat"] for row in found["results"] if row["t_stat"] is not None]
    assert ranked == sorted(ranked, reverse=True)
    assert found["best_params"] in [row["params"] for row in found["results"]]
    row = found["results"][0]
    assert {"accuracy", "balanced_accuracy", "auc", "log_loss", "brier", "sharpe", "t_stat"} <= set(row["folds"][0])
    assert found["verdict"]["outcome"] in ("promote", "review", "reject")
    assert len(found["in_sample"]) == 3

    model = api("viewer").get(f"/api/models/{found['model']['id']}").json()
    assert model["job_id"] == found["id"]
    assert model["model_type"] == slug
    assert model["fingerprint"] == found["fingerprint"]
    assert model["trained_until"].startswith("2006-12-29")
    assert model["description"]["features"] == ["return 1", "return 5", "volatility 10", "rsi(on=close,period=14)"]
    assert model["description"]["params"] == found["best_params"]
    assert set(model["description"]["versions"]) > {"numpy"}
    assert files.read(model["digest"]).trained_until_ns == model["description"]["trained_until_ns"]
    assert TrialRecord.objects.get().count == total
    listed = api("viewer").get("/api/models", {"model_type": slug}).json()
    assert [each["id"] for each in listed["results"]] == [model["id"]]


def test_the_same_tuning_gives_the_same_numbers_and_the_same_file_however_it_is_cut(
    tuned: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = tuned(model_type="xgboost", param_grid=GRIDS["xgboost"])
    monkeypatch.setattr(asking, "CHUNK_WORK", 1)
    other = tuned(model_type="xgboost", param_grid=GRIDS["xgboost"])

    assert OptimizationJob.objects.get(pk=one["id"]).chunks_count == 1
    assert OptimizationJob.objects.get(pk=other["id"]).chunks_count == 2
    assert one["results"] == other["results"]
    assert one["model"]["digest"] == other["model"]["digest"]
    # The second one has tried the same combinations: no trial more.
    assert one["verdict"] == other["verdict"]


def test_a_chunk_never_parts_combinations_that_one_run_of_training_serves(
    tuned: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "CHUNK_WORK", 1)
    found = tuned(model_type="lightgbm", param_grid={"n_estimators": [3, 6, 9], "num_leaves": [3, 5]})
    chunks = OptimizationJob.objects.get(pk=found["id"]).chunks.filter(gathers=False)
    assert [(chunk.first, chunk.last) for chunk in chunks] == [(0, 3), (3, 6)]


def test_a_cancelled_tuning_keeps_no_model(api: Api, monkeypatch: pytest.MonkeyPatch, actor: Actor) -> None:
    monkeypatch.setattr(asking, "CHUNK_WORK", 1)
    body = {**GOOD, "model_type": "xgboost", "param_grid": GRIDS["xgboost"]}
    key = api("trader").post("/api/optimize/model", body, format="json").json()["job_id"]
    job = OptimizationJob.objects.get(pk=key)
    carry(job.pk, "tests", until=0.0)
    job_cancel(actor=Actor.system("tests"), job=job)
    carry(job.pk, "tests", until=time.monotonic() + 600)
    found = api("trader").get(f"/api/optimize/{key}").json()
    assert found["status"] == "cancelled"
    assert found["partial"] is True
    assert len(found["results"]) == 2
    assert found["model"] is None
    assert not TunedModel.objects.exists()


def test_a_job_that_cannot_learn_fails_with_its_code(tuned: Callable[..., dict[str, Any]]) -> None:
    found = tuned(label_config={"threshold": 0.5})
    assert found["status"] == "failed"
    assert found["error"]["code"] == "MODEL_DATA_INSUFFICIENT"
    assert "every label is not up" in found["error"]["detail"]


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"model_type": "perceptron"}, "model_type"),
        ({"symbols": []}, "symbols"),
        ({"symbols": ["NONE"]}, "symbols/0"),
        ({"end": "2002-01-01"}, "end"),
        ({"param_grid": {"depth": [1]}}, "param_grid/depth"),
        ({"param_grid": [1]}, "param_grid"),
        ({"feature_config": {"returns": [0]}}, "feature_config/returns/0"),
        ({"feature_config": "all"}, "feature_config"),
        ({"label_config": {"kind": "meta"}}, "label_config/kind"),
        ({"folds": {"n_splits": 1}}, "folds/n_splits"),
        ({"folds": {"n_splits": 90}}, "folds/n_splits"),
        ({"folds": {"shuffle": True}}, "folds/shuffle"),
        ({"signal": {"enter": 0.4, "leave": 0.6}}, "signal/leave"),
        ({"costs": {"fee": 0.15}}, "signal/fee"),
        ({"objective": "profit"}, "objective"),
        ({"patience": 5}, "patience"),
        ({"gate": {"min_luck": 1}}, "gate/min_luck"),
        ({"seed": -1}, "seed"),
        ({"shuffle": True}, "shuffle"),
    ],
)
def test_what_is_wrong_with_a_request_is_named_and_nothing_is_written(
    api: Api, changes: dict[str, Any], pointer: str
) -> None:
    answer = api("trader").post("/api/optimize/model", {**GOOD, **changes}, format="json")
    assert answer.status_code == 400, answer.json()
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]
    assert not OptimizationJob.objects.exists()


def test_a_model_that_is_not_there_is_not_found(api: Api) -> None:
    answer = api("viewer").get("/api/models/01890a5d-ac96-774b-bcce-b302099a8057")
    assert (answer.status_code, answer.json()["code"]) == (404, "MODEL_UNKNOWN")
