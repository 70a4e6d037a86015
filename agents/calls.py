"""Calling an agent at an address: what it is told, and waiting for it without growing deaf to the run's own news."""

import json
import threading
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from agents.errors import AgentRequestTooLarge, AgentUnusable
from agents.keys import key_of
from agents.models import Agent
from tradingsite.common import outbound
from tradingsite.common.clock import rfc3339
from tradingsite.common.contracts.steps import StepContext

MAX_REQUEST = 1024 * 1024
MAX_ANSWER = 256 * 1024
# How often the waiting looks whether the run must stop.
SLICE_S = 0.1


def idempotency_key(context: StepContext) -> str:
    """Return the same key for every attempt at this step of this run, whichever worker makes it."""
    return f"{context.execution_id}:{context.step_name}"


def request_body(context: StepContext, payload: Mapping[str, Any]) -> bytes:
    """Return what the agent is told: the same bytes at every attempt, as its key promises.

    Raises:
        AgentRequestTooLarge
    """
    told = {
        "run_id": str(context.execution_id),
        "step": context.step_name,
        "idempotency_key": idempotency_key(context),
        "symbols": list(context.symbols),
        "params": dict(context.params),
        "outputs": {name: _as_kept(output) for name, output in context.outputs.items()},
        "as_of": rfc3339(context.as_of),
        "payload": dict(payload),
    }
    body = json.dumps(told, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")).encode()
    if len(body) > MAX_REQUEST:
        raise AgentRequestTooLarge(
            f"The outputs of the steps before this one make {len(body):,} bytes; at most {MAX_REQUEST:,} are sent."
        )
    return body


def _as_kept(value: Any) -> Any:
    """Return a JSON value with its numbers as PostgreSQL gives them back.

    The worker that ran the steps before has their outputs in hand, one that took the run over reads them: 1e16 comes
    back as a whole number, and no zero is negative.
    """
    if isinstance(value, Mapping):
        return {name: _as_kept(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_as_kept(inner) for inner in value]
    if isinstance(value, float) and "e+" in repr(value):
        return int(Decimal(repr(value)))
    return value if value != 0 or not isinstance(value, float) else 0.0


def key_headers(agent: Agent, url: str) -> dict[str, str]:
    """Return the header that carries the agent's key, if it has one.

    Raises:
        AgentUnusable: when the key may not be told to this host, or is not there.
    """
    if not agent.api_key_env:
        return {}
    try:
        return {"Authorization": f"Bearer {key_of(agent.api_key_env, url)}"}
    except LookupError as error:
        raise AgentUnusable(str(error)) from None


def ask(agent: Agent, body: bytes, *, key: str, timeout_s: float, check: Callable[[], None]) -> outbound.Reply:
    """Send `body` to the agent's address and return the answer, whatever its status.

    Raises:
        AgentUnusable: its key is not to be had.
        AddressRefused, OutboundFailed: as `outbound.call`.
        StepInterrupted: the run must stop; the call goes on by itself until its time is up, and nobody listens.
    """
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json",
        "Idempotency-Key": key,
        **key_headers(agent, agent.endpoint),
    }
    pending = _Pending(agent.endpoint, body, headers, timeout_s)
    # Right before what cannot be taken back.
    check()
    pending.start()
    while pending.is_alive():
        pending.join(SLICE_S)
        check()
    return pending.result()


class _Pending(threading.Thread):
    """One call under way. A daemon, so that a call that nobody waits for any more holds no process back."""

    def __init__(self, url: str, body: bytes, headers: Mapping[str, str], timeout_s: float) -> None:
        super().__init__(name="agent call", daemon=True)
        self._call = (url, body, headers, timeout_s)
        self._reply: outbound.Reply | None = None
        self._error: BaseException | None = None

    def run(self) -> None:
        url, body, headers, timeout_s = self._call
        try:
            self._reply = outbound.call(
                "POST", url, content=body, headers=headers, timeout_s=timeout_s, max_bytes=MAX_ANSWER
            )
        except BaseException as error:  # noqa: BLE001  # raised again by the thread that waits
            self._error = error

    def result(self) -> outbound.Reply:
        if self._error is not None:
            raise self._error
        assert self._reply is not None  # the thread has ended, with one or the other
        return self._reply
