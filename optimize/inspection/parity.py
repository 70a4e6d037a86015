"""Parity of a strategy's runs with a back-test over the same bars, as a kind of job."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, ClassVar

from django.db.models import QuerySet

from executions.choices import StepStatus
from executions.models import StepExecution
from market.bars import Bars, from_ns, to_ns
from optimize import data
from optimize.analysis.parity import LiveDecision, Parity, parity
from optimize.choices import JobKind
from optimize.inspection.asking import packed
from optimize.inspection.strategies import MARKET_DATA, SIGNAL
from optimize.work import Gathering, Kind, Outcome, Piece, Pinned, Plan
from tradingsite.common.actor import Actor
from tradingsite.common.clock import parse_rfc3339, rfc3339, utcnow
from tradingsite.common.errors import FieldError, ValidationFailed
from workflows.selectors import strategy_get
from workflows.steps import MOST_BARS
from workflows.strategies import strategy_types

RUNS_MAX = 5_000
# Differences told for each comparison; all are counted.
TOLD = 500
_EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
_SERIES = ("source", "timeframe", "adjustment")


@dataclass(frozen=True)
class _Decided:
    """A signal step of one run: what it was told, and what it decided for one symbol."""

    symbol: str
    how: str
    series: str
    decision: LiveDecision


class LiveParity(Kind):
    slug: ClassVar[str] = JobKind.PARITY.value

    def plan(self, body: Mapping[str, Any], actor: Actor) -> Plan:
        strategy = strategy_get(body["strategy_id"])
        start, end = body["start"], body["end"]
        if start >= end:
            raise ValidationFailed(errors=[FieldError("end", "invalid", "Must be later than start.")])
        asked_at = utcnow()
        runs = _steps(str(strategy.pk), start, end, asked_at).filter(type=SIGNAL)
        count = runs.values("execution_id").distinct().count()
        if count > RUNS_MAX:
            detail = f"{count} runs decided in this period, at most {RUNS_MAX} are compared. Use a shorter one."
            raise ValidationFailed(errors=[FieldError("end", "too_many_runs", detail)])
        newest = runs.order_by("-execution__created_at", "-index").values_list("execution_id", flat=True).first()
        latest = list(_decided(_steps(str(strategy.pk), start, end, asked_at).filter(execution_id=newest)))
        if not latest:
            detail = f"No run of {strategy.name!r} has decided anything in this period."
            raise ValidationFailed(errors=[FieldError("strategy_id", "no_decisions", detail)])
        series = {one.symbol: one.series for one in latest}
        wanted = list(dict.fromkeys(body.get("symbols") or series))
        errors = [
            FieldError(f"symbols/{index}", "no_decisions", f"The newest run did not decide on {symbol}.")
            for index, symbol in enumerate(wanted)
            if symbol not in series
        ]
        if errors:
            raise ValidationFailed(errors=errors)
        pinned: dict[str, Pinned] = {}
        for words in dict.fromkeys(series[symbol] for symbol in wanted):
            same = [symbol for symbol in wanted if series[symbol] == words]
            chosen = data.choose(symbols=same, start=_EARLIEST, end=end, **json.loads(words))
            pinned |= {one.symbol: one for one in chosen.data}
        return Plan(
            request={
                "strategy_id": str(strategy.pk),
                "symbols": wanted,
                "start": rfc3339(start),
                "end": rfc3339(end),
                "asked_at": rfc3339(asked_at),
            },
            total=count,
            chunks=[(0, count)],
            data=[pinned[symbol] for symbol in wanted],
            strategy_type=strategy.strategy_type,
        )

    def run(self, piece: Piece) -> bytes:
        request = piece.asked.request
        start, end, asked_at = (parse_rfc3339(request[name]) for name in ("start", "end", "asked_at"))
        pinned = {one.symbol: one for one in piece.asked.data}
        groups: dict[tuple[str, str, str], list[LiveDecision]] = defaultdict(list)
        for one in _decided(_steps(request["strategy_id"], start, end, asked_at)):
            piece.check()
            if one.symbol in pinned:
                groups[one.symbol, one.how, one.series].append(one.decision)
        rows = []
        for done, ((symbol, how, series), decisions) in enumerate(sorted(groups.items()), start=1):
            rows.append(_compared(pinned[symbol], how, series, decisions, end, piece))
            piece.progress(piece.last * done // len(groups), 0)
        return packed(rows)

    def gather(self, gathering: Gathering) -> Outcome:
        rows = [row for _, _, found in gathering.results() for row in json.loads(found)]
        compared = [row for row in rows if row["skipped"] is None]
        decided, agreed = (sum(row[name] for row in compared) for name in ("decided", "agreed"))
        differences = sum(row["differences_count"] for row in compared)
        return Outcome(
            {
                "equal": bool(compared) and len(compared) == len(rows) and differences == 0,
                "whole": gathering.whole,
                "decided": decided,
                "agreed": agreed,
                "differences": differences,
                "results": rows,
            }
        )


def _steps(strategy_id: str, start: datetime, end: datetime, asked_at: datetime) -> QuerySet[StepExecution]:
    """Return the steps that say what was decided, run by run; what ended later than the asking is none of them."""
    return (
        StepExecution.objects.filter(
            execution__strategy_id=strategy_id,
            execution__created_at__gte=start,
            execution__created_at__lte=end,
            type__in=(MARKET_DATA, SIGNAL),
            status=StepStatus.COMPLETED,
            completed_at__lte=asked_at,
        )
        .select_related("payload")
        .order_by("execution__created_at", "execution_id", "index")
    )


def _decided(steps: QuerySet[StepExecution]) -> Iterator[_Decided]:
    """Yield each decision with what its step was told and the series that the run had pinned."""
    run: Any = None
    series: dict[str, Mapping[str, Any]] = {}
    for step in steps.iterator(chunk_size=200):
        if step.execution_id != run:
            run, series = step.execution_id, {}
        if step.type == MARKET_DATA:
            series |= step.result.get("series", {})
            continue
        config = step.config
        how = json.dumps(
            {
                "step": step.name,
                "strategy_type": config.get("strategy_type"),
                "params": config.get("params", {}),
                "event_only": config.get("entry") == "event",
            },
            sort_keys=True,
        )
        for decision in step.result.get("decisions", []):
            pinned = series.get(decision["symbol"])
            if pinned is not None:
                yield _Decided(
                    decision["symbol"],
                    how,
                    json.dumps({name: pinned[name] for name in _SERIES}, sort_keys=True),
                    LiveDecision(
                        to_ns(parse_rfc3339(decision["bar_time"])),
                        decision["action"],
                        float(Decimal(decision["price"])),
                        str(run),
                    ),
                )


def _compared(
    pinned: Pinned, how: str, series: str, decisions: Sequence[LiveDecision], end: datetime, piece: Piece
) -> dict[str, Any]:
    """Return one comparison: a symbol under one config of one signal step on one series."""
    told = json.loads(how)
    row = {"symbol": pinned.symbol, **told, "series": json.loads(series), "skipped": None}
    if any(json.loads(series)[name] != getattr(pinned, name) for name in _SERIES):
        row["skipped"] = "These runs decided by another series than the newest run does."
    elif told["strategy_type"] not in strategy_types:
        row["skipped"] = "There is no such strategy type any more."
    if row["skipped"]:
        return row
    kind = strategy_types.get(told["strategy_type"])
    (bars,) = data.load([pinned], start=_EARLIEST, end=end, check=piece.check)
    found = parity(
        kind,
        kind.clean(told["params"]),
        bars,
        decisions,
        event_only=told["event_only"],
        history=MOST_BARS,
        check=piece.check,
    )
    return {**row, **_told(bars, found)}


def _told(bars: Bars, found: Parity) -> dict[str, Any]:
    return {
        "bars": found.bars,
        "decided": found.decided,
        "agreed": found.agreed,
        "began_long": found.began_long,
        "differences_count": len(found.differences),
        "differences": [
            {
                "kind": one.kind,
                "bar": rfc3339(from_ns(one.time)),
                "live": one.live or None,
                "backtest": one.backtest or None,
                "run": one.label or None,
            }
            for one in found.differences[:TOLD]
        ],
    }
