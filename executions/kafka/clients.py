"""How the desk's clients of Kafka are set up: what must hold for no request to be lost, and what the operator adds."""

from typing import Any

from confluent_kafka import KafkaError
from django.conf import settings

from executions.kafka.words import EVENTS, REQUESTS

# Not the operator's to change: with other values requests would be lost, doubled or mixed up between desks.
OURS = frozenset(
    {
        "acks",
        "auto.offset.reset",
        "bootstrap.servers",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "enable.idempotence",
        "group.id",
        "metadata.broker.list",
        "request.required.acks",
        "transactional.id",
    }
)


def topic(name: str) -> str:
    """Return the full name of one of the desk's topics."""
    return f"{settings.KAFKA_TOPIC_PREFIX}{name}"


def request_topic() -> str:
    return topic(REQUESTS)


def event_topic() -> str:
    return topic(EVENTS)


def given() -> dict[str, Any]:
    """Return what the environment says of the connection."""
    config = dict(settings.KAFKA_CONFIG)
    if settings.KAFKA_SASL_PASSWORD:
        config["sasl.password"] = settings.KAFKA_SASL_PASSWORD
    return config


def common() -> dict[str, Any]:
    """Return what every client needs."""
    return {
        "client.id": "desk",
        "socket.keepalive.enable": True,
        "reconnect.backoff.max.ms": 2000,
        # Otherwise each try to reach each broker is a line; who needs the connection says what it comes to.
        "log_level": 2,
        **given(),
        "bootstrap.servers": settings.KAFKA_BOOTSTRAP_SERVERS,
    }


def producing() -> dict[str, Any]:
    return {**common(), "enable.idempotence": True, "acks": "all", "linger.ms": 5}


def consuming(group: str) -> dict[str, Any]:
    return {
        # A dead executor's partitions go to the others about when the leases of its runs end.
        "session.timeout.ms": 6000,
        "heartbeat.interval.ms": 2000,
        "partition.assignment.strategy": "cooperative-sticky",
        **common(),
        "group.id": group,
        # A new group reads everything that is left; the inbox and the claims tell what is done already.
        "auto.offset.reset": "earliest",
        # Stored by us once the record is a row; the library commits what is stored, also when a partition is given up.
        "enable.auto.offset.store": False,
        "enable.auto.commit": True,
        "auto.commit.interval.ms": 500,
    }


def said(error: KafkaError) -> str:
    return f"{error.name()}: {error.str()}"
