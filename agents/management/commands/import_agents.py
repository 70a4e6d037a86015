"""Bring the registry of agents to what a JSON file says."""

from argparse import ArgumentParser
from dataclasses import replace
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rest_framework.exceptions import ParseError

from agents.api.serializers import AgentBodySerializer
from agents.services import agents_import
from tradingsite.common.actor import Actor
from tradingsite.common.api.parsers import StrictJSONParser
from tradingsite.common.api.serializers import validated
from tradingsite.common.errors import AppError, FieldError, ValidationFailed

MOST = 1000
# Its own limit, so that a wrong file is not read whole.
MAX_BYTES = 1024 * 1024


class Command(BaseCommand):
    help = "Import agents from a JSON file: a list of agents, or an object with the list under `agents`."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="each entry in the shape that POST /api/agents takes")
        parser.add_argument("--update", action="store_true", help="change agents that are registered otherwise")
        parser.add_argument("--dry-run", action="store_true", help="validate and compare, and write nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["file"]
        dry_run: bool = options["dry_run"]
        try:
            done = agents_import(
                actor=Actor.system("import_agents"),
                entries=entries_of(read(path)),
                update=options["update"],
                dry_run=dry_run,
            )
        except AppError as error:
            lines = [f"  {e.pointer}: {e.detail}" for e in error.errors] or [f"  {error.detail}"]
            hint = ["Agents that differ are changed with --update."] if _differs(error) else []
            raise CommandError("\n".join([f"{path}: nothing was imported: {error.code}", *lines, *hint])) from error
        for word in ("created", "updated"):
            for name in getattr(done, word):
                self.stdout.write(f"{name}: {'would be ' if dry_run else ''}{word}")
        said = f"{len(done.created)} created, {len(done.updated)} updated, {len(done.unchanged)} unchanged"
        self.stdout.write(self.style.SUCCESS(f"{path}: {said}{' (dry run, nothing written)' if dry_run else ''}"))


def _differs(error: AppError) -> bool:
    return any(found.code == "differs" for found in error.errors)


def read(path: Path) -> list[Any]:
    """Return the entries of a file as they are written.

    Raises:
        CommandError
    """
    try:
        with path.open("rb") as file:
            if len(file.read(MAX_BYTES + 1)) > MAX_BYTES:
                raise CommandError(f"{path} is larger than {MAX_BYTES // 1024} KiB")
            file.seek(0)
            data = StrictJSONParser().parse(file)
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}") from error
    except ParseError as error:
        raise CommandError(f"{path} is not a registry: {error.detail}") from error
    except ValidationFailed as error:
        raise CommandError(f"{path} is not a registry: {error.detail}") from error
    entries = data["agents"] if isinstance(data, dict) and set(data) == {"agents"} else data
    if not isinstance(entries, list) or len(entries) > MOST:
        raise CommandError(f"{path} must hold a list of agents, or an object with nothing but `agents`; {MOST} at most")
    return entries


def entries_of(raw: list[Any]) -> list[dict[str, Any]]:
    """Return the entries as bodies.

    Raises:
        ValidationFailed: with pointers such as `agents/2/kind`.
    """
    result: list[dict[str, Any]] = []
    errors: list[FieldError] = []
    for index, entry in enumerate(raw):
        try:
            body = validated(AgentBodySerializer, entry)
        except ValidationFailed as failure:
            errors.extend(replace(e, pointer=f"agents/{index}/{e.pointer}".rstrip("/")) for e in failure.errors)
        else:
            result.append({name: value for name, value in body.items() if name != "enabled" or name in entry})
    if errors:
        raise ValidationFailed(errors=errors)
    return result
