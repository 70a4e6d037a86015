"""A registry in a file: taken in whole or not at all, and a second time without a trace."""

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from agents.models import Agent
from safety.models import AuditLog
from tests.support.desk import ROOT

pytestmark = pytest.mark.django_db
EXAMPLE = ROOT / "docs" / "examples" / "agents.json"
RULE = {"name": "Trend", "kind": "rule", "endpoint": "macd"}
MODEL = {"name": "Analyst", "kind": "llm", "llm_config": {"model": "m"}}
Import = Callable[..., str]


@pytest.fixture
def take(tmp_path: Path) -> Import:
    """Return `take(content, *options)`, which imports a file with that content and returns what was printed."""

    def run(content: Any, *options: str) -> str:
        path = tmp_path / "registry.json"
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        out = StringIO()
        call_command("import_agents", str(path), *options, stdout=out)
        return out.getvalue()

    return run


def test_the_shipped_example_is_taken_in_and_a_second_time_changes_nothing() -> None:
    for said in ("3 created, 0 updated, 0 unchanged", "0 created, 0 updated, 3 unchanged"):
        out = StringIO()
        call_command("import_agents", str(EXAMPLE), stdout=out)
        assert said in out.getvalue()
    assert Agent.objects.count() == 3
    assert AuditLog.objects.filter(action__startswith="agent.").count() == 3


@pytest.mark.parametrize("shape", [lambda entries: entries, lambda entries: {"agents": entries}])
def test_a_list_and_an_object_with_the_list_are_both_taken(take: Import, shape: Callable[..., Any]) -> None:
    assert "2 created" in take(shape([RULE, MODEL]))


def test_a_dry_run_compares_and_writes_nothing(take: Import) -> None:
    said = take([RULE, MODEL], "--dry-run")
    assert "2 created, 0 updated, 0 unchanged (dry run, nothing written)" in said
    assert "Trend: would be created" in said
    assert not Agent.objects.exists()
    take([RULE])
    said = take([{**RULE, "endpoint": "momentum"}, MODEL], "--dry-run", "--update")
    assert "1 created, 1 updated" in said
    assert Agent.objects.get().endpoint == "macd"


def test_an_agent_that_differs_is_changed_only_when_that_is_said(take: Import) -> None:
    take([RULE])
    with pytest.raises(CommandError, match=r"agents/1/endpoint: Trend is registered with other content(.|\n)*--update"):
        take([MODEL, {**RULE, "endpoint": "momentum"}])
    assert list(Agent.objects.values_list("name", "endpoint")) == [("Trend", "macd")]
    assert "1 created, 1 updated, 0 unchanged" in take([MODEL, {**RULE, "endpoint": "momentum"}], "--update")
    assert Agent.objects.get(name="Trend").endpoint == "momentum"
    # What an entry leaves out is the default.
    take([{**RULE, "max_iterations": 9}], "--update")
    take([RULE], "--update")
    assert Agent.objects.get(name="Trend").max_iterations == 5


def test_an_agent_that_was_switched_off_stays_so_unless_the_file_says_otherwise(take: Import) -> None:
    take([RULE])
    Agent.objects.update(enabled=False)
    assert "1 unchanged" in take([RULE], "--update")
    assert not Agent.objects.get().enabled
    assert "1 updated" in take([{**RULE, "enabled": True}], "--update")
    assert Agent.objects.get().enabled


def test_agents_that_the_file_does_not_name_stay(take: Import) -> None:
    take([RULE, MODEL])
    assert "1 unchanged" in take([MODEL])
    assert Agent.objects.alive().count() == 2


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ([RULE, {"kind": "rule", "endpoint": "macd"}], "agents/1/name"),
        ([RULE, {**MODEL, "kind": "human"}], "agents/1/kind"),
        ([RULE, {**MODEL, "colour": "red"}], "agents/1/colour"),
        ([RULE, 7], "agents/1"),
        ([RULE, {**MODEL, "llm_config": {"model": "m", "api_key": "sk"}}], "agents/1/llm_config/api_key"),
        ([RULE, {**MODEL, "name": "Http", "kind": "http", "endpoint": "ftp://x"}], "agents/1/endpoint"),
        ([RULE, MODEL, RULE], "agents/2/name"),
        ({"agents": [RULE], "version": 2}, "nothing but `agents`"),
        ({"agents": {"a": RULE}}, "must hold a list"),
        (b"[{", "line 1"),
        (b'[{"name": "a", "name": "b"}]', "named twice"),
        (b"\xff", "UTF-8"),
        (b" " * (1024 * 1024 + 1), "larger than 1024 KiB"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_meant_is_named_and_nothing_is_taken(take: Import, content: Any, named: str) -> None:
    with pytest.raises(CommandError) as refused:
        take(content, "--update")
    assert named in str(refused.value)
    assert not Agent.objects.exists()


def test_every_wrong_entry_is_named_at_once(take: Import) -> None:
    with pytest.raises(CommandError) as refused:
        take([{**RULE, "endpoint": "luck"}, {**MODEL, "name": "two words"}, {**MODEL, "tools": ["A"]}])
    for pointer in ("agents/0/endpoint", "agents/1/name", "agents/2/tools/0"):
        assert f"  {pointer}: " in str(refused.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="No such file"):
        call_command("import_agents", str(tmp_path / "none.json"))
