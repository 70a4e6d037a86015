"""The autonomous agent over HTTP: its setting, its runs, what it proposes."""

from typing import Any, ClassVar

from django.db.models import QuerySet
from django.urls import reverse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from agents.api import autonomous_shapes as shapes
from agents.api.filters import AgentRunFilterSet, ProposalFilterSet
from agents.autonomous import config as settings_of
from agents.autonomous import proposals, runs, selectors
from agents.autonomous.choices import RunStatus
from agents.autonomous.models import AgentRun, Proposal
from executions.models import StepExecution
from portfolio.selectors import account_default
from tradingsite.common.api.etag import require_match, with_etag
from tradingsite.common.api.filters import filtered
from tradingsite.common.api.idempotency import idempotent
from tradingsite.common.api.pagination import KeysetPagination
from tradingsite.common.api.serializers import validated
from tradingsite.common.api.views import ApiView, ResourceViewSet
from tradingsite.common.ids import parse_uuid
from tradingsite.common.roles import Role
from workflows.api.views import IF_MATCH

# A client and what stands before the desk may give up on a request that takes longer.
WAIT_S = 50.0
ASYNC = OpenApiParameter("async", bool, description="true: answer 202 at once instead of with the report.")


class AgentView(ApiView):
    """How the autonomous agent is set, and how it stands."""

    roles: ClassVar = {"get": Role.VIEWER, "put": Role.OPERATOR, "patch": Role.OPERATOR}

    @extend_schema(operation_id="agent_status", responses=shapes.AgentStatus)
    def get(self, request: Request, **kwargs: Any) -> Response:
        """Return the setting, the last run, the next one, what today's runs have used and why none would run now."""
        return _status()

    @extend_schema(
        operation_id="agent_configure", request=shapes.AgentConfigBody, responses=shapes.AgentStatus,
        parameters=[IF_MATCH],
    )  # fmt: skip
    def put(self, request: Request, **kwargs: Any) -> Response:
        """Set the agent; what is left out has the default."""
        return self._change(request, validated(shapes.AgentConfigBody, request.data))

    @extend_schema(
        operation_id="agent_reconfigure", request=shapes.AgentConfigChange, responses=shapes.AgentStatus,
        parameters=[IF_MATCH],
    )  # fmt: skip
    def patch(self, request: Request, **kwargs: Any) -> Response:
        """Change some fields of the setting; each is replaced as a whole."""
        return self._change(request, validated(shapes.AgentConfigChange, request.data))

    def _change(self, request: Request, body: dict[str, Any]) -> Response:
        settings_of.config_update(
            actor=self.actor,
            changes=shapes.config_changes(body),
            precondition=lambda row: require_match(request, row),
        )
        return _status()


def _status() -> Response:
    standing = selectors.agent_standing(account_default())
    return with_etag(Response(shapes.AgentStatus(standing).data), standing["config"])


class AgentRunStartView(ApiView):
    """Have the agent run now."""

    roles: ClassVar = {"post": Role.TRADER}
    query_params: ClassVar[frozenset[str]] = frozenset({"async"})

    @extend_schema(
        operation_id="agent_run",
        request=shapes.AgentRunBody,
        parameters=[ASYNC],
        responses={200: shapes.AgentReport, 202: shapes.AgentRunAccepted},
    )
    @idempotent
    def post(self, request: Request, **kwargs: Any) -> Response:
        """Run the agent's loop and return its report; 202 when it takes longer than a request may, or with `async`.

        409 while a run is under way (`run_id` names it), while the kill switch is set, or when the agent is switched
        off. In quiet hours, and when a budget of the day is used up, the run proposes at most and says so.
        """
        body = validated(shapes.AgentRunBody, request.data)
        run = runs.run_start(actor=self.actor, symbols=body["symbols"], autonomy=body["autonomy"])
        if request.query_params.get("async") != "true":
            run = runs.run_wait(run.pk, seconds=WAIT_S)
        if run.status == RunStatus.RUNNING:
            return _accepted(run)
        return Response(run.report)


def _accepted(run: AgentRun) -> Response:
    here = reverse("v1:agent-run-detail", args=[run.pk])
    body = {
        "run_id": str(run.pk),
        "execution_id": str(run.execution_id),
        "status": run.status,
        "links": {"self": here, "cancel": f"{here}/cancel"},
    }
    return Response(body, status=status.HTTP_202_ACCEPTED, headers={"Location": here})


class AgentRunViewSet(ResourceViewSet):
    """The agent's runs, the newest first."""

    queryset = AgentRun.objects.all()
    serializer_class = shapes.AgentRunDetail
    filterset_class = AgentRunFilterSet
    pagination_class = KeysetPagination
    lookup_value_regex = "[^/]+"
    roles: ClassVar = {"list": Role.VIEWER, "retrieve": Role.VIEWER, "cancel": Role.TRADER}

    def get_queryset(self) -> QuerySet[AgentRun]:
        return selectors.runs_visible().defer("config", "report")

    @extend_schema(responses=shapes.AgentRunRow(many=True))
    def list(self, request: Request, **kwargs: Any) -> Response:
        """List the agent's runs, the skipped ones too."""
        page = self.paginate_queryset(filtered(AgentRunFilterSet, request, self.get_queryset()))
        return self.get_paginated_response(shapes.AgentRunRow(page, many=True).data)

    @extend_schema(responses=shapes.AgentRunDetail)
    def retrieve(self, request: Request, pk: str, **kwargs: Any) -> Response:
        """Return one run with its report."""
        return Response(shapes.AgentRunDetail(selectors.run_get(parse_uuid(pk, "id"))).data)

    @extend_schema(request=shapes.ReasonBody, responses={202: shapes.AgentRunAccepted})
    @action(detail=True, methods=["post"])
    @idempotent
    def cancel(self, request: Request, pk: str, **kwargs: Any) -> Response:
        """Ask a run to stop; it ends at the next thing it does."""
        body = validated(shapes.ReasonBody, request.data)
        return _accepted(runs.run_cancel(actor=self.actor, run_id=parse_uuid(pk, "id"), reason=body["reason"]))


class AgentLogViewSet(ResourceViewSet):
    """What the agent did, phase by phase over all runs."""

    queryset = StepExecution.objects.all()
    serializer_class = shapes.PhaseLine
    pagination_class = KeysetPagination
    roles: ClassVar = {"list": Role.VIEWER}

    @extend_schema(operation_id="agent_logs", responses=shapes.PhaseLine(many=True))
    def list(self, request: Request, **kwargs: Any) -> Response:
        """List the phases of all runs with their lines, the newest first."""
        page = self.paginate_queryset(selectors.phases_visible())
        return self.get_paginated_response(shapes.PhaseLine(page, many=True).data)


class ProposalViewSet(ResourceViewSet):
    """Orders that the agent proposes, the newest first."""

    queryset = Proposal.objects.all()
    serializer_class = shapes.ProposalSerializer
    filterset_class = ProposalFilterSet
    pagination_class = KeysetPagination
    lookup_value_regex = "[^/]+"
    roles: ClassVar = {
        "list": Role.VIEWER,
        "retrieve": Role.VIEWER,
        "approve": Role.TRADER,
        "reject": Role.TRADER,
    }

    @extend_schema(responses=shapes.ProposalSerializer(many=True))
    def list(self, request: Request, **kwargs: Any) -> Response:
        """List proposals."""
        page = self.paginate_queryset(filtered(ProposalFilterSet, request, selectors.proposals_visible()))
        return self.get_paginated_response(shapes.ProposalSerializer(page, many=True).data)

    @extend_schema(responses=shapes.ProposalSerializer)
    def retrieve(self, request: Request, pk: str, **kwargs: Any) -> Response:
        """Return one proposal."""
        return Response(shapes.ProposalSerializer(selectors.proposal_get(parse_uuid(pk, "id"))).data)

    @extend_schema(request=shapes.ReasonBody, responses=shapes.ProposalSerializer)
    @action(detail=True, methods=["post"])
    @idempotent
    def approve(self, request: Request, pk: str, **kwargs: Any) -> Response:
        """Place the order, through the gate at today's prices; 409 when the price has moved beyond the bound."""
        body = validated(shapes.ReasonBody, request.data)
        proposal = proposals.proposal_approve(actor=self.actor, proposal_id=parse_uuid(pk, "id"), **body)
        return Response(shapes.ProposalSerializer(proposal).data)

    @extend_schema(request=shapes.ReasonBody, responses=shapes.ProposalSerializer)
    @action(detail=True, methods=["post"])
    @idempotent
    def reject(self, request: Request, pk: str, **kwargs: Any) -> Response:
        """Close a proposal without an order."""
        body = validated(shapes.ReasonBody, request.data)
        proposal = proposals.proposal_reject(actor=self.actor, proposal_id=parse_uuid(pk, "id"), **body)
        return Response(shapes.ProposalSerializer(proposal).data)
