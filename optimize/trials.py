"""The trial ledger: how often luck was asked on this data before, so that its answers can be discounted."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimize.honesty import Trials
from optimize.models import TrialRecord
from optimize.selectors import Entry, trials_of

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
    folds: Mapping[str, Any],
    hashes: NDArray[np.uint64],
    ratios: NDArray[np.float64],
    periods: int,
) -> TrialRecord:
    """Return the entry of a job, not saved.

    Args:
        folds: how the period was cut. A combination that is tried again on bars of another length, or on other folds, has
            another chance to look well by luck: it is another trial.
        hashes: of each combination.
        ratios: the Sharpe ratio per period of each combination, NaN where it has none.
        periods: returns that each is made of.
    """
    tested = hashlib.sha256(json.dumps([timeframe, folds], sort_keys=True).encode()).digest()
    distinct = np.unique(hashes ^ np.frombuffer(tested, dtype=_STORED, count=1))
    found = Trials.of(ratios, periods)
    return TrialRecord(
        strategy_type=strategy_type,
        symbols=list(symbols),
        timeframe=timeframe,
        source=source,
        start=start,
        end=end,
        count=int(distinct.size),
        hashes=distinct.astype(_STORED).tobytes(),
        sharpe_count=found.count,
        sharpe_mean=found.mean,
        sharpe_squares=found.squares,
        periods=found.periods,
    )


def tried(own: TrialRecord, asked_at: datetime) -> Tried:
    """Return what was tried on the data of `own`, by it and by every job that was asked for before.

    What was asked for later changes no verdict, so that the same job done anew judges the same.
    """
    earlier = trials_of(
        strategy_type=own.strategy_type,
        symbols=list(own.symbols),
        start=own.start,
        end=own.end,
        before=asked_at,
    )
    same = Entry(bytes(own.hashes), own.sharpe_count, own.sharpe_mean, own.sharpe_squares, own.periods)
    # A job done anew tries nothing new; counted twice it would thin out what it showed.
    others = [row for row in earlier if row != same]
    hashes = np.unique(np.concatenate([np.frombuffer(row.hashes, dtype=_STORED) for row in [*others, same]]))
    return Tried(int(hashes.size), tuple(Trials(*row[1:]) for row in others))


def shown(own: TrialRecord) -> Trials:
    """Return the Sharpe ratios of an entry."""
    return Trials(own.sharpe_count, own.sharpe_mean, own.sharpe_squares, own.periods)
