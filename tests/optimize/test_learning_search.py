"""A search that learns where to look does learn, and gives up early what cannot become the best."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rest_framework.test import APIClient

from market import store
from market.services import bars_import_source
from optimize.models import OptimizationJob
from optimize.walkforward.chunks import Columns, unpacked
from optimize.work import Asked, Piece, Pinned, kinds
from tradingsite.common.actor import Actor

pytestmark = pytest.mark.django_db

TRIALS = 60
BODY = {
    "strategy_type": "momentum",
    "symbols": ["MSFT"],
    "start": "2003-01-01",
    "end": "2012-12-31",
    "n_splits": 8,
    "param_grid": {"lookback": list(range(2, 122, 2)), "threshold": [float(percent) for percent in range(20)]},
}
Looked = Callable[..., Columns]


@pytest.fixture
def looked(data_dir: Path, warmed: None, api: Callable[..., APIClient]) -> Looked:
    """Return `looked(**changes)`: the table of a search, a row for each combination in the order of its turn."""
    store.cache_clear()
    bars_import_source(actor=Actor.system("tests"), source="sample")

    def look(**changes: Any) -> Columns:
        answer = api("trader").post("/api/optimize/strategy", {**BODY, **changes}, format="json")
        assert answer.status_code == 200, answer.json()
        job = OptimizationJob.objects.get(pk=answer.json()["job_id"])
        data = [Pinned(**one) for one in job.data]
        asked = Asked(job.pk, job.request, data, job.seed, job.total_combinations, job.n_folds, job.created_at)
        piece = Piece(asked, 0, job.total_combinations, lambda: None, lambda done, fold: None, lambda state: None)
        return unpacked(kinds.get("strategy").run(piece))

    return look


def standing(whole: Columns, part: Columns, rows: Any = slice(None)) -> float:
    """Return how well rows of a search do in sample among the whole grid: 0 the worst, 1 the best, 0.5 by chance."""
    order = np.argsort(np.argsort(whole["is_sharpe"]))
    place = dict(zip(asked_for(whole), order.tolist(), strict=True))
    chosen = np.arange(len(part["number"]))[rows].tolist()
    params = asked_for(part)
    return float(np.mean([place[params[row]] for row in chosen]) / (len(order) - 1))


def asked_for(table: Columns) -> list[tuple[Any, ...]]:
    return list(zip(table["param_lookback"].tolist(), table["param_threshold"].tolist(), strict=True))


def test_jesses_uniform_draws_a_learning_search_looks_ever_more_where_it_was_good(looked: Looked) -> None:
    whole = looked()

    def stands(search: str, rows: slice) -> float:
        found = [looked(search=search, max_trials=TRIALS, seed=seed) for seed in (1, 2, 3)]
        return float(np.mean([standing(whole, table, rows) for table in found]))

    assert abs(stands("random", slice(None)) - 0.5) < 0.07
    assert stands("tpe", slice(TRIALS // 3, None)) > 0.6


def test_pybrokers_pruner_what_is_surely_worse_is_given_up_early(looked: Looked) -> None:
    whole = looked()
    found = looked(search="tpe", max_trials=TRIALS, seed=1)
    pruned = found["pruned"].astype(bool)
    assert 5 < pruned.sum() < TRIALS
    # No figure of theirs ranks anywhere; the others have all of theirs.
    assert np.isnan(found["t_stat"][pruned]).all()
    assert np.isfinite(found["is_sharpe"][~pruned]).all()
    assert standing(whole, found, pruned) < standing(whole, found, ~pruned)
