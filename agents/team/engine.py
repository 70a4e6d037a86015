"""Letting a team talk, from a thread that may block: the only door to AutoGen.

The conversations live in an event loop in a thread of its own, which knows no database. All that they say, and every
call of a tool, comes to the thread that called `run` as plain data through a queue, and the answers of tools go back:
so the loop could live in another process. AutoGen is loaded there, with the first team that talks.
"""

import asyncio
import contextlib
import itertools
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from agents.team.clients import Clients, Cost
from agents.team.words import Host, Member, Outcome, Provider, Said, SaidType, Task, Team, ToolSpec

logger = logging.getLogger(__name__)

# How often the waiting asks whether the run must stop.
SLICE_S = 0.05
# How long the conversations may take to end when they are told to.
END_S = 1.0
# Conversations at once in this process, over all runs: each keeps its history in memory and takes its share of a core.
TALKING = 16
_places = threading.BoundedSemaphore(TALKING)
# Whose messages are written and whose tools are called right now: one team's at a time. All of that is Python's own
# work, which takes no less time in parallel, and each thread more that is at it makes the pages of the site wait longer.
_work = threading.Lock()


def run(
    team: Team, tasks: Sequence[Task], *, host: Host, clients: Clients, concurrency: int = 4, cost: Cost | None = None
) -> Generator[Said | Outcome, None, None]:
    """Let the team talk about each task and yield what is said as it is said; the last of each symbol is its outcome.

    Args:
        clients: makes the model of a member for a task; called in the loop's thread.
        concurrency: how many symbols are talked about at once. What is said of one comes in its order.
        cost: what an answer cost in US dollars; None where the price is not known.

    Close it when you stop before its end: another team may wait for this one.

    Raises:
        StepInterrupted: by `host.check`, asked at least ten times a second; the conversations are ended before.
    """
    loop = _Loop(team, dict(host.tools), clients, cost or _cost)
    waiting = deque(tasks)
    talking = 0
    try:
        while waiting or talking:
            host.check()
            while waiting and talking < concurrency and _places.acquire(blocking=False):
                talking += 1
                loop.begin(waiting.popleft())
            item = loop.next(SLICE_S)
            if item is None:
                continue
            if isinstance(item, _Crash):
                raise item.error
            if isinstance(item, Outcome):
                talking -= 1
                _places.release()
            with _working(host):
                if isinstance(item, _Call):
                    yield item.said
                    yield loop.answered(item, host)
                else:
                    yield item
    finally:
        loop.end()
        for _ in range(talking):
            _places.release()


@contextlib.contextmanager
def _working(host: Host) -> Iterator[None]:
    """Wait for this team's turn to work, not past a reason to stop."""
    while not _work.acquire(timeout=SLICE_S):
        host.check()
    try:
        yield
    finally:
        _work.release()


@dataclass(frozen=True)
class _Call:
    """A tool is called."""

    number: int
    said: Said
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class _Crash:
    """A fault of the desk's own; no outcome."""

    error: BaseException


_Item = Said | Outcome | _Call | _Crash


def _cost(member: Member, prompt: int | None, completion: int | None) -> Decimal | None:
    return None if member.model.provider is Provider.OPENAI else Decimal(0)


class _Loop:
    """The event loop of one team's conversations, and the line between it and the thread that listens."""

    def __init__(self, team: Team, tools: Mapping[str, ToolSpec], clients: Clients, cost: Cost) -> None:
        self._team = team
        self._tools = tools
        self._clients = clients
        self._cost = cost
        self._items: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        self._numbers = itertools.count()
        self._asked: dict[int, asyncio.Future[str]] = {}
        self._talks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="team", daemon=True)
        self._thread.start()

    # In the thread that listens.

    def begin(self, task: Task) -> None:
        """Begin a conversation."""
        self._loop.call_soon_threadsafe(self._begin, task)

    def next(self, timeout_s: float) -> _Item | None:
        """Return the next item; None when there is none in time."""
        try:
            return self._items.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def answered(self, call: _Call, host: Host) -> Said:
        """Have the host carry out a call, send the answer back and return it as a message."""
        said = call.said
        began = time.monotonic()
        text = host.call(symbol=said.symbol, agent_name=said.agent_name, tool=said.tool, arguments=call.arguments)
        result = Said(
            symbol=said.symbol,
            agent_name=said.agent_name,
            type=SaidType.TOOL_RESULT,
            content=text,
            latency_ms=(time.monotonic() - began) * 1000,
            tool=said.tool,
            call_id=said.call_id,
        )
        self._loop.call_soon_threadsafe(self._answer, call.number, text)
        return result

    def end(self) -> None:
        """End what still talks, and the thread; one that blocks is left behind, and nobody listens to it."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: it crashed
            self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(END_S)
        if self._thread.is_alive():
            logger.warning("a model holds the thread of its team and is left behind")

    # In the loop's thread.

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            # Here, for it takes a second: no process loads AutoGen before a team talks in it.
            import agents.team.talk  # noqa: F401

            self._loop.run_forever()
            self._loop.run_until_complete(self._cancelled())
        except Exception as error:  # noqa: BLE001  # raised again by the thread that listens
            self._items.put(_Crash(error))
        finally:
            self._loop.close()

    async def _cancelled(self) -> None:
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        if rest:
            await asyncio.wait(rest, timeout=END_S / 2)

    def _begin(self, task: Task) -> None:
        talk = self._loop.create_task(self._talk(task))
        self._talks.add(talk)
        talk.add_done_callback(self._talks.discard)

    async def _talk(self, task: Task) -> None:
        from agents.team.talk import Talk

        try:
            talk = Talk(self._team, task, tools=self._tools, clients=self._clients, cost=self._cost, line=self)
            self._items.put(await talk.run())
        except Exception as error:  # noqa: BLE001  # raised again by the thread that listens
            self._items.put(_Crash(error))

    def say(self, said: Said) -> None:
        """Tell one message."""
        self._items.put(said)

    async def ask(self, said: Said, arguments: Mapping[str, Any]) -> str:
        """Tell the call of a tool and return the answer to it."""
        number = next(self._numbers)
        answer = self._asked[number] = self._loop.create_future()
        self._items.put(_Call(number, said, dict(arguments)))
        try:
            return await answer
        finally:
            del self._asked[number]

    def _answer(self, number: int, text: str) -> None:
        answer = self._asked.get(number)
        if answer is not None and not answer.done():
            answer.set_result(text)
