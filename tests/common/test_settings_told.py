"""Every variable that the desk reads is explained, and nothing is explained that it does not read."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

ROOT = Path(__file__).resolve().parents[2]
READERS = {"str", "flag", "whole", "word", "list", "table", "folder", "database", "mail", "packages", "get"}
# Who starts Django says which settings; that is no choice of the desk's user.
OTHERS = {"DJANGO_SETTINGS_MODULE"}


def read_in(source: str) -> Iterator[str]:
    """Yield the names in `env.<reader>("NAME")`, `os.environ.get("NAME")` and `os.environ["NAME"]`."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Attribute(value=value, attr=reader), args=[ast.Constant(value=str(name)), *_]):
                if reader in READERS and ast.unparse(value) in ("env", "os.environ"):
                    yield name
            case ast.Subscript(value=value, slice=ast.Constant(value=str(name))):
                if ast.unparse(value) == "os.environ":
                    yield name


def names_read() -> set[str]:
    folders = [ROOT / "tradingsite", *(ROOT / app for app in settings.DESK_APPS if (ROOT / app).is_dir())]
    files = {file for folder in folders for file in folder.rglob("*.py")}
    return {name for file in files for name in read_in(file.read_text())} - OTHERS


def names_told(page: Path) -> set[str]:
    """Return what stands in code marks in the first column of a page's tables of variables."""
    told: set[str] = set()
    among = False
    for line in page.read_text().splitlines():
        if not line.startswith("|"):
            among = False
        elif line.startswith("| variable |"):
            among = True
        elif among:
            told |= set(re.findall(r"`([A-Z][A-Z0-9_]+)`", line.split("|")[1]))
    return told


def test_all_kinds_of_reading_are_found() -> None:
    source = (
        'env.flag("A", default=False); os.environ.get("B"); os.environ["C"]; other.get("D"); env.whole("E", default=1)'
    )
    assert set(read_in(source)) == {"A", "B", "C", "E"}


def test_every_variable_that_is_read_is_explained_and_no_other() -> None:
    pages = [ROOT / "docs" / "settings.md", ROOT / "docs" / "kafka.md"]
    told = set().union(*map(names_told, pages))
    assert {"PORT", "DATABASE_URL", "UPLOAD_MAX_SIZE", "KAFKA_CONFIG"} <= told
    assert told == names_read()


def test_the_readme_names_no_variable_that_is_not_explained() -> None:
    told = names_told(ROOT / "README.md")
    assert told
    assert told <= names_read()
