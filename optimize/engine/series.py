"""One symbol's bars as the kernels read them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from market.bars import Bars, FloatArray
from workflows.strategies import Columns, sound_bars

WordArray = NDArray[np.uint64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Series:
    """Bars made ready once and shared by all combinations and threads; every array is read-only and float64[n].

    Attributes:
        columns: the figures that strategies look at, each computed on first use.
        open: the price at which an order of the bar before is filled; NaN where there is none.
        high, low: the bar's range, for stops; NaN where unknown.
        mark: the price that a position is worth at the close: the last known close, since a bar without one neither
            gains nor loses.
        sound: one bit per bar that has all four prices, 64 to a word, the first bar in the lowest bit.
    """

    bars: Bars
    columns: Columns
    open: FloatArray
    high: FloatArray
    low: FloatArray
    mark: FloatArray
    sound: WordArray

    def __len__(self) -> int:
        return len(self.mark)


def packed(flags: NDArray[np.bool_]) -> WordArray:
    """Return one bit per flag in words of 64, the first flag in the lowest bit, the last word filled up with 0."""
    octets = np.packbits(flags, bitorder="little")
    padded = np.zeros((len(flags) + 63) // 64 * 8, dtype=np.uint8)
    padded[: len(octets)] = octets
    return padded.view("<u8").astype(np.uint64, copy=False)


def _known(prices: FloatArray) -> FloatArray:
    """Return the prices with NaN where a price is none: not finite, or not above 0."""
    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(prices) & (prices > 0), prices, np.nan)


def _carried(prices: FloatArray) -> FloatArray:
    """Return the last known price at each bar; before the first, the first (nothing is ever held there)."""
    known = np.flatnonzero(~np.isnan(prices))
    if len(known) == 0:
        return np.ones(len(prices))
    if len(known) == len(prices):
        return prices
    last = np.maximum.accumulate(np.where(np.isnan(prices), known[0], np.arange(len(prices))))
    return prices[last]


def prepare(bars: Bars) -> Series:
    """Return `bars` made ready for `evaluate` and the others. The bars must not be changed afterwards."""
    arrays = {
        "open": _known(bars.open),
        "high": _known(bars.high),
        "low": _known(bars.low),
        "mark": _carried(_known(bars.close)),
    }
    for array in arrays.values():
        array.flags.writeable = False
    sound = packed(sound_bars(bars))
    sound.flags.writeable = False
    return Series(bars=bars, columns=Columns(bars), sound=sound, **arrays)
