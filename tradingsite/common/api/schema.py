"""OpenAPI: the stable routes only, each with the problem answers that it can give."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema

PROBLEM: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "code", "instance"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "instance": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "code", "detail"],
                "properties": {
                    "pointer": {"type": "string"},
                    "code": {"type": "string"},
                    "detail": {"type": "string"},
                },
            },
        },
    },
}


def only_stable_routes(endpoints: list[tuple[Any, ...]], **_: Any) -> list[tuple[Any, ...]]:
    """Keep each route once, under its stable name `/api/v1/`."""
    return [endpoint for endpoint in endpoints if endpoint[0].startswith("/api/v1/")]


class DeskAutoSchema(AutoSchema):
    """Adds the errors that every view may answer, so that no view repeats them."""

    def get_operation(self, *args: Any, **kwargs: Any) -> dict[str, Any] | None:
        operation = super().get_operation(*args, **kwargs)
        if operation is None:
            return None
        responses = operation.setdefault("responses", {})
        statuses = ["400", "401", "403", "429", "503"]
        if "{" in self.path:
            statuses.append("404")
        if self.method in ("POST", "PUT", "PATCH", "DELETE"):
            statuses += ["409", "412", "413", "415", "422"]
        for status in statuses:
            responses.setdefault(
                status, {"description": "Problem", "content": {"application/problem+json": {"schema": PROBLEM}}}
            )
        action = getattr(self.view, self.view.action if hasattr(self.view, "action_map") else self.method.lower(), None)
        if getattr(action, "idempotent", False):
            operation.setdefault("parameters", []).append(
                {
                    "name": "Idempotency-Key",
                    "in": "header",
                    "required": False,
                    "description": "Repeating a request with the same key and body replays the first answer.",
                    "schema": {"type": "string", "maxLength": 200},
                }
            )
        return operation


class ApiKeyScheme(OpenApiAuthenticationExtension):
    target_class = "tradingsite.common.access.authentication.ApiKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {"type": "apiKey", "in": "header", "name": "Authorization", "description": "`Api-Key <key>`"}


class JwtScheme(OpenApiAuthenticationExtension):
    target_class = "tradingsite.common.access.authentication.JwtAuthentication"
    name = "jwt"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


class SessionScheme(OpenApiAuthenticationExtension):
    target_class = "tradingsite.common.access.authentication.BrowserSessionAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {"type": "apiKey", "in": "cookie", "name": "sessionid"}
