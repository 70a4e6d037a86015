"""Random forests: grown by scikit-learn, kept as plain arrays."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimize.learning.errors import ModelFileInvalid
from optimize.learning.families.base import (
    Arrays,
    Check,
    Combination,
    FloatArray,
    Matrix,
    Predictor,
    Rows,
    library,
)
from optimize.learning.families.trees import Trees, joined
from workflows.strategies.base import Parameter

# Trees grown between two calls of `check`.
STRIDE = 10


class _Fitted:
    history: FloatArray = np.empty(0)

    def __init__(self, forest: Any) -> None:
        self._trees = [estimator.tree_ for estimator in forest.estimators_]

    def probabilities(self, x: Matrix, rounds: Sequence[int]) -> FloatArray:
        result = np.empty((len(rounds), len(x)))
        total = np.zeros(len(x))
        wanted = {count: [i for i, n in enumerate(rounds) if n == count] for count in rounds}
        for grown, tree in enumerate(self._trees[: max(rounds)], start=1):
            total += tree.predict(x)[:, 1]
            for place in wanted.get(grown, ()):
                result[place] = total / grown
        return result

    def arrays(self, rounds: int) -> dict[str, NDArray[Any]]:
        return joined(
            [
                {
                    "feature": tree.feature,
                    "threshold": tree.threshold,
                    "left": tree.children_left,
                    "right": tree.children_right,
                    "value": tree.value[:, 0, 1],
                }
                for tree in self._trees[:rounds]
            ]
        )


class RandomForest:
    slug = "random_forest"
    title = "Random forest (scikit-learn)"
    library = "sklearn"
    rounds: str | None = "n_estimators"
    boosts = False
    shaping: tuple[str, ...] = ()
    parameters: tuple[Parameter, ...] = (
        Parameter("n_estimators", "int", 200, "Trees.", 1, 2000),
        Parameter("max_depth", "int", 6, "Levels of a tree; 0 for no bound.", 0, 64),
        Parameter("min_samples_leaf", "int", 20, "Least rows in a leaf.", 1, 100_000),
        Parameter("max_features", "float", 0.5, "Share of the features tried at each split.", 0.01, 1),
    )
    grid: Mapping[str, tuple[Any, ...]] = {
        "n_estimators": (50, 100, 150, 200),
        "max_depth": (3, 6),
        "min_samples_leaf": (20, 100),
    }

    def matrix(self, train: Rows, watch: Rows | None, params: Combination) -> Rows:
        library("sklearn.ensemble", "scikit-learn")
        return train

    def fit(
        self, matrix: Rows, params: Combination, rounds: int, *, seed: int, patience: int = 0, check: Check
    ) -> _Fitted:
        ensemble = library("sklearn.ensemble", "scikit-learn")
        forest = ensemble.RandomForestClassifier(
            n_estimators=min(STRIDE, rounds),
            max_depth=params["max_depth"] or None,
            min_samples_leaf=params["min_samples_leaf"],
            max_features=params["max_features"],
            n_jobs=1,
            random_state=seed,
            warm_start=True,  # a forest grown in strides is the one grown at once
        )
        grown = 0
        while grown < rounds:
            check()
            grown = min(grown + STRIDE, rounds)
            forest.set_params(n_estimators=grown)
            forest.fit(matrix.x, matrix.up, sample_weight=matrix.weight)
        return _Fitted(forest)

    def predictor(self, arrays: Arrays, features: int) -> Predictor:
        return _Forest(arrays, features)


class _Forest:
    """The mean of the leaves' shares of rises."""

    def __init__(self, arrays: Arrays, features: int) -> None:
        self._trees = Trees(arrays, features, below=False)
        value = arrays["value"]
        if not ((value >= 0) & (value <= 1)).all():
            raise ModelFileInvalid("A leaf's share is not from 0 to 1. Tune the model anew.")

    def __call__(self, x: Matrix) -> FloatArray:
        return self._trees.totals(x, np.float64) / len(self._trees)


RANDOM_FOREST = RandomForest()
