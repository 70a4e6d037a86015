"""How a strategy is traded in a search: what it starts with, what trading costs, and where it stops."""

import math
from dataclasses import dataclass
from typing import Literal

# An account that closes a bar at or below this share of its start is ruined and trades no more.
RUIN_SHARE = 0.001


@dataclass(frozen=True)
class Settings:
    """The account and the costs, the same for every combination.

    Attributes:
        initial_cash: what each window of each symbol starts with, in the currency of the prices.
        fee: fraction of the notional of every fill, at least 0 and below 1.
        slippage: fraction of the price against the trader at every fill, likewise.
        direction: `long_only`, or `long_short`, where an exit turns the whole equity into a short position.
        stop_loss: fraction of the entry's fill price below which (above, when short) the position is closed within the
            bar, 0 to 1 exclusive; None for none.
        take_profit: the same on the winning side, above 0 (below 1 when short positions are traded).
        periods_per_year: bars per year of the series, for annual figures.

    Raises:
        ValueError: for a value outside its range, naming it.
    """

    initial_cash: float = 10_000.0
    fee: float = 0.0
    slippage: float = 0.0
    direction: Literal["long_only", "long_short"] = "long_only"
    stop_loss: float | None = None
    take_profit: float | None = None
    periods_per_year: float = 252.0

    def __post_init__(self) -> None:
        for name in ("initial_cash", "periods_per_year"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise ValueError(f"{name} must be a finite number above 0")
        for name in ("fee", "slippage"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 0 and below 1")
        if self.direction not in ("long_only", "long_short"):
            raise ValueError("direction must be long_only or long_short")
        if self.stop_loss is not None and not 0 < self.stop_loss < 1:
            raise ValueError("stop_loss must be above 0 and below 1")
        highest = 1 if self.direction == "long_short" else math.inf
        if self.take_profit is not None and not 0 < self.take_profit < highest:
            raise ValueError(f"take_profit must be above 0 and below {highest:g}")

    @property
    def has_stops(self) -> bool:
        return self.stop_loss is not None or self.take_profit is not None
