"""Routes with and without the trailing slash, links always without."""

from typing import Any

from django.urls import URLPattern, re_path
from rest_framework.routers import SimpleRouter


class Router(SimpleRouter):
    """DRF's router with an optional trailing slash."""

    def __init__(self) -> None:
        super().__init__()
        self.trailing_slash = "/?"


def route(path: str, view: type[Any], name: str) -> URLPattern:
    """Return the pattern of a single view at `path`, a regular expression without anchors."""
    pattern: URLPattern = re_path(rf"^{path}/?$", view.as_view(), name=name)
    return pattern
