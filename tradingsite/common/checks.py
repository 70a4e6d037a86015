"""Foreign keys point down the floors, as imports do.

A relation named by a string (`"workflows.Strategy"`) is invisible to the import checks, yet it ties a lower app to a
higher one just as firmly: neither could be moved, tested or dropped alone.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from django.apps import AppConfig, apps
from django.core.checks import CheckMessage, Error, register
from django.db.models import Field, Model

# From the ground up. Apps on one floor do not know each other.
FLOORS: tuple[frozenset[str], ...] = (
    frozenset({"common"}),
    frozenset({"market"}),
    frozenset({"safety"}),
    frozenset({"portfolio"}),
    frozenset({"scheduler"}),
    frozenset({"workflows"}),
    frozenset({"executions"}),
    frozenset({"agents", "optimize"}),
)
_FLOOR_OF = {label: floor for floor, labels in enumerate(FLOORS) for label in labels}


def points_down(source: str, target: str) -> bool:
    """Say whether a model of app `source` may refer to one of app `target`.

    Any app may refer to itself and to apps that are not part of the desk (Django's users).
    """
    if source == target or target not in _FLOOR_OF or source not in _FLOOR_OF:
        return True
    return _FLOOR_OF[target] < _FLOOR_OF[source]


def upward_relations(models: Iterable[type[Model]]) -> list[tuple[type[Model], "Field[Any, Any]", type[Model]]]:
    """Return each relation of `models` that points up or sideways, as (model, field, related model)."""
    return [
        (model, field, field.related_model)
        for model in models
        for field in (*model._meta.local_fields, *model._meta.local_many_to_many)
        if field.remote_field is not None
        and isinstance(field.related_model, type)
        and not points_down(model._meta.app_label, field.related_model._meta.app_label)
    ]


@register()
def check_relations_point_down(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: object
) -> Sequence[CheckMessage]:
    """Report `desk.E001` for every relation that does not point down."""
    configs = app_configs if app_configs is not None else list(apps.get_app_configs())
    models = [model for config in configs for model in config.get_models()]
    return [
        Error(
            f"{model._meta.label}.{field.name} refers to {related._meta.label}, which is not on a lower floor.",
            hint="Keep the plain id in a UUIDField, or move the relation to the higher app.",
            obj=field,
            id="desk.E001",
        )
        for model, field, related in upward_relations(models)
    ]
