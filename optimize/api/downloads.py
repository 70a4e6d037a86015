"""Files that are made while they are sent."""

import itertools
from collections.abc import AsyncIterator, Iterator
from typing import Any

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import StreamingHttpResponse
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request

from tradingsite.common.api.csv_export import CsvNegotiation


class ParquetRenderer(BaseRenderer):
    """Names the media type for the negotiation; the bytes are made by `optimize.matrix`."""

    media_type = "application/vnd.apache.parquet"
    format = "parquet"
    charset = None
    render_style = "binary"

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> Any:
        return data


def download(renderer: type[BaseRenderer]) -> dict[str, Any]:
    """Return what an action names as its own when it answers with a file."""
    return {"renderer_classes": [renderer, JSONRenderer], "content_negotiation_class": CsvNegotiation}


def streamed(request: Request, pieces: Iterator[bytes], media_type: str, filename: str) -> StreamingHttpResponse:
    """Return the pieces as a file. The first is made before the answer begins, so that a fault then is no half file."""
    made = itertools.chain([next(pieces, b"")], pieces)
    # An ASGI server would read a plain iterator to its end before it sends anything, a WSGI server an asynchronous one.
    content = _asynchronous(made) if isinstance(request._request, ASGIRequest) else made
    response = StreamingHttpResponse(content, content_type=media_type)
    response["Content-Disposition"] = f'attachment; filename="{filename}"'
    response["Cache-Control"] = "private, no-store"
    return response


def _next(pieces: Iterator[bytes]) -> bytes | None:
    return next(pieces, None)


async def _asynchronous(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    while True:
        piece = await sync_to_async(_next)(pieces)
        if piece is None:
            return
        yield piece
