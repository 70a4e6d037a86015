"""JSON Schema of a config, drawn from the serializer that validates it, and a config as JSON holds it."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from rest_framework import serializers
from rest_framework.fields import empty

from tradingsite.common.api.serializers import DecimalStringField, SymbolField
from tradingsite.common.clock import rfc3339
from tradingsite.common.decimals import decimal_string

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


def json_able(value: Any) -> Any:
    """Return validated config values as JSON holds them: decimals and times become strings."""
    if isinstance(value, Mapping):
        return {str(key): json_able(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [json_able(inner) for inner in value]
    if isinstance(value, Decimal):
        return decimal_string(value)
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, UUID):
        return str(value)
    return value
