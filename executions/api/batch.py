"""Many runs by one request."""

from typing import Any, ClassVar

from django.urls import reverse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from executions import services
from executions.api import serializers as shapes
from tradingsite.common.api.idempotency import idempotent
from tradingsite.common.api.serializers import validated
from tradingsite.common.api.views import ApiView
from tradingsite.common.errors import FieldError, ValidationFailed
from tradingsite.common.roles import Role

ITEMS_MAX = 100


class ExecuteBatchView(ApiView):
    """Run many strategies on their workflows, each as a task of its own."""

    roles: ClassVar = {"post": Role.TRADER}
    query_params: ClassVar = frozenset({"partial"})

    @extend_schema(
        parameters=[
            OpenApiParameter(
                "partial",
                bool,
                description="Start the good ones and answer with the errors of the others; "
                "otherwise one bad item keeps all from starting. When no item is good it is a 400 in either case.",
            )
        ],
        request=shapes.BatchItem(many=True),
        responses={202: shapes.BatchStarted(many=True)},
    )
    @idempotent
    def post(self, request: Request) -> Response:
        partial = _partial(request)
        items = _items(request.data)
        requests: dict[int, services.RunRequest] = {}
        misshapen: dict[int, list[FieldError]] = {}
        for index, item in enumerate(items):
            try:
                requests[index] = services.RunRequest(**validated(shapes.BatchItem, item))
            except ValidationFailed as error:
                misshapen[index] = [
                    FieldError(f"{index}/{e.pointer}".rstrip("/"), e.code, e.detail) for e in error.errors
                ]
        if misshapen and not (partial and requests):
            raise _refusal(misshapen)
        try:
            batch = services.executions_create(actor=self.actor, requests=requests, partial=partial)
        except ValidationFailed as error:
            raise ValidationFailed(errors=[*_refusal(misshapen).errors, *error.errors]) from None
        refused = {**misshapen, **batch.refused}
        rows = [{"run": batch.started.get(index), "errors": refused.get(index, ())} for index in range(len(items))]
        body = shapes.BatchStarted(rows, many=True).data
        return Response(body, status=status.HTTP_202_ACCEPTED, headers={"Location": reverse("v1:task-list")})


def _refusal(found: dict[int, list[FieldError]]) -> ValidationFailed:
    return ValidationFailed(errors=[error for errors in found.values() for error in errors])


def _partial(request: Request) -> bool:
    text = request.query_params.get("partial", "false").lower()
    if text not in ("true", "false"):
        raise ValidationFailed(errors=[FieldError("partial", "invalid", "Must be true or false.")])
    return text == "true"


def _items(data: Any) -> list[Any]:
    if not isinstance(data, list):
        raise ValidationFailed(errors=[FieldError("", "not_a_list", "Must be a JSON array of runs to start.")])
    if not 1 <= len(data) <= ITEMS_MAX:
        detail = f"Must hold 1 to {ITEMS_MAX} items, not {len(data)}."
        raise ValidationFailed(errors=[FieldError("", "length", detail)])
    return data
