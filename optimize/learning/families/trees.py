"""Trees as plain arrays, walked by NumPy alone.

Every tuned model of trees is kept in this form and read by this code, not by the library that grew it: a library's own
reader may take the whole process down over a damaged file, and a live step would have to load the library.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimize.learning.errors import ModelFileInvalid
from optimize.learning.families.base import Arrays, FloatArray, Matrix

_KINDS: dict[str, Any] = {
    "starts": np.int64,
    "feature": np.int32,
    "threshold": np.float64,
    "left": np.int32,
    "right": np.int32,
    "value": np.float64,
}
_INVALID = "Its arrays describe no trees. Tune the model anew."
# (row, tree) pairs walked at once: enough to make NumPy's calls cheap, few enough for the cache.
_PAIRS = 1 << 18


def joined(trees: list[dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """Return trees (each with its `feature`, `threshold`, `left`, `right`, `value` per node) as one set of arrays.

    `left` and `right` count from their tree's first node and lie behind their parent; -1 marks a leaf.
    """
    starts = np.cumsum([0, *(len(tree["feature"]) for tree in trees)])
    arrays = {name: np.concatenate([tree[name] for tree in trees]) for name in _KINDS if name != "starts"}
    return {name: array.astype(_KINDS[name]) for name, array in {"starts": starts, **arrays}.items()}


class Trees:
    """Trees that were checked: every walk ends at a leaf, and none leaves the arrays.

    Args:
        below: a row goes left where its figure is below the threshold; else also where it equals it.

    Raises:
        ModelFileInvalid: for arrays that are no trees over so many features.
    """

    def __init__(self, arrays: Arrays, features: int, *, below: bool) -> None:
        for name, kind in _KINDS.items():
            found = arrays.get(name)
            if found is None or found.ndim != 1 or found.dtype != kind:
                raise ModelFileInvalid(_INVALID)
        starts, feature, left, right = (arrays[name] for name in ("starts", "feature", "left", "right"))
        nodes, sizes = len(feature), np.diff(starts)
        if (
            len(starts) < 2
            or starts[0] != 0
            or starts[-1] != nodes
            or (sizes <= 0).any()
            or any(len(arrays[name]) != nodes for name in _KINDS if name != "starts")
            or not (np.isfinite(arrays["value"]).all() and np.isfinite(arrays["threshold"]).all())
        ):
            raise ModelFileInvalid(_INVALID)
        first, size = np.repeat(starts[:-1], sizes), np.repeat(sizes, sizes)
        itself = np.arange(nodes)
        inner = left >= 0
        for child in (left, right):
            behind = (child[inner] > (itself - first)[inner]) & (child[inner] < size[inner])
            if not behind.all():
                raise ModelFileInvalid(_INVALID)
        if not ((feature[inner] >= 0) & (feature[inner] < features)).all():
            raise ModelFileInvalid(_INVALID)
        # A leaf leads to itself, so that all walks take as many steps as the longest one.
        self._left = np.where(inner, first + left, itself)
        self._right = np.where(inner, first + right, itself)
        self._feature = np.where(inner, feature, 0).astype(np.int64)
        self._threshold, self._value = arrays["threshold"], arrays["value"]
        self._roots, self._below = starts[:-1], below
        self._depth = 0
        level = self._roots[inner[self._roots]]
        while len(level):
            self._depth += 1
            level = np.concatenate((self._left[level], self._right[level]))
            level = level[inner[level]]

    def __len__(self) -> int:
        return len(self._roots)

    def totals(self, x: Matrix, kind: Any) -> FloatArray:
        """Return the sum of the leaves' values per row, added tree by tree in the precision `kind`."""
        result = np.empty(len(x))
        values = self._value.astype(kind)
        stride = max(1, _PAIRS // len(self))
        for begin in range(0, len(x), stride):
            part = x[begin : begin + stride]
            rows = np.arange(len(part))[:, None]
            node = np.broadcast_to(self._roots, (len(part), len(self)))
            for _ in range(self._depth):
                figure, bound = part[rows, self._feature[node]], self._threshold[node]
                goes_left = figure < bound if self._below else figure <= bound
                node = np.where(goes_left, self._left[node], self._right[node])
            # A running sum adds in order; `sum` would add in pairs and round otherwise than the library did.
            result[begin : begin + stride] = np.cumsum(values[node], axis=1)[:, -1]
        return result


def logistic(score: FloatArray) -> FloatArray:
    """Return 1 / (1 + exp(-score)), also where exp would overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * score))
