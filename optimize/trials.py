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
    """All that was ever tried on this data, the present job included.

    Attributes:
        count: distinct combinations.
        jobs: the Sharpe ratios of each job.
    """

    count: int
    jobs: tuple[Trials, ...]


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
    known = ratios[np.isfinite(ratios)]
    mean = float(known.mean()) if known.size else 0.0
    return TrialRecord(
        strategy_type=strategy_type,
        symbols=list(symbols),
        timeframe=timeframe,
        source=source,
        start=start,
        end=end,
        count=int(distinct.size),
        hashes=distinct.astype(_STORED).tobytes(),
        sharpe_count=int(known.size),
        sharpe_mean=mean,
        sharpe_squares=float(np.square(known - mean).sum()),
        periods=periods,
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
    rows = [*earlier, own]
    hashes = np.unique(np.concatenate([np.frombuffer(bytes(row.hashes), dtype=_STORED) for row in rows]))
    # A job done anew tries nothing new; counted twice it would thin out what it showed.
    jobs: dict[tuple[bytes, Trials], None] = {}
    for row in rows:
        shown = Trials(row.sharpe_count, row.sharpe_mean, row.sharpe_squares, row.periods)
        jobs[(bytes(row.hashes), shown)] = None
    return Tried(int(hashes.size), tuple(shown for _, shown in jobs))
