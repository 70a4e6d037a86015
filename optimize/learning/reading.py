"""Reading a configuration strictly: an unknown key, a wrong type or a value out of range is named, never ignored."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from optimize.learning.errors import ModelConfigInvalid
from tradingsite.common.errors import FieldError


class Reader:
    """Reads the members of one JSON object and collects what is wrong with them.

    `pointer` is where the object stands in the request. Call `finish` last: it raises what was collected.
    """

    def __init__(self, value: object, pointer: str, known: Sequence[str]) -> None:
        self.pointer = pointer
        self.errors: list[FieldError] = []
        self.values: Mapping[str, Any] = {}
        if not isinstance(value, Mapping):
            self.errors.append(FieldError(pointer, "invalid", "Must be an object."))
            return
        self.values = value
        for name in value:
            if name not in known:
                self.wrong(str(name), "unknown", f"There is no such setting; there are {', '.join(known)}.")

    def wrong(self, name: str, code: str, detail: str) -> None:
        self.errors.append(FieldError(f"{self.pointer}/{name}", code, detail))

    def whole(self, name: str, default: int, minimum: int, maximum: int) -> int:
        return int(self._number(name, default, minimum, maximum, whole=True))

    def number(self, name: str, default: float, minimum: float, maximum: float) -> float:
        return float(self._number(name, default, minimum, maximum, whole=False))

    def choice(self, name: str, default: str, choices: Sequence[str]) -> str:
        value = self.values.get(name, default)
        if value not in choices:
            self.wrong(name, "invalid_choice", f"Must be one of {', '.join(choices)}.")
            return default
        return str(value)

    def flag(self, name: str, default: bool) -> bool:
        value = self.values.get(name, default)
        if not isinstance(value, bool):
            self.wrong(name, "invalid", "Must be true or false.")
            return default
        return value

    def whole_numbers(self, name: str, default: tuple[int, ...], minimum: int, maximum: int) -> tuple[int, ...]:
        """Return an ascending list of different whole numbers; it may be empty."""
        value = self.values.get(name, default)
        if not isinstance(value, list | tuple):
            self.wrong(name, "invalid", "Must be a list of whole numbers.")
            return default
        found: set[int] = set()
        for place, item in enumerate(value):
            if isinstance(item, bool) or not isinstance(item, int | float) or item != item // 1:
                self.wrong(f"{name}/{place}", "invalid", "Must be a whole number.")
            elif not minimum <= item <= maximum:
                self.wrong(f"{name}/{place}", "out_of_range", f"Must be from {minimum} to {maximum}.")
            elif int(item) in found:
                self.wrong(f"{name}/{place}", "duplicate", "Is in the list already.")
            else:
                found.add(int(item))
        return tuple(sorted(found))

    def finish(self) -> None:
        """Raise what is wrong, if anything is.

        Raises:
            ModelConfigInvalid: naming every wrong member.
        """
        if self.errors:
            raise ModelConfigInvalid(errors=self.errors)

    def _number(self, name: str, default: float, minimum: float, maximum: float, *, whole: bool) -> float:
        value = self.values.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            self.wrong(name, "invalid", f"Must be a {'whole ' if whole else ''}number.")
            return default
        if whole and value != int(value):
            self.wrong(name, "invalid", "Must be a whole number.")
            return default
        if not minimum <= value <= maximum:
            self.wrong(name, "out_of_range", f"Must be from {minimum:g} to {maximum:g}.")
            return default
        return value
