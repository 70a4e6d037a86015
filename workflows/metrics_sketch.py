"""Percentiles of durations from counts that add up: of a day, of a year, of any days together.

The buckets are those of DDSketch (Masson, Rim, Lee: "DDSketch: A Fast and Fully-Mergeable Quantile Sketch with
Relative-Error Guarantees", PVLDB 12(12), 2019): bucket `i` holds the durations above γ^(i-1) and up to γ^i, with
γ = (1+α)/(1-α), and answers 2γ^i/(γ+1), which is within α of everything in it. Adding two sketches loses nothing.
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

# How far a percentile may be from the true one, as a fraction of it.
ALPHA = 0.01
GAMMA = (1 + ALPHA) / (1 - ALPHA)
LN_GAMMA = math.log(GAMMA)
# Durations are whole microseconds, so that the buckets begin at zero: 1 µs is in bucket 0. No time at all is here:
NO_TIME = -1
MICRO = 1_000_000


def bucket_of(microseconds: int) -> int:
    """Return the bucket of a duration; `executions.rollup` computes the same in SQL."""
    return math.ceil(math.log(microseconds) / LN_GAMMA) if microseconds > 0 else NO_TIME


@dataclass
class DurationSketch:
    """Durations in whole microseconds: how many, their sum, the least, the greatest, and the buckets between."""

    count: int = 0
    total: int = 0
    least: int | None = None
    greatest: int | None = None
    buckets: Counter[int] = field(default_factory=Counter)

    def put(self, *, bucket: int, count: int, total: int, least: int, greatest: int) -> None:
        """Add durations of one bucket."""
        self.count += count
        self.total += total
        self.least = least if self.least is None else min(self.least, least)
        self.greatest = greatest if self.greatest is None else max(self.greatest, greatest)
        self.buckets[bucket] += count

    def add(self, other: "DurationSketch") -> None:
        """Add the durations of another sketch."""
        if other.least is None or other.greatest is None:
            return
        self.count += other.count
        self.total += other.total
        self.least = other.least if self.least is None else min(self.least, other.least)
        self.greatest = other.greatest if self.greatest is None else max(self.greatest, other.greatest)
        self.buckets.update(other.buckets)

    @property
    def average(self) -> float | None:
        """Seconds; None without a duration."""
        return self.total / self.count / MICRO if self.count else None

    def percentile(self, fraction: float) -> float | None:
        """Return the percentile by nearest rank in seconds, at most `ALPHA` of it away; None without a duration."""
        if self.least is None or self.greatest is None:
            return None
        rank, seen = max(math.ceil(fraction * self.count), 1), 0
        for bucket in sorted(self.buckets):
            seen += self.buckets[bucket]
            if seen >= rank:
                middle = 0.0 if bucket == NO_TIME else 2 * GAMMA**bucket / (GAMMA + 1)
                # The ends are known exactly, and with them all percentiles of a single duration.
                return min(max(middle, self.least), self.greatest) / MICRO
        raise AssertionError("the buckets hold fewer durations than were counted")

    def to_json(self) -> dict[str, Any]:
        """Return the sketch as it is stored; an empty one is `{}`."""
        if not self.count:
            return {}
        return {
            "count": self.count,
            "sum_us": self.total,
            "min_us": self.least,
            "max_us": self.greatest,
            "buckets": {str(bucket): self.buckets[bucket] for bucket in sorted(self.buckets)},
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Read a stored sketch."""
        if not stored:
            return cls()
        buckets = Counter({int(bucket): count for bucket, count in stored["buckets"].items()})
        return cls(stored["count"], stored["sum_us"], stored["min_us"], stored["max_us"], buckets)
