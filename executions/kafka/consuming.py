"""From the topic to the inbox: one thread that writes records down and does nothing else, so that it always polls."""

import logging
import threading
from collections.abc import Sequence

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from django.db import Error, close_old_connections

from executions.kafka import inbox
from executions.kafka.clients import consuming, request_topic, said
from executions.kafka.inbox import Record

logger = logging.getLogger(__name__)

BATCH = 200
POLL_S = 0.25
PAUSE_S = 1.0
# More than this waiting in the inbox, and the topic keeps the rest: it is the better place for a long queue.
BACKLOG_MAX = 1000


class RequestConsumer:
    """Reads requests as a member of `group` until it is stopped.

    An offset is stored after its record has become a row, and the library commits what is stored. Whenever the database
    or the brokers fail, the consumer leaves the group and joins again later, from what was committed: a process that
    cannot write has no business holding partitions.
    """

    def __init__(self, group: str, arrived: threading.Event, *, backlog_max: int = BACKLOG_MAX) -> None:
        self._group = group
        self._arrived = arrived
        self._backlog_max = backlog_max
        self._stop = threading.Event()
        self._held = False
        self._told: set[str] = set()
        self._thread = threading.Thread(target=self._run, name="kafka consumer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Have it leave the group soon."""
        self._stop.set()

    def join(self, timeout_s: float) -> bool:
        """Wait for its end; False when it has not come in time."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                close_old_connections()
                # Asked before it joins: partitions are for those who can write.
                inbox.waiting(at_most=1)
                self._consume()
            except (Error, OSError) as error:
                logger.warning("requests from Kafka cannot be written down for now: %s", error)
            except KafkaException as error:
                logger.warning("requests from Kafka cannot be read for now: %s", error.args[0])
            except Exception:  # nobody would start this thread again
                logger.exception("requests from Kafka cannot be read for now")
            finally:
                close_old_connections()
            self._stop.wait(PAUSE_S)

    def _consume(self) -> None:
        self._held = False
        consumer = Consumer({**consuming(self._group), "error_cb": self._note})
        try:
            consumer.subscribe([request_topic()], on_assign=_assigned)
            while not self._stop.is_set():
                self._write(consumer, _read(consumer, self._room(consumer)))
        finally:
            consumer.close()

    def _room(self, consumer: Consumer) -> int:
        """Return how many records may come in; without room the partitions pause, and polling keeps us in the group."""
        waiting = inbox.waiting(at_most=self._backlog_max)
        if waiting >= self._backlog_max:
            if not self._held:
                logger.info("%s requests wait here; the topic keeps the rest", waiting)
            self._held = True
            # Each time: meanwhile others may have been assigned.
            consumer.pause(consumer.assignment())
        elif self._held and waiting <= self._backlog_max / 2:
            self._held = False
            consumer.resume(consumer.assignment())
        return max(self._backlog_max - waiting, 1)

    def _write(self, consumer: Consumer, messages: Sequence[Message]) -> None:
        records = []
        for message in messages:
            error = message.error()
            if error is None:
                records.append(_record(message))
            elif error.fatal():
                raise KafkaException(error)
            else:
                self._note(error)
        if not records:
            return
        received = inbox.receive(records)
        if received.parked:
            logger.warning("%s records are parked: they ask for no run that this desk can carry", received.parked)
        self._arrived.set()
        self._told.clear()
        ends: dict[int, int] = {}
        for record in records:
            ends[record.partition] = max(record.offset + 1, ends.get(record.partition, 0))
        for partition, offset in ends.items():
            try:
                consumer.store_offsets(offsets=[TopicPartition(request_topic(), partition, offset)])
            except KafkaException as lost:
                # Somebody else's by now, who reads these records again and finds their rows.
                logger.info("partition %s was given up meanwhile: %s", partition, lost.args[0])

    def _note(self, error: KafkaError) -> None:
        """Tell each fault once, until something has come in again."""
        if error.name() not in self._told:
            self._told.add(error.name())
            logger.warning("Kafka: %s", said(error))


def _read(consumer: Consumer, at_most: int) -> list[Message]:
    """Wait a moment for a record, and return it with those that are here already."""
    first = consumer.poll(POLL_S)
    if first is None:
        return []
    return [first, *consumer.consume(min(BATCH, at_most) - 1, 0)] if at_most > 1 else [first]


def _assigned(_: Consumer, partitions: list[TopicPartition]) -> None:
    logger.info("reads partitions %s", sorted(place.partition for place in partitions))


def _record(message: Message) -> Record:
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None
    assert partition is not None
    assert offset is not None
    return Record(topic, partition, offset, message.key(), message.value())
