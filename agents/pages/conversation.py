"""What a run and its agents said about one symbol, and what was made of it."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.db.models import Count, Q, QuerySet, Sum
from django.urls import reverse

from agents import selectors
from agents.choices import MessageType
from agents.models import AgentConversation, AgentRecommendation
from agents.pages.turns import OFFLINE, Turn, dollars, turns_of
from agents.team.words import Code
from executions.choices import TERMINAL
from executions.models import StepExecution, WorkflowExecution
from executions.news import stream_of
from executions.selectors import execution_get, execution_steps
from portfolio import selectors as portfolio
from portfolio.models import Order
from tradingsite.common.live import events

# Messages on one page; a team's budget usually ends it below that.
PAGE = 200
# Steps that only load and compute; what they put out may be large, and nobody decides there.
_FIGURES = ("market_data", "indicator")
_WARNINGS = {
    Code.ANSWER_CUT_OFF.value: "An answer was cut off in the middle; what it lacks is unknown.",
    Code.BEFORE_TRAINING_CUTOFF.value: "A model was trained until after this bar: it may know what came next.",
    Code.TRAINING_CUTOFF_UNKNOWN.value: "Until when a model was trained is not told: it may know what came next.",
}


def conversation_page(*, execution_id: UUID, symbol: str | None, after: int) -> dict[str, Any]:
    """Return the context of a run's conversation: all its symbols, and the messages about one of them.

    Args:
        symbol: the first one when none is named, or one that nobody spoke about.
        after: show what was said after the message with this number.

    Raises:
        ExecutionNotFound: when there is no such run.
    """
    live_seq = events.stream_position(stream_of(execution_id))
    run = execution_get(execution_id)
    steps = [step for step in execution_steps(execution_id) if step.type not in _FIGURES]
    said = selectors.conversation(execution_id)
    talks = _talks(run.pk, said, steps)
    chosen = next((talk for talk in talks if talk["symbol"] == symbol), talks[0] if talks else None)
    context: dict[str, Any] = {
        "live_seq": live_seq,
        "run": _facts(run),
        "talks": talks,
        "talk": chosen,
        "turns": [],
        "deciding": any(step.type.startswith(("agent", "http_agent")) for step in steps),
    }
    return context if chosen is None else context | _about(run, steps, said, chosen, after)


def _facts(run: WorkflowExecution) -> dict[str, Any]:
    return {
        "id": run.pk,
        "final": run.status in TERMINAL,
        "status": run.status,
        "error_code": run.error_code,
        "workflow_name": run.workflow.name if run.workflow is not None else "Inline steps",
        "strategy_name": run.strategy.name,
    }


def _talks(
    execution_id: UUID, said: QuerySet[AgentConversation], steps: Sequence[StepExecution]
) -> list[dict[str, Any]]:
    """Return a line for each symbol: how much was said and what was decided."""
    finals = dict(
        AgentRecommendation.objects.filter(workflow_execution_id=execution_id)
        .order_by("step_index")
        .values_list("symbol", "final_action")
    )
    for step in steps:
        finals |= {row["symbol"]: row["action"] for row in _decisions(step)}
    rows = (
        said.order_by()
        .values("symbol")
        .annotate(messages=Count("pk"), errors=Count("pk", filter=Q(message_type=MessageType.ERROR)))
    )
    return [
        {
            **row,
            "title": row["symbol"] or "The whole run",
            "action": finals.get(row["symbol"], ""),
            "url": _url(execution_id, row["symbol"]),
        }
        for row in sorted(rows, key=lambda row: row["symbol"])
    ]  # fmt: skip


def _about(
    run: WorkflowExecution,
    steps: Sequence[StepExecution],
    said: QuerySet[AgentConversation],
    talk: Mapping[str, Any],
    after: int,
) -> dict[str, Any]:
    symbol = talk["symbol"]
    about = said.filter(symbol=symbol)
    found = list(about.filter(seq__gt=after)[: PAGE + 1])
    messages, more = found[:PAGE], len(found) > PAGE
    turns = turns_of(messages, _roles(steps))
    outcome = None if more else _outcome(run, steps, symbol)
    goes_on = run.status not in TERMINAL and not more and outcome is None
    return {
        "turns": turns,
        "totals": _totals(about),
        "names": {step.index: step.name for step in steps},
        "earlier_url": _url(run.pk, symbol) if after else "",
        "later_url": _url(run.pk, symbol, messages[-1].seq) if more else "",
        "waiting": goes_on and _at_work(steps, turns),
        "outcome": outcome,
    }


def _at_work(steps: Sequence[StepExecution], turns: Sequence[Turn]) -> bool:
    """Whether the step of the newest message still talks."""
    newest = turns[-1].step_index if turns else None
    return any(step.status == "running" and step.index == newest for step in steps)


def _totals(about: QuerySet[AgentConversation]) -> dict[str, Any]:
    sums = about.order_by().aggregate(
        messages=Count("pk"),
        tokens=Sum("tokens_used"),
        known_cost=Sum("cost"),
        unpriced=Count("pk", filter=Q(cost__isnull=True, tokens_used__gt=0)),
    )
    models = sorted(about.exclude(model="").order_by().values_list("model", flat=True).distinct())
    cost = sums["known_cost"]
    return {
        **sums,
        "cost": "" if cost is None else dollars(cost),
        "models": models,
        "offline": models == [OFFLINE],
    }


def _outcome(run: WorkflowExecution, steps: Sequence[StepExecution], symbol: str) -> dict[str, Any] | None:
    """Return the decision about a symbol with its reason, and what the gate and the orders made of it."""
    if not symbol:
        return None
    deciding = next((step for step in reversed(steps) if _decision(step, symbol)), None)
    decision = _decision(deciding, symbol) if deciding is not None else {}
    found = _named(deciding, "outcomes").get(symbol) if deciding is not None else None
    told = found if isinstance(found, Mapping) else {}
    advice = list(
        AgentRecommendation.objects.filter(workflow_execution=run, symbol=symbol).order_by(
            "step_index", "created_at", "id"
        )
    )
    if not decision and not advice:
        return None
    return {
        "decision": decision,
        "told": told,
        "code": told.get("code") or (advice[-1].outcome_code if advice else ""),
        "warnings": [{"code": code, "words": _WARNINGS.get(code, "")} for code in told.get("warnings") or ()],
        "advice": advice,
        "action": decision.get("action") or (advice[-1].final_action if advice else ""),
        "intent": next((row for step in steps for row in _rows(step, "intents") if row.get("symbol") == symbol), None),
        "skipped": next((why for step in steps if (why := _named(step, "skipped").get(symbol))), ""),
        "gated": any(step.type == "risk_check" and step.status == "completed" for step in steps),
        "orders": _orders(run.pk, symbol),
    }


def _decision(step: StepExecution, symbol: str) -> Mapping[str, Any]:
    return next((row for row in _decisions(step) if row["symbol"] == symbol), {})


def _decisions(step: StepExecution) -> list[Mapping[str, Any]]:
    return [row for row in _rows(step, "decisions") if row.get("symbol") and row.get("action")]


def _rows(step: StepExecution, name: str) -> list[Mapping[str, Any]]:
    """Return the list of objects that a step put out under a name; empty when it put out none."""
    found = step.result.get(name)
    return [row for row in found if isinstance(row, Mapping)] if isinstance(found, list) else []


def _named(step: StepExecution, name: str) -> Mapping[str, Any]:
    found = step.result.get(name)
    return found if isinstance(found, Mapping) else {}


def _roles(steps: Sequence[StepExecution]) -> dict[str, str]:
    """Return what each member is there for, as the pinned configs have it."""
    members = [
        member
        for step in steps
        if isinstance(step.config, Mapping) and isinstance(step.config.get("agents"), list)
        for member in step.config["agents"]
        if isinstance(member, Mapping)
    ]
    return {str(member.get("agent_name", "")): str(member.get("role") or "") for member in members}


def _orders(execution_id: UUID, symbol: str) -> Sequence[Order]:
    rows = portfolio.orders_visible().filter(execution_id=execution_id, instrument__symbol=symbol)
    return list(rows.order_by("created_at", "id"))


def _url(execution_id: UUID, symbol: str, after: int = 0) -> str:
    query = {"symbol": symbol, **({"after": after} if after else {})}
    return f"{reverse('run-conversation', args=[execution_id])}?{urlencode(query)}"
