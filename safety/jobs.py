"""What of safety can be scheduled."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, ClassVar

from safety.alerting.rounds import evaluate
from tradingsite.common.actor import Actor
from tradingsite.common.api.serializers import StrictSerializer
from tradingsite.common.contracts.jobs import Job, NoConfig, job_types
from tradingsite.common.roles import Role


@job_types.register
class EvaluateAlerts(Job):
    slug: ClassVar[str] = "safety.evaluate_alerts"
    title: ClassVar[str] = "Evaluate alerts"
    help: ClassVar[str] = "Looks at every alert rule once; the desk does it every two seconds anyway."
    config_class: ClassVar[type[StrictSerializer]] = NoConfig
    least_role: ClassVar[Role] = Role.OPERATOR

    def run(self, *, actor: Actor, config: Mapping[str, Any]) -> Mapping[str, Any]:
        return asdict(evaluate())
