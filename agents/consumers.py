"""`/ws/agent`: what the autonomous agent does, and what is said in every conversation of the desk."""

from agents.news import FEED
from tradingsite.common.live.consumer import LiveConsumer


class AgentConsumer(LiveConsumer):
    """Messages as `agents.news.tell` names them. One stream for all of it, numbered without a gap."""

    feed = FEED

    async def stream_name(self) -> str | None:
        return FEED
