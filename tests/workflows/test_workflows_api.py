"""The workflow endpoints, scenario by scenario, over HTTP."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth import get_user_model

from tests.workflows.conftest import SYSTEM
from tradingsite.common.actor import Actor
from tradingsite.common.writes import write_part
from workflows import hooks, services
from workflows.models import Workflow, WorkflowVersion
from workflows.templates import template

pytestmark = pytest.mark.django_db
Api = Callable[..., Any]
URL = "/api/v1/workflows"


def _put(client: Any, row: Workflow, body: dict[str, Any], **headers: str) -> Any:
    return client.put(f"{URL}/{row.pk}", body, format="json", headers=headers)


def test_a_created_workflow_is_returned_with_its_details(api: Api, body: dict[str, Any]) -> None:
    answer = api("trader").post(URL, body, format="json")
    assert answer.status_code == 201, answer.json()
    made = answer.json()
    assert made["name"] == body["name"]
    assert made["type"] == "two_indicator"
    assert made["steps"] == body["steps"]
    assert made["default_params"] == body["default_params"]
    assert made["version"] == 1
    assert made["executions_count"] == 0
    assert made["created_by"] == "trader"
    assert made["created_at"].endswith("Z")
    assert answer["Location"] == f"{URL}/{made['id']}"
    assert answer["ETag"]
    row = Workflow.objects.get(pk=made["id"])
    assert row.current_version.steps == row.steps == body["steps"]
    assert row.current_version.version_number == 1


@pytest.mark.parametrize("type_", ["two_indicator", "three_indicator", "custom", "autogen_multi_agent"])
def test_each_template_is_a_valid_body(api: Api, type_: str) -> None:
    answer = api("trader").post(URL, template(type_), format="json")
    assert answer.status_code == 201, answer.json()


def test_the_list_shows_the_named_fields_filters_by_type_and_pages(api: Api, make_workflow: Any) -> None:
    for index in range(3):
        make_workflow(f"two {index}")
    make_workflow("other", "custom")
    client = api("viewer")
    everything = client.get(URL).json()
    assert everything["count"] == 4
    assert {"id", "name", "type", "created_at", "executions_count"} <= set(everything["results"][0])
    assert [row["name"] for row in everything["results"]] == ["other", "two 2", "two 1", "two 0"]
    custom = client.get(URL, {"type": "custom"}).json()
    assert [row["name"] for row in custom["results"]] == ["other"]
    page = client.get(URL, {"page_size": 3, "page": 2}).json()
    assert [row["name"] for row in page["results"]] == ["two 0"]
    assert page["next"] is None
    assert "page=1" in page["previous"]
    found = client.get(URL, {"search": "TWO 1", "ordering": "name"}).json()
    assert [row["name"] for row in found["results"]] == ["two 1"]


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ({"type": "three"}, "type"),
        ({"colour": "red"}, "colour"),
        ({"page": "0"}, "page"),
        ({"page_size": "201"}, "page_size"),
        ({"ordering": "steps"}, "ordering"),
        ({"created_after": "yesterday"}, "created_after"),
        ({"deleted": "perhaps"}, "deleted"),
    ],
)
def test_a_wrong_query_parameter_is_named(api: Api, query: dict[str, str], name: str) -> None:
    answer = api("viewer").get(URL, query)
    assert answer.status_code == 400
    assert [error["pointer"] for error in answer.json()["errors"]] == [name]


def test_the_detail_names_strategies_and_recent_runs(
    api: Api, make_workflow: Any, make_strategy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = make_workflow()
    used = make_strategy("uses it", workflow_id=row.pk, symbols=["IBM"])
    services.strategy_delete(actor=SYSTEM, strategy_id=make_strategy("gone", workflow_id=row.pk).pk)
    monkeypatch.setattr(
        hooks,
        "_provider",
        lambda workflow_id: {
            "total_executions": 2,
            "by_status": {"completed": 1, "failed": 1},
            "success_rate": 0.5,
            "average_duration": 1.5,
            "recent": [{"id": str(workflow_id), "status": "completed"}],
        },
    )
    detail = api("viewer").get(f"{URL}/{row.pk}").json()
    assert {"id", "name", "type", "steps", "default_params", "version", "created_at", "updated_at"} <= set(detail)
    assert [strategy["id"] for strategy in detail["strategies"]] == [str(used.pk)]
    assert detail["recent_executions"]["success_rate"] == 0.5


def test_a_put_makes_a_new_version_and_keeps_the_old_one(api: Api, body: dict[str, Any]) -> None:
    client = api("trader")
    made = client.post(URL, body, format="json").json()
    changed = {**body, "name": "Renamed", "default_params": {**body["default_params"], "trend_period": 100}}
    answer = client.put(f"{URL}/{made['id']}", changed, format="json")
    assert answer.status_code == 200
    assert answer.json()["version"] == 2
    assert answer.json()["name"] == "Renamed"
    assert answer.json()["default_params"]["trend_period"] == 100
    versions = client.get(f"{URL}/{made['id']}/versions").json()["results"]
    assert [version["version_number"] for version in versions] == [2, 1]
    first = client.get(f"{URL}/{made['id']}/versions/1").json()
    assert first["default_params"]["trend_period"] == 50
    assert first["created_by"] == "trader"
    assert client.get(f"{URL}/{made['id']}/versions/3").status_code == 404


def test_the_difference_of_two_versions_is_told_by_step(api: Api, make_workflow: Any) -> None:
    row = make_workflow()
    body = template("two_indicator")
    body["steps"][2]["config"]["params"]["period"] = 21
    body["steps"][6]["name"] = "announce"
    body["default_params"]["extra"] = 1
    client = api("operator")
    assert _put(client, row, body).status_code == 200
    diff = client.get(f"{URL}/{row.pk}/versions/1/diff/2").json()
    assert [change["name"] for change in diff["steps"]["changed"]] == ["strength"]
    assert [entry["step"]["name"] for entry in diff["steps"]["added"]] == ["announce"]
    assert [entry["step"]["name"] for entry in diff["steps"]["removed"]] == ["tell"]
    assert diff["default_params"] == {"added": {"extra": 1}, "removed": {}, "changed": {}}
    assert diff["type"] is None


def test_restoring_a_version_makes_it_the_newest(api: Api, make_workflow: Any) -> None:
    row = make_workflow()
    client = api("operator")
    _put(client, row, {**template("two_indicator"), "default_params": {**row.default_params, "trend_period": 99}})
    answer = client.post(f"{URL}/{row.pk}/versions/1/restore")
    assert answer.status_code == 200
    assert answer.json()["version"] == 3
    assert answer.json()["default_params"]["trend_period"] == 50


def test_a_workflow_in_use_is_not_deleted_and_its_strategies_are_named(
    api: Api, make_workflow: Any, make_strategy: Any
) -> None:
    row = make_workflow()
    used = make_strategy("uses it", workflow_id=row.pk)
    make_strategy("switched off", workflow_id=row.pk, enabled=False)
    client = api("operator")
    answer = client.delete(f"{URL}/{row.pk}")
    assert answer.status_code == 409
    assert answer.json()["code"] == "WORKFLOW_IN_USE"
    assert answer.json()["strategies"] == [{"id": str(used.pk), "name": "uses it"}]
    assert client.get(f"{URL}/{row.pk}").status_code == 200
    client.patch(f"/api/v1/strategies/{used.pk}", {"enabled": False}, format="json")
    assert client.delete(f"{URL}/{row.pk}").status_code == 204
    assert client.get(f"{URL}/{row.pk}").status_code == 404
    assert client.get(URL).json()["count"] == 0
    assert Workflow.objects.get(pk=row.pk).deleted_at is not None


def test_a_deleted_workflow_comes_back_unless_its_name_is_taken(api: Api, make_workflow: Any) -> None:
    row = make_workflow("Same")
    client = api("operator")
    assert client.post(f"{URL}/{row.pk}/restore").json()["code"] == "NOT_DELETED"
    client.delete(f"{URL}/{row.pk}")
    assert [entry["id"] for entry in client.get(URL, {"deleted": "true"}).json()["results"]] == [str(row.pk)]
    other = make_workflow("Same")
    refused = client.post(f"{URL}/{row.pk}/restore")
    assert (refused.status_code, refused.json()["code"]) == (409, "NAME_TAKEN")
    client.delete(f"{URL}/{other.pk}")
    assert client.post(f"{URL}/{row.pk}/restore").status_code == 200


def test_a_clone_is_named_copy_and_lives_on_its_own(api: Api, make_workflow: Any) -> None:
    row = make_workflow("Origin", description="about")
    client = api("trader")
    names = [client.post(f"{URL}/{row.pk}/clone").json()["name"] for _ in range(3)]
    assert names == ["Origin (Copy)", "Origin (Copy 2)", "Origin (Copy 3)"]
    clone = Workflow.objects.get(name="Origin (Copy)")
    assert clone.pk != row.pk
    assert (clone.steps, clone.default_params, clone.description) == (row.steps, row.default_params, "about")
    assert clone.current_version.version_number == 1
    assert clone.current_version.workflow_id == clone.pk
    assert clone.created_by.username == "trader"


def test_a_clone_of_the_longest_name_still_fits(make_workflow: Any) -> None:
    row = make_workflow("n" * 200)
    clone = services.workflow_clone(actor=SYSTEM, workflow_id=row.pk)
    assert len(clone.name) == 200
    assert clone.name.endswith(" (Copy)")


def test_a_name_is_taken_only_among_the_living(api: Api, make_workflow: Any, body: dict[str, Any]) -> None:
    row = make_workflow(body["name"])
    client = api("operator")
    refused = client.post(URL, body, format="json")
    assert (refused.status_code, refused.json()["code"]) == (409, "NAME_TAKEN")
    assert WorkflowVersion.objects.count() == 1
    client.delete(f"{URL}/{row.pk}")
    assert client.post(URL, body, format="json").status_code == 201


def test_a_stale_etag_is_refused_and_a_fresh_one_taken(api: Api, make_workflow: Any, body: dict[str, Any]) -> None:
    row = make_workflow(body["name"])
    client = api("operator")
    etag = client.get(f"{URL}/{row.pk}")["ETag"]
    fresh = _put(client, row, body, **{"If-Match": etag})
    assert fresh.status_code == 200
    stale = _put(client, row, body, **{"If-Match": etag})
    assert (stale.status_code, stale.json()["code"]) == (412, "PRECONDITION_FAILED")
    assert client.delete(f"{URL}/{row.pk}", headers={"If-Match": etag}).status_code == 412
    assert WorkflowVersion.objects.filter(workflow=row).count() == 2
    assert client.delete(f"{URL}/{row.pk}", headers={"If-Match": fresh["ETag"]}).status_code == 204


def test_counting_a_run_changes_neither_etag_nor_version(api: Api, make_workflow: Any) -> None:
    row = make_workflow()
    before = api("viewer").get(f"{URL}/{row.pk}")["ETag"]
    write_part(services.execution_counted(row.pk))
    write_part(services.execution_counted(row.pk))
    after = api("operator").get(f"{URL}/{row.pk}")
    assert after.json()["executions_count"] == 2
    assert after["ETag"] == before


def test_a_trader_changes_its_own_and_an_operator_everything(
    api: Api, make_workflow: Any, body: dict[str, Any]
) -> None:
    other = get_user_model().objects.create_user("somebody")
    row = make_workflow(body["name"], actor=Actor.for_user(other))
    client = api("trader")
    assert _put(client, row, body).status_code == 403
    assert client.delete(f"{URL}/{row.pk}").status_code == 403
    assert client.post(f"{URL}/{row.pk}/versions/1/restore").status_code == 403
    assert WorkflowVersion.objects.count() == 1
    assert client.post(f"{URL}/{row.pk}/clone").status_code == 201
    assert _put(api("operator"), row, body).status_code == 200


def test_a_viewer_reads_and_writes_nothing(api: Api, make_workflow: Any, body: dict[str, Any]) -> None:
    row = make_workflow()
    client = api("viewer")
    assert client.get(f"{URL}/{row.pk}").status_code == 200
    assert client.post(URL, body, format="json").status_code == 403
    assert _put(client, row, body).status_code == 403
    assert client.delete(f"{URL}/{row.pk}").status_code == 403
    assert api().get(URL).status_code == 401


def test_both_names_and_both_slashes_serve_the_same(api: Api, make_workflow: Any) -> None:
    row = make_workflow()
    client = api("viewer")
    for base in ("/api", "/api/v1"):
        for slash in ("", "/"):
            assert client.get(f"{base}/workflows{slash}").json()["count"] == 1
            assert client.get(f"{base}/workflows/{row.pk}{slash}").json()["id"] == str(row.pk)
            assert len(client.get(f"{base}/workflows/{row.pk}/steps{slash}").json()) == 7


@pytest.mark.parametrize("bad", ["7", "not-a-uuid", "00000000-0000-0000-0000-000000000000"])
def test_an_unknown_id_is_not_found(api: Api, bad: str) -> None:
    assert api("viewer").get(f"{URL}/{bad}").status_code == 404


def test_the_catalogues_are_arrays_with_schemas(api: Api) -> None:
    client = api("viewer")
    steps = {entry["slug"]: entry for entry in client.get("/api/step-types").json()}
    assert {"market_data", "indicator", "signal", "condition", "risk_check", "order", "notify"} <= set(steps)
    assert all(entry["help"] and entry["config_schema"]["type"] == "object" for entry in steps.values())
    signal = steps["signal"]["config_schema"]
    assert signal["required"] == ["strategy_type"]
    assert signal["additionalProperties"] is False
    assert signal["properties"]["entry"]["enum"] == ["state", "event"]
    kinds = {entry["slug"]: entry for entry in client.get("/api/strategy-types").json()}
    assert len(kinds) == 10
    assert kinds["momentum"]["combinations"] == 18
    assert kinds["sma_crossover"]["params_schema"]["properties"]["fast"]["type"] == "integer"
    bodies = {entry["type"] for entry in client.get("/api/workflow-templates").json()}
    assert bodies == {"two_indicator", "three_indicator", "custom", "autogen_multi_agent"}


def test_every_change_is_recorded_with_its_actor(api: Api, body: dict[str, Any]) -> None:
    from safety.models import AuditLog

    client = api("trader")
    made = client.post(URL, body, format="json").json()
    client.put(f"{URL}/{made['id']}", body, format="json")
    client.post(f"{URL}/{made['id']}/clone")
    client.delete(f"{URL}/{made['id']}")
    actions = list(
        AuditLog.objects.filter(action__startswith="workflow.").order_by("id").values_list("action", flat=True)
    )
    assert actions == ["workflow.create", "workflow.update", "workflow.clone", "workflow.delete"]
