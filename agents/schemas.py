"""The JSON Schema that a step may ask of an answer: a part of draft 2020-12 whose cost can be told beforehand.

Whoever writes a definition writes the schema, and a stranger's program writes the answer; a worker checks one against
the other and carries other runs meanwhile. So what may take long for a short text is refused: regular expressions,
comparisons of all with all, definitions that contain themselves. Unknown words are refused too: a misspelt one would
check nothing.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema
import referencing

MAX_BYTES = 32 * 1024
MAX_DEPTH = 32
MAX_WEIGHT = 5_000
# Of the schema's weight times the answer's values: about a second of work.
MAX_CHECKS = 500_000
DIALECT = "https://json-schema.org/draft/2020-12/schema"

_MAPS = frozenset({"properties", "$defs", "definitions", "dependentSchemas"})
_LISTS = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_SINGLE = frozenset({"items", "additionalProperties", "propertyNames", "contains", "not", "if", "then", "else"})
_PLAIN = frozenset(
    {
        "type", "enum", "const", "required", "dependentRequired", "minimum", "maximum", "exclusiveMinimum",
        "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "minItems", "maxItems", "minContains",
        "maxContains", "minProperties", "maxProperties",
    }
)  # fmt: skip
_NOTES = frozenset(
    {"title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "format", "$comment"}
)
_REFERENCE = re.compile(r"#/(\$defs|definitions)/([^/~%]+)")


class SchemaRefused(Exception):
    """A schema that the desk does not check by; says where and why."""


def schema_check(schema: Mapping[str, Any]) -> int:
    """Return the weight of a schema: how many rules may be asked of one value.

    Raises:
        SchemaRefused
    """
    if len(json.dumps(schema)) > MAX_BYTES:
        raise SchemaRefused(f"Must be at most {MAX_BYTES // 1024} KiB of JSON.")
    _depth_check(schema)
    try:
        jsonschema.Draft202012Validator.check_schema(dict(schema))
    except jsonschema.SchemaError as error:
        raise SchemaRefused(f"{_place(error.absolute_path)}{_shortened(error.message)}.") from None
    weight = _Weigher(schema).of(schema, "")
    if weight > MAX_WEIGHT:
        raise SchemaRefused(f"It asks {weight} rules of a value, with its references followed; at most {MAX_WEIGHT}.")
    return weight


def answer_refusal(schema: Mapping[str, Any], answer: Any) -> str:
    """Say how an answer breaks a schema that `schema_check` let pass; empty when it keeps to it."""
    values = _count(answer)
    if values * schema_check(schema) > MAX_CHECKS:
        return f"it holds {values} values, too many to check by this schema"
    validator = jsonschema.Draft202012Validator(dict(schema), registry=referencing.Registry())
    error = next(iter(validator.iter_errors(answer)), None)
    return "" if error is None else f"{_place(error.absolute_path)}{_shortened(error.message)}"


def _place(path: Any) -> str:
    pointer = "/".join(str(part) for part in path)
    return f"{pointer[:200]}: " if pointer else ""


def _shortened(text: str, most: int = 300) -> str:
    text = text.rstrip(".")
    return text if len(text) <= most else f"{text[:most]} …"


def _depth_check(value: Any, depth: int = 0) -> None:
    if depth > MAX_DEPTH:
        raise SchemaRefused(f"Must not be nested deeper than {MAX_DEPTH} levels.")
    for inner in _children(value):
        _depth_check(inner, depth + 1)


def _children(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def _count(value: Any) -> int:
    return 1 + sum(_count(inner) for inner in _children(value))


class _Weigher:
    """Adds up the rules of a schema, those behind references as often as they are referred to."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._known: dict[str, int] = {}
        self._open: set[str] = set()

    def of(self, schema: Any, place: str) -> int:
        if not isinstance(schema, Mapping):
            return 1
        total = 1
        for word, value in schema.items():
            here = f"{place}/{word}".lstrip("/")
            if word in ("$defs", "definitions"):
                # Seen for their words; they weigh where they are referred to.
                for name, inner in value.items():
                    self.of(inner, f"{here}/{name}")
            elif word in _MAPS:
                total += sum(self.of(inner, f"{here}/{name}") for name, inner in value.items())
            elif word in _LISTS:
                total += sum(self.of(inner, f"{here}/{number}") for number, inner in enumerate(value))
            elif word in _SINGLE:
                total += self.of(value, here)
            elif word in _PLAIN:
                total += _count(value)
            elif word == "$ref":
                total += self._referred(value, here)
            elif word == "$schema":
                if value != DIALECT:
                    raise SchemaRefused(f"{here}: The desk checks by {DIALECT} alone.")
            elif word not in _NOTES:
                raise SchemaRefused(f"{here}: The desk does not check by this word.")
        return total

    def _referred(self, reference: str, place: str) -> int:
        if reference in self._known:
            return self._known[reference]
        match = _REFERENCE.fullmatch(reference)
        target = self._root.get(match[1], {}).get(match[2]) if match else None
        if target is None:
            raise SchemaRefused(f"{place}: Must refer to one of the schema's own $defs, as #/$defs/name.")
        if reference in self._open:
            raise SchemaRefused(f"{place}: A definition may not contain itself.")
        self._open.add(reference)
        self._known[reference] = self.of(target, reference.removeprefix("#/"))
        self._open.discard(reference)
        return self._known[reference]
