"""Idempotency-Key: a repeated request replays the first answer instead of acting twice.

The key is claimed before the work in a transaction of its own, so that of two equal requests at once one works and
the other is told to wait. A 2xx answer is kept; a refusal is not, since the caller will mend the request and may use
the key again; neither is a fault, which leaves no answer to trust.
"""

import functools
import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from rest_framework.request import Request
from rest_framework.response import Response

from tradingsite.common.api.permissions import request_actor
from tradingsite.common.clock import utcnow
from tradingsite.common.errors import Conflict, FieldError, Unprocessable, ValidationFailed
from tradingsite.common.models import IdempotencyRecord

KEPT = timedelta(days=7)
# A claim whose worker died must not block the key for a week.
CLAIM_LIFE = timedelta(minutes=2)


class InFlight(Conflict):
    code, title = "IDEMPOTENCY_KEY_IN_FLIGHT", "The first request with this key is still being answered"


class KeyReused(Unprocessable):
    code, title = "IDEMPOTENCY_KEY_REUSED", "This key was used with another request"


def idempotent(method: Callable[..., Response]) -> Callable[..., Response]:
    """Let a view method honour the `Idempotency-Key` header."""

    @functools.wraps(method)
    def wrapper(view: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
        key = request.headers.get("Idempotency-Key")
        if key is None:
            return method(view, request, *args, **kwargs)
        if not 1 <= len(key) <= 200 or not key.isprintable():
            detail = "Must be 1 to 200 printable characters."
            raise ValidationFailed(errors=[FieldError("Idempotency-Key", "invalid", detail)])
        actor = request_actor(request)
        scope = f"{actor.kind}:{actor.user_id}:{request.method}:{request.path}"[:200]
        fingerprint = _fingerprint(request)
        record = _claim(scope, key, fingerprint)
        if record.status_code is not None:
            return Response(
                record.body, status=record.status_code, headers={**record.headers, "Idempotent-Replayed": "true"}
            )
        try:
            response = method(view, request, *args, **kwargs)
        except BaseException:
            record.delete()
            raise
        if not 200 <= response.status_code < 300:
            record.delete()
            return response
        record.status_code = response.status_code
        record.body = json.loads(json.dumps(response.data, default=str))
        record.headers = {name: response[name] for name in ("Location",) if name in response}
        record.save(update_fields=["status_code", "body", "headers"])
        return response

    wrapper.idempotent = True  # type: ignore[attr-defined]
    return wrapper


def _fingerprint(request: Request) -> str:
    body = json.dumps(request.data, sort_keys=True, default=str)
    return hashlib.sha256(f"{request.META.get('QUERY_STRING', '')}\n{body}".encode()).hexdigest()


def _claim(scope: str, key: str, fingerprint: str) -> IdempotencyRecord:
    """Return a fresh record to fill, or the finished one to replay.

    Raises:
        InFlight: another request holds the key.
        KeyReused: the key belongs to another body.
    """
    now = utcnow()
    try:
        with transaction.atomic():
            return IdempotencyRecord.objects.create(scope=scope, key=key, fingerprint=fingerprint, expires_at=now + KEPT)
    except IntegrityError:
        pass
    record = IdempotencyRecord.objects.filter(scope=scope, key=key).first()
    if record is None:
        raise InFlight("It was released this moment; repeat the request.", headers={"Retry-After": "1"})
    stale = record.status_code is None and record.created_at < now - CLAIM_LIFE
    if record.expires_at <= now or stale:
        taken = IdempotencyRecord.objects.filter(pk=record.pk, created_at=record.created_at).update(
            fingerprint=fingerprint, status_code=None, body=None, headers={}, created_at=now, expires_at=now + KEPT
        )
        if taken:
            record.refresh_from_db()
            return record
        raise InFlight("Repeat the request in a moment.", headers={"Retry-After": "1"})
    if record.fingerprint != fingerprint:
        raise KeyReused("Use a new key for a new request.")
    if record.status_code is None:
        raise InFlight("Repeat the request in a moment.", headers={"Retry-After": "1"})
    return record
