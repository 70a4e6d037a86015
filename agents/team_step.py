"""The step by which a team of agents decides, symbol by symbol."""

import contextlib
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar
from uuid import UUID

from django.db import Error
from rest_framework import serializers

from agents.answers import MAX_REASON, decisions_read
from agents.errors import AgentAnswerInvalid, stop_code
from agents.keys import key_of
from agents.services import outcome_record, said_record
from agents.team import engine
from agents.team.clients import DeskClients
from agents.team.cutoff import remarked
from agents.team.prices import cost_of, price_known
from agents.team.words import Code, Outcome, Said, SaidType, Task
from agents.team_building import Cast, answers_of, cast_of, tasks_of
from agents.tools.host import DeskHost
from agents.tools.registry import TOOLS
from tradingsite.common.contracts.steps import (
    StepConfig,
    StepContext,
    StepInterrupted,
    StepResult,
    StepType,
    step_types,
)
from tradingsite.common.decimals import decimal_string
from workflows.agent_section import AgentsConfig, provider_of


class TeamConfig(AgentsConfig):
    """The team, with tools that there are, and within a budget that can be told."""

    def validate_agents(self, value: list[dict[str, Any]]) -> list[dict[str, Any]]:
        errors = [_unknown_tools(agent.get("tools", ())) for agent in value]
        if any(errors):
            raise serializers.ValidationError([{"tools": error} if error else {} for error in errors])
        return super().validate_agents(value)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["budget"].get("cost") is not None:
            for agent in attrs["agents"]:
                model = agent["llm_config"]
                named = model.get("model", "")
                # What a registered agent names may change: then an answer without a price ends the talk.
                if agent["enabled"] and provider_of(model) == "openai" and named and not price_known(named):
                    detail = f"The price of {named} is not known here, so no cost bounds it. Bound the tokens instead."
                    raise serializers.ValidationError({"budget": {"cost": detail}})
        return attrs


def _unknown_tools(names: Any) -> str:
    unknown = [name for name in names if name not in TOOLS]
    return f"There is no tool {unknown[0]!r}. Known: {', '.join(TOOLS)}." if unknown else ""


@step_types.register
class Agents(StepType):
    """Lets a team talk about each symbol and passes its decisions on. Whatever goes wrong in a talk is a HOLD.

    An attempt that was cut off by the end of its worker is made again from the beginning; the conversation shows both.
    """

    slug: ClassVar[str] = "agents"
    title: ClassVar[str] = "Team of agents"
    help: ClassVar[str] = "Lets a team of agents talk about each symbol until it has decided."
    config_class: ClassVar[type[StepConfig]] = TeamConfig
    needs: ClassVar[frozenset[str]] = frozenset({"series"})
    puts_out: ClassVar[frozenset[str]] = frozenset({"decisions"})

    def run(self, context: StepContext) -> StepResult:
        cast = cast_of(context.config)
        series = context.merged("series")
        tasks = tasks_of(context)
        by_symbol = {task.symbol: task for task in tasks}
        decisions: dict[str, dict[str, Any]] = {}
        outcomes: dict[str, dict[str, Any]] = {}
        try:
            # Closed before anything else is done, whatever is raised: other teams wait for this one's turn to end.
            with contextlib.closing(self._talk(context, cast, tasks)) as items:
                for item in items:
                    if isinstance(item, Said):
                        _note(context, cast, item)
                        continue
                    outcome = remarked(item, cast.team, by_symbol[item.symbol], most=MAX_REASON)
                    outcome, decision = judged(outcome, series)
                    decisions[item.symbol], outcomes[item.symbol] = decision, _told(outcome)
                    outcome_record(
                        execution_id=context.execution_id,
                        step_index=context.step_index,
                        outcome=outcome,
                        decision=decision,
                        team=cast.team,
                        series=series[item.symbol],
                        run_id=_run_id(context),
                    )
                    context.log(f"{item.symbol}: {decision['action']}{f' ({outcome.code})' if outcome.code else ''}")
                    context.progress(len(decisions) / len(tasks))
        except StepInterrupted as stop:
            # Told for the record; the reason to stop must not be lost to a database that is away.
            with contextlib.suppress(Error):
                for task in tasks:
                    if task.symbol not in decisions:
                        _note(context, cast, _stopped(task.symbol, cast, stop_code(stop)))
            raise
        ordered = [decisions[task.symbol] for task in tasks]
        words = ", ".join(f"{decision['action']} {decision['symbol']}" for decision in ordered)
        return StepResult(
            {"team": [member.name for member in cast.team.members], "outcomes": outcomes, "decisions": ordered},
            f"The team decided {words}"[:500],
        )

    def _talk(self, context: StepContext, cast: Cast, tasks: Sequence[Task]) -> Generator[Said | Outcome, None, None]:
        return engine.run(
            cast.team,
            tasks,
            host=DeskHost(context),
            clients=DeskClients(keys=key_of, answers=answers_of(cast.replayed), unusable=cast.unusable),
            concurrency=context.config["concurrency"],
            cost=cost_of,
        )


def _note(context: StepContext, cast: Cast, said: Said) -> None:
    said_record(
        execution_id=context.execution_id,
        step_index=context.step_index,
        said=said,
        agent=cast.agents.get(said.agent_name),
        run_id=_run_id(context),
    )


def _run_id(context: StepContext) -> UUID | None:
    """Return the autonomous agent's run that the step is carried out for, as that puts it out."""
    found = context.latest("agent_run_id")
    return None if found is None else UUID(found)


def _stopped(symbol: str, cast: Cast, code: str) -> Said:
    text = "The run stopped the conversation."
    return Said(symbol, cast.team.decider.name, SaidType.ERROR, text, error_code=code)


def judged(outcome: Outcome, series: Mapping[str, Mapping[str, Any]]) -> tuple[Outcome, dict[str, Any]]:
    """Return an outcome and the decision as a signal step would put it out; one that is none is a HOLD with its code."""
    if outcome.decision is not None:
        try:
            return outcome, decisions_read([{"symbol": outcome.symbol, **outcome.decision}], series)[0]
        except AgentAnswerInvalid as error:
            detail = error.detail.removeprefix("decisions/0/")
            outcome = replace(outcome, decision=None, code=Code.DECISION_INVALID, detail=detail)
    hold = {"symbol": outcome.symbol, "action": "HOLD", "confidence": 0.0}
    reason = f"{outcome.code}: {outcome.detail}"[:2000]
    return outcome, decisions_read([{**hold, "reason": reason}], series)[0]


def _told(outcome: Outcome) -> dict[str, Any]:
    return {
        "code": outcome.code,
        "detail": outcome.detail,
        "warnings": list(outcome.warnings),
        "tokens": outcome.tokens,
        "cost": None if outcome.cost is None else decimal_string(outcome.cost),
        "messages": outcome.messages,
        "seconds": round(outcome.seconds, 3),
    }
