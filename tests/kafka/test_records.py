"""Records: what the desk writes is what its schemas say, and what is no request is told apart by reason."""

import contextlib
import json
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from executions.choices import ExecutionStatus, StepStatus
from executions.kafka import records
from executions.kafka.events import TEXT_MAX, event_of
from executions.kafka.records import Unreadable, event_written, request_read, request_written, validator
from executions.kafka.words import Reason

RUN = uuid.UUID("11111111-2222-4333-8444-555555555555")
TASK = "99999999-8888-4777-8666-555555555555"
KEY = str(RUN).encode()
AT = datetime(2026, 1, 5, 15, 0, tzinfo=UTC)


def request(**changed: Any) -> bytes:
    value = request_written(message_id=f"{TASK}.7", run_id=str(RUN), task_id=TASK, priority=5, at=AT)
    return json.dumps(json.loads(value) | changed).encode()


def reason(key: bytes | None, value: bytes | None) -> Reason:
    with pytest.raises(Unreadable) as caught:
        request_read(key, value)
    assert caught.value.detail
    assert len(caught.value.detail) <= 300
    return caught.value.reason


@pytest.mark.parametrize("name", ["run-request.v1", "run-event.v1"])
def test_the_schemas_are_schemas_of_the_draft_they_name(name: str) -> None:
    Draft202012Validator.check_schema(validator(name).schema)
    assert validator(name).schema["$id"] == f"{name}.json"


@given(st.uuids(), st.uuids(), st.integers(0, 9), st.datetimes(timezones=st.just(UTC)), st.integers(1, 2**63 - 1))
def test_a_request_that_the_desk_writes_is_read_as_it_was_meant(
    run: uuid.UUID, task: uuid.UUID, priority: int, at: datetime, row: int
) -> None:
    value = request_written(message_id=f"{task}.{row}", run_id=str(run), task_id=str(task), priority=priority, at=at)
    assert request_read(str(run).encode(), value) == records.RunRequested(f"{task}.{row}", run, str(task), priority)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        (KEY, None, Reason.EMPTY),
        (KEY, b"x" * (records.REQUEST_MAX + 1), Reason.TOO_LARGE),
        (KEY, b"", Reason.NOT_JSON),
        (KEY, b"run please", Reason.NOT_JSON),
        (KEY, b"\xff\xfe\x00", Reason.NOT_JSON),
        (KEY, b'{"priority": NaN}', Reason.NOT_JSON),
        (KEY, b"[" * 60_000, Reason.NOT_JSON),
        (KEY, b"null", Reason.WRONG_SCHEMA),
        (KEY, b"[]", Reason.WRONG_SCHEMA),
        (KEY, b"{}", Reason.WRONG_SCHEMA),
        (KEY, request(schema_version=2), Reason.NEWER_SCHEMA),
        (KEY, request(schema_version=2, type="something.else"), Reason.NEWER_SCHEMA),
        (KEY, request(schema_version=0), Reason.WRONG_SCHEMA),
        (KEY, request(schema_version="2"), Reason.WRONG_SCHEMA),
        (KEY, request(run_id="17"), Reason.WRONG_SCHEMA),
        (KEY, request(priority=10), Reason.WRONG_SCHEMA),
        (KEY, request(priority="5"), Reason.WRONG_SCHEMA),
        (KEY, request(message_id="x\x00"), Reason.WRONG_SCHEMA),
        (KEY, request(message_id="x" * 81), Reason.WRONG_SCHEMA),
        (KEY, request(requested_at="yesterday"), Reason.WRONG_SCHEMA),
        (KEY, request(user="root"), Reason.WRONG_SCHEMA),
        (None, request(), Reason.WRONG_KEY),
        (b"another", request(), Reason.WRONG_KEY),
        (b"\xff", request(), Reason.WRONG_KEY),
    ],
)
def test_what_is_no_request_is_told_apart(key: bytes | None, value: bytes | None, expected: Reason) -> None:
    assert reason(key, value) == expected


@given(st.one_of(st.none(), st.binary(max_size=200)), st.binary(max_size=400))
def test_no_bytes_raise_anything_else(key: bytes | None, value: bytes) -> None:
    reason(key, value)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    ),
    st.sampled_from(sorted(validator("run-request.v1").schema["properties"])),
)
def test_no_json_in_any_member_raises_anything_else(value: Any, member: str) -> None:
    with contextlib.suppress(Unreadable):
        assert request_read(KEY, request(**{member: value})).run_id == RUN


@pytest.mark.parametrize("status", ExecutionStatus.values)
def test_the_status_of_a_run_fits_the_schema_of_events(status: str) -> None:
    data = {"status": status, "progress": 12.5, "attempts": 1, "error_code": "X", "error_message": "y" * 9000}
    event = event_of(run_id=RUN, type_="status", seq=3, at=AT, data=data)
    validator("run-event.v1").validate(json.loads(event_written(event)))
    assert (event["message_id"], len(event["data"]["error_message"])) == (f"{RUN}.3", TEXT_MAX)


@pytest.mark.parametrize("status", StepStatus.values)
def test_a_step_fits_the_schema_of_events(status: str) -> None:
    data = {"index": 0, "name": "a", "status": status, "duration": None, "attempts": 0, "summary": "", "new": 1}
    validator("run-event.v1").validate(event_of(run_id=RUN, type_="step", seq=1, at=AT, data=data))


@pytest.mark.parametrize(
    "changed",
    [{"type": "run.step"}, {"type": "run.else"}, {"seq": 0}, {"data": {}}, {"data": {"status": "asleep"}}, {"x": 1}],
)
def test_an_event_that_is_none_does_not_fit(changed: dict[str, Any]) -> None:
    data = {"status": "running", "progress": 0, "attempts": 1}
    event = event_of(run_id=RUN, type_="status", seq=1, at=AT, data=data)
    assert validator("run-event.v1").is_valid(event)
    assert not validator("run-event.v1").is_valid(event | changed)
