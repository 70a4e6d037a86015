"""Live adaptation over HTTP: start, list, look, decide, stop; one's own, and an operator's view of all."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from rest_framework.test import APIClient

from optimize.adaptation.models import LiveAdaptation, RegimePoint
from safety.services import kill
from tests.conftest import user_with_role
from tests.optimize.adaptation.conftest import BETTER, LIVE, Desk, walk_rows
from tests.portfolio.conftest import Prices
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow
from tradingsite.common.roles import Role

pytestmark = pytest.mark.django_db

Api = Callable[..., APIClient]
URL = "/api/optimize/live"


def asked(desk: Desk, **changes: Any) -> dict[str, Any]:
    return {**desk.said(), "strategy_id": str(desk.strategy.pk), **changes}


def named(answer: Any) -> list[str]:
    assert answer.status_code == 400, answer.content
    return sorted(error["pointer"] for error in answer.json()["errors"])


@pytest.fixture
def proposal(desk: Desk) -> LiveAdaptation:
    """An adaptation whose first event waits for approval."""
    adaptation = desk.start()
    assert desk.round(adaptation, BETTER).status == "proposed"
    return adaptation


def test_four_fields_are_enough_to_start(api: Api, desk: Desk, prices: Prices) -> None:
    prices.series("ACME", walk_rows(600))
    body = {
        "strategy_id": str(desk.strategy.pk), "trailing_window": 500, "schedule": "0 22 * * mon-fri",
        "max_param_change_pct": 10,
    }  # fmt: skip
    answer = api("trader").post(URL, body, format="json")
    assert answer.status_code == 200, answer.content
    found = answer.json()
    assert found["status"] == "active"
    assert found["next_run"].endswith("Z")
    assert found.items() >= {
        **body, "mode": "approve", "objective": "sharpe", "search_space": None, "regime": None, "watch_bars": 60,
        "timezone": "UTC", "costs": {"fee": 0.001, "slippage": 0.0005}, "frozen": None, "round": None, "last_event": None,
        "strategy_name": "Mine", "created_by": "trader", "stopped_at": None,
    }.items()  # fmt: skip
    assert LiveAdaptation.objects.get().pk.hex == found["id"].replace("-", "")


def test_everything_that_can_be_said_is_kept(api: Api, desk: Desk) -> None:
    said = asked(
        desk, mode="auto", objective="sortino", costs={"fee": 0.001}, watch_bars=30, timezone="America/New_York",
        regime={"kind": "trend", "symbol": "ACME"},
    )  # fmt: skip
    found = api("trader").post(URL, said, format="json").json()
    assert (found["mode"], found["objective"], found["watch_bars"]) == ("auto", "sortino", 30)
    assert (found["costs"], found["timezone"]) == ({"fee": 0.001, "slippage": 0.0}, "America/New_York")
    assert found["regime"].items() >= {"kind": "trend", "symbol": "ACME", "cooldown_bars": 20}.items()
    assert api("trader").get(f"{URL}/{found['id']}").json() == found


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"mode": "perhaps"}, ["mode"]),
        ({"trailing_window": "200"}, ["trailing_window"]),
        ({"max_param_change_pct": 0}, ["max_param_change_pct"]),
        ({"max_param_change_pct": 101}, ["max_param_change_pct"]),
        ({"max_param_change_pct": True}, ["max_param_change_pct"]),
        ({"schedule": "whenever"}, ["schedule"]),
        ({"schedule": None}, ["schedule"]),
        ({"timezone": "Mars/Base"}, ["timezone"]),
        ({"objective": "luck"}, ["objective"]),
        ({"search_space": {"fats": [3]}}, ["search_space/fats"]),
        ({"regime": {"kind": "moon"}}, ["regime/kind"]),
        ({"regime": "trend"}, ["regime"]),
        ({"costs": {"fee": 2}}, ["costs/fee"]),
        ({"watch_bars": 1}, ["watch_bars"]),
        ({"strategy_id": "mine"}, ["strategy_id"]),
        ({"strategy_id": "0190a0b0-0000-7000-8000-000000000003"}, ["strategy_id"]),
        ({"surprise": 1}, ["surprise"]),
        ({"mode": "x", "objective": "y", "trailing_window": 1.5}, ["mode", "objective", "trailing_window"]),
    ],
)
def test_each_wrong_field_is_named(api: Api, desk: Desk, changes: dict[str, Any], fields: list[str]) -> None:
    assert named(api("trader").post(URL, asked(desk, **changes), format="json")) == fields
    assert not LiveAdaptation.objects.exists()


@pytest.mark.parametrize("body", [[], "x", 5, {}])
def test_a_body_that_is_none_is_refused(api: Api, desk: Desk, body: Any) -> None:
    assert api("trader").post(URL, body, format="json").status_code == 400


def test_a_second_one_for_the_same_strategy_is_refused_with_the_first(api: Api, desk: Desk) -> None:
    first = desk.start()
    answer = api("trader").post(URL, asked(desk), format="json")
    assert (answer.status_code, answer.json()["code"]) == (409, "ALREADY_ADAPTING")
    assert answer.json()["adaptation_id"] == str(first.pk)


def test_the_same_key_starts_it_once(api: Api, desk: Desk) -> None:
    answers = [
        api("trader").post(URL, asked(desk), format="json", headers={"Idempotency-Key": "one"}) for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()
    assert answers[1]["Idempotent-Replayed"] == "true"
    assert LiveAdaptation.objects.count() == 1


def test_the_list_is_an_array_of_what_is_active_with_status_and_next_run(api: Api, desk: Desk) -> None:
    stopped = desk.start()
    desk.stop(stopped)
    active = desk.start()
    client = api("trader")
    rows = client.get(f"{URL}/").json()
    assert [(row["id"], row["status"]) for row in rows] == [(str(active.pk), "active")]
    assert rows[0]["next_run"] is not None
    assert [row["id"] for row in client.get(f"{URL}?status=stopped").json()] == [str(stopped.pk)]
    assert [row["id"] for row in client.get(f"{URL}?status=all").json()] == [str(active.pk), str(stopped.pk)]
    assert [row["id"] for row in client.get(f"{URL}?status=all&limit=1").json()] == [str(active.pk)]
    assert len(client.get(f"{URL}?strategy_id={desk.strategy.pk}").json()) == 1
    assert client.get(f"{URL}?strategy_id={active.pk}").json() == []


def test_operators_see_everybodys_on_request_and_nobody_else_does(api: Api, desk: Desk) -> None:
    adaptation = desk.start()
    assert api("operator").get(URL).json() == []
    assert [row["id"] for row in api("operator").get(f"{URL}?all=true").json()] == [str(adaptation.pk)]
    assert api("trader").get(f"{URL}?all=true").status_code == 403
    assert api("viewer").get(URL).json() == []


@pytest.mark.parametrize("query", ["all=x", "limit=0", "limit=1001", "status=paused", "strategy_id=mine", "page=2"])
def test_a_wrong_parameter_of_the_list_is_refused_by_name(api: Api, desk: Desk, query: str) -> None:
    assert named(api("trader").get(f"{URL}?{query}")) == [query.partition("=")[0]]


def test_somebody_else_s_is_not_there(api: Api, proposal: LiveAdaptation) -> None:
    stranger = api(user_with_role(Role.TRADER, "stranger"))
    one = f"{URL}/{proposal.pk}"
    answers = [stranger.get(one + path) for path in ("", "/history", "/regimes", "/watches")]
    answers += [stranger.post(one + path) for path in ("/run", "/events/1/approve", "/events/1/reject")]
    answers += [stranger.post(one + "/events/1/rollback"), stranger.delete(one)]
    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(404, "ADAPTATION_NOT_FOUND")}
    proposal.refresh_from_db()
    assert (proposal.status, proposal.events_count) == ("active", 1)


def test_stopping_answers_stopped_and_again(api: Api, desk: Desk) -> None:
    adaptation = desk.start()
    for _ in range(2):
        answer = api("trader").delete(f"{URL}/{adaptation.pk}")
        assert (answer.status_code, answer.json()["status"], answer.json()["next_run"]) == (200, "stopped", None)
    refused = api("trader").post(f"{URL}/{adaptation.pk}/run")
    assert (refused.status_code, refused.json()["code"]) == (409, "ADAPTATION_STOPPED")


def test_an_operator_may_stop_anybodys(api: Api, desk: Desk) -> None:
    adaptation = desk.start()
    assert api("operator").delete(f"{URL}/{adaptation.pk}").json()["status"] == "stopped"


def test_a_round_now_answers_with_its_job_and_never_overlaps(api: Api, desk: Desk) -> None:
    adaptation = desk.start()
    answer = api("trader").post(f"{URL}/{adaptation.pk}/run")
    assert answer.status_code == 202
    found = answer.json()
    assert answer["Location"] == f"/api/v1/optimize/{found['job_id']}"
    assert api("trader").get(answer["Location"]).json()["kind"] == "adaptation"
    assert api("trader").get(f"{URL}/{adaptation.pk}").json()["round"]["round_id"] == found["round_id"]
    again = api("trader").post(f"{URL}/{adaptation.pk}/run")
    assert (again.status_code, again.json()["code"]) == (409, "ROUND_UNDER_WAY")


def test_the_history_has_the_newest_first_and_says_how_each_was_settled(api: Api, desk: Desk) -> None:
    adaptation = desk.start()
    desk.round(adaptation)
    desk.round(adaptation, BETTER)
    desk.round(adaptation, {"fast": 12, "slow": 40})
    client = api("trader")
    rows = client.get(f"{URL}/{adaptation.pk}/history").json()
    assert [row["number"] for row in rows] == [4, 3, 2, 1]
    assert [(row["status"], row["outcome"], row["about"]) for row in rows] == [
        ("proposed", "open", None), ("superseded", None, 2), ("proposed", "superseded", None), ("no_change", None, None),
    ]  # fmt: skip
    assert rows[0].items() >= {
        "trigger": "manual", "live_params": LIVE, "proposed_params": BETTER, "applied_params": None, "code": "BETTER",
        "message": "It is better.",
    }.items()  # fmt: skip
    assert rows[0]["evidence"]["searched"] > 1
    assert client.get(f"{URL}/{adaptation.pk}").json()["proposal"] == 4
    assert rows[0]["job_id"] is not None
    assert [row["number"] for row in client.get(f"{URL}/{adaptation.pk}/history?limit=2").json()] == [4, 3]
    assert [row["number"] for row in client.get(f"{URL}/{adaptation.pk}/history?limit=2&before=3").json()] == [2, 1]
    assert named(client.get(f"{URL}/{adaptation.pk}/history?before=x")) == ["before"]


def test_a_proposal_is_approved_and_taken_back(api: Api, desk: Desk, proposal: LiveAdaptation) -> None:
    client = api("trader")
    applied = client.post(f"{URL}/{proposal.pk}/events/1/approve", {"reason": "it follows the trend"}, format="json")
    assert applied.status_code == 200, applied.content
    assert applied.json().items() >= {
        "number": 2, "status": "applied", "about": 1, "applied_params": BETTER, "actor": "trader", "outcome": None,
    }.items()  # fmt: skip
    assert desk.params() == BETTER
    back = client.post(f"{URL}/{proposal.pk}/events/2/rollback")
    assert back.json().items() >= {"number": 3, "status": "rolled_back", "about": 2}.items()
    assert desk.params() == LIVE
    outcomes = {row["number"]: row["outcome"] for row in client.get(f"{URL}/{proposal.pk}/history").json()}
    assert outcomes == {3: None, 2: "rolled_back", 1: "approved"}
    again = client.post(f"{URL}/{proposal.pk}/events/2/rollback")
    assert (again.status_code, again.json()["code"]) == (409, "EVENT_NOT_OPEN")


def test_a_proposal_is_rejected_once(api: Api, desk: Desk, proposal: LiveAdaptation) -> None:
    client = api("trader")
    assert client.get(f"{URL}/{proposal.pk}").json()["proposal"] == 1
    assert client.post(f"{URL}/{proposal.pk}/events/1/reject").json()["status"] == "rejected"
    assert client.get(f"{URL}/{proposal.pk}").json()["proposal"] is None
    assert desk.params() == LIVE
    for decision in ("approve", "reject", "rollback"):
        answer = client.post(f"{URL}/{proposal.pk}/events/1/{decision}")
        assert (answer.status_code, answer.json()["code"]) == (409, "EVENT_NOT_OPEN"), decision


def test_there_is_nothing_to_decide_about_an_event_that_is_not_there(api: Api, proposal: LiveAdaptation) -> None:
    answer = api("trader").post(f"{URL}/{proposal.pk}/events/9/approve")
    assert (answer.status_code, answer.json()["code"]) == (404, "ADAPTATION_EVENT_NOT_FOUND")
    assert named(api("trader").post(f"{URL}/{proposal.pk}/events/x/approve")) == ["number"]
    assert named(api("trader").post(f"{URL}/{proposal.pk}/events/1/approve", {"why": "x"}, format="json")) == ["why"]


@pytest.fixture
def killed(operator_actor: Actor) -> None:
    kill(actor=operator_actor, reason="a drill")


def test_a_frozen_desk_says_so_and_changes_nothing(
    api: Api, desk: Desk, proposal: LiveAdaptation, killed: None
) -> None:
    client = api("trader")
    assert client.get(f"{URL}/{proposal.pk}").json()["frozen"]["code"] == "KILL_SWITCH_ACTIVE"
    assert "a drill" in client.get(URL).json()[0]["frozen"]["detail"]
    for path in ("run", "events/1/approve"):
        answer = client.post(f"{URL}/{proposal.pk}/{path}")
        assert (answer.status_code, answer.json()["code"]) == (409, "ADAPTATION_FROZEN"), path
    assert desk.params() == LIVE


def test_the_regimes_are_told_as_they_were_seen(api: Api, desk: Desk) -> None:
    adaptation = desk.start(regime={"kind": "volatility"})
    first = utcnow() - timedelta(days=9)
    for day, (label, was) in enumerate([("", ""), ("calm", ""), ("calm", ""), ("turbulent", "calm")]):
        RegimePoint.objects.create(
            adaptation=adaptation,
            bar_time=first + timedelta(days=day),
            label=label,
            value=day or None,
            changed_from=was,
        )
    found = api("trader").get(f"{URL}/{adaptation.pk}/regimes").json()
    assert [point["regime"] for point in found["regimes"]] == [None, "calm", "calm", "turbulent"]
    assert [(change["before"], change["after"], change["value"]) for change in found["changes"]] == [
        ("calm", "turbulent", 3.0)
    ]
    assert found["detector"]["kind"] == "volatility"
    assert api("trader").get(f"{URL}/{adaptation.pk}/regimes?limit=2").json()["count"] == 2


def test_what_is_watched_is_told_with_its_promise(api: Api, proposal: LiveAdaptation) -> None:
    (watch,) = api("trader").get(f"{URL}/{proposal.pk}/watches").json()
    assert watch.items() >= {
        "event": 1, "applied": False, "status": "watching", "params": BETTER, "shadow_params": LIVE, "bars": 0,
    }.items()  # fmt: skip
    assert watch["promise"]["bars"] == 60
