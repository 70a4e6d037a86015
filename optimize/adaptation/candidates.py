"""Which parameters a round may propose: the live ones and what can be reached from them. Pure; no Django."""

import itertools
import math
from collections.abc import Mapping, Sequence

from optimize.adaptation.clamping import clamp
from optimize.walkforward.grids import PRODUCT_MAX, clean_axes
from tradingsite.common.errors import FieldError, ValidationFailed
from workflows.strategies.base import StrategyType
from workflows.strategies.rules import Value

CANDIDATES_MAX = 2_000


def candidates(
    strategy_type: StrategyType,
    live: Mapping[str, Value],
    search_space: Mapping[str, Sequence[Value]] | None,
    pct: float,
) -> list[dict[str, Value]]:
    """Return what a round compares, the live parameters first: candidate zero.

    Each parameter of the space may stay, or take what its values become when they are clamped; a value beyond reach
    becomes the edge of the reach, so that several rounds can travel to it. All products of these that keep the type's
    constraints are candidates, each once. What is not in the space stays.

    Nothing leaves the declared range, nor the space from its least to its greatest value, but that from a live value
    outside of the space it goes towards it.

    Args:
        live: all parameters, as the strategy decides by them.
        search_space: parameter -> values; None for the type's own grid.
        pct: percent of its live value by which a number may move, 0 to 100 (`clamping`).

    Raises:
        ValidationFailed: naming `search_space`: it has unknown parameters or wrong values, or there are more than
            CANDIDATES_MAX candidates.
        ValueError: for a percentage that is not from 0 to 100.
    """
    known = {parameter.name: parameter for parameter in strategy_type.parameters}
    axes = {
        name: list(dict.fromkeys([live[name], *(clamp(known[name], live[name], value, pct) for value in values)]))
        for name, values in _space(strategy_type, search_space).items()
    }
    if math.prod(len(values) for values in axes.values()) > PRODUCT_MAX:
        raise _too_many()
    found = [dict(live)]
    products = itertools.product(*axes.values())
    next(products)  # every axis begins with what is live
    for values in products:
        candidate = {**live, **dict(zip(axes, values, strict=True))}
        if all(rule.holds(candidate) for rule in strategy_type.constraints):
            if len(found) == CANDIDATES_MAX:
                raise _too_many()
            found.append(candidate)
    return found


def most_candidates(strategy_type: StrategyType, search_space: Mapping[str, Sequence[Value]] | None) -> int:
    """Return how many candidates a round may have at most, whatever the live parameters and the percentage are then.

    Constraints, which may take some away, are not asked.

    Raises:
        ValidationFailed: naming what is wrong in `search_space`.
    """
    return math.prod(len(values) + 1 for values in _space(strategy_type, search_space).values())


def _space(strategy_type: StrategyType, search_space: Mapping[str, Sequence[Value]] | None) -> dict[str, list[Value]]:
    given = None if search_space is None else {name: _listed(values) for name, values in search_space.items()}
    return clean_axes(strategy_type, given, "search_space")


def _listed(values: Sequence[Value]) -> object:
    # `clean_axes` wants lists, as JSON has them.
    return list(values) if isinstance(values, tuple) else values


def _too_many() -> ValidationFailed:
    detail = f"More than {CANDIDATES_MAX} combinations are within reach. Give fewer values, or fewer parameters."
    return ValidationFailed(errors=[FieldError("search_space", "too_many", detail)])
