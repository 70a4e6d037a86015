"""A list as a CSV file: streamed in batches, so that its length costs time and no memory.

Spreadsheets run what a cell holds when it begins like a formula, and parts of our rows were written by strangers (a
broker's message, a client's own id). Text that begins like one is given an apostrophe, which a spreadsheet shows as
text; numbers, times and ids are written as the API writes them.
"""

import csv
import itertools
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.serializers import Serializer

from tradingsite.common.api.pagination import keyset_batches
from tradingsite.common.clock import rfc3339
from tradingsite.common.decimals import decimal_string

BATCH = 1000
# The full-width forms are the same to some spreadsheets.
_FORMULA = tuple("=+-@\t\r\n＝＋－＠")


class CsvRenderer(BaseRenderer):
    """Names the media type for the negotiation; the rows are written by `csv_response`."""

    media_type = "text/csv"
    format = "csv"

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> Any:
        return data


class CsvNegotiation(DefaultContentNegotiation):
    """A browser and a program that asks for JSON get the file all the same: the address says what it is."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type


class CsvExport:
    """What an export action of a view set names as its own: `@action(..., **CsvExport.settings)`."""

    settings: ClassVar[Mapping[str, Any]] = {
        "renderer_classes": [CsvRenderer, JSONRenderer],
        "content_negotiation_class": CsvNegotiation,
        "pagination_class": None,
    }


def csv_response(
    request: Request, rows: QuerySet[Any], serializer_class: type[Serializer[Any]], *, filename: str
) -> StreamingHttpResponse:
    """Return `rows` as a CSV file with one column for each field of `serializer_class`.

    The first batch is read before the answer begins, so that a database that is away is a 503 and not half a file.

    Args:
        rows: in an order of one field and the primary key, as for `KeysetPagination`.
        serializer_class: each of its fields must be a column, of the table or of one that it points to.
    """
    columns = {name: str(field.source or name).replace(".", "__") for name, field in serializer_class().fields.items()}
    batches = keyset_batches(rows, tuple(columns.values()), size=BATCH)
    first = next(batches, [])
    chunks = _chunks(columns, itertools.chain([first], batches))
    # An ASGI server would read a plain iterator to its end before it sends anything, a WSGI server an asynchronous one.
    content = _asynchronous(chunks) if isinstance(request._request, ASGIRequest) else chunks
    response = StreamingHttpResponse(content, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{filename}"'
    response["Cache-Control"] = "private, no-store"
    return response


def cell(value: Any) -> str:
    """Write a value as the API does, text such that no spreadsheet runs it."""
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return decimal_string(value)
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # Some spreadsheets look past blanks for the sign.
        return f"'{value}" if value.lstrip(" ").startswith(_FORMULA) else value
    return str(value)


class _Line:
    """A file for `csv.writer` that hands each line back instead of keeping it."""

    def write(self, text: str) -> str:
        return text


def _chunks(columns: Mapping[str, str], batches: Iterator[Sequence[Mapping[str, Any]]]) -> Iterator[bytes]:
    writer = csv.writer(_Line())
    lookups = tuple(columns.values())
    yield str(writer.writerow(columns)).encode()
    for batch in batches:
        yield "".join(str(writer.writerow([cell(row[name]) for name in lookups])) for row in batch).encode()


def _next(chunks: Iterator[bytes]) -> bytes | None:
    return next(chunks, None)


async def _asynchronous(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    while True:
        chunk = await sync_to_async(_next)(chunks)
        if chunk is None:
            return
        yield chunk
