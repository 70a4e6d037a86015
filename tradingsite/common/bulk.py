"""Thousands of rows in one statement.

Django writes a statement of many rows value by value and the driver quotes them one by one, which takes many times as long
as the database then needs. PostgreSQL is given all of them as one JSON value instead, in a statement that is the same for
any number of rows; SQLite takes what Django makes.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import connection, models
from django.db.models.expressions import RawSQL

from tradingsite.common.writes import prepared_cursor


def insert_all(model: type[models.Model], rows: Sequence[Mapping[str, Any]], *, replacing: bool = False) -> None:
    """Insert rows of `model`, all of them or none.

    Args:
        rows: one value for each field by its attribute's name (`owner_id`), the primary key among them, all rows of the
            same fields. A field that is left out takes the default of the database, if it has one.
        replacing: a row whose primary key is there already takes its place, in every field that is given.

    Raises:
        IntegrityError: for a row that a constraint refuses.
        DataError: for a value that its column cannot hold.
    """
    if not rows:
        return
    given = rows[0].keys()
    fields = [field for field in model._meta.concrete_fields if field.attname in given]
    if connection.vendor != "postgresql":
        others = [field.name for field in fields if not field.primary_key]
        conflict: dict[str, Any] = {
            "update_conflicts": True, "unique_fields": [model._meta.pk.name], "update_fields": others
        }  # fmt: skip
        model._default_manager.bulk_create([model(**row) for row in rows], **(conflict if replacing else {}))
        return
    columns = ", ".join(f'"{field.column}"' for field in fields)
    named = ", ".join(f'"{field.attname}"' for field in fields)
    typed = ", ".join(f'"{field.attname}" {_type(field)}' for field in fields)
    text = (
        f'INSERT INTO "{model._meta.db_table}" ({columns}) SELECT {named} FROM json_to_recordset(%s::json) AS ({typed})'
    )
    if replacing:
        changes = ", ".join(f'"{f.column}" = EXCLUDED."{f.column}"' for f in fields if not f.primary_key)
        text += f' ON CONFLICT ("{model._meta.pk.column}") DO UPDATE SET {changes}'
    with prepared_cursor() as cursor:
        cursor.execute(text, [as_json(rows)])


def _type(field: "models.Field[Any, Any]") -> str | None:
    # A text is not cast to its column's length, which would cut it: one that is too long has to be refused.
    return "text" if isinstance(field, models.CharField | models.TextField) else field.db_type(connection)


def rows_known(
    model: type[models.Model], names: tuple[str, str], keys: Collection[tuple[Any, Any]]
) -> set[tuple[Any, Any]]:
    """Return those of `keys` that rows of `model` have in their two fields `names`."""
    first, second = names
    if connection.vendor != "postgresql":
        asked = {f"{first}__in": {key[0] for key in keys}, f"{second}__in": {key[1] for key in keys}}
        return set(keys) & set(model._default_manager.filter(**asked).values_list(*names))
    fields = [model._meta.get_field(name) for name in names]
    assert all(isinstance(field, models.Field) for field in fields)
    typed = ", ".join(f'"{field.attname}" {_type(field)}' for field in fields)  # type: ignore[union-attr,arg-type]
    same = " AND ".join(f'row."{field.column}" = asked."{field.attname}"' for field in fields)  # type: ignore[union-attr]
    told = ", ".join(f'asked."{field.attname}"' for field in fields)  # type: ignore[union-attr]
    text = (
        f'SELECT {told} FROM json_to_recordset(%s::json) AS asked ({typed}) JOIN "{model._meta.db_table}" row ON {same}'
    )
    with prepared_cursor() as cursor:
        cursor.execute(text, [as_json([dict(zip(names, key, strict=True)) for key in keys])])
        return {(one, other) for one, other in cursor.fetchall()}


def ids_given(ids: Collection[UUID]) -> Any:
    """Return what stands behind `__in` for any number of ids: on PostgreSQL one value instead of one for each."""
    if connection.vendor != "postgresql":
        return list(ids)
    return RawSQL("SELECT value::uuid FROM json_array_elements_text(%s::json)", [as_json(list(ids))])


def as_json(value: object) -> str:
    """Return a value as PostgreSQL reads it: ids, times and decimals as their texts."""
    return json.dumps(value, default=str, allow_nan=False, separators=(",", ":"))
