"""Idempotency-Key: a request repeated with its key is answered again, not carried out again.

What is kept: every answer below 400, for seven days, for the caller and the path it was given to. What is not kept: refusals
(4xx) and faults (5xx). A refusal changed nothing, so the same key may carry the corrected request; a fault gives the key
back, so that the caller may try again with it.

A process that dies in the middle leaves its key without an answer. Nobody can tell then whether the work was done, so
the key stays refused (409) and says so: the caller looks for the effect and takes a new key if there is none.
"""

import functools
import hashlib
import json
import re
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

from django.core.files.uploadedfile import UploadedFile
from django.db import IntegrityError, transaction
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from tradingsite.common.actor import Actor
from tradingsite.common.api.models import IdempotencyRecord
from tradingsite.common.api.permissions import request_actor
from tradingsite.common.clock import utcnow
from tradingsite.common.errors import Conflict, FieldError, Unprocessable, ValidationFailed

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
KEPT = timedelta(days=7)
# No request of ours takes longer; what is older belongs to a process that is gone.
IN_FLIGHT = timedelta(minutes=10)

_KEY = re.compile(r"[\x21-\x7e]{1,200}")
_KEPT_HEADERS = ("Location", "ETag")


class KeyReused(Unprocessable):
    code, title = "IDEMPOTENCY_KEY_REUSED", "This key was used with another request"


class KeyInFlight(Conflict):
    code, title = "IDEMPOTENCY_KEY_IN_FLIGHT", "The first request with this key is still being answered"


class OutcomeUnknown(Conflict):
    code, title = "IDEMPOTENCY_OUTCOME_UNKNOWN", "The first request with this key was never answered"


def idempotent(method: Callable[..., Response]) -> Callable[..., Response]:
    """Let a view's method honour the header; a request without it is carried out as ever.

    Raises:
        KeyReused: the key came before with another body.
        KeyInFlight: the first request with this key is not answered yet.
        OutcomeUnknown: the first request with this key was never answered.
    """

    @functools.wraps(method)
    def wrapper(view: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
        key = request.headers.get(HEADER)
        if key is None:
            return method(view, request, *args, **kwargs)
        if _KEY.fullmatch(key) is None:
            detail = "Must be 1 to 200 visible ASCII characters."
            raise ValidationFailed(errors=[FieldError(HEADER, "invalid", detail)])
        record = _claim(_scope(request), key, _fingerprint(request))
        if record.status_code is not None:
            return Response(record.body, status=record.status_code, headers={**record.headers, REPLAYED: "true"})
        answered = False
        try:
            response = method(view, request, *args, **kwargs)
            if response.status_code < 400:
                _keep(record, response)
                answered = True
        finally:
            if not answered:
                record.delete()
        return response

    wrapper.idempotent = True  # type: ignore[attr-defined]  # the schema names the header
    return wrapper


def _claim(scope: str, key: str, fingerprint: str) -> IdempotencyRecord:
    """Return a new record, which is the right to act, or the one with the answer."""
    now = utcnow()
    IdempotencyRecord.objects.filter(scope=scope, key=key, expires_at__lte=now).delete()
    try:
        with transaction.atomic():
            return IdempotencyRecord.objects.create(
                scope=scope, key=key, fingerprint=fingerprint, expires_at=now + KEPT, created_at=now
            )
    except IntegrityError:
        record = IdempotencyRecord.objects.filter(scope=scope, key=key).first()
    if record is None:
        raise KeyInFlight("The first request with this key has just ended; try again.", headers={"Retry-After": "1"})
    if record.fingerprint != fingerprint:
        raise KeyReused("This key came before with another body. Use a new key for a new request.")
    if record.status_code is None and now - record.created_at > IN_FLIGHT:
        raise OutcomeUnknown(
            "The first request with this key ended without an answer. See whether it took effect; use a new key if not."
        )
    if record.status_code is None:
        raise KeyInFlight("The first request with this key is still at work.", headers={"Retry-After": "1"})
    return record


def _keep(record: IdempotencyRecord, response: Response) -> None:
    record.status_code = response.status_code
    # Through the renderer, so that what is kept is exactly what was sent.
    record.body = None if response.data is None else json.loads(JSONRenderer().render(response.data))
    record.headers = {name: response[name] for name in _KEPT_HEADERS if response.has_header(name)}
    record.save(update_fields=["status_code", "body", "headers"])


def _scope(request: Request) -> str:
    """Who asks what: the caller, the method and the path, by either of its names."""
    actor: Actor = request_actor(request)
    path = re.sub(r"^/api/v1(?=/)", "/api", request.path).rstrip("/")
    scope = f"{actor.kind}:{actor.user_id}:{actor.name} {request.method} {path}"
    return scope if len(scope) <= 200 else hashlib.sha256(scope.encode()).hexdigest()


def _fingerprint(request: Request) -> str:
    digest = hashlib.sha256()
    digest.update(json.dumps(sorted(request.query_params.lists())).encode())
    data = request.data
    if hasattr(data, "lists"):
        for name, values in sorted(data.lists()):
            digest.update(json.dumps(name).encode())
            for value in values:
                for piece in _pieces(value):
                    digest.update(piece)
    else:
        digest.update(json.dumps(data, sort_keys=True).encode())
    return digest.hexdigest()


def _pieces(value: Any) -> Iterable[bytes]:
    if not isinstance(value, UploadedFile):
        yield json.dumps(str(value)).encode()
        return
    yield json.dumps(value.name).encode()
    yield from value.chunks()
    value.seek(0)
