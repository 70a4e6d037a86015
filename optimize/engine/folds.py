"""Where training ends and testing begins, cut on the axis."""

import itertools
import math
from dataclasses import dataclass

from optimize.engine.axis import Axis


@dataclass(frozen=True)
class Fold:
    """One step of a walk-forward: stretches [a, b) of the axis, the test behind the training."""

    train: tuple[int, int]
    test: tuple[int, int]


def folds(axis: Axis, n_splits: int, train_ratio: float, anchored: bool = False, embargo: int = 0) -> list[Fold]:
    """Return `n_splits` consecutive windows over the axis, the first `train_ratio` of each for training.

    Args:
        anchored: every training starts where the axis does, and so grows from fold to fold.
        embargo: bars between a training and its test that belong to neither.

    Raises:
        ValueError: when a fold would have no bar to train or none to test on.
    """
    if n_splits < 1 or not 0 < train_ratio < 1 or embargo < 0:
        raise ValueError("n_splits must be at least 1, train_ratio between 0 and 1, embargo at least 0")
    length = len(axis)
    edges = [length * index // n_splits for index in range(n_splits + 1)]
    result: list[Fold] = []
    for first, last in itertools.pairwise(edges):
        split = first + math.floor((last - first) * train_ratio + 1e-9)
        begin = split + embargo
        start = 0 if anchored else first
        if split - start < 1 or last - begin < 1:
            raise ValueError(
                f"{length} bars are too few for {n_splits} folds with train_ratio {train_ratio:g} and embargo {embargo}"
            )
        result.append(Fold((start, split), (begin, last)))
    return result
