"""Look-ahead and recursive analysis as jobs: asked over HTTP, carried by workers, told with bars and combinations."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from optimize.inspection import asking
from optimize.models import OptimizationJob
from tests.optimize.analysis.planted import planted

pytestmark = pytest.mark.django_db

Analysed = Callable[..., dict[str, Any]]
Api = Callable[..., APIClient]
BODY = {"strategy_type": "sma_crossover", "symbols": ["IBM", "MSFT"], "start": "2003-01-01", "end": "2004-12-31"}
GRID = {"fast": [5, 10], "slow": [20, 40]}


@pytest.fixture(autouse=True)
def _prices(sample: None) -> None:
    pass


def test_a_strategy_that_sees_nothing_of_the_future_is_clean(analysed: Analysed) -> None:
    found = analysed("lookahead", {**BODY, "param_grid": GRID})
    assert found["clean"] is True
    assert found["combinations_looked_at"] == found["total_combinations"] == 4
    assert found["cuts"] >= 4 * 2 * 50
    assert (found["results"], found["cuts_left_out"]) == ([], 0)


def test_a_planted_peek_of_one_bar_is_caught_with_its_bar_and_combination(analysed: Analysed) -> None:
    with planted("tomorrow_or_today") as kind:
        found = analysed("lookahead", {**BODY, "strategy_type": kind.slug, "param_grid": {"margin": [0.0, 1.0]}})
    assert found["clean"] is False
    assert found["combinations_that_look_ahead"] == 2
    (first, _) = found["results"]
    assert first["params"] == {"margin": 0.0}
    assert [one["symbol"] for one in first["symbols"]] == ["IBM", "MSFT"]
    change = first["symbols"][0]["changes"][0]
    assert change["bar"] == change["shown_until"]
    assert change["bar"].startswith("2003-01")
    assert {change["with_the_future"], change["without"]} == {"enter", "nothing"} or {
        change["with_the_future"],
        change["without"],
    } == {"exit", "nothing"}


def test_the_result_does_not_depend_on_how_the_job_was_cut(analysed: Analysed, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = analysed("lookahead", {**BODY, "param_grid": GRID})
    monkeypatch.setattr(asking, "CHUNK_WORK", 1)
    cut = analysed("lookahead", {**BODY, "param_grid": GRID})
    assert OptimizationJob.objects.get(pk=cut["id"]).chunks_count == 4
    assert {name: cut[name] for name in ("clean", "cuts", "results")} == {
        name: whole[name] for name in ("clean", "cuts", "results")
    }


def test_recursive_analysis_says_how_many_bars_are_needed(analysed: Analysed) -> None:
    found = analysed("recursive", {**BODY, "param_grid": {"fast": [5], "slow": [20]}, "starts": 4})
    assert found["enough"] is True
    assert found["bars_needed"] <= 20
    (row,) = found["results"]
    ibm = row["symbols"][0]
    assert ibm["declared"] == 20
    assert [figure["bars"] for figure in ibm["figures"]] == [5, 20]
    assert len(ibm["starts"]) == 4
    slow = analysed("recursive", {**BODY, "strategy_type": "ema_crossover", "param_grid": {"fast": [10], "slow": [30]}})
    figures = slow["results"][0]["symbols"][0]["figures"]
    assert all(figure["bars"] > 30 for figure in figures)
    assert figures[1]["difference_at_warm_up"] > 1e-6


@pytest.mark.parametrize("kind", ["lookahead", "recursive"])
@pytest.mark.parametrize(
    ("changes", "pointer", "code"),
    [
        ({"strategy_type": "luck"}, "strategy_type", "unknown"),
        ({"strategy_type": "model"}, "param_grid/model", "required"),
        ({"param_grid": {"speed": [1]}}, "param_grid/speed", "unknown_parameter"),
        ({"param_grid": {"fast": list(range(2, 40)), "slow": list(range(50, 80))}}, "param_grid", "too_many"),
        ({"symbols": ["NOPE"]}, "symbols/0", "unknown_symbol"),
        ({"symbols": []}, "symbols", "min_length"),
        ({"start": "2006-01-01"}, "end", "invalid"),
        ({"colour": 1}, "colour", "unknown_field"),
    ],
)
def test_what_is_wrong_is_named(api: Api, kind: str, changes: dict[str, Any], pointer: str, code: str) -> None:
    answer = api("trader").post(f"/api/optimize/{kind}", {**BODY, **changes}, format="json")
    assert answer.status_code == 400, answer.json()
    assert (pointer, code) in [(error["pointer"].lstrip("/"), error["code"]) for error in answer.json()["errors"]]
    assert not OptimizationJob.objects.exists()


def test_too_short_a_history_for_a_recursive_analysis_is_refused(api: Api) -> None:
    body = {**BODY, "start": "2000-01-01", "end": "2000-04-30", "param_grid": {"fast": [20], "slow": [50]}}
    answer = api("trader").post("/api/optimize/recursive", body, format="json")
    assert [error["code"] for error in answer.json()["errors"]] == ["too_few_bars", "too_few_bars"]


def test_more_work_than_anybody_waits_for_is_refused(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "WORK_MAX", 1_000)
    answer = api("trader").post("/api/optimize/lookahead", {**BODY, "param_grid": GRID}, format="json")
    assert answer.json()["errors"][0]["code"] == "too_much_work"


def test_analyses_and_backtests_load_no_compiler_into_the_web_process() -> None:
    code = (
        "import sys, optimize.analysis.account, optimize.analysis.figures, optimize.analysis.lookahead, "
        "optimize.analysis.parity, optimize.analysis.recursive; sys.exit('numba' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
