"""Folds in order of time, purged and embargoed. A split is never shuffled, and training never knows the test.

A row's label is made of bars behind it. A training row whose label reaches into the test would tell the model what
the test asks, so it is purged; the embargo leaves out some bars more, for what lingers in the features. Both are done
in time, not in row numbers, since a panel has rows of several symbols at one time.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimize.learning.errors import ModelDataInsufficient
from optimize.learning.panel import NEVER, Panel
from optimize.learning.reading import Reader

IntArray = NDArray[np.int64]
LEAST_TEST_BARS = 10
LEAST_ROWS = 50


@dataclass(frozen=True)
class FoldConfig:
    """How the period is cut.

    Attributes:
        n_splits: tests, one behind the other without a gap, so that their returns make one out-of-sample curve.
        train_ratio: share of the period before the first test.
        anchored: train from the start of the period; else on as many bars as before the first test.
        embargo: bars left out between training and test; None for 1 % of the period.
    """

    n_splits: int = 5
    train_ratio: float = 0.5
    anchored: bool = True
    embargo: int | None = None

    def embargo_bars(self, count: int) -> int:
        return math.ceil(count * 0.01) if self.embargo is None else self.embargo

    def as_json(self) -> dict[str, Any]:
        """Return what `fold_config` would read as this."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class Fold:
    """Positions on the axis, stops not included: train on [train[0], train[1]), test on [test[0], test[1])."""

    train: tuple[int, int]
    test: tuple[int, int]


def fold_config(value: object, pointer: str = "folds") -> FoldConfig:
    """Return the configuration that a JSON object means; what it leaves out is the default.

    Raises:
        ModelConfigInvalid: naming each unknown or wrong member.
    """
    reader = Reader(value, pointer, ("n_splits", "train_ratio", "anchored", "embargo"))
    embargo = reader.whole("embargo", 0, 0, 100_000) if "embargo" in reader.values else None
    config = FoldConfig(
        n_splits=reader.whole("n_splits", 5, 2, 100),
        train_ratio=reader.number("train_ratio", 0.5, 0.1, 0.95),
        anchored=reader.flag("anchored", True),
        embargo=embargo,
    )
    reader.finish()
    return config


def walk_forward(count: int, config: FoldConfig) -> list[Fold]:
    """Cut an axis of `count` bars.

    Raises:
        ModelDataInsufficient: when a test would have fewer than LEAST_TEST_BARS bars.
    """
    first = round(count * config.train_ratio)
    if (count - first) // config.n_splits < LEAST_TEST_BARS:
        raise ModelDataInsufficient(
            f"{count} bars make {config.n_splits} tests of fewer than {LEAST_TEST_BARS} bars each. "
            "Ask for fewer splits, a smaller train_ratio or a longer period."
        )
    edges = [first + (count - first) * k // config.n_splits for k in range(config.n_splits + 1)]
    return [
        Fold(train=(0 if config.anchored else start - first, start), test=(start, stop))
        for start, stop in itertools.pairwise(edges)
    ]


def rows_between(panel: Panel, span: tuple[int, int]) -> IntArray:
    """Return the rows whose bar lies in [span[0], span[1]) of the axis, labelled or not."""
    if span[0] >= span[1]:
        return np.empty(0, dtype=np.int64)
    first = np.searchsorted(panel.opened, panel.axis[span[0]], side="left")
    last = np.searchsorted(panel.opened, panel.axis[span[1] - 1], side="right")
    return np.arange(first, last)


def purged(panel: Panel, spans: Sequence[tuple[int, int]], test: tuple[int, int], embargo: int) -> IntArray:
    """Return the labelled rows of `spans` that know nothing of the test, in order of time.

    Left out is every row whose time, from its bar to the end of its label, overlaps the time of the test, from
    `embargo` bars before its first bar to `embargo` bars behind the end of its last label.
    """
    tested = rows_between(panel, test)
    axis = panel.axis
    begins = int(axis[max(0, test[0] - embargo)])
    last = int(axis[test[1] - 1])
    labelled = tested[panel.labelled[tested]]
    ends = last if len(labelled) == 0 else max(last, int(panel.over[labelled].max()))
    # The bar at `ends` is the first one behind the last label; `embargo` bars on from it are left out as well.
    behind = int(np.searchsorted(axis, ends, side="left")) + embargo
    resumes = int(axis[behind]) if ends != NEVER and behind < len(axis) else NEVER
    candidates = np.concatenate([rows_between(panel, span) for span in spans] or [np.empty(0, np.int64)])
    candidates = np.unique(candidates)
    before = panel.over[candidates] <= begins
    after = panel.opened[candidates] >= max(resumes, last + 1)
    kept: IntArray = candidates[panel.labelled[candidates] & (before | after)]
    return kept


def training_rows(panel: Panel, fold: Fold, embargo: int) -> IntArray:
    """Return the purged and embargoed training rows of a fold."""
    return purged(panel, [fold.train], fold.test, embargo)


def inner_split(panel: Panel, rows: IntArray, share: float) -> tuple[IntArray, IntArray]:
    """Split training rows (in order of time) into those to fit and a later tail to watch, purged against each other."""
    times = np.unique(panel.opened[rows])
    starts = times[min(len(times) - 1, int(len(times) * (1.0 - share)))]
    watch = rows[panel.opened[rows] >= starts]
    fit = rows[panel.over[rows] <= starts]
    return fit, watch


def check_rows(panel: Panel, rows: IntArray, what: str) -> None:
    """Refuse to learn from too little.

    Raises:
        ModelDataInsufficient: for fewer than LEAST_ROWS rows, or when all of them have the same label.
    """
    if len(rows) < LEAST_ROWS:
        raise ModelDataInsufficient(
            f"{what} has {len(rows)} labelled rows; at least {LEAST_ROWS} are needed. Choose a longer period, a shorter "
            "horizon or embargo, or features that warm up faster."
        )
    rises = int(np.count_nonzero(panel.up[rows] == 1))
    if rises in (0, len(rows)):
        word = "up" if rises else "not up"
        raise ModelDataInsufficient(
            f"{what}: every label is {word}, which leaves nothing to tell apart. Choose another threshold or other barriers."
        )
