"""Figures as JSON has them."""

import functools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from market.bars import from_ns
from tradingsite.common.clock import rfc3339


def finite(value: Any) -> float | None:
    """Return a number, or None for one that cannot be told."""
    number = float(value)
    return number if math.isfinite(number) else None


def date_of(nanoseconds: Any) -> str:
    """Return the moment at which a bar opened."""
    return rfc3339(from_ns(int(nanoseconds)))


def dates_of(nanoseconds: NDArray[np.int64]) -> list[str]:
    """Return the moments at which bars opened."""
    return list(_dates(nanoseconds.tobytes()))


@functools.lru_cache(maxsize=16)
def _dates(content: bytes) -> tuple[str, ...]:
    """All curves of a search have the same moments, and so have the next search's on the same bars."""
    return tuple(date_of(moment) for moment in np.frombuffer(content, dtype=np.int64).tolist())


def cells(values: NDArray[Any]) -> list[Any]:
    """Return a row of figures with numbers of Python's own, and None for those that are not finite."""
    found: list[Any] = values.tolist()
    if values.dtype.kind != "f" or np.isfinite(values).all():
        return found
    return [value if math.isfinite(value) else None for value in found]


def plain(value: Any) -> Any:
    """Return `value` with numbers of Python's own, and None for those that are not finite."""
    # The types of nearly all of thousands of figures first.
    kind = type(value)
    if kind is float:
        return value if math.isfinite(value) else None
    if kind is str or kind is int or kind is bool or value is None:
        return value
    if kind is dict:
        return {str(key): plain(inner) for key, inner in value.items()}
    if kind is list or kind is tuple:
        return [plain(inner) for inner in value]
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    raise TypeError(f"{kind.__name__} is no figure")
