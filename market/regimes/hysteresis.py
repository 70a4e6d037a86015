"""From a noisy measure to regimes that do not flap.

Two guards, both from the past alone: a level is left at another height than it was entered at, and a new state counts
only when it has been seen `confirm` bars in a row and the one before has lasted `dwell` bars.
"""

from dataclasses import dataclass

import numpy as np

from market.bars import FloatArray
from market.regimes.words import UNKNOWN, StateArray


@dataclass(frozen=True)
class Band:
    """Heights of a measure: above `enter_high` it is high until it falls below `leave_high`, likewise for low."""

    enter_low: float
    leave_low: float
    leave_high: float
    enter_high: float

    def __post_init__(self) -> None:
        if not self.enter_low <= self.leave_low <= self.leave_high <= self.enter_high:
            raise ValueError("a band's heights must rise: enter_low, leave_low, leave_high, enter_high")


def banded(values: FloatArray, band: Band) -> StateArray:
    """Return 0 for low, 1 for between, 2 for high; an unknown value is UNKNOWN and changes nothing."""
    states = np.full(len(values), UNKNOWN, dtype=np.int8)
    state = 1
    for index, value in enumerate(values.tolist()):
        if value != value:
            continue
        if value > band.enter_high or (state == 2 and value >= band.leave_high):
            state = 2
        elif value < band.enter_low or (state == 0 and value <= band.leave_low):
            state = 0
        else:
            state = 1
        states[index] = state
    return states


def confirmed(
    states: StateArray, *, confirm: int, dwell: int, first: int = 0, regime: int = UNKNOWN, lasted: int = 0
) -> StateArray:
    """Return the regimes that are made of raw states.

    The first regime is the first state that is seen `confirm` times in a row. A later one takes its place when it has
    been seen so often and the one before has lasted at least `dwell` bars. An unknown state interrupts a row and ends no
    regime.

    Args:
        first: the bar from which on regimes are made; those before it only count for rows, and stay UNKNOWN here.
        regime, lasted: that of the bar before `first`, and for how many bars it has lasted then.
    """
    result = np.full(len(states), UNKNOWN, dtype=np.int8)
    seen, row = UNKNOWN, 0
    for index, state in enumerate(states.tolist()):
        row = row + 1 if state == seen else 1
        seen = state
        if index < first:
            continue
        lasted += 1
        if state not in (UNKNOWN, regime) and row >= confirm and (regime == UNKNOWN or lasted > dwell):
            regime, lasted = state, 1
        result[index] = regime
    return result
