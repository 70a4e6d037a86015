"""Gradient boosting by LightGBM."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimize.learning.families.base import (
    Arrays,
    Boosted,
    Check,
    Combination,
    FloatArray,
    Matrices,
    Matrix,
    Patience,
    Predictor,
    Rows,
    library,
)
from optimize.learning.families.trees import Trees, joined, logistic
from workflows.strategies.base import Parameter


def _lightgbm() -> Any:
    return library("lightgbm")


class _Fitted(Boosted):
    def probabilities(self, x: Matrix, rounds: Sequence[int]) -> FloatArray:
        return np.array([self._booster.predict(x, num_iteration=n, num_threads=1) for n in rounds], dtype=np.float64)

    def arrays(self, rounds: int) -> dict[str, NDArray[Any]]:
        text = self._booster.model_to_string(num_iteration=rounds)
        blocks = text.split("end of trees")[0].split("\nTree=")[1:]
        return joined(
            [_tree(dict(line.split("=", 1) for line in block.splitlines() if "=" in line)) for block in blocks]
        )


class LightGBM:
    slug = "lightgbm"
    title = "Gradient boosting (LightGBM)"
    library = "lightgbm"
    rounds: str | None = "n_estimators"
    boosts = True
    shaping: tuple[str, ...] = ("max_bin",)
    parameters: tuple[Parameter, ...] = (
        Parameter("n_estimators", "int", 200, "Rounds of boosting.", 1, 5000),
        Parameter("num_leaves", "int", 15, "Leaves of a tree.", 2, 1024),
        Parameter("max_depth", "int", -1, "Levels of a tree; -1 for no bound.", -1, 64),
        Parameter("learning_rate", "float", 0.05, "Share of each tree that is added.", 0.001, 1),
        Parameter("min_child_samples", "int", 20, "Least rows in a leaf.", 1, 100_000),
        Parameter("subsample", "float", 1.0, "Share of the rows that each tree sees.", 0.1, 1),
        Parameter("colsample_bytree", "float", 1.0, "Share of the features that each tree sees.", 0.1, 1),
        Parameter("reg_lambda", "float", 0.0, "Penalty on squared leaf values.", 0, 10_000),
        Parameter("reg_alpha", "float", 0.0, "Penalty on absolute leaf values.", 0, 10_000),
        Parameter("max_bin", "int", 255, "Bins of a feature.", 15, 1023),
    )
    grid: Mapping[str, tuple[Any, ...]] = {
        "n_estimators": (50, 100, 200, 300),
        "num_leaves": (7, 15, 31),
        "learning_rate": (0.03, 0.1),
    }

    def matrix(self, train: Rows, watch: Rows | None, params: Combination) -> Matrices:
        lgb = _lightgbm()
        settings = {
            "max_bin": params["max_bin"],
            "num_threads": 1,
            "verbosity": -1,
            # Otherwise the least rows in a leaf of the first combination would decide which features all others see.
            "feature_pre_filter": False,
        }
        made = lgb.Dataset(train.x, label=train.up, weight=train.weight, params=settings, free_raw_data=False)
        made.construct()
        watched = None
        if watch is not None:
            watched = lgb.Dataset(
                watch.x, label=watch.up, weight=watch.weight, reference=made, params=settings, free_raw_data=False
            )
            watched.construct()
        return Matrices(made, watched)

    def fit(
        self, matrix: Matrices, params: Combination, rounds: int, *, seed: int, patience: int = 0, check: Check
    ) -> _Fitted:
        lgb = _lightgbm()
        history: list[float] = []
        stop = Patience(patience)

        def watch(env: Any) -> None:
            check()
            if matrix.watch is None:
                return
            history.append(float(env.evaluation_result_list[0][2]))
            if stop.spent(history[-1]):
                raise lgb.callback.EarlyStopException(env.iteration, env.evaluation_result_list)

        settings = {
            **{name: value for name, value in params.items() if name not in (self.rounds, "subsample")},
            "bagging_fraction": params["subsample"],
            "bagging_freq": 1 if params["subsample"] < 1.0 else 0,
            "objective": "binary",
            "metric": "binary_logloss",
            "num_threads": 1,
            "seed": seed,
            "deterministic": True,
            "force_row_wise": True,  # else it times both ways, and chooses by the clock
            "feature_pre_filter": False,
            "verbosity": -1,
        }
        booster = lgb.train(
            settings,
            matrix.train,
            rounds,
            valid_sets=[] if matrix.watch is None else [matrix.watch],
            callbacks=[watch],
            keep_training_booster=True,
        )
        return _Fitted(booster, history)

    def predictor(self, arrays: Arrays, features: int) -> Predictor:
        return _Boosted(arrays, features)


class _Boosted:
    """Adds up as LightGBM does, in float64; its first tree holds the base score."""

    def __init__(self, arrays: Arrays, features: int) -> None:
        self._trees = Trees(arrays, features, below=False)

    def __call__(self, x: Matrix) -> FloatArray:
        return logistic(self._trees.totals(x, np.float64))


def _tree(fields: Mapping[str, str]) -> dict[str, NDArray[Any]]:
    """Return one tree of LightGBM's text: inner nodes first, as there, and its leaves behind them."""

    def numbers(name: str, kind: type) -> NDArray[Any]:
        return np.array([kind(word) for word in fields.get(name, "").split()], dtype=kind)

    leaves = numbers("leaf_value", float)
    inner = len(leaves) - 1
    zeros = np.zeros(len(leaves))
    ends = np.full(len(leaves), -1)

    def children(name: str) -> NDArray[Any]:
        nodes = numbers(name, int)[:inner]
        # There a leaf is named by the complement of its number.
        return np.concatenate((np.where(nodes < 0, inner + ~nodes, nodes), ends))

    return {
        "feature": np.concatenate((numbers("split_feature", int)[:inner], zeros)),
        "threshold": np.concatenate((numbers("threshold", float)[:inner], zeros)),
        "left": children("left_child"),
        "right": children("right_child"),
        "value": np.concatenate((np.zeros(inner), leaves)),
    }


LIGHTGBM = LightGBM()
