"""The rows that a model learns from: one per symbol and bar, over all symbols of a job, in order of time."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from market.bars import COLUMNS, Bars, FloatArray, TimeArray, to_ns
from optimize.learning.errors import ModelDataInsufficient
from optimize.learning.features import FeatureConfig, features, usable
from optimize.learning.labels import UNKNOWN, LabelConfig, labels

IntArray = NDArray[np.int64]
NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True, eq=False)
class Panel:
    """Rows in order of time (then symbol); arrays of one length R but for `axis` and `bars`.

    Attributes:
        bars: of each symbol, from its first (warm-up) bar to the end of the job.
        axis: nanoseconds; the sorted union of the bar times within the job's start and end, on which folds are cut.
        x: float32 [R, F], all finite.
        symbol, bar: the row's symbol and the index of its bar in that symbol's bars.
        opened: when the row's bar opened.
        over: when the first bar behind the row's label opened; NEVER where that is not known. Half-open, so that a
            label is over at the very time at which the next bar opens.
        up: int8: 1, 0, or UNKNOWN for rows without a label: good for forecasting, not for learning.
    """

    bars: tuple[Bars, ...]
    axis: TimeArray
    names: tuple[str, ...]
    x: NDArray[np.float32]
    symbol: IntArray
    bar: IntArray
    opened: TimeArray
    over: TimeArray
    up: NDArray[np.int8]
    end: IntArray

    def __len__(self) -> int:
        return len(self.opened)

    @property
    def labelled(self) -> NDArray[np.bool_]:
        known: NDArray[np.bool_] = self.up != UNKNOWN
        return known


def build(
    series: Sequence[Bars], feature_config: FeatureConfig, label_config: LabelConfig, *, start: datetime, end: datetime
) -> Panel:
    """Return the rows of all symbols whose bars opened from `start` to `end`, both included.

    Bars before `start` warm the features up; bars after `end` are not looked at, by labels neither.

    Raises:
        ModelDataInsufficient: when no bar lies in the range.
    """
    cut = tuple(bars.until(end) for bars in series)
    first = to_ns(start)
    axis = np.unique(np.concatenate([bars.time[bars.time >= first] for bars in cut] or [np.empty(0, np.int64)]))
    if len(axis) == 0:
        raise ModelDataInsufficient("No symbol has a bar in the range. Choose another start and end, or import bars.")
    parts: dict[str, list[NDArray[Any]]] = {name: [] for name in ("x", "symbol", "bar", "opened", "over", "up", "end")}
    for number, bars in enumerate(cut):
        matrix, found = features(bars, feature_config), labels(bars, label_config)
        rows = np.flatnonzero(usable(bars, matrix) & (bars.time >= first))
        ends = found.end[rows]
        following = np.append(bars.time, NEVER)
        parts["x"].append(matrix[rows].astype(np.float32))
        parts["symbol"].append(np.full(len(rows), number, dtype=np.int64))
        parts["bar"].append(rows)
        parts["opened"].append(bars.time[rows])
        parts["over"].append(np.where(ends >= 0, following[ends + 1], NEVER))
        parts["up"].append(found.up[rows])
        parts["end"].append(ends)
    arrays = {name: np.concatenate(values) for name, values in parts.items()}
    order = np.lexsort((arrays["symbol"], arrays["opened"]))
    ordered = {name: np.ascontiguousarray(values[order]) for name, values in arrays.items()}
    for values in ordered.values():
        values.flags.writeable = False
    return Panel(bars=cut, axis=axis, names=feature_config.names, **ordered)


def uniqueness(panel: Panel, rows: IntArray) -> FloatArray:
    """Return how much each of `rows` says that the others do not, as weights with mean 1.

    The mean, over the bars of a row's label, of one over the number of labels (of `rows`, of the same symbol) that
    span the bar (López de Prado, Advances in Financial Machine Learning, 4.4). All rows must be labelled.
    """
    weights = np.empty(len(rows))
    for number, bars in enumerate(panel.bars):
        of_symbol = np.flatnonzero(panel.symbol[rows] == number)
        # A label spans the bars behind its own, from the fill on.
        first, last = panel.bar[rows[of_symbol]] + 1, panel.end[rows[of_symbol]]
        spans = np.zeros(len(bars) + 2)
        np.add.at(spans, first, 1.0)
        np.add.at(spans, last + 1, -1.0)
        concurrent = np.maximum(np.cumsum(spans), 1.0)
        shares = np.concatenate(([0.0], np.cumsum(1.0 / concurrent)))
        weights[of_symbol] = (shares[last + 1] - shares[first]) / (last + 1 - first)
    return weights / weights.mean() if len(weights) else weights


def fingerprint(series: Sequence[Bars]) -> str:
    """Return the SHA-256 of all bars given, in their order: the same data, the same fingerprint."""
    digest = hashlib.sha256()
    for bars in series:
        digest.update(f"{bars.symbol}/{bars.source}/{bars.timeframe}/{bars.adjustment}:{len(bars)};".encode())
        for name in COLUMNS:
            digest.update(np.ascontiguousarray(getattr(bars, name)).tobytes())
    return digest.hexdigest()
