"""The static checks: each a command that must end with 0, or a function that returns what is wrong."""

import ast
import os
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
LINES_ALLOWED = 450
_BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Outcome:
    name: str
    ok: bool
    seconds: float
    output: str = ""


@dataclass(frozen=True)
class Check:
    """One command, run in the repository with `env` added to the environment."""

    name: str
    command: tuple[str, ...]
    env: dict[str, str] = field(default_factory=dict)

    def run(self) -> Outcome:
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="desk-check-") as data:
            done = subprocess.run(
                self.command,
                cwd=ROOT,
                env={**os.environ, "DATA_DIR": data, **self.env},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        return Outcome(self.name, done.returncode == 0, time.monotonic() - began, done.stdout)


@dataclass(frozen=True)
class Rule:
    """One function over the repository's own files."""

    name: str
    find: Callable[[], list[str]]

    def run(self) -> Outcome:
        began = time.monotonic()
        wrong = self.find()
        return Outcome(self.name, not wrong, time.monotonic() - began, "\n".join(wrong))


def _manage(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-W", "error::DeprecationWarning:__main__", "manage.py", *arguments)


# What a deployment would set; the addresses are never connected to by these commands.
_PRODUCTION = {
    "PRODUCTION": "1",
    "SECRET_KEY": "a-key-of-the-length-and-variety-that-django-asks-for-0123456789-abcdefgh",
    "ALLOWED_HOSTS": "desk.example",
    "DATABASE_URL": "postgres://desk@database.example/desk",
    "REDIS_URL": "redis://redis.example:6379/0",
}


def sources(suffix: str = ".py") -> Iterator[Path]:
    """Yield the tracked and the new files of the repository that end in `suffix`, vendored ones left out."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode == 0:
        names = sorted(name for name in listed.stdout.split("\0") if name.endswith(suffix))
    else:
        # An unpacked archive has no repository around it.
        names = sorted(str(path.relative_to(ROOT)) for path in ROOT.rglob(f"*{suffix}") if ".venv" not in path.parts)
    for name in names:
        path = ROOT / name
        if path.exists() and not {"vendor", "migrations", "var"} & set(path.parts):
            yield path


def long_files() -> list[str]:
    """Return the files that hold more than one job's worth of lines."""
    found = []
    for suffix in (".py", ".html", ".js", ".css"):
        for path in sources(suffix):
            lines = len(path.read_text().splitlines())
            if lines > LINES_ALLOWED:
                found.append(f"{path.relative_to(ROOT)}: {lines} lines, {LINES_ALLOWED} allowed")
    return found


_SKIPPING = {"skip", "skipif", "xfail", "importorskip", "skipIf", "skipUnless", "expectedFailure", "skipTest"}


def skipped_tests() -> list[str]:
    """Return every place in the tests that would leave a test out without saying so."""
    found = []
    for path in sources():
        if "tests" not in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in _SKIPPING:
                of = ast.unparse(node.value)
                if of in ("pytest", "pytest.mark", "unittest", "self"):
                    found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {of}.{node.attr}")
    return found


def locks_out_of_date() -> list[str]:
    """Return the declared dependencies that the two locks do not hold at a fitting version."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    runtime = _locked(ROOT / "requirements.txt")
    tests = {**runtime, **_locked(ROOT / "tests" / "requirements.txt")}
    wrong = []
    for lock, pins, lines in (
        ("requirements.txt", runtime, declared["dependencies"]),
        ("tests/requirements.txt", tests, _extra("test", declared)),
    ):
        for line in lines:
            wanted = Requirement(line)
            pinned = pins.get(canonicalize_name(wanted.name))
            if pinned is None or not wanted.specifier.contains(pinned):
                wrong.append(f"{lock}: {line} is declared, {pinned or 'nothing'} is locked (make lock)")
    return wrong


def _extra(name: str, declared: Mapping[str, Any]) -> list[str]:
    """Return what an extra asks for; where it names another extra of this project, what that one does."""
    found = []
    for line in declared["optional-dependencies"][name]:
        wanted = Requirement(line)
        if canonicalize_name(wanted.name) == canonicalize_name(declared.get("name", "")):
            found += [asked for extra in sorted(wanted.extras) for asked in _extra(extra, declared)]
        else:
            found.append(line)
    return found


def _locked(path: Path) -> dict[str, str]:
    pins = {}
    for line in path.read_text().splitlines():
        if "==" in line and not line.startswith((" ", "#")):
            name, _, rest = line.partition("==")
            pins[canonicalize_name(name.partition("[")[0])] = rest.split()[0]
    return pins


CHECKS: tuple[Check | Rule, ...] = (
    Check("mypy", (str(_BIN / "mypy"),)),
    Check("ruff check", (str(_BIN / "ruff"), "check", ".")),
    Check("ruff format", (str(_BIN / "ruff"), "format", "--check", ".")),
    Check("import-linter", (str(_BIN / "lint-imports"), "--no-cache")),
    Check("migrations", _manage("makemigrations", "--check", "--dry-run"), {"DATABASE_URL": ""}),
    Check("deploy settings", _manage("check", "--deploy", "--fail-level", "WARNING"), _PRODUCTION),
    Check(
        "OpenAPI", _manage("spectacular", "--validate", "--fail-on-warn", "--file", os.devnull), {"DATABASE_URL": ""}
    ),
    Rule("file length", long_files),
    Rule("no skipped tests", skipped_tests),
    Rule("locks", locks_out_of_date),
)
