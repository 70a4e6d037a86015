"""No secret of the desk is kept in what agents say: wherever one stands, its name is written instead."""

import base64
import functools
import json
import os
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from django.conf import settings

from agents.keys import pair_read

# Shorter ones are words that stand in any text, and no secrets.
SHORTEST = 6
_SETTINGS = ("SECRET_KEY", "ALPACA_SECRET_KEY", "ALPACA_KEY_ID", "EMAIL_HOST_PASSWORD", "KAFKA_SASL_PASSWORD")
_ADDRESSES = ("DATABASE_URL", "REDIS_URL", "BROKER_URL")


def masked(text: str) -> str:
    """Return `text` with `[secret NAME]` for each secret in it, also one written for an address, for JSON or in base64.

    Secrets are the values of the variables in `AGENT_KEYS`, of `SECRET_KEY` with its earlier values, and the passwords
    of the database, the broker, the mail server and the brokers of accounts.
    """
    names, pattern = _pattern(tuple(sorted(set(_secrets()))))
    return text if pattern is None else pattern.sub(lambda found: f"[secret {names[found[0]]}]", text)


def _secrets() -> Iterator[tuple[str, str]]:
    """Yield (value, name) of every secret that the desk holds, long enough to be one."""
    for value, name in _held():
        if len(value) >= SHORTEST:
            yield value, name


def _held() -> Iterator[tuple[str, str]]:
    for entry in settings.AGENT_KEYS:
        try:
            name = pair_read(entry)[0]
        except ValueError:  # a system check names it
            continue
        yield os.environ.get(name, "").strip(), name
    for name in _SETTINGS:
        yield str(getattr(settings, name, "") or ""), name
    for earlier in settings.SECRET_KEY_FALLBACKS:
        yield earlier, "SECRET_KEY_FALLBACKS"
    for name in _ADDRESSES:
        yield _password_of(getattr(settings, name, "")), name
    for database in settings.DATABASES.values():
        yield str(database.get("PASSWORD") or ""), "DATABASE_URL"


def _password_of(address: Any) -> str:
    """Return the password in an address; empty without one, and for what is no address."""
    try:
        return unquote(urlsplit(str(address or "")).password or "")
    except ValueError:
        return ""


@functools.lru_cache(maxsize=8)
def _pattern(secrets: tuple[tuple[str, str], ...]) -> tuple[dict[str, str], re.Pattern[str] | None]:
    """Return the name of each form of each secret, and what finds them, the longest first."""
    names = {form: name for value, name in secrets for form in _forms(value)}
    if not names:
        return names, None
    return names, re.compile("|".join(re.escape(form) for form in sorted(names, key=len, reverse=True)))


def _forms(value: str) -> set[str]:
    raw = value.encode("utf-8", "replace")
    encoded = {base64.b64encode(raw).decode().rstrip("="), base64.urlsafe_b64encode(raw).decode().rstrip("=")}
    return {value, quote(value, safe=""), json.dumps(value)[1:-1], *encoded}
