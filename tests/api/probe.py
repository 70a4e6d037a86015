"""Routes of the tests alone, so that the bases are tested without any app on them."""

import threading
from collections.abc import Callable
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.urls import include, path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from tradingsite.common.api.etag import require_match, with_etag
from tradingsite.common.api.filters import MomentFilter, StrictFilterSet
from tradingsite.common.api.handlers import api_not_found
from tradingsite.common.api.idempotency import idempotent
from tradingsite.common.api.pagination import KeysetPagination, PagePagination
from tradingsite.common.api.routing import Router, route
from tradingsite.common.api.serializers import (
    DecimalStringField,
    StrictSerializer,
    SymbolField,
    UtcDateTimeField,
    validated,
)
from tradingsite.common.api.views import ApiView, ResourceViewSet
from tradingsite.common.errors import Conflict
from tradingsite.common.models import ApiKey, OutboxMessage
from tradingsite.common.roles import Role


class LegSerializer(StrictSerializer):
    symbol = SymbolField()
    quantity = DecimalStringField()


class BodySerializer(StrictSerializer):
    name = serializers.CharField(max_length=20)
    count = serializers.IntegerField(required=False, min_value=0, max_value=100)
    at = UtcDateTimeField(required=False)
    anything = serializers.JSONField(required=False)
    legs = LegSerializer(many=True, required=False)


class BodyView(ApiView):
    roles: ClassVar = {"post": Role.VIEWER, "get": Role.VIEWER}
    query_params: ClassVar = frozenset({"colour"})

    def get(self, request: Request) -> Response:
        return Response({"actor": self.actor.name, "role": self.actor.role and self.actor.role.slug})

    def post(self, request: Request) -> Response:
        body = validated(BodySerializer, request.data)
        return Response({"name": body["name"]})


class FaultView(ApiView):
    roles: ClassVar = {"get": Role.VIEWER}

    def get(self, request: Request) -> Response:
        raise ZeroDivisionError("the inside of the desk")


class Work:
    """What the idempotent route does, replaced by each test."""

    done: ClassVar[list[Any]] = []
    run: ClassVar[Callable[[], Any]] = staticmethod(lambda: None)
    lock = threading.Lock()


class WorkView(ApiView):
    roles: ClassVar = {"post": Role.TRADER}

    @idempotent
    def post(self, request: Request) -> Response:
        if request.data.get("refuse"):
            raise Conflict("Not now.")
        Work.run()
        with Work.lock:
            Work.done.append(request.data)
        return Response({"number": len(Work.done)}, status=201, headers={"Location": f"/api/work/{len(Work.done)}"})


class KeyView(ApiView):
    roles: ClassVar = {"get": Role.VIEWER, "put": Role.VIEWER}

    def get(self, request: Request, pk: str) -> Response:
        return with_etag(Response({}), ApiKey.objects.get(pk=pk))

    def put(self, request: Request, pk: str) -> Response:
        key = ApiKey.objects.get(pk=pk)
        require_match(request, key)
        key.name = "changed"
        key.save()
        return with_etag(Response({}), key)


class MessageFilter(StrictFilterSet):
    created_after = MomentFilter(field_name="created_at", lookup_expr="gte")

    class Meta:
        model = OutboxMessage
        fields: ClassVar = ["queue"]


class _Messages(ResourceViewSet):
    roles: ClassVar = {"list": Role.VIEWER}
    filterset_class = MessageFilter
    ordering_fields: ClassVar = ("created_at", "published_at", "priority")
    search_fields: ClassVar = ("task",)

    def get_queryset(self) -> QuerySet[OutboxMessage]:
        return OutboxMessage.objects.order_by("-id")

    def list(self, request: Request) -> Response:
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response([row.pk for row in page or ()])


class PagedViewSet(_Messages):
    pagination_class = PagePagination


class KeyedViewSet(_Messages):
    pagination_class = KeysetPagination


router = Router()
router.register("paged", PagedViewSet, "paged")
router.register("keyed", KeyedViewSet, "keyed")

_api = [
    *router.urls,
    route("body", BodyView, "body"),
    route("fault", FaultView, "fault"),
    route("work", WorkView, "work"),
    route("v1/work", WorkView, "work-v1"),
    route("keys/(?P<pk>[^/]+)", KeyView, "key"),
]
urlpatterns = [path("api/", include(_api)), path("api/<path:rest>", lambda request, rest: api_not_found(request))]
handler404 = "tradingsite.common.api.handlers.not_found"
handler500 = "tradingsite.common.api.handlers.server_error"
handler400 = "tradingsite.common.api.handlers.bad_request"
