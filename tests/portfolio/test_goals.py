"""Goals over HTTP: who may write them, what is refused and how it is named, and where the account stands beside them."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from rest_framework.test import APIClient

from market.models import BarSeries, Instrument
from portfolio import services
from portfolio.goals import MAX_SYMBOLS
from portfolio.models import Account, Goal, Order, Position
from safety.models import AuditLog
from tests.conftest import user_with_role
from tests.portfolio.conftest import Prices
from tradingsite.common.clock import utcnow
from tradingsite.common.roles import Role
from workflows.models import Strategy

pytestmark = pytest.mark.django_db

Clients = Callable[..., APIClient]
Place = Callable[..., Order]
URL = "/api/portfolio/goals"
GOAL = {"name": "Half and half", "target_weights": {"ACME": "0.5", "BETA": "0.3"}, "drift_threshold": "0.05"}


@pytest.fixture
def beta(prices: Prices) -> BarSeries:
    """BETA has closed at 50 and has just opened at 50."""
    return prices.series("BETA", [(50, 50, 50, 50), (50, 50, 50, 50)])


@pytest.fixture
def made(acme: BarSeries, beta: BarSeries, account: Account, api: Clients) -> dict[str, Any]:
    answer = api("trader").post(URL, GOAL, format="json")
    assert answer.status_code == 201, answer.content
    assert answer["Location"] == f"{URL}/{answer.json()['id']}"
    assert answer["ETag"]
    body: dict[str, Any] = answer.json()
    return body


def test_a_goal_is_created_read_changed_hidden_and_brought_back(made: dict[str, Any], api: Clients) -> None:
    trader, url = api("trader"), f"{URL}/{made['id']}"
    assert made | GOAL == made
    assert (made["enabled"], made["strategy_id"], made["version"]) == (True, None, 1)
    assert trader.get(url).json() == made
    answer = trader.patch(url, {"target_weights": {"ACME": "1"}}, format="json")
    assert answer.json()["target_weights"] == {"ACME": "1"}
    assert answer.json()["version"] == 2
    strategy = str(Strategy.objects.create(name="Crossing").pk)
    replaced = trader.put(url, {**GOAL, "strategy_id": strategy, "enabled": False}, format="json").json()
    assert (replaced["target_weights"], replaced["strategy_id"]) == (GOAL["target_weights"], strategy)
    assert trader.put(url, GOAL, format="json").json()["strategy_id"] is None, "a PUT replaces all of it"
    assert trader.delete(url).status_code == 204
    assert trader.get(url).json()["code"] == "GOAL_UNKNOWN"
    assert trader.get(f"{url}/drift").status_code == 404
    assert trader.get(URL).json()["results"] == []
    assert [row["id"] for row in trader.get(f"{URL}?deleted=true").json()["results"]] == [made["id"]]
    assert trader.post(f"{url}/restore").json()["name"] == GOAL["name"]
    assert trader.post(f"{url}/restore").json()["code"] == "GOAL_NOT_DELETED"
    actions = list(AuditLog.objects.filter(target_id=made["id"]).order_by("id").values_list("action", flat=True))
    assert actions == ["goal.create", *["goal.update"] * 3, "goal.delete", "goal.restore"]


def test_a_goal_takes_a_strategy_that_is_there_and_keeps_one_that_is_deleted_later(
    made: dict[str, Any], api: Clients
) -> None:
    trader, url = api("trader"), f"{URL}/{made['id']}"
    strategy, gone = Strategy.objects.create(name="there"), Strategy.objects.create(name="gone", deleted_at=utcnow())
    for unknown in (uuid4(), gone.pk, made["id"]):
        for answer in (
            trader.patch(url, {"strategy_id": str(unknown)}, format="json"),
            trader.post(URL, {**GOAL, "name": "Another", "strategy_id": str(unknown)}, format="json"),
        ):
            assert answer.status_code == 400
            assert [(each["pointer"], each["code"]) for each in answer.json()["errors"]] == [
                ("strategy_id", "unknown_strategy")
            ]
    assert trader.get(url).json()["strategy_id"] is None
    assert trader.patch(url, {"strategy_id": str(strategy.pk)}, format="json").status_code == 200
    Strategy.objects.update(deleted_at=utcnow())
    kept = trader.patch(url, {"name": "Renamed", "strategy_id": str(strategy.pk)}, format="json").json()
    assert (kept["name"], kept["strategy_id"]) == ("Renamed", str(strategy.pk))


@pytest.mark.parametrize(
    ("change", "pointer", "code"),
    [
        ({"name": ""}, "name", "blank"),
        ({"name": "a\tb"}, "name", "invalid"),
        ({"name": "x" * 121}, "name", "max_length"),
        ({"target_weights": {}}, "target_weights", "invalid"),
        ({"target_weights": [["ACME", "0.5"]]}, "target_weights", "not_a_dict"),
        ({"target_weights": {"NOPE": "0.5"}}, "target_weights/NOPE", "unknown_symbol"),
        ({"target_weights": {"acme": "0.5"}}, "target_weights/acme", "unknown_symbol"),
        ({"target_weights": {"../etc": "0.5"}}, "target_weights/../etc", "unknown_symbol"),
        ({"target_weights": {"ACME": "0"}}, "target_weights/ACME", "out_of_range"),
        ({"target_weights": {"ACME": "-0.1"}}, "target_weights/ACME", "out_of_range"),
        ({"target_weights": {"ACME": "1.01"}}, "target_weights/ACME", "out_of_range"),
        ({"target_weights": {"ACME": "NaN"}}, "target_weights/ACME", "not_finite"),
        ({"target_weights": {"ACME": 0.5}}, "target_weights/ACME", "invalid"),
        ({"target_weights": {"ACME": None}}, "target_weights/ACME", "null"),
        ({"target_weights": {"ACME": {"weight": "0.5"}}}, "target_weights/ACME", "invalid"),
        ({"target_weights": {"ACME": "0.6", "BETA": "0.5"}}, "target_weights", "sum_above_one"),
        ({"target_weights": {f"S{n}": "0.001" for n in range(MAX_SYMBOLS + 1)}}, "target_weights", "too_many"),
        ({"target_weights": {"EURO": "0.5"}}, "target_weights/EURO", "currency_mismatch"),
        ({"drift_threshold": "0"}, "drift_threshold", "out_of_range"),
        ({"drift_threshold": "1.1"}, "drift_threshold", "out_of_range"),
        ({"drift_threshold": "soon"}, "drift_threshold", "invalid"),
        ({"strategy_id": "mine"}, "strategy_id", "invalid"),
        ({"enabled": "perhaps"}, "enabled", "invalid"),
        ({"min_trade": "5"}, "min_trade", "unknown_field"),
    ],
)
def test_a_wrong_goal_is_a_400_that_names_each_field(
    made: dict[str, Any], api: Clients, change: dict[str, Any], pointer: str, code: str
) -> None:
    Instrument.objects.create(symbol="EURO", currency="EUR")
    trader = api("trader")
    for answer in (
        trader.post(URL, {**GOAL, "name": "Another", **change}, format="json"),
        trader.put(f"{URL}/{made['id']}", {**GOAL, **change}, format="json"),
        trader.patch(f"{URL}/{made['id']}", change, format="json"),
    ):
        assert answer.status_code == 400, answer.content
        assert (pointer, code) in {(error["pointer"], error["code"]) for error in answer.json()["errors"]}
    assert Goal.objects.count() == 1
    assert trader.get(f"{URL}/{made['id']}").json() == made


def test_all_that_is_wrong_is_said_at_once(made: dict[str, Any], api: Clients) -> None:
    body = {"name": "n", "target_weights": {"NOPE": "0.5", "ACME": "2", "BETA": "-1"}, "drift_threshold": "7"}
    answer = api("trader").post(URL, body, format="json")
    assert [error["pointer"] for error in answer.json()["errors"]] == [
        "target_weights/NOPE",
        "target_weights/ACME",
        "target_weights/BETA",
        "drift_threshold",
    ]


def test_a_symbol_that_is_named_twice_is_refused_by_its_name(made: dict[str, Any], api: Clients) -> None:
    body = '{"name": "n", "drift_threshold": "0.1", "target_weights": {"ACME": "0.1", "ACME": "0.2"}}'
    answer = api("trader").post(URL, body, content_type="application/json")
    assert answer.status_code == 400
    assert "'ACME' is named twice" in answer.json()["detail"]


def test_weights_may_come_to_one_exactly(made: dict[str, Any], api: Clients) -> None:
    weights = {"ACME": "0.3333333333", "BETA": "0.6666666667"}
    answer = api("trader").post(URL, {**GOAL, "name": "All of it", "target_weights": weights}, format="json")
    assert answer.status_code == 201, answer.content


def test_a_name_is_taken_while_its_goal_lives(made: dict[str, Any], api: Clients) -> None:
    trader = api("trader")
    assert trader.post(URL, GOAL, format="json").json()["code"] == "GOAL_NAME_TAKEN"
    trader.delete(f"{URL}/{made['id']}")
    assert trader.post(URL, GOAL, format="json").status_code == 201
    assert trader.post(f"{URL}/{made['id']}/restore").json()["code"] == "GOAL_NAME_TAKEN"


def test_nobody_overwrites_what_somebody_else_changed(made: dict[str, Any], api: Clients) -> None:
    trader, url = api("trader"), f"{URL}/{made['id']}"
    read = trader.get(url)["ETag"]
    services.goals_check()
    assert trader.get(url)["ETag"] == read, "monitoring changes no definition"
    assert trader.patch(url, {"name": "Mine"}, format="json", headers={"If-Match": read}).status_code == 200
    for call in (
        lambda: trader.patch(url, {"name": "Yours"}, format="json", headers={"If-Match": read}),
        lambda: trader.put(url, GOAL, format="json", headers={"If-Match": read}),
        lambda: trader.delete(url, headers={"If-Match": read}),
    ):
        assert call().status_code == 412
    assert trader.get(url).json()["name"] == "Mine"


def test_who_may_change_a_goal(made: dict[str, Any], api: Clients) -> None:
    url = f"{URL}/{made['id']}"
    stranger = api(user_with_role(Role.TRADER, "stranger"))
    for client, status in ((api(), 401), (api("viewer"), 403), (stranger, 403)):
        assert client.patch(url, {"name": "x"}, format="json").status_code == status
        assert client.put(url, {**GOAL, "name": "x"}, format="json").status_code == status
        assert client.delete(url).status_code == status
    assert api("viewer").get(url).json() == made
    assert api("operator").patch(url, {"name": "x"}, format="json").status_code == 200


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", 2), ("?enabled=true", 1), ("?symbol=BETA", 1), ("?symbol=NOPE", 0), ("?search=half", 1),
        ("?breached=true", 1), ("?breached=false", 1), ("?ordering=name", 2), ("?page_size=1", 1),
        ('?symbol="', 0), ("?created_after=2020-01-01", 2),
    ],
)  # fmt: skip
def test_goals_are_listed_by_what_one_asks(made: dict[str, Any], api: Clients, query: str, found: int) -> None:
    other = {**GOAL, "name": "Asleep", "target_weights": {"ACME": "1"}, "enabled": False}
    assert api("trader").post(URL, other, format="json").status_code == 201
    assert len(api("viewer").get(URL + query).json()["results"]) == found


def test_a_query_that_is_not_known_is_a_400(made: dict[str, Any], api: Clients) -> None:
    for query in ("?colour=red", "?enabled=perhaps", "?ordering=luck", "?strategy_id=x"):
        assert api("viewer").get(URL + query).status_code == 400
    assert api("viewer").get(f"{URL}/{made['id']}/drift?x=1").status_code == 400


def test_drift_says_where_the_account_stands(made: dict[str, Any], place: Place, prices: Prices, api: Clients) -> None:
    Account.objects.update(fee_rate=0, slippage=0, starting_cash=10_000, cash=10_000)
    prices.series("OUT", [(20, 20, 20, 20), (20, 20, 20, 20)])
    place(quantity=Decimal(50))  # at 103: 5,150
    place(symbol="OUT", client_order_id="two", quantity=Decimal(100))  # at 20: 2,000
    drift = api("viewer").get(f"{URL}/{made['id']}/drift").json()
    assert drift["allocations"] == [
        {
            "symbol": "ACME", "target_weight": "0.5", "current_weight": "0.515", "drift": "0.015", "drift_pct": 1.5,
            "value": "5150", "quantity": "50", "outside": False,
        },
        {
            "symbol": "BETA", "target_weight": "0.3", "current_weight": "0", "drift": "-0.3", "drift_pct": -30.0,
            "value": "0", "quantity": "0", "outside": False,
        },
        {
            "symbol": "OUT", "target_weight": "0", "current_weight": "0.2", "drift": "0.2", "drift_pct": 20.0,
            "value": "2000", "quantity": "100", "outside": True,
        },
    ]  # fmt: skip
    assert drift["cash"] == {
        "target_weight": "0.2", "current_weight": "0.285", "drift": "0.085", "drift_pct": 8.5, "value": "2850",
    }  # fmt: skip
    assert (drift["equity"], drift["total_drift"], drift["total_drift_pct"]) == ("10000", "0.3", 30.0)
    assert (drift["breached"], drift["drift_threshold"], drift["recovers_at"]) == (True, "0.05", "0.04")
    assert drift["breached_since"]
    assert drift["valued"]


def test_a_position_without_a_price_is_said_and_nothing_is_decided_on_it(
    made: dict[str, Any], place: Place, api: Clients
) -> None:
    place()
    place(symbol="BETA", client_order_id="two")
    before = api("viewer").get(f"{URL}/{made['id']}/drift").json()
    Position.objects.filter(instrument__symbol="BETA").update(source="gone")
    drift = api("viewer").get(f"{URL}/{made['id']}/drift").json()
    assert (drift["valued"], drift["unpriced"]) == (False, ["BETA"])
    assert (drift["breached"], drift["breached_since"]) == (before["breached"], before["breached_since"])


def test_an_account_without_equity_has_no_drift(made: dict[str, Any], api: Clients) -> None:
    Account.objects.update(cash=0)
    answer = api("viewer").get(f"{URL}/{made['id']}/drift")
    assert (answer.status_code, answer.json()["code"]) == (409, "EQUITY_NOT_POSITIVE")


def test_without_an_account_there_is_nothing_to_aim_for(prices: Prices, acme: BarSeries, api: Clients) -> None:
    answer = api("trader").post(URL, {**GOAL, "target_weights": {"ACME": "1"}}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (409, "ACCOUNT_MISSING")


def test_an_operator_switches_hides_and_restores_goals_in_the_admin(
    made: dict[str, Any], browser: Callable[..., Any]
) -> None:
    client = browser("operator")
    page = client.get("/admin/portfolio/goal/")
    assert page.status_code == 200
    assert GOAL["name"] in page.content.decode()
    for action, said, sees in (
        ("disable", "disabled", lambda goal: not goal.enabled),
        ("enable", "enabled", lambda goal: goal.enabled),
        ("hide", "deleted", lambda goal: goal.deleted_at is not None),
        ("restore", "restored", lambda goal: goal.deleted_at is None),
    ):
        chosen = {"action": action, "_selected_action": [made["id"]]}
        answer = client.post("/admin/portfolio/goal/", chosen, follow=True)
        assert f"1 goals were {said}." in answer.content.decode()
        assert sees(Goal.objects.get())
    assert client.get(f"/admin/portfolio/goal/{made['id']}/change/").status_code == 200
    assert client.get("/admin/portfolio/goal/add/").status_code == 403
