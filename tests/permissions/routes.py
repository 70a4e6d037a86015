"""Every route of the site, found from the resolver and written as people write it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver

STABLE, NEWEST = "/api/v1", "/api"
_METHODS = ("get", "post", "put", "patch", "delete")
_SAMPLES = {"symbol": "ZZZZ", "number": "1", "a": "1", "b": "2", "n": "1", "slug": "nothing"}
_UNKNOWN_ID = "0190a0b0-0000-7000-8000-000000000000"


@dataclass(frozen=True)
class Route:
    """One method of one path. Pages, whose methods a resolver cannot know, have the method `PAGE`."""

    method: str
    path: str

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def url(self) -> str:
        """Return an address of this route, of something that is not there."""
        return re.sub(r"\{(\w+)\}", lambda match: _SAMPLES.get(match[1], _UNKNOWN_ID), self.path)


def all_routes() -> list[Route]:
    """Return every route but those of the admin site."""
    found = []
    for path, pattern in _walk(get_resolver().url_patterns, "/"):
        if path.startswith("/admin/") or pattern.name is None:
            # The nameless one is the answer for paths that are no route.
            continue
        found += [Route(method, path) for method in _methods(pattern.callback)]
    return found


def admin_pages() -> list[str]:
    """Return an address of every page of the admin site."""
    paths = [path for path, _ in _walk(get_resolver().url_patterns, "/") if path.startswith("/admin/")]
    return [Route("PAGE", path).url() for path in dict.fromkeys(paths)]


def _walk(patterns: list[Any], prefix: str) -> Iterator[tuple[str, URLPattern]]:
    for pattern in patterns:
        path = prefix + _readable(str(pattern.pattern))
        if isinstance(pattern, URLResolver):
            yield from _walk(pattern.url_patterns, path)
        else:
            yield path, pattern


def _readable(pattern: str) -> str:
    text = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", pattern) if "(?P" not in pattern else _groups_named(pattern)
    return text.replace("(?:v1/)?", "").removeprefix("^").removesuffix("$").removesuffix("\\Z").replace("/?", "")


def _groups_named(pattern: str) -> str:
    """Replace each `(?P<name>…)`, whatever brackets it holds, by `{name}`."""
    result, rest = "", pattern
    while match := re.search(r"\(\?P<(\w+)>", rest):
        result += rest[: match.start()] + "{" + match[1] + "}"
        depth, position = 1, match.end()
        while depth:
            character = rest[position]
            if character == "\\":
                position += 1
            else:
                depth += (character == "(") - (character == ")")
            position += 1
        rest = rest[position:]
    return result + rest


def _methods(callback: Any) -> list[str]:
    actions = getattr(callback, "actions", None)
    if actions:
        return [method.upper() for method in actions if method in _METHODS]
    view = getattr(callback, "cls", None)
    if view is None:
        return ["PAGE"]
    return [method.upper() for method in _METHODS if hasattr(view, method)]
