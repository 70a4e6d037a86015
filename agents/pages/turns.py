"""From messages in their order to turns as people read them: who was asked, what it looked up, what it said."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from agents.choices import MessageType
from agents.models import AgentConversation
from agents.team.recommendations import Recommendation, recommendation_read
from agents.team.words import ModelRef
from tradingsite.common.decimals import decimal_string

# So many colours tell members apart.
HUES = 8
# What is asked in few words is shown, what takes many is folded.
FEW_WORDS = 260
LINE = 88
OFFLINE = ModelRef().model
_FENCE = re.compile(r"^```[^\n]*\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)


@dataclass
class ToolUse:
    """One call of a tool and what it found; `result` is None while it is not known."""

    tool: str
    arguments: str
    result: str | None = None
    truncated: bool = False
    took: str = ""


@dataclass
class Part:
    """A piece of what somebody said, in the order of saying.

    Attributes:
        kind: `text`, `code`, `tool` or `error`.
    """

    kind: str
    text: str = ""
    use: ToolUse | None = None
    code: str = ""
    truncated: bool = False
    cut_off: bool = False


@dataclass
class Turn:
    """What one agent was asked and answered, until somebody else was asked.

    Attributes:
        cost: in US dollars; None when the price of a part of it is unknown, or no model spoke.
        model: empty until a model has spoken.
    """

    seq: int
    name: str
    at: datetime
    step_index: int
    attempt: int
    hue: int = 0
    role: str = ""
    asked: str = ""
    asked_truncated: bool = False
    parts: list[Part] = field(default_factory=list)
    model: str = ""
    tokens: int | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost: Decimal | None = None
    unpriced: bool = False
    took_ms: float | None = None
    advice: Recommendation | None = None
    begins: str = ""

    @property
    def asked_shortly(self) -> bool:
        """What it was asked is short enough to be read in passing."""
        return len(self.asked) <= FEW_WORDS and "\n" not in self.asked

    @property
    def initial(self) -> str:
        return self.name[:1].upper()

    @property
    def offline(self) -> bool:
        """The desk's own rules spoke, and no model was asked."""
        return self.model == OFFLINE

    @property
    def price(self) -> str:
        return "" if self.cost is None or self.unpriced else dollars(self.cost)

    @property
    def took(self) -> str:
        return "" if self.took_ms is None else took(self.took_ms)

    @property
    def silent(self) -> bool:
        """Nothing has come back yet."""
        return not self.parts


def turns_of(messages: Sequence[AgentConversation], roles: Mapping[str, str]) -> list[Turn]:
    """Return the turns of one conversation, the oldest first; a request begins one, and so does another's voice."""
    turns: list[Turn] = []
    hues: dict[str, int] = {}
    open_uses: dict[str, ToolUse] = {}
    for message in messages:
        turn = turns[-1] if turns else None
        if turn is None or _begins(message, turn):
            hue = hues.setdefault(message.agent_name, len(hues) % HUES)
            turn = Turn(
                message.seq, message.agent_name, message.timestamp, message.step_index, message.attempt, hue,
                _role(message.agent_name, roles),
            )  # fmt: skip
            turns.append(turn)
        _take(turn, message, open_uses)
    for earlier, turn in zip([None, *turns], turns, strict=False):
        if earlier is not None and (earlier.step_index, earlier.attempt) != (turn.step_index, turn.attempt):
            turn.begins = "again" if earlier.step_index == turn.step_index else "step"
    return turns


def _role(name: str, roles: Mapping[str, str]) -> str:
    """Return what a member is there for, unless its name says it."""
    role = roles.get(name, "")
    return "" if role.lower() in name.lower() else role


def _begins(message: AgentConversation, turn: Turn) -> bool:
    return (
        message.message_type == MessageType.REQUEST
        or message.agent_name != turn.name
        or (message.step_index, message.attempt) != (turn.step_index, turn.attempt)
    )


def _take(turn: Turn, message: AgentConversation, open_uses: dict[str, ToolUse]) -> None:
    content = message.message_content
    match message.message_type:
        case MessageType.REQUEST:
            turn.asked, turn.asked_truncated = readable(content), message.truncated
        case MessageType.TOOL_CALL:
            use = ToolUse(message.tool, readable(content))
            open_uses[message.call_id] = use
            turn.parts.append(Part("tool", use=use))
        case MessageType.TOOL_RESULT:
            found = open_uses.pop(message.call_id, None)
            if found is None:
                found = ToolUse(message.tool, "")
                turn.parts.append(Part("tool", use=found))
            found.result, found.truncated = readable(content), message.truncated
            found.took = "" if message.latency_ms is None else took(message.latency_ms)
        case MessageType.ERROR:
            turn.parts.append(Part("error", content, code=message.error_code, truncated=message.truncated))
        case _:
            pieces = list(pieces_of(content))
            pieces[-1].truncated, pieces[-1].cut_off = message.truncated, message.cut_off
            turn.parts += pieces
            turn.advice = recommendation_read(content) or turn.advice
    _count(turn, message)


def _count(turn: Turn, message: AgentConversation) -> None:
    turn.model = message.model or turn.model
    for name, value in (
        ("tokens", message.tokens_used),
        ("prompt_tokens", message.prompt_tokens),
        ("completion_tokens", message.completion_tokens),
        ("cost", message.cost),
    ):
        if value is not None:
            setattr(turn, name, (getattr(turn, name) or 0) + value)
    if message.cost is None and message.tokens_used:
        turn.unpriced = True
    if message.latency_ms is not None and message.message_type != MessageType.TOOL_RESULT:
        turn.took_ms = (turn.took_ms or 0.0) + message.latency_ms


def pieces_of(text: str) -> Iterable[Part]:
    """Yield what is written between fences as code and the rest as text; never nothing."""
    whole = json_read(text)
    if whole is not None:
        yield Part("code", whole)
        return
    end = 0
    for found in _FENCE.finditer(text):
        if before := text[end : found.start()].strip():
            yield Part("text", before)
        yield Part("code", readable(found[1].strip()))
        end = found.end()
    if (rest := text[end:].strip()) or end == 0:
        yield Part("text", rest)


def readable(text: str) -> str:
    """Return JSON laid out to be read, anything else as it is."""
    return json_read(text) or text


def json_read(text: str) -> str | None:
    """Return a JSON object or array laid out; None for anything else."""
    if text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        return _laid_out(json.loads(text), "")
    except (ValueError, RecursionError):
        return None


def _laid_out(value: Any, indent: str) -> str:
    """Return JSON with what fits on a line on one, so that a bar is a line and not seven."""
    line = json.dumps(value, ensure_ascii=False)
    if len(indent) + len(line) <= LINE or not isinstance(value, dict | list) or not value:
        return line
    deeper = f"{indent}  "
    if isinstance(value, dict):
        items = [f"{json.dumps(key, ensure_ascii=False)}: {_laid_out(item, deeper)}" for key, item in value.items()]
    else:
        items = [_laid_out(item, deeper) for item in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return f"{opening}\n{deeper}" + f",\n{deeper}".join(items) + f"\n{indent}{closing}"


def took(ms: float) -> str:
    """`4 ms` below a second, then `1.8 s`."""
    return f"{ms:.0f} ms" if ms < 999.5 else f"{ms / 1000:.1f} s"


def dollars(amount: Decimal) -> str:
    """`$0.0012`, `$3.40`: as exact as it is small."""
    if amount == 0:
        return "$0"
    places = 2 if amount >= 1 else 4 if amount >= Decimal("0.01") else 6
    return f"${decimal_string(round(amount, places))}" if amount >= Decimal("0.000001") else "under $0.000001"
