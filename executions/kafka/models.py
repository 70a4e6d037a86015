"""What came in from Kafka: requests that wait for a worker thread, and records that nobody can carry."""

from typing import ClassVar

from django.db import models

from executions.kafka.words import Outcome, Reason
from tradingsite.common.clock import utcnow

TOPIC_MAX = 249


class InboxMessage(models.Model):
    """A request for a run as it came from the topic, once, however often the topic tells it.

    `message_id` makes it once: a record that is delivered again finds its row. Waiting until `taken_at`.
    """

    id = models.BigAutoField(primary_key=True)
    message_id = models.CharField(max_length=80, unique=True)
    topic = models.CharField(max_length=TOPIC_MAX)
    partition = models.PositiveIntegerField()
    offset = models.BigIntegerField()
    # Not a relation: a row outlives its run, as the record on the topic does.
    execution_id = models.UUIDField()
    task_id = models.CharField(max_length=36)
    priority = models.PositiveSmallIntegerField(default=0)
    received_at = models.DateTimeField(default=utcnow)
    taken_at = models.DateTimeField(null=True, blank=True)
    taken_by = models.CharField(max_length=100, blank=True, default="")
    done_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=10, choices=Outcome.choices, blank=True, default="")

    class Meta:
        db_table = "kafka_inbox"
        verbose_name = "request from Kafka"
        verbose_name_plural = "requests from Kafka"
        indexes: ClassVar = [
            models.Index(fields=["-priority", "id"], condition=models.Q(taken_at=None), name="kafka_inbox_waiting"),
            # The watchdog asks by the task whether a request is on its way, or fell to somebody who died with it.
            models.Index(fields=["task_id"], condition=models.Q(done_at=None), name="kafka_inbox_open_task"),
            models.Index(fields=["received_at"], name="kafka_inbox_received"),
        ]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(done_at__isnull=True) | models.Q(taken_at__isnull=False),
                name="kafka_inbox_taken_before_done",
            ),
        ]

    def __str__(self) -> str:
        return self.message_id


class ParkedRecord(models.Model):
    """A record that is no request for a run, set aside with the reason so that the ones behind it go on.

    The same bytes at the same place are one row, however often the topic is read.
    """

    id = models.BigAutoField(primary_key=True)
    topic = models.CharField(max_length=TOPIC_MAX)
    partition = models.PositiveIntegerField()
    offset = models.BigIntegerField()
    key = models.BinaryField(null=True, blank=True, help_text="Its first bytes.")
    value = models.BinaryField(null=True, blank=True, help_text="Its first bytes.")
    size = models.PositiveBigIntegerField(default=0, help_text="Bytes of the whole value.")
    digest = models.CharField(max_length=64, help_text="SHA-256 of key and value.")
    reason = models.CharField(max_length=12, choices=Reason.choices)
    detail = models.CharField(max_length=300)
    at = models.DateTimeField(default=utcnow)
    replayed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "kafka_parked"
        verbose_name = "parked record"
        indexes: ClassVar = [models.Index(fields=["at"], name="kafka_parked_at")]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["topic", "partition", "offset", "digest"], name="kafka_parked_once"),
        ]

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]@{self.offset}"
