"""The names that Kafka, the outbox and the tables agree on."""

from pathlib import Path

from django.db import models

SCHEMAS = Path(__file__).parent / "schemas"

# The tasks of the outbox that leave by Kafka.
REQUEST_TASK = "executions.run"
EVENT_TASK = "executions.event"
EVENT_QUEUE = "events"

# What an executor says in its heartbeat that it takes; a Celery worker says `runs`.
REQUEST_QUEUE = "runs.kafka"

REQUESTS = "run-requests"
EVENTS = "run-events"

MESSAGE_ID = "message-id"


class Reason(models.TextChoices):
    """Why a record was parked."""

    EMPTY = "empty", "No value"
    TOO_LARGE = "too_large", "Larger than any request"
    NOT_JSON = "not_json", "No JSON"
    NEWER_SCHEMA = "newer_schema", "Of a newer version"
    WRONG_SCHEMA = "wrong_schema", "Not as the schema says"
    WRONG_KEY = "wrong_key", "Key is not the run"
    UNKNOWN_RUN = "unknown_run", "Unknown run"


class Outcome(models.TextChoices):
    """What became of a request that an executor took."""

    CARRIED = "carried", "Carried"
    # Somebody else carries the run, or it is over.
    NOT_OURS = "not_ours", "Not ours to carry"
    FAULT = "fault", "Left to the watchdog"
