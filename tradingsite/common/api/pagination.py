"""Two ways to page: by number for definitions, of which there are few, by key for histories, which grow."""

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar
from urllib.parse import urlencode

from django.core.exceptions import FieldDoesNotExist
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db.models import BooleanField, F, Field, Func, Q, QuerySet, Value
from django.db.models.expressions import OrderBy
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response

from tradingsite.common.clock import parse_rfc3339, rfc3339
from tradingsite.common.errors import FieldError, ValidationFailed

PAGE_SIZE, PAGE_SIZE_MAX = 50, 200


def _number(request: Request, name: str, default: int, maximum: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 12 or not 1 <= int(text) <= maximum:
        raise ValidationFailed(errors=[FieldError(name, "invalid", f"Must be a whole number from 1 to {maximum}.")])
    return int(text)


def _link(request: Request, **changes: str | int) -> str:
    parameters = {**{name: request.query_params[name] for name in request.query_params}, **changes}
    return request.build_absolute_uri(f"{request.path}?{urlencode(parameters)}")


class PagePagination(BasePagination):
    """`{count, next, previous, results}` by `page` and `page_size`."""

    query_params: ClassVar[tuple[str, ...]] = ("page", "page_size")

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        size = _number(request, "page_size", PAGE_SIZE, PAGE_SIZE_MAX)
        page = _number(request, "page", 1, 10**9)
        self.count = queryset.count()
        start = (page - 1) * size
        if page > 1 and start >= self.count:
            raise ValidationFailed(errors=[FieldError("page", "out_of_range", "There is no such page.")])
        self.next = _link(request, page=page + 1) if start + size < self.count else None
        self.previous = _link(request, page=page - 1) if page > 1 else None
        return list(queryset[start : start + size])

    def get_paginated_response(self, data: Any) -> Response:
        return Response({"count": self.count, "next": self.next, "previous": self.previous, "results": data})

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        return _schema(schema, {"count": {"type": "integer"}}, ["count"])

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        return [_parameter("page", "integer", "1 is the first.", minimum=1), _size_parameter()]


class KeysetPagination(BasePagination):
    """`{next, previous, results}` by an opaque `cursor`; the same speed at any depth.

    The order is the queryset's own: one field and then the primary key. `?count=true` adds `count`.
    """

    query_params: ClassVar[tuple[str, ...]] = ("cursor", "page_size", "count")

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        size = _number(request, "page_size", PAGE_SIZE, PAGE_SIZE_MAX)
        self.count = queryset.count() if _flag(request, "count") else None
        if values := getattr(view, "row_values", ()):
            # Only now: the tables of joined columns would be counted too.
            queryset = queryset.values(*values)
        field, descending = _order_of(queryset)
        cursor = _cursor_read(request)
        backwards = cursor is not None and cursor["d"] == "p"
        rows: list[Any] = []
        try:
            for part in _parts(queryset, field, cursor, downwards=descending != backwards):
                rows += part[: size + 1 - len(rows)]
                if len(rows) > size:
                    break
        except _UNUSABLE:
            if cursor is None:
                raise
            raise _bad_cursor() from None
        more, rows = len(rows) > size, rows[:size]
        if backwards:
            rows.reverse()
        has_next = more if not backwards else cursor is not None
        has_previous = cursor is not None if not backwards else more
        self.next = _link(request, cursor=_cursor_write(rows[-1], field, "n")) if rows and has_next else None
        self.previous = _link(request, cursor=_cursor_write(rows[0], field, "p")) if rows and has_previous else None
        return rows

    def get_paginated_response(self, data: Any) -> Response:
        body = {"next": self.next, "previous": self.previous, "results": data}
        if self.count is not None:
            body["count"] = self.count
        return Response(body)

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        return _schema(schema, {"count": {"type": "integer", "description": "With `?count=true` only."}}, [])

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        return [
            _parameter("cursor", "string", "From `next` or `previous` of an earlier answer."),
            _size_parameter(),
            _parameter("count", "boolean", "Whether to count all rows."),
        ]


def keyset_batches(queryset: QuerySet[Any], values: Sequence[str], *, size: int) -> Iterator[list[dict[str, Any]]]:
    """Yield all rows as plain values in lists of up to `size`, each read by a query of its own, from where the last
    one ended: no cursor and no transaction stays open, and only one batch is in memory.

    Args:
        queryset: in an order of one field, which is a column of its own table, and then the primary key.
        values: the columns to read; those of the order are read as well.
    """
    field, descending = _order_of(queryset)
    rows = queryset.values(*dict.fromkeys((*values, field, "pk")))
    cursor: dict[str, Any] | None = None
    while True:
        batch: list[dict[str, Any]] = []
        for part in _parts(rows, field, cursor, downwards=descending):
            batch += part[: size - len(batch)]
            if len(batch) == size:
                break
        if batch:
            yield batch
        if len(batch) < size:
            return
        cursor = {"v": batch[-1][field], "k": batch[-1]["pk"]}


# What Django raises when a forged cursor holds a value that the column cannot.
_UNUSABLE = (ValueError, TypeError, OverflowError, DjangoValidationError)


def _order_of(queryset: QuerySet[Any]) -> tuple[str, bool]:
    """Return the leading field of the queryset's order, and whether it descends."""
    first = next(iter(queryset.query.order_by or queryset.model._meta.ordering or ()), "-pk")
    if isinstance(first, OrderBy):
        name, descending = str(getattr(first.expression, "name", "pk")), first.descending
    else:
        name, descending = str(first).removeprefix("-"), str(first).startswith("-")
    return ("pk" if name == "id" else name), descending


class _Row(Func):
    """`(a, b)`, and with `<` or `>` between two of them a comparison that one range of an index answers."""

    template = "(%(expressions)s)"
    output_field: ClassVar = BooleanField()


def _parts(
    queryset: QuerySet[Any], field: str, cursor: Mapping[str, Any] | None, *, downwards: bool
) -> Iterator[QuerySet[Any]]:
    """Return what lies beyond the cursor on the way through the order, in parts that each are one range of an index.

    Said as one condition, "beyond this value or empty" would be read from the beginning of the order at any depth.
    """
    rows = keyset_order(queryset, f"-{field}" if downwards else field)
    if cursor is None:
        yield rows
        return
    way = "lt" if downwards else "gt"
    key = _usable(queryset, "pk", cursor["k"])
    if field == "pk":
        yield rows.filter(**{f"pk__{way}": key})
        return
    empty = Q(**{f"{field}__isnull": True})
    if cursor["v"] is None:
        # Empty values stand last on the way up and first on the way down, as PostgreSQL sorts them.
        yield rows.filter(empty, **{f"pk__{way}": key})
        if downwards:
            yield rows.exclude(empty)
        return
    here = _Row(F(field), F("pk"))
    edge = _Row(
        Value(_usable(queryset, field, cursor["v"]), output_field=_field(queryset, field)),
        Value(key, output_field=_field(queryset, "pk")),
    )
    yield rows.filter(_Row(here, edge, template="%(expressions)s", arg_joiner=" < " if downwards else " > "))
    if not downwards and _may_be_empty(queryset, field):
        yield rows.filter(empty)


def _field(queryset: QuerySet[Any], name: str) -> "Field[Any, Any]":
    """Return the kind of value that `name` holds: a column of the model or an annotation."""
    annotation = queryset.query.annotations.get(name)
    found: Field[Any, Any] = (
        annotation.output_field
        if annotation is not None
        else queryset.model._meta.pk
        if name == "pk"
        else queryset.model._meta.get_field(name)
    )
    return found


def _usable(queryset: QuerySet[Any], name: str, value: Any) -> Any:
    """Return the cursor's value as the column takes it; raises one of `_UNUSABLE` when it cannot."""
    field = _field(queryset, name)
    value = field.to_python(value)
    field.run_validators(value)
    return value


def keyset_order(queryset: QuerySet[Any], name: str) -> QuerySet[Any]:
    """Order by `name` (a dash for descending), empty values as PostgreSQL has them on both databases, ties by key."""
    field, descending = name.removeprefix("-"), name.startswith("-")
    tie = "-pk" if descending else "pk"
    if field == "pk":
        return queryset.order_by(tie)
    if not _may_be_empty(queryset, field):
        # Plain, so that an index on the two serves both databases.
        return queryset.order_by(name, tie)
    expression = F(field).desc(nulls_first=True) if descending else F(field).asc(nulls_last=True)
    return queryset.order_by(expression, tie)


def _may_be_empty(queryset: QuerySet[Any], field: str) -> bool:
    try:
        return bool(getattr(queryset.model._meta.get_field(field), "null", True))
    except FieldDoesNotExist:
        # An annotation, or a field of a related row.
        return True


def _cursor_write(row: Any, field: str, way: str) -> str:
    key = row["id"] if isinstance(row, dict) else row.pk
    value: Any = None
    if field != "pk":
        value = row[field] if isinstance(row, dict) else getattr(row, field)
    if isinstance(value, datetime):
        value = {"t": rfc3339(value)}
    elif value is not None and not isinstance(value, int | float | str):
        value = str(value)
    text = json.dumps({"d": way, "v": value, "k": str(key)}, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _cursor_read(request: Request) -> dict[str, Any] | None:
    text = request.query_params.get("cursor")
    if not text:
        return None
    try:
        raw = json.loads(base64.urlsafe_b64decode(text.encode() + b"=" * (-len(text) % 4)))
        value = raw["v"]
        if isinstance(value, dict):
            value = parse_rfc3339(value["t"])
        if (
            raw["d"] not in ("n", "p")
            or not isinstance(raw["k"], str)
            or isinstance(value, list)
            or "\x00" in f"{value}{raw['k']}"
        ):
            raise ValueError
        return {"d": raw["d"], "v": value, "k": raw["k"]}
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
        raise _bad_cursor() from None


def _bad_cursor() -> ValidationFailed:
    return ValidationFailed(errors=[FieldError("cursor", "invalid", "Take it from `next` or `previous` of an answer.")])


def _flag(request: Request, name: str) -> bool:
    text = request.query_params.get(name, "false").lower()
    if text not in ("true", "false"):
        raise ValidationFailed(errors=[FieldError(name, "invalid", "Must be true or false.")])
    return text == "true"


def _schema(results: dict[str, Any], more: dict[str, Any], required: list[str]) -> dict[str, Any]:
    link = {"type": "string", "format": "uri", "nullable": True}
    return {
        "type": "object",
        "required": ["next", "previous", "results", *required],
        "properties": {**more, "next": link, "previous": link, "results": results},
    }


def _parameter(name: str, kind: str, description: str, **bounds: int) -> dict[str, Any]:
    schema = {"type": kind, **bounds}
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}


def _size_parameter() -> dict[str, Any]:
    description = f"Rows on a page, {PAGE_SIZE} unless told, {PAGE_SIZE_MAX} at most."
    return _parameter("page_size", "integer", description, minimum=1, maximum=PAGE_SIZE_MAX)
