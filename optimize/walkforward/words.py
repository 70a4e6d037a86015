"""Figures as JSON has them."""

import math
from typing import Any

import numpy as np

from market.bars import from_ns
from tradingsite.common.clock import rfc3339


def finite(value: Any) -> float | None:
    """Return a number, or None for one that cannot be told."""
    number = float(value)
    return number if math.isfinite(number) else None


def date_of(nanoseconds: Any) -> str:
    """Return the moment at which a bar opened."""
    return rfc3339(from_ns(int(nanoseconds)))


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
