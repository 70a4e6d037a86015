"""The common clock of several symbols: the sorted union of their bars' times."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from optimize.engine.series import IntArray, Series


@dataclass(frozen=True, eq=False)
class Axis:
    """The times at which at least one symbol has a bar, and where each symbol's bars lie on them.

    Attributes:
        time: int64[N], nanoseconds UTC, increasing.
        before: int64[S, N + 1]; of each symbol's series, how many bars opened before each time; so a stretch [a, b) of
            the axis is the bars [before[s, a], before[s, b]) of symbol s.
        places: per symbol, int64[bars on the axis]: the position of each of its bars [before[s, 0], before[s, N]).
        counts: int64[N], symbols that have a bar at each time.
    """

    time: IntArray
    before: IntArray
    places: tuple[IntArray, ...]
    counts: IntArray

    def __len__(self) -> int:
        return len(self.time)

    def windows(self, stretches: Sequence[tuple[int, int]]) -> IntArray:
        """Return int64[W, S, 2]: first and last-but-one bar of each symbol in each stretch [a, b) of the axis."""
        bounds = np.asarray(stretches, dtype=np.int64).reshape(-1, 2)
        result: IntArray = np.moveaxis(self.before[:, bounds], 0, 1)
        return np.ascontiguousarray(result)


def make_axis(series: Sequence[Series], start: int | None = None, end: int | None = None) -> Axis:
    """Return the axis of `series` from `start` to `end`, nanoseconds UTC, both included; None for no bound.

    Bars before `start` stay in the series and warm the indicators.

    Raises:
        ValueError: when there is no series.
    """
    if not series:
        raise ValueError("an axis needs at least one series")
    times = [one.bars.time for one in series]
    bounds = [
        (
            0 if start is None else int(np.searchsorted(time, start, side="left")),
            len(time) if end is None else int(np.searchsorted(time, end, side="right")),
        )
        for time in times
    ]
    parts = [time[first : max(first, last)] for time, (first, last) in zip(times, bounds, strict=True)]
    if all(len(part) == len(parts[0]) and np.array_equal(part, parts[0]) for part in parts[1:]):
        union = np.array(parts[0])
    else:
        union = np.unique(np.concatenate(parts))
    before = np.empty((len(series), len(union) + 1), dtype=np.int64)
    places: list[IntArray] = []
    counts = np.zeros(len(union), dtype=np.int64)
    for row, (time, part, (first, last)) in enumerate(zip(times, parts, bounds, strict=True)):
        before[row, :-1] = np.searchsorted(time, union, side="left")
        before[row, -1] = max(first, last)
        place = np.searchsorted(union, part)
        counts[place] += 1
        places.append(place)
    return Axis(union, before, tuple(places), counts)
