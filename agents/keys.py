"""Which secret may be told to which host.

Agents name the variable that holds their key. Whoever may register an agent chooses its address too, and must not have
the desk send any variable of its environment there: so the settings pair each name with the one host that may be told.
"""

import os
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

_PORTS = {"http": 80, "https": 443}


def pair_read(entry: str) -> tuple[str, str, int | None]:
    """Read one entry of `AGENT_KEYS`, `NAME@host` or `NAME@host:port`, as (name, host, port).

    Raises:
        ValueError: for anything else.
    """
    name, _, place = entry.strip().partition("@")
    parts = urlsplit(f"//{place}")
    if not name.isidentifier() or not parts.hostname or parts.path or parts.query or parts.username is not None:
        raise ValueError(f"{entry!r} is not NAME@host or NAME@host:port")
    return name, parts.hostname.rstrip("."), parts.port


def key_refusal(name: str, url: str) -> str:
    """Say why the variable `name` may not be told to the host of `url`; empty when it may."""
    pairs = [pair_read(entry) for entry in settings.AGENT_KEYS]
    parts = urlsplit(url)
    host, port = (parts.hostname or "").rstrip("."), parts.port or _PORTS.get(parts.scheme)
    if any(pair[0] == name and pair[1] == host and pair[2] in (None, port) for pair in pairs):
        return ""
    return f"The desk does not tell {name} to this host; who runs the desk allows it by AGENT_KEYS={name}@{host}."


def key_of(name: str, url: str) -> str:
    """Return the secret in the variable `name`, for the host of `url`.

    Raises:
        LookupError: when it may not be told to that host, or the variable is empty.
    """
    if refusal := key_refusal(name, url):
        raise LookupError(refusal)
    secret = os.environ.get(name, "").strip()
    if not secret:
        raise LookupError(f"The variable {name} is empty on this machine.")
    if not secret.isascii() or not secret.isprintable() or " " in secret:
        # Said here, in words of ours: what refuses to send it as a header would show it.
        raise LookupError(f"The variable {name} holds no key: a key is ASCII without spaces.")
    return secret


@register()
def check_pairs(app_configs: Any = None, **kwargs: object) -> Sequence[CheckMessage]:
    """Report `desk.E030` for every entry of `AGENT_KEYS` that cannot be understood."""
    found: list[CheckMessage] = []
    for entry in settings.AGENT_KEYS:
        try:
            pair_read(entry)
        except ValueError as error:
            hint = "Write AGENT_KEYS=OPENAI_API_KEY@api.openai.com,NEWS_TOKEN@news.example.com:8443"
            found.append(Error(f"AGENT_KEYS: {error}.", hint=hint, id="desk.E030"))
    return found
