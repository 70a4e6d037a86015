"""The combinations of a search, numbered: by number, so that none but those at work is ever in memory."""

import functools
import hashlib
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tradingsite.common.errors import FieldError, ValidationFailed
from workflows.strategies import StrategyType, strategy_types
from workflows.strategies.base import Value

COMBINATIONS_MAX = 100_000
# Before the constraints are applied, which is done one by one.
PRODUCT_MAX = 250_000
VALUES_MAX = 10_000

Index = NDArray[np.int64]
Axes = Mapping[str, Sequence[Value]]


@dataclass(frozen=True, eq=False)
class Grid:
    """Which combinations there are.

    Attributes:
        axes: parameter -> its values, in the order in which they vary, the last one fastest.
        fixed: the other parameters.
        kept: int64, increasing: which numbers of the whole product are combinations of the search.
    """

    axes: Axes
    fixed: Mapping[str, Value]
    kept: Index

    def __len__(self) -> int:
        return len(self.kept)

    def combination(self, number: int) -> dict[str, Value]:
        """Return all parameters of the combination at a place among those kept."""
        return self.at(int(self.kept[number]))

    def at(self, product_number: int) -> dict[str, Value]:
        """Return all parameters at a place of the whole product."""
        found = dict(self.fixed)
        for name in reversed(list(self.axes)):
            values = self.axes[name]
            product_number, place = divmod(product_number, len(values))
            found[name] = values[place]
        return found

    def combinations(self, first: int, last: int) -> list[dict[str, Value]]:
        """Return the combinations `first` to `last - 1`."""
        return [self.combination(number) for number in range(first, last)]

    def places(self) -> NDArray[np.int32]:
        """Return int32[len, axes]: which value of each axis a combination has."""
        shape = [len(values) for values in self.axes.values()]
        if not shape:
            return np.zeros((len(self.kept), 0), dtype=np.int32)
        return np.stack(np.unravel_index(self.kept, shape), axis=1).astype(np.int32)


def clean_axes(strategy_type: StrategyType, given: object, pointer: str = "param_grid") -> dict[str, list[Value]]:
    """Return the values of each parameter that varies, cleaned, in their order and each once.

    Args:
        given: parameter -> list of values; None for the type's own grid.

    Raises:
        ValidationFailed: naming each wrong parameter and value.
    """
    if given is None:
        return {name: list(values) for name, values in strategy_type.grid.items()}
    if not isinstance(given, Mapping):
        raise ValidationFailed(errors=[FieldError(pointer, "invalid", "Must be an object of lists of values.")])
    known = {parameter.name: parameter for parameter in strategy_type.parameters}
    errors: list[FieldError] = []
    axes: dict[str, list[Value]] = {}
    for name, values in given.items():
        own = f"{pointer}/{name}"
        if name not in known:
            detail = f"{strategy_type.slug} has no such parameter. Known: {', '.join(known)}."
            errors.append(FieldError(own, "unknown_parameter", detail))
        elif not isinstance(values, list) or not values:
            errors.append(FieldError(own, "invalid", "Must be a list of at least one value."))
        elif len(values) > VALUES_MAX:
            errors.append(FieldError(own, "too_many", f"Must be at most {VALUES_MAX} values."))
        else:
            cleaned: list[Value] = []
            for index, value in enumerate(values):
                try:
                    cleaned.append(known[name].clean(value))
                except (ValueError, OverflowError) as error:
                    errors.append(FieldError(f"{own}/{index}", "invalid", str(error)))
            axes[name] = list(dict.fromkeys(cleaned))
    if errors:
        raise ValidationFailed(errors=errors[:100])
    product = math.prod(len(values) for values in axes.values())
    if product > PRODUCT_MAX:
        raise ValidationFailed(errors=[_too_many(pointer, product, PRODUCT_MAX)])
    return axes


def _too_many(pointer: str, count: int, limit: int) -> FieldError:
    detail = f"These are {count} combinations, at most {limit} are searched. Use fewer values or a random search."
    return FieldError(pointer, "too_many", detail)


def make_grid(strategy_type: StrategyType, axes: Axes, pointer: str = "param_grid") -> Grid:
    """Return the combinations of `axes` that keep the constraints; what does not vary has its default.

    Raises:
        ValidationFailed: none keeps them.
    """
    fixed = {parameter.name: parameter.default for parameter in strategy_type.parameters if parameter.name not in axes}
    rules = strategy_type.constraints
    kept = [
        number
        for number, values in enumerate(itertools.product(*axes.values()))
        if all(rule.holds({**fixed, **dict(zip(axes, values, strict=True))}) for rule in rules)
    ]
    if not kept:
        detail = "No combination keeps the type's constraints: " + " ".join(
            f"{rule.name}: {rule.message}" for rule in rules
        )
        raise ValidationFailed(errors=[FieldError(pointer, "constraint", detail)])
    return Grid(axes, fixed, np.array(kept, dtype=np.int64))


def sampled(grid: Grid, count: int, seed: int) -> Grid:
    """Return `count` combinations of `grid` drawn without putting back, or all when there are no more."""
    if count >= len(grid):
        return grid
    drawn = np.random.default_rng(seed).choice(len(grid), size=count, replace=False, shuffle=False)
    return Grid(grid.axes, grid.fixed, np.sort(grid.kept[drawn]))


def grid_of(request: Mapping[str, Any], seed: int) -> Grid:
    """Return the grid of a cleaned request: all of it, or what a random search draws of it."""
    return _grid_of(
        request["strategy_type"],
        json.dumps(request["param_grid"]),
        request["max_trials"] if request["search"] == "random" else None,
        seed,
    )


@functools.lru_cache(maxsize=8)
def _grid_of(slug: str, axes: str, drawn: int | None, seed: int) -> Grid:
    """Each chunk of a job asks for the grid of the whole job."""
    grid = make_grid(strategy_types.get(slug), json.loads(axes))
    return grid if drawn is None else sampled(grid, drawn, seed)


def hashes(
    slug: str, combinations: Sequence[Mapping[str, Any]], traded: Mapping[str, Value | None]
) -> NDArray[np.uint64]:
    """Return a number for each combination, the same for the same parameters traded alike in any job.

    Args:
        traded: what is chosen beside the parameters, such as stops: another stop is another trial.
    """
    return np.array([_hash(slug, params, traded) for params in combinations], dtype=np.uint64)


def _hash(slug: str, params: Mapping[str, Any], traded: Mapping[str, Value | None]) -> int:
    text = json.dumps([slug, sorted(params.items()), sorted(traded.items())])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
