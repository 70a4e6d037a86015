"""One conversation about one symbol: AutoGen's agents, taking the turns that the team's arrangement gives them."""

import asyncio
import contextlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.base import Response
from autogen_agentchat.messages import BaseChatMessage, TextMessage, ToolCallExecutionEvent, ToolCallRequestEvent
from autogen_core import CancellationToken, FunctionCall
from autogen_core.models import LLMMessage, SystemMessage, UserMessage

from agents.team.arrangements import Choice, Turn, moves
from agents.team.budgets import Purse
from agents.team.clients import Clients, Cost
from agents.team.decisions import Stated, decision_read
from agents.team.failures import BudgetSpent, TalkEnded
from agents.team.fencing import FENCE_RULE, fence, nonce_new
from agents.team.seats import Bench, Line, Seat, Table
from agents.team.words import Code, Member, Outcome, Provider, Role, Said, SaidType, Task, Team, ToolSpec

# As whom the desk speaks to a member, and as whom a model picks the next speaker.
DESK, SELECTOR = "user", "selector"
CLOSE_S = 0.5


class Talk:
    """Carries one conversation from the question to its outcome."""

    def __init__(
        self, team: Team, task: Task, *, tools: Mapping[str, ToolSpec], clients: Clients, cost: Cost, line: Line
    ) -> None:
        self._team = team
        self._task = task
        self._tools = tools
        self._clients = clients
        self._table = Table(task.symbol, line, Purse(team.budget), cost)
        self._token = CancellationToken()
        self._chairs: dict[tuple[str, Role], _Chair] = {}
        # (from which chair, what) in the order of speaking.
        self._said: list[tuple[_Chair, str]] = []
        # Marks what others said as data, so that nobody takes it for an instruction of the desk's.
        self._nonce = nonce_new()
        self._speaker = team.members[0].name
        self._spent: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> Outcome:
        """Let the team talk and return how it ended; whatever a model does wrong is an outcome too."""
        purse = self._table.purse
        try:
            async with asyncio.timeout(purse.seconds_left) as bound:
                stated = await self._talked()
        except TalkEnded as end:
            stated = Stated(code=end.code, detail=end.detail)
        except TimeoutError:
            if not bound.expired():
                raise
            spent = purse.out_of_time()
            stated = Stated(code=spent.code, detail=spent.detail)
        finally:
            self._token.cancel()
            await self._close()
        if stated.code:
            self._say(self._speaker, SaidType.ERROR, stated.detail, error_code=stated.code)
        self._table.left = True
        return Outcome(
            symbol=self._task.symbol,
            decision=stated.decision,
            code=stated.code,
            detail=stated.detail,
            warnings=stated.warnings,
            tokens=purse.tokens,
            cost=purse.cost,
            messages=purse.messages,
            seconds=purse.seconds,
        )

    async def _talked(self) -> Stated:
        line = moves(self._team)
        move = next(line)
        while True:
            answer = await (self._turn(move) if isinstance(move, Turn) else self._choice(move))
            try:
                move = line.send(answer)
            except StopIteration:
                break
        decider = self._chair(self._team.decider)
        last = next((text for chair, text in reversed(self._said) if chair is decider), None)
        if last is None:
            return Stated(code=Code.DECISION_MISSING, detail=f"{decider.name} has not spoken.")
        return decision_read(last, cut_off=decider.seat.cut_off)

    async def _turn(self, turn: Turn) -> str:
        member = turn.member
        self._speaker = member.name
        chair = self._chair(member)
        asked = [turn.text] if chair.heard else [self._task.text, turn.text]
        # Who takes a side sits elsewhere and is asked anew; whoever listens has heard the question.
        known = member.name in {other.name for other, _ in self._said}
        self._say(member.name, SaidType.REQUEST, turn.text if known else "\n\n".join(asked))
        text = await self._answer(chair, [*asked[:-1], *self._news(chair), asked[-1]])
        self._said.append((chair, text))
        chair.heard = len(self._said)
        return text

    def _news(self, chair: "_Chair") -> list[TextMessage]:
        """Return what was said since a chair last spoke, fenced: words of models are data to other models."""
        return [
            TextMessage(content=fence(text, self._nonce, other.name), source=other.name)
            for other, text in self._said[chair.heard :]
            if other is not chair
        ]

    async def _answer(self, chair: "_Chair", texts: Sequence[str | TextMessage]) -> str:
        messages = [TextMessage(content=text, source=DESK) if isinstance(text, str) else text for text in texts]
        answer = asyncio.ensure_future(chair.answer(messages, self._token))
        try:
            either: set[asyncio.Future[Any]] = {answer, self._spent}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if self._spent.done():
                self._spent.result()
            return answer.result()
        finally:
            answer.cancel()

    async def _choice(self, choice: Choice) -> str:
        """Return the name of who speaks next: the one that the decider's model names, else the next of the team."""
        if self._team.decider.model.provider is Provider.OFFLINE:
            # The desk's own rules judge figures; the order of the team is theirs.
            return choice.fallback.name
        names = ", ".join(f"{one.name} ({one.description or one.role})" for one in choice.members)
        system = (
            f"You lead a conversation. The speakers are: {names}. Answer with the name of who speaks next, no more."
        )
        so_far = [fence(text, self._nonce, chair.name) for chair, text in self._said] or ["Nothing was said yet."]
        seat = Seat(self._table, self._team.decider, self._chair(self._team.decider).seat.client, speaker=SELECTOR)
        self._speaker = SELECTOR
        self._say(SELECTOR, SaidType.REQUEST, f"Who speaks next: {', '.join(one.name for one in choice.members)}?")
        question: list[LLMMessage] = [
            SystemMessage(content=system),
            UserMessage(content="\n\n".join([self._task.text, *so_far]), source=DESK),
        ]
        result = await seat.create(question, cancellation_token=self._token)
        words = set(re.findall(r"\w+", str(result.content)))
        named = [one.name for one in choice.members if one.name in words]
        return named[0] if len(named) == 1 else choice.fallback.name

    def _chair(self, member: Member) -> "_Chair":
        """Return where a member sits; one that takes a side in a debate sits there anew, with that role."""
        key = member.name, member.role
        if key not in self._chairs:
            self._chairs[key] = self._seated(member)
        return self._chairs[key]

    def _seated(self, member: Member) -> "_Chair":
        seat = Seat(self._table, member, self._clients(member, self._task))
        bench = Bench(self._table, member, seat, self._tools, self._end)
        has_tools = bool(member.tools) and seat.model_info["function_calling"]
        agent = AssistantAgent(
            member.name,
            seat,
            workbench=bench if has_tools else None,
            description=member.description or member.role,
            system_message=f"{member.system_prompt}\n\n{FENCE_RULE}",
            max_tool_iterations=member.max_iterations,
            reflect_on_tool_use=True,
        )
        return _Chair(member.name, agent, seat, bench)

    def _end(self, spent: BudgetSpent) -> None:
        if not self._spent.done():
            self._spent.set_exception(spent)

    def _say(self, who: str, type_: SaidType, content: str, *, error_code: str = "") -> None:
        self._table.say(Said(self._task.symbol, who, type_, content, error_code=error_code))

    async def _close(self) -> None:
        for chair in self._chairs.values():
            # What was opened to a model is given back; one that does not let go is left to the end of the process.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_S):
                    await chair.seat.close()
        if self._spent.done():
            self._spent.exception()


class _Chair:
    """A member at the table: its agent, its model and its tools."""

    def __init__(self, name: str, agent: AssistantAgent, seat: Seat, bench: Bench) -> None:
        self.name = name
        self._agent = agent
        self.seat = seat
        self._bench = bench
        # How much of the conversation it knows; nothing until it has spoken.
        self.heard = 0

    async def answer(self, messages: Sequence[BaseChatMessage], token: CancellationToken) -> str:
        """Return what the agent says after its rounds of tool calls."""
        calls: dict[str, FunctionCall] = {}
        async for event in self._agent.on_messages_stream(messages, token):
            if isinstance(event, ToolCallRequestEvent):
                calls = {call.id: call for call in event.content}
            elif isinstance(event, ToolCallExecutionEvent):
                for result in event.content:
                    if result.is_error and result.call_id in calls:
                        self._bench.misses(calls[result.call_id], result.content)
            elif isinstance(event, Response) and isinstance(event.chat_message, TextMessage):
                return event.chat_message.content
        raise AssertionError("an agent's stream ends with its response")
