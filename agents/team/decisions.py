"""The decision in the last message of who decides: one JSON object, and nothing beside it that says the opposite."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import jsonschema

from agents.team.recommendations import ACTIONS, recommendation_read
from agents.team.words import Code

MAX_REASON = 2000
_LEVEL = {"anyOf": [{"type": "null"}, {"type": "string", "pattern": r"^[0-9]{1,18}(\.[0-9]{1,10})?$"}]}
# What a decider must answer; prices are read as they are written, so that none is rounded on its way.
DECISION_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "action": {"enum": list(ACTIONS)},
        "confidence": {"type": "number", "minimum": 0, "maximum": 1},
        "reason": {"type": "string", "minLength": 1, "maxLength": MAX_REASON, "pattern": r"\S"},
        "stop": _LEVEL,
        "target": _LEVEL,
    },
    "required": ["action", "confidence", "reason"],
    "additionalProperties": False,
}
_VALIDATOR = jsonschema.Draft202012Validator(DECISION_SCHEMA)
_LEVELS = ("stop", "target")

_VERB = {"buy": "BUY", "sell": "SELL", "hold": "HOLD"}
_STATED = re.compile(
    r"\b(?:(?:final\s+)?(?:decision|recommendation|verdict|action)\s*(?:is|:)\s*(?:to\s+)?"
    r"|(?:I|we)\s+(?:recommend|decide|choose|advise|propose|should|will)\s+(?:to\s+|that\s+we\s+)?)"
    r"[\s*_]*(?P<verb>buy|sell|hold)(?:ing)?\b",
    re.IGNORECASE,
)
_DENIED = re.compile(
    r"\b(?:do\s+not|don't|must\s+not|should\s+not|shouldn't|will\s+not|won't|never|(?:recommend|advise|decide)d?\s+against)\s+"
    r"(?P<verb>buy|sell|hold)(?:ing)?\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Stated:
    """What a message decides. Without a `decision`, `code` and `detail` say why; with one, `warnings` may stand."""

    decision: Mapping[str, Any] | None = None
    code: str = ""
    detail: str = ""
    warnings: tuple[str, ...] = ()


def decision_read(text: str, *, cut_off: bool = False) -> Stated:
    """Return the decision that `text` states: action, confidence, reason, and where stated stop and target as strings.

    Args:
        cut_off: the model ran into its limit. A whole decision stands with a warning, half a one does not.
    """
    found = list(_objects(text))
    stating = [one for one in found if isinstance(one.value, dict) and "action" in one.value]
    if not stating:
        return _without(text, found, cut_off=cut_off)
    if len(stating) > 1:
        return Stated(code=Code.DECISION_INVALID, detail=f"The message states {len(stating)} decisions, not one.")
    (one,) = stating
    if one.refusal:
        return Stated(code=Code.DECISION_INVALID, detail=one.refusal)
    value = {name: inner for name, inner in one.value.items() if name not in _LEVELS or inner is not None}
    error = next(iter(_VALIDATOR.iter_errors(value)), None)
    if error is not None:
        place = "/".join(str(part) for part in error.absolute_path)
        return Stated(code=Code.DECISION_INVALID, detail=f"{place or 'The decision'}: {error.message[:200]}.")
    action = value["action"]
    beside = text[: one.begin] + "\n" + text[one.end :]
    if against := _against(action, f"{beside}\n{value['reason']}"):
        return Stated(code=Code.TEXT_AGAINST_ACTION, detail=f"The decision is {action}, and the text says {against}.")
    decision = {**value, "confidence": float(value["confidence"]), "reason": value["reason"].strip()}
    return Stated(decision=decision, warnings=(Code.ANSWER_CUT_OFF,) if cut_off else ())


def states_decision(text: str) -> bool:
    """Say whether `text` holds or tries to hold a decision, good or bad: then the talking is over."""
    return decision_read(text).code != Code.DECISION_MISSING


def _without(text: str, found: "list[_Object]", *, cut_off: bool) -> Stated:
    if cut_off:
        return Stated(code=Code.ANSWER_CUT_OFF, detail="The answer was cut off before its decision was whole.")
    if found or re.search(r'\{\s*"', text):
        return Stated(code=Code.DECISION_INVALID, detail="The message holds no whole JSON object with an action.")
    return Stated(code=Code.DECISION_MISSING, detail="The last message of who decides holds no decision.")


@dataclass(frozen=True)
class _Object:
    begin: int
    end: int
    value: Any
    refusal: str = ""


def _objects(text: str) -> Iterator[_Object]:
    """Find the JSON objects in a text, fenced or bare, the outermost of each."""
    place = text.find("{")
    while place >= 0:
        refusals: list[str] = []

        def once(pairs: list[tuple[str, Any]], told: list[str] = refusals) -> dict[str, Any]:
            result = dict(pairs)
            if len(result) < len(pairs):
                told.append("A field is named twice.")
            return result

        def no_number(name: str, told: list[str] = refusals) -> None:
            told.append(f"{name} is no number.")

        decoder = json.JSONDecoder(object_pairs_hook=once, parse_constant=no_number, parse_float=_Written)
        try:
            value, end = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            end = place + 1
        else:
            if isinstance(value, dict):
                value = {name: _level(inner) if name in _LEVELS else inner for name, inner in value.items()}
            yield _Object(place, end, value, refusals[0] if refusals else "")
        place = text.find("{", end)


class _Written(float):
    """A number that remembers how it was written."""

    text: str

    def __new__(cls, text: str) -> "_Written":
        made = super().__new__(cls, text)
        made.text = text
        return made


def _level(value: Any) -> Any:
    """Return a price as its decimal string; what is none stays, for the schema to refuse."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    number = Decimal(value.text if isinstance(value, _Written) else str(value))
    return f"{number:f}" if number.is_finite() else value


def _against(action: str, text: str) -> str:
    """Return what the text says against `action`; empty when nothing unmistakable."""
    line = recommendation_read(text)
    if line is not None and line.action != action:
        return line.action
    for match in _STATED.finditer(text):
        if _VERB[match["verb"].lower()] != action:
            return match[0].strip()
    for match in _DENIED.finditer(text):
        if _VERB[match["verb"].lower()] == action:
            return match[0].strip()
    return ""
