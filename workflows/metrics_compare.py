"""Figures side by side: which are better, by how much, and whether the difference can be trusted. Pure."""

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

K = TypeVar("K", bound=Hashable)

# Whether the greater figure is the better one. Of counts more is better, though it only says who did more.
GREATER_IS_BETTER: Mapping[str, bool] = {
    "total_executions": True,
    "success_rate": True,
    "average_duration": False,
    "duration_p50": False,
    "duration_p95": False,
    "orders_placed": True,
    "average_r_coefficient": True,
    "completed_trades": True,
    "win_rate": True,
}
COUNTS = frozenset({"total_executions", "orders_placed", "completed_trades"})
# Below it a difference is called significant.
LEVEL = 0.05
# So many successes and failures each sample must be expected to hold for the normal distribution to describe it.
EXPECTED_MIN = 5


def best(summaries: Mapping[K, Mapping[str, Any]]) -> dict[str, list[K]]:
    """Return for each figure who has the best one; all of them where several do.

    None never wins, and neither does a count of zero.
    """
    found: dict[str, list[K]] = {}
    for name, greater in GREATER_IS_BETTER.items():
        values = {key: summary[name] for key, summary in summaries.items() if summary[name] is not None}
        if name in COUNTS:
            values = {key: value for key, value in values.items() if value}
        top = (max if greater else min)(values.values()) if values else None
        found[name] = [key for key, value in values.items() if value == top]
    return found


def differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, float | None]:
    """Return how much greater each figure of `b` is than that of `a`; None where one of them is unknown."""
    return {name: None if a[name] is None or b[name] is None else b[name] - a[name] for name in GREATER_IS_BETTER}


@dataclass(frozen=True)
class RateTest:
    """Whether two success rates differ by more than chance.

    Attributes:
        sufficient: whether both samples are large enough for the test; without that it says nothing.
        z, p_value: the statistic, and how likely one as far from zero is where the true rates are equal; None when
            the samples do not suffice.
        significant: whether `p_value` is below `LEVEL`; None when the samples do not suffice.
    """

    sufficient: bool
    z: float | None
    p_value: float | None
    significant: bool | None
    detail: str


def rate_test(successes_a: int, runs_a: int, successes_b: int, runs_b: int) -> RateTest:
    """Test two success rates against each other: the two-sided two-proportion z-test with the pooled rate.

        z = (p_b - p_a) / √(p (1-p) (1/n_a + 1/n_b)),  p = (x_a + x_b) / (n_a + n_b)

    Source: D. Moore, G. McCabe, B. Craig, "Introduction to the Practice of Statistics", section 8.2; its condition of
    at least five successes and five failures in each sample is asked of the numbers expected at the pooled rate.
    """
    if not runs_a or not runs_b:
        return RateTest(False, None, None, None, "One of them has no run that succeeded or failed.")
    pooled = (successes_a + successes_b) / (runs_a + runs_b)
    smaller = min(runs_a, runs_b)
    if smaller * min(pooled, 1 - pooled) < EXPECTED_MIN:
        return RateTest(False, None, None, None, _too_few(pooled, smaller))
    error = math.sqrt(pooled * (1 - pooled) * (1 / runs_a + 1 / runs_b))
    z = (successes_b / runs_b - successes_a / runs_a) / error
    p_value = math.erfc(abs(z) / math.sqrt(2))
    if p_value >= LEVEL:
        return RateTest(True, z, p_value, False, f"The difference may be chance (p = {p_value:.3f}).")
    better = "second" if z > 0 else "first"
    return RateTest(True, z, p_value, True, f"The {better} succeeds more often, hardly by chance (p = {p_value:.3g}).")


def _too_few(pooled: float, smaller: int) -> str:
    rare = min(pooled, 1 - pooled)
    if not rare:
        word = "failed" if pooled else "succeeded"
        return f"No run {word}, so the runs do not tell the two apart."
    return f"Too few runs: the smaller sample has {smaller}, about {math.ceil(EXPECTED_MIN / rare)} are needed."
