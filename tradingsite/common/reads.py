"""Reading rows by a key with one prepared statement: for the few reads that every run does.

Django makes the text of a query anew each time, and the server its plan; both cost more than finding the rows. A
`KeyReader` has the text made once. What comes back are the same models, with the rows that they point to.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.db import NotSupportedError, connection, models

from tradingsite.common.writes import prepared_cursor

Row = TypeVar("Row", bound=models.Model)


@dataclass(frozen=True)
class _Part:
    """The columns of one model in a statement's answer, and how the database's values become the model's."""

    model: type[models.Model]
    # The foreign key that leads to it; empty for the rows themselves.
    attribute: str
    start: int
    names: Sequence[str]
    converters: Sequence[tuple[int, Callable[[Any], Any]]]

    def row(self, values: Sequence[Any]) -> models.Model | None:
        own = list(values[self.start : self.start + len(self.names)])
        for place, convert in self.converters:
            own[place] = convert(own[place])
        # A foreign key that leads nowhere brings nothing but NULLs.
        return None if self.attribute and own[0] is None else self.model.from_db(connection.alias, self.names, own)


class KeyReader(Generic[Row]):
    """Rows of `model` whose field `key` has a value.

    Args:
        order: a field to order them by.
        related: foreign keys of `model` whose rows are read in the same statement.
    """

    def __init__(self, model: type[Row], key: str, *, order: str = "", related: Sequence[str] = ()) -> None:
        self._model = model
        self._key = key
        self._order = order
        self._related = related

    def all(self, value: Any) -> list[Row]:
        """Return the rows with this key, whole."""
        text, parts, prepared = _made(connection.vendor, self)
        try:
            found = _fetched(text, prepared(value))
        except NotSupportedError:
            # A migration has changed a column's type since the server planned it, and it says so for good.
            if connection.in_atomic_block:
                raise
            _dropped()
            found = _fetched(text, prepared(value))
        return [self._row(values, parts) for values in found]

    def first(self, value: Any) -> Row | None:
        """Return the row with this key; None without one."""
        found = self.all(value)
        return found[0] if found else None

    def _row(self, values: Sequence[Any], parts: Sequence[_Part]) -> Row:
        row, *others = (part.row(values) for part in parts)
        assert isinstance(row, self._model)
        for part, other in zip(parts[1:], others, strict=True):
            setattr(row, part.attribute, other)
        return row

    def make(self) -> tuple[str, list[_Part], Callable[[Any], Any]]:
        """Return the statement, the parts of its answer, and what makes the key a value of the database."""
        parts = [_part(self._model, "", 0)]
        own = _quoted(self._model._meta.db_table)
        source = own
        for name in self._related:
            field = self._field(name)
            other = field.related_model
            assert isinstance(other, type)
            assert issubclass(other, models.Model)
            parts.append(_part(other, name, parts[-1].start + len(parts[-1].names)))
            alias, pk = _quoted(f"its {name}"), _quoted(_pk_column(other))
            source += (
                f" LEFT JOIN {_quoted(other._meta.db_table)} AS {alias} ON {alias}.{pk} = {own}.{_quoted(field.column)}"
            )
        columns = [
            f"{_quoted(f'its {part.attribute}') if part.attribute else own}.{_quoted(field.column)}"
            for part in parts
            for field in part.model._meta.concrete_fields
        ]
        key = self._field(self._key)
        text = f"SELECT {', '.join(columns)} FROM {source} WHERE {own}.{_quoted(key.column)} = %s"
        if self._order:
            text += f" ORDER BY {own}.{_quoted(self._field(self._order).column)}"
        return text, parts, lambda value: key.get_db_prep_value(value, connection=connection)

    def _field(self, name: str) -> "models.Field[Any, Any]":
        field = self._model._meta.get_field(name)
        assert isinstance(field, models.Field)
        return field


def _fetched(text: str, value: Any) -> list[Sequence[Any]]:
    with prepared_cursor() as cursor:
        cursor.execute(text, [value])
        return list(cursor.fetchall())


def _dropped() -> None:
    """Give this thread another connection than one whose statements are prepared wrongly."""
    if connection.connection is not None:
        # The pool does not take back one that is closed.
        connection.connection.close()
    connection.close()


@functools.cache
def _made(vendor: str, reader: KeyReader[Any]) -> tuple[str, list[_Part], Callable[[Any], Any]]:
    """Make a reader's statement once, for the kind of database that it is read from."""
    assert vendor == connection.vendor
    return reader.make()


def _part(model: type[models.Model], attribute: str, start: int) -> _Part:
    fields = model._meta.concrete_fields
    return _Part(
        model=model,
        attribute=attribute,
        start=start,
        names=[field.attname for field in fields],
        converters=[(place, convert) for place, field in enumerate(fields) for convert in _converters(field)],
    )


def _converters(field: "models.Field[Any, Any]") -> list[Callable[[Any], Any]]:
    """Return what Django would make of the field's values, one after the other."""
    column = field.get_col(field.model._meta.db_table)
    converters = connection.ops.get_db_converters(column) + field.get_db_converters(connection)
    return [functools.partial(_converted, convert, column) for convert in converters]


def _converted(convert: Callable[[Any, Any, Any], Any], column: Any, value: Any) -> Any:
    return convert(value, column, connection)


def _pk_column(model: type[models.Model]) -> str:
    pk = model._meta.pk
    assert pk is not None
    return str(pk.column)


def _quoted(name: str | None) -> str:
    assert name is not None
    return str(connection.ops.quote_name(name))
