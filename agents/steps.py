"""The step by which a workflow asks a registered agent; and, by import, the phases of the autonomous one."""

import contextlib
import time
from collections.abc import Callable
from typing import Any, ClassVar

from django.db import Error, transaction
from rest_framework import serializers

from agents import (
    calls,
    team_step,  # noqa: F401  # its step type registers on import
)
from agents.answers import answer_read, decisions_read, parts_of, tokens_of
from agents.autonomous import steps as phases  # noqa: F401  # registers on import
from agents.errors import AgentAddressRefused, AgentAnswerInvalid, AgentRefused, AgentUnavailable, stop_code
from agents.models import Agent
from agents.schemas import SchemaRefused, answer_refusal, schema_check
from agents.selectors import agent_callable
from agents.services import answer_record, said_record
from agents.team.words import Said, SaidType
from tradingsite.common import outbound
from tradingsite.common.contracts.steps import (
    StepConfig,
    StepContext,
    StepError,
    StepInterrupted,
    StepResult,
    StepType,
    step_types,
)

# "Later", in the words of HTTP: a timeout, the first request of this key still under way, too early, too many.
_LATER = frozenset({408, 409, 425, 429})


class HttpAgentConfig(StepConfig):
    """Whom to ask, what to tell it beside the run, and what its answer must look like."""

    agent = serializers.CharField(max_length=60, help_text="Name or id of a registered agent of kind http.")
    payload = serializers.DictField(default=dict, help_text="Told to the agent beside what the run knows.")
    timeout_s = serializers.FloatField(
        min_value=0.1, max_value=600, default=30.0, help_text="For the whole answer; the step's own time ends it too."
    )
    answer_schema = serializers.DictField(
        required=False,
        allow_null=True,
        help_text="JSON Schema (2020-12) of the answer; without one any object is taken.",
    )

    def validate_answer_schema(self, value: dict[str, Any] | None) -> dict[str, Any] | None:
        if value is not None:
            try:
                schema_check(value)
            except SchemaRefused as refusal:
                raise serializers.ValidationError(str(refusal), code="schema") from None
        return value


@step_types.register
class HttpAgent(StepType):
    """Asks an agent and keeps its answer; decisions in it are judged as if a signal step had made them.

    Every attempt carries the same Idempotency-Key, so that a receiver which keeps to it acts once however often a
    worker dies here.
    """

    slug: ClassVar[str] = "http_agent"
    title: ClassVar[str] = "Agent"
    help: ClassVar[str] = "Asks a registered agent over HTTP and passes its answer and decisions on."
    config_class: ClassVar[type[StepConfig]] = HttpAgentConfig
    # Whether it decides, only its answer says.
    puts_out: ClassVar[frozenset[str]] = frozenset({"decisions"})

    def run(self, context: StepContext) -> StepResult:
        config = context.config
        agent = agent_callable(config["agent"])
        body = calls.request_body(context, config.get("payload", {}))
        key = calls.idempotency_key(context)
        note = _Notes(context, agent)
        note(SaidType.REQUEST, body.decode())
        reply = note.failures(
            lambda: calls.ask(agent, body, key=key, timeout_s=config.get("timeout_s", 30.0), check=context.check)
        )
        said = f"{agent.name} answered {reply.status} after {reply.elapsed_s:.2f} s"
        context.log(said)
        try:
            _status_check(reply.status)
            answer = answer_read(reply.body)
            schema = config.get("answer_schema")
            if schema is not None and (refusal := answer_refusal(schema, answer)):
                raise AgentAnswerInvalid(f"The answer is not as the schema has it: {refusal}.")
            rest, raw = parts_of(answer)
            series = context.merged("series")
            decisions = None if raw is None else decisions_read(raw, series)
        except StepError as error:
            note.error(error, reply)
            raise
        note.answer(reply, tokens_of(answer), decisions or [], series)
        output: dict[str, Any] = {"agent": agent.name, "answer": rest}
        if decisions is None:
            return StepResult(output, said)
        return StepResult({**output, "decisions": decisions}, f"{said} with {len(decisions)} decisions")


def _status_check(status: int) -> None:
    if 200 <= status < 300:
        return
    if status >= 500 or status in _LATER:
        raise AgentUnavailable(f"The agent answered {status}.")
    if 300 <= status < 400:
        raise AgentRefused(f"The agent answered {status}; the desk follows no redirect. Register the new address.")
    raise AgentRefused(f"The agent answered {status}.")


class _Notes:
    """Writes the messages of one attempt down."""

    def __init__(self, context: StepContext, agent: Agent) -> None:
        self._context = context
        self._agent = agent
        self._begun = time.monotonic()

    def __call__(self, type_: SaidType, content: str, **more: Any) -> None:
        self._say(Said(symbol="", agent_name=self._agent.name, type=type_, content=content, **more))

    def _say(self, said: Said, **more: Any) -> None:
        said_record(**self._place, said=said, agent=self._agent, **more)

    @property
    def _place(self) -> dict[str, Any]:
        return {"execution_id": self._context.execution_id, "step_index": self._context.step_index}

    def answer(
        self, reply: outbound.Reply, tokens: int | None, decisions: list[dict[str, Any]], series: dict[str, Any]
    ) -> None:
        """Write down a sound answer, and what it advises."""
        said = Said(
            symbol="",
            agent_name=self._agent.name,
            type=SaidType.RESPONSE,
            content=reply.body.decode(),
            latency_ms=reply.elapsed_s * 1000,
        )
        with transaction.atomic():
            self._say(said, tokens_used=tokens, decisions=len(decisions))
            if decisions:
                answer_record(**self._place, agent=self._agent, decisions=decisions, series=series)

    def error(self, error: StepError, reply: outbound.Reply | None = None) -> None:
        """Write down how the attempt failed, with what the agent said."""
        took = reply.elapsed_s if reply is not None else time.monotonic() - self._begun
        said = reply.body.decode(errors="replace") if reply is not None else ""
        content = f"{error.detail}\n\n{said}" if said else error.detail
        self(SaidType.ERROR, content, latency_ms=took * 1000, error_code=error.code)

    def failures(self, call: Callable[[], outbound.Reply]) -> outbound.Reply:
        """Return what `call` returns; what goes wrong is written down and raised in the words of a step."""
        try:
            return call()
        except StepInterrupted as stop:
            # Told for the record; the reason to stop must not be lost to a database that is away.
            with contextlib.suppress(Error):
                self(SaidType.ERROR, "The run stopped waiting for the answer.", error_code=stop_code(stop))
            raise
        except outbound.AnswerTooLarge as error:
            failure = _too_large(error)
            self.error(failure, error.reply)
            raise failure from error
        except outbound.AddressRefused as error:
            failure = AgentAddressRefused(error.detail)
        except outbound.OutboundFailed as error:
            failure = AgentUnavailable(error.detail)
        except StepError as error:
            failure = error
        self.error(failure)
        raise failure


def _too_large(error: outbound.AnswerTooLarge) -> StepError:
    try:
        _status_check(error.reply.status)
    except StepError as failure:
        return failure
    return AgentAnswerInvalid(error.detail)
