"""The other doors: the demo desk, the import command, the admin, and the cost of lists."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.test import Client

from tests.workflows.conftest import SYSTEM
from tests.workflows.samples import sample_bars
from workflows import services
from workflows.demo import DEMO_RUN_STRATEGY, DEMO_TEAM_STRATEGY, demo_desk_create
from workflows.models import Strategy, Workflow, WorkflowVersion
from workflows.selectors import executable
from workflows.strategies import strategy_types, target_position
from workflows.templates import template

pytestmark = pytest.mark.django_db


def test_the_demo_desk_has_one_of_each_template_and_is_made_once() -> None:
    assert demo_desk_create(actor=SYSTEM) == 8
    assert demo_desk_create(actor=SYSTEM) == 0
    types = set(Workflow.objects.values_list("type", flat=True))
    assert types == {"two_indicator", "three_indicator", "custom", "autogen_multi_agent"}
    assert Strategy.objects.filter(enabled=True).count() == 4


def test_what_was_deleted_or_changed_on_the_demo_desk_stays_so() -> None:
    demo_desk_create(actor=SYSTEM)
    strategy = Strategy.objects.get(name=DEMO_RUN_STRATEGY)
    services.strategy_delete(actor=SYSTEM, strategy_id=strategy.pk)
    services.workflow_delete(actor=SYSTEM, workflow_id=strategy.workflow_id)
    assert demo_desk_create(actor=SYSTEM) == 0
    assert Strategy.objects.alive().count() == 3


def test_every_demo_strategy_with_a_signal_buys_on_the_last_complete_sample_bar() -> None:
    demo_desk_create(actor=SYSTEM)
    bought: dict[str, list[str]] = {}
    for strategy in Strategy.objects.exclude(name=DEMO_TEAM_STRATEGY):
        ready = executable(workflow_version=strategy.workflow.current_version, strategy=strategy, input_data={})
        config = next(step.config for step in ready.steps if step.type == "signal")
        kind = strategy_types.get(config["strategy_type"])
        for symbol in ready.symbols:
            bars = sample_bars(symbol).slice(0, -1)
            if target_position(kind.signals(bars, kind.clean(config["params"])))[-1]:
                bought.setdefault(strategy.name, []).append(symbol)
    assert bought == {DEMO_RUN_STRATEGY: ["GOOG", "IBM"], "Demo: three votes": ["MSFT"], "Demo: momentum": ["FB"]}


def test_a_workflow_is_imported_changed_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "my_workflow.json"
    body = template("custom")
    file.write_text(json.dumps(body))
    call_command("import_workflow", str(file))
    call_command("import_workflow", str(file))
    assert WorkflowVersion.objects.count() == 1
    body["default_params"]["overbought"] = 80.0
    file.write_text(json.dumps(body))
    call_command("import_workflow", str(file))
    assert Workflow.objects.get().current_version.version_number == 2
    call_command("import_workflow", str(file), name="Another")
    assert Workflow.objects.count() == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not JSON"),
        ("[]", "must hold one JSON object"),
        ("{}", "name: "),
        (json.dumps({**template("custom"), "steps": [{"name": "a", "type": "magic"}]}), "steps/0/type: "),
    ],
)
def test_a_malformed_file_is_refused_by_field(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "bad.json"
    file.write_text(text)
    with pytest.raises(CommandError, match=said):
        call_command("import_workflow", str(file))
    assert Workflow.objects.count() == 0


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"none\.json cannot be read"):
        call_command("import_workflow", str(tmp_path / "none.json"))


def test_a_version_is_never_rewritten(make_workflow: Any) -> None:
    version = make_workflow().current_version
    version.steps = []
    with pytest.raises(ImproperlyConfigured):
        version.save()


def test_the_admin_shows_definitions_and_acts_through_the_services(
    browser: Callable[..., Client], make_workflow: Any, make_strategy: Any
) -> None:
    row = make_workflow()
    strategy = make_strategy(workflow_id=row.pk)
    client = browser("admin")
    for model, key in (("workflow", row.pk), ("strategy", strategy.pk), ("workflowversion", row.current_version.pk)):
        assert client.get(f"/admin/workflows/{model}/").status_code == 200
        assert client.get(f"/admin/workflows/{model}/{key}/change/").status_code == 200
        assert client.get(f"/admin/workflows/{model}/add/").status_code == 403
    act = {"action": "hide", "_selected_action": str(row.pk)}
    refused = client.post("/admin/workflows/workflow/", act, follow=True)
    assert "Disable, move or delete these strategies first" in refused.content.decode()
    client.post("/admin/workflows/strategy/", {"action": "disable", "_selected_action": str(strategy.pk)})
    client.post("/admin/workflows/workflow/", act)
    row.refresh_from_db()
    assert row.deleted_at is not None
    client.post("/admin/workflows/workflow/", {**act, "action": "restore"})
    client.post("/admin/workflows/workflow/", {**act, "action": "clone"})
    assert Workflow.objects.alive().count() == 2
