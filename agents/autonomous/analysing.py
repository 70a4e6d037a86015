"""What the agent's strategies think of its symbols, and what its team thinks of that. Nothing is placed."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from agents.autonomous.debating import debate
from agents.autonomous.deciding import Opinion
from agents.autonomous.models import AgentRun
from agents.autonomous.observing import PRICES, StrategyPlan, strategy_plans
from tradingsite.common.contracts.steps import StepContext, StepInterrupted, step_types
from tradingsite.common.decimals import decimal_string
from tradingsite.common.errors import AppError
from workflows.definitions import config_typed


def analyse(context: StepContext, run: AgentRun, observed: Mapping[str, Any]) -> dict[str, Any]:
    """Return the phase's output: `opinions`, `tokens`, `cost`, `observations`."""
    pinned = {each["id"]: each["series"] for each in observed["strategies"]}
    opinions: list[Opinion] = []
    for plan in strategy_plans(run.config["strategies"], run.symbols):
        context.check()
        found = strategy_opinions(context, plan, pinned.get(plan.id, {}))
        for each in found:
            context.log(f"{each.symbol}: {each.source} says {each.action}: {each.reason}"[:500])
        opinions += found
    team = debate(context, run, observed["series"], opinions)
    for each in team.opinions:
        context.log(f"{each.symbol}: {each.source} says {each.action}: {each.reason}"[:500])
    opinions += team.opinions
    return {
        "opinions": [opinion_as_json(each) for each in opinions],
        "observations": [
            {
                "topic": "opinion",
                "symbol": each.symbol,
                "text": f"{each.source} says {each.action}: {each.reason}"[:500],
            }
            for each in opinions
        ],
        "tokens": team.tokens,
        "cost": team.cost_text,
    }


def strategy_opinions(
    context: StepContext, plan: StrategyPlan, series: Mapping[str, Mapping[str, Any]]
) -> list[Opinion]:
    """Return what a strategy says of the symbols whose prices were pinned for it.

    Its own deciding steps say it, carried out on those prices as its runs carry them out; of symbols without prices,
    and where it cannot be asked, it says HOLD and why.
    """
    source = f"strategy {plan.name}"
    if plan.refusal is not None:
        return [_silent(source, symbol, *plan.refusal) for symbol in plan.symbols]
    outputs: dict[str, Mapping[str, Any]] = {PRICES: {"series": dict(series)}}
    missing = [_silent(source, s, "NO_MARKET_DATA", "It has no prices.") for s in plan.symbols if s not in series]
    if not series:
        return missing
    for step in plan.steps:
        if step.type == PRICES:
            continue
        inner = replace(
            context,
            strategy_name=plan.name,
            symbols=tuple(series),
            params=plan.params or {},
            config=config_typed(step.type, step.config),
            outputs=outputs,
            progress=lambda done: None,
            log=lambda line: None,
        )
        try:
            outputs = {**outputs, step.name: step_types.get(step.type)().run(inner).output}
        except StepInterrupted:
            raise
        except AppError as error:
            return [*missing, *(_silent(source, symbol, error.code, error.detail) for symbol in series)]
    decisions: Sequence[Mapping[str, Any]] = replace(context, outputs=outputs).latest("decisions", [])
    return [*missing, *(_opinion(source, each) for each in decisions)]


def _silent(source: str, symbol: str, code: str, detail: str) -> Opinion:
    return Opinion(source, symbol, "HOLD", 0.0, f"{code}: {detail}", code=code)


def _opinion(source: str, decision: Mapping[str, Any]) -> Opinion:
    # A strategy whose series is too short to say anything says so by this word.
    code = "INSUFFICIENT_BARS" if str(decision["reason"]).startswith("INSUFFICIENT_BARS") else ""
    return Opinion(
        source=source,
        symbol=decision["symbol"],
        action=decision["action"],
        confidence=float(decision["confidence"]),
        reason=decision["reason"],
        stop=None if decision["stop"] is None else Decimal(decision["stop"]),
        target=None if decision["target"] is None else Decimal(decision["target"]),
        code=code,
    )


def opinion_as_json(opinion: Opinion) -> dict[str, Any]:
    """Return an opinion as the phase's output holds it."""
    return {
        "source": opinion.source,
        "symbol": opinion.symbol,
        "action": opinion.action,
        "confidence": opinion.confidence,
        "reason": opinion.reason,
        "stop": None if opinion.stop is None else decimal_string(opinion.stop),
        "target": None if opinion.target is None else decimal_string(opinion.target),
        "code": opinion.code,
    }


def opinion_read(value: Mapping[str, Any]) -> Opinion:
    """Return an opinion from a phase's output."""
    levels = {name: None if value[name] is None else Decimal(value[name]) for name in ("stop", "target")}
    return Opinion(**{**value, **levels})
