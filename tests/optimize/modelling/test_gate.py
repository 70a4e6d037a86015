"""The gate on tuned models: noise is not promoted, a planted edge is, and a model that only holds is told apart."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from market.bars import Bars
from optimize import honesty
from optimize.learning.families import combinations, family_get
from optimize.learning.features import feature_config
from optimize.learning.folds import FoldConfig
from optimize.learning.labels import LabelConfig
from optimize.learning.panel import build
from optimize.learning.trading import SignalConfig
from optimize.learning.tuning import Plan, Scores, evaluate
from optimize.modelling.asking import Asking
from optimize.modelling.gathering import _search
from tests.optimize.learning.samples import bars_of, begin, finish, noise, planted

FEATURES = feature_config({"returns": [1, 2, 5], "volatility": [10], "indicators": [{"indicator": "rsi"}]})
GRID = {"C": [0.001, 0.01, 0.1, 1.0]}


def _assessed(
    series: list[Bars], signal: SignalConfig | None = None, grid: dict[str, list[float]] = GRID
) -> tuple[honesty.Assessment, Scores]:
    family = family_get("logistic")
    labels = LabelConfig(horizon=1)
    panel = build(series, FEATURES, labels, start=begin(series[0]), end=finish(series[0]))
    plan = Plan(family, combinations(family, grid), FoldConfig(5), signal or SignalConfig())
    scores = evaluate(panel, plan)
    now = datetime(2020, 1, 1, tzinfo=UTC)
    asking = Asking(family, plan.combinations, FEATURES, labels, plan, "t_stat", now, now)
    search = _search(asking, list(range(len(plan.combinations))), scores)
    judged = honesty.assess(
        search, lambda place: scores.returns[place], trials=len(plan.combinations), holding=scores.holding
    )
    return judged, scores


def _reasons(judged: honesty.Assessment) -> set[str]:
    return {reason.code for reason in judged.verdict.reasons}


def test_models_of_noise_are_not_promoted() -> None:
    outcomes = [_assessed([noise(700, seed)])[0].verdict.outcome for seed in range(40)]
    assert outcomes.count("promote") <= 2


def test_a_model_of_a_planted_edge_is_promoted() -> None:
    # Half of them are held too short to say anything: where all are alike, the choice among them is no proof.
    grid = {"C": [1e-6, 1e-5, 0.1, 1.0]}
    series = [planted(1500, seed, symbol=f"S{seed}") for seed in range(3)]
    judged, _ = _assessed(series, SignalConfig(enter=0.55, leave=0.45), grid)
    assert judged.verdict.outcome == "promote", _reasons(judged)


def test_a_model_that_is_always_long_is_told_from_one_that_knows() -> None:
    rising = np.exp(np.cumsum(np.random.default_rng(5).normal(0.002, 0.01, 900)))
    judged, scores = _assessed([bars_of(100 * rising)], SignalConfig(enter=0.0, leave=0.0))
    np.testing.assert_allclose(scores.returns[0], scores.holding, rtol=0, atol=1e-12)
    assert "NO_BETTER_THAN_HOLDING" in _reasons(judged)


def test_what_a_fold_chooses_by_are_the_tests_before_it_alone() -> None:
    judged, scores = _assessed([planted(900, 1)])
    assert judged.walk_forward.folds[0].chosen is None
    edges = [len(scores.axis) * fold // 5 for fold in range(6)]
    for fold in range(1, 5):
        seen = scores.returns[:, : edges[fold]]
        ratios = seen.mean(axis=1) / seen.std(axis=1, ddof=1)
        assert judged.walk_forward.folds[fold].chosen == int(np.argmax(ratios))


def test_costs_are_paid_by_whoever_holds_too() -> None:
    bars = [noise(400, 2)]
    _, free = _assessed(bars)
    _, dear = _assessed(bars, replace(SignalConfig(), fee=0.01))
    assert free.holding.sum() - dear.holding.sum() > 5 * 0.009
