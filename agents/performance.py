"""What agents contribute, added up in SQL from what was said with them."""

from collections.abc import Iterator, Mapping
from typing import Any

from django.db.models import Avg, Count, Exists, F, Max, OuterRef, Q, QuerySet, Sum, Window
from django.db.models.functions import Coalesce, RowNumber

from agents.choices import MessageType
from agents.models import AgentConversation

# The run turned away; that says nothing of the agent.
_NOT_ITS_FAULT = ("RUN_CANCELLED", "HAND_OVER", "LEASE_LOST")
_ANSWERS = Q(message_type=MessageType.RESPONSE)
_FAILURES = Q(message_type=MessageType.ERROR) & ~Q(error_code__in=_NOT_ITS_FAULT)
_PERCENTILES = {"latency_p50_ms": 50, "latency_p95_ms": 95}

NOTHING: Mapping[str, Any] = {
    "total_messages": 0,
    "average_tokens": None,
    "total_tokens": 0,
    "runs": 0,
    "answers": 0,
    "failures": 0,
    "decisions_stated": 0,
    "decisions_influenced": 0,
    "latency_p50_ms": None,
    "latency_p95_ms": None,
    "last_message_at": None,
}


def performance_by(key: str, messages: QuerySet[AgentConversation]) -> list[dict[str, Any]]:
    """Return the figures of `messages` for each value of `key`, `agent_name` or `agent_id`, in its order.

    `average_tokens` is over the messages that say how many they took. `decisions_stated` stood in answers.
    `decisions_influenced` are all decisions of the runs in which the agent answered at least once, each run counted
    once; a run counts when it has ended. Latencies are those of answers, by nearest rank, in milliseconds.
    """
    rows = messages.order_by()
    figures = {
        row[key]: {**NOTHING, **row}
        for row in rows.values(key).annotate(
            total_messages=Count("pk"),
            average_tokens=Avg("tokens_used"),
            total_tokens=Coalesce(Sum("tokens_used"), 0),
            runs=Count("workflow_execution", distinct=True),
            answers=Count("pk", filter=_ANSWERS),
            failures=Count("pk", filter=_FAILURES),
            decisions_stated=Coalesce(Sum("decisions"), 0),
            last_message_at=Max("timestamp"),
        )
    }
    for value, influenced in _influenced(key, rows.filter(_ANSWERS)):
        figures[value]["decisions_influenced"] = influenced or 0
    for value, name, latency in _latencies(key, rows.filter(_ANSWERS, latency_ms__isnull=False)):
        figures[value][name] = latency
    return [figures[value] for value in sorted(figures, key=str)]


def _influenced(key: str, answers: QuerySet[AgentConversation]) -> Any:
    earlier = answers.filter(
        workflow_execution=OuterRef("workflow_execution"), seq__lt=OuterRef("seq"), **{key: OuterRef(key)}
    )
    firsts = answers.exclude(Exists(earlier))
    return firsts.values_list(key).annotate(Sum("workflow_execution__decisions_made"))


def _latencies(key: str, answers: QuerySet[AgentConversation]) -> Iterator[tuple[Any, str, float]]:
    """Yield (value of key, name, latency) at the nearest rank: the first that `percent` of all do not exceed.

    SQLite has no percentile of its own, so both databases number the rows.
    """
    ranked = answers.annotate(
        rank=Window(RowNumber(), partition_by=F(key), order_by=F("latency_ms").asc()),
        among=Window(Count("pk"), partition_by=F(key)),
    )
    wanted = Q()
    for percent in _PERCENTILES.values():
        # The rank r with (r - 1) / n < percent / 100 <= r / n.
        wanted |= Q(rank__gte=F("among") * percent / 100.0, rank__lt=F("among") * percent / 100.0 + 1)
    for value, latency, rank, among in ranked.filter(wanted).values_list(key, "latency_ms", "rank", "among"):
        for name, percent in _PERCENTILES.items():
            if rank == -(-among * percent // 100):
                yield value, name, latency
