"""A market that arrives bar by bar, and the tick and the workers that look at it, called by hand."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from optimize.adaptation import looking
from optimize.adaptation.models import LiveAdaptation, RegimePoint
from optimize.tasks import look_at_bars
from tests.portfolio.conftest import Prices
from tradingsite.common.models import OutboxMessage

Row = tuple[float, float, float, float]
# Quick to tell, and quick to change.
REGIME = {
    "kind": "volatility", "window": 5, "reference": 40, "confirm": 2, "dwell": 4, "symbol": "ACME", "cooldown_bars": 10,
}  # fmt: skip
CALM, WILD = 0.006, 0.04


def rows_of(returns: Sequence[float]) -> list[Row]:
    """Return daily prices with these log returns."""
    close = 100 * np.exp(np.cumsum(returns))
    before = np.concatenate(([100.0], close[:-1]))
    return [(float(o), float(max(o, c)), float(min(o, c)), float(c)) for o, c in zip(before, close, strict=True)]


def turning(spells: Iterable[tuple[int, float]], seed: int = 1) -> list[Row]:
    """Return prices that move as much as each spell says: (bars, deviation)."""
    deviation = np.concatenate([np.full(count, size) for count, size in spells])
    return rows_of(np.random.default_rng(seed).standard_normal(len(deviation)) * deviation)


class Market:
    """Prices of symbols that are known up to a bar; the newest of a historical market is not complete."""

    def __init__(self, prices: Prices, rows: Sequence[Row], *symbols: str) -> None:
        self._prices, self.rows, self._symbols = prices, list(rows), symbols or ("ACME",)

    def until(self, count: int, rows: Sequence[Row] | None = None) -> None:
        """Import as much as makes the first `count` bars complete."""
        for symbol in self._symbols:
            self._prices.series(symbol, (rows or self.rows)[: count + 1])


def called() -> list[OutboxMessage]:
    return list(OutboxMessage.objects.filter(task=looking.TASK).order_by("pk"))


def looked() -> int:
    """Let the clock tick once, and workers do what it called."""
    looking.tick()
    calls = called()
    for call in calls:
        look_at_bars(*call.args)
        call.delete()
    return len(calls)


def points(adaptation: LiveAdaptation) -> list[tuple[Any, str, str]]:
    """Return what was told of each bar: when it opened, its regime, and the one before where it is another."""
    rows = RegimePoint.objects.filter(adaptation=adaptation).order_by("bar_time")
    return list(rows.values_list("bar_time", "label", "changed_from"))


def regimes(adaptation: LiveAdaptation) -> list[str]:
    return [label for _, label, _ in points(adaptation)]
