"""Alert rules over HTTP: everybody reads, a trader writes its own, an operator all."""

from datetime import timedelta
from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from safety import services
from safety.alerting import selectors
from safety.alerting.api import serializers as shapes
from safety.alerting.api.filters import AlertRuleFilter
from safety.alerting.kinds import ACCOUNT_FIELDS, KINDS, MARKET_FIELDS
from safety.choices import AlertKind
from safety.models.alert_rules import AlertRule
from safety.services.alert_rules import BODY
from tradingsite.common.api.config_schema import serializer_schema
from tradingsite.common.api.etag import require_match, with_etag
from tradingsite.common.api.filters import filtered, ordered, searched
from tradingsite.common.api.pagination import PagePagination
from tradingsite.common.api.serializers import validated
from tradingsite.common.api.views import ResourceViewSet
from tradingsite.common.clock import utcnow
from tradingsite.common.roles import Role

UUID_PATTERN = "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
IF_MATCH = OpenApiParameter(
    "If-Match", str, OpenApiParameter.HEADER, description="The ETag that was read; 412 when it has changed since."
)


class AlertRuleViewSet(ResourceViewSet):
    """What is watched, for whom, and how it is told."""

    queryset = AlertRule.objects.all()
    serializer_class = shapes.AlertRuleShown
    filterset_class = AlertRuleFilter
    pagination_class = PagePagination
    ordering_fields: ClassVar[tuple[str, ...]] = ("created_at", "name", "symbol", "kind", "severity")
    search_fields: ClassVar[tuple[str, ...]] = ("name", "symbol")
    lookup_url_kwarg = "id"
    lookup_value_regex = UUID_PATTERN
    roles: ClassVar = {
        "list": Role.VIEWER,
        "retrieve": Role.VIEWER,
        "kinds": Role.VIEWER,
        "evaluation": Role.VIEWER,
        "create": Role.TRADER,
        "update": Role.TRADER,
        "partial_update": Role.TRADER,
        "destroy": Role.TRADER,
        "restore": Role.TRADER,
        "enable": Role.TRADER,
        "disable": Role.TRADER,
        "snooze": Role.TRADER,
        "unsnooze": Role.TRADER,
        "acknowledge": Role.TRADER,
    }

    def list(self, request: Request, **kwargs: Any) -> Response:
        """List the rules with what the last look at each one said."""
        rows = selectors.rules_listed(deleted=request.query_params.get("deleted") == "true")
        rows = searched(self.search_fields, request, filtered(AlertRuleFilter, request, rows))
        page = self.paginate_queryset(ordered(self.ordering_fields, request, rows, "-created_at"))
        return self.get_paginated_response(shapes.AlertRuleShown(page, many=True).data)

    @extend_schema(request=shapes.AlertRuleBody, responses={201: shapes.AlertRuleShown})
    def create(self, request: Request, **kwargs: Any) -> Response:
        """Make a rule; it is looked at within seconds."""
        row = services.alert_rule_create(actor=self.actor, **validated(shapes.AlertRuleBody, request.data))
        answer = self._shown(row.pk, status.HTTP_201_CREATED)
        answer["Location"] = f"{request.path.rstrip('/')}/{row.pk}"
        return answer

    @extend_schema(responses=shapes.AlertRuleShown)
    def retrieve(self, request: Request, id: str, **kwargs: Any) -> Response:
        """Return a rule with its state."""
        return self._shown(UUID(id))

    @extend_schema(request=shapes.AlertRuleBody, responses=shapes.AlertRuleShown, parameters=[IF_MATCH])
    def update(self, request: Request, id: str, **kwargs: Any) -> Response:
        """Replace a rule; what is left out has its default. One that watches something else now starts anew."""
        return self._change(request, id, {**BODY, **validated(shapes.AlertRuleBody, request.data)})

    @extend_schema(request=shapes.AlertRuleChange, responses=shapes.AlertRuleShown, parameters=[IF_MATCH])
    def partial_update(self, request: Request, id: str, **kwargs: Any) -> Response:
        """Change some fields of a rule."""
        return self._change(request, id, validated(shapes.AlertRuleChange, request.data))

    def _change(self, request: Request, id: str, changes: dict[str, Any]) -> Response:
        services.alert_rule_update(
            actor=self.actor, rule_id=UUID(id), changes=changes, precondition=lambda row: require_match(request, row)
        )
        return self._shown(UUID(id))

    @extend_schema(responses={204: None}, parameters=[IF_MATCH])
    def destroy(self, request: Request, id: str, **kwargs: Any) -> Response:
        """Hide a rule; its history stays."""
        services.alert_rule_delete(
            actor=self.actor, rule_id=UUID(id), precondition=lambda row: require_match(request, row)
        )
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=None, responses=shapes.AlertRuleShown)
    @action(detail=True, methods=["post"])
    def restore(self, request: Request, id: str, **kwargs: Any) -> Response:
        """Bring a deleted rule back, disabled."""
        services.alert_rule_restore(actor=self.actor, rule_id=UUID(id))
        return self._shown(UUID(id))

    @extend_schema(request=None, responses=shapes.AlertRuleShown)
    @action(detail=True, methods=["post"])
    def enable(self, request: Request, id: str, **kwargs: Any) -> Response:
        """Let a rule be looked at; it knows nothing of the time before."""
        services.alert_rule_switch(actor=self.actor, rule_id=UUID(id), enabled=True)
        return self._shown(UUID(id))

    @extend_schema(request=None, responses=shapes.AlertRuleShown)
    @action(detail=True, methods=["post"])
    def disable(self, request: Request, id: str, **kwargs: Any) -> Response:
        """Let a rule be looked at no more."""
        services.alert_rule_switch(actor=self.actor, rule_id=UUID(id), enabled=False)
        return self._shown(UUID(id))

    @extend_schema(request=shapes.SnoozeBody, responses=shapes.AlertRuleShown)
    @action(detail=True, methods=["post"])
    def snooze(self, request: Request, id: str, **kwargs: Any) -> Response:
        """Let a rule raise nothing for a while; what it would have raised is counted."""
        body = validated(shapes.SnoozeBody, request.data)
        until = body["until"] if "until" in body else utcnow() + timedelta(seconds=body["for_s"])
        services.alert_rule_snooze(actor=self.actor, rule_id=UUID(id), until=until)
        return self._shown(UUID(id))

    @extend_schema(request=None, responses=shapes.AlertRuleShown)
    @action(detail=True, methods=["post"])
    def unsnooze(self, request: Request, id: str, **kwargs: Any) -> Response:
        """End a snooze."""
        services.alert_rule_snooze(actor=self.actor, rule_id=UUID(id), until=None)
        return self._shown(UUID(id))

    @extend_schema(request=None, responses=shapes.Acknowledged)
    @action(detail=True, methods=["post"])
    def acknowledge(self, request: Request, id: str, **kwargs: Any) -> Response:
        """Mark every alert of a rule as seen."""
        count = services.alert_rule_acknowledge(actor=self.actor, rule_id=UUID(id))
        return Response(shapes.Acknowledged({"acknowledged": count}).data)

    @extend_schema(operation_id="alerts_kinds", responses=shapes.AlertKindShown(many=True), filters=False)
    @action(detail=False, pagination_class=None)
    def kinds(self, request: Request, **kwargs: Any) -> Response:
        """List the kinds of rules with the JSON Schema of each one's config."""
        return Response(
            [
                {
                    "kind": one.kind.value,
                    "help": one.help,
                    "symbol": one.symbol,
                    "threshold": one.threshold,
                    "config_schema": serializer_schema(one.config_class()),
                    "figures": {**MARKET_FIELDS, **ACCOUNT_FIELDS} if one.kind == AlertKind.EXPRESSION else {},
                }
                for one in KINDS.values()
            ]
        )

    @extend_schema(operation_id="alerts_evaluation", responses=shapes.RoundShown, filters=False)
    @action(detail=False, pagination_class=None)
    def evaluation(self, request: Request, **kwargs: Any) -> Response:
        """Tell of the evaluator's last round: when it was, how long it took, what it could not look at."""
        return Response(shapes.RoundShown(selectors.round_last()).data)

    def _shown(self, rule_id: UUID, code: int = status.HTTP_200_OK) -> Response:
        row = selectors.rule_get(rule_id)
        return with_etag(Response(shapes.AlertRuleShown(row).data, status=code), row)
