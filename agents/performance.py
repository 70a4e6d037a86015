"""What agents contribute, added up in SQL from what was said with them and from what they advised."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Avg, Count, F, Max, Q, QuerySet, Sum, Window
from django.db.models.functions import Coalesce, RowNumber

from agents.choices import Action, MessageType
from agents.models import AgentConversation, AgentRecommendation

# The run turned away; that says nothing of the agent.
_NOT_ITS_FAULT = ("RUN_CANCELLED", "HAND_OVER", "LEASE_LOST")
_ANSWERS = Q(message_type=MessageType.RESPONSE)
_FAILURES = Q(message_type=MessageType.ERROR) & ~Q(error_code__in=_NOT_ITS_FAULT)
# Whatever took tokens costs something; an answer that does not say how many may have cost anything.
_UNPRICED = Q(cost__isnull=True) & (_ANSWERS | Q(tokens_used__gt=0))
_PERCENTILES = {"latency_p50_ms": 50, "latency_p95_ms": 95}
# Bars after the decision's own.
HORIZONS = (1, 5, 20)
# What is looked at when nobody says: long enough for twenty daily bars to have come after most of it.
USUAL = timedelta(days=90)


@dataclass(frozen=True)
class Period:
    """From `start` up to and without `end`; None is without bound."""

    start: datetime | None
    end: datetime | None = None

    def of(self, rows: QuerySet[Any], field: str) -> QuerySet[Any]:
        """Return the rows whose `field` lies in it."""
        if self.start is not None:
            rows = rows.filter(**{f"{field}__gte": self.start})
        if self.end is not None:
            rows = rows.filter(**{f"{field}__lt": self.end})
        return rows


def nothing() -> dict[str, Any]:
    """Return the figures of an agent that never spoke."""
    return {
        "total_messages": 0,
        "average_tokens": None,
        "total_tokens": 0,
        "runs": 0,
        "answers": 0,
        "failures": 0,
        "cost": Decimal(0),
        "known_cost": Decimal(0),
        "latency_p50_ms": None,
        "latency_p95_ms": None,
        "last_message_at": None,
        "recommendations": 0,
        "decisions_influenced": 0,
        "agreement_rate": None,
        "later_returns": [_later(bars, {}) for bars in HORIZONS],
    }


def performance_by(key: str, period: Period, **of: Any) -> list[dict[str, Any]]:
    """Return the figures of a period for each value of `key`, `agent_name` or `agent_id`, in its order.

    Of each: messages, runs, answers, failures; `average_tokens` over the messages that say how many they took;
    `known_cost` in US dollars, and `cost`, which is None when a message's price is unknown; latencies of answers in
    milliseconds, by nearest rank. Of what it advised: `recommendations`, one for each symbol of a step in which it
    stated an action; `decisions_influenced`, how many of them were the decision; `agreement_rate`, the part of the
    other members' recommendations on the same that were as its own; and `later_returns`.

    Args:
        of: conditions that both messages and recommendations must meet.
    """
    messages = period.of(AgentConversation.objects.filter(**of).order_by(), "timestamp")
    advice = period.of(AgentRecommendation.objects.filter(**of).order_by(), "created_at")
    figures: dict[Any, dict[str, Any]] = {}
    for row in _messages(key, messages):
        figures[row[key]] = {**nothing(), **row}
    for value, name, latency in _latencies(key, messages.filter(_ANSWERS, latency_ms__isnull=False)):
        figures[value][name] = latency
    for row in _advice(key, advice):
        figures.setdefault(row[key], {**nothing(), key: row[key]}).update(row)
    return [figures[value] for value in sorted(figures, key=str)]


def _messages(key: str, messages: QuerySet[AgentConversation]) -> Iterator[dict[str, Any]]:
    for row in messages.values(key).annotate(
        total_messages=Count("pk"),
        average_tokens=Avg("tokens_used"),
        total_tokens=Coalesce(Sum("tokens_used"), 0),
        runs=Count("workflow_execution", distinct=True),
        answers=Count("pk", filter=_ANSWERS),
        failures=Count("pk", filter=_FAILURES),
        known_cost=Sum("cost"),
        unpriced=Count("pk", filter=_UNPRICED),
        last_message_at=Max("timestamp"),
    ):
        known, unpriced = row["known_cost"] or Decimal(0), row.pop("unpriced")
        yield {**row, "known_cost": known, "cost": None if unpriced else known}


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


def _advice(key: str, advice: QuerySet[AgentRecommendation]) -> Iterator[dict[str, Any]]:
    counts: dict[str, Any] = {}
    for bars in HORIZONS:
        field = f"return_{bars}"
        known = Q(**{f"{field}__isnull": False})
        counts |= {
            f"known_{bars}": Count("pk", filter=known),
            f"sum_{bars}": Sum(field, filter=known),
            f"up_{bars}": Count("pk", filter=Q(**{f"{field}__gt": 0})),
            f"down_{bars}": Count("pk", filter=Q(**{f"{field}__lt": 0})),
        }
        for action in (Action.BUY, Action.SELL):
            counts |= {
                f"{action}_{bars}": Count("pk", filter=known & Q(action=action)),
                f"{action}_sum_{bars}": Sum(field, filter=known & Q(action=action)),
            }
        counts |= {
            f"BUY_right_{bars}": Count("pk", filter=Q(action=Action.BUY, **{f"{field}__gt": 0})),
            f"SELL_right_{bars}": Count("pk", filter=Q(action=Action.SELL, **{f"{field}__lt": 0})),
        }
    for row in advice.values(key).annotate(
        recommendations=Count("pk"),
        decisions_influenced=Count("pk", filter=Q(followed=True)),
        other_advice=Sum("others"),
        same_advice=Sum("agreed"),
        **counts,
    ):
        yield {
            key: row[key],
            "recommendations": row["recommendations"],
            "decisions_influenced": row["decisions_influenced"],
            "agreement_rate": _part(row["same_advice"], row["other_advice"]),
            "later_returns": [_later(bars, row) for bars in HORIZONS],
        }


def _later(bars: int, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return how what was advised turned out, beside what the same mix of BUY and SELL comes to without any skill.

    The return of a SELL is that of the price with its sign turned. The base is the mean over all that the agent
    advised on, those to hold included: as if its BUYs and SELLs had been dealt out among them by lot.
    """
    number = {name: row.get(f"{name}_{bars}") or 0 for name in ("known", "up", "down", "BUY", "SELL")}
    judged = number["BUY"] + number["SELL"]
    gained = (row.get(f"BUY_sum_{bars}") or 0.0) - (row.get(f"SELL_sum_{bars}") or 0.0)
    right = (row.get(f"BUY_right_{bars}") or 0) + (row.get(f"SELL_right_{bars}") or 0)
    lean = _part(number["BUY"] - number["SELL"], judged)
    drift = _part(row.get(f"sum_{bars}") or 0.0, number["known"])
    by_lot = number["BUY"] * number["up"] + number["SELL"] * number["down"]
    return {
        "bars": bars,
        "judged": judged,
        "mean_return": _part(gained, judged),
        "hit_rate": _part(right, judged),
        "base_return": None if lean is None or drift is None else lean * drift,
        "base_hit_rate": _part(by_lot, judged * number["known"]),
    }


def _part(some: float | None, of: float | None) -> float | None:
    """Return `some / of`; None of nothing."""
    return some / of if some is not None and of else None
