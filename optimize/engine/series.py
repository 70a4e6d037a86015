"""One symbol's bars as the kernels read them."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from market.bars import Bars, FloatArray
from workflows.strategies import sound_bars

WordArray = NDArray[np.uint64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Ledger:
    """Sums over a series' prices, made once for all combinations; see `kernels.striding.fill_ledger`."""

    entering: FloatArray
    leaving: FloatArray
    changes: FloatArray
    blocks: FloatArray
    largest: float


@dataclass(frozen=True, eq=False)
class Series:
    """Bars made ready once and shared by all combinations and threads; nobody changes the arrays.

    Attributes:
        prices: float64[4, n]. The open: the price at which an order of the bar before is filled; NaN where there is
            none. High and low, for stops; NaN where unknown. The mark: what a position is worth at the close, which is
            the last known close, since a bar without one neither gains nor loses.
        sound: one bit per bar that has all four prices, 64 to a word, the first bar in the lowest bit.
    """

    bars: Bars
    prices: FloatArray
    sound: WordArray

    def __len__(self) -> int:
        return int(self.prices.shape[1])

    def _price(self, row: int) -> FloatArray:
        prices: FloatArray = self.prices[row]
        return prices

    @property
    def open(self) -> FloatArray:
        return self._price(0)

    @property
    def high(self) -> FloatArray:
        return self._price(1)

    @property
    def low(self) -> FloatArray:
        return self._price(2)

    @property
    def mark(self) -> FloatArray:
        return self._price(3)

    @cached_property
    def ledger(self) -> Ledger:
        """What the kernels know beforehand of these prices. Needs the compiler."""
        from optimize.engine.kernels.striding import BLOCK, LEDGER_FIELDS, fill_ledger

        count = len(self)
        entering, leaving = np.empty((count, LEDGER_FIELDS)), np.empty((count, LEDGER_FIELDS))
        changes, blocks = np.empty(count), np.empty((count // BLOCK + 1, 3))
        largest = fill_ledger(self.prices[0], self.prices[3], entering, leaving, changes, blocks)
        return Ledger(entering, leaving, changes, blocks, float(largest))


def packed(flags: NDArray[np.bool_]) -> WordArray:
    """Return one bit per flag in words of 64, the first flag in the lowest bit, the last word filled up with 0."""
    octets = np.packbits(flags, bitorder="little")
    padded = np.zeros((len(flags) + 63) // 64 * 8, dtype=np.uint8)
    padded[: len(octets)] = octets
    return padded.view("<u8").astype(np.uint64, copy=False)


def _known(bars: Bars, name: str) -> FloatArray:
    """Return the prices with NaN where a price is none: not finite, or not above 0."""
    prices: FloatArray = getattr(bars, name)
    if name in bars.whole and prices.min() > 0:
        return prices
    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(prices) & (prices > 0), prices, np.nan)


def _carried(prices: FloatArray) -> FloatArray:
    """Return the last known price at each bar; before the first, the first (nothing is ever held there)."""
    none = np.isnan(prices)
    if not none.any():
        return prices
    if none.all():
        return np.ones(len(prices))
    last = np.maximum.accumulate(np.where(none, none.argmin(), np.arange(len(prices))))
    return prices[last]


def prepare(bars: Bars) -> Series:
    """Return `bars` made ready for `evaluate` and the others. The bars must not be changed afterwards."""
    known = [_known(bars, name) for name in ("open", "high", "low", "close")]
    prices = np.array([*known[:3], _carried(known[3])])
    return Series(bars, prices, packed(sound_bars(bars)))
