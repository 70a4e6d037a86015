"""The words in which the gate's checks are written: a fact that is there, a denial, a number for people.

Every reader of a fact denies by `MissingFact` what is None, NaN or of the wrong kind. Neither exception leaves the gate.
"""

from decimal import Decimal


class MissingFact(Exception):
    """A check cannot be decided."""


class Denied(Exception):
    """A check said no.

    Attributes:
        limit, scope: the limit that was passed, and of what it is; empty for a check without a limit, and for a limit
            of the whole desk.
    """

    def __init__(self, detail: str, *, limit: str = "", scope: str = "") -> None:
        self.limit, self.scope = limit, scope
        super().__init__(detail)


def known_number(value: object, name: str, *, negative: bool = False) -> Decimal:
    """Return a fact that is a finite Decimal, and not below zero unless `negative`."""
    if not isinstance(value, Decimal) or not value.is_finite():
        raise MissingFact(f"{name} is not known")
    if value < 0 and not negative:
        raise MissingFact(f"{name} is negative")
    return value


def known_price(value: object, name: str) -> Decimal:
    """Return a fact that is a Decimal above zero."""
    found = known_number(value, name)
    if found == 0:
        raise MissingFact(f"{name} is zero")
    return found


def known_count(value: object, name: str) -> int:
    """Return a fact that is a whole number and not below zero."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise MissingFact(f"{name} is not known")
    return value


def known_flag(value: object, name: str) -> bool:
    """Return a fact that is true or false."""
    if not isinstance(value, bool):
        raise MissingFact(f"{name} is not known")
    return value


def within(value: Decimal, limit: Decimal) -> bool:
    """Say whether `value` is a finite number at or below `limit`: an overflow is neither."""
    return value.is_finite() and value <= limit


def plain(value: Decimal) -> str:
    """Write a number for people and for the record, without exponent while that is readable."""
    if not value.is_finite() or value == 0:
        return str(value) if not value.is_finite() else "0"
    if abs(value.adjusted()) > 40:
        return str(value)
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
