"""The line by which a member of a team says what it would do; written and read in one place."""

import re
from typing import NamedTuple

ACTIONS = ("BUY", "SELL", "HOLD")
_LINE = re.compile(
    r"^[\s>*_#-]*recommendation[\s*_]*:[\s*_]*(?P<action>BUY|SELL|HOLD)\b[^\n]*?"
    r"(?:\(?\s*confidence[\s:=]*(?P<confidence>[01](?:\.\d+)?))?\s*\)?[\s*_.]*$",
    re.IGNORECASE | re.MULTILINE,
)


class Recommendation(NamedTuple):
    """What a member would do; `confidence` is 0 to 1, None where it does not say."""

    action: str
    confidence: float | None


def recommendation_line(action: str, confidence: float) -> str:
    """Return the line as the desk's own rules write it and as prompts ask for it."""
    return f"Recommendation: {action} (confidence {confidence:.2f})"


def recommendation_read(text: str) -> Recommendation | None:
    """Return the last recommendation in `text`; None when there is none."""
    lines = list(_LINE.finditer(text))
    if not lines:
        return None
    found = lines[-1]
    confidence = found["confidence"]
    value = None if confidence is None else float(confidence)
    return Recommendation(found["action"].upper(), value if value is None or value <= 1 else None)
