"""The ground's own scheduled job: removing what has done its service."""

from collections.abc import Mapping
from typing import Any, ClassVar

from tradingsite.common import housekeeping
from tradingsite.common.actor import Actor
from tradingsite.common.api.serializers import StrictSerializer
from tradingsite.common.contracts.jobs import Job, NoConfig, job_types
from tradingsite.common.roles import Role


@job_types.register
class CleanUp(Job):
    slug: ClassVar[str] = "tradingsite.clean_up"
    title: ClassVar[str] = "Clean up"
    help: ClassVar[str] = "Deletes messages, events and tokens past their time; beat does it every hour anyway."
    config_class: ClassVar[type[StrictSerializer]] = NoConfig
    least_role: ClassVar[Role] = Role.OPERATOR

    def run(self, *, actor: Actor, config: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"deleted": housekeeping.prune()}
