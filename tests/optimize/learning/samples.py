"""Bars to learn from: noise, and noise with something planted in it."""

from datetime import UTC, datetime

import numpy as np

from market.bars import Bars, from_ns

DAY = 86_400_000_000_000
BEGIN = 1_262_304_000_000_000_000  # 2010-01-01


def bars_of(closes: np.ndarray, *, symbol: str = "TEST", time: np.ndarray | None = None, seed: int = 0) -> Bars:
    """Return bars around closes: each opens near the close before, with a spread and a volume of its own."""
    rng = np.random.default_rng(seed)
    count = len(closes)
    before = np.concatenate((closes[:1], closes[:-1]))
    opens = before * (1 + rng.normal(0, 0.002, count))
    return Bars.of(
        {
            "time": BEGIN + DAY * np.arange(count) if time is None else time,
            "open": opens,
            "high": np.maximum(opens, closes) * (1 + rng.uniform(0, 0.01, count)),
            "low": np.minimum(opens, closes) * (1 - rng.uniform(0, 0.01, count)),
            "close": closes,
            "volume": rng.integers(1_000, 9_000, count).astype(float),
        },
        symbol=symbol,
    )


def noise(count: int, seed: int = 0, *, symbol: str = "TEST", keep: float = 1.0) -> Bars:
    """Return a random walk; `keep` is the share of its days that have a bar."""
    rng = np.random.default_rng(seed)
    closes = 100 * np.exp(np.cumsum(rng.normal(0, 0.015, count)))
    days = np.sort(rng.choice(count, int(count * keep), replace=False))
    return bars_of(closes[days], symbol=symbol, time=BEGIN + DAY * days, seed=seed)


def planted(count: int, seed: int = 0, *, symbol: str = "TEST", strength: float = 0.6) -> Bars:
    """Return a walk whose daily change follows the one before: a model that sees `return 1` can foretell the next."""
    rng = np.random.default_rng(seed)
    change = rng.normal(0, 0.015, count)
    for day in range(1, count):
        change[day] += strength * change[day - 1]
    return bars_of(100 * np.exp(np.cumsum(change)), symbol=symbol, seed=seed)


def begin(bars: Bars) -> datetime:
    return from_ns(int(bars.time[0])).astimezone(UTC)


def finish(bars: Bars) -> datetime:
    return from_ns(int(bars.time[-1])).astimezone(UTC)
