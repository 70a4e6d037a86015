"""What the answer of an agent becomes. Nothing in it is obeyed: it is data for the next steps, and decisions are judged.

Plain data in, plain data out.
"""

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from io import BytesIO
from typing import Any

from rest_framework.exceptions import ParseError

from agents.errors import AgentAnswerInvalid
from tradingsite.common.api.parsers import StrictJSONParser
from tradingsite.common.decimals import decimal_string, to_decimal
from tradingsite.common.errors import ValidationFailed
from workflows.decisions import Decision, Levels

DECISIONS = "decisions"
MAX_REASON = 2000
MAX_TOKENS = 2**31 - 1
_ACTIONS = ("BUY", "SELL", "HOLD")
_NEEDED = ("symbol", "action", "confidence", "reason")
_KNOWN = frozenset({*_NEEDED, "price", "bar_time", "r_coefficient", "stop", "target"})


def answer_read(body: bytes) -> dict[str, Any]:
    """Return the JSON object that an agent sent.

    Raises:
        AgentAnswerInvalid: for anything else, and for JSON that is ambiguous or that no database holds.
    """
    try:
        value = StrictJSONParser().parse(BytesIO(body))
    except ParseError as error:
        raise AgentAnswerInvalid(str(error.detail).replace("The body", "The answer")) from None
    except ValidationFailed as error:
        raise AgentAnswerInvalid(f"The answer holds text that is none: {error.detail}") from None
    if not isinstance(value, dict):
        raise AgentAnswerInvalid("The answer must be a JSON object.")
    return value


def tokens_of(answer: Mapping[str, Any]) -> int | None:
    """Return how many tokens the agent says it used: `tokens_used`, or `usage.total_tokens` as model APIs have it."""
    usage = answer.get("usage")
    given = answer.get("tokens_used", usage.get("total_tokens") if isinstance(usage, Mapping) else None)
    return given if isinstance(given, int) and not isinstance(given, bool) and 0 <= given <= MAX_TOKENS else None


def decisions_read(raw: Any, series: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return an agent's decisions as a signal step would put them out.

    Prices and times are those of `series`, which the market_data steps loaded: an agent may repeat them and may not
    change them. R follows from the levels.

    Raises:
        AgentAnswerInvalid: naming the decision and the field.
    """
    if not isinstance(raw, list):
        raise AgentAnswerInvalid("decisions: Must be a list.")
    if raw and not series:
        raise AgentAnswerInvalid("decisions: No step before this one loaded prices; put a market_data step first.")
    seen: set[str] = set()
    result = []
    for index, item in enumerate(raw):
        decision = _decision(item, series, f"decisions/{index}")
        if decision.symbol in seen:
            raise AgentAnswerInvalid(f"decisions/{index}/symbol: {decision.symbol} is decided already.")
        seen.add(decision.symbol)
        result.append(decision.as_output())
    return result


def _decision(item: Any, series: Mapping[str, Mapping[str, Any]], place: str) -> Decision:
    if not isinstance(item, Mapping):
        raise AgentAnswerInvalid(f"{place}: Must be an object.")
    for name in item:
        if name not in _KNOWN:
            raise AgentAnswerInvalid(f"{place}/{name[:60]}: A decision has no such field.")
    for name in _NEEDED:
        if name not in item:
            raise AgentAnswerInvalid(f"{place}/{name}: This field is required.")
    symbol, action = item["symbol"], item["action"]
    if not isinstance(symbol, str) or symbol not in series:
        raise AgentAnswerInvalid(f"{place}/symbol: Must be one of the run's symbols with prices.")
    if action not in _ACTIONS:
        raise AgentAnswerInvalid(f"{place}/action: Must be one of {', '.join(_ACTIONS)}.")
    confidence = item["confidence"]
    if not _is_number(confidence) or not 0 <= confidence <= 1:
        raise AgentAnswerInvalid(f"{place}/confidence: Must be a number from 0 to 1.")
    reason = item["reason"]
    if not isinstance(reason, str) or not 0 < len(reason.strip()) <= MAX_REASON:
        raise AgentAnswerInvalid(f"{place}/reason: Must be a text of 1 to {MAX_REASON} characters.")
    price, time = Decimal(series[symbol]["decision_close"]), series[symbol]["decision_time"]
    if item.get("bar_time") not in (None, time):
        raise AgentAnswerInvalid(f"{place}/bar_time: The decision rests on the bar of {time}.")
    if _price(item, "price", place) not in (None, price):
        raise AgentAnswerInvalid(f"{place}/price: The price of that bar is {decimal_string(price)}.")
    levels = _levels(item, price, place)
    r_coefficient = levels.reward_over_risk(price)
    _r_check(item.get("r_coefficient"), r_coefficient, place)
    return Decision(
        symbol=symbol,
        action=action,
        confidence=float(confidence),
        reason=reason.strip(),
        price=price,
        bar_time=time,
        r_coefficient=r_coefficient,
        stop=levels.stop,
        target=levels.target,
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _price(item: Mapping[str, Any], name: str, place: str) -> Decimal | None:
    given = item.get(name)
    if given is None:
        return None
    try:
        price = to_decimal(given)
    except ValidationFailed as error:
        raise AgentAnswerInvalid(f"{place}/{name}: {error.errors[0].detail}") from None
    if price <= 0:
        raise AgentAnswerInvalid(f"{place}/{name}: Must be above zero.")
    return price


def _levels(item: Mapping[str, Any], price: Decimal, place: str) -> Levels:
    levels = Levels(stop=_price(item, "stop", place), target=_price(item, "target", place))
    if item["action"] != "BUY":
        named = [name for name in ("stop", "target") if item.get(name) is not None]
        if named:
            raise AgentAnswerInvalid(f"{place}/{named[0]}: Only a BUY has one.")
        return levels
    if levels.stop is not None and levels.stop >= price:
        raise AgentAnswerInvalid(f"{place}/stop: Must be below the price, {decimal_string(price)}.")
    if levels.target is not None and levels.target <= price:
        raise AgentAnswerInvalid(f"{place}/target: Must be above the price, {decimal_string(price)}.")
    return levels


def _r_check(given: Any, known: float | None, place: str) -> None:
    if given is None:
        return
    if not _is_number(given) or known is None or not math.isclose(given, known, rel_tol=1e-3, abs_tol=1e-3):
        says = "there is none without a stop and a target" if known is None else f"the levels give {known:g}"
        raise AgentAnswerInvalid(f"{place}/r_coefficient: Leave it out; {says}.")


def parts_of(answer: Mapping[str, Any]) -> tuple[dict[str, Any], Sequence[Any] | None]:
    """Return an answer without its decisions, and them as they came; None when it has none.

    The rest stays below one key of the step's output: were it laid out beside the decisions, an agent could put
    `intents` or `series` where the next steps read them, and so go round the risk check.
    """
    return {name: value for name, value in answer.items() if name != DECISIONS}, answer.get(DECISIONS)
