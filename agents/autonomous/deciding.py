"""How opinions become decisions. Plain data in, plain data out.

The rule: everybody who was asked about a symbol must say the same. All say BUY, and it is a BUY; all say SELL, and it
is a SELL; anything else is a HOLD: disagreement, one who holds, one who could not say. A decision is as confident as
the least confident opinion, its stop is the nearest below the price and its target the nearest above.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from workflows.decisions import Decision, Levels

NO_OPINION, DISAGREEMENT = "NO_OPINION", "DISAGREEMENT"
REASON_MAX = 2000


@dataclass(frozen=True)
class Opinion:
    """What one of those who were asked thinks of a symbol.

    Attributes:
        source: who, such as `strategy Trend` or `team`.
        code: why it could not say, if so; its action is then HOLD.
    """

    source: str
    symbol: str
    action: str
    confidence: float
    reason: str
    stop: Decimal | None = None
    target: Decimal | None = None
    code: str = ""


@dataclass(frozen=True)
class Quote:
    """The price that decisions on a symbol rest on, and the beginning of its bar (RFC 3339)."""

    price: Decimal
    bar_time: str


def decisions_of(opinions: Iterable[Opinion], quotes: Mapping[str, Quote]) -> list[Decision]:
    """Return one decision for each symbol that has a price, in the order of the alphabet."""
    said: dict[str, list[Opinion]] = {}
    for opinion in opinions:
        said.setdefault(opinion.symbol, []).append(opinion)
    return [_decision(symbol, quotes[symbol], said.get(symbol, [])) for symbol in sorted(quotes)]


def _decision(symbol: str, quote: Quote, opinions: Sequence[Opinion]) -> Decision:
    if not opinions:
        return _hold(symbol, quote, f"{NO_OPINION}: nobody was asked about it")
    words = "; ".join(f"{each.source} says {each.action}: {each.reason}" for each in opinions)
    silent = next((each for each in opinions if each.code), None)
    if silent is not None:
        return _hold(symbol, quote, f"{silent.code}: {silent.source} could not say. {words}")
    actions = {each.action for each in opinions}
    confidence = min(each.confidence for each in opinions)
    if len(actions) > 1:
        return _hold(symbol, quote, f"{DISAGREEMENT}: {words}")
    (action,) = actions
    if action == "HOLD":
        return _hold(symbol, quote, words, confidence)
    if action == "SELL":
        return Decision(symbol, "SELL", confidence, words[:REASON_MAX], quote.price, quote.bar_time)
    levels = Levels(
        stop=max((each.stop for each in opinions if each.stop is not None and each.stop < quote.price), default=None),
        target=min(
            (each.target for each in opinions if each.target is not None and each.target > quote.price), default=None
        ),
    )
    return Decision(
        symbol=symbol,
        action="BUY",
        confidence=confidence,
        reason=words[:REASON_MAX],
        price=quote.price,
        bar_time=quote.bar_time,
        r_coefficient=levels.reward_over_risk(quote.price),
        stop=levels.stop,
        target=levels.target,
    )


def _hold(symbol: str, quote: Quote, reason: str, confidence: float = 0.0) -> Decision:
    reason = reason[:REASON_MAX]
    return Decision.hold(symbol, reason, price=quote.price, bar_time=quote.bar_time, confidence=confidence)
