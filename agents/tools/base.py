"""What a tool is, what it may know, and how its figures are written for a model."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from market.bars import Bars
from market.steps import pinned_bars
from tradingsite.common.clock import parse_rfc3339
from tradingsite.common.contracts.steps import StepContext
from tradingsite.common.decimals import decimal_string

GENERATED = "These prices are generated, not of any market; judge them as an exercise."
_LARGE = 1e15


class ToolRefused(Exception):
    """What the model asked cannot be answered; the text says what to ask instead."""


@dataclass
class Desk:
    """All that the tools of one run may know: its symbols' pinned series, and its moment.

    Attributes:
        series: what the market_data steps pinned, by symbol; the symbols that a tool answers for.
        as_of: the wall time pinned when the run was created.
    """

    context: StepContext
    series: Mapping[str, Mapping[str, Any]]
    as_of: datetime
    strategy_id: UUID | None
    mode: str
    _bars: dict[str, Bars] = field(default_factory=dict)

    def pin(self, symbol: str) -> Mapping[str, Any]:
        """Return what was pinned of a symbol's series.

        Raises:
            ToolRefused: for a symbol that is not of the run.
        """
        if symbol not in self.series:
            raise ToolRefused(f"symbol: this run knows {', '.join(sorted(self.series))}; ask for one of them.")
        return self.series[symbol]

    def bars(self, symbol: str) -> Bars:
        """Return the bars that the run decides on, oldest first, the decision bar last.

        Raises:
            ToolRefused: for a symbol that is not of the run.
            SeriesUnknown, SeriesEmpty, SeriesFileMissing: when they are no longer there.
        """
        pin = self.pin(symbol)
        if symbol not in self._bars:
            bars = pinned_bars(self.context, symbol, pin)
            self._bars[symbol] = bars.until(parse_rfc3339(pin["decision_time"]))
        return self._bars[symbol]

    def known_until(self, symbol: str) -> datetime:
        """Return up to when the run may know of what happened to a symbol: its market's present, never after `as_of`.

        A historical series stands still, and what was published after it must not be seen.

        Raises:
            ToolRefused: for a symbol that is not of the run.
        """
        pin = self.pin(symbol)
        present = pin.get("market_now") or pin["decision_time"]
        return min(self.as_of, parse_rfc3339(present))

    def close(self, symbol: str) -> Decimal:
        """Return the close of the decision bar.

        Raises:
            ToolRefused: for a symbol that is not of the run.
        """
        return Decimal(self.pin(symbol)["decision_close"])

    def notes(self, symbol: str) -> dict[str, str]:
        """Return what a reader of this symbol's prices must be told."""
        return {"note": GENERATED} if self.pin(symbol).get("generated") else {}


@dataclass(frozen=True)
class Tool:
    """One tool. `answer` gets the desk and arguments that keep to `parameters`, `symbol` among them.

    `outside` says that the answer holds text which somebody outside the desk wrote.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    answer: Callable[[Desk, Mapping[str, Any]], Mapping[str, Any]]
    outside: bool = False


SYMBOL = {
    "type": "string",
    "minLength": 1,
    "maxLength": 15,
    "description": "One of the run's symbols; the one that is talked about when left out.",
}


def arguments(**properties: Any) -> dict[str, Any]:
    """Return the JSON Schema of a tool's arguments; every tool takes a symbol, and none must be given anything."""
    return {"type": "object", "properties": {"symbol": SYMBOL, **properties}, "additionalProperties": False}


def figure(value: float | Decimal | None) -> float | int | None:
    """Return a number as a model should read it: no noise of binary fractions, no zeros that say nothing.

    A Decimal keeps all its digits, as a quantity must. None stays None, and what is no number becomes None: unknown is
    not zero.
    """
    if value is None:
        return None
    if isinstance(value, Decimal):
        text = decimal_string(value)
        return float(text) if "." in text else int(text)
    number = float(value)
    if number != number or number in (float("inf"), float("-inf")):
        return None
    if number.is_integer() and abs(number) < _LARGE:
        return int(number)
    return round(number, 4) if abs(number) >= 1 else float(f"{number:.6g}")


def money(value: Decimal | None) -> float | int | None:
    """Return a price or an amount as a model should read it, to four places from one upwards."""
    return None if value is None else figure(float(value))
