"""Writing down what agents advised, beside what was decided."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Case, Value, When
from django.db.models.fields.json import KeyTransform

from agents.choices import MessageType
from agents.masking import masked
from agents.models import Agent, AgentConversation, AgentRecommendation
from agents.news import tell, tell_all
from agents.team.recommendations import Recommendation, recommendation_read
from agents.team.words import Arrangement, Outcome, Role, Team
from executions.ledger import storable
from executions.models import StepExecution
from tradingsite.common.clock import parse_rfc3339
from tradingsite.common.decimals import decimal_string

# Of a reason, on the socket.
MAX_TOLD = 2000


@transaction.atomic
def outcome_record(
    *,
    execution_id: UUID,
    step_index: int,
    outcome: Outcome,
    decision: Mapping[str, Any],
    team: Team,
    run_id: UUID | None = None,
    series: Mapping[str, Any] | None = None,
) -> None:
    """Write down what each member of a team advised about one symbol beside the decision, and tell of that.

    A member advises by its last line "Recommendation: …", the decider by its decision; who says neither has no row.
    Who argues for a side because it was told to does not advise: in a debate it is what a member said first that counts.

    Args:
        decision: as the step puts it out, with the desk's own price and time of the bar.
        series: what a market_data step put out for the symbol; looked up in the run's earlier steps when left out.
    """
    symbol, decider = outcome.symbol, team.decider.name
    advice = dict(_advised(execution_id, step_index, symbol, team))
    if outcome.decision is not None:
        stated = Recommendation(str(outcome.decision["action"]), outcome.decision.get("confidence"))
        advice[decider] = (stated, advice[decider][1] if decider in advice else None)
    if series is None:
        series = _series(execution_id, step_index, symbol)
    rows = [
        _row(execution_id, step_index, decision, series, name, agent_id, advised, outcome.code, name == decider)
        for name, (advised, agent_id) in advice.items()
    ]
    said = Counter(row.action for row in rows)
    for row in rows:
        row.others, row.agreed = len(rows) - 1, said[row.action] - 1
    _keep(execution_id, step_index, [symbol], rows)
    _overrule(execution_id, step_index, [decision], outcome.code)
    tell("decision", _news(execution_id, step_index, decision, run_id, decider, outcome))


@transaction.atomic
def answer_record(
    *,
    execution_id: UUID,
    step_index: int,
    agent: Agent,
    decisions: Sequence[Mapping[str, Any]],
    series: Mapping[str, Mapping[str, Any]],
) -> None:
    """Write down the decisions that one agent stated by itself, as a step puts them out, and tell of them."""
    rows = [
        _row(
            execution_id,
            step_index,
            decision,
            series.get(decision["symbol"], {}),
            agent.name,
            agent.pk,
            Recommendation(decision["action"], decision["confidence"]),
            "",
            True,
        )
        for decision in decisions
    ]
    _keep(execution_id, step_index, [row.symbol for row in rows], rows)
    _overrule(execution_id, step_index, decisions, "")
    tell_all("decision", [_news(execution_id, step_index, decision, None, agent.name, None) for decision in decisions])


def _advised(
    execution_id: UUID, step_index: int, symbol: str, team: Team
) -> Iterator[tuple[str, tuple[Recommendation, UUID | None]]]:
    """Yield what each member said of its own mind in the newest attempt, the oldest first."""
    rows = list(
        AgentConversation.objects.filter(
            workflow_execution_id=execution_id,
            step_index=step_index,
            symbol=symbol,
            message_type=MessageType.RESPONSE,
        )
        .order_by("seq")
        .values_list("agent_name", "agent_id", "attempt", "message_content")
    )
    newest = max((attempt for _, _, attempt, _ in rows), default=0)
    free = {member.name for member in team.members if member.role not in (Role.BULL, Role.BEAR)}
    for name, agent_id, attempt, content in rows:
        if attempt != newest or name not in free:
            continue
        if team.arrangement is Arrangement.DEBATE:
            free.remove(name)
        advised = recommendation_read(content)
        if advised is not None:
            yield name, (advised, agent_id)


def _series(execution_id: UUID, step_index: int, symbol: str) -> Mapping[str, Any]:
    """Return what the last market_data step before this one put out for the symbol, without reading the others'."""
    series, kept = KeyTransform("series", "output"), KeyTransform("series", "payload__data")
    found = (
        StepExecution.objects.filter(execution_id=execution_id, index__lt=step_index, type="market_data")
        .order_by("-index")
        .values_list(KeyTransform(symbol, series), KeyTransform(symbol, kept))
    )
    return next((pin for row in found for pin in row if isinstance(pin, Mapping)), {})


def _row(
    execution_id: UUID,
    step_index: int,
    decision: Mapping[str, Any],
    series: Mapping[str, Any],
    name: str,
    agent_id: UUID | None,
    advised: Recommendation,
    code: str,
    is_decider: bool,
) -> AgentRecommendation:
    return AgentRecommendation(
        workflow_execution_id=execution_id,
        step_index=step_index,
        symbol=decision["symbol"],
        agent_name=name[:60],
        agent_id=agent_id,
        action=advised.action,
        confidence=advised.confidence,
        final_action=decision["action"],
        outcome_code=code[:60],
        is_decider=is_decider,
        followed=not code and advised.action == decision["action"],
        price=Decimal(str(decision["price"])),
        bar_time=parse_rfc3339(decision["bar_time"]),
        source=str(series.get("source") or ""),
        timeframe=str(series.get("timeframe") or ""),
        adjustment=str(series.get("adjustment") or ""),
    )


def _keep(execution_id: UUID, step_index: int, symbols: Sequence[str], rows: Sequence[AgentRecommendation]) -> None:
    """Write these rows in place of what an earlier attempt of the step advised."""
    AgentRecommendation.objects.filter(
        workflow_execution_id=execution_id, step_index=step_index, symbol__in=symbols
    ).delete()
    AgentRecommendation.objects.bulk_create(rows)


def _overrule(execution_id: UUID, step_index: int, decisions: Sequence[Mapping[str, Any]], code: str) -> None:
    """Let what earlier steps advised stand beside this decision: the newest one is what a run decides."""
    by_action: dict[str, list[str]] = {}
    for decision in decisions:
        by_action.setdefault(decision["action"], []).append(decision["symbol"])
    for action, symbols in by_action.items():
        AgentRecommendation.objects.filter(
            workflow_execution_id=execution_id, step_index__lt=step_index, symbol__in=symbols
        ).update(
            final_action=action,
            outcome_code=code[:60],
            followed=Value(False) if code else Case(When(action=action, then=Value(True)), default=Value(False)),
        )


def _told(text: Any) -> str:
    return storable(masked(str(text))[:MAX_TOLD])


def _news(
    execution_id: UUID,
    step_index: int,
    decision: Mapping[str, Any],
    run_id: UUID | None,
    agent_name: str,
    outcome: Outcome | None,
) -> dict[str, Any]:
    told = {
        "execution_id": str(execution_id),
        **({"run_id": str(run_id)} if run_id is not None else {}),
        "step_index": step_index,
        "symbol": decision["symbol"],
        "agent_name": agent_name,
        "action": decision["action"],
        "confidence": decision.get("confidence"),
        "reason": _told(decision.get("reason", "")),
        "price": str(decision["price"]),
        "bar_time": decision["bar_time"],
        "code": "",
        "warnings": [],
    }
    if outcome is None:
        return told
    return told | {
        "code": outcome.code,
        "detail": _told(outcome.detail),
        "warnings": list(outcome.warnings),
        "tokens_used": outcome.tokens,
        "cost": None if outcome.cost is None else decimal_string(outcome.cost),
        "messages": outcome.messages,
        "seconds": outcome.seconds,
    }
