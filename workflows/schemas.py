"""Step types and strategy types as the catalogue shows them."""

from typing import Any

from tradingsite.common.api.config_schema import serializer_schema
from tradingsite.common.contracts.steps import StepType
from workflows.strategies import StrategyType


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
