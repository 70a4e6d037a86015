"""The kinds of models, by slug. Importing this imports none of the libraries."""

import itertools
from collections.abc import Mapping
from typing import Any

from optimize.learning.errors import ModelConfigInvalid
from optimize.learning.families.base import Arrays, Combination, Family, Fitted, Predictor, Rows
from optimize.learning.families.forest import RANDOM_FOREST
from optimize.learning.families.lightgbm import LIGHTGBM
from optimize.learning.families.logistic import LOGISTIC
from optimize.learning.families.xgboost import XGBOOST
from tradingsite.common.errors import FieldError

FAMILIES: Mapping[str, Family] = {family.slug: family for family in (XGBOOST, LIGHTGBM, RANDOM_FOREST, LOGISTIC)}
MOST_COMBINATIONS = 10_000


def family_get(slug: str, pointer: str = "model_type") -> Family:
    """Return the kind of model called `slug`.

    Raises:
        ModelConfigInvalid: naming `pointer`.
    """
    if slug not in FAMILIES:
        detail = f"Must be one of {', '.join(FAMILIES)}."
        raise ModelConfigInvalid(errors=[FieldError(pointer, "invalid_choice", detail)])
    return FAMILIES[slug]


def combinations(family: Family, grid: object = None, pointer: str = "param_grid") -> tuple[Combination, ...]:
    """Return every combination of a grid, complete with defaults, in a stable order.

    `grid` maps parameters to lists of values; None is the family's default grid. Combinations that differ in the
    number of rounds alone stand side by side, so that one longer run serves them.

    Raises:
        ModelConfigInvalid: naming `pointer/<name>` for each unknown or wrong parameter.
    """
    chosen: object = family.grid if grid is None else grid
    if not isinstance(chosen, Mapping):
        raise ModelConfigInvalid(errors=[FieldError(pointer, "invalid", "Must be an object of lists.")])
    known = {parameter.name: parameter for parameter in family.parameters}
    errors: list[FieldError] = []
    cleaned: dict[str, tuple[Any, ...]] = {}
    for name, values in chosen.items():
        if name not in known:
            detail = f"{family.slug} has no such parameter; it has {', '.join(known)}."
            errors.append(FieldError(f"{pointer}/{name}", "unknown", detail))
            continue
        if not isinstance(values, list | tuple) or not values:
            errors.append(FieldError(f"{pointer}/{name}", "invalid", "Must be a list of at least one value."))
            continue
        read: list[Any] = []
        for place, value in enumerate(values):
            try:
                one = known[name].clean(value)
            except ValueError as error:
                errors.append(FieldError(f"{pointer}/{name}/{place}", "invalid", str(error)))
                continue
            if one in read:
                errors.append(FieldError(f"{pointer}/{name}/{place}", "duplicate", "Is in the list already."))
            read.append(one)
        cleaned[name] = tuple(read)
    if errors:
        raise ModelConfigInvalid(errors=errors)
    total = 1
    for values in cleaned.values():
        total *= len(values)
    if total > MOST_COMBINATIONS:
        detail = f"Makes {total} combinations; at most {MOST_COMBINATIONS} are trained. Leave some values out."
        raise ModelConfigInvalid(errors=[FieldError(pointer, "out_of_range", detail)])
    # The rounds vary fastest.
    names = sorted(cleaned, key=lambda name: name == family.rounds)
    defaults = {parameter.name: parameter.default for parameter in family.parameters}
    return tuple(
        {**defaults, **dict(zip(names, values, strict=True))}
        for values in itertools.product(*(sorted(cleaned[n]) if n == family.rounds else cleaned[n] for n in names))
    )


__all__ = [
    "FAMILIES",
    "MOST_COMBINATIONS",
    "Arrays",
    "Combination",
    "Family",
    "Fitted",
    "Predictor",
    "Rows",
    "combinations",
    "family_get",
]
