"""The schema and its two readers, served from here under the site's own policy."""

import functools
from collections.abc import Iterator
from typing import Any

from csp.constants import UNSAFE_INLINE
from csp.decorators import csp_update
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.decorators import method_decorator
from django.views.decorators.http import require_safe
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView, SpectacularRedocView, SpectacularSwaggerSplitView
from rest_framework.request import Request
from rest_framework.response import Response

from tradingsite.common.errors import AppError

SCHEMA_FILE = "trading-desk.yaml"
# Both readers set styles from their scripts; scripts themselves stay ours alone.
_READER_POLICY = {"style-src": [UNSAFE_INLINE]}


@functools.cache
def _schema() -> dict[str, Any]:
    """Return the schema, made once: it costs a second and never changes in a process."""
    schema: dict[str, Any] = SpectacularAPIView.generator_class().get_schema(  # type: ignore[no-untyped-call]
        request=None, public=True
    )
    return schema


class SchemaView(SpectacularAPIView):
    """The OpenAPI document, as YAML or JSON by `Accept` or `?format=json`."""

    permission_classes = ()
    authentication_classes = ()

    @extend_schema(exclude=True)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return Response(_schema(), headers={"Content-Disposition": f'inline; filename="{SCHEMA_FILE}"'})


@method_decorator(csp_update(_READER_POLICY), name="dispatch")
class SwaggerView(SpectacularSwaggerSplitView):
    """Swagger UI."""

    permission_classes = ()
    authentication_classes = ()
    template_name = "common/swagger.html"


@method_decorator(csp_update(_READER_POLICY), name="dispatch")
class RedocView(SpectacularRedocView):
    """ReDoc."""

    permission_classes = ()
    authentication_classes = ()
    template_name = "common/redoc.html"


def _coded(root: type[AppError]) -> Iterator[type[AppError]]:
    for error in root.__subclasses__():
        yield error
        yield from _coded(error)


@require_safe
def error_codes(request: HttpRequest) -> HttpResponse:
    """The page that the `type` of every problem document points at."""
    by_code = {error.code: error for error in _coded(AppError)}
    codes = [{"code": e.code, "status": e.status, "title": e.title} for _, e in sorted(by_code.items())]
    return render(request, "common/errors.html", {"codes": codes})
