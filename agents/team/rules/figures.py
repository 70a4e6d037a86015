"""What the tools found about one symbol, read into figures. What was not found stays None: unknown is not zero."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from agents.team.fencing import unfenced


@dataclass(frozen=True)
class NewsItem:
    """One item of news that the desk's files hold."""

    published_at: datetime
    source: str
    headline: str
    body: str = ""


@dataclass(frozen=True)
class Fundamental:
    """One reported figure; `value` in `unit`, such as USD, ratio, percent or fraction."""

    metric: str
    value: float
    unit: str
    as_of: str


@dataclass(frozen=True)
class Limit:
    """One limit of the gate; None where the tool could not tell."""

    name: str
    limit: float | None
    used: float | None
    left: float | None


@dataclass(frozen=True)
class Figures:
    """Everything that a member has in hand. Prices in the instrument's currency; `closes` oldest first.

    `refused` holds what tools answered instead of an answer, by their names.
    """

    symbol: str
    price: float | None = None
    generated: bool = False
    closes: tuple[float, ...] = ()
    lows: tuple[float, ...] = ()
    highs: tuple[float, ...] = ()
    indicators: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)
    quantity: float | None = None
    average_price: float | None = None
    unrealized_pnl: float | None = None
    open_orders: int | None = None
    kill_switch: str | None = None
    halted: str | None = None
    equity: float | None = None
    exposure: float | None = None
    limits: Mapping[str, Limit] = field(default_factory=dict)
    news: tuple[NewsItem, ...] | None = None
    fundamentals: tuple[Fundamental, ...] | None = None
    refused: Mapping[str, str] = field(default_factory=dict)

    def value(self, name: str) -> float | None:
        """Return an indicator's newest value; None when there is none."""
        return self.indicators.get(name, (None, None))[0]

    def previous(self, name: str) -> float | None:
        """Return an indicator's value one bar before; None when there is none."""
        return self.indicators.get(name, (None, None))[1]


def figures_of(symbol: str, answers: Sequence[tuple[str, str]]) -> Figures:
    """Read the answers of tools, as (tool's name, text), newest last; what cannot be read counts as refused."""
    found: dict[str, Any] = {"symbol": symbol}
    refused: dict[str, str] = {}
    for tool, text in answers:
        answer = _object(text)
        if answer is None:
            refused[tool] = "its answer could not be read"
        elif "error" in answer:
            refused[tool] = str(answer["error"])
        elif answer.get("symbol", symbol) == symbol:
            refused.pop(tool, None)
            found.update(_READERS.get(tool, lambda _: {})(answer))
            if answer.get("note"):
                found["generated"] = True
    return Figures(**found, refused=refused)


def _object(text: str) -> Mapping[str, Any] | None:
    try:
        value = json.loads(unfenced(text))
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _bars(answer: Mapping[str, Any]) -> dict[str, Any]:
    columns = answer.get("columns", [])
    rows = [dict(zip(columns, row, strict=False)) for row in answer.get("bars", [])]

    def column(name: str) -> tuple[float, ...]:
        return tuple(value for row in rows if (value := _number(row.get(name))) is not None)

    closes = column("close")
    told: dict[str, Any] = {"closes": closes, "lows": column("low"), "highs": column("high")}
    return {**told, "price": closes[-1]} if closes else told


def _indicators(answer: Mapping[str, Any]) -> dict[str, Any]:
    values = {
        name: (_number(pair.get("value")), _number(pair.get("previous")))
        for name, pair in answer.get("indicators", {}).items()
    }
    price = _number(answer.get("close"))
    return {"indicators": values, **({} if price is None else {"price": price})}


def _position(answer: Mapping[str, Any]) -> dict[str, Any]:
    price = _number(answer.get("price"))
    return {
        "quantity": _number(answer.get("quantity")),
        "average_price": _number(answer.get("average_price")),
        "unrealized_pnl": _number(answer.get("unrealized_pnl")),
        "open_orders": len(answer.get("open_orders", [])),
        **({} if price is None else {"price": price}),
    }


def _limits(answer: Mapping[str, Any]) -> dict[str, Any]:
    switch = answer.get("kill_switch", {})
    halted = []
    if answer.get("trading_state") not in (None, "active"):
        halted.append(f"the desk is {answer['trading_state']}")
    if answer.get("breaker") in ("reduce", "kill"):
        halted.append(f"the drawdown breaker stands at {answer['breaker']}")
    if answer.get("reconciliation_blocks"):
        halted.append("the account must be reconciled first")
    limits = {
        line["name"]: Limit(line["name"], *(_number(line.get(key)) for key in ("limit", "used", "left")))
        for line in answer.get("limits", [])
    }
    return {
        "kill_switch": (switch.get("detail") or "the kill switch is set") if switch.get("active") else "",
        "halted": "; ".join(halted),
        "equity": _number(answer.get("equity")),
        "exposure": _number(answer.get("gross_exposure")),
        "limits": limits,
    }


def _news(answer: Mapping[str, Any]) -> dict[str, Any]:
    items = []
    for item in answer.get("items", []):
        published = datetime.fromisoformat(item["published_at"])
        items.append(NewsItem(published, item.get("source", ""), item.get("headline", ""), item.get("body", "")))
    return {"news": tuple(items)}


def _fundamentals(answer: Mapping[str, Any]) -> dict[str, Any]:
    items = []
    for item in answer.get("items", []):
        value = _number(item.get("value"))
        if value is not None:
            items.append(Fundamental(item["metric"], value, item.get("unit", ""), item.get("as_of", "")))
    return {"fundamentals": tuple(items)}


_READERS = {
    "get_bars": _bars,
    "get_indicators": _indicators,
    "get_position": _position,
    "get_limits": _limits,
    "get_news": _news,
    "get_fundamentals": _fundamentals,
}
