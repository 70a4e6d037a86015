"""The search for a strategy's parameters, as a kind of job."""

from collections.abc import Mapping
from typing import Any, ClassVar

from optimize.choices import JobKind
from optimize.walkforward import asking
from optimize.work import Gathering, Kind, Outcome, Piece, Plan
from tradingsite.common.actor import Actor


class StrategySearch(Kind):
    slug: ClassVar[str] = JobKind.STRATEGY.value

    def plan(self, body: Mapping[str, Any], actor: Actor) -> Plan:
        return asking.plan(body)

    def run(self, piece: Piece) -> bytes:
        from optimize.walkforward.chunks import run

        return run(piece)

    def gather(self, gathering: Gathering) -> Outcome:
        from optimize.walkforward.gathering import gather

        return gather(gathering)
