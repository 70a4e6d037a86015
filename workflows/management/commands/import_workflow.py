"""Create a workflow from a JSON file, or give the one of that name a new version."""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from tradingsite.common.actor import Actor
from tradingsite.common.errors import AppError
from workflows.api.serializers import WorkflowBodySerializer
from workflows.services import workflow_import


class Command(BaseCommand):
    help = "Import a workflow from a JSON file with name, type, steps and default_params."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="the JSON file, in the shape that POST /api/workflows takes")
        parser.add_argument("--name", help="import under this name instead of the one in the file")

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["file"]
        try:
            body = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise CommandError(f"{path} cannot be read: {error.strerror}") from error
        except (ValueError, RecursionError) as error:
            raise CommandError(f"{path} is not JSON: {error}") from error
        if not isinstance(body, dict):
            raise CommandError(f"{path} must hold one JSON object")
        if options["name"]:
            body["name"] = options["name"]
        try:
            workflow, written = workflow_import(
                actor=Actor.system("import_workflow"), **WorkflowBodySerializer.read(body)
            )
        except AppError as error:
            lines = [f"  {e.pointer}: {e.detail}" for e in error.errors] or [f"  {error.detail}"]
            raise CommandError("\n".join([f"{path} was not imported: {error.code}", *lines])) from error
        version = workflow.current_version.version_number if workflow.current_version else 0
        said = "imported" if written else "unchanged"
        self.stdout.write(self.style.SUCCESS(f"{workflow.name}: {said}, version {version}, id {workflow.pk}"))
