"""Requests made from the site's own description: mostly as it says, with something odd here and there.

The same seed makes the same requests, so that a fault found once can be found again.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any
from urllib.parse import quote, urlencode

METHODS = ("get", "post", "put", "patch", "delete")
DEPTH = 6
# What the description allows in general and nobody thinks of.
ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, 2**31, 2**63, -(2**63) - 1, 10**400, 1e308, "", " ", "\x00", "a\x00b", "ä", "\ud800",
    "\u202e", "𝔘" * 3, "a" * 5_000, "../../etc/passwd", "NaN", "Infinity", "-0", "1e1000000", "0x10", "١٢", "true",
    "null", "2024-02-30", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "2024-01-01T00:00:00+23:59",
    "0190a0b0-0000-7000-8000-000000000000", "'; DROP TABLE workflow; --", "{{7*7}}", "<b>", [], {}, [[]], [None],
    [{}], {"": ""}, {"a": {"a": {"a": None}}}, ["a"] * 300, {"$ref": "#"}, "$nowhere", "%", "*", "\r\nX-Odd: 1",
)  # fmt: skip
ODD_HEADERS: tuple[tuple[str, str], ...] = (
    ("Idempotency-Key", ""),
    ("Idempotency-Key", "k" * 1000),
    ("Idempotency-Key", "a b\tc"),
    ("Idempotency-Key", "ä"),
    ("If-Match", "*"),
    ("If-Match", 'W/"x", "'),
    ("If-None-Match", "\x7f"),
    ("Accept", "text/html;q=x"),
    ("Accept", "*/*;version=" + "9" * 500),
    ("Accept-Language", "x" * 2000),
    ("X-Request-Id", "é" * 300),
    ("X-Forwarded-For", "999.999.999.999, ::"),
    ("Range", "bytes=5-1"),
    ("Content-Encoding", "gzip"),
)


# Where the things are listed that a member's name stands for.
KINDS = {
    "workflow_id": "workflows",
    "strategy_id": "strategies",
    "execution_id": "runs",
    "workflow-executions": "runs",
    "webhook_id": "webhooks",
    "delivery_id": "deliveries",
    "task_id": "tasks",
    "agent_id": "agents",
    "schedules": "scheduler",
    "symbol": "instruments",
}


@dataclass(frozen=True)
class Sent:
    """One request as it goes out."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    content_type: str

    def __str__(self) -> str:
        return f"{self.method} {self.path} {dict(self.headers)} {self.content_type} {self.body[:2000]!r}"


class Fuzz:
    """Makes requests of the routes in an OpenAPI description.

    Args:
        known: ids that are there, by the last part of the path that lists their kind.
        sound: bodies that are taken, by `method path` without `/api/v1`; half of the bodies of such a route are one of
            them, most of those with a single thing changed.
        skipped: parts of paths that are not called.
    """

    def __init__(
        self,
        description: Mapping[str, Any],
        *,
        seed: int,
        known: Mapping[str, Sequence[str]],
        sound: Mapping[str, Any],
        skipped: Sequence[str] = (),
    ) -> None:
        self._random = Random(seed)
        self._shapes: Mapping[str, Any] = description.get("components", {}).get("schemas", {})
        self._known = known
        self._sound = sound
        self.routes = [
            (method, path, {**operation, "parameters": [*item.get("parameters", ()), *operation.get("parameters", ())]})
            for path, item in sorted(description["paths"].items())
            for method, operation in sorted(item.items())
            if method in METHODS and not any(part in path for part in skipped)
        ]

    def of(self, route: tuple[str, str, Mapping[str, Any]]) -> Sent:
        """Return one request of a route."""
        method, path, operation = route
        parameters = {(one["in"], one["name"]): one for one in operation["parameters"]}
        for name in re.findall(r"\{(\w+)\}", path):
            schema = parameters.get(("path", name), {}).get("schema", {"type": "string", "format": "uuid"})
            listed = path.partition(f"/{{{name}}}")[0].rpartition("/")[2]
            # What is deleted is lost to the requests that follow.
            spared = method == "delete" and self._random.random() < 0.8
            value = self._valued(schema, "nothing" if spared else listed if name in ("id", "pk") else name)
            path = path.replace(f"{{{name}}}", quote(self._text(value), safe="") or "x")
        query = [
            (name, self._text(self._valued(one.get("schema", {}), name)))
            for (place, name), one in parameters.items()
            if place == "query" and (one.get("required") or self._random.random() < 0.12)
        ]
        if self._random.random() < 0.05:
            query.append((self._text(self._random.choice(ODD))[:50], "1"))
        if query:
            # Two of one name, sometimes.
            query += query[:1] if self._random.random() < 0.05 else []
            path += "?" + urlencode(query, errors="replace")
        sound = self._sound.get(f"{method} {route[1].removeprefix('/api/v1')}")
        body, content_type = self._body(operation.get("requestBody", {}).get("content", {}), sound)
        headers = dict([self._random.choice(ODD_HEADERS)]) if self._random.random() < 0.15 else {}
        return Sent(method.upper(), path, headers, body, content_type)

    def _body(self, content: Mapping[str, Any], sound: Any) -> tuple[bytes, str]:
        if not content:
            return b"", ""
        kind = "application/json" if "application/json" in content else next(iter(content))
        if "json" not in kind:
            return b"--x\r\nContent-Disposition: form-data; name=file\r\n\r\n\x00\r\n--x--", f"{kind}; boundary=x"
        if self._random.random() < 0.03:
            return self._random.choice((b"", b"{", b"\xff", b"[" * 2000, b'{"a":1,"a":2}', b"\xef\xbb\xbf{}")), kind
        if sound is not None and self._random.random() < 0.5:
            value = self._changed(sound)
        else:
            value = self._valued(content[kind].get("schema", {}), "", odd=0.03)
        if isinstance(value, dict) and self._random.random() < 0.04:
            value[self._random.choice(("", "id", "__class__", "a" * 300, "ä"))] = self._random.choice(ODD)
        if self._random.random() < 0.02:
            kind = self._random.choice(("text/plain", "application/xml", "application/json; charset=utf-7", "x"))
        return json.dumps(value).encode(), kind

    def _changed(self, sound: Any) -> Any:
        """Return a copy of a body under another name, and in most cases with one value odd or one member gone."""
        value = json.loads(json.dumps(sound))
        if isinstance(value, dict) and "name" in value:
            value["name"] += str(self._random.randrange(10**9))
        places = list(_places(value))
        if places and self._random.random() < 0.75:
            within, key = self._random.choice(places)
            if isinstance(within, dict) and self._random.random() < 0.15:
                del within[key]
            else:
                within[key] = self._random.choice(ODD)
        return value

    def _valued(self, schema: Mapping[str, Any], name: str, *, odd: float = 0.12, depth: int = 0) -> Any:
        """Return a value that fits the schema, or with the probability `odd` one that may not."""
        random = self._random
        if random.random() < odd or depth > DEPTH:
            return random.choice(ODD)
        schema = self._resolved(schema)
        if "enum" in schema:
            return random.choice(schema["enum"])
        for several in ("oneOf", "anyOf"):
            if several in schema:
                return self._valued(random.choice(schema[several]), name, odd=odd, depth=depth + 1)
        kind = schema.get("type", "string" if not schema.get("properties") else "object")
        kind = random.choice(kind) if isinstance(kind, list) else kind
        if kind == "object":
            return self._object(schema, odd, depth)
        if kind == "array":
            count = random.choice((0, 1, 1, 2, 3))
            return [self._valued(schema.get("items", {}), name, odd=odd, depth=depth + 1) for _ in range(count)]
        if kind in ("integer", "number"):
            low, high = schema.get("minimum", 0), schema.get("maximum", 100)
            number = random.choice((low, high, random.randint(0, 100)))
            return number if kind == "integer" else number + random.choice((0, 0.5))
        if kind == "boolean":
            return random.random() < 0.5
        return None if kind == "null" else self._string(schema, name)

    def _object(self, schema: Mapping[str, Any], odd: float, depth: int) -> dict[str, Any]:
        needed = schema.get("required", ())
        made = {
            name: self._valued(one, name, odd=odd, depth=depth + 1)
            for name, one in schema.get("properties", {}).items()
            if not one.get("readOnly") and self._random.random() < (0.97 if name in needed else 0.5)
        }
        extra = schema.get("additionalProperties")
        if isinstance(extra, dict) and self._random.random() < 0.5:
            name = self._random.choice(("IBM", "MSFT", "fast", "x"))
            made[name] = self._valued(extra, name, odd=odd, depth=depth + 1)
        return made

    def _string(self, schema: Mapping[str, Any], name: str) -> str:
        random, form = self._random, schema.get("format", "")
        if form == "uuid" or name in self._known or name.endswith("_id"):
            kind = KINDS.get(name, name)
            if kind in self._known and random.random() < 0.85:
                return random.choice(self._known[kind])
            return random.choice([one for several in self._known.values() for one in several])
        if form == "date-time":
            return random.choice(("2024-01-01T00:00:00Z", "2013-01-02T09:30:00+05:30"))
        if form == "date":
            return random.choice(("2012-01-03", "2012-12-31"))
        if form in ("decimal", "double"):
            return random.choice(("1", "0.5", "1000", "-1", "0.00000001", "1E+3"))
        if form in ("uri", "url"):
            return random.choice(("http://127.0.0.1:9/", "https://[::1]/", "http://", "https://a@b.invalid:99999/"))
        if "symbol" in name:
            return random.choice(("IBM", "MSFT", "AAPL", "ibm", "NOSUCH"))
        if "timezone" in name:
            return random.choice(("UTC", "Europe/Berlin", "Mars/Base"))
        if "cron" in name or name == "schedule":
            return random.choice(("*/5 * * * *", "0 9 * * 1-5", "61 * * * *", "@daily"))
        words = ("Sound", "sample", "custom", "sma_crossover", "1d", "prices", "a", "created_at", "1")
        return random.choice(words)

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        while "$ref" in schema or "allOf" in schema:
            if "$ref" in schema:
                schema = self._shapes.get(schema["$ref"].rpartition("/")[2], {})
            else:
                merged: dict[str, Any] = {}
                for part in schema["allOf"]:
                    merged |= self._resolved(part)
                schema = merged
        return schema

    @staticmethod
    def _text(value: Any) -> str:
        text = value if isinstance(value, str) else json.dumps(value)
        # A lone surrogate cannot stand in an address; in a body it can.
        return text.encode("utf-8", "replace").decode()


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each member or item within a JSON value as the container and its key."""
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from _places(value[key])
