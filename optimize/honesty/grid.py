"""A searched grid: its axes, and where on it each combination stands."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Value = int | float | str | bool
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class GridAxis:
    """One parameter's values.

    Attributes:
        values: as searched, ascending where they are ordered.
        ordered: they are numbers, so that the next value is a neighbour; a choice has none.
        lowest, highest: what the parameter itself allows; an end of the axis at such a bound cannot be widened.
    """

    name: str
    values: tuple[Value, ...]
    ordered: bool
    lowest: float | None = None
    highest: float | None = None

    def index(self, value: Value) -> int:
        """Return where `value` stands.

        Raises:
            ValueError: when it does not.
        """
        for at, own in enumerate(self.values):
            # 1 == True in Python, and they are different choices.
            if own == value and isinstance(own, bool) == isinstance(value, bool):
                return at
        raise ValueError(f"{value!r} is not on the axis {self.name}.")


def axes_of(
    combinations: Sequence[Mapping[str, Value]], bounds: Mapping[str, tuple[float | None, float | None]] | None = None
) -> tuple[GridAxis, ...]:
    """Return the axes that combinations span, in the order of the first one's parameters.

    Args:
        bounds: the least and greatest value that each parameter allows, as far as it has any.

    Raises:
        ValueError: when combinations do not have the same parameters.
    """
    if not combinations:
        return ()
    names = list(combinations[0])
    if any(set(each) != set(names) for each in combinations):
        raise ValueError("all combinations must have the same parameters.")
    result = []
    for name in names:
        found = {(isinstance(each[name], bool), each[name]): each[name] for each in combinations}
        ordered = all(isinstance(value, int | float) and not isinstance(value, bool) for value in found.values())
        values = tuple(sorted(found.values(), key=(lambda v: v) if ordered else str))
        lowest, highest = (bounds or {}).get(name, (None, None))
        result.append(GridAxis(name, values, ordered, lowest, highest))
    return tuple(result)


def places_of(axes: Sequence[GridAxis], combinations: Sequence[Mapping[str, Value]]) -> IntArray:
    """Return where each combination stands on each axis, [combination, axis].

    Raises:
        ValueError: when a value is not on its axis.
    """
    result = np.empty((len(combinations), len(axes)), dtype=np.int64)
    for column, axis in enumerate(axes):
        known = {(isinstance(value, bool), value): at for at, value in enumerate(axis.values)}
        for row, each in enumerate(combinations):
            value = each[axis.name]
            at = known.get((isinstance(value, bool), value))
            if at is None:
                raise ValueError(f"{value!r} is not on the axis {axis.name}.")
            result[row, column] = at
    return result
