"""What OpenAPI says of every route without its author repeating it: errors, headers, roles, path parameters.

Loaded through the settings' `DEFAULT_SCHEMA_CLASS`; the extensions below register by being defined.
"""

import re
from collections.abc import Callable
from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension, OpenApiSerializerFieldExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ResolvedComponent, build_parameter_type
from drf_spectacular.utils import OpenApiParameter

from tradingsite.common.api.serializers import Strict

STABLE = "/api/v1/"

_PROBLEM = {
    "type": "object",
    "description": "RFC 9457 problem details. `code` is stable; `errors` names the wrong fields of a 400.",
    "required": ["type", "title", "status", "detail", "code", "instance"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "instance": {"type": "string", "format": "uri-reference"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "code", "detail"],
                "properties": {
                    "pointer": {"type": "string", "description": "Such as `steps/2/config/period`."},
                    "code": {"type": "string"},
                    "detail": {"type": "string"},
                },
            },
        },
    },
}
_MEANING = {
    "400": "The request is not valid; `errors` names each wrong field.",
    "401": "Credentials are missing or not valid.",
    "403": "The role does not allow this.",
    "404": "There is no such thing.",
    "406": "None of the media types that `Accept` names is offered.",
    "409": "The present state does not allow this.",
    "412": "`If-Match` names a state that is gone.",
    "413": "The body is too large.",
    "415": "The body's media type is not read here.",
    "422": "The `Idempotency-Key` came before with another body.",
    "429": "Too many requests; see `Retry-After`.",
    "503": "A dependency does not answer; see `Retry-After`.",
}

Endpoint = tuple[str, str, str, Callable[..., Any]]


def only_stable_routes(endpoints: list[Endpoint]) -> list[Endpoint]:
    """Keep the routes under the stable name, written without the trailing slash."""
    return [
        (path.rstrip("/"), path_regex, method, callback)
        for path, path_regex, method, callback in endpoints
        if path.startswith(STABLE)
    ]


class DeskAutoSchema(AutoSchema):
    """Adds to each operation what the bases do for each request."""

    def get_operation(self, *args: Any, **kwargs: Any) -> dict[str, Any] | None:
        operation: dict[str, Any] | None = super().get_operation(*args, **kwargs)
        if operation is None:
            return None
        self.registry.register_on_missing(
            ResolvedComponent(  # type: ignore[no-untyped-call]
                name="Problem", type=ResolvedComponent.SCHEMA, schema=_PROBLEM, object="Problem"
            )
        )
        for status in self._problem_statuses(operation):
            operation["responses"].setdefault(
                status,
                {
                    "description": _MEANING[status],
                    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
                },
            )
        operation["responses"] = dict(sorted(operation["responses"].items()))
        if (role := self._role()) is not None:
            note = f"Needs the role `{role.slug}`."
            described = operation.get("description", "")
            operation["description"] = f"{described}\n\n{note}" if described else note
        return operation

    def get_filter_backends(self) -> list[Any]:
        # Another action that answers with a list reads none of the collection's filters, and would refuse them.
        if getattr(self.view, "action", None) not in getattr(self.view, "list_actions", ()):
            return []
        backends: list[Any] = super().get_filter_backends()
        return backends

    def _map_basic_serializer(self, serializer: Any, direction: Any) -> dict[str, Any]:
        schema: dict[str, Any] = super()._map_basic_serializer(serializer, direction)  # type: ignore[no-untyped-call]
        kind = serializer if isinstance(serializer, type) else type(serializer)
        if direction == "request" and issubclass(kind, Strict):
            schema["additionalProperties"] = False
        return schema

    def get_override_parameters(self) -> list[Any]:
        parameters: list[Any] = list(super().get_override_parameters())
        if self._is_idempotent():
            parameters.append(
                OpenApiParameter(
                    "Idempotency-Key",
                    str,
                    OpenApiParameter.HEADER,
                    description="Repeating the request with the same key and body answers again instead of acting again.",
                )
            )
        return parameters

    def _resolve_path_parameters(self, variables: list[str]) -> list[dict[str, Any]]:
        # Our ids are UUIDs wherever they stand; a view need not have a queryset to say so.
        return [
            build_parameter_type(name=name, location=OpenApiParameter.PATH, schema=self._path_schema(name))
            for name in variables
        ]

    def _path_schema(self, name: str) -> dict[str, Any]:
        if re.search(rf"\(\?P<{name}>(\\d|\[0-9\])", self.path_regex):
            return {"type": "integer", "minimum": 0}
        if name in ("id", "pk") or name.endswith("_id"):
            return {"type": "string", "format": "uuid"}
        return {"type": "string"}

    def _handler(self) -> Any:
        return getattr(self.view, getattr(self.view, "action", None) or self.method.lower(), None)

    def _is_idempotent(self) -> bool:
        return bool(getattr(self._handler(), "idempotent", False))

    def _role(self) -> Any:
        roles = getattr(self.view, "roles", {})
        return roles.get(getattr(self.view, "action", None) or self.method.lower()) if self._needs_access() else None

    def _needs_access(self) -> bool:
        return bool(self.view.permission_classes)

    def _problem_statuses(self, operation: dict[str, Any]) -> list[str]:
        statuses = ["400", "401", "406", "429", "503"]
        if "requestBody" in operation:
            statuses += ["413", "415"]
        if self._needs_access():
            statuses.append("403")
        if "{" in self.path:
            statuses.append("404")
        if self.method != "GET" and self._needs_access():
            statuses.append("409")
        headers = {p["name"] for p in operation.get("parameters", []) if p["in"] == "header"}
        if self.method in ("PUT", "PATCH", "DELETE") or "If-Match" in headers:
            statuses.append("412")
        if self._is_idempotent():
            statuses.append("422")
        statuses += getattr(self.view, "problem_statuses", ())
        return statuses


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "tradingsite.common.access.authentication.ApiKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {"type": "apiKey", "in": "header", "name": "Authorization", "description": "`Api-Key <key>`"}


class JwtScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "tradingsite.common.access.authentication.JwtAuthentication"
    name = "jwt"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "tradingsite.common.access.authentication.BrowserSessionAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {"type": "apiKey", "in": "cookie", "name": "sessionid"}


class DecimalStringSchema(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    target_class = "tradingsite.common.api.serializers.DecimalStringField"
    match_subclasses = True

    def map_serializer_field(self, auto_schema: Any, direction: str) -> dict[str, Any]:
        exact = {"type": "string", "format": "decimal", "example": "12.5"}
        # Whole numbers are taken too; answers are always strings.
        return {"oneOf": [exact, {"type": "integer"}]} if direction == "request" else exact
