"""Can requests for runs get through? Asked with readiness, in a process of any kind."""

import functools

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from executions.kafka.clients import common, event_topic, request_topic
from tradingsite.common.health import Health

ANSWER_S = 0.8


@functools.cache
def _client() -> AdminClient:
    return AdminClient(common())


def health() -> Health:
    """Degraded without brokers or topics: runs are accepted and wait in the outbox."""
    try:
        found = _client().list_topics(timeout=ANSWER_S)
    except KafkaException as error:
        return Health("degraded", f"no broker answers ({error.args[0].name()}); accepted runs wait in the outbox")
    missing = [name for name in (request_topic(), event_topic()) if name not in found.topics]
    if missing:
        return Health("degraded", f"there is no topic {' and no topic '.join(missing)}; create it")
    return Health("ok", f"{len(found.brokers)} brokers")
