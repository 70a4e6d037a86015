"""Searches from the asking to the verdict, on the sample prices."""

import csv
import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from rest_framework.test import APIClient

from market import store
from market.bars import Bars
from market.services import bars_import_source
from optimize import engine
from optimize.carrying import carry
from optimize.data import bounds, load
from optimize.errors import LeaseLost
from optimize.models import OptimizationJob, TrialRecord
from optimize.walkforward.asking import moment
from optimize.walkforward.chunks import Columns, evaluated, unpacked
from optimize.walkforward.grids import grid_of
from optimize.walkforward.ground import _made
from optimize.work import Asked, Piece, Pinned, kinds
from tradingsite.common.actor import Actor
from workflows.strategies import strategy_types

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


Searched = Callable[..., dict[str, Any]]
FIGURES = (
    "results", "best_params", "best_because", "folds", "verdict", "walk_forward", "out_of_sample", "deflated_sharpe",
    "overfitting", "monte_carlo", "sensitivity", "cpcv",
)  # fmt: skip


def test_a_search_ends_with_ranked_results_folds_and_a_verdict(searched: Searched) -> None:
    found = searched()
    assert found["status"] == "complete", found["error"]
    assert found["progress"] == {"combo": 18, "total": 18, "fold": 5, "n_folds": 5}
    assert found["evaluated"] == len(found["results"]) == 18
    assert [row["rank"] for row in found["results"]] == list(range(1, 19))
    ranked = [row["t_stat"] for row in found["results"]]
    assert ranked == sorted(ranked, reverse=True)
    assert found["best_params"] == found["results"][found["best_rank"] - 1]["params"]
    assert [fold["fold"] for fold in found["folds"]] == [1, 2, 3, 4, 5]
    assert found["verdict"]["outcome"] in ("promote", "review", "reject")
    assert found["overfitting"]["combinations"] == 18
    assert found["cpcv"] is None
    assert TrialRecord.objects.get().count == 18


def test_the_same_search_gives_the_same_figures_however_it_is_cut(
    searched: Searched, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"symbols": ["MSFT", "IBM"], "cpcv": {"groups": 6, "test_groups": 2}, "costs": {"fee": 0.001}}
    whole = searched(**asked)
    monkeypatch.setattr("optimize.walkforward.asking.CHUNK_COMBINATIONS", 5)
    cut = searched(**asked)
    assert OptimizationJob.objects.order_by("created_at").last().chunks_count == 4  # type: ignore[union-attr]
    for name in FIGURES:
        assert whole[name] == cut[name], name


def test_each_fold_takes_what_was_best_in_its_training_and_nothing_else(searched: Searched) -> None:
    found = searched(objective="total_return")
    for fold in found["folds"]:
        rows = [{**row["folds"][fold["fold"] - 1], "params": row["params"]} for row in found["results"]]
        best = max(rows, key=lambda row: row["train_score"])
        assert fold["train_score"] == best["train_score"]
        assert fold["train_end"] < fold["test_start"]


def test_prices_of_a_test_change_nothing_that_its_training_says(searched: Searched) -> None:
    searched(n_splits=2)
    job = OptimizationJob.objects.get()
    request = {**job.request, "objective": "sortino"}
    bars = load([Pinned(**one) for one in job.data], start=moment(request["start"]), end=moment(request["end"]))
    combinations = grid_of(request, 0).combinations(0, 18)

    def columns(of: list[Bars]) -> Columns:
        return evaluated(_made(request, of), combinations, np.arange(18), "sortino", lambda: None)

    ground = _made(request, bars)
    first_test = int(ground.windows[2, 0, 0])
    shifted = bars[0].close.copy()
    shifted[first_test:] *= np.linspace(1.0, 3.0, len(shifted) - first_test)
    other = Bars.of({**bars[0].columns(), "close": shifted})
    before, after = columns(bars), columns([other])
    np.testing.assert_array_equal(before["fold_1_train_score"], after["fold_1_train_score"])
    np.testing.assert_array_equal(before["_ruined_in_0"], after["_ruined_in_0"])
    assert not np.array_equal(before["fold_1_test_sharpe"], after["fold_1_test_sharpe"])


def test_figures_are_those_of_each_window_traded_alone(searched: Searched) -> None:
    found = searched(n_splits=3, costs={"fee": 0.001, "slippage": 0.0005})
    job = OptimizationJob.objects.get()
    request = job.request
    bars = load([Pinned(**one) for one in job.data], start=moment(request["start"]), end=moment(request["end"]))
    series = engine.prepare(bars[0])
    settings = engine.Settings(fee=0.001, slippage=0.0005)
    momentum = strategy_types.get("momentum")
    for row in found["results"][:3]:
        for fold, cut in zip(row["folds"], found["folds"], strict=True):
            first, last = bounds(bars[0].time, moment(cut["test_start"]), moment(cut["test_end"]))
            path = engine.simulate(momentum, row["params"], series, (first, last), settings)
            assert fold["test_return"] == pytest.approx(path.statistics["total_return"], rel=1e-9, abs=1e-12)
            assert fold["test_trades"] == path.statistics["trades"]
            if fold["test_sharpe"] is not None:
                assert fold["test_sharpe"] == pytest.approx(path.statistics["sharpe"], rel=1e-9)


def test_combinatorial_cross_validation_is_there_on_request(searched: Searched) -> None:
    found = searched(cpcv={"groups": 6, "test_groups": 2})["cpcv"]
    assert (found["splits"], found["paths"], len(found["sharpe"])) == (15, 5, 5)
    assert min(found["sharpe"]) <= found["mean"] <= max(found["sharpe"])


@pytest.mark.parametrize("search", ["random", "tpe"])
def test_a_search_of_few_trials_looks_at_as_many_and_the_same_again(searched: Searched, search: str) -> None:
    asked = {"search": search, "max_trials": 9, "seed": 5, "n_splits": 4}
    first, second = searched(**asked), searched(**asked)
    assert first["status"] == "complete", first["error"]
    assert first["evaluated"] + first["pruned"] == 9
    for name in FIGURES:
        assert first[name] == second[name], name
    assert {record.count for record in TrialRecord.objects.all()} == {9}


def test_a_learning_search_goes_on_where_a_lost_worker_stopped(
    searched: Searched, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"search": "tpe", "max_trials": 12, "seed": 7}
    unharmed = searched(**asked)
    job = OptimizationJob.objects.get()
    monkeypatch.setattr("optimize.walkforward.tpe.KEEP_S", 0.0)
    states: list[bytes] = []

    def keep(state: bytes) -> None:
        states.append(state)
        if len(states) == 6:
            raise LeaseLost

    data = [Pinned(**one) for one in job.data]
    known = Asked(job.pk, job.request, data, job.seed, job.total_combinations, job.n_folds, job.created_at)

    def run(state: bytes | None, keep: Callable[[bytes], None]) -> bytes:
        return kinds.get("strategy").run(Piece(known, 0, 12, lambda: None, lambda done, fold: None, keep, state))

    with pytest.raises(LeaseLost):
        run(None, keep)
    resumed = unpacked(run(states[-1], lambda state: None))
    alone = unpacked(run(None, lambda state: None))
    assert len(resumed["number"]) == unharmed["evaluated"] + unharmed["pruned"] == 12
    for name, values in alone.items():
        np.testing.assert_array_equal(resumed[name], values, err_msg=name)


def test_what_was_tried_before_on_the_same_data_counts_against_a_search(searched: Searched) -> None:
    def trials(**changes: Any) -> int:
        return int(searched(**changes)["deflated_sharpe"]["trials"])

    assert trials() == 18
    assert trials() == 18
    # 4 others, over a part of the same time, then those of before come in again.
    assert trials(start="2006-01-01", param_grid={"lookback": [10, 11, 12, 13]}) == 22
    assert trials(symbols=["IBM"]) == 18
    assert trials(strategy_type="rsi_reversion") < 30
    assert trials(start="2000-01-01", end="2004-12-31") == 18
    assert trials(symbols=["IBM", "MSFT"]) == 22
    # The same combinations with a stop are others: whoever tries stops tries.
    assert trials(stop_loss=0.1) == 40
    assert trials(stop_loss=0.1) == 40
    assert trials(direction="long_short") == 58
    # Nor is another number of folds the same trial.
    assert trials(n_splits=4) == 76


def test_the_verdict_knows_what_holding_would_have_had(searched: Searched) -> None:
    evidence = searched()["verdict"]["evidence"]
    assert isinstance(evidence["holding"], float)


def test_the_whole_table_is_there_as_parquet_and_as_csv(searched: Searched, api: Api) -> None:
    found = searched()
    client = api("trader")
    address = f"/api/optimize/{found['id']}/matrix"
    answer = client.get(address)
    assert answer["Content-Type"] == "application/vnd.apache.parquet"
    table = pq.read_table(io.BytesIO(b"".join(answer.streaming_content)))
    assert table.num_rows == 18
    assert not [name for name in table.column_names if name.startswith("_")]
    best = found["results"][0]
    rows = [row for row in table.to_pylist() if row["t_stat"] == best["t_stat"]]
    assert {name: rows[0][f"param_{name}"] for name in best["params"]} == best["params"]
    text = b"".join(client.get(f"{address}.csv").streaming_content).decode()
    lines = list(csv.DictReader(io.StringIO(text)))
    assert [float(line["t_stat"]) for line in lines] == table.column("t_stat").to_pylist()
    assert client.get("/api/optimize/0190a0b0-0000-7000-8000-000000000003/matrix").status_code == 404


def test_a_table_is_not_there_before_the_end(api: Api) -> None:
    client = api("trader")
    job = client.post("/api/optimize/strategy", GOOD, format="json").json()["job_id"]
    for name in ("matrix", "matrix.csv"):
        answer = client.get(f"/api/optimize/{job}/{name}")
        assert (answer.status_code, answer.json()["code"]) == (409, "OPTIMIZATION_UNFINISHED")
