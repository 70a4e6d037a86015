"""Malformed definitions: each is a 400 that names the field, and leaves nothing behind."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from workflows.models import Strategy, Workflow, WorkflowVersion
from workflows.templates import template

# A definition is refused before anything is asked or written, so the database's kind has no say in it.
pytestmark = [pytest.mark.django_db, pytest.mark.one_database]
Api = Callable[..., Any]


def _at(pointer: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """Return a change that sets `value` at `pointer`."""

    def change(body: dict[str, Any]) -> None:
        place: Any = body
        *parents, last = pointer.split("/")
        for parent in parents:
            place = place[int(parent)] if isinstance(place, list) else place[parent]
        place[int(last) if isinstance(place, list) else last] = value

    return change


def _without(pointer: str) -> Callable[[dict[str, Any]], None]:
    def change(body: dict[str, Any]) -> None:
        place: Any = body
        *parents, last = pointer.split("/")
        for parent in parents:
            place = place[int(parent)] if isinstance(place, list) else place[parent]
        del place[int(last) if isinstance(place, list) else last]

    return change


def _deep(body: dict[str, Any]) -> None:
    value: Any = 1
    for _ in range(30):
        value = [value]
    body["default_params"]["deep"] = value


# 0 prices, 1 trend, 2 strength, 3 signal, 4 risk, 5 order, 6 tell
CASES: list[tuple[str, Callable[[dict[str, Any]], None], str]] = [
    ("no name", _without("name"), "name"),
    ("empty name", _at("name", "  "), "name"),
    ("long name", _at("name", "x" * 201), "name"),
    ("name with a NUL", _at("name", "a\x00b"), "name"),
    ("no type", _without("type"), "type"),
    ("unknown type", _at("type", "four_indicator"), "type"),
    ("no steps", _without("steps"), "steps"),
    ("empty steps", _at("steps", []), "steps"),
    ("steps are an object", _at("steps", {"name": "x"}), "steps"),
    ("steps are null", _at("steps", None), "steps"),
    ("unknown field", _at("colour", "red"), "colour"),
    ("params are a list", _at("default_params", [1]), "default_params"),
    ("a param with a bad name", _at("default_params/Bad-Name", 1), "default_params/Bad-Name"),
    ("a param nested too deep", _deep, "default_params/deep" + "/0" * 20),
    ("a step that is text", _at("steps/1", "sma"), "steps/1"),
    ("a step without a name", _without("steps/1/name"), "steps/1/name"),
    ("a step with a bad name", _at("steps/1/name", "1 trend!"), "steps/1/name"),
    ("a step name twice", _at("steps/2/name", "trend"), "steps/2/name"),
    ("a step without a type", _without("steps/1/type"), "steps/1/type"),
    ("an unknown step type", _at("steps/1/type", "magic"), "steps/1/type"),
    ("a step type that is a list", _at("steps/1/type", ["indicator"]), "steps/1/type"),
    ("an unknown key in a step", _at("steps/1/kind", "x"), "steps/1/kind"),
    ("a config that is a list", _at("steps/1/config", []), "steps/1/config"),
    ("an unknown key in a config", _at("steps/5/config/colour", "red"), "steps/5/config/colour"),
    ("an unknown key deep in a config", _at("steps/4/config/sizing/colour", 1), "steps/4/config/sizing/colour"),
    ("a negative time-out", _at("steps/1/timeout_s", -1), "steps/1/timeout_s"),
    ("a time-out that is text", _at("steps/1/timeout_s", "soon"), "steps/1/timeout_s"),
    ("too many retries", _at("steps/1/retries", 11), "steps/1/retries"),
    ("retries that are true", _at("steps/1/retries", True), "steps/1/retries"),
    ("an unknown on_error", _at("steps/1/on_error", "ignore"), "steps/1/on_error"),
    ("on_error that is a list", _at("steps/1/on_error", []), "steps/1/on_error"),
    ("a parameter nobody has", _at("steps/2/config/params/period", "$nobody"), "steps/2/config/params/period"),
    ("a period that is text", _at("steps/2/config/params/period", "long"), "steps/2/config/params/period"),
    ("a period that is too short", _at("default_params/rsi_period", 1), "steps/2/config/params/period"),
    ("an unknown indicator", _at("steps/2/config/indicator", "astrology"), "steps/2/config/indicator"),
    ("an unknown strategy type", _at("steps/3/config/strategy_type", "hope"), "steps/3/config/strategy_type"),
    ("no strategy type", _without("steps/3/config/strategy_type"), "steps/3/config/strategy_type"),
    ("an unknown strategy parameter", _at("steps/3/config/params/x", 1), "steps/3/config/params/x"),
    ("a broken constraint", _at("default_params/rsi_exit", 60), "steps/3/config/params/rsi_exit"),
    ("two kinds of stop", _at("steps/3/config/stop_atr", 2), "steps/3/config/stop_atr"),
    ("an unknown entry", _at("steps/3/config/entry", "soon"), "steps/3/config/entry"),
    (
        "another strategy than the template's",
        _at("steps/3/config", {"strategy_type": "macd"}),
        "steps/3/config/strategy_type",
    ),
    ("one indicator short", _without("steps/1"), "steps"),
    ("an order without a risk check", _without("steps/4"), "steps/4/type"),
    ("a signal without prices", _without("steps/0"), "steps/0/type"),
    ("too many steps", _at("steps", [{"name": f"s{i}", "type": "notify"} for i in range(51)]), "steps"),
]


@pytest.mark.parametrize(("change", "pointer"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_malformed_workflow_is_refused_by_field(
    api: Api, change: Callable[[dict[str, Any]], None], pointer: str
) -> None:
    body = copy.deepcopy(template("two_indicator"))
    change(body)
    answer = api("trader").post("/api/v1/workflows", body, format="json")
    assert answer.status_code == 400, answer.content
    assert answer["Content-Type"].startswith("application/problem+json")
    assert answer.json()["code"] == "VALIDATION_FAILED"
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]
    assert Workflow.objects.count() == WorkflowVersion.objects.count() == 0


@pytest.mark.parametrize(("change", "pointer"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_malformed_update_changes_nothing(
    api: Api, make_workflow: Any, change: Callable[[dict[str, Any]], None], pointer: str
) -> None:
    row = make_workflow()
    body = copy.deepcopy(template("two_indicator"))
    change(body)
    client = api("operator")
    before = client.get(f"/api/v1/workflows/{row.pk}").json()
    assert client.put(f"/api/v1/workflows/{row.pk}", body, format="json").status_code == 400
    assert client.get(f"/api/v1/workflows/{row.pk}").json() == before
    assert WorkflowVersion.objects.count() == 1


def test_every_error_is_told_at_once(api: Api, body: dict[str, Any]) -> None:
    body["steps"][1]["config"]["indicator"] = "astrology"
    body["steps"][3]["config"]["strategy_type"] = "hope"
    body["steps"][5]["config"]["colour"] = "red"
    errors = api("trader").post("/api/v1/workflows", body, format="json").json()["errors"]
    assert [error["pointer"] for error in errors] == [
        "steps/1/config/indicator",
        "steps/3/config/strategy_type",
        "steps/5/config/colour",
    ]


@pytest.mark.parametrize(("side", "name"), [("left", "sma_20"), ("right", "strength_signal")])
def test_a_condition_on_a_figure_that_nobody_computes_is_refused(api: Api, side: str, name: str) -> None:
    body = copy.deepcopy(template("custom"))
    body["steps"][3]["config"]["rules"][0][side] = name
    answer = api("trader").post("/api/v1/workflows", body, format="json")
    assert answer.status_code == 400
    assert [error["pointer"] for error in answer.json()["errors"]] == [f"steps/3/config/rules/0/{side}"]
    assert Workflow.objects.count() == 0


def test_a_condition_may_name_every_output_of_the_indicators_before_it(api: Api) -> None:
    body = copy.deepcopy(template("custom"))
    body["steps"].insert(2, {"name": "lines", "type": "indicator", "config": {"indicator": "macd"}})
    body["steps"][4]["config"]["rules"] = [
        {"left": "macd_12_26_9_macd", "op": "crosses_above", "right": "macd_12_26_9_signal"},
        {"left": "macd_12_26_9", "op": ">", "right": 0},
        {"left": "close", "op": ">", "right": "strength"},
    ]
    answer = api("trader").post("/api/v1/workflows", body, format="json")
    assert answer.status_code == 201, answer.json()


AGENT_CASES: list[tuple[str, Callable[[dict[str, Any]], None], str]] = [
    ("no agents", _without("steps/3/config/agents"), "steps/3/config/agents"),
    ("empty agents", _at("steps/3/config/agents", []), "steps/3/config/agents"),
    ("no prompt", _without("steps/3/config/agents/1/system_prompt"), "steps/3/config/agents/1/system_prompt"),
    ("a secret", _at("steps/3/config/agents/0/llm_config", {"api_key": "sk"}), "steps/3/config/agents/0/llm_config"),
    ("a name twice", _at("steps/3/config/agents/1/agent_name", "ExecutorAgent"), "steps/3/config/agents"),
    (
        "too many iterations",
        _at("steps/3/config/agents/0/max_iterations", 51),
        "steps/3/config/agents/0/max_iterations",
    ),
    ("an unknown key", _at("steps/3/config/agents/0/mood", "good"), "steps/3/config/agents/0/mood"),
    ("no team at all", _without("steps/3"), "steps"),
]


@pytest.mark.parametrize(("change", "pointer"), [c[1:] for c in AGENT_CASES], ids=[c[0] for c in AGENT_CASES])
def test_a_malformed_team_is_refused_by_field(api: Api, change: Callable[[dict[str, Any]], None], pointer: str) -> None:
    body = copy.deepcopy(template("autogen_multi_agent"))
    change(body)
    answer = api("trader").post("/api/v1/workflows", body, format="json")
    assert answer.status_code == 400, answer.content
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]
    assert Workflow.objects.count() == 0


STRATEGY_CASES: list[tuple[str, dict[str, Any], str]] = [
    ("no name", {"name": None}, "name"),
    ("unknown field", {"colour": "red"}, "colour"),
    ("workflow that is no id", {"workflow_id": "seven"}, "workflow_id"),
    ("unknown workflow", {"workflow_id": "00000000-0000-0000-0000-000000000000"}, "workflow_id"),
    ("symbols that are text", {"symbols": "IBM"}, "symbols"),
    ("a symbol in small letters", {"symbols": ["IBM", "goog"]}, "symbols/1"),
    ("a symbol with a path", {"symbols": ["../IBM"]}, "symbols/0"),
    ("a param that is a list", {"param": []}, "param"),
    ("an unknown override", {"param": {"nobody": 1}}, "param/nobody"),
    ("an override of the wrong type", {"param": {"rsi_period": "long"}}, "param/rsi_period"),
    ("an override out of range", {"param": {"trend_period": 1}}, "param/trend_period"),
    ("an override against a constraint", {"param": {"rsi_exit": 60}}, "param/rsi_exit"),
    ("steps beside a workflow", {"param": {"steps": []}}, "param/steps"),
    ("an unknown strategy type", {"strategy_type": "hope"}, "strategy_type"),
    ("another strategy type than the signal's", {"strategy_type": "macd"}, "strategy_type"),
    ("enabled that is a number", {"enabled": 7}, "enabled"),
    ("a malformed team", {"param": {"autogen_config": {"agents": []}}}, "param/autogen_config/agents"),
    ("no workflow and no steps", {"workflow_id": None, "param": {}}, "param/steps"),
    (
        "malformed inline steps",
        {"workflow_id": None, "param": {"steps": [{"name": "a", "type": "magic"}]}},
        "param/steps/0/type",
    ),
    (
        "inline steps out of order",
        {"workflow_id": None, "param": {"steps": [{"name": "a", "type": "order"}]}},
        "param/steps/0/type",
    ),
]


@pytest.mark.parametrize(
    ("change", "pointer"), [case[1:] for case in STRATEGY_CASES], ids=[case[0] for case in STRATEGY_CASES]
)
def test_a_malformed_strategy_is_refused_by_field(
    api: Api, make_workflow: Any, change: dict[str, Any], pointer: str
) -> None:
    row = make_workflow()
    body = {"name": "S", "workflow_id": str(row.pk), "symbols": ["IBM"], **change}
    answer = api("trader").post("/api/v1/strategies", body, format="json")
    assert answer.status_code == 400, answer.content
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]
    assert Strategy.objects.count() == 0
