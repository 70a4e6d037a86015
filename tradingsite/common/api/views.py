"""The bases of all API views: roles by action, actor, strict query parameters."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from rest_framework.request import Request
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from tradingsite.common.actor import Actor
from tradingsite.common.api.filters import DeskFilterBackend, DeskOrderBackend
from tradingsite.common.api.permissions import HasRole, request_actor
from tradingsite.common.errors import FieldError, ValidationFailed
from tradingsite.common.roles import Role

_ALWAYS = frozenset({"format"})


class _Desk(APIView):
    """What both kinds of view share."""

    roles: ClassVar[Mapping[str, Role]] = {}
    # Parameters beyond those of the filters, the pages and the ordering.
    query_params: ClassVar[frozenset[str]] = frozenset()
    # Refusals that the schema cannot tell from the route, such as a 404 for what a parameter names.
    problem_statuses: ClassVar[tuple[str, ...]] = ()
    permission_classes: Sequence[Any] = (HasRole,)
    # What a route takes stands in the schema; DRF's own answer to OPTIONS would build serializers that views don't have.
    metadata_class = None
    http_method_names = ["get", "post", "put", "patch", "delete", "head"]  # noqa: RUF012  # Django has it as a list

    @property
    def actor(self) -> Actor:
        """Who calls."""
        return request_actor(self.request)

    def known_query_params(self) -> frozenset[str]:
        """Return every query parameter that the present action reads."""
        return self.query_params

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        method = (request.method or "").lower()
        if method not in self.http_method_names or getattr(self, method, None) is None:
            # The answer is 405, whatever the parameters.
            return
        known = self.known_query_params() | _ALWAYS
        errors = [
            FieldError(name, "unknown_parameter", "This query parameter is not known here.")
            for name in sorted(request.query_params)
            if name not in known
        ]
        for name, values in request.query_params.lists():
            if any("\x00" in value for value in values):
                errors.append(FieldError(name, "invalid", "May not contain NUL characters."))
        if errors:
            raise ValidationFailed(errors=errors)


class ApiView(_Desk):
    """One resource with methods; `roles` is keyed by the lower-case method."""


class ResourceViewSet(_Desk, GenericViewSet[Any]):
    """A collection with actions; `roles` is keyed by the action's name."""

    list_actions: ClassVar[frozenset[str]] = frozenset({"list"})
    ordering_fields: ClassVar[tuple[str, ...]] = ()
    search_fields: ClassVar[tuple[str, ...]] = ()
    # Columns that a page is read as, plain values instead of models, by `KeysetPagination`; empty reads models.
    row_values: ClassVar[tuple[str, ...]] = ()
    # What `?ordering=` is when nobody says; empty keeps the queryset's own.
    default_ordering: ClassVar[str] = ""
    filter_backends = (DeskFilterBackend, DeskOrderBackend)

    def known_query_params(self) -> frozenset[str]:
        known = set(self.query_params)
        if getattr(self, "action", None) in self.list_actions:
            filterset_class = getattr(self, "filterset_class", None)
            if filterset_class is not None:
                known |= set(filterset_class.base_filters)
            if self.paginator is not None:
                known |= set(getattr(self.paginator, "query_params", ()))
            if self.ordering_fields:
                known.add("ordering")
            if self.search_fields:
                known.add("search")
        return frozenset(known)
