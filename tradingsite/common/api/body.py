"""What a body may weigh, and how long one is that comes in pieces."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse

from tradingsite.common.api.handlers import MEDIA_TYPE, PayloadTooLarge, problem
from tradingsite.common.errors import AppError

Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]


class LengthRequired(AppError):
    code, status, title = "LENGTH_REQUIRED", 411, "The length of the body is needed here"


class BodyLimit:
    """Refuses a body beyond `UPLOAD_MAX_SIZE` while it arrives.

    Django writes the whole body to a file before it asks who sends it, so that anybody could fill the disk.
    """

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and int(declared[:20]) > settings.UPLOAD_MAX_SIZE:
            await _refuse(scope, send)
            return
        seen, beyond = 0, False

        async def counted() -> Message:
            nonlocal seen, beyond
            message = await receive()
            seen += len(message.get("body", b""))
            if message["type"] == "http.request" and seen > settings.UPLOAD_MAX_SIZE:
                # To Django the sender has gone: it drops what it has and answers nothing.
                beyond = True
                return {"type": "http.disconnect"}
            return message

        await self._application(scope, counted, send)
        if beyond:
            await _refuse(scope, send)


async def _refuse(scope: Mapping[str, Any], send: Send) -> None:
    error = PayloadTooLarge(f"At most {settings.UPLOAD_MAX_SIZE} bytes.")
    answer = JsonResponse(problem(error, scope["path"]), status=error.status)
    headers = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", str(len(answer.content)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.content})


class BodyLengthMiddleware:
    """Gives a body that came in pieces its length, which Django and DRF take for nothing when no header says it.

    The server has joined the pieces by now. Without the length a chunked request would be carried out as one without a
    body: a cancel without its reason, a kill of one strategy as a kill of all.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if "Transfer-Encoding" in request.headers:
            stream: Any = request._stream  # the one handle on a body not yet read
            if not (hasattr(stream, "seekable") and stream.seekable()):
                error = LengthRequired("Send it in one piece, with its Content-Length.")
                return JsonResponse(problem(error, request.path), status=error.status, content_type=MEDIA_TYPE)
            request.META["CONTENT_LENGTH"] = str(stream.seek(0, 2))
            stream.seek(0)
        return self._get_response(request)
