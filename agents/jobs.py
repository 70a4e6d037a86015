"""What of the agents can be scheduled."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, ClassVar
from uuid import UUID

from agents.autonomous import runs
from agents.autonomous.choices import RunStatus, RunTrigger
from agents.autonomous.config import JOB
from agents.autonomous.errors import AgentRunEnded
from agents.services import agents_check
from tradingsite.common.actor import Actor
from tradingsite.common.api.serializers import StrictSerializer
from tradingsite.common.contracts.jobs import Job, NoConfig, RunStarter, Skipped, job_types
from tradingsite.common.roles import Role


@job_types.register
class CheckHealth(Job):
    slug: ClassVar[str] = "agents.check_health"
    title: ClassVar[str] = "Check agents"
    help: ClassVar[str] = (
        "Asks every enabled agent whether it would answer; the desk does it every five minutes anyway."
    )
    config_class: ClassVar[type[StrictSerializer]] = NoConfig

    def run(self, *, actor: Actor, config: Mapping[str, Any]) -> Mapping[str, Any]:
        return asdict(agents_check())


@job_types.register
class RunAgent(RunStarter):
    slug: ClassVar[str] = JOB
    title: ClassVar[str] = "Run the autonomous agent"
    help: ClassVar[str] = "Starts a run of the autonomous agent, as it is set at /api/agent then."
    config_class: ClassVar[type[StrictSerializer]] = NoConfig
    least_role: ClassVar[Role] = Role.OPERATOR

    def start(self, *, actor: Actor, config: Mapping[str, Any]) -> UUID | Skipped:
        run = runs.run_start(actor=actor, trigger=RunTrigger.SCHEDULE)
        if run.status == RunStatus.SKIPPED:
            return Skipped(run.code, run.reason, run.pk)
        return run.pk

    def cancel(self, *, actor: Actor, run_id: UUID) -> None:
        try:
            runs.run_cancel(actor=actor, run_id=run_id, reason="a newer fire of its schedule took its place")
        except AgentRunEnded:
            return
