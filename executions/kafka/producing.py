"""From the outbox to a topic: a row counts as sent when the brokers have confirmed its record, not before."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from executions.kafka.clients import event_topic, producing, request_topic, said
from executions.kafka.records import event_written, request_written
from executions.kafka.words import EVENT_TASK, MESSAGE_ID, REQUEST_TASK
from tradingsite.common.models import OutboxMessage
from tradingsite.common.routes import Route

# A relay waits this long for a batch, while its rows are locked.
CONFIRMED_WITHIN_S = 4.0
UNCONFIRMED = "no broker confirmed it in time"


@dataclass(frozen=True)
class Outgoing:
    """A record that is about to leave."""

    topic: str
    key: str
    value: bytes
    message_id: str


def request_of(message: OutboxMessage) -> Outgoing:
    """Return the record that asks for a run."""
    run_id = str(message.args[0])
    # A run may be asked for again under the same task; the row tells the requests apart, and the task tells them from
    # those of another database that counts its rows from 1 too.
    message_id = f"{message.task_id}.{message.pk}"
    value = request_written(
        message_id=message_id,
        run_id=run_id,
        task_id=message.task_id,
        priority=message.priority,
        at=message.created_at,
    )
    return Outgoing(request_topic(), run_id, value, message_id)


def event_of_row(message: OutboxMessage) -> Outgoing:
    """Return the record that tells of a run."""
    event = message.args[0]
    return Outgoing(event_topic(), event["run_id"], event_written(event), event["message_id"])


class Lane:
    """One kind of messages on its way to its topic.

    The producer lives as long as everything is confirmed. One that could not deliver is thrown away with what it still
    held, so that of each partition a beginning has left and the rest waits in the outbox: what leaves later never
    stands before what was to leave earlier.
    """

    def __init__(self, record_of: Callable[[OutboxMessage], Outgoing]) -> None:
        self._record_of = record_of
        self._producer: Producer | None = None
        self._fault = ""
        # The thread of the relay, and whoever drains the outbox once.
        self._one_at_a_time = threading.Lock()

    def send(self, messages: Sequence[OutboxMessage]) -> Mapping[int, str]:
        """Produce all, wait for the brokers, and return the reason for each message that they did not confirm."""
        unconfirmed = dict.fromkeys((message.pk for message in messages), "")
        with self._one_at_a_time:
            self._fault = ""
            try:
                if self._producer is None:
                    self._producer = Producer({**producing(), "error_cb": self._note})
            except KafkaException as error:
                return dict.fromkeys(unconfirmed, said(error.args[0]))
            kept_back = self._produce(self._producer, messages, unconfirmed)
            if unconfirmed.keys() - kept_back:
                self._discard()
            return {key: reason or self._fault or UNCONFIRMED for key, reason in unconfirmed.items()}

    def _produce(self, producer: Producer, messages: Sequence[OutboxMessage], unconfirmed: dict[int, str]) -> set[int]:
        """Produce and wait; return which messages were not given to the producer at all."""
        kept_back = set()
        for message in messages:
            try:
                record = self._record_of(message)
                producer.produce(
                    record.topic,
                    key=record.key,
                    value=record.value,
                    headers={MESSAGE_ID: record.message_id},
                    on_delivery=_told(message.pk, unconfirmed),
                )
            except KafkaException as error:
                unconfirmed[message.pk] = said(error.args[0])
                kept_back.add(message.pk)
            except (LookupError, TypeError, ValueError, BufferError) as error:
                # A row that is no message of its task stays where it is and holds nobody up.
                unconfirmed[message.pk] = f"no record can be made of it: {type(error).__name__}: {error}"
                kept_back.add(message.pk)
        producer.flush(CONFIRMED_WITHIN_S)
        return kept_back

    def _note(self, error: KafkaError) -> None:
        self._fault = said(error)

    def _discard(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.purge()


def _told(key: int, unconfirmed: dict[int, str]) -> Callable[[KafkaError | None, Message], None]:
    def told(error: KafkaError | None, _: Message) -> None:
        if error is None:
            unconfirmed.pop(key, None)
        else:
            unconfirmed[key] = said(error)

    return told


def routes() -> tuple[Route, Route]:
    """Return the ways that run requests and run events take with Kafka."""
    return (
        Route("kafka requests", frozenset({REQUEST_TASK}), Lane(request_of).send),
        Route("kafka events", frozenset({EVENT_TASK}), Lane(event_of_row).send, ordered=True),
    )
