"""From a wanted position to a decision with its reason. Plain data in, plain data out."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tradingsite.common.decimals import decimal_string


@dataclass(frozen=True)
class Levels:
    """Where a buy would be given up (stop) and where it would be done (target)."""

    stop: Decimal | None = None
    target: Decimal | None = None

    def reward_over_risk(self, entry: Decimal) -> float | None:
        """Return R = (target - entry) / (entry - stop); None without both levels, or without risk."""
        if self.stop is None or self.target is None or entry <= self.stop:
            return None
        return round(float((self.target - entry) / (entry - self.stop)), 6)


@dataclass(frozen=True)
class Decision:
    """One symbol's decision. `confidence` is 0 to 1 and means the stance, be it long or flat."""

    symbol: str
    action: str
    confidence: float
    reason: str
    price: Decimal
    bar_time: str
    r_coefficient: float | None = None
    stop: Decimal | None = None
    target: Decimal | None = None

    @classmethod
    def hold(cls, symbol: str, reason: str, *, price: Decimal, bar_time: str, confidence: float = 0.0) -> "Decision":
        return cls(symbol, "HOLD", confidence, reason, price, bar_time)

    def as_output(self) -> dict[str, Any]:
        """Return the decision as a step's output holds it: prices as decimal strings."""
        return {
            "symbol": self.symbol,
            "action": self.action,
            "confidence": self.confidence,
            "r_coefficient": self.r_coefficient,
            "reason": self.reason,
            "price": decimal_string(self.price),
            "stop": None if self.stop is None else decimal_string(self.stop),
            "target": None if self.target is None else decimal_string(self.target),
            "bar_time": self.bar_time,
        }


def figures_text(figures: Mapping[str, float]) -> str:
    """Write figures for people: `sma 20 = 444.05, sma 50 = 430.1`."""
    parts = [f"{name} = {value:.6g}" if math.isfinite(value) else f"{name} = none" for name, value in figures.items()]
    return ", ".join(parts)


def decide(
    *,
    symbol: str,
    target: int,
    began: bool,
    held: Decimal,
    event_only: bool,
    confidence: float,
    figures: Mapping[str, float],
    levels: Levels,
    price: Decimal,
    bar_time: str,
) -> Decision:
    """Compare what the strategy wants (`target` 1 long, 0 flat) with what is held.

    Args:
        began: whether the strategy began to want to be long on this very bar.
        event_only: buy only then. A sale never waits for an event: what is unwanted is sold.
        held: signed quantity of the position; only a long one is ever sold.
    """
    text = figures_text(figures)
    if target == 1 and held <= 0:
        if held < 0:
            reason = f"the strategy is long but the account is short {decimal_string(-held)}: {text}"
            return Decision.hold(symbol, reason, price=price, bar_time=bar_time, confidence=confidence)
        if event_only and not began:
            reason = f"long since an earlier bar, and entries are taken on their own bar only: {text}"
            return Decision.hold(symbol, reason, price=price, bar_time=bar_time, confidence=confidence)
        return Decision(
            symbol=symbol,
            action="BUY",
            confidence=confidence,
            reason=f"the strategy is long and nothing is held: {text}",
            price=price,
            bar_time=bar_time,
            r_coefficient=levels.reward_over_risk(price),
            stop=levels.stop,
            target=levels.target,
        )
    if target == 0 and held > 0:
        reason = f"the strategy is flat and {decimal_string(held)} is held: {text}"
        return Decision(symbol, "SELL", confidence, reason, price, bar_time)
    stance = f"long and {decimal_string(held)} is held already" if target == 1 else "flat and nothing is held"
    reason = f"the strategy is {stance}: {text}"
    return Decision.hold(symbol, reason, price=price, bar_time=bar_time, confidence=confidence)
