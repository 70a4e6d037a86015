"""Asking for a search over HTTP: what is taken, and each thing that is wrong, by name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rest_framework.test import APIClient

from market import store
from market.models import BarImport
from market.services import bars_import_source
from optimize.models import OptimizationJob
from optimize.walkforward import asking
from tradingsite.common.actor import Actor
from tradingsite.common.models import OutboxMessage

pytestmark = pytest.mark.django_db

URL = "/api/optimize/strategy"
Api = Callable[..., APIClient]
GOOD = {"strategy_type": "momentum", "symbols": ["MSFT"], "start": "2005-01-01", "end": "2009-12-31"}


@pytest.fixture(autouse=True)
def sample(db: None, data_dir: Path) -> BarImport:
    store.cache_clear()
    return bars_import_source(actor=Actor.system("tests"), source="sample")


def test_the_request_of_the_specification_is_answered_with_a_running_job(api: Api) -> None:
    answer = api("trader").post(URL, GOOD, format="json")

    assert answer.status_code == 200
    body = answer.json()
    assert body.keys() == {"job_id", "status", "total_combinations"}
    assert body["status"] == "running"
    # momentum's own grid
    assert body["total_combinations"] == 18
    job = OptimizationJob.objects.get(pk=body["job_id"])
    assert job.request["start"] == "2005-01-01T00:00:00Z"
    assert job.request["end"] == "2009-12-31T23:59:59.999999Z"
    assert job.data[0]["symbol"] == "MSFT"
    assert len(job.data[0]["fingerprint"]) == 64
    assert job.request["periods_per_year"] == 252
    assert OutboxMessage.objects.filter(task="optimize.carry").count() == 1


def test_the_same_key_never_starts_a_second_job(api: Api) -> None:
    client = api("trader")
    first = client.post(URL, GOOD, format="json", headers={"Idempotency-Key": "one"})
    second = client.post(URL, GOOD, format="json", headers={"Idempotency-Key": "one"})
    assert first.json() == second.json()
    assert OptimizationJob.objects.count() == 1


def _errors(api: Api, **changes: Any) -> dict[str, str]:
    body = {**GOOD, **changes}
    answer = api("trader").post(URL, {name: value for name, value in body.items() if value is not ...}, format="json")
    assert answer.status_code == 400, answer.json()
    assert OptimizationJob.objects.count() == 0
    return {error["pointer"]: error["code"] for error in answer.json()["errors"]}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"strategy_type": "nonsense"}, {"strategy_type": "unknown"}),
        ({"strategy_type": ...}, {"strategy_type": "required"}),
        ({"symbols": []}, {"symbols": "min_length"}),
        ({"symbols": ["NOPE"]}, {"symbols/0": "unknown_symbol"}),
        ({"symbols": ["MSFT", "no pe"]}, {"symbols/1": "symbol"}),
        ({"symbols": "MSFT"}, {"symbols": "not_a_list"}),
        ({"symbols": ["MSFT"] * 51}, {"symbols": "max_length"}),
        ({"start": "1999-01-01", "end": "1999-06-01"}, {"symbols/0": "no_bars"}),
        ({"timeframe": "1h"}, {"symbols/0": "no_series"}),
        ({"timeframe": "2d"}, {"timeframe": "invalid_choice"}),
        ({"source": "nowhere"}, {"symbols/0": "no_series"}),
        ({"source": "../etc"}, {"source": "invalid"}),
        ({"start": "2010-01-01"}, {"end": "invalid"}),
        ({"start": "soon"}, {"start": "invalid"}),
        ({"start": "2005-02-30"}, {"start": "invalid"}),
        ({"start": "2005-01-01T00:00:00"}, {"start": "invalid"}),
        ({"start": "0001-01-01"}, {"start": "out_of_range"}),
        ({"end": "9999-12-31"}, {"end": "out_of_range"}),
        ({"end": "0001-01-01T00:00:00+23:00"}, {"end": "overflow"}),
        ({"param_grid": []}, {"param_grid": "invalid"}),
        ({"param_grid": {"lookback": 21}}, {"param_grid/lookback": "invalid"}),
        ({"param_grid": {"lookback": []}}, {"param_grid/lookback": "invalid"}),
        ({"param_grid": {"lookback": [21, "x", 1, 2.5, 1e308, True, None, [3], 10**30]}}, {
            f"param_grid/lookback/{index}": "invalid" for index in range(1, 9)
        }),
        ({"param_grid": {"lookbock": [21]}}, {"param_grid/lookbock": "unknown_parameter"}),
        (
            {"param_grid": {"threshold": [0.0], "exit_threshold": [1.0, 2.0]}},
            {"param_grid": "constraint"},
        ),
        ({"param_grid": {"lookback": list(range(2, 502)), "threshold": [n / 10 for n in range(501)]}}, {
            "param_grid": "too_many"
        }),
        ({"param_grid": {"lookback": list(range(2, 402)), "threshold": [n / 10 for n in range(300)]}}, {
            "param_grid": "too_many"
        }),
        ({"param_grid": {"lookback": [2] * 10_001}}, {"param_grid/lookback": "too_many"}),
        ({"n_splits": 0}, {"n_splits": "min_value"}),
        ({"n_splits": 51}, {"n_splits": "max_value"}),
        ({"n_splits": "5"}, {"n_splits": "invalid"}),
        ({"n_splits": 2.5}, {"n_splits": "invalid"}),
        ({"n_splits": True}, {"n_splits": "invalid"}),
        ({"n_splits": 20}, {"n_splits": "FOLD_TOO_SHORT"}),
        ({"embargo": 100}, {"n_splits": "FOLD_TOO_SHORT"}),
        ({"train_ratio": 0}, {"train_ratio": "min_value"}),
        ({"train_ratio": 1}, {"train_ratio": "max_value"}),
        ({"train_ratio": "0.5"}, {"train_ratio": "invalid"}),
        ({"train_ratio": True}, {"train_ratio": "invalid"}),
        ({"anchored": "perhaps"}, {"anchored": "invalid"}),
        ({"embargo": -1}, {"embargo": "min_value"}),
        ({"objective": "luck"}, {"objective": "invalid_choice"}),
        ({"search": "prayer"}, {"search": "invalid_choice"}),
        ({"max_trials": 0}, {"max_trials": "min_value"}),
        ({"max_trials": 5}, {"max_trials": "invalid"}),
        ({"search": "tpe", "max_trials": 2001}, {"max_trials": "too_many"}),
        ({"costs": {"fee": -0.1}}, {"costs/fee": "min_value"}),
        ({"costs": {"fee": "0.1"}}, {"costs/fee": "invalid"}),
        ({"costs": {"slippage": 0.3}}, {"costs/slippage": "max_value"}),
        ({"costs": {"tax": 0.1}}, {"costs/tax": "unknown_field"}),
        ({"costs": None}, {"costs": "null"}),
        ({"initial_cash": 0}, {"initial_cash": "min_value"}),
        ({"direction": "sideways"}, {"direction": "invalid_choice"}),
        ({"stop_loss": 0}, {"stop_loss": "min_value"}),
        ({"take_profit": 1.5, "direction": "long_short"}, {"take_profit": "invalid"}),
        ({"seed": -1}, {"seed": "min_value"}),
        ({"cpcv": {"groups": 4, "test_groups": 4}}, {"cpcv/test_groups": "invalid"}),
        ({"cpcv": {"groups": 12}, "start": "2009-01-01", "n_splits": 1}, {"cpcv/groups": "FOLD_TOO_SHORT"}),
        ({"gate": "open"}, {"gate": "INVALID"}),
        ({"gate": {"min_dsr": 0.1, "luck": 1}}, {"gate/min_dsr": "INVALID", "gate/luck": "INVALID"}),
        ({"surprise": 1}, {"surprise": "unknown_field"}),
    ],
)  # fmt: skip
def test_a_wrong_field_is_refused_by_name(api: Api, changes: dict[str, Any], expected: dict[str, str]) -> None:
    assert _errors(api, **changes) == expected


def test_all_that_is_wrong_is_told_at_once(api: Api) -> None:
    assert _errors(api, symbols=["NOPE"], param_grid={"lookback": [0]}, max_trials=1) == {
        "symbols/0": "unknown_symbol",
        "param_grid/lookback/0": "invalid",
    }


@pytest.mark.parametrize("body", [None, [], "x", 5, {}, [GOOD]])
def test_rubbish_is_a_400(api: Api, body: Any) -> None:
    answer = api("trader").post(URL, body, format="json")
    assert answer.status_code == 400
    assert answer["Content-Type"] == "application/problem+json"


def test_combinations_that_break_a_constraint_are_left_out(api: Api) -> None:
    body = {**GOOD, "strategy_type": "sma_crossover", "param_grid": {"fast": [5, 20, 50], "slow": [20, 50]}}
    assert api("trader").post(URL, body, format="json").json()["total_combinations"] == 3


def test_a_hundred_thousand_combinations_are_few_rows(api: Api) -> None:
    grid = {"lookback": list(range(2, 102)), "threshold": [n / 100 for n in range(1000)], "exit_threshold": [0.0]}
    answer = api("trader").post(URL, {**GOOD, "param_grid": grid}, format="json")
    assert answer.json()["total_combinations"] == 100_000
    job = OptimizationJob.objects.get()
    assert job.chunks.count() <= 1_001
    assert [chunk.last - chunk.first <= asking.CHUNK_COMBINATIONS for chunk in job.chunks.filter(gathers=False)]


def test_a_random_search_draws_as_many_as_asked_and_the_same_by_its_seed(api: Api) -> None:
    from optimize.walkforward.grids import grid_of

    body = {**GOOD, "search": "random", "max_trials": 7, "seed": 3}
    answers = [api("trader").post(URL, body, format="json").json() for _ in range(2)]
    assert [answer["total_combinations"] for answer in answers] == [7, 7]
    jobs = OptimizationJob.objects.all()
    drawn = [grid_of(job.request, job.seed) for job in jobs]
    assert [list(grid.kept) for grid in drawn] == [list(drawn[0].kept)] * 2
    assert len(set(drawn[0].kept)) == 7
    assert list(drawn[0].kept) != list(grid_of(jobs[0].request, 4).kept)


def test_too_many_unfinished_jobs_are_refused_with_the_time_to_wait(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("optimize.services.asking.UNFINISHED_MAX", 1)
    client = api("trader")
    assert client.post(URL, GOOD, format="json").status_code == 200
    answer = client.post(URL, GOOD, format="json")
    assert (answer.status_code, answer.json()["code"]) == (429, "OPTIMIZER_BUSY")
    assert answer["Retry-After"]
