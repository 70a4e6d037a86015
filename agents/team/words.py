"""What a team is, what it is asked and what comes back. Plain data, without Django's models and without AutoGen.

The engine that lets a team talk lives behind `agents.team.engine.run`; whoever calls it sees these words alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any, Protocol


class Arrangement(StrEnum):
    """Who speaks after whom."""

    # In the order of the team, round after round.
    ROUND_ROBIN = "round_robin"
    # A model picks the next speaker.
    SELECTOR = "selector"
    # The analysts, then a bull against a bear, then risk, then who decides.
    DEBATE = "debate"


class Role(StrEnum):
    """What a member is there for."""

    ANALYST = "analyst"
    BULL = "bull"
    BEAR = "bear"
    RISK = "risk"
    DECISION = "decision"


class Provider(StrEnum):
    """Which kind of model a member thinks with."""

    # The desk's own rules: no key, no network, the same words for the same figures.
    OFFLINE = "offline"
    # Any API that speaks as OpenAI's does.
    OPENAI = "openai"
    # What was said in an earlier conversation, again.
    REPLAY = "replay"


class Code(StrEnum):
    """Why a team came to no decision of its own, so that it holds; or what a reader of its decision must know."""

    MODEL_UNAUTHORIZED = "MODEL_UNAUTHORIZED"
    MODEL_RATE_LIMITED = "MODEL_RATE_LIMITED"
    MODEL_TIMED_OUT = "MODEL_TIMED_OUT"
    MODEL_UNAVAILABLE = "MODEL_UNAVAILABLE"
    MODEL_REFUSED = "MODEL_REFUSED"
    MODEL_ANSWER_INVALID = "MODEL_ANSWER_INVALID"
    MODEL_ADDRESS_REFUSED = "MODEL_ADDRESS_REFUSED"
    MODEL_UNUSABLE = "MODEL_UNUSABLE"
    BUDGET_TOKENS = "BUDGET_TOKENS"
    BUDGET_COST = "BUDGET_COST"
    BUDGET_SECONDS = "BUDGET_SECONDS"
    BUDGET_MESSAGES = "BUDGET_MESSAGES"
    ANSWER_CUT_OFF = "ANSWER_CUT_OFF"
    DECISION_MISSING = "DECISION_MISSING"
    DECISION_INVALID = "DECISION_INVALID"
    TEXT_AGAINST_ACTION = "TEXT_AGAINST_ACTION"
    REPLAY_EXHAUSTED = "REPLAY_EXHAUSTED"
    BEFORE_TRAINING_CUTOFF = "BEFORE_TRAINING_CUTOFF"
    TRAINING_CUTOFF_UNKNOWN = "TRAINING_CUTOFF_UNKNOWN"


class SaidType(StrEnum):
    """What one message of a conversation is; the values of `agents.choices.MessageType`."""

    REQUEST = "request"
    RESPONSE = "response"
    TOOL_CALL = "tool_call"
    TOOL_RESULT = "tool_result"
    ERROR = "error"


@dataclass(frozen=True)
class ModelRef:
    """Which model, where, and how it is asked. A secret is named, never here.

    `options` are what the API takes beside the messages: temperature, max_tokens, top_p, seed. `timeout_s` is for one
    answer. `training_cutoff` is the last day (ISO 8601) that the model may have read of; empty where nobody says.
    """

    provider: Provider = Provider.OFFLINE
    model: str = "desk-rules"
    base_url: str = ""
    api_key_env: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    timeout_s: float = 60.0
    stream: bool = False
    training_cutoff: str = ""


@dataclass(frozen=True)
class Member:
    """One agent of a team. `max_iterations` bounds the rounds of tool calls within one turn of it."""

    name: str
    role: Role
    system_prompt: str
    description: str = ""
    model: ModelRef = field(default_factory=ModelRef)
    tools: tuple[str, ...] = ()
    max_iterations: int = 5


@dataclass(frozen=True)
class Budget:
    """Where a conversation about one symbol ends, decided or not. `cost` is in US dollars; None is without bound."""

    tokens: int | None = 200_000
    cost: Decimal | None = None
    seconds: float = 300.0
    messages: int = 60


@dataclass(frozen=True)
class Team:
    """Members in the order of their speaking; the one with the role `decision`, else the last, decides."""

    members: tuple[Member, ...]
    arrangement: Arrangement = Arrangement.DEBATE
    max_rounds: int = 10
    budget: Budget = field(default_factory=Budget)

    @property
    def decider(self) -> Member:
        """The member whose last message is the team's decision."""
        return next((member for member in self.members if member.role is Role.DECISION), self.members[-1])


@dataclass(frozen=True)
class Task:
    """What a team is asked about one symbol.

    `text` is the question as the members read it. `price` is the close of the bar that began at `bar_time` (RFC 3339),
    the newest that they may know of; `held` is the signed quantity of the position.
    """

    symbol: str
    text: str
    price: Decimal
    bar_time: str
    held: Decimal = Decimal(0)


@dataclass(frozen=True)
class ToolSpec:
    """A tool as a model sees it; `parameters` is the JSON Schema of its arguments."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class Said:
    """One message, as soon as it was said.

    `agent_name` is who spoke, or for a request who was asked. Tokens are None where the model's API does not tell.
    `cut_off` says that the model ran into its limit in the middle of the answer.
    """

    symbol: str
    agent_name: str
    type: SaidType
    content: str
    model: str = ""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost: Decimal | None = None
    latency_ms: float | None = None
    tool: str = ""
    call_id: str = ""
    error_code: str = ""
    cut_off: bool = False


@dataclass(frozen=True)
class Outcome:
    """How a conversation about one symbol ended; always the last of its stream.

    `decision` is what the decider stated, checked by its schema: action, confidence, reason, stop, target. Without one
    the desk holds, and `code` and `detail` say why. `warnings` are codes that a reader of a sound decision must know.
    """

    symbol: str
    decision: Mapping[str, Any] | None
    code: str = ""
    detail: str = ""
    warnings: tuple[str, ...] = ()
    tokens: int = 0
    cost: Decimal | None = None
    messages: int = 0
    seconds: float = 0.0


class Host(Protocol):
    """What the desk does for a team while it talks. Called in the thread that called `run`, never in the engine's."""

    tools: Mapping[str, ToolSpec]

    def call(self, *, symbol: str, agent_name: str, tool: str, arguments: Mapping[str, Any]) -> str:
        """Return what a tool found, as JSON text; a refusal is an answer too, told to the model in words."""
        ...

    def check(self) -> None:
        """Raise StepInterrupted when the run must stop; asked at least ten times a second."""
        ...
