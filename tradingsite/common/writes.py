"""Several writes behind one condition, in one round trip where the database can.

A change of a run touches its row, a step or two, and the live events that tell of it. Each statement of its own is a
trip to the database, and the trips are most of what a short step costs. PostgreSQL takes them all as one prepared
statement; SQLite, to which no trip leads, takes the same statements one after another in a transaction.
"""

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

from django.db import connection, models, transaction


@dataclass(frozen=True)
class Sql:
    """A value that the database works out itself."""

    text: str
    params: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Write:
    """One INSERT or UPDATE, whose text ends in its WHERE clause so that a condition can be added."""

    text: str
    params: Sequence[Any]

    def joined(self, condition: str) -> "Joined":
        return Joined(((f"{self.text} AND {condition}", self.params),))

    def alone(self, cursor: Any) -> list[Any]:
        cursor.execute(self.text, self.params)
        return []


@dataclass(frozen=True)
class Joined:
    """A part of one large statement.

    Attributes:
        members: the statements, in an order in which each may read the ones before it by their `names`.
        answer: an expression that tells what the part gave back, as a JSON array; empty for nothing.
    """

    members: Sequence[tuple[str, Sequence[Any]]]
    names: Sequence[str] = ()
    answer: str = ""


class Part(Protocol):
    """What is written together with others."""

    def joined(self, condition: str) -> Joined:
        """Return it as members of one statement, each of which does nothing unless `condition` holds."""

    def alone(self, cursor: Any) -> list[Any]:
        """Do it as a statement of its own and return what it gave back."""


def update(model: type[models.Model], key: Mapping[str, Any], fields: Mapping[str, Any]) -> Write:
    """Return an UPDATE of the row with this `key`; both name fields of the model.

    A condition in `key` may be an `Sql`, which then stands for the whole condition, whatever its name.
    """
    sets, params = _pairs(model, fields)
    conditions: list[str] = []
    for name, value in key.items():
        if isinstance(value, Sql):
            conditions.append(f"({value.text})")
            params += value.params
        else:
            (condition,), more = _pairs(model, {name: value})
            conditions.append(condition)
            params += more
    return Write(f'UPDATE "{model._meta.db_table}" SET {", ".join(sets)} WHERE {" AND ".join(conditions)}', params)


def insert(row: models.Model) -> Write:
    """Return an INSERT of a row that the database does not have yet; a key that it gives is not read back."""
    text, fields = _insertion(type(row), row.pk is not None)
    return Write(text, [field.get_db_prep_save(field.pre_save(row, True), connection=connection) for field in fields])


@functools.cache
def _insertion(model: type[models.Model], keyed: bool) -> tuple[str, list["models.Field[Any, Any]"]]:
    fields = [field for field in model._meta.concrete_fields if keyed or not field.primary_key]
    names = ", ".join(f'"{field.column}"' for field in fields)
    places = ", ".join(["%s"] * len(fields))
    return f'INSERT INTO "{model._meta.db_table}" ({names}) SELECT {places} WHERE true', fields


def kept(*rows: models.Model) -> None:
    """Let rows know that they are in the database by now: saving one again changes it."""
    for row in rows:
        row._state.adding, row._state.db = False, connection.alias


def database_now(later: timedelta = timedelta(0)) -> str:
    """Return the present moment on the database's own clock as an expression of its SQL."""
    seconds = later.total_seconds()
    if connection.vendor == "postgresql":
        return f"(statement_timestamp() + interval '{seconds} seconds')"
    return f"strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now', '{seconds:+} seconds')"


def _pairs(model: type[models.Model], fields: Mapping[str, Any]) -> tuple[list[str], list[Any]]:
    """Return `"column" = %s` for each field, and its value as the database takes it."""
    texts: list[str] = []
    params: list[Any] = []
    for name, value in fields.items():
        field = model._meta.get_field(name)
        assert isinstance(field, models.Field)
        if isinstance(value, Sql):
            texts.append(f'"{field.column}" = {value.text}')
            params += value.params
        else:
            if isinstance(value, models.Model):
                value = value.pk
            texts.append(f'"{field.column}" = %s')
            params.append(field.get_db_prep_save(value, connection=connection))
    return texts, params


def write(
    first: Write, *others: Part, returning: Iterable[str] = ("1",)
) -> tuple[tuple[Any, ...], list[list[Any]]] | None:
    """Do `first`, and if it finds its row, all `others` with it; otherwise nothing at all.

    The others must not touch the row of `first`, nor one row twice: PostgreSQL carries them out side by side.

    Args:
        returning: what is told of the row of `first`, as the change leaves it.

    Returns:
        Those values, and what each of the others gave back; None when `first` found no row.
    """
    told = ", ".join(returning)
    if connection.vendor == "postgresql":
        return _written_at_once(first, others, told)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"{first.text} RETURNING {told}", first.params)
        row = cursor.fetchone()
        if row is None:
            return None
        return tuple(row), [part.alone(cursor) for part in others]


def write_part(part: Part) -> list[Any]:
    """Do one part, whatever else happens, and return what it gave back."""
    if connection.vendor == "postgresql":
        joined = part.joined("true")
        answer = joined.answer or "'[]'::json"
        texts = (f"{name} AS ({text})" for name, (text, _) in zip(_names(0, joined), joined.members, strict=True))
        params = [value for _, values in joined.members for value in values]
        with prepared_cursor() as cursor:
            cursor.execute(f"WITH {', '.join(texts)} SELECT {answer}", params)
            (found,) = cursor.fetchone()
        return list(found)
    with connection.cursor() as cursor:
        return part.alone(cursor)


def _written_at_once(first: Write, others: Sequence[Part], told: str) -> tuple[tuple[Any, ...], list[list[Any]]] | None:
    texts = [f"first AS ({first.text} RETURNING {told})"]
    params = list(first.params)
    answers = []
    for number, part in enumerate(others):
        joined = part.joined("EXISTS (SELECT 1 FROM first)")
        for name, (text, values) in zip(_names(number, joined), joined.members, strict=True):
            texts.append(f"{name} AS ({text})")
            params += values
        answers.append(joined.answer or "NULL")
    columns = ", ".join(["first.*", *answers])
    with prepared_cursor() as cursor:
        cursor.execute(f"WITH {', '.join(texts)} SELECT {columns} FROM first", params)
        row = cursor.fetchone()
    if row is None:
        return None
    split = len(row) - len(answers)
    return tuple(row[:split]), [list(answer or []) for answer in row[split:]]


def _names(number: int, joined: Joined) -> Sequence[str]:
    return joined.names or [f"part{number}_{place}" for place in range(len(joined.members))]


def prepared_cursor() -> Any:
    """Return a cursor whose statements the server prepares once and then knows, with Django's errors and logs."""
    if connection.queries_logged or connection.vendor != "postgresql":
        # Who reads a log wants the values, which are not in the text of a prepared statement.
        return connection.cursor()
    from django.db.backends.postgresql.base import ServerBindingCursor

    connection.ensure_connection()
    # The stubs know neither the one's parent nor the other.
    cursor = ServerBindingCursor(connection.connection)  # type: ignore[call-arg]
    return connection._prepare_cursor(cursor)  # type: ignore[attr-defined]
