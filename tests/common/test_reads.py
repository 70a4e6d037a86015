"""Reading by a key with a statement made once: the same rows as Django's own query gives."""

import threading
import uuid
from typing import Any

import pytest
from django.db import connection
from django.db.models import Model
from django.test.utils import CaptureQueriesContext

from market.models import DataSource, Instrument
from tradingsite.common.models import OutboxMessage
from tradingsite.common.reads import KeyReader

pytestmark = pytest.mark.django_db


def values(row: Model) -> dict[str, Any]:
    return {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}


@pytest.fixture
def instruments() -> list[Instrument]:
    source = DataSource.objects.create(slug="read", title="Read", kind="import", clock="historical")
    rows = [
        Instrument.objects.create(symbol="B", exchange="XNYS", default_source=source),
        Instrument.objects.create(symbol="A", exchange="XNYS", default_source=source),
        Instrument.objects.create(symbol="C", exchange="XNYS"),
    ]
    # As the database keeps them.
    return [Instrument.objects.get(pk=row.pk) for row in rows]


def test_each_field_is_what_django_reads(instruments: list[Instrument]) -> None:
    read = KeyReader(Instrument, "id")
    for row in instruments:
        found = read.first(row.pk)
        assert found is not None
        assert values(found) == values(row)
        assert found == row
        assert not found._state.adding


def test_json_comes_back_as_what_was_written() -> None:
    row = OutboxMessage.objects.create(task="t", task_id="1", queue="q", args=["ä", None, {"a": 1.5}], kwargs={"b": []})
    found = KeyReader(OutboxMessage, "task_id").first("1")
    assert found is not None
    assert values(found) == values(OutboxMessage.objects.get(pk=row.pk))


def test_rows_come_in_the_order_that_was_asked_for(instruments: list[Instrument]) -> None:
    read = KeyReader(Instrument, "default_source", order="symbol")
    assert [row.symbol for row in read.all(instruments[0].default_source_id)] == ["A", "B"]


def test_a_row_that_is_pointed_at_is_read_with_it_and_a_missing_one_is_none(instruments: list[Instrument]) -> None:
    read = KeyReader(Instrument, "id", related=("default_source",))
    with CaptureQueriesContext(connection) as captured:
        found = [read.first(row.pk) for row in instruments]
        sources = [row.default_source for row in found if row is not None]
    assert len(captured) == len(instruments), "one statement each, and none for what it points to"
    assert [source and values(source) for source in sources] == [
        source and values(source) for source in (row.default_source for row in instruments)
    ]
    assert sources[2] is None


def test_a_key_that_no_row_has_finds_none() -> None:
    assert KeyReader(Instrument, "id").first(uuid.uuid4()) is None
    assert KeyReader(Instrument, "default_source").all(uuid.uuid4()) == []


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_a_column_that_a_migration_widens_does_not_stop_who_reads_it() -> None:
    """The server has planned the statement and says for good that its result has another type now."""
    OutboxMessage.objects.create(task="t", task_id="1", queue="q")
    read = KeyReader(OutboxMessage, "task_id")

    def widen(length: int) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE outbox_message ALTER last_error TYPE varchar({length})")
        connection.close()

    for _ in range(4):
        assert read.first("1") is not None
    try:
        migration = threading.Thread(target=widen, args=(400,))
        migration.start()
        migration.join(10)
        assert read.first("1") is not None
    finally:
        widen(300)
