"""The processes of a drill: each sends orders as fast as they are taken, until it is told to stop.

A process of the desk's own code, started by the drill and told by lines on its standard input: `go`, `stop`, `end`. It
answers by JSON lines: `ready`, `flowing` after its first orders, `denied` with the moment of the first one that the
kill switch denied, `stopped` with what has become of all.
"""

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal
from queue import Empty, Queue
from types import TracebackType
from typing import IO, Any, Self
from uuid import UUID

from django.conf import settings

from portfolio import orders
from portfolio.errors import DrillImpossible
from portfolio.models import Account, Order
from safety.errors import KillSwitchActive
from tradingsite.common.actor import Actor

WAIT_S = 60.0
END_S = 10.0
FLOWING_AFTER = 3
PAUSE_S = 0.01
LIMIT = Decimal("1.01")


class Sender:
    """One process, as the drill sees it."""

    def __init__(self, account_id: UUID, command: Sequence[str]) -> None:
        self.account_id = account_id
        self.denied_at = 0.0
        self._process = subprocess.Popen(
            command, cwd=settings.BASE_DIR, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self._told: Queue[dict[str, Any]] = Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                self._told.put(json.loads(line))

    def tell(self, word: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()

    def wait_for(self, word: str) -> dict[str, Any]:
        """Return what the process says with `word`.

        Raises:
            DrillImpossible: when it has ended, is silent, or its orders are denied for another reason.
        """
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            try:
                said = self._told.get(timeout=0.2)
            except Empty:
                if self._process.poll() is not None:
                    raise DrillImpossible(
                        f"A process of the drill has ended with {self._process.returncode}."
                    ) from None
                continue
            if said["word"] == "refused":
                raise DrillImpossible(f"The gate lets the drill's orders not flow: {said['code']} {said['detail']}")
            if said["word"] == word:
                return said
        raise DrillImpossible(f"A process of the drill did not say {word!r} within {WAIT_S:.0f} s.")

    def end(self) -> None:
        """Let the process finish its order and go; one that does not is ended."""
        with contextlib.suppress(OSError):
            self.tell("end")
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


class Senders:
    """All processes of a drill; they end with the block."""

    def __init__(self, accounts: Sequence[UUID], *, symbol: str, strategy_id: UUID) -> None:
        manage = [sys.executable, str(settings.BASE_DIR / "manage.py"), "kill_switch", "send"]
        self._commands = {
            account: [*manage, "--account", str(account), "--symbol", symbol, "--scope", str(strategy_id)]
            for account in accounts
        }
        self._all: list[Sender] = []

    def __enter__(self) -> Self:
        try:
            self._all = [Sender(account, command) for account, command in self._commands.items()]
            for sender in self._all:
                sender.wait_for("ready")
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end()

    def __iter__(self) -> Iterator[Sender]:
        return iter(self._all)

    def _end(self) -> None:
        for sender in self._all:
            with contextlib.suppress(OSError):
                sender.tell("end")
        for sender in self._all:
            sender.end()

    def go(self) -> None:
        for sender in self._all:
            sender.tell("go")

    def wait_for_flow(self, seconds: float) -> None:
        for sender in self._all:
            sender.wait_for("flowing")
        time.sleep(seconds)

    def wait_for_denials(self) -> None:
        for sender in self._all:
            sender.denied_at = float(sender.wait_for("denied")["at"])

    def stop(self) -> None:
        for sender in self._all:
            sender.tell("stop")
        for sender in self._all:
            sender.wait_for("stopped")


# -------------------------------------------------------------------------------------------------- inside the process


def orders_send(*, account_id: UUID, symbol: str, strategy_id: UUID, told: IO[str], say: IO[str]) -> None:
    """Do in this process what the drill tells it, until it says `end` or is gone."""
    words: Queue[str] = Queue()

    def listen() -> None:
        for line in told:
            words.put(line.strip())
        words.put("end")

    threading.Thread(target=listen, daemon=True).start()
    account = Account.objects.get(pk=account_id)
    number = 0
    _say(say, "ready")
    while words.get() == "go":
        number = _flow(account, symbol, strategy_id, words, say, number)


def _flow(account: Account, symbol: str, strategy_id: UUID, words: "Queue[str]", say: IO[str], number: int) -> int:
    """Send orders until told otherwise, also after they are denied; return the number of the last one."""
    found: Counter[str] = Counter()
    while words.empty():
        number += 1
        order = order_send(account, symbol=symbol, strategy_id=strategy_id, number=number)
        found[order.code or order.status] += 1
        if order.code == KillSwitchActive.code and found[order.code] == 1:
            _say(say, "denied", at=time.time())
        elif order.code not in ("", KillSwitchActive.code):
            _say(say, "refused", code=order.code, detail=order.detail)
            break
        elif found[order.status] == FLOWING_AFTER:
            _say(say, "flowing")
        time.sleep(PAUSE_S)
    words.get()
    _say(say, "stopped", found=dict(found))
    return number


def order_send(account: Account, *, symbol: str, strategy_id: UUID, number: int) -> Order:
    """Send one order that reduces what the account holds and rests, at a price that never comes."""
    return orders.order_place(
        actor=Actor.system("kill switch drill"),
        account=account,
        symbol=symbol,
        side="sell",
        # No two alike: the second of two equal orders would be taken for a duplicate.
        quantity=1 + number * Decimal("0.000001"),
        order_type="limit",
        limit_price=LIMIT,
        client_order_id=f"drill-{account.pk.hex}-{number}",
        strategy_id=strategy_id,
    )


def _say(say: IO[str], word: str, **said: Any) -> None:
    say.write(json.dumps({"word": word, **said}) + "\n")
    say.flush()
