"""What the rule-based model says of risk: where a stop belongs, how much there is room for, and what forbids a trade."""

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

from agents.team.rules.evidence import number
from agents.team.rules.figures import Figures

STOP_ATR, TARGET_ATR = 2.0, 3.0
# What one position may lose at its stop, as a fraction of the equity.
RISKED = 0.01
# Below this price a cent is coarse.
_DEAR = 10


@dataclass(frozen=True)
class Levels:
    """Where a purchase would be given up and where it would be done, in the instrument's currency."""

    stop: Decimal
    target: Decimal


def levels(figures: Figures, price: Decimal) -> Levels | None:
    """Return a stop two and a target three average true ranges away; None without a range, or with no room below."""
    width = figures.value("atr_14")
    if not width or width <= 0:
        return None
    places = Decimal("0.01") if price >= _DEAR else Decimal("0.000001")
    stop = (price - Decimal(str(STOP_ATR * width))).quantize(places, rounding=ROUND_HALF_EVEN)
    target = (price + Decimal(str(TARGET_ATR * width))).quantize(places, rounding=ROUND_HALF_EVEN)
    return Levels(stop, target) if 0 < stop < price < target else None


@dataclass(frozen=True)
class Veto:
    """Why something must not be done; `every_order` when that goes for sales too, else for purchases alone."""

    reason: str
    every_order: bool = False

    @property
    def line(self) -> str:
        return f"Veto: no {'order' if self.every_order else 'purchase'}, because {self.reason}."


def vetoes(figures: Figures) -> list[Veto]:
    """Return what forbids a trade by the figures at hand."""
    found = []
    if figures.kill_switch:
        found.append(Veto(figures.kill_switch.rstrip("."), every_order=True))
    if figures.halted:
        found.append(Veto(figures.halted))
    for name, limit in figures.limits.items():
        if limit.left is not None and limit.left <= 0:
            spent = f"{number(limit.used or 0)} of {number(limit.limit or 0)}"
            found.append(Veto(f"the {name.replace('_', ' ')} is used up ({spent})"))
    return found


def risk_text(figures: Figures, price: Decimal, *, buying: bool) -> list[str]:
    """Return sentences on how much room there is, and for a purchase on how much to buy and where its stop belongs."""
    said = _position_text(figures)
    if buying:
        said += _stop_text(figures, price)
    if figures.equity and figures.exposure is not None:
        said.append(f"{number(100 * figures.exposure / figures.equity)} % of the equity is at work already.")
    left = [
        f"{number(limit.left)} of the {name.replace('_', ' ')}"
        for name in ("order_notional_limit", "position_limit", "exposure_limit", "daily_trade_limit")
        if (limit := figures.limits.get(name)) is not None and limit.left is not None
    ]
    if left:
        said.append(f"What is left: {', '.join(left)}.")
    return said


def _position_text(figures: Figures) -> list[str]:
    said = []
    if figures.quantity and figures.average_price is not None and figures.unrealized_pnl is not None:
        won = figures.unrealized_pnl
        said.append(
            f"{number(figures.quantity)} are held at an average of {number(figures.average_price)}, which makes a "
            f"{'loss' if won < 0 else 'profit'} of {number(abs(won))} so far."
        )
    elif figures.quantity == 0:
        said.append("Nothing is held.")
    if figures.open_orders:
        many = figures.open_orders > 1
        said.append(f"{figures.open_orders} open order{'s' if many else ''} may still change that.")
    return said


def _stop_text(figures: Figures, price: Decimal) -> list[str]:
    bounds = levels(figures, price)
    if bounds is None:
        return ["Without an average true range nobody can say where a stop belongs."]
    distance = float(price - bounds.stop)
    said = [
        f"A stop belongs {number(STOP_ATR)} average true ranges below {number(float(price))}, at "
        f"{number(float(bounds.stop))}, and a target at {number(float(bounds.target))}."
    ]
    if figures.equity:
        units = int(RISKED * figures.equity / distance)
        said.append(
            f"To lose at most {number(100 * RISKED)} % of an equity of {number(figures.equity)} there, at most "
            f"{units:,} units may be bought."
        )
    return said
