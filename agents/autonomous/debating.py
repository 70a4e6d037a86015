"""The team's part of the analysis: the very step by which a workflow asks a team, carried out beside the run's own."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from agents.autonomous.deciding import Opinion
from agents.autonomous.models import AgentRun
from tradingsite.common.contracts.steps import StepContext, StepInterrupted, step_types
from tradingsite.common.decimals import decimal_string
from tradingsite.common.errors import AppError
from workflows.choices import WorkflowType
from workflows.definitions import AGENTS, config_typed, resolve
from workflows.templates import templates

SOURCE = "team"
# One conversation must have a moment, however many there are.
LEAST_S, MOST_S = 5.0, 3600.0


@dataclass(frozen=True)
class Debate:
    """What a team said, and what that took. `cost` is in US dollars, None where no price is known."""

    opinions: Sequence[Opinion]
    tokens: int = 0
    cost: Decimal | None = None

    @property
    def cost_text(self) -> str | None:
        return None if self.cost is None else decimal_string(self.cost)


def debate(
    context: StepContext, run: AgentRun, series: Mapping[str, Mapping[str, Any]], opinions: Sequence[Opinion]
) -> Debate:
    """Let the team of the setting talk about each symbol that has prices, knowing what the strategies say.

    A team that comes to no decision about a symbol, for whatever reason, has a code there and so keeps the agent still.
    """
    if not run.config["team_enabled"] or not series:
        return Debate(())
    try:
        config = config_typed(AGENTS, team_config(run.config, len(series)))
        inner = replace(
            context,
            symbols=tuple(series),
            config=config,
            outputs={
                "prices": {"series": dict(series)},
                "strategies": {"strategy_opinions": opinion_lines(opinions), "agent_run_id": str(run.pk)},
            },
        )
        output = step_types.get(AGENTS)().run(inner).output
    except StepInterrupted:
        raise
    except AppError as error:
        reason = f"{error.code}: {error.detail}"
        return Debate([Opinion(SOURCE, symbol, "HOLD", 0.0, reason, code=error.code) for symbol in sorted(series)])
    outcomes: Mapping[str, Mapping[str, Any]] = output.get("outcomes", {})
    costs = [Decimal(each["cost"]) for each in outcomes.values() if each.get("cost") is not None]
    return Debate(
        [_opinion(each, outcomes.get(each["symbol"], {})) for each in output["decisions"]],
        tokens=sum(int(each.get("tokens", 0)) for each in outcomes.values()),
        cost=sum(costs, Decimal(0)) if costs else None,
    )


def _opinion(decision: Mapping[str, Any], outcome: Mapping[str, Any]) -> Opinion:
    return Opinion(
        source=SOURCE,
        symbol=decision["symbol"],
        action=decision["action"],
        confidence=float(decision["confidence"]),
        reason=decision["reason"],
        stop=None if decision["stop"] is None else Decimal(decision["stop"]),
        target=None if decision["target"] is None else Decimal(decision["target"]),
        code=str(outcome.get("code") or ""),
    )


def opinion_lines(opinions: Sequence[Opinion]) -> dict[str, list[str]]:
    """Return by symbol what the strategies say, as the members of a team read it."""
    lines: dict[str, list[str]] = {}
    for each in opinions:
        said = f"{each.source} says {each.action} (confidence {each.confidence:.2f}): {each.reason}"
        lines.setdefault(each.symbol, []).append(said[:500])
    return lines


def team_config(config: Mapping[str, Any], symbols: int) -> dict[str, Any]:
    """Return the config of the `agents` step: the setting's team, or the desk's own, within the run's budget.

    The run's budget is shared out among the conversations, so that together they cannot use more.
    """
    team = dict(config["team"] or own_team())
    bounds, given = config["budgets"].get("run", {}), dict(team.get("budget") or {})
    turns = math.ceil(symbols / int(team.get("concurrency", 4)))
    shares: dict[str, Any] = {}
    if bounds.get("tokens") is not None:
        shares["tokens"] = max(int(bounds["tokens"]) // symbols, 1)
    if bounds.get("cost") is not None:
        shares["cost"] = decimal_string(Decimal(str(bounds["cost"])) / symbols)
    if bounds.get("seconds") is not None:
        shares["seconds"] = min(max(float(bounds["seconds"]) / turns, LEAST_S), MOST_S)
    if bounds.get("messages") is not None:
        shares["messages"] = min(max(int(bounds["messages"]) // symbols, 1), 1000)
    least = {
        name: value if given.get(name) is None else min(value, given[name], key=lambda each: Decimal(str(each)))
        for name, value in shares.items()
    }
    return {**team, "budget": {**given, **least}}


def own_team() -> dict[str, Any]:
    """Return the desk's own team: the one of the template `autogen_multi_agent`."""
    template = next(each for each in templates() if each["type"] == WorkflowType.AUTOGEN_MULTI_AGENT)
    steps = resolve(template["steps"], template["default_params"]).steps
    return dict(next(step.config for step in steps if step.type == AGENTS))
