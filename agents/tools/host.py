"""The desk's side of a team that talks: it answers tool calls and says when the run must stop."""

import json
from collections.abc import Mapping
from typing import Any

from agents.schemas import answer_refusal
from agents.team.fencing import fence, nonce_new, one_line
from agents.team.words import ToolSpec
from agents.tools.base import Desk, ToolRefused
from agents.tools.registry import TOOLS, tool_specs
from tradingsite.common.contracts.steps import StepContext
from tradingsite.common.errors import AppError

MAX_ANSWER = 24_000


class DeskHost:
    """Implements `agents.team.words.Host` over the run that a step context is of.

    It knows the symbols that the market_data steps pinned, their bars up to the decision bar, and the run's `as_of`:
    nothing later is ever told.
    """

    tools: Mapping[str, ToolSpec]

    def __init__(self, context: StepContext) -> None:
        self.tools = tool_specs()
        self._context = context
        self._desk = Desk(
            context=context,
            series=context.merged("series"),
            as_of=context.as_of,
            strategy_id=context.strategy_id,
            mode=context.mode,
        )
        self._nonces: dict[str, str] = {}

    def call(self, *, symbol: str, agent_name: str, tool: str, arguments: Mapping[str, Any]) -> str:
        """Return what a tool found, as JSON text; one that holds outside text comes fenced, as `fencing.fence` does.

        What cannot be answered is said in words under `error`, for the model to ask better; it is never raised.
        """
        try:
            found = self._answer(symbol, tool, arguments)
        except ToolRefused as refusal:
            return _as_json({"error": one_line(str(refusal), most=600)})
        except AppError as error:
            return _as_json({"error": one_line(f"{error.code}: {error.detail}", most=600)})
        text = _as_json(found)
        if len(text) > MAX_ANSWER:
            return _as_json(
                {"error": f"The answer has {len(text):,} characters, at most {MAX_ANSWER:,}; ask for less."}
            )
        return fence(text, self._nonce(symbol), tool) if TOOLS[tool].outside else text

    def check(self) -> None:
        """Raise StepInterrupted when the run must stop."""
        self._context.check()

    def _nonce(self, symbol: str) -> str:
        return self._nonces.setdefault(symbol, nonce_new())

    def _answer(self, symbol: str, tool: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        known = TOOLS.get(tool)
        if known is None:
            raise ToolRefused(f"There is no tool {one_line(tool, most=60)!r}; there are {', '.join(TOOLS)}.")
        if not isinstance(arguments, Mapping):
            raise ToolRefused("The arguments must be one JSON object.")
        # Models that mean "left out" often write null.
        given = {name: value for name, value in arguments.items() if value is not None}
        refusal = answer_refusal(known.parameters, given)
        if refusal:
            raise ToolRefused(f"{one_line(refusal, most=400)}. The arguments of {tool}: {_words(known.parameters)}.")
        return known.answer(self._desk, {"symbol": symbol, **given})


def _words(parameters: Mapping[str, Any]) -> str:
    return "; ".join(f"{name}: {schema['description']}" for name, schema in parameters["properties"].items())


def _as_json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(", ", ": "))
