"""Live adaptation over HTTP: start, list, look, run now, decide, stop."""

from typing import Any, ClassVar
from uuid import UUID

from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from optimize import services
from optimize.adaptation import selectors
from optimize.adaptation.choices import AdaptationStatus
from optimize.adaptation.models import AdaptationEvent, LiveAdaptation
from optimize.adaptation.watch_selectors import regimes_of, watches_of
from optimize.api import live_shapes as shapes
from optimize.api.views import flag, whole
from tradingsite.common.api.idempotency import idempotent
from tradingsite.common.api.serializers import validated
from tradingsite.common.api.views import ResourceViewSet
from tradingsite.common.errors import FieldError, PermissionDenied, ValidationFailed
from tradingsite.common.ids import parse_uuid
from tradingsite.common.roles import Role

LISTED, LISTED_MAX = 200, 1000
POINTS, POINTS_MAX = 1000, 5000
ALL = "all"

_NUMBER = OpenApiParameter("number", int, OpenApiParameter.PATH, description="Of the event.")


class LiveAdaptationViewSet(ResourceViewSet):
    """Adaptations. A person sees their own, an operator those of all."""

    problem_statuses: ClassVar = ("409",)
    roles: ClassVar = {
        "list": Role.VIEWER,
        "create": Role.TRADER,
        "retrieve": Role.VIEWER,
        "destroy": Role.TRADER,
        "run": Role.TRADER,
        "history": Role.VIEWER,
        "regimes": Role.VIEWER,
        "watches": Role.VIEWER,
        "approve": Role.TRADER,
        "reject": Role.TRADER,
        "rollback": Role.TRADER,
    }
    serializer_class = shapes.LiveAdaptationShape
    pagination_class = None
    queryset = LiveAdaptation.objects.all()
    lookup_value_regex = "[^/]+"

    def known_query_params(self) -> frozenset[str]:
        return {
            "list": frozenset({"all", "limit", "status", "strategy_id"}),
            "history": frozenset({"before", "limit"}),
            "regimes": frozenset({"limit"}),
            "watches": frozenset({"limit"}),
        }.get(self.action or "", frozenset())

    def _adaptation(self) -> LiveAdaptation:
        return selectors.adaptation_get(parse_uuid(self.kwargs["pk"], "id"), self.actor)

    @extend_schema(
        summary="Active adaptations, the newest first",
        parameters=[
            OpenApiParameter("status", str, enum=["active", "stopped", ALL], description="active unless told."),
            OpenApiParameter("strategy_id", OpenApiTypes.UUID, description="Of this strategy alone."),
            OpenApiParameter("all", bool, description="Those of everybody, for operators."),
            OpenApiParameter("limit", int, description=f"1 to {LISTED_MAX}, {LISTED} unless told."),
        ],
        responses=shapes.LiveAdaptationShape(many=True),
    )
    def list(self, request: Request, **_: Any) -> Response:
        everybodys = flag(request, "all")
        if everybodys and not self.actor.may(Role.OPERATOR):
            raise PermissionDenied("Only operators see everybody's adaptations; leave `all` out for your own.")
        rows = selectors.adaptations_visible(self.actor, everybodys=everybodys)
        if (wanted := _status(request)) != ALL:
            rows = rows.filter(status=wanted)
        if (text := request.query_params.get("strategy_id")) is not None:
            rows = rows.filter(strategy_id=parse_uuid(text, "strategy_id"))
        found = selectors.standings(rows[: whole(request, "limit", usual=LISTED, most=LISTED_MAX)])
        return Response(shapes.LiveAdaptationShape(found, many=True).data)

    @extend_schema(
        summary="Let a strategy's parameters follow the market",
        description="A strategy has one active adaptation at most.",
        request=shapes.LiveAdaptationBody,
        responses={200: shapes.LiveAdaptationShape},
    )
    @idempotent
    def create(self, request: Request, **_: Any) -> Response:
        body = validated(shapes.LiveAdaptationBody, request.data)
        return self._shown(services.live_start(actor=self.actor, **body).pk)

    @extend_schema(summary="One adaptation, and how it stands")
    def retrieve(self, request: Request, **_: Any) -> Response:
        return self._shown(self._adaptation().pk)

    @extend_schema(
        summary="Stop an adaptation",
        description="A round under way is cancelled, and what waits is superseded; the parameters stay as they are.",
        responses={200: shapes.LiveAdaptationShape},
    )
    @idempotent
    def destroy(self, request: Request, **_: Any) -> Response:
        return self._shown(services.live_stop(actor=self.actor, adaptation=self._adaptation()).pk)

    def _shown(self, pk: UUID) -> Response:
        (found,) = selectors.standings([selectors.adaptation_get(pk, self.actor)])
        return Response(shapes.LiveAdaptationShape(found).data)

    @extend_schema(
        summary="Look for better parameters now",
        request=None,
        responses={202: shapes.RoundStarted},
        filters=False,
    )
    @action(detail=True, methods=["post"])
    @idempotent
    def run(self, request: Request, **_: Any) -> Response:
        found = services.live_run(actor=self.actor, adaptation=self._adaptation())
        body = shapes.RoundStarted({"round_id": found.pk, "job_id": found.job_id}).data
        here = reverse("v1:optimization-detail", args=[found.job_id])
        return Response(body, status=status.HTTP_202_ACCEPTED, headers={"Location": here})

    @extend_schema(
        summary="What happened, the newest first",
        parameters=[
            OpenApiParameter("before", int, description="Events with a smaller number."),
            OpenApiParameter("limit", int, description=f"1 to {LISTED_MAX}, {LISTED} unless told."),
        ],
        responses=shapes.EventShape(many=True),
        filters=False,
    )
    @action(detail=True)
    def history(self, request: Request, **_: Any) -> Response:
        adaptation = self._adaptation()
        before = whole(request, "before", usual=None, most=2**31 - 1)
        limit = whole(request, "limit", usual=LISTED, most=LISTED_MAX)
        rows = selectors.events_listed(adaptation, before=before, limit=limit)
        return Response(_events(adaptation, rows))

    @extend_schema(
        summary="The regimes that were seen",
        parameters=[
            OpenApiParameter(
                "limit", int, description=f"The newest so many; {POINTS} unless told, {POINTS_MAX} at most."
            )
        ],
        responses=shapes.LiveRegimes,
        filters=False,
    )
    @action(detail=True)
    def regimes(self, request: Request, **_: Any) -> Response:
        adaptation = self._adaptation()
        limit = whole(request, "limit", usual=POINTS, most=POINTS_MAX)
        points = regimes_of(adaptation, limit=limit or POINTS)
        body = {
            "adaptation_id": adaptation.pk,
            "strategy_id": adaptation.strategy_id,
            "detector": adaptation.regime,
            "count": len(points),
            "regimes": points,
            "changes": [point for point in points if point.changed_from],
        }
        return Response(shapes.LiveRegimes(body).data)

    @extend_schema(
        summary="What was promised of new parameters, and what came of it",
        parameters=[OpenApiParameter("limit", int, description=f"1 to {LISTED_MAX}, {LISTED} unless told.")],
        responses=shapes.WatchShape(many=True),
        filters=False,
    )
    @action(detail=True)
    def watches(self, request: Request, **_: Any) -> Response:
        limit = whole(request, "limit", usual=LISTED, most=LISTED_MAX)
        return Response(shapes.WatchShape(watches_of(self._adaptation())[:limit], many=True).data)

    @extend_schema(
        summary="Apply a proposal that waits",
        request=shapes.DecisionBody,
        responses={200: shapes.EventShape},
        parameters=[_NUMBER],
        filters=False,
    )
    @action(detail=True, methods=["post"], url_path=r"events/(?P<number>[^/]+)/approve")
    @idempotent
    def approve(self, request: Request, **_: Any) -> Response:
        return self._decided(request, services.event_approve)

    @extend_schema(
        summary="Refuse a proposal that waits",
        request=shapes.DecisionBody,
        responses={200: shapes.EventShape},
        parameters=[_NUMBER],
        filters=False,
    )
    @action(detail=True, methods=["post"], url_path=r"events/(?P<number>[^/]+)/reject")
    @idempotent
    def reject(self, request: Request, **_: Any) -> Response:
        return self._decided(request, services.event_reject)

    @extend_schema(
        summary="Take a change back",
        description="The newest change that stands; the strategy gets the version that it had before.",
        request=shapes.DecisionBody,
        responses={200: shapes.EventShape},
        parameters=[_NUMBER],
        filters=False,
    )
    @action(detail=True, methods=["post"], url_path=r"events/(?P<number>[^/]+)/rollback")
    @idempotent
    def rollback(self, request: Request, **_: Any) -> Response:
        return self._decided(request, services.event_rollback)

    def _decided(self, request: Request, decide: Any) -> Response:
        body = validated(shapes.DecisionBody, request.data)
        adaptation = self._adaptation()
        event = decide(
            actor=self.actor, adaptation=adaptation, number=_number(self.kwargs["number"]), reason=body["reason"]
        )
        return Response(_events(adaptation, [event])[0])


def _events(adaptation: LiveAdaptation, rows: Any) -> Any:
    found: list[AdaptationEvent] = [*rows]
    context = {"outcomes": selectors.outcomes(adaptation, found)}
    return shapes.EventShape(found, many=True, context=context).data


def _status(request: Request) -> str:
    text = request.query_params.get("status", AdaptationStatus.ACTIVE.value)
    if text not in (*AdaptationStatus.values, ALL):
        detail = f"Must be one of {', '.join((*AdaptationStatus.values, ALL))}."
        raise ValidationFailed(errors=[FieldError("status", "invalid_choice", detail)])
    return text


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= len(text) <= 9:
        raise ValidationFailed(errors=[FieldError("number", "invalid", "Must be the number of an event.")])
    return int(text)
