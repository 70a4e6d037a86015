"""A job with the whole life of a search, which computes nothing."""

from collections.abc import Mapping
from typing import Any, ClassVar

from optimize.work import Gathering, Kind, Outcome, Piece, Plan
from tradingsite.common.actor import Actor


class Nothing(Kind):
    slug: ClassVar[str] = "nothing"

    def plan(self, body: Mapping[str, Any], actor: Actor) -> Plan:
        return Plan(request=body, total=18, chunks=[(0, 18)], n_folds=5)

    def run(self, piece: Piece) -> bytes:
        return b""

    def gather(self, gathering: Gathering) -> Outcome:
        return Outcome({})
