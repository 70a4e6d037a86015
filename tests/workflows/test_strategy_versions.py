"""Versions of a strategy: one for each change of what it does, and any of them comes back exactly."""

import json
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from safety.models import AuditLog
from tests.conftest import user_with_role
from tests.workflows.conftest import SYSTEM
from tests.workflows.test_team_config import EXECUTOR
from tradingsite.common.actor import Actor
from tradingsite.common.errors import ValidationFailed
from tradingsite.common.roles import Role
from workflows import services
from workflows.errors import StrategyVersionNotFound, StrategyVersionUnfit, WorkflowDeleted
from workflows.models import Strategy, StrategyVersion
from workflows.selectors import strategy_version_get
from workflows.templates import template

Api = Callable[..., Any]
URL = "/api/v1/strategies"


def numbers(strategy: Strategy) -> list[int]:
    return list(strategy.versions.values_list("version_number", flat=True))


def changed(strategy: Strategy, **changes: Any) -> Strategy:
    return services.strategy_update(actor=SYSTEM, strategy_id=strategy.pk, changes=changes)


def restored(strategy: Strategy, number: int, reason: str = "") -> Strategy:
    return services.strategy_version_restore(actor=SYSTEM, strategy_id=strategy.pk, number=number, reason=reason)


def text_of(row: Strategy | StrategyVersion) -> str:
    """What a version is about, told apart as JSON does: 1 is neither 1.0 nor true."""
    return json.dumps([str(row.workflow_id), row.strategy_type, row.symbols, row.param], sort_keys=True)


class AnySequence(TestCase):
    """Whatever was done to a strategy, each version tells what it was then and can be returned to."""

    @settings(max_examples=40, deadline=None)
    @given(data=st.data())
    def test_any_version_comes_back_exactly_after_any_changes(self, data: st.DataObject) -> None:
        one, two = (
            services.workflow_create(actor=SYSTEM, **{**template(kind), "name": kind, "default_params": defaults})
            for kind, defaults in (
                ("two_indicator", {**template("two_indicator")["default_params"], "note": None}),
                ("custom", {**template("custom")["default_params"], "note": None}),
            )
        )
        inline = {"steps": template("custom")["steps"], **template("custom")["default_params"]}
        notes = st.recursive(
            st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-2, 2) | st.text("aé\U0001f600", max_size=3),
            lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["b", "a"]), inner, max_size=2),
            max_leaves=3,
        ).map(lambda note: {"note": note})
        change = st.one_of(
            st.fixed_dictionaries({"param": notes}),
            st.sampled_from([{"workflow_id": one.pk, "param": {}}, {"workflow_id": two.pk, "param": {}}]),
            notes.map(lambda note: {"workflow_id": None, "param": {**inline, **note}}),
            st.lists(st.sampled_from(["IBM", "GOOG"]), max_size=2).map(lambda symbols: {"symbols": symbols}),
            st.sampled_from([{"name": "T"}, {"enabled": False}, {}]),
            st.integers(1, 6),
        )
        strategy = services.strategy_create(actor=SYSTEM, name="S", workflow_id=one.pk)
        history = [text_of(strategy)]
        for step in data.draw(st.lists(change, max_size=8)):
            if isinstance(step, int):
                number = min(step, len(history))
                strategy = restored(strategy, number)
                history.append(history[number - 1])
            else:
                try:
                    strategy = changed(strategy, **step)
                except ValidationFailed:  # an inline definition is replaced as a whole only
                    strategy = Strategy.objects.get()
                if text_of(strategy) != history[-1]:
                    history.append(text_of(strategy))
            row = Strategy.objects.get()
            assert (text_of(row), row.version_number) == (history[-1], len(history))
        assert [text_of(version) for version in StrategyVersion.objects.order_by("version_number")] == history
        number = data.draw(st.integers(1, len(history)))
        restored(strategy, number)
        assert text_of(Strategy.objects.get()) == history[number - 1]
        assert services.strategy_version_of(Strategy.objects.get()) == len(history) + 1


@pytest.mark.django_db
def test_what_changes_nothing_that_it_does_makes_no_version(make_workflow: Any, make_strategy: Any) -> None:
    strategy = make_strategy(workflow_id=make_workflow().pk, symbols=["IBM"], param={"trend_period": 100})
    for same in ({"name": "T"}, {"enabled": False}, {"param": {"trend_period": 100}}, {"symbols": ["IBM", "IBM"]}):
        changed(strategy, **same)
    services.strategy_delete(actor=SYSTEM, strategy_id=strategy.pk)
    services.strategy_restore(actor=SYSTEM, strategy_id=strategy.pk)
    assert numbers(strategy) == [1]
    assert services.strategy_version_of(Strategy.objects.get()) == 1


@pytest.mark.django_db
def test_a_whole_number_in_place_of_a_fraction_is_a_change(make_workflow: Any, make_strategy: Any) -> None:
    strategy = make_strategy(workflow_id=make_workflow().pk, param={"rsi_entry": 50})
    changed(strategy, param={"rsi_entry": 50.0})
    assert text_of(strategy_version_get(strategy.pk, 2)) == text_of(Strategy.objects.get())
    assert text_of(restored(strategy, 1)).endswith('{"rsi_entry": 50}]')


@pytest.mark.django_db
def test_settings_of_a_team_make_a_version(make_workflow: Any, make_strategy: Any) -> None:
    strategy = make_strategy(workflow_id=make_workflow(type_="autogen_multi_agent").pk, symbols=["IBM"])
    services.strategy_team_set(actor=SYSTEM, strategy_id=strategy.pk, config={"agents": [EXECUTOR]})
    assert strategy_version_get(strategy.pk, 2).param == {"autogen_config": {"agents": [EXECUTOR]}}


@pytest.mark.django_db
def test_a_version_says_why_and_who(make_workflow: Any, make_strategy: Any) -> None:
    strategy = make_strategy(workflow_id=make_workflow().pk)
    trader = user_with_role(Role.OPERATOR, "olga")
    services.strategy_update(
        actor=Actor.for_user(trader), strategy_id=strategy.pk, changes={"symbols": ["IBM"]}, reason="IBM is back"
    )
    restored(strategy, 1, "and gone")
    told = StrategyVersion.objects.values_list("reason", "actor_name", "created_by__username")
    assert list(told) == [
        ("Version 1 restored. and gone", "tests", None),
        ("IBM is back", "olga", "olga"),
        ("", "tests", None),
    ]
    written = AuditLog.objects.get(action="strategy.version_restore")
    assert (written.reason, written.after["restored"], written.after["version"]) == ("and gone", 1, 3)


@pytest.mark.django_db
def test_a_version_is_never_rewritten(make_workflow: Any, make_strategy: Any) -> None:
    version = make_strategy(workflow_id=make_workflow().pk).versions.get()
    version.reason = "otherwise"
    with pytest.raises(ImproperlyConfigured):
        version.save()


@pytest.mark.django_db
def test_a_version_whose_workflow_was_deleted_changes_nothing(make_workflow: Any, make_strategy: Any) -> None:
    one, two = make_workflow("one"), make_workflow("two", "custom")
    strategy = make_strategy(workflow_id=one.pk)
    changed(strategy, workflow_id=two.pk)
    services.workflow_delete(actor=SYSTEM, workflow_id=one.pk)
    with pytest.raises(WorkflowDeleted, match="'one'"):
        restored(strategy, 1)
    assert (Strategy.objects.get().workflow_id, numbers(strategy)) == (two.pk, [2, 1])


@pytest.mark.django_db
def test_a_version_that_its_workflow_no_longer_takes_changes_nothing(make_workflow: Any, make_strategy: Any) -> None:
    row = make_workflow()
    strategy = make_strategy(workflow_id=row.pk, param={"trend_period": 100})
    changed(strategy, param={})
    services.workflow_update(actor=SYSTEM, workflow_id=row.pk, **{**template("custom"), "name": "W"})
    with pytest.raises(StrategyVersionUnfit) as refused:
        restored(strategy, 1)
    assert [error.pointer for error in refused.value.errors] == ["param/trend_period"]
    with pytest.raises(StrategyVersionUnfit) as refused:
        restored(strategy, 2)
    assert [error.pointer for error in refused.value.errors] == ["strategy_type"]
    assert (Strategy.objects.get().param, numbers(strategy)) == ({}, [2, 1])


@pytest.mark.django_db
def test_a_type_that_a_workflow_has_got_since_is_not_put_on_an_old_version(
    make_workflow: Any, make_strategy: Any
) -> None:
    steps = [{"name": "prices", "type": "market_data", "config": {}}]
    row = make_workflow(type_="custom", steps=steps, default_params={})
    strategy = make_strategy(workflow_id=row.pk)
    signal = {"name": "signal", "type": "signal", "config": {"strategy_type": "momentum"}}
    body = {**template("custom"), "name": "W", "steps": [*steps, signal], "default_params": {}}
    services.workflow_update(actor=SYSTEM, workflow_id=row.pk, **body)
    with pytest.raises(StrategyVersionUnfit, match="momentum"):
        restored(strategy, 1)


@pytest.mark.django_db
def test_a_version_that_there_is_not_is_named(make_workflow: Any, make_strategy: Any) -> None:
    with pytest.raises(StrategyVersionNotFound, match="no version 2"):
        restored(make_strategy(workflow_id=make_workflow().pk), 2)


@pytest.mark.django_db
def test_what_was_there_before_versions_is_version_one(make_workflow: Any) -> None:
    workflow = make_workflow()
    old = [
        Strategy.objects.create(name="old", workflow=workflow, strategy_type="x", symbols=["IBM"], param={"a": 1.0}),
        Strategy.objects.create(name="inline", deleted_at=workflow.created_at),
    ]
    kept = services.strategy_create(actor=SYSTEM, name="kept", workflow_id=workflow.pk)
    migration = import_module("workflows.migrations.0005_first_strategy_versions")
    migration.write_first_versions(apps, None)
    migration.write_first_versions(apps, None)
    for strategy in (*old, kept):
        strategy.refresh_from_db()
        version = strategy.versions.get()
        assert (version.version_number, text_of(version)) == (strategy.version_number, text_of(strategy))
    assert changed(old[0], param={"trend_period": 9}, workflow_id=workflow.pk).version_number == 2


@pytest.mark.django_db
def test_versions_over_http(api: Api, make_workflow: Any, make_strategy: Any) -> None:
    row = make_workflow()
    strategy = make_strategy(workflow_id=row.pk, symbols=["IBM"], param={"trend_period": 100})
    changed(strategy, param={"trend_period": 50}, symbols=["GOOG"])
    client, url = api("operator"), f"{URL}/{strategy.pk}"
    body = client.get(url).json()
    assert body["version"] == 2
    listed = client.get(f"{url}/versions", {"page_size": 1}).json()
    assert (listed["count"], listed["results"][0]["version_number"]) == (2, 2)
    first = client.get(f"{url}/versions/1").json()
    assert first.pop("created_at")
    assert first == {
        "strategy_id": str(strategy.pk),
        "version_number": 1,
        "workflow_id": str(row.pk),
        "strategy_type": "two_indicator",
        "symbols": ["IBM"],
        "param": {"trend_period": 100},
        "reason": "",
        "created_by": None,
        "actor": "tests",
    }
    back = client.post(f"{url}/versions/1/restore", {"reason": "It was better"}, format="json")
    assert back.status_code == 200, back.json()
    assert (back.json()["version"], back.json()["param"], back.json()["symbols"]) == (3, {"trend_period": 100}, ["IBM"])
    assert client.get(f"{url}/versions/3").json()["reason"] == "Version 1 restored. It was better"
    assert client.get(f"{url}/versions/9").json()["code"] == "STRATEGY_VERSION_NOT_FOUND"
    assert client.get(f"{url}/versions", {"symbol": "IBM"}).status_code == 400


@pytest.mark.django_db
def test_the_version_in_a_body_is_not_written_by_callers(api: Api, make_workflow: Any, make_strategy: Any) -> None:
    strategy = make_strategy(workflow_id=make_workflow().pk)
    refused = api("operator").patch(f"{URL}/{strategy.pk}", {"version": 7}, format="json")
    assert refused.json()["errors"][0]["pointer"] == "version"


@pytest.mark.django_db
def test_restoring_honours_the_etag_the_owner_and_what_fits(api: Api, make_workflow: Any, make_strategy: Any) -> None:
    one, two = make_workflow("one"), make_workflow("two", "custom")
    strategy = make_strategy(workflow_id=one.pk)
    url = f"{URL}/{strategy.pk}"
    client = api("operator")
    stale = {"If-Match": client.get(url)["ETag"]}
    changed(strategy, workflow_id=two.pk)
    assert client.post(f"{url}/versions/1/restore", headers=stale).status_code == 412
    assert api("trader").post(f"{url}/versions/1/restore").status_code == 403
    fresh = {"If-Match": client.get(url)["ETag"]}
    answer = client.post(f"{url}/versions/1/restore", headers=fresh)
    assert (answer.status_code, answer["ETag"]) == (200, client.get(url)["ETag"])
    services.workflow_delete(actor=SYSTEM, workflow_id=two.pk)
    gone = client.post(f"{url}/versions/2/restore")
    assert (gone.status_code, gone.json()["code"]) == (409, "WORKFLOW_DELETED")
