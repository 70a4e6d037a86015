"""What `/ws/agent` hears: of the autonomous agent's runs, and of every conversation on the desk.

One stream for all of it, so that its numbers have no gap and a client that comes back misses nothing. Each message is
written in the transaction of the change that it tells of.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from tradingsite.common.live import publish_all

FEED = "agent"


def tell(type_: str, data: Mapping[str, Any]) -> None:
    """Tell one message: run_started, phase, message, tool_call, decision, order, proposal, run_finished.

    `data` is JSON-able and carries `execution_id`; what belongs to a run of the autonomous agent carries `run_id` too.

    Raises:
        RuntimeError: outside a transaction.
    """
    tell_all(type_, [data])


def tell_all(type_: str, messages: Sequence[Mapping[str, Any]]) -> None:
    """As `tell`, for several messages of one type in their order, written at once.

    Raises:
        RuntimeError: outside a transaction.
    """
    publish_all(FEED, type_, messages)
