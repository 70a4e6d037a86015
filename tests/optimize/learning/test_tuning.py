"""Tuning: read off one run what others train anew, the same figures always, and no edge where there is none."""

import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from optimize.learning.errors import ModelConfigInvalid, ModelDataInsufficient
from optimize.learning.families import FAMILIES, Rows, combinations, family_get
from optimize.learning.features import FeatureConfig, feature_config
from optimize.learning.folds import FoldConfig, walk_forward
from optimize.learning.labels import LabelConfig
from optimize.learning.metrics import auc
from optimize.learning.panel import Panel, build
from optimize.learning.tuning import (
    FIGURES,
    OBJECTIVES,
    Plan,
    default_patience,
    evaluate,
    final_rounds,
    in_sample,
    ranking,
    train_final,
)
from tests.optimize.learning.samples import begin, finish, noise, planted

FEATURES = feature_config({"returns": [1, 2, 5], "volatility": [5], "indicators": [{"indicator": "rsi"}]})
GRIDS: dict[str, dict[str, list[Any]]] = {
    "xgboost": {"n_estimators": [5, 20, 40], "max_depth": [2, 3], "subsample": [0.7], "colsample_bytree": [0.6]},
    "lightgbm": {
        "n_estimators": [5, 20, 40],
        "num_leaves": [8],
        "min_child_samples": [5, 40],
        "subsample": [0.7],
        "colsample_bytree": [0.6],
    },
    "random_forest": {"n_estimators": [5, 12, 30], "max_depth": [3], "min_samples_leaf": [20]},
    "logistic": {"C": [0.01, 1.0]},
}
BOOSTED = ("xgboost", "lightgbm")
WITH_ROUNDS = (*BOOSTED, "random_forest")


def _panel(symbols: int = 2, count: int = 500, seed: int = 0, *, edge: bool = True, horizon: int = 1) -> Panel:
    make = planted if edge else noise
    series = [make(count, seed + k, symbol=f"S{k}") for k in range(symbols)]
    return build(series, FEATURES, LabelConfig(horizon=horizon), start=begin(series[0]), end=finish(series[0]))


def _plan(slug: str, grid: dict[str, list[Any]] | None = None, **changes: Any) -> Plan:
    family = family_get(slug)
    return Plan(
        family, combinations(family, GRIDS[slug] if grid is None else grid), FoldConfig(3), **{"seed": 11, **changes}
    )


def _same(one: Any, other: Any) -> None:
    for name in FIGURES:
        np.testing.assert_array_equal(one.folds[name], other.folds[name], err_msg=name)
        np.testing.assert_array_equal(one.whole[name], other.whole[name], err_msg=name)
    np.testing.assert_array_equal(one.returns, other.returns)
    np.testing.assert_array_equal(one.rounds, other.rounds)


@pytest.mark.parametrize("slug", FAMILIES)
def test_a_combination_scores_in_a_grid_what_it_scores_trained_alone(slug: str) -> None:
    panel, plan = _panel(), _plan(slug)
    together = evaluate(panel, plan)
    for place in range(len(plan.combinations)):
        alone = evaluate(panel, plan, place, place + 1)
        for name in FIGURES:
            np.testing.assert_array_equal(together.folds[name][place], alone.folds[name][0], err_msg=name)
        assert together.returns[place].tolist() == alone.returns[0].tolist()


@pytest.mark.parametrize("slug", BOOSTED)
def test_stopping_early_is_the_same_read_off_a_longer_run_as_trained_alone(slug: str) -> None:
    panel = _panel(edge=False)
    plan = _plan(slug, {"n_estimators": [2, 4, 9, 60], "learning_rate": [0.3]}, patience=4)
    together = evaluate(panel, plan)
    for place in range(len(plan.combinations)):
        alone = evaluate(panel, plan, place, place + 1)
        assert together.rounds[place].tolist() == alone.rounds[0].tolist()
        assert together.folds["log_loss"][place].tolist() == alone.folds["log_loss"][0].tolist()
    longest = together.rounds[-1]
    assert longest.max() < 60
    assert final_rounds(plan, plan.combinations[-1], longest.tolist()) == int(np.median(longest))


@pytest.mark.parametrize("slug", FAMILIES)
def test_the_same_plan_gives_the_same_numbers_whatever_the_threads(slug: str) -> None:
    panel, plan = _panel(), _plan(slug)
    once = evaluate(panel, plan)
    _same(once, evaluate(panel, plan))
    _same(once, evaluate(panel, plan, threads=2))


@pytest.mark.parametrize("slug", ["xgboost", "lightgbm", "random_forest"])
def test_another_seed_gives_other_numbers(slug: str) -> None:
    panel = _panel()
    one, other = evaluate(panel, _plan(slug)), evaluate(panel, _plan(slug, seed=12))
    assert one.folds["log_loss"].tolist() != other.folds["log_loss"].tolist()


@pytest.mark.parametrize("slug", FAMILIES)
def test_a_planted_edge_is_found_and_earns_and_noise_gives_none(slug: str) -> None:
    found = evaluate(_panel(3, 900), _plan(slug))
    best = ranking(found, "t_stat")[0]
    assert found.whole["auc"][best] > 0.6
    assert found.whole["t_stat"][best] > 3
    nothing = evaluate(_panel(3, 900, edge=False), _plan(slug))
    assert abs(nothing.whole["auc"] - 0.5).max() < 0.05


def test_scores_know_nothing_of_prices_behind_the_last_fold_that_they_are_of() -> None:
    """What the first fold scores must not change when everything behind it and its labels does."""
    series = planted(500, 3)
    whole = build([series], FEATURES, LabelConfig(horizon=2), start=begin(series), end=finish(series))
    first = walk_forward(500, FoldConfig(3))[0]
    behind = np.arange(500) > first.test[1] + 3
    other = replace(
        series,
        **{n: np.where(behind, getattr(series, n) * 7, getattr(series, n)) for n in ("open", "high", "low", "close")},
    )
    changed = build([other], FEATURES, LabelConfig(horizon=2), start=begin(series), end=finish(series))
    plan = _plan("xgboost")
    one, two = evaluate(whole, plan), evaluate(changed, plan)
    for name in FIGURES:
        np.testing.assert_array_equal(one.folds[name][:, 0], two.folds[name][:, 0], err_msg=name)


def test_a_shuffled_split_finds_an_edge_in_noise_and_purged_folds_find_none() -> None:
    """Labels of 30 bars overlap: a model that remembers a row's neighbours knows its answer, when it may see them."""
    slow = feature_config(
        {
            "returns": [60, 120, 200],
            "volatility": [60, 120],
            "indicators": [{"indicator": "sma", "params": {"period": 90}}],
        }
    )
    bars = noise(1500, 4)
    panel = build([bars], slow, LabelConfig(horizon=30), start=begin(bars), end=finish(bars))
    grid = {"n_estimators": [40], "max_depth": [0], "min_samples_leaf": [1]}
    plan = replace(_plan("random_forest", grid), folds=FoldConfig(5, 0.3))
    purged = evaluate(panel, plan).whole["auc"][0]

    rows = np.random.default_rng(0).permutation(np.flatnonzero(panel.labelled))
    train, test = rows[len(rows) // 5 :], rows[: len(rows) // 5]
    family, params = plan.family, plan.combinations[0]
    matrix = family.matrix(Rows(panel.x[train], (panel.up[train] == 1).astype(float)), None, params)
    fitted = family.fit(matrix, params, 40, seed=0, check=lambda: None)
    shuffled = auc(panel.up[test] == 1, fitted.probabilities(panel.x[test], [40])[0])

    assert shuffled > 0.9
    assert purged < 0.6


def test_cancelling_stops_between_rounds() -> None:
    class Stopped(Exception):
        pass

    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls == 30:
            raise Stopped

    for slug in BOOSTED:
        calls = 0
        with pytest.raises(Stopped):
            evaluate(_panel(), _plan(slug), check=check)


def test_progress_counts_every_combination_on_every_fold() -> None:
    lock, total = threading.Lock(), [0]

    def progress(count: int) -> None:
        with lock:
            total[0] += count

    plan = _plan("xgboost")
    evaluate(_panel(), plan, threads=2, progress=progress)
    assert total[0] == len(plan.combinations) * 3


def test_rows_are_weighted_by_uniqueness_unless_that_is_declined() -> None:
    panel = _panel(horizon=5)
    one, other = evaluate(panel, _plan("logistic")), evaluate(panel, _plan("logistic", weighted=False))
    assert one.folds["log_loss"].tolist() != other.folds["log_loss"].tolist()


def test_too_little_to_learn_from_is_said_with_the_fold() -> None:
    with pytest.raises(ModelDataInsufficient, match="fold 1 has"):
        evaluate(_panel(1, 90), _plan("logistic"))
    rising = noise(400)
    rising = replace(rising, open=np.linspace(50, 90, 400), high=np.full(400, 99.0))
    panel = build([rising], FEATURES, LabelConfig(horizon=1), start=begin(rising), end=finish(rising))
    with pytest.raises(ModelDataInsufficient, match="every label is up"):
        evaluate(panel, _plan("logistic"))


def test_undefined_figures_rank_last_and_each_objective_ranks_its_own_way() -> None:
    scores = evaluate(_panel(), _plan("xgboost"))
    for objective, more in OBJECTIVES.items():
        order = ranking(scores, objective)
        values = scores.whole[objective][order]
        assert (np.diff(values) <= 0).all() if more else (np.diff(values) >= 0).all()
    scores.whole["t_stat"][ranking(scores, "t_stat")[0]] = np.nan
    assert np.isnan(scores.whole["t_stat"][ranking(scores, "t_stat")[-1]])


def test_in_sample_figures_are_better_than_those_out_of_sample_for_a_model_that_memorises() -> None:
    panel = _panel(edge=False)
    plan = _plan("random_forest", {"n_estimators": [30], "max_depth": [0], "min_samples_leaf": [1]})
    seen = in_sample(panel, plan, plan.combinations[0])
    assert len(seen) == 3
    assert min(figures["auc"] for figures in seen) > 0.9
    assert evaluate(panel, plan).whole["auc"][0] < 0.65


def test_early_stopping_is_the_default_only_where_the_grid_names_one_number_of_rounds() -> None:
    for slug in BOOSTED:
        family = family_get(slug)
        assert default_patience(family, combinations(family, {"learning_rate": [0.1, 0.2]})) > 0
        assert default_patience(family, combinations(family)) == 0
    assert default_patience(family_get("logistic"), combinations(family_get("logistic"))) == 0


def test_the_final_model_learns_from_all_labelled_rows() -> None:
    panel, plan = _panel(), _plan("logistic")
    fitted = train_final(panel, plan, plan.combinations[0], 0)
    fewer = build(
        [bars.slice(0, 400) for bars in panel.bars],
        FeatureConfig(FEATURES.returns, FEATURES.volatility, FEATURES.volume, FEATURES.indicators),
        LabelConfig(horizon=1),
        start=begin(panel.bars[0]),
        end=finish(panel.bars[0]),
    )
    other = train_final(fewer, plan, plan.combinations[0], 0)
    assert fitted.arrays(0)["coefficients"].tolist() != other.arrays(0)["coefficients"].tolist()


@pytest.mark.parametrize(
    ("grid", "pointer", "code"),
    [
        ([], "param_grid", "invalid"),
        ({"depth": [3]}, "param_grid/depth", "unknown"),
        ({"max_depth": 3}, "param_grid/max_depth", "invalid"),
        ({"max_depth": []}, "param_grid/max_depth", "invalid"),
        ({"max_depth": [3, 2.5]}, "param_grid/max_depth/1", "invalid"),
        ({"max_depth": [3, 3.0]}, "param_grid/max_depth/1", "duplicate"),
        ({"n_estimators": [100_000]}, "param_grid/n_estimators/0", "invalid"),
        ({"n_estimators": list(range(1, 2001)), "max_depth": list(range(1, 9))}, "param_grid", "out_of_range"),
    ],
)
def test_what_is_wrong_with_a_grid_is_named(grid: object, pointer: str, code: str) -> None:
    with pytest.raises(ModelConfigInvalid) as caught:
        combinations(family_get("xgboost"), grid)
    assert [(error.pointer, error.code) for error in caught.value.errors] == [(pointer, code)]


def test_an_unknown_kind_of_model_is_refused() -> None:
    with pytest.raises(ModelConfigInvalid, match="model_type"):
        family_get("perceptron")


@pytest.mark.parametrize("slug", FAMILIES)
def test_default_grids_are_valid_and_of_a_size_that_ends(slug: str) -> None:
    assert 2 <= len(combinations(family_get(slug))) <= 50
