"""A worker that places orders and is killed where it is told to: at the n-th of the points below that it comes by.

Reads one life per line from its standard input (`{"die_at": n, "ids": [...]}`), carries it in a forked process of its
own, and writes how that ended. The kill is a SIGKILL: nothing is unwound, no transaction is ended, no socket closed.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import django

STAGES = ("intent", "commit", "send", "answer", "fill")


class Life:
    """Counts the points that this process comes by, and ends at the chosen one."""

    def __init__(self, die_at: int, told: int) -> None:
        self._left, self._told = die_at, told

    def passes(self, stage: str) -> None:
        self._left -= 1
        if self._left == 0:
            os.write(self._told, stage.encode())
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, owner: Any, name: str, before: str, after: str) -> None:
        """Put a point on either side of a function."""
        inner: Callable[..., Any] = getattr(owner, name)

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            self.passes(before)
            answer = inner(*args, **kwargs)
            self.passes(after)
            return answer

        setattr(owner, name, wrapped)


def mine(life: Life) -> None:
    """Lay the points along the way of an order."""
    import requests

    from portfolio import fills, intents, orders
    from safety import killswitch

    life.around(intents, "order_check", "intent", "intent")  # inside the transaction of the intent
    life.around(intents, "order_announce", "intent", "intent")
    life.around(orders, "intent_commit", "intent", "commit")
    life.around(orders, "order_move", "commit", "commit")  # inside the transaction of the claim
    life.around(killswitch, "assert_open", "send", "send")  # claimed, and nothing sent yet
    life.around(requests.Session, "request", "send", "answer")  # taken by the broker, and its answer not read
    life.around(orders, "fills_apply", "answer", "fill")
    life.around(fills, "trip_follow", "fill", "fill")  # half of the fills written
    life.around(fills, "equity_record", "fill", "fill")


def place(ids: list[str]) -> None:
    from portfolio import selectors, services
    from tradingsite.common.actor import Actor
    from tradingsite.common.clock import utcnow

    services.orders_settle(wall=utcnow())
    for number, client_order_id in enumerate(ids):
        services.order_place(
            actor=Actor.system("proof"),
            account=selectors.account_default(),
            symbol="ACME",
            side="sell" if client_order_id.endswith("sell") else "buy",
            quantity=Decimal(client_order_id.split("-")[1]),
            client_order_id=client_order_id,
        )
        if number % 2:
            services.orders_settle(wall=utcnow())


def carry(die_at: int, ids: list[str]) -> dict[str, Any]:
    """Fork, let the child place, and say how it ended."""
    heard, told = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(heard)
        status = 1
        try:
            mine(Life(die_at, told))
            place(ids)
            status = 0
        finally:
            sys.stderr.flush()
            os._exit(status)
    os.close(told)
    _, status = os.waitpid(child, 0)
    stage = os.read(heard, 100).decode()
    os.close(heard)
    return {"signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0, "status": status, "stage": stage}


def main() -> None:
    django.setup()
    # Loaded once, and inherited: a life begins where a worker takes work up.
    import exchange_calendars  # noqa: F401

    import portfolio.brokers.alpaca_http  # noqa: F401

    for line in sys.stdin:
        ended = carry(**json.loads(line))
        sys.stdout.write(json.dumps(ended) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
