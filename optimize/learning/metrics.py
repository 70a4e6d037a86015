"""How good forecasts are: accuracy, balanced accuracy, AUC, log loss and Brier score of probabilities."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from market.bars import FloatArray

CLASSIFICATION = ("accuracy", "balanced_accuracy", "auc", "log_loss", "brier")


def classification(up: NDArray[np.int8], probability: FloatArray) -> Mapping[str, float]:
    """Return the figures of CLASSIFICATION; NaN where one is not defined (no rows, or one class only).

    `up` is 1 or 0 per row; a probability above one half forecasts 1.
    """
    if len(up) == 0:
        return dict.fromkeys(CLASSIFICATION, float("nan"))
    rose = up == 1
    forecast = probability > 0.5
    right = forecast == rose
    both = bool(rose.any()) and not bool(rose.all())
    # As scikit-learn clips: one unit of rounding from 0 and 1.
    clipped = np.clip(probability, np.finfo(np.float64).eps, 1.0 - np.finfo(np.float64).eps)
    return {
        "accuracy": float(right.mean()),
        "balanced_accuracy": float((right[rose].mean() + right[~rose].mean()) / 2) if both else float("nan"),
        "auc": auc(rose, probability) if both else float("nan"),
        "log_loss": float(-np.where(rose, np.log(clipped), np.log1p(-clipped)).mean()),
        "brier": float(((probability - rose) ** 2).mean()),
    }


def auc(rose: NDArray[np.bool_], probability: FloatArray) -> float:
    """Return the share of (rise, no rise) pairs in which the rise has the higher probability, ties counted half."""
    _, places, counts = np.unique(probability, return_inverse=True, return_counts=True)
    # The mean rank of each group of equal probabilities.
    ranks = np.cumsum(counts) - (counts - 1) / 2.0
    rises = int(rose.sum())
    others = len(rose) - rises
    return float((ranks[places][rose].sum() - rises * (rises + 1) / 2.0) / (rises * others))
