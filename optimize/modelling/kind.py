"""The tuning of a model, as a kind of job."""

from collections.abc import Mapping
from typing import Any, ClassVar

from optimize.choices import JobKind
from optimize.modelling import asking
from optimize.work import Gathering, Kind, Outcome, Piece, Plan
from tradingsite.common.actor import Actor


class ModelTuning(Kind):
    slug: ClassVar[str] = JobKind.MODEL.value

    def plan(self, body: Mapping[str, Any], actor: Actor) -> Plan:
        return asking.plan(body)

    def run(self, piece: Piece) -> bytes:
        from optimize.modelling import chunks

        return chunks.run(piece)

    def gather(self, gathering: Gathering) -> Outcome:
        from optimize.modelling import gathering as gathered

        return gathered.gather(gathering)
