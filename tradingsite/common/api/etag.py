"""ETag and If-Match, so that nobody overwrites what somebody else has changed meanwhile."""

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from tradingsite.common.clock import rfc3339
from tradingsite.common.errors import PreconditionFailed


def etag_for(obj: Any) -> str:
    """Return the strong validator of a definition: its id and its version, or the time of its last change."""
    version = getattr(obj, "version", None)
    return f'"{obj.pk}-{version if isinstance(version, int) else rfc3339(obj.updated_at)}"'


def require_match(request: Request, obj: Any) -> None:
    """Honour `If-Match` where it is given.

    Raises:
        PreconditionFailed: when it names another version.
    """
    given = request.headers.get("If-Match")
    if given is None or given.strip() == "*":
        return
    if etag_for(obj) not in [part.strip() for part in given.split(",")]:
        raise PreconditionFailed(
            "Read it again and repeat the change on what it is now.", headers={"ETag": etag_for(obj)}
        )


def with_etag(response: Response, obj: Any) -> Response:
    """Add the validator of `obj` to `response`."""
    response["ETag"] = etag_for(obj)
    return response
