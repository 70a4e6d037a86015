"""Putting new bars into a series: pure, so that the rule can be read and tested alone."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from market.bars import COLUMNS, TimeArray

Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Merged:
    """The whole series after the merge.

    Attributes:
        added: bars that were not there; unchanged: bars that were there with the same figures.
        conflicts: open times of bars that were there with other figures; in `columns` the new figures stand.
    """

    columns: Columns
    added: int
    unchanged: int
    conflicts: TimeArray

    @property
    def changed(self) -> bool:
        return self.added > 0 or len(self.conflicts) > 0


def merge(old: Columns | None, new: Columns) -> Merged:
    """Return `old` with `new` put in by time. Both are increasing in time."""
    if old is None or len(old["time"]) == 0:
        return Merged(new, len(new["time"]), 0, np.empty(0, dtype=np.int64))
    _, in_old, in_new = np.intersect1d(old["time"], new["time"], assume_unique=True, return_indices=True)
    differs = np.zeros(len(in_old), dtype=bool)
    for name in COLUMNS[1:]:
        differs |= old[name][in_old] != new[name][in_new]
    kept = np.ones(len(old["time"]), dtype=bool)
    kept[in_old] = False
    times = np.concatenate([old["time"][kept], new["time"]])
    order = np.argsort(times, kind="stable")
    columns: Columns = {name: np.concatenate([old[name][kept], new[name]])[order] for name in COLUMNS}
    return Merged(
        columns=columns,
        added=len(new["time"]) - len(in_new),
        unchanged=int(np.count_nonzero(~differs)),
        conflicts=new["time"][in_new[differs]],
    )
