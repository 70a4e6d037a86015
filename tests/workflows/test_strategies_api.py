"""Strategies over HTTP: overrides only, legacy inline steps, and what a run is made of."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.workflows.conftest import SYSTEM
from tradingsite.common.errors import ValidationFailed
from workflows import services
from workflows.models import Strategy
from workflows.selectors import executable
from workflows.templates import template

pytestmark = pytest.mark.django_db
Api = Callable[..., Any]
URL = "/api/v1/strategies"


def test_a_strategy_is_created_with_overrides_only(api: Api, make_workflow: Any) -> None:
    row = make_workflow("Origin")
    body = {"name": "S", "workflow_id": str(row.pk), "symbols": ["IBM", "GOOG", "IBM"], "param": {"trend_period": 100}}
    answer = api("trader").post(URL, body, format="json")
    assert answer.status_code == 201, answer.json()
    made = answer.json()
    assert made["strategy_type"] == "two_indicator"
    assert made["symbols"] == ["IBM", "GOOG"]
    assert made["param"] == {"trend_period": 100}
    assert made["workflow_id"] == str(row.pk)
    assert made["workflow_name"] == "Origin"
    assert made["enabled"] is True
    assert answer["Location"] == f"{URL}/{made['id']}"


def test_the_list_filters(api: Api, make_workflow: Any, make_strategy: Any) -> None:
    one, two = make_workflow("one"), make_workflow("two", "custom")
    make_strategy("a", workflow_id=one.pk, symbols=["IBM"])
    make_strategy("b", workflow_id=two.pk, symbols=["IBMX"], enabled=False)
    client = api("viewer")

    def names(**query: str) -> list[str]:
        return [row["name"] for row in client.get(URL, query).json()["results"]]

    assert names() == ["b", "a"]
    assert names(workflow_id=str(one.pk)) == ["a"]
    assert names(strategy_type="momentum") == ["b"]
    assert names(enabled="false") == ["b"]
    assert names(symbol="IBM") == ["a"]
    assert names(symbol='"') == []
    assert names(search="A") == ["a"]
    assert client.get(URL, {"workflow_id": "x"}).status_code == 400


def test_put_replaces_and_patch_changes(api: Api, make_workflow: Any, make_strategy: Any) -> None:
    row = make_workflow()
    strategy = make_strategy(workflow_id=row.pk, symbols=["IBM"], param={"trend_period": 100})
    client = api("operator")
    url = f"{URL}/{strategy.pk}"
    patched = client.patch(url, {"symbols": ["AAPL"]}, format="json").json()
    assert (patched["symbols"], patched["param"]) == (["AAPL"], {"trend_period": 100})
    replaced = client.put(url, {"name": "T", "workflow_id": str(row.pk)}, format="json").json()
    assert (replaced["name"], replaced["symbols"], replaced["param"]) == ("T", [], {})


def test_moving_to_another_workflow_takes_its_strategy_type(api: Api, make_workflow: Any, make_strategy: Any) -> None:
    strategy = make_strategy(workflow_id=make_workflow("one").pk)
    other = make_workflow("two", "custom")
    moved = api("operator").patch(f"{URL}/{strategy.pk}", {"workflow_id": str(other.pk)}, format="json").json()
    assert moved["strategy_type"] == "momentum"


def test_a_strategy_whose_overrides_no_longer_fit_can_still_be_switched_off(
    api: Api, make_workflow: Any, make_strategy: Any
) -> None:
    row = make_workflow()
    strategy = make_strategy(workflow_id=row.pk, param={"trend_period": 100})
    services.workflow_update(actor=SYSTEM, workflow_id=row.pk, **{**template("custom"), "name": "W"})
    client = api("operator")
    assert client.patch(f"{URL}/{strategy.pk}", {"enabled": False}, format="json").status_code == 200
    refused = client.patch(f"{URL}/{strategy.pk}", {"enabled": True}, format="json")
    assert [error["pointer"] for error in refused.json()["errors"]] == ["param/trend_period"]


def test_a_deleted_strategy_is_hidden_and_restored(api: Api, make_workflow: Any, make_strategy: Any) -> None:
    row = make_workflow()
    strategy = make_strategy("Same", workflow_id=row.pk)
    client = api("operator")
    assert client.delete(f"{URL}/{strategy.pk}").status_code == 204
    assert client.get(f"{URL}/{strategy.pk}").status_code == 404
    assert client.get(URL, {"deleted": "true"}).json()["count"] == 1
    other = make_strategy("Same", workflow_id=row.pk)
    assert client.post(f"{URL}/{strategy.pk}/restore").json()["code"] == "NAME_TAKEN"
    client.delete(f"{URL}/{other.pk}")
    assert client.delete(f"/api/v1/workflows/{row.pk}").status_code == 204
    assert client.post(f"{URL}/{strategy.pk}/restore").json()["code"] == "WORKFLOW_DELETED"
    client.post(f"/api/v1/workflows/{row.pk}/restore")
    assert client.post(f"{URL}/{strategy.pk}/restore").status_code == 200
    assert client.post(f"{URL}/{strategy.pk}/restore").json()["code"] == "NOT_DELETED"


def test_a_stale_etag_is_refused(api: Api, make_workflow: Any, make_strategy: Any) -> None:
    strategy = make_strategy(workflow_id=make_workflow().pk)
    client = api("operator")
    etag = client.get(f"{URL}/{strategy.pk}")["ETag"]
    change = {"symbols": ["IBM"]}
    headers = {"If-Match": etag}
    assert client.patch(f"{URL}/{strategy.pk}", change, format="json", headers=headers).status_code == 200
    assert client.patch(f"{URL}/{strategy.pk}", change, format="json", headers=headers).status_code == 412


def test_a_trader_may_not_change_what_another_made(api: Api, make_workflow: Any, make_strategy: Any) -> None:
    strategy = make_strategy(workflow_id=make_workflow().pk)
    client = api("trader")
    assert client.patch(f"{URL}/{strategy.pk}", {"enabled": False}, format="json").status_code == 403
    assert client.delete(f"{URL}/{strategy.pk}").status_code == 403
    assert Strategy.objects.get().enabled


def test_overrides_and_input_are_overlaid_in_order(make_workflow: Any, make_strategy: Any) -> None:
    row = make_workflow()
    strategy = make_strategy(workflow_id=row.pk, symbols=["IBM"], param={"trend_period": 100, "rsi_period": 7})
    ready = executable(workflow_version=row.current_version, strategy=strategy, input_data={"rsi_period": 21})
    assert ready.symbols == ("IBM",)
    assert (ready.params["trend_period"], ready.params["rsi_period"], ready.params["rsi_entry"]) == (100, 21, 50.0)
    assert [step.name for step in ready.steps] == ["prices", "trend", "strength", "signal", "risk", "order", "tell"]
    assert ready.steps[1].config["params"]["period"] == 100
    assert ready.steps[3].config["params"] == {
        "trend_period": 100,
        "rsi_period": 21,
        "rsi_entry": 50.0,
        "rsi_exit": 40.0,
    }
    assert (ready.steps[0].retries, ready.steps[6].on_error) == (2, "continue")


@pytest.mark.parametrize(
    ("data", "pointer"),
    [({"nobody": 1}, "input_data/nobody"), ({"rsi_period": 1}, "input_data/rsi_period"), ([], "input_data")],
)
def test_wrong_input_is_refused_by_name(make_workflow: Any, make_strategy: Any, data: Any, pointer: str) -> None:
    row = make_workflow()
    strategy = make_strategy(workflow_id=row.pk)
    with pytest.raises(ValidationFailed) as failure:
        executable(workflow_version=row.current_version, strategy=strategy, input_data=data)
    assert pointer in [error.pointer for error in failure.value.errors]


def test_a_pinned_version_is_executed_although_the_workflow_changed(make_workflow: Any, make_strategy: Any) -> None:
    row = make_workflow()
    pinned, strategy = row.current_version, make_strategy(workflow_id=row.pk)
    services.workflow_update(actor=SYSTEM, workflow_id=row.pk, **{**template("custom"), "name": "W"})
    assert len(executable(workflow_version=pinned, strategy=strategy, input_data={}).steps) == 7


def test_a_legacy_strategy_runs_its_inline_steps(api: Api) -> None:
    inline = template("custom")
    param = {"steps": inline["steps"], **inline["default_params"], "overbought": 80.0}
    answer = api("trader").post(URL, {"name": "Old", "symbols": ["IBM"], "param": param}, format="json")
    assert answer.status_code == 201, answer.json()
    assert answer.json()["strategy_type"] == "momentum"
    strategy = Strategy.objects.get()
    ready = executable(workflow_version=None, strategy=strategy, input_data={"overbought": 90})
    assert [step.type for step in ready.steps][:3] == ["market_data", "indicator", "signal"]
    assert ready.steps[3].config["rules"][0]["right"] == 90
    with pytest.raises(ValidationFailed, match="input_data/steps"):
        executable(workflow_version=None, strategy=strategy, input_data={"steps": []})
