"""Every error leaves as an RFC 9457 problem document."""

import logging
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation, TooManyFilesSent
from django.db import DataError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.csrf import csrf_exempt
from rest_framework import exceptions
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.views import set_rollback

from tradingsite.common.api.serializers import field_errors
from tradingsite.common.errors import (
    AppError,
    FieldError,
    NotFound,
    PermissionDenied,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
    ValidationFailed,
)

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
CHALLENGE = 'Bearer realm="api"'


class MethodNotAllowed(AppError):
    code, status, title = "METHOD_NOT_ALLOWED", 405, "This method is not offered here"


class NotAcceptable(AppError):
    code, status, title = "NOT_ACCEPTABLE", 406, "This media type is not offered here"


class PayloadTooLarge(AppError):
    code, status, title = "PAYLOAD_TOO_LARGE", 413, "The body is too large"


class UnsupportedMediaType(AppError):
    code, status, title = "UNSUPPORTED_MEDIA_TYPE", 415, "This media type is not read here"


def problem(error: AppError, instance: str) -> dict[str, Any]:
    """Return the problem document of `error`."""
    document: dict[str, Any] = {
        "type": f"/docs/errors#{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "code": error.code,
        "instance": instance,
    }
    if error.errors:
        document["errors"] = [{"pointer": e.pointer, "code": e.code, "detail": e.detail} for e in error.errors]
    document.update(error.extra)
    return document


def as_app_error(error: Exception) -> AppError | None:
    """Translate what Django and DRF raise; None for a fault that is ours."""
    match error:
        case AppError():
            return error
        case exceptions.ValidationError():
            return ValidationFailed(errors=field_errors(error.detail))
        case exceptions.ParseError():
            return ValidationFailed(str(error.detail), errors=[FieldError("", "parse_error", str(error.detail))])
        case exceptions.NotAuthenticated() | exceptions.AuthenticationFailed():
            return Unauthenticated(str(error.detail), headers={"WWW-Authenticate": CHALLENGE})
        case exceptions.PermissionDenied() | DjangoPermissionDenied():
            return PermissionDenied(str(error))
        case exceptions.NotFound() | Http404():
            return NotFound()
        case exceptions.MethodNotAllowed():
            return MethodNotAllowed(str(error.detail))
        case exceptions.NotAcceptable():
            return NotAcceptable(str(error.detail))
        case exceptions.UnsupportedMediaType():
            return UnsupportedMediaType(str(error.detail))
        case exceptions.Throttled():
            return TooManyRequests(headers={"Retry-After": str(int(getattr(error, "wait", None) or 1))})
        case RequestDataTooBig():
            return PayloadTooLarge(f"At most {settings.DATA_UPLOAD_MAX_MEMORY_SIZE} bytes.")
        case TooManyFilesSent() | SuspiciousOperation():
            return ValidationFailed(str(error))
        case DataError():
            # A number or text beyond its column that no serializer bounded.
            return ValidationFailed("A value is beyond what can be stored.")
        case OperationalError() | InterfaceError():
            return Unavailable("The database does not answer. Nothing was changed; try again.")
    return None


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler."""
    known = as_app_error(error)
    if known is None:
        return None
    if isinstance(error, OperationalError | InterfaceError | DataError):
        logger.error("the database failed a request", exc_info=error)
    set_rollback()
    request = context["request"]
    headers = dict(known.headers)
    if challenge := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    if known.status == Unauthenticated.status:
        # Also where no authenticator stands in front, as at the route that gives tokens.
        headers.setdefault("WWW-Authenticate", CHALLENGE)
    # A problem is JSON whatever the view answers with: YAML, or a page.
    request.accepted_renderer, request.accepted_media_type = JSONRenderer(), JSONRenderer.media_type
    return Response(problem(known, request.path), status=known.status, headers=headers, content_type=MEDIA_TYPE)


def _problem_response(request: HttpRequest, error: AppError) -> HttpResponse:
    return JsonResponse(
        problem(error, request.path), status=error.status, headers=error.headers, content_type=MEDIA_TYPE
    )


@csrf_exempt
def api_not_found(request: HttpRequest) -> HttpResponse:
    """Answer for any path under /api that no route knows; a program that writes there has no CSRF token to show."""
    return _problem_response(request, NotFound("No such route; /docs lists them."))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's 404: a problem for programs, a page for people."""
    if request.path.startswith("/api"):
        return api_not_found(request)
    return render(request, "404.html", status=404)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's 400, for what fails before any view: an unknown host, a path that is no text."""
    if request.path.startswith("/api"):
        return _problem_response(request, ValidationFailed("The request is not well formed."))
    return HttpResponse("The request is not well formed.", status=400, content_type="text/plain")


class InternalError(AppError):
    code, status, title = "INTERNAL_ERROR", 500, "A fault of ours"


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's 500: says nothing of the inside, names the request's id."""
    request_id = getattr(request, "request_id", "")
    if request.path.startswith("/api"):
        return _problem_response(
            request, InternalError("Report it with this request id.", extra={"request_id": request_id})
        )
    return render(request, "500.html", {"request_id": request_id}, status=500)
