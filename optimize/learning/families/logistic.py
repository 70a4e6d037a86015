"""Logistic regression on standardised features: fitted by scikit-learn, kept as four arrays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
from optimize.learning.families.trees import logistic
from workflows.strategies.base import Parameter


@dataclass(frozen=True, eq=False)
class _Standardised:
    z: FloatArray
    rows: Rows
    mean: FloatArray
    deviation: FloatArray


@dataclass(frozen=True, eq=False)
class _Line:
    mean: FloatArray
    deviation: FloatArray
    coefficients: FloatArray
    intercept: float

    def __call__(self, x: Matrix) -> FloatArray:
        # Row by row in one order (einsum, not BLAS): a bar's probability must not depend on how many are asked at once.
        z = (x.astype(np.float64) - self.mean) / self.deviation
        score = np.einsum("ij,j->i", z, self.coefficients) + self.intercept
        return logistic(score)


class _Fitted:
    history: FloatArray = np.empty(0)

    def __init__(self, line: _Line) -> None:
        self._line = line

    def probabilities(self, x: Matrix, rounds: Sequence[int]) -> FloatArray:
        return np.array([self._line(x)] * len(rounds))

    def arrays(self, rounds: int) -> dict[str, NDArray[Any]]:
        line = self._line
        return {
            "mean": line.mean,
            "deviation": line.deviation,
            "coefficients": line.coefficients,
            "intercept": np.array([line.intercept]),
        }


class Logistic:
    slug = "logistic"
    title = "Logistic regression (scikit-learn)"
    library = "sklearn"
    rounds: str | None = None
    boosts = False
    shaping: tuple[str, ...] = ()
    parameters: tuple[Parameter, ...] = (
        Parameter("C", "float", 0.1, "Inverse strength of the penalty on squared coefficients.", 1e-6, 1e6),
    )
    grid: Mapping[str, tuple[Any, ...]] = {"C": (0.0001, 0.001, 0.01, 0.1, 1.0, 10.0)}

    def matrix(self, train: Rows, watch: Rows | None, params: Combination) -> _Standardised:
        library("sklearn.linear_model", "scikit-learn")
        x = train.x.astype(np.float64)
        mean, deviation = x.mean(axis=0), x.std(axis=0)
        # A feature that never varies says nothing; left undivided it stays at zero.
        deviation = np.where(deviation > 0, deviation, 1.0)
        return _Standardised((x - mean) / deviation, train, mean, deviation)

    def fit(
        self, matrix: _Standardised, params: Combination, rounds: int, *, seed: int, patience: int = 0, check: Check
    ) -> _Fitted:
        check()
        models = library("sklearn.linear_model", "scikit-learn")
        # Newton's steps: a handful reach the optimum, where first-order ones would stop at their tolerance.
        model = models.LogisticRegression(C=params["C"], solver="newton-cholesky", tol=1e-8, max_iter=200)
        model.fit(matrix.z, matrix.rows.up, sample_weight=matrix.rows.weight)
        return _Fitted(_Line(matrix.mean, matrix.deviation, model.coef_[0].copy(), float(model.intercept_[0])))

    def predictor(self, arrays: Arrays, features: int) -> Predictor:
        for name, size in (("mean", features), ("deviation", features), ("coefficients", features), ("intercept", 1)):
            found = arrays.get(name)
            if found is None or found.shape != (size,) or found.dtype != np.float64 or not np.isfinite(found).all():
                raise ModelFileInvalid(f"The model's {name} are not {size} numbers. Tune the model anew.")
        if not bool((arrays["deviation"] > 0).all()):
            raise ModelFileInvalid("The model's deviations are not above zero. Tune the model anew.")
        return _Line(arrays["mean"], arrays["deviation"], arrays["coefficients"], float(arrays["intercept"][0]))


LOGISTIC = Logistic()
