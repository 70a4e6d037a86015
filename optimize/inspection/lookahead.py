"""Look-ahead analysis as a kind of job."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

from market.bars import Bars, from_ns
from optimize import data
from optimize.analysis.lookahead import EVEN, Change, Sight, look_ahead
from optimize.choices import JobKind
from optimize.inspection.asking import grid_of, packed, plan
from optimize.work import Gathering, Kind, Outcome, Piece, Plan
from tradingsite.common.actor import Actor
from tradingsite.common.clock import rfc3339
from workflows.strategies import strategy_types

# Combinations that are told whole; all are counted.
TOLD = 200


class Lookahead(Kind):
    slug: ClassVar[str] = JobKind.LOOKAHEAD.value

    def plan(self, body: Mapping[str, Any], actor: Actor) -> Plan:
        return plan(body, body["max_cuts"] + EVEN, {"max_cuts": body["max_cuts"]})

    def run(self, piece: Piece) -> bytes:
        request = piece.asked.request
        kind = strategy_types.get(request["strategy_type"])
        combinations = grid_of(request).combinations(piece.first, piece.last)
        start, end = datetime.fromisoformat(request["start"]), datetime.fromisoformat(request["end"])
        rows: list[dict[str, Any]] = [{"params": params, "symbols": []} for params in combinations]
        series = data.load(piece.asked.data, start=start, end=end, warm_up=request["warm_up"], check=piece.check)
        for done, bars in enumerate(series, start=1):
            first, _ = data.bounds(bars.time, start, end)
            sights = look_ahead(kind, combinations, bars, first=first, most_cuts=request["max_cuts"], check=piece.check)
            for row, sight in zip(rows, sights, strict=True):
                row["symbols"].append(_symbol(bars, sight))
            piece.progress(len(combinations) * done // len(series), 0)
        return packed(rows)

    def gather(self, gathering: Gathering) -> Outcome:
        changed: list[dict[str, Any]] = []
        looked = cuts = left_out = signals = figures = combinations = 0
        for _, _, found in gathering.results():
            gathering.check()
            for row in json.loads(found):
                looked += 1
                cuts += sum(one["cuts"] for one in row["symbols"])
                left_out += sum(one["left_out"] for one in row["symbols"])
                signals += sum(one["changed_signals"] for one in row["symbols"])
                figures += sum(one["changed_figures"] for one in row["symbols"])
                if any(one["changed_signals"] or one["changed_figures"] for one in row["symbols"]):
                    combinations += 1
                    if len(changed) < TOLD:
                        changed.append(row)
        return Outcome(
            {
                "clean": combinations == 0,
                "whole": gathering.whole,
                "combinations_looked_at": looked,
                "combinations_that_look_ahead": combinations,
                "cuts": cuts,
                "cuts_left_out": left_out,
                "changed_signals": signals,
                "changed_figures": figures,
                "results": changed,
            }
        )


def _symbol(bars: Bars, sight: Sight) -> dict[str, Any]:
    return {
        "symbol": bars.symbol,
        "cuts": sight.cuts,
        "left_out": sight.left_out,
        "changed_signals": sight.changed_signals,
        "changed_figures": sight.changed_figures,
        "changes": [_change(bars, change) for change in sight.changes],
    }


def _change(bars: Bars, change: Change) -> dict[str, Any]:
    return {
        "bar": rfc3339(from_ns(int(bars.time[change.bar]))),
        "shown_until": rfc3339(from_ns(int(bars.time[change.cut]))),
        "figure": change.column or None,
        "with_the_future": change.whole,
        "without": change.cut_short,
    }
