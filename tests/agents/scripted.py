"""Members that say what a test tells them, and a desk that answers their tools."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from autogen_core import FunctionCall
from autogen_core.models import ChatCompletionClient, CreateResult, RequestUsage

from agents.team.clients.replay import ReplayClient
from agents.team.words import Arrangement, Budget, Member, ModelRef, Outcome, Provider, Role, Said, Task, Team, ToolSpec
from tradingsite.common.contracts.steps import StepInterrupted

# What a scripted member answers: a text, calls of tools as (name, arguments), or a function of how often it was asked.
Answer = str | list[tuple[str, Any]] | Exception
Script = Sequence[Answer] | Callable[[int], Answer]

BUY = json.dumps({"action": "BUY", "confidence": 0.7, "reason": "It rises.", "stop": 95.5, "target": "110"})
HOLD = json.dumps({"action": "HOLD", "confidence": 0.5, "reason": "Nothing moves."})
TASK = Task(symbol="IBM", text="Decide about IBM.", price=Decimal(100), bar_time="2026-01-02T14:30:00Z")


class ScriptedClient(ReplayClient):
    """Answers by its script; hangs where that says `hang`."""

    def __init__(self, script: Script, *, tokens: tuple[int, int] = (10, 5), finish: str = "stop") -> None:
        super().__init__([])
        self._script = script
        self._tokens = tokens
        self._finish: Any = finish
        self.asked: list[list[Any]] = []

    async def create(self, messages: Sequence[Any], *, tools: Sequence[Any] = (), **more: Any) -> CreateResult:
        self.asked.append(list(messages))
        number = len(self.asked) - 1
        answer = self._script(number) if callable(self._script) else self._script[number]
        if isinstance(answer, Exception):
            raise answer
        if answer == "hang":
            await asyncio.Event().wait()
        content: Any = answer
        if isinstance(answer, list):
            content = [
                FunctionCall(
                    f"{number}-{place}", arguments if isinstance(arguments, str) else json.dumps(arguments), name
                )
                for place, (name, arguments) in enumerate(answer)
            ]
        finish = "function_calls" if isinstance(answer, list) else self._finish
        return CreateResult(finish_reason=finish, content=content, usage=RequestUsage(*self._tokens), cached=False)

    async def create_stream(self, messages: Sequence[Any], **more: Any) -> AsyncGenerator[str | CreateResult, None]:
        result = await self.create(messages, **more)
        for word in str(result.content).split(" "):
            yield word
        yield result

    @property
    def model_info(self) -> Any:
        return {**super().model_info, "function_calling": True}


class ScriptedDesk:
    """A host whose tool `bars` answers at once; `check` raises what a test puts into `stop`."""

    def __init__(self) -> None:
        parameters = {"type": "object", "properties": {"count": {"type": "integer"}}, "required": []}
        self.tools = {"bars": ToolSpec("bars", "The newest bars.", parameters)}
        self.calls: list[tuple[str, str, str, Mapping[str, Any]]] = []
        self.stop: BaseException | None = None
        # After how many looks there is a reason to stop.
        self.stop_after: int | None = None
        self.checks = 0

    def call(self, *, symbol: str, agent_name: str, tool: str, arguments: Mapping[str, Any]) -> str:
        self.calls.append((symbol, agent_name, tool, arguments))
        return json.dumps({"close": "100", "of": symbol})

    def check(self) -> None:
        self.checks += 1
        if self.stop_after is not None and self.checks > self.stop_after:
            raise StepInterrupted
        if self.stop is not None:
            raise self.stop


class Cast:
    """A team of scripted members, and the clients they were given."""

    def __init__(self, scripts: Mapping[str, Script], **options: Any) -> None:
        self._scripts = scripts
        self._options = options
        self.clients: dict[tuple[str, str], ScriptedClient] = {}

    def __call__(self, member: Member, task: Task) -> ChatCompletionClient:
        client = ScriptedClient(self._scripts[member.name], **self._options)
        self.clients[task.symbol, member.name] = client
        return client


def member(name: str, role: Role = Role.ANALYST, **fields: Any) -> Member:
    return Member(name=name, role=role, system_prompt=f"You are {name}.", **fields)


def team(*members: Member, arrangement: Arrangement = Arrangement.ROUND_ROBIN, **fields: Any) -> Team:
    return Team(members=members, arrangement=arrangement, **fields)


def talkers(**budget: Any) -> Team:
    """Return a team of two that would go on for long, within a budget."""
    return team(member("Ann"), member("Dee", Role.DECISION), max_rounds=100, budget=Budget(**budget))


def split(items: Iterator[Said | Outcome]) -> tuple[list[Said], dict[str, Outcome]]:
    """Return what was said, and the outcomes by symbol."""
    said: list[Said] = []
    outcomes: dict[str, Outcome] = {}
    for item in items:
        if isinstance(item, Outcome):
            outcomes[item.symbol] = item
        else:
            assert item.symbol not in outcomes, "said after the outcome"
            said.append(item)
    return said, outcomes


OPENAI = ModelRef(provider=Provider.OPENAI, model="some-model")
