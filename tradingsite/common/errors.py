"""Coded errors. Each says what went wrong, with a stable code, and what the caller must do next.

The API turns them into RFC 9457 problem details, the commands into a message and an exit code, the runner into the
code of a failed step. They know nothing of HTTP but the number that fits best.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class FieldError:
    """One wrong field: `pointer` is a path such as `steps/2/config/period`, without a leading slash."""

    pointer: str
    code: str
    detail: str


class AppError(Exception):
    """Root of every error that the desk raises on purpose.

    Attributes:
        code: stable, upper case; part of the API contract.
        status: the HTTP status that fits it.
        title: the same for every error of a code.
        detail: what happened this time, and what to do about it.
        errors: the wrong fields, where fields are wrong.
        headers: response headers such as `Retry-After`.
        extra: further members of the problem document.
    """

    code: ClassVar[str] = "ERROR"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Error"

    def __init__(
        self,
        detail: str = "",
        *,
        code: str | None = None,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        if code is not None:
            self.code = code  # type: ignore[misc]  # an instance may be more exact than its class
        self.detail = detail or (
            "; ".join(f"{e.pointer}: {e.detail}" if e.pointer else e.detail for e in errors) if errors else self.title
        )
        self.errors = tuple(errors)
        self.headers = dict(headers or {})
        self.extra = dict(extra or {})
        super().__init__(self.detail)

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"


class ValidationFailed(AppError):
    code, status, title = "VALIDATION_FAILED", 400, "The request is not valid"


class Unauthenticated(AppError):
    code, status, title = "UNAUTHENTICATED", 401, "Credentials are missing or not valid"


class PermissionDenied(AppError):
    code, status, title = "PERMISSION_DENIED", 403, "Your role does not allow this"


class NotFound(AppError):
    code, status, title = "NOT_FOUND", 404, "There is nothing here"


class Conflict(AppError):
    code, status, title = "CONFLICT", 409, "The present state does not allow this"


class PreconditionFailed(AppError):
    code, status, title = "PRECONDITION_FAILED", 412, "It has changed since you read it"


class Unprocessable(AppError):
    code, status, title = "UNPROCESSABLE", 422, "The request contradicts an earlier one"


class PreconditionRequired(AppError):
    code, status, title = "PRECONDITION_REQUIRED", 428, "Say which version you mean with If-Match"


class TooManyRequests(AppError):
    code, status, title = "TOO_MANY_REQUESTS", 429, "Too many requests"


class Unavailable(AppError):
    code, status, title = "UNAVAILABLE", 503, "A dependency does not answer"

    def __init__(self, detail: str = "", *, retry_after_s: int = 5, **kwargs: Any) -> None:
        super().__init__(detail, **kwargs)
        self.headers.setdefault("Retry-After", str(retry_after_s))
