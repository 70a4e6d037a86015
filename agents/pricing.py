"""What models cost, as the settings say. The desk knows no price by itself: they change, and each contract has its own."""

import functools
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

# Dearer than any model; a price above is one for a token instead of a million.
MAX_PRICE = Decimal(100_000)


class Price(NamedTuple):
    """What a million tokens cost in US dollars, of the question and of the answer."""

    prompt: Decimal
    completion: Decimal


def prices() -> Mapping[str, Price]:
    """Return the price of each model that `AGENT_PRICES` names. A file is read once.

    Raises:
        ValueError: when the setting cannot be understood; a start-up check says so before.
    """
    return prices_read(settings.AGENT_PRICES)


@functools.lru_cache(maxsize=4)
def prices_read(text: str) -> Mapping[str, Price]:
    """Read `{"model": {"prompt": "0.15", "completion": "0.60"}}`, or the file of such that `text` names.

    Raises:
        ValueError: for anything else.
    """
    text = text.strip()
    if not text:
        return {}
    if not text.startswith("{"):
        try:
            text = Path(text).read_text(encoding="utf-8")
        except OSError as error:
            raise ValueError(f"the file {text} cannot be read: {error.strerror or error}") from None
    try:
        table = json.loads(text, parse_float=Decimal)
    except ValueError as error:
        raise ValueError(f"it is no JSON: {error}") from None
    if not isinstance(table, dict):
        raise ValueError("it is no object of models")
    return {name: _price(name, entry) for name, entry in table.items()}


def _price(name: str, entry: Any) -> Price:
    if not isinstance(entry, dict) or set(entry) != {"prompt", "completion"}:
        raise ValueError(f"{name!r} must have a price for prompt and one for completion, and nothing else")
    return Price(*(_amount(name, entry[part]) for part in ("prompt", "completion")))


def _amount(name: str, value: Any) -> Decimal:
    if isinstance(value, str | int | Decimal) and not isinstance(value, bool):
        try:
            amount = Decimal(value)
        except ArithmeticError:
            amount = Decimal("NaN")
        if amount.is_finite() and 0 <= amount <= MAX_PRICE:
            return amount
    raise ValueError(f"{name!r} has {value!r} where US dollars for a million tokens belong, from 0 to {MAX_PRICE:,}")


@register()
def check_prices(app_configs: Any = None, **kwargs: object) -> Sequence[CheckMessage]:
    """Report `desk.E031` when `AGENT_PRICES` cannot be understood."""
    try:
        prices()
    except ValueError as error:
        hint = 'Write AGENT_PRICES={"gpt-4o-mini": {"prompt": "0.15", "completion": "0.60"}}, or name a file of such.'
        return [Error(f"AGENT_PRICES: {error}.", hint=hint, id="desk.E031")]
    return []
