"""Gradient boosting by XGBoost, histograms on quantiles."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimize.learning.errors import ModelFileInvalid
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


def _xgboost() -> Any:
    return library("xgboost", "xgboost-cpu")


class _Fitted(Boosted):
    def probabilities(self, x: Matrix, rounds: Sequence[int]) -> FloatArray:
        return np.array([self._booster.inplace_predict(x, iteration_range=(0, n)) for n in rounds], dtype=np.float64)

    def arrays(self, rounds: int) -> dict[str, NDArray[Any]]:
        learner = json.loads(bytes(self._booster[:rounds].save_raw("json")))["learner"]
        # A number, or since 3.1 a list of one, as text.
        base = np.ravel(json.loads(learner["learner_model_param"]["base_score"]))[0]
        trees = [
            {
                "feature": np.array(tree["split_indices"]),
                # A leaf keeps its value where other nodes keep their threshold.
                "threshold": np.array(tree["split_conditions"], dtype=np.float32),
                "left": np.array(tree["left_children"]),
                "right": np.array(tree["right_children"]),
                "value": np.array(tree["split_conditions"], dtype=np.float32),
            }
            for tree in learner["gradient_booster"]["model"]["trees"]
        ]
        return {**joined(trees), "base": np.array([math.log(base / (1.0 - base))])}


class XGBoost:
    slug = "xgboost"
    title = "Gradient boosting (XGBoost)"
    library = "xgboost"
    rounds: str | None = "n_estimators"
    boosts = True
    shaping: tuple[str, ...] = ("max_bin",)
    parameters: tuple[Parameter, ...] = (
        Parameter("n_estimators", "int", 200, "Rounds of boosting.", 1, 5000),
        Parameter("max_depth", "int", 3, "Levels of a tree.", 1, 16),
        Parameter("learning_rate", "float", 0.05, "Share of each tree that is added.", 0.001, 1),
        Parameter("min_child_weight", "float", 1.0, "Least sum of weights in a leaf.", 0, 10_000),
        Parameter("subsample", "float", 1.0, "Share of the rows that each tree sees.", 0.1, 1),
        Parameter("colsample_bytree", "float", 1.0, "Share of the features that each tree sees.", 0.1, 1),
        Parameter("reg_lambda", "float", 1.0, "Penalty on squared leaf values.", 0, 10_000),
        Parameter("reg_alpha", "float", 0.0, "Penalty on absolute leaf values.", 0, 10_000),
        Parameter("gamma", "float", 0.0, "Least gain of a split.", 0, 10_000),
        Parameter("max_bin", "int", 256, "Bins of a feature.", 16, 1024),
    )
    grid: Mapping[str, tuple[Any, ...]] = {
        "n_estimators": (50, 100, 200, 300),
        "max_depth": (2, 3, 4),
        "learning_rate": (0.03, 0.1),
    }

    def matrix(self, train: Rows, watch: Rows | None, params: Combination) -> Matrices:
        xgb = _xgboost()
        bins = params["max_bin"]

        def quantiles(rows: Rows, ref: Any) -> Any:
            return xgb.QuantileDMatrix(
                rows.x, label=rows.up, weight=rows.weight, ref=ref, max_bin=bins, nthread=1, missing=np.nan
            )

        made = quantiles(train, None)
        # The watched rows are binned by the training rows' quantiles: they must not shape the trees.
        return Matrices(made, None if watch is None else quantiles(watch, made))

    def fit(
        self, matrix: Matrices, params: Combination, rounds: int, *, seed: int, patience: int = 0, check: Check
    ) -> _Fitted:
        xgb = _xgboost()
        history: list[float] = []
        stop = Patience(patience)

        class Watch(xgb.callback.TrainingCallback):  # type: ignore[misc,name-defined]  # the library is imported late
            def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
                check()
                if matrix.watch is None:
                    return False
                history.append(float(evals_log["watch"]["logloss"][-1]))
                return stop.spent(history[-1])

        settings = {
            **{name: value for name, value in params.items() if name != self.rounds},
            "objective": "binary:logistic",
            "eval_metric": "logloss",
            "tree_method": "hist",
            "nthread": 1,
            "seed": seed,
            # Rows and features are drawn by round, so that a longer run begins with the shorter one.
            "seed_per_iteration": True,
            "verbosity": 0,
        }
        booster = xgb.train(
            settings,
            matrix.train,
            rounds,
            evals=[] if matrix.watch is None else [(matrix.watch, "watch")],
            callbacks=[Watch()],
            verbose_eval=False,
        )
        return _Fitted(booster, history)

    def predictor(self, arrays: Arrays, features: int) -> Predictor:
        return _Boosted(arrays, features)


class _Boosted:
    """Adds up as XGBoost does, in float32."""

    def __init__(self, arrays: Arrays, features: int) -> None:
        base = arrays.get("base")
        if base is None or base.shape != (1,) or base.dtype != np.float64 or not np.isfinite(base).all():
            raise ModelFileInvalid("The model has no base score. Tune the model anew.")
        self._base, self._trees = float(base[0]), Trees(arrays, features, below=True)

    def __call__(self, x: Matrix) -> FloatArray:
        return logistic(self._base + self._trees.totals(x, np.float32))


XGBOOST = XGBoost()
