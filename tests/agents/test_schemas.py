"""The schemas that answers are checked by: sound ones serve, and none can hold a worker up."""

import time
from typing import Any

import pytest

from agents.schemas import MAX_CHECKS, SchemaRefused, answer_refusal, schema_check

PERSON = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Person",
    "type": "object",
    "properties": {
        "pattern": {"type": "string", "maxLength": 5},
        "born": {"anyOf": [{"$ref": "#/$defs/year"}, {"type": "null"}], "default": None},
        "kinds": {"type": "array", "items": {"enum": ["a", "b"]}},
    },
    "required": ["pattern"],
    "additionalProperties": False,
    "$defs": {"year": {"type": "integer", "minimum": 1900}},
}


@pytest.mark.parametrize(
    ("answer", "refusal"),
    [
        ({"pattern": "abc", "born": 1950, "kinds": ["a"]}, ""),
        ({"pattern": "abc", "born": None}, ""),
        ({}, "'pattern' is a required property"),
        ({"pattern": "abc", "born": 1800}, "born: "),
        ({"pattern": "abc", "kinds": ["c"]}, "kinds/0: "),
        ({"pattern": "abc", "colour": 1}, "colour"),
    ],
)
def test_an_answer_is_checked_and_the_place_is_named(answer: dict[str, Any], refusal: str) -> None:
    said = answer_refusal(PERSON, answer)
    assert said == "" if refusal == "" else refusal in said


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "objekt"}, "objekt"),
        ({"properties": {"a": {"type": 7}}}, "properties/a/type"),
        ({"requred": ["a"]}, "requred"),
        ({"properties": {"a": {"pattern": "(a+)+$"}}}, "properties/a/pattern"),
        ({"patternProperties": {"(a+)+$": {}}}, "patternProperties"),
        ({"uniqueItems": True}, "uniqueItems"),
        ({"unevaluatedProperties": False}, "unevaluatedProperties"),
        ({"$id": "http://127.0.0.1/secret"}, "$id"),
        ({"$ref": "http://127.0.0.1:1/schema"}, "$ref"),
        ({"$ref": "#"}, "$ref"),
        ({"$ref": "#/$defs/none"}, "$ref"),
        ({"$defs": {"a": {"items": {"$ref": "#/$defs/a"}}}, "$ref": "#/$defs/a"}, "contain itself"),
        ({"$schema": "http://json-schema.org/draft-04/schema#"}, "$schema"),
        ({"$defs": {"unused": {"pattern": "x"}}}, "$defs/unused/pattern"),
        ({"description": "x" * 40_000}, "KiB"),
    ],
)
def test_what_the_desk_cannot_check_or_cannot_check_in_time_is_refused(schema: dict[str, Any], said: str) -> None:
    with pytest.raises(SchemaRefused) as refused:
        schema_check(schema)
    assert said in str(refused.value)


def test_definitions_that_double_at_every_level_are_weighed_without_being_walked() -> None:
    levels = {f"l{n}": {"allOf": [{"$ref": f"#/$defs/l{n + 1}"}] * 2} for n in range(30)}
    begun = time.monotonic()
    with pytest.raises(SchemaRefused, match="rules of a value"):
        schema_check({"$defs": {**levels, "l30": {"type": "string"}}, "$ref": "#/$defs/l0"})
    assert time.monotonic() - begun < 1


def test_a_large_answer_is_not_checked_by_a_heavy_schema() -> None:
    words = [f"word{n}" for n in range(2000)]
    answer = {"words": ["none"] * 100_000}
    begun = time.monotonic()
    said = answer_refusal({"properties": {"words": {"items": {"enum": words}}}}, answer)
    assert "too many to check" in said
    assert time.monotonic() - begun < 2


def test_the_heaviest_check_that_is_made_takes_seconds_at_most() -> None:
    words = [f"word{n}" for n in range(1000)]
    schema = {"items": {"enum": words}}
    many = MAX_CHECKS // schema_check(schema) - 2
    begun = time.monotonic()
    assert answer_refusal(schema, [words[-1]] * many) == ""
    assert time.monotonic() - begun < 5
