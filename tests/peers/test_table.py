"""The page of peers' defects names tests that are there, for each defect, and says where there is none."""

import ast
import re
from pathlib import Path

import pytest
from django.conf import settings

ROOT = Path(settings.BASE_DIR)
PAGE = (ROOT / "docs/peers.md").read_text()
DECLARED, DEFAULTS = PAGE.split("## What the stack does by default")
ID = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")

PEERS = {
    "Hummingbot": 2, "Condor": 2, "NOFX": 1, "QuantDinger": 1, "LEAN": 2, "freqtrade": 2, "go-trader #1462": 1,
    "go-trader #1470": 1, "Jesse": 1, "Vibe-Trading": 1, "PyBroker": 1, "AutoGen Studio": 1,
}  # fmt: skip
NUMBERS = [*(str(n) for n in range(1, 20)), "19b", *("20", "21", "22", "23", "23b", "23c", "24", "24b", "24c"),
           *(str(n) for n in range(25, 31))]  # fmt: skip
# What the page admits to be untried. It may become shorter; a line more is a decision that is made here.
UNTRIED = {"9", "18", "22", "23b", "24", "27"}


def rows(text: str) -> list[list[str]]:
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    return [row for row in found if row[0] not in ("peer", "#") and not row[0].startswith("---")]


def is_there(path: str, name: str) -> bool:
    """Say whether pytest would find a test of this name at the top of the file, or in one of its classes."""
    file = ROOT / path
    if not file.is_file():
        return False
    tree = ast.parse(file.read_text())
    bodies = [tree.body, *(node.body for node in tree.body if isinstance(node, ast.ClassDef))]
    return any(
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name
        for body in bodies
        for node in body
    )


@pytest.mark.parametrize(("path", "name"), sorted(set(ID.findall(PAGE))), ids=lambda text: str(text))
def test_a_test_that_the_page_names_is_there(path: str, name: str) -> None:
    assert is_there(path, name), f"{path} has no {name}: name another one, or say that there is none"


def test_what_is_not_there_is_found_out() -> None:
    assert not is_there("tests/peers/test_table.py", "test_that_nobody_wrote")
    assert not is_there("tests/peers/test_gone.py", "test_that_nobody_wrote")


def test_every_defect_of_every_peer_has_a_test() -> None:
    found = rows(DECLARED)
    assert {peer: sum(row[0] == peer for row in found) for peer in PEERS} == PEERS
    assert len(found) == sum(PEERS.values())
    for row in found:
        assert ID.search(row[2]), row[:2]


def test_every_habit_of_the_stack_has_a_test_or_says_why_it_has_none() -> None:
    found = rows(DEFAULTS)
    assert [row[0] for row in found] == NUMBERS
    untried = {row[0] for row in found if not ID.search(row[2])}
    assert untried == UNTRIED
    for row in found:
        if row[0] in untried:
            assert re.match(r"none: \w.{20,}", row[2]), row[0]


def test_nothing_that_looks_like_a_test_is_named_in_another_form() -> None:
    assert PAGE.count("::") == len(ID.findall(PAGE))
