"""JSON Schema of a config, drawn from the serializer that validates it."""

from typing import Any

from rest_framework import serializers
from rest_framework.fields import empty

from tradingsite.common.api.serializers import DecimalStringField, SymbolField
from tradingsite.common.contracts.steps import StepType
from workflows.definitions import json_able
from workflows.strategies import StrategyType

# The first that fits: subclasses stand before their bases.
_TYPES: tuple[tuple[type[Any], dict[str, Any]], ...] = (
    (serializers.BooleanField, {"type": "boolean"}),
    (serializers.IntegerField, {"type": "integer"}),
    (serializers.FloatField, {"type": "number"}),
    (serializers.DecimalField, {"type": ["string", "number"], "format": "decimal"}),
    (DecimalStringField, {"type": "string", "format": "decimal"}),
    (serializers.DateTimeField, {"type": "string", "format": "date-time"}),
    (serializers.DateField, {"type": "string", "format": "date"}),
    (serializers.UUIDField, {"type": "string", "format": "uuid"}),
    (SymbolField, {"type": "string", "pattern": r"^[A-Z0-9][A-Z0-9.\-]{0,19}$"}),
    (serializers.CharField, {"type": "string"}),
)


def field_schema(field: Any) -> dict[str, Any]:
    """Return the JSON Schema of one serializer field."""
    if isinstance(field, serializers.ListSerializer):
        schema: dict[str, Any] = {"type": "array", "items": field_schema(field.child)}
    elif isinstance(field, serializers.Serializer):
        schema = serializer_schema(field)
    elif isinstance(field, serializers.MultipleChoiceField):
        schema = {"type": "array", "items": {"enum": list(field.choices)}}
    elif isinstance(field, serializers.ChoiceField):
        schema = {"enum": list(field.choices)}
    elif isinstance(field, serializers.ListField):
        schema = {"type": "array", "items": field_schema(field.child)}
    elif isinstance(field, serializers.DictField):
        schema = {"type": "object"}
    else:
        schema = dict(next((found for kind, found in _TYPES if isinstance(field, kind)), {}))
    bounds = {"min_value": "minimum", "max_value": "maximum", "min_length": "minLength", "max_length": "maxLength"}
    if isinstance(field, serializers.ListField | serializers.ListSerializer):
        bounds = {"min_length": "minItems", "max_length": "maxItems"}
    for name, word in bounds.items():
        if (value := getattr(field, name, None)) is not None:
            schema[word] = json_able(value) if not word.startswith(("minimum", "maximum")) else float(value)
    if getattr(field, "allow_null", False):
        schema = {"anyOf": [schema, {"type": "null"}]}
    if field.default is not empty and not callable(field.default):
        schema["default"] = json_able(field.default)
    if field.help_text:
        schema["description"] = str(field.help_text)
    if field.label:
        schema["title"] = str(field.label)
    return schema


def serializer_schema(serializer: serializers.Serializer[Any]) -> dict[str, Any]:
    """Return the JSON Schema of what a serializer takes; it refuses everything else."""
    fields = {name: field for name, field in serializer.fields.items() if not field.read_only}
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {name: field_schema(field) for name, field in fields.items()},
        "additionalProperties": False,
    }
    if required := [name for name, field in fields.items() if field.required]:
        schema["required"] = required
    return schema


def step_type_entry(step_type: type[StepType]) -> dict[str, Any]:
    """Return a step type as the catalogue shows it."""
    return {
        "slug": step_type.slug,
        "title": step_type.title,
        "help": step_type.help,
        "config_schema": serializer_schema(step_type.config_class()),
    }


def strategy_type_entry(kind: StrategyType) -> dict[str, Any]:
    """Return a strategy type as the catalogue shows it."""
    return {
        "slug": kind.slug,
        "title": kind.title,
        "help": kind.help,
        "params_schema": {
            "type": "object",
            "properties": {parameter.name: parameter.schema() for parameter in kind.parameters},
            "additionalProperties": False,
        },
        "constraints": [{"param": rule.name, "message": rule.message} for rule in kind.constraints],
        "default_grid": {name: list(values) for name, values in kind.grid.items()},
        "combinations": sum(1 for _ in kind.default_grid()),
    }
