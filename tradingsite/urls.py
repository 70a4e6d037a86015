"""Routing by name: each app on the list offers `api.urls`, `urls` and `routing` or leaves them out."""

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path, re_path


def _offered(suffix: str) -> list[ModuleType]:
    """Return the modules `<app>.<suffix>` of the desk's apps that have one."""
    names = []
    for app in settings.DESK_APPS:
        parent = f"{app}.{suffix}".rpartition(".")[0]
        if find_spec(parent) and find_spec(f"{app}.{suffix}"):
            names.append(f"{app}.{suffix}")
    return [import_module(name) for name in names]


def _api_patterns() -> list[URLPattern | URLResolver]:
    return [pattern for module in _offered("api.urls") for pattern in module.urlpatterns]


def websocket_urlpatterns() -> list[Any]:
    """Return the socket routes of all apps."""
    return [pattern for module in _offered("routing") for pattern in module.websocket_urlpatterns]


urlpatterns: list[URLPattern | URLResolver] = [
    path("admin/", admin.site.urls),
    path("", include("tradingsite.common.api.system_urls")),
    # The stable name first, so that links are built with it.
    path("api/v1/", include((_api_patterns(), "v1"), namespace="v1")),
    path("api/", include((_api_patterns(), "api"), namespace="api")),
    *[path("", include(module)) for module in _offered("urls")],
    re_path(r"^api(?:/.*)?$", import_module("tradingsite.common.api.handlers").api_not_found),
]

handler400 = "tradingsite.common.api.handlers.bad_request"
handler404 = "tradingsite.common.api.handlers.not_found"
handler500 = "tradingsite.common.api.handlers.server_error"
