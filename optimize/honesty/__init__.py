"""Statistics against fooling oneself: how likely it is that a search's winner is luck. Pure; no Django, and no numba until
a function that needs it is called.

What every figure is, where its formula comes from, and how the gate itself was tested: `docs/optimize-honesty.md`.
"""

from optimize.honesty.cscv import Overfitting, block_bounds, block_sums, blocks_for, overfitting
from optimize.honesty.sharpe import (
    Deflated,
    Moments,
    Trials,
    deflated_sharpe,
    expected_max_sharpe,
    min_track_record,
    moments,
    probabilistic_sharpe,
    sharpe_from_sums,
    t_from_sums,
    trial_variance,
)
from optimize.honesty.verdict import Evidence, Gate, Reason, Verdict, judge

__all__ = [
    "Deflated",
    "Evidence",
    "Gate",
    "Moments",
    "Overfitting",
    "Reason",
    "Trials",
    "Verdict",
    "block_bounds",
    "block_sums",
    "blocks_for",
    "deflated_sharpe",
    "expected_max_sharpe",
    "judge",
    "min_track_record",
    "moments",
    "overfitting",
    "probabilistic_sharpe",
    "sharpe_from_sums",
    "t_from_sums",
    "trial_variance",
]
