"""Bars in memory: seven aligned arrays and the name of the series that they belong to. No Django here."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
TimeArray = NDArray[np.int64]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
COLUMNS = ("time", "open", "high", "low", "close", "volume")


def to_ns(moment: datetime) -> int:
    """Return an aware datetime as nanoseconds since 1970 UTC, exactly (a float of seconds would round).

    Raises:
        ValueError: for a naive datetime.
    """
    if moment.tzinfo is None:
        raise ValueError("a naive datetime has no moment")
    delta = moment - EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000_000 + delta.microseconds * 1_000


def from_ns(nanoseconds: int) -> datetime:
    """Return nanoseconds since 1970 UTC as an aware datetime, cut to microseconds."""
    return EPOCH + timedelta(microseconds=int(nanoseconds) // 1_000)


@dataclass(frozen=True, eq=False)
class Bars:
    """Bars of one series, oldest first, without duplicates.

    Attributes:
        version: the immutable version of the series that these bars are from.
        series_id: the row of the series; None for bars that no row describes.
        time: int64 nanoseconds UTC at which each bar opened, strictly increasing.
        open, high, low, close: float64 prices in the instrument's currency, adjusted as `adjustment` says.
        volume: float64 units traded.
    """

    symbol: str
    source: str
    timeframe: str
    adjustment: str
    version: int
    series_id: UUID | None
    time: TimeArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray

    @classmethod
    def of(
        cls,
        columns: dict[str, NDArray[Any]],
        *,
        symbol: str = "TEST",
        source: str = "",
        timeframe: str = "1d",
        adjustment: str = "none",
        version: int = 0,
        series_id: UUID | None = None,
    ) -> "Bars":
        """Return bars over `columns` (the six names of COLUMNS), read-only.

        Raises:
            ValueError: when a column is missing, the lengths differ or the times do not increase.
        """
        arrays: dict[str, NDArray[Any]] = {}
        for name in COLUMNS:
            if name not in columns:
                raise ValueError(f"bars need a column {name!r}")
            array = np.ascontiguousarray(columns[name], dtype=np.int64 if name == "time" else np.float64)
            if array.flags.writeable:
                array = array.view()
                array.flags.writeable = False
            arrays[name] = array
        if len({len(array) for array in arrays.values()}) != 1:
            raise ValueError("the columns of bars must have one length")
        if np.any(arrays["time"][1:] <= arrays["time"][:-1]):
            raise ValueError("the times of bars must increase")
        return cls(
            symbol=symbol,
            source=source,
            timeframe=timeframe,
            adjustment=adjustment,
            version=version,
            series_id=series_id,
            **arrays,
        )

    def __len__(self) -> int:
        return len(self.time)

    @cached_property
    def whole(self) -> frozenset[str]:
        """The prices and the volume, by name, that are finite on every bar; none where there is no bar."""
        if len(self) == 0:
            return frozenset()
        return frozenset(name for name in COLUMNS[1:] if np.logical_and.reduce(np.isfinite(getattr(self, name))))

    def slice(self, start: int | None, stop: int | None = None) -> "Bars":
        """Return bars `start` to `stop`, as Python slices count; the arrays are views."""
        part = slice(start, stop)
        return replace(self, **{name: getattr(self, name)[part] for name in COLUMNS})

    def until(self, moment: datetime) -> "Bars":
        """Return the bars that opened at or before `moment`."""
        return self.slice(0, int(np.searchsorted(self.time, to_ns(moment), side="right")))

    def since(self, moment: datetime) -> "Bars":
        """Return the bars that opened at or after `moment`."""
        return self.slice(int(np.searchsorted(self.time, to_ns(moment), side="left")))

    def last(self, count: int) -> "Bars":
        """Return the newest `count` bars, or all when there are fewer."""
        return self.slice(max(0, len(self) - count))

    def opened_at(self, index: int) -> datetime:
        return from_ns(int(self.time[index]))

    def columns(self) -> dict[str, NDArray[Any]]:
        return {name: getattr(self, name) for name in COLUMNS}
