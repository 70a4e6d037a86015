"""What of the optimiser can be scheduled."""

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from rest_framework import serializers

from optimize.adaptation import rounds
from optimize.adaptation.choices import JOB, Trigger
from tradingsite.common.actor import Actor
from tradingsite.common.api.serializers import StrictSerializer
from tradingsite.common.contracts.jobs import RunStarter, Skipped, job_types


class AdaptParametersConfig(StrictSerializer):
    """Whose parameters."""

    adaptation_id = serializers.UUIDField(help_text="Of POST /api/optimize/live, which makes the schedule as well.")


@job_types.register
class AdaptParameters(RunStarter):
    slug: ClassVar[str] = JOB
    title: ClassVar[str] = "Adapt a strategy's parameters"
    help: ClassVar[str] = (
        "Looks for better parameters near the live ones. Start an adaptation at /api/optimize/live, and it has a schedule."
    )
    config_class: ClassVar[type[StrictSerializer]] = AdaptParametersConfig

    def start(self, *, actor: Actor, config: Mapping[str, Any]) -> UUID | Skipped:
        rounds.require_may_start(config["adaptation_id"], actor)
        found = rounds.round_start(adaptation_id=config["adaptation_id"], trigger=Trigger.SCHEDULE, actor=actor)
        return found if isinstance(found, Skipped) else found.pk

    def cancel(self, *, actor: Actor, run_id: UUID) -> None:
        rounds.round_cancel(round_id=run_id)
