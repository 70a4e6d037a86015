"""Records as they stand on the topics: written by the desk, and read with suspicion by its executors."""

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import best_match

from executions.kafka.words import SCHEMAS, Reason
from tradingsite.common.clock import rfc3339

REQUEST_VERSION = 1
# A request has some three hundred bytes.
REQUEST_MAX = 64 * 1024


class Unreadable(Exception):
    """A record that cannot be what it should be: the reason's word, and what is wrong with this one."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason.value}: {detail}")
        self.reason = reason
        # Whatever the record holds, this is text that every database takes.
        self.detail = detail.replace("\x00", "").encode("ascii", "backslashreplace").decode()[:300]


@dataclass(frozen=True)
class RunRequested:
    """A request to carry a run, as read from the topic."""

    message_id: str
    run_id: UUID
    task_id: str
    priority: int


@functools.cache
def validator(name: str) -> Draft202012Validator:
    """Return the validator of the schema in the file `name`."""
    schema = json.loads((SCHEMAS / f"{name}.json").read_text())
    return Draft202012Validator(schema, format_checker=FormatChecker(["uuid"]))


def request_written(*, message_id: str, run_id: str, task_id: str, priority: int, at: datetime) -> bytes:
    """Return the value of a record that asks for a run."""
    return _bytes(
        {
            "schema_version": REQUEST_VERSION,
            "type": "run.requested",
            "message_id": message_id,
            "run_id": run_id,
            "task_id": task_id,
            "priority": priority,
            "requested_at": rfc3339(at),
        }
    )


def event_written(event: Mapping[str, Any]) -> bytes:
    """Return the value of a record that tells of a run."""
    return _bytes(event)


def request_read(key: bytes | None, value: bytes | None) -> RunRequested:
    """Return what a record asks for.

    Raises:
        Unreadable: it is no request that this version of the desk understands.
    """
    if value is None:
        raise Unreadable(Reason.EMPTY, "a record without a value asks for nothing")
    if len(value) > REQUEST_MAX:
        raise Unreadable(Reason.TOO_LARGE, f"{len(value)} bytes; a request has at most {REQUEST_MAX}")
    body = _json(value)
    version = body.get("schema_version") if isinstance(body, dict) else None
    if isinstance(version, int) and version > REQUEST_VERSION:
        raise Unreadable(Reason.NEWER_SCHEMA, f"version {version}; this executor understands {REQUEST_VERSION}")
    error = best_match(validator(f"run-request.v{REQUEST_VERSION}").iter_errors(body))
    if error is not None:
        raise Unreadable(Reason.WRONG_SCHEMA, f"{error.json_path}: {error.message}")
    run_id = UUID(body["run_id"])
    if key is None or key.decode(errors="replace").lower() != str(run_id):
        raise Unreadable(Reason.WRONG_KEY, f"the key is {key!r}, the run {run_id}")
    return RunRequested(body["message_id"], run_id, body["task_id"], int(body["priority"]))


def _json(value: bytes) -> Any:
    try:
        return json.loads(value, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise Unreadable(Reason.NOT_JSON, str(error)) from error


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _bytes(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
