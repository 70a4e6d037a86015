"""Statistics against fooling oneself: how likely it is that a search's winner is luck. Pure; no Django, and no numba until
a function that needs it is called.

What every figure is, where its formula comes from, and how the gate itself was tested: `docs/optimize-honesty.md`.
"""

from optimize.honesty.assessment import Assessment, Search, Sums, assess, ranked
from optimize.honesty.bootstrap import Bands, Spread, bands, block_lengths
from optimize.honesty.cpcv import Plan, Split, assemble, cpcv, path_count
from optimize.honesty.cscv import Overfitting, block_bounds, block_sums, blocks_for, overfitting
from optimize.honesty.grid import GridAxis, axes_of
from optimize.honesty.multiplicity import SignedRank, benjamini_hochberg, holm, signed_rank
from optimize.honesty.rejudging import judge_again
from optimize.honesty.sensitivity import HeatMap, Sensitivity, Slice, Surroundings, sensitivity
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
from optimize.honesty.walkforward import Fold, Steadiness, WalkForward, steadiness, walk_forward

__all__ = [
    "Assessment",
    "Bands",
    "Deflated",
    "Evidence",
    "Fold",
    "Gate",
    "GridAxis",
    "HeatMap",
    "Moments",
    "Overfitting",
    "Plan",
    "Reason",
    "Search",
    "Sensitivity",
    "SignedRank",
    "Slice",
    "Split",
    "Spread",
    "Steadiness",
    "Sums",
    "Surroundings",
    "Trials",
    "Verdict",
    "WalkForward",
    "assemble",
    "assess",
    "axes_of",
    "bands",
    "benjamini_hochberg",
    "block_bounds",
    "block_lengths",
    "block_sums",
    "blocks_for",
    "cpcv",
    "deflated_sharpe",
    "expected_max_sharpe",
    "holm",
    "judge",
    "judge_again",
    "min_track_record",
    "moments",
    "overfitting",
    "path_count",
    "probabilistic_sharpe",
    "ranked",
    "sensitivity",
    "sharpe_from_sums",
    "signed_rank",
    "steadiness",
    "t_from_sums",
    "trial_variance",
    "walk_forward",
]
