"""Live events: numbered per stream, stored with the change they tell of, and pushed to whoever listens."""

from tradingsite.common.live.events import publish, publish_all

__all__ = ["publish", "publish_all"]
