"""Outputs of steps as they are kept: checked to be JSON, small ones with their step, large ones once for all."""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet

from executions.models import Payload, StepExecution
from tradingsite.common.clock import utcnow
from tradingsite.common.contracts.steps import StepResult

# Bytes of JSON text. Beyond this a row is no longer read as a matter of course with its run.
INLINE_MAX = 64 * 1024
UNUSED_KEPT = timedelta(days=1)


class OutputInvalid(ValueError):
    """A step's output is no JSON, or JSON that PostgreSQL does not hold."""


@dataclass(frozen=True)
class StepOutput:
    """What a step put out, as the database will give it back."""

    data: dict[str, Any]
    text: str
    summary: str

    @property
    def size(self) -> int:
        """Bytes of the JSON text."""
        return len(self.text.encode())


def checked_output(result: StepResult) -> StepOutput:
    """Return the result with its output as JSON.

    Raises:
        OutputInvalid: for what is no JSON, or JSON that PostgreSQL does not hold: NaN, NUL, halves of characters.
    """
    try:
        text = json.dumps(dict(result.output), allow_nan=False, ensure_ascii=False)
        text.encode()
        data = json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise OutputInvalid(f"its output is not JSON: {error}") from error
    if _has_nul(data):
        raise OutputInvalid("its output holds a NUL character")
    return StepOutput(data, text, str(result.summary))


def _has_nul(value: Any) -> bool:
    if isinstance(value, dict):
        return any("\x00" in key or _has_nul(inner) for key, inner in value.items())
    if isinstance(value, list):
        return any(_has_nul(inner) for inner in value)
    return isinstance(value, str) and "\x00" in value


def payload_keep(output: StepOutput) -> Payload:
    """Keep a large output under the digest of its text, and return it; one that is kept already is kept once."""
    text = output.text.encode()
    payload = Payload(digest=hashlib.sha256(text).hexdigest(), size=len(text), data=output.data, created_at=utcnow())
    # The time is written anew, so that one nobody used until now is not pruned just before it is.
    Payload.objects.bulk_create(
        [payload], update_conflicts=True, unique_fields=["digest"], update_fields=["created_at"]
    )
    return payload


def payloads_unused(now: datetime) -> QuerySet[Payload]:
    """Return large outputs that no step refers to: their worker was lost before it could write the step."""
    used = StepExecution.objects.filter(payload=OuterRef("pk"))
    return Payload.objects.filter(~Exists(used), created_at__lt=now - UNUSED_KEPT)
