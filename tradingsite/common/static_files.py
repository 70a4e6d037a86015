"""Static files under ASGI."""

from typing import Any

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from whitenoise.middleware import WhiteNoiseMiddleware


class StaticFilesMiddleware(WhiteNoiseMiddleware):
    """WhiteNoise, answering at once: it streams with a synchronous iterator, which an ASGI server has to collect anyway
    and warns of for every file. The files are small."""

    @staticmethod
    def serve(static_file: Any, request: HttpRequest) -> HttpResponse:
        response: HttpResponse = WhiteNoiseMiddleware.serve(static_file, request)
        if not isinstance(response, StreamingHttpResponse):
            return response
        whole = HttpResponse(b"".join(response), status=response.status_code, headers=dict(response.items()))
        response.close()
        return whole
