"""The trial ledger: how often luck was asked on this data before, so that its answers can be discounted."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from optimize.honesty import Trials
from optimize.models import TrialRecord
from optimize.selectors import trials_of

_STORED = np.dtype("<u8")


@dataclass(frozen=True)
class Tried:
    """All that was ever tried on this data.

    Attributes:
        count: distinct combinations, those of the present job included.
        others: the Sharpe ratios of each other job.
    """

    count: int
    others: tuple[Trials, ...]


def record(
    *,
    strategy_type: str,
    symbols: Sequence[str],
    timeframe: str,
    source: str,
    start: datetime,
    end: datetime,
    hashes: NDArray[np.uint64],
    ratios: NDArray[np.float64],
    periods: int,
) -> TrialRecord:
    """Return the entry of a job, not saved.

    Args:
        ratios: the Sharpe ratio per period of each combination, NaN where it has none.
        periods: returns that each is made of.
    """
    distinct = np.unique(hashes)
    shown = Trials.of(ratios, periods)
    return TrialRecord(
        strategy_type=strategy_type,
        symbols=list(symbols),
        timeframe=timeframe,
        source=source,
        start=start,
        end=end,
        count=int(distinct.size),
        hashes=distinct.astype(_STORED).tobytes(),
        sharpe_count=shown.count,
        sharpe_mean=shown.mean,
        sharpe_squares=shown.squares,
        periods=shown.periods,
    )


def tried(own: TrialRecord, asked_at: datetime) -> Tried:
    """Return what was tried on the data of `own`, by it and by every job that was asked for before.

    What was asked for later changes no verdict, so that the same job done anew judges the same.
    """
    earlier = trials_of(
        strategy_type=own.strategy_type,
        symbols=list(own.symbols),
        timeframe=own.timeframe,
        start=own.start,
        end=own.end,
        before=asked_at,
    )
    hashes = np.unique(np.concatenate([np.frombuffer(bytes(row.hashes), dtype=_STORED) for row in [*earlier, own]]))
    # A job done anew tries nothing new; counted twice it would thin out what it showed.
    seen = {(bytes(own.hashes), _shown(own))}
    others: list[Trials] = []
    for row in earlier:
        key = bytes(row.hashes), _shown(row)
        if key not in seen:
            seen.add(key)
            others.append(key[1])
    return Tried(int(hashes.size), tuple(others))


def _shown(row: TrialRecord) -> Trials:
    return Trials(row.sharpe_count, row.sharpe_mean, row.sharpe_squares, row.periods)
