"""Combinatorial cross-validation of a search: many paths through the same history instead of one.

The period is cut into groups. In each split some are tested and the combination that was best in all others is taken
there; the tests of the splits are put together to paths, each of which tests every group once.

What is compared are the returns of bars, each of which belongs to one bar: nothing of a training reaches into a test as a
label would, so nothing is purged. Combinations are traded once through the whole period and not anew in each group.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimize.honesty import Sums, cpcv, sharpe_from_sums

FloatArray = NDArray[np.float64]
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def paths(sums: Sums, test_groups: int, yearly: float, check: Callable[[], None]) -> dict[str, Any]:
    """Return the annualised Sharpe ratios of all paths, for JSON.

    Args:
        sums: [combination, group].
        yearly: the square root of the periods in a year.
    """
    groups = len(sums.counts)
    # The plan's rows are the groups themselves: where they are cut on the axis does not matter any more.
    plan = cpcv(groups, groups, test_groups)
    chosen = np.full(len(plan.splits), -1, dtype=np.int64)
    for number, split in enumerate(plan.splits):
        check()
        train = split.train_rows()
        ratios = sharpe_from_sums(
            sums.counts[train].sum(), sums.totals[:, train].sum(axis=1), sums.squares[:, train].sum(axis=1)
        )
        if np.isfinite(ratios).any():
            chosen[number] = int(np.where(np.isfinite(ratios), ratios, -np.inf).argmax())
    taken = chosen[plan.paths]
    known = taken >= 0
    row = np.arange(groups)
    totals = np.where(known, sums.totals[taken, row], 0.0).sum(axis=1)
    squares = np.where(known, sums.squares[taken, row], 0.0).sum(axis=1)
    found = sharpe_from_sums(sums.counts.sum(), totals, squares) * yearly
    finite = found[np.isfinite(found)]
    return {
        "groups": groups,
        "test_groups": test_groups,
        "splits": len(plan.splits),
        "paths": len(found),
        "sharpe": found,
        "mean": finite.mean() if finite.size else None,
        "std": finite.std(ddof=1) if finite.size > 1 else None,
        "quantiles": dict(zip(map(str, QUANTILES), np.quantile(finite, QUANTILES), strict=True))
        if finite.size
        else None,
        "loss": float((finite < 0).mean()) if finite.size else None,
    }
