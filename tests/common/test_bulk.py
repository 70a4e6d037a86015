"""Many rows in one statement: what is written is what was given, and what a row's column refuses is refused."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db import DataError, IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from safety.models import AlertEvent
from tradingsite.common import live
from tradingsite.common.bulk import ids_given, insert_all, rows_known
from tradingsite.common.ids import uuid7
from tradingsite.common.models import LiveEvent

pytestmark = pytest.mark.django_db

AT = datetime(2026, 3, 4, 5, 6, 7, 891_234, tzinfo=UTC)
AWKWARD = "a \"b\" 'c' \\ %s {} \n\t é 漢 🙂 null"


def row(**fields: Any) -> dict[str, Any]:
    return {
        "id": uuid7(), "created_at": AT, "updated_at": AT, "alert_id": None, "name": "n", "kind": "price_above",
        "severity": "warning", "symbol": "", "value": None, "threshold": None, "message": "m", "triggered_at": AT,
        "acknowledged_at": None, "acknowledged_by": "", "observation": "", "email_id": None, **fields,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("message", AWKWARD),
        ("message", ""),
        ("value", Decimal("0.0000000001")),
        ("value", Decimal("-12345.012345678")),
        ("value", Decimal("1E+3")),
        ("value", None),
        ("acknowledged_at", AT),
        ("alert_id", uuid7()),
    ],
)
def test_a_value_is_read_as_it_was_given(name: str, value: Any) -> None:
    given = row(**{name: value})
    insert_all(AlertEvent, [given])
    read = AlertEvent.objects.get(pk=given["id"])
    assert getattr(read, name) == value
    assert read.triggered_at == AT


@pytest.mark.postgres
def test_rows_of_any_number_take_one_statement() -> None:
    rows = [row(name=f"n {number}") for number in range(300)]
    with CaptureQueriesContext(connection) as seen:
        insert_all(AlertEvent, rows)
    assert len([each for each in seen if "INSERT" in each["sql"]]) == 1
    assert AlertEvent.objects.filter(pk__in=ids_given([each["id"] for each in rows[:200]])).count() == 200
    insert_all(AlertEvent, [])
    assert AlertEvent.objects.count() == 300


def test_a_row_that_is_there_is_refused_with_all_others_or_replaced_where_asked() -> None:
    first = row(message="old")
    insert_all(AlertEvent, [first])
    again = [row(), {**first, "message": "new"}]
    with pytest.raises(IntegrityError), transaction.atomic():
        insert_all(AlertEvent, again)
    assert AlertEvent.objects.get().message == "old"
    insert_all(AlertEvent, again, replacing=True)
    assert AlertEvent.objects.count() == 2
    assert AlertEvent.objects.get(pk=first["id"]).message == "new"


@pytest.mark.postgres
def test_a_text_that_is_too_long_is_refused_and_not_cut() -> None:
    with pytest.raises(DataError), transaction.atomic():
        insert_all(AlertEvent, [row(name="n" * 121)])
    assert not AlertEvent.objects.exists()


def test_pairs_are_known_as_pairs() -> None:
    one, other = uuid7(), uuid7()
    insert_all(AlertEvent, [row(alert_id=one, observation="a"), row(alert_id=other, observation="b")])
    asked = {(one, "a"), (one, "b"), (other, "b"), (other, AWKWARD)}
    assert rows_known(AlertEvent, ("alert_id", "observation"), asked) == {(one, "a"), (other, "b")}
    assert rows_known(AlertEvent, ("alert_id", "observation"), []) == set()


@pytest.mark.parametrize("count", [1, 2, 20, 21, 300])
def test_live_events_of_any_number_are_numbered_in_their_order(count: int) -> None:
    live.publish("alerts", "before", {})
    messages: list[dict[str, Any]] = [
        {"number": n, "text": AWKWARD, "more": [n, None, {"x": 1.5}]} for n in range(count)
    ]
    assert live.publish_all("alerts", "alert", messages) == count + 1
    rows = LiveEvent.objects.filter(stream="alerts", type="alert").order_by("seq")
    assert [(each.seq, each.feed) for each in rows] == [(n + 2, "alerts") for n in range(count)]
    assert [each.data for each in rows] == json.loads(json.dumps(messages))
