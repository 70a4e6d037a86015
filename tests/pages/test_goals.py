"""The list of goals and the page of one, in every state."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client

from executions.pages.goals import PAGE
from market.models import DataSource, Instrument
from portfolio import services
from portfolio.models import Account, Goal, GoalWatch, Position, Rebalance, RebalanceLeg
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow
from tradingsite.common.ids import uuid7
from workflows.models import Strategy

Browser = Callable[..., Client]


@pytest.fixture
def goal(account: Account) -> Goal:
    """A goal of ACME, none of which is held."""
    Instrument.objects.create(symbol="ACME")
    return services.goal_create(
        actor=Actor.system("test"), name="Mostly <b>ACME</b>", target_weights={"ACME": "0.6"}, drift_threshold="0.05"
    )


def html_of(browser: Browser, path: str, role: str = "viewer") -> str:
    page = browser(role).get(path)
    assert page.status_code == 200
    return page.content.decode()


def test_without_goals_the_list_says_how_to_begin(browser: Browser, account: Account) -> None:
    html = html_of(browser, "/goals/")
    assert "No goals yet" in html
    assert "POST /api/portfolio/goals" in html


@pytest.mark.parametrize("role", ["viewer", "trader", "operator", "admin"])
def test_a_goal_over_its_threshold_is_marked_for_every_role(browser: Browser, goal: Goal, role: str) -> None:
    html = html_of(browser, "/goals/", role)
    for text in ("Mostly &lt;b&gt;ACME&lt;/b&gt;", "Over its threshold", "60.00 %", "5.00 %", f"/goals/{goal.pk}/"):
        assert text in html
    assert 'aria-current="page">Goals' in html


@pytest.mark.parametrize(
    ("change", "badge"),
    [
        ({"enabled": False}, ">Off<"),
        ({"watch": {"over_since": None, "total_drift": None}}, ">Not known<"),
        ({"watch": {"over_since": None, "total_drift": Decimal("0.01")}}, ">Within<"),
    ],
)
def test_every_state_has_its_word(browser: Browser, goal: Goal, change: dict[str, object], badge: str) -> None:
    if watch := change.pop("watch", None):
        GoalWatch.objects.update(**watch)  # type: ignore[arg-type]
    Goal.objects.update(**change)
    assert badge in html_of(browser, "/goals/")


def test_a_long_list_is_paged_and_a_wrong_page_is_the_first(browser: Browser, goal: Goal) -> None:
    for number in range(PAGE + 1):
        made = Goal.objects.create(
            name=f"Goal {number}", account=goal.account, target_weights=goal.target_weights, drift_threshold=1
        )
        GoalWatch.objects.create(goal=made)
    first = html_of(browser, "/goals/")
    assert "?page=2" in first
    assert "Mostly" not in first
    second = html_of(browser, "/goals/?page=2")
    assert "Mostly" in second
    assert "Newer" in second
    for wrong in ("0", "99", "x", "٣", "9" * 30):
        assert f"Goal {PAGE}" in html_of(browser, f"/goals/?page={wrong}")


def test_many_symbols_are_named_in_part_on_the_list_and_all_on_the_page(browser: Browser, account: Account) -> None:
    names = [f"SYM{number}" for number in range(100, 160)]
    Instrument.objects.bulk_create(Instrument(symbol=name) for name in names)
    made = services.goal_create(
        actor=Actor.system("test"), name="x" * 120, target_weights=dict.fromkeys(names, "0.01"), drift_threshold="0.1"
    )
    assert "SYM105 and 54 more" in html_of(browser, "/goals/")
    page = html_of(browser, f"/goals/{made.pk}/")
    assert all(name in page for name in names)


def test_the_page_tells_where_the_account_stands(browser: Browser, goal: Goal, account: Account) -> None:
    source = DataSource.objects.create(slug="gone", title="Gone", kind="import", clock="historical")
    Position.objects.create(
        account=account, instrument=Instrument.objects.create(symbol="OUT"), quantity=Decimal(10), cost=Decimal(5000),
        average_price=Decimal(500), source=source.slug, timeframe="1d", adjustment="none",
    )  # fmt: skip
    html = html_of(browser, f"/goals/{goal.pk}/")
    for text in (
        "outside the goal",
        "−60.00 %",
        "Cash",
        "Without a price: OUT",
        "Recovered at 4.00 %",
        "Never rebalanced",
    ):
        assert text in html, text
    assert html.index(">ACME<") < html.index(">OUT<"), "what is furthest from its target comes first"


def test_the_page_tells_of_the_last_rebalances_and_their_refusals(browser: Browser, goal: Goal) -> None:
    rebalance = Rebalance.objects.create(
        goal=goal, account=goal.account, key="k", status="completed", equity=1, total_drift=Decimal("0.6"),
        expected_drift=0, min_trade=0, sell_outside=False, actor_kind="user", actor_name="x",
    )  # fmt: skip
    RebalanceLeg.objects.create(
        rebalance=rebalance, number=0, instrument=Instrument.objects.get(), side="buy", planned_quantity=1,
        reference_price=1, source="x", timeframe="1d", adjustment="none", client_order_id="c", code="CASH_SHORT",
        detail="The cash covers <nothing> of it.",
    )  # fmt: skip
    html = html_of(browser, f"/goals/{goal.pk}/")
    for text in ("1 order, 0 filled, 1 refused", "CASH_SHORT", "covers &lt;nothing&gt; of it", "60.00 %"):
        assert text in html


def test_an_account_without_equity_says_so(browser: Browser, goal: Goal) -> None:
    Account.objects.update(cash=0)
    assert "There is nothing to be a part of" in html_of(browser, f"/goals/{goal.pk}/")


def test_a_goal_that_is_not_there_is_a_page_of_its_own(browser: Browser, goal: Goal) -> None:
    assert browser("viewer").get(f"/goals/{uuid7()}/").status_code == 404
    Goal.objects.update(deleted_at=utcnow())
    assert browser("viewer").get(f"/goals/{goal.pk}/").status_code == 404


def test_a_refresh_gets_the_panels_alone(browser: Browser, goal: Goal) -> None:
    for path in ("/goals/", f"/goals/{goal.pk}/"):
        answer = browser("viewer").get(path, headers={"HX-Request": "true"})
        assert b"<html" not in answer.content
        assert "HX-Request" in answer["Vary"]


def test_a_goal_names_the_strategy_in_whose_name_it_orders(goal: Goal, browser: Browser) -> None:
    strategy = Strategy.objects.create(name="Slow <i>crossing</i>")
    services.goal_update(actor=Actor.system("test"), goal_id=goal.pk, changes={"strategy_id": strategy.pk})
    assert "Slow &lt;i&gt;crossing&lt;/i&gt;</span>" in html_of(browser, f"/goals/{goal.pk}/")
    Strategy.objects.update(deleted_at=utcnow())
    assert "crossing&lt;/i&gt; (deleted)" in html_of(browser, f"/goals/{goal.pk}/")
    Strategy.objects.all().delete()
    assert f">{strategy.pk}</span>" in html_of(browser, f"/goals/{goal.pk}/")


def test_a_card_of_a_narrow_screen_has_room_for_each_state_and_none_for_what_is_empty(
    goal: Goal, browser: Browser
) -> None:
    """The longest state is wider than a third of such a screen; the style sheet gives it two thirds."""
    assert '<td class="two" data-label="State">' in html_of(browser, "/goals/")
    assert '<td class="num" data-label="Quantity"></td>' in html_of(browser, f"/goals/{goal.pk}/")
    sheet = (Path(settings.BASE_DIR) / "tradingsite/static/css/components.css").read_text()
    assert "table.cards td.two { grid-column: span 2; }" in sheet
    assert "table.cards td:empty { display: none; }" in sheet
