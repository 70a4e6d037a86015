"""How figures, times and statuses look on the pages. Nothing here computes; what is missing shows as a dash."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from tradingsite.common.clock import parse_rfc3339, rfc3339, utcnow
from tradingsite.common.errors import AppError

register = template.Library()

NOTHING = "–"
MINUS = "−"
JSON_SHOWN = 60_000

TONES: Mapping[str, str] = {
    "completed": "good",
    "filled": "good",
    "allowed": "good",
    "running": "active",
    "submitted": "active",
    "accepted": "active",
    "partially_filled": "active",
    "failed": "bad",
    "denied": "bad",
    "rejected": "bad",
    "critical": "bad",
    "warning": "careful",
    "cancelled": "careful",
    "expired": "careful",
    "unknown": "careful",
    "BUY": "good",
    "SELL": "bad",
    "buy": "good",
    "sell": "bad",
}


def _decimal(value: Any) -> Decimal | None:
    """Return the number, or None for what is no finite one."""
    if value is None or value == "" or isinstance(value, bool):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _moment(value: Any) -> datetime | None:
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    if isinstance(value, str) and value:
        try:
            return parse_rfc3339(value).astimezone(UTC)
        except (AppError, ValueError):
            return None
    return None


def _grouped(number: Decimal, places: int) -> str:
    text = f"{abs(number):,.{places}f}"
    negative = number < 0 and any(digit not in "0.," for digit in text)
    return f"{MINUS}{text}" if negative else text


@register.filter
def money(value: Any) -> str:
    """Two decimal places with thousands apart."""
    number = _decimal(value)
    return NOTHING if number is None else _grouped(number, 2)


@register.filter
def signed(value: Any) -> str:
    """Money with its sign, for a change."""
    number = _decimal(value)
    if number is None:
        return NOTHING
    text = _grouped(number, 2)
    return f"+{text}" if number > 0 and text != "0.00" else text


@register.filter
def price(value: Any) -> str:
    """Two to four decimal places: what the price has, without a long tail."""
    number = _decimal(value)
    if number is None:
        return NOTHING
    text = _grouped(number, 4)
    whole, _, digits = text.partition(".")
    return f"{whole}.{digits.rstrip('0').ljust(2, '0')}"


@register.filter
def quantity(value: Any) -> str:
    """At most six decimal places, none that say nothing."""
    number = _decimal(value)
    if number is None:
        return NOTHING
    text = _grouped(number, 6)
    return text.rstrip("0").rstrip(".")


@register.filter
def percent(value: Any) -> str:
    """A fraction as a percentage."""
    number = _decimal(value)
    return NOTHING if number is None else f"{_grouped(number * 100, 2)} %"


@register.filter
def share(value: Any) -> str:
    """A fraction as a whole percentage, for what is no more exact than that."""
    number = _decimal(value)
    return NOTHING if number is None else f"{_grouped(number * 100, 0)} %"


@register.filter
def signed_percent(value: Any) -> str:
    number = _decimal(value)
    if number is None:
        return NOTHING
    text = _grouped(number * 100, 2)
    return f"+{text} %" if number > 0 and text != "0.00" else f"{text} %"


@register.filter
def figure(value: Any) -> str:
    """A statistic: at most three decimal places."""
    number = _decimal(value)
    return NOTHING if number is None else f"{_grouped(number, 3).rstrip('0').rstrip('.')}"


@register.filter
def trend(value: Any) -> str:
    """The class that colours a change."""
    number = _decimal(value)
    if number is None or abs(number) < Decimal("0.005"):
        return ""
    return "gain" if number > 0 else "loss"


@register.filter
def tone(status: Any) -> str:
    """The class that colours a status, a side or a severity."""
    return TONES.get(str(status), "")


@register.filter
def words(value: Any) -> str:
    """`partially_filled` as a person would say it."""
    return str(value).replace("_", " ").capitalize()


@register.filter
def duration(value: Any) -> str:
    """Seconds as `0.42 s`, `12.3 s`, `2 min 03 s` or `1 h 05 min`."""
    number = _decimal(value)
    if number is None or number < 0:
        return NOTHING
    if number < 10:
        return f"{number:.2f} s"
    if number < 60:
        return f"{number:.1f} s"
    minutes, seconds = divmod(int(number), 60)
    if minutes < 60:
        return f"{minutes} min {seconds:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


@register.filter
def when(value: Any) -> str | SafeString:
    """A moment as `14:03:11` today, else `20 Nov 14:03`, else with its year; the exact one in the title."""
    moment = _moment(value)
    if moment is None:
        return NOTHING
    now = utcnow()
    if moment.date() == now.date():
        text = f"{moment:%H:%M:%S}"
    elif moment.year == now.year:
        text = f"{moment.day} {moment:%b %H:%M}"
    else:
        text = f"{moment.day} {moment:%b %Y}"
    return format_html('<time datetime="{0}" title="{0}">{1}</time>', rfc3339(moment), text)


@register.filter
def clock(value: Any) -> str | SafeString:
    """A moment as date and time to the second."""
    moment = _moment(value)
    if moment is None:
        return NOTHING
    stamp = f"{moment.day} {moment:%b %Y %H:%M:%S}"
    return format_html('<time datetime="{0}" title="{0}">{1}</time>', rfc3339(moment), stamp)


@register.filter
def day(value: Any) -> str | SafeString:
    moment = _moment(value)
    if moment is None:
        return NOTHING
    return format_html('<time datetime="{0}" title="{0}">{1}</time>', rfc3339(moment), f"{moment.day} {moment:%b %Y}")


@register.filter
def pretty(value: Any) -> str:
    """JSON to read; a very long one is cut, and says so."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    if len(text) > JSON_SHOWN:
        return f"{text[:JSON_SHOWN]}\n… {len(text) - JSON_SHOWN:,} more characters; the API has the whole."
    return text


@register.filter
def get(mapping: Any, key: str) -> Any:
    return mapping.get(key) if isinstance(mapping, Mapping) else None
