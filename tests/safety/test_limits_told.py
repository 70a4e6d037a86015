"""The page of limits names every code in the gate's order, and every setting with its default."""

import re
from pathlib import Path

from safety.choices import GateCode
from safety.models import SafetySettings
from safety.selectors import CODE_OF, SETTABLE, limits_as_json

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "limits.md").read_text()


def rows() -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("|")]


def test_the_page_lists_every_check_in_the_order_of_the_gate() -> None:
    told = [found[1] for row in rows() if (found := re.fullmatch(r"`([A-Z_]+)`", row[0]))]
    assert told == list(GateCode)


def test_the_page_tells_every_setting_with_its_code_and_default() -> None:
    told = {}
    for row in rows():
        name = row[2].strip("`") if len(row) == 4 else row[0].strip("`")
        if name in SETTABLE:
            told[name] = row[3].strip("`") if len(row) == 4 else row[1]
            assert len(row) == 3 or row[0].strip("`") == CODE_OF[name]
    defaults = limits_as_json(SafetySettings())
    assert told == {name: str(value).lower() for name, value in defaults.items()}
