"""A round of a live adaptation, as a kind of job."""

from collections.abc import Mapping
from typing import Any, ClassVar

from optimize.adaptation import asking
from optimize.choices import JobKind
from optimize.work import Gathering, Kind, Outcome, Piece, Plan
from tradingsite.common.actor import Actor


class AdaptationSearch(Kind):
    slug: ClassVar[str] = JobKind.ADAPTATION.value

    def plan(self, body: Mapping[str, Any], actor: Actor) -> Plan:
        return asking.plan(body)

    def run(self, piece: Piece) -> bytes:
        from optimize.adaptation.comparing import run

        return run(piece)

    def gather(self, gathering: Gathering) -> Outcome:
        from optimize.adaptation.comparing import gather

        return gather(gathering)
