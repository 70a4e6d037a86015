"""Tuning a model on purged folds: the desk's tuner beside scikit-learn's GridSearchCV, in one run on one machine.

Both get the same rows, folds, grid and seeds; first it is shown that they score the same, then their times are
compared. The grid is each kind's default one, or `--grid`, the same for all kinds; each has several numbers of rounds:
GridSearchCV trains each anew, the desk reads them off one longer run. The desk also works out what the forecasts would
have earned, which scikit-learn does not.

Run: python benchmarks/model_tuning.py [--bars 2500] [--symbols 5] [--rounds 2] [--only xgboost,lightgbm] [--cores 1,2]
[--grid '{"n_estimators": [100, 200, 300, 400, 500], "max_depth": [3, 6]}']. It prints the best time of each and the
ratio; it asserts equal scores and no time, since a busy machine lies.
"""

import argparse
import importlib
import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from market.bars import Bars, from_ns
from optimize.learning.families import combinations, family_get
from optimize.learning.features import FeatureConfig
from optimize.learning.folds import FoldConfig, rows_between, training_rows, walk_forward
from optimize.learning.labels import LabelConfig
from optimize.learning.panel import Panel, build
from optimize.learning.tuning import Plan, Scores, evaluate

SEED = 7
DAY = 86_400_000_000_000


def _bars(count: int, number: int) -> Bars:
    rng = np.random.default_rng(number)
    change = rng.normal(0, 0.015, count)
    change[1:] += 0.1 * change[:-1]
    close = 100 * np.exp(np.cumsum(change))
    opened = np.concatenate((close[:1], close[:-1])) * (1 + rng.normal(0, 0.002, count))
    columns = {
        "time": DAY * np.arange(count),
        "open": opened,
        "high": np.maximum(opened, close) * 1.005,
        "low": np.minimum(opened, close) * 0.995,
        "close": close,
        "volume": rng.integers(1_000, 9_000, count).astype(float),
    }
    return Bars.of(columns, symbol=f"S{number}")


def _estimator(slug: str) -> Any:
    if slug == "xgboost":
        return importlib.import_module("xgboost").XGBClassifier(
            objective="binary:logistic",
            tree_method="hist",
            n_jobs=1,
            random_state=SEED,
            seed_per_iteration=True,
            verbosity=0,
        )
    if slug == "lightgbm":
        return importlib.import_module("lightgbm").LGBMClassifier(
            n_jobs=1, random_state=SEED, deterministic=True, force_row_wise=True, verbosity=-1, subsample_freq=0
        )
    return importlib.import_module("sklearn.ensemble").RandomForestClassifier(n_jobs=1, random_state=SEED)


def _scikit(panel: Panel, plan: Plan, slug: str, cores: int) -> tuple[Callable[[], Any], list[Any]]:
    selection = importlib.import_module("sklearn.model_selection")
    embargo = plan.folds.embargo_bars(len(panel.axis))
    cv = []
    for fold in walk_forward(len(panel.axis), plan.folds):
        tested = rows_between(panel, fold.test)
        cv.append((training_rows(panel, fold, embargo), tested[panel.labelled[tested]]))
    grid = [{name: [value] for name, value in params.items()} for params in plan.combinations]
    y = (panel.up == 1).astype(int)

    def search() -> Any:
        found = selection.GridSearchCV(
            _estimator(slug), grid, cv=cv, scoring=["neg_log_loss", "roc_auc"], refit=False, n_jobs=cores
        )
        return found.fit(panel.x, y).cv_results_

    return search, cv


def _agree(scores: Scores, found: Any, folds: int) -> float:
    """Return the largest difference of any score of any combination on any fold."""
    gaps = []
    for number in range(folds):
        gaps.append(scores.folds["log_loss"][:, number] + found[f"split{number}_test_neg_log_loss"])
        gaps.append(scores.folds["auc"][:, number] - found[f"split{number}_test_roc_auc"])
    return float(np.abs(gaps).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bars", type=int, default=2_500)
    parser.add_argument("--symbols", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=2, help="times that each is run; the best counts")
    parser.add_argument("--only", default="xgboost,lightgbm,random_forest")
    parser.add_argument("--cores", default="1,2")
    parser.add_argument("--grid", type=json.loads, default=None, help="parameter to list of values, as JSON")
    asked = parser.parse_args()

    series = [_bars(asked.bars, number) for number in range(asked.symbols)]
    start, end = datetime(1970, 1, 1, tzinfo=UTC), from_ns(int(series[0].time[-1]))
    began = time.perf_counter()
    panel = build(series, FeatureConfig(), LabelConfig(horizon=5), start=start, end=end)
    print(f"{len(panel)} rows of {len(panel.names)} features, built once in {time.perf_counter() - began:.2f} s\n")
    print(f"{'model':14} {'grid':>10} {'cores':>5} {'GridSearchCV':>13} {'desk':>8} {'ratio':>7} {'score gap':>10}")
    for slug in asked.only.split(","):
        family = family_get(slug)
        plan = Plan(family, combinations(family, asked.grid), FoldConfig(5), weighted=False, seed=SEED)
        for cores in map(int, asked.cores.split(",")):
            search, cv = _scikit(panel, plan, slug, cores)
            times: dict[str, list[float]] = {"scikit": [], "desk": []}
            for _ in range(asked.rounds):
                began = time.perf_counter()
                scores = evaluate(panel, plan, threads=cores)
                times["desk"].append(time.perf_counter() - began)
                began = time.perf_counter()
                found = search()
                times["scikit"].append(time.perf_counter() - began)
            gap = _agree(scores, found, len(cv))
            if gap > 1e-6:
                raise SystemExit(f"{slug}: the scores differ by {gap:g}; the times mean nothing")
            desk, scikit = min(times["desk"]), min(times["scikit"])
            size = f"{len(plan.combinations)} x {len(cv)}"
            print(f"{slug:14} {size:>10} {cores:5} {scikit:11.2f} s {desk:6.2f} s {scikit / desk:6.1f}x {gap:10.1e}")


if __name__ == "__main__":
    main()
