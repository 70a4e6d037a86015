"""What a detector answers."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from market.bars import FloatArray, TimeArray

StateArray = NDArray[np.int8]
# Of a bar before which there are too few to tell.
UNKNOWN = -1


@dataclass(frozen=True)
class Change:
    """At the end of the bar `index`, which opened at `time` (ns UTC), the regime `after` was confirmed.

    `before` is None for the first regime of a series. `value` is the measure at that bar.
    """

    index: int
    time: int
    before: str | None
    after: str
    value: float


@dataclass(frozen=True)
class Told:
    """What was said of a series before and stays said.

    Attributes:
        until: ns UTC at which the newest bar opened of which anything was said.
        regime: of that bar; None while it was unknown.
        lasted: bars that it had lasted then, that one included; more than a detector's `dwell` make no difference.
    """

    until: int
    regime: str | None
    lasted: int


@dataclass(frozen=True, eq=False)
class Regimes:
    """The regimes of a series of bars, one entry each, aligned.

    Attributes:
        kind: which detector.
        labels: the words of the states 0, 1, 2 … in their order.
        time: int64 nanoseconds UTC at which each bar opened.
        value: float64, what the state was read from; NaN while it warms up. Its unit is the detector's.
        state: int8 index into `labels`; UNKNOWN while it warms up.
    """

    kind: str
    labels: tuple[str, ...]
    time: TimeArray
    value: FloatArray
    state: StateArray

    def label(self, index: int = -1) -> str | None:
        """Return the regime at a bar, the newest unless told; None where it is unknown."""
        state = int(self.state[index]) if len(self.state) else UNKNOWN
        return None if state == UNKNOWN else self.labels[state]

    def after(self, moment: int) -> "Regimes":
        """Return those of the bars that opened after `moment`, ns UTC."""
        first = int(np.searchsorted(self.time, moment, side="right"))
        return Regimes(self.kind, self.labels, self.time[first:], self.value[first:], self.state[first:])

    def changes(self) -> list[Change]:
        """Return every confirmed change, the oldest first."""
        found: list[Change] = []
        before = UNKNOWN
        for index in np.flatnonzero(np.diff(self.state, prepend=np.int8(UNKNOWN))):
            state = int(self.state[index])
            if state == UNKNOWN:
                continue
            earlier = None if before == UNKNOWN else self.labels[before]
            found.append(
                Change(int(index), int(self.time[index]), earlier, self.labels[state], float(self.value[index]))
            )
            before = state
        return found
