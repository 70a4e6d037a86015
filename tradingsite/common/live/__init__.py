"""Live events: numbered per stream, stored with the change they tell of, and pushed to whoever listens."""

from tradingsite.common.live.events import publish

__all__ = ["publish"]
