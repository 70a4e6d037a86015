"""From the process where something happened to the hubs of all processes that hold sockets.

Within one process that is a call; between processes it is one Redis channel, one subscription per process. Losing a
message here costs a moment: the row is in the database and the number tells the client that it missed one.
"""

import functools
import json
import logging
from typing import Any

import redis
from django.conf import settings

from tradingsite.common.live.hub import hub

logger = logging.getLogger(__name__)

CHANNEL = "desk:live"


@functools.cache
def _client() -> redis.Redis:
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_connect_timeout=1, socket_timeout=1, socket_keepalive=True, health_check_interval=30
    )


def send(envelope: dict[str, Any]) -> None:
    """Hand one envelope to every hub. Never raises for a Redis that is away: the news is already stored."""
    if not settings.REDIS_URL:
        hub.deliver_threadsafe(envelope)
        return
    try:
        _client().publish(CHANNEL, json.dumps(envelope))
    except redis.RedisError as error:
        logger.warning("live event %s of %s is not pushed: %s", envelope["seq"], envelope["stream"], error)
