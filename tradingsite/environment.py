"""The environment as the settings read it: what cannot be understood is named, with what would be right."""

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

TRUE = ("1", "true", "yes", "on")
FALSE = ("0", "false", "no", "off", "")
# How a mail server is spoken to: plainly, by STARTTLS, or by TLS from the start.
MAIL = ("smtp", "smtp+tls", "smtp+ssl", "consolemail")
DATABASES = ("django.db.backends.postgresql", "django.db.backends.sqlite3")


class DeskEnv(environ.Env):  # type: ignore[misc]  # the package has no types
    """`environ.Env` whose faults name the variable, and for which `maybe` is no quiet no.

    Raises:
        ImproperlyConfigured: from every reader, for a value that cannot be understood.
    """

    def whole(self, var: str, default: int) -> int:
        given = self.str(var, default=str(default))
        try:
            return int(given)
        except ValueError:
            raise ImproperlyConfigured(f"{var} is {given!r}. It must be a whole number.") from None

    def flag(self, var: str, default: bool) -> bool:
        given = self.str(var, default=str(default)).strip().lower()
        if given in (*TRUE, *FALSE):
            return given in TRUE
        raise ImproperlyConfigured(f"{var} is {given!r}. It must be 1 or 0.")

    def word(self, var: str, words: Sequence[str], default: str) -> str:
        given: str = self.str(var, default=default).strip()
        if given in words:
            return given
        raise ImproperlyConfigured(f"{var} is {given!r}. It must be {' or '.join(words)}.")

    def table(self, var: str) -> dict[str, Any]:
        """Return the JSON object of plain values in `var`; empty where it is not set."""
        # The text is not shown: it may carry a password.
        try:
            found = json.loads(self.str(var, default="") or "{}")
        except ValueError:
            found = None
        if isinstance(found, dict) and all(isinstance(value, str | int | float) for value in found.values()):
            return found
        raise ImproperlyConfigured(f'{var} is no JSON object of plain values such as {{"security.protocol": "ssl"}}.')

    def folder(self, var: str, default: Path) -> Path:
        """Return the folder that `var` names, made where it was missing."""
        path = Path(self.str(var, default=str(default))).expanduser().resolve()
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ImproperlyConfigured(
                f"{var} is {str(path)!r}, which cannot be made a folder ({error.strerror}). "
                f"Name a folder that you may write to: {var}=/path/to/folder"
            ) from None
        return path

    def database(self, var: str) -> dict[str, Any]:
        """Return Django's settings of the database that the address in `var` names."""
        # The address is not shown: it carries a password.
        try:
            found: dict[str, Any] = dict(self.db_url_config(self.str(var)))
        except (ValueError, ImproperlyConfigured):
            found = {}
        if found.get("ENGINE") not in DATABASES:
            raise ImproperlyConfigured(
                f"{var} is no address of a PostgreSQL. It must look like postgres://user:password@host:5432/name; "
                "leave it out for SQLite."
            )
        return found

    def mail(self, var: str) -> dict[str, Any]:
        """Return Django's settings of the mail server that the address in `var` names; empty where it is not set."""
        address = self.str(var, default="")
        if not address:
            return {}
        # The address is not shown: it carries a password.
        try:
            found: dict[str, Any] = dict(self.email_url_config(address)) if address.split(":")[0] in MAIL else {}
        except (ValueError, KeyError):
            found = {}
        if not found or not (found.get("EMAIL_HOST") or address.startswith("consolemail:")):
            raise ImproperlyConfigured(
                f"{var} is no address of a mail server. It must look like smtp+tls://user:password@host:587; "
                "consolemail:// writes e-mails to the log."
            )
        return found

    def packages(self, var: str) -> list[str]:
        """Return the importable packages that `var` lists with commas between."""
        names: list[str] = [name.strip() for name in self.list(var, default=[])]
        for name in names:
            try:
                found = importlib.util.find_spec(name)
            except (ImportError, ValueError):
                found = None
            if found is None:
                raise ImproperlyConfigured(f"{var} names {name!r}, which is no package that can be imported.")
        return names
