"""Recursive analysis, how much history a strategy needs, as a kind of job."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

import numpy as np

from market.bars import Bars, from_ns
from optimize import data
from optimize.analysis.recursive import Settling, WarmUp, warm_up
from optimize.choices import JobKind
from optimize.inspection.asking import grid_of, packed, plan
from optimize.work import Gathering, Kind, Outcome, Piece, Plan
from tradingsite.common.actor import Actor
from tradingsite.common.clock import rfc3339
from tradingsite.common.errors import FieldError, ValidationFailed
from workflows.strategies import strategy_types

# Bars beyond what the slowest combination needs to warm up, so that there is something to see behind each start.
SEEN = 30
# What must lie before a start, in warm-ups: figures that have settled, to compare with; and what should lie behind it.
BEFORE, BEHIND = 2, 20


class Recursive(Kind):
    slug: ClassVar[str] = JobKind.RECURSIVE.value

    def plan(self, body: Mapping[str, Any], actor: Actor) -> Plan:
        found = plan(body, body["starts"], {name: body[name] for name in ("starts", "horizon", "tolerance")})
        needed = (BEFORE + 1) * found.request["warm_up"] + SEEN
        start, end = body["start"], body["end"]
        errors = []
        for index, bars in enumerate(data.load(found.data, start=start, end=end, warm_up=found.request["warm_up"])):
            if len(bars) < needed:
                detail = (
                    f"{bars.symbol} has {len(bars)} bars up to the end of the period; the slowest combination needs "
                    f"{needed}. Use a later end or faster parameters."
                )
                errors.append(FieldError(f"symbols/{index}", "too_few_bars", detail))
        if errors:
            raise ValidationFailed(errors=errors)
        return found

    def run(self, piece: Piece) -> bytes:
        request = piece.asked.request
        kind = strategy_types.get(request["strategy_type"])
        combinations = grid_of(request).combinations(piece.first, piece.last)
        start, end = datetime.fromisoformat(request["start"]), datetime.fromisoformat(request["end"])
        rows: list[dict[str, Any]] = [{"params": params, "symbols": []} for params in combinations]
        series = data.load(piece.asked.data, start=start, end=end, warm_up=request["warm_up"], check=piece.check)
        for done, bars in enumerate(series, start=1):
            first, _ = data.bounds(bars.time, start, end)
            found = warm_up(
                kind,
                combinations,
                bars,
                _starts(len(bars), first, request),
                tolerance=request["tolerance"],
                horizon=request["horizon"],
                check=piece.check,
            )
            for row, one in zip(rows, found, strict=True):
                row["symbols"].append(_symbol(bars, one))
            piece.progress(len(combinations) * done // len(series), 0)
        return packed(rows)

    def gather(self, gathering: Gathering) -> Outcome:
        rows: list[dict[str, Any]] = []
        for _, _, found in gathering.results():
            gathering.check()
            rows += json.loads(found)
        settled = [one["signals"]["bars"] for row in rows for one in row["symbols"]]
        return Outcome(
            {
                "enough": all(one["enough"] for row in rows for one in row["symbols"]),
                "whole": gathering.whole,
                # The bars that a live step or a search must see before its first signal; null where none was enough.
                "bars_needed": None if None in settled else max(settled, default=0),
                "results": rows,
            }
        )


def _starts(count: int, first: int, request: Mapping[str, Any]) -> list[int]:
    """Return the starts, spread evenly over the part of the period with settled figures before it and room behind it."""
    lowest = min(max(first, BEFORE * request["warm_up"], 1), count - 2)
    room = min(request["horizon"], BEHIND * request["warm_up"], (count - lowest) // 2)
    highest = max(lowest, count - max(room, request["warm_up"] + SEEN))
    spread = np.linspace(lowest, highest, request["starts"]).round().astype(int)
    return sorted(set(spread.tolist()))


def _symbol(bars: Bars, found: WarmUp) -> dict[str, Any]:
    return {
        "symbol": bars.symbol,
        "declared": found.declared,
        "enough": found.enough,
        "signals": _settling(found.signals),
        "figures": [{"figure": column.name, **_settling(column)} for column in found.columns],
        "starts": [
            {"at": rfc3339(from_ns(int(bars.time[start.bar]))), "bars_seen": start.horizon, "signals": start.signals}
            for start in found.starts
        ],
    }


def _settling(one: Settling) -> dict[str, Any]:
    return {"bars": one.bars, "difference_at_warm_up": one.at_warm_up}
