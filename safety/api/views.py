"""Safety over HTTP: look, stop, go on, set limits, read the histories."""

from dataclasses import asdict
from typing import Any, ClassVar

from django.db.models import QuerySet
from django_filters import FilterSet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from safety import killswitch, selectors, services
from safety.api import filters
from safety.api import serializers as shapes
from safety.models import AlertEvent, AuditLog, GateDecision, KillSwitchEvent, SafetySettings, ScopedLimits
from tradingsite.common.access.authentication import ApiKeyAuthentication, BrowserSessionAuthentication
from tradingsite.common.access.outage import OutageAuthentication
from tradingsite.common.api.etag import require_match, with_etag
from tradingsite.common.api.filters import filtered
from tradingsite.common.api.pagination import KeysetPagination
from tradingsite.common.api.serializers import validated
from tradingsite.common.api.views import ApiView, ResourceViewSet
from tradingsite.common.clock import rfc3339
from tradingsite.common.ids import parse_uuid
from tradingsite.common.roles import Role


class SafetyView(ApiView):
    """How the desk is protected now."""

    roles: ClassVar = {"get": Role.VIEWER}

    @extend_schema(operation_id="safety_status", responses=shapes.Status)
    def get(self, request: Request) -> Response:
        return Response(selectors.safety_status())


class KillView(ApiView):
    """Stop: no new order leaves until a person resumes."""

    roles: ClassVar = {"post": Role.OPERATOR}

    # The first knows the caller also while the database is away; the others would wait for it.
    authentication_classes = (OutageAuthentication, ApiKeyAuthentication, BrowserSessionAuthentication)

    @extend_schema(
        operation_id="safety_kill",
        description="No new order leaves any process, all resting orders are cancelled, running work stops at its next "
        "step. Answered also while the database is away (then with a bearer token only) or takes no writes: "
        "`degraded` says which half of the switch is missing; it is written as soon as that can be done.",
        request=shapes.KillRequest,
        responses=shapes.KillAnswer,
        auth=[{"jwt": []}, {"apiKey": []}, {"session": []}],  # type: ignore[list-item]  # requirements, as OpenAPI has them
    )
    def post(self, request: Request) -> Response:
        body = validated(shapes.KillRequest, request.data)
        result = services.kill(actor=self.actor, reason=body["reason"], scope=body["scope"], flatten=body["flatten"])
        by_database = killswitch.DATABASE in result.sources
        shown = selectors.kill_status if by_database else selectors.kill_status_by_file
        return Response({**asdict(result), **shown(result.scope)})


class ResumeView(ApiView):
    """Go on after a kill; a person, with a reason."""

    roles: ClassVar = {"post": Role.OPERATOR}

    @extend_schema(operation_id="safety_resume", request=shapes.ResumeRequest, responses=shapes.ScopeState)
    def post(self, request: Request) -> Response:
        body = validated(shapes.ResumeRequest, request.data)
        scope = services.scope_named(body["scope"])
        services.resume(actor=self.actor, reason=body["reason"], scope=scope)
        return Response(selectors.kill_status(scope))


class BreakerResumeView(ApiView):
    """Let an account trade again that the drawdown breaker has stopped; a person, with a reason."""

    roles: ClassVar = {"post": Role.OPERATOR}

    @extend_schema(operation_id="safety_breaker_resume", request=shapes.BreakerResumeRequest, responses=shapes.Breaker)
    def post(self, request: Request) -> Response:
        body = validated(shapes.BreakerResumeRequest, request.data)
        row = services.breaker_resume(actor=self.actor, account_id=body["account_id"], reason=body["reason"])
        return Response(selectors.breaker_as_json(row))


class ReconciliationClearView(ApiView):
    """Let an account trade again whose books differed from its broker's; a person, with a reason."""

    roles: ClassVar = {"post": Role.OPERATOR}

    @extend_schema(
        operation_id="safety_reconciliation_clear",
        description="The account is held against its broker first. While anything differs nothing is cleared (409 "
        "`RECONCILIATION_STILL_DIFFERS`), nor while the broker gives no certain answer (503 "
        "`RECONCILIATION_NOT_COMPARED`). All of the codes are cleared, or none.",
        request=shapes.ReconciliationClearRequest,
        responses=shapes.ReconciliationCleared,
    )
    def post(self, request: Request) -> Response:
        body = validated(shapes.ReconciliationClearRequest, request.data)
        left = services.reconciliation_clear_by_person(actor=self.actor, **body)
        blocks = [selectors.block_as_json(row) for row in left]
        return Response({"account_id": str(body["account_id"]), "reconciliation_blocks": blocks})


class LimitsView(ApiView):
    """Every limit of the gate. `If-Match` guards a change against another one."""

    roles: ClassVar = {"get": Role.VIEWER, "put": Role.ADMIN, "patch": Role.ADMIN}

    @extend_schema(operation_id="safety_limits", responses=shapes.LimitsShown)
    def get(self, request: Request) -> Response:
        return _limits_answer(selectors.settings_get())

    @extend_schema(operation_id="safety_limits_replace", request=shapes.Limits, responses=shapes.LimitsShown)
    def put(self, request: Request) -> Response:
        return self._change(request, partial=False)

    @extend_schema(
        operation_id="safety_limits_change", request=shapes.Limits(partial=True), responses=shapes.LimitsShown
    )
    def patch(self, request: Request) -> Response:
        return self._change(request, partial=True)

    def _change(self, request: Request, *, partial: bool) -> Response:
        row = selectors.settings_get()
        require_match(request, row)
        changes = validated(shapes.Limits, request.data, partial=partial)
        expected = row.version if "If-Match" in request.headers else None
        return _limits_answer(services.limits_update(actor=self.actor, changes=changes, expected_version=expected))


class ScopedLimitsView(ApiView):
    """The limits that one strategy or instrument has beside the desk's: the strictest binds."""

    roles: ClassVar = {"get": Role.VIEWER, "put": Role.ADMIN, "delete": Role.ADMIN}

    @extend_schema(operation_id="safety_scoped_limits", responses=shapes.ScopedLimitsShown)
    def get(self, request: Request, scope: str, key: str) -> Response:
        return _scoped_answer(selectors.scoped_limits_get(scope, key))

    @extend_schema(
        operation_id="safety_scoped_limits_replace", request=shapes.ScopedLimits, responses=shapes.ScopedLimitsShown
    )
    def put(self, request: Request, scope: str, key: str) -> Response:
        limits = validated(shapes.ScopedLimits, request.data)
        expected = None
        if "If-Match" in request.headers:
            row = selectors.scoped_limits_get(scope, key)
            require_match(request, row)
            expected = row.version
        return _scoped_answer(
            services.scoped_limits_set(actor=self.actor, scope=scope, key=key, limits=limits, expected_version=expected)
        )

    @extend_schema(operation_id="safety_scoped_limits_remove", responses={204: None})
    def delete(self, request: Request, scope: str, key: str) -> Response:
        if "If-Match" in request.headers:
            require_match(request, selectors.scoped_limits_get(scope, key))
        services.scoped_limits_remove(actor=self.actor, scope=scope, key=key)
        return Response(status=204)


def _scoped_answer(row: ScopedLimits) -> Response:
    shown = {
        "scope": row.scope,
        "key": row.key,
        "limits": selectors.scoped_limits_as_json(row),
        "version": row.version,
        "updated_at": rfc3339(row.updated_at),
        "updated_by": row.updated_by,
    }
    return with_etag(Response(shown), row)


def _limits_answer(row: SafetySettings) -> Response:
    return with_etag(Response(shapes.LimitsShown(row).data), row)


class _History(ResourceViewSet):
    """A list by cursor, newest first."""

    pagination_class = KeysetPagination
    filterset_class: ClassVar[type[FilterSet]]

    def list(self, request: Request, **_: Any) -> Response:
        shape: type[BaseSerializer[Any]] = self.get_serializer_class()
        page = self.paginate_queryset(filtered(self.filterset_class, request, self.get_queryset()))
        return self.get_paginated_response(shape(page, many=True).data)


class DecisionViewSet(_History):
    """Every verdict of the gate, with the facts that it saw."""

    roles: ClassVar = {"list": Role.VIEWER}
    serializer_class = shapes.Decision
    filterset_class = filters.DecisionFilter

    def get_queryset(self) -> QuerySet[GateDecision]:
        return selectors.decisions()


class KillEventViewSet(_History):
    """Who killed and resumed what, and why."""

    roles: ClassVar = {"list": Role.VIEWER}
    serializer_class = shapes.KillEvent
    filterset_class = filters.KillEventFilter

    def get_queryset(self) -> QuerySet[KillSwitchEvent]:
        return selectors.kill_history()


class AlertHistoryViewSet(_History):
    """The alerts that were raised."""

    roles: ClassVar = {"list": Role.VIEWER, "retrieve": Role.VIEWER, "acknowledge": Role.OPERATOR}
    serializer_class = shapes.Alert
    filterset_class = filters.AlertFilter
    lookup_value_regex = "[^/]+"

    def get_queryset(self) -> QuerySet[AlertEvent]:
        return selectors.alert_history()

    @extend_schema(responses=shapes.Alert)
    def retrieve(self, request: Request, pk: str) -> Response:
        return Response(shapes.Alert(selectors.alert_get(parse_uuid(pk, "id"))).data)

    @extend_schema(request=None, responses=shapes.Alert)
    def acknowledge(self, request: Request, pk: str) -> Response:
        event = services.alert_acknowledge(actor=self.actor, alert_id=parse_uuid(pk, "id"))
        return Response(shapes.Alert(event).data)


class AuditViewSet(_History):
    """Every change of state: who, what, why."""

    roles: ClassVar = {"list": Role.OPERATOR}
    serializer_class = shapes.AuditRow
    filterset_class = filters.AuditFilter

    def get_queryset(self) -> QuerySet[AuditLog]:
        return selectors.audit_rows()
