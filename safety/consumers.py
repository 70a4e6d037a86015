"""The alerts socket."""

from typing import ClassVar

from tradingsite.common.live.consumer import LiveConsumer
from tradingsite.common.roles import Role


class AlertsConsumer(LiveConsumer):
    """Every alert as it is raised or acknowledged, one stream without a gap."""

    required_role: ClassVar[Role] = Role.VIEWER
    feed: ClassVar[str] = "alerts"

    async def stream_name(self) -> str:
        return "alerts"
