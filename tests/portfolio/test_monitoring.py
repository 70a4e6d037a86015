"""The watch over goals: it begins with the goal, tells a crossing once, and survives restarts and company."""

import contextlib
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connections, transaction
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from rest_framework.test import APIClient

from market.models import BarSeries
from portfolio import duties, goals, services
from portfolio.drift import RECOVERY
from portfolio.models import Account, Goal, GoalWatch, Order, Position
from safety.models import AlertEvent
from tests.portfolio.conftest import FIRST_DAY, Prices
from tests.portfolio.test_drift import alerts, looks
from tradingsite.common import background
from tradingsite.common.actor import Actor
from tradingsite.common.clock import frozen, utcnow
from tradingsite.common.contracts.jobs import job_types

pytestmark = pytest.mark.django_db

Clients = Callable[..., APIClient]
Place = Callable[..., Order]
NOW = FIRST_DAY + timedelta(days=30)


def goal_of(weight: str, *, threshold: str = "0.05", **more: Any) -> Goal:
    said = {"name": "Half", "target_weights": {"ACME": weight}, "drift_threshold": threshold, **more}
    return services.goal_create(actor=Actor.system("test"), **said)


def hold(account: Account, weight: Decimal) -> None:
    """Let the account be worth 10,000 of which ACME, which trades at 100, is `weight`."""
    value = Decimal(10_000) * weight
    Account.objects.filter(pk=account.pk).update(cash=Decimal(10_000) - value)
    Position.objects.update(quantity=value / 100, cost=value)


@pytest.fixture
def balanced(prices: Prices, account: Account, place: Place) -> Account:
    """An account of which half is ACME."""
    prices.series("ACME", [(100, 100, 100, 100)] * 2)
    place()
    hold(account, Decimal("0.5"))
    return account


def test_the_watch_begins_with_the_creation(acme: BarSeries, account: Account, api: Clients) -> None:
    body = {"name": "Half", "target_weights": {"ACME": "0.5"}, "drift_threshold": "0.05"}
    goal = api("trader").post("/api/portfolio/goals", body, format="json").json()
    assert goal["checked_at"]
    assert (goal["total_drift"], goal["breached_since"]) == ("0.5", goal["checked_at"])
    [alert] = api("viewer").get("/api/alerts/history").json()["results"]
    assert (alert["kind"], alert["name"], alert["severity"]) == ("drift", "Half", "warning")
    assert (alert["value"], alert["threshold"]) == ("0.5", "0.05")
    assert alert["message"] == "Paper account has drifted 50 % from goal Half; its threshold is 5 %."


def test_a_goal_in_balance_raises_nothing(balanced: Account) -> None:
    goal_of("0.5")
    assert services.goals_check(at_most_every=timedelta(0)) == {"checked": 1, "over": 0, "unknown": 0}
    assert AlertEvent.objects.count() == 0


def test_a_crossing_is_told_once_until_it_has_recovered(balanced: Account) -> None:
    goal_of("0.5")
    told = []
    for weight in ("0.56", "0.7", "0.549", "0.551", "0.541", "0.56", "0.54", "0.549", "0.551", "0.5", "0.44"):
        hold(balanced, Decimal(weight))
        services.goals_check(at_most_every=timedelta(0))
        told.append(AlertEvent.objects.count())
    # The first crossing, then nothing until 0.54 is back within four fifths of the threshold; 0.44 is too little of it.
    assert told == [1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 3]


@hypothesis_settings(max_examples=30)
@given(totals=st.lists(st.decimals("0", "0.1", places=3), max_size=12))
def test_what_is_stored_between_looks_raises_what_the_engine_would(totals: Sequence[Decimal]) -> None:
    """Each look reads what it remembers from the database alone, as a process that has just started does."""
    with contextlib.suppress(Rollback), transaction.atomic():
        account = services.account_ensure_default(actor=Actor.system("test"))
        goal = Goal.objects.create(
            name="x", account=account, target_weights={"ACME": "0.5"}, drift_threshold=Decimal("0.05")
        )
        GoalWatch.objects.create(goal=goal)
        for total in totals:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(goals, "goal_measure", lambda goal, wall, total=total: Found(total))
                services.goals_check(at_most_every=timedelta(0))
        assert AlertEvent.objects.count() == len(alerts(looks(totals)))
        raise Rollback


class Rollback(Exception):
    """Ends an example without a trace."""


class Found:
    """A measure whose total is given."""

    unpriced = ()

    def __init__(self, total: Decimal) -> None:
        self.measure = self
        self.total = total


def test_a_restart_repeats_no_alert_and_keeps_since_when(balanced: Account, api: Clients) -> None:
    with frozen(NOW):
        goal = goal_of("0.1")
    since = GoalWatch.objects.get().over_since
    for days in (1, 2):
        with frozen(NOW + timedelta(days=days)):
            duties.watch_goals()
    assert AlertEvent.objects.count() == 1
    drift = api("viewer").get(f"/api/portfolio/goals/{goal.pk}/drift").json()
    assert drift["breached_since"] == since.isoformat().replace("+00:00", "Z")
    assert GoalWatch.objects.get().checked_at == NOW + timedelta(days=2)


def test_within_the_band_a_goal_stays_over_until_it_has_recovered(balanced: Account, api: Clients) -> None:
    goal = goal_of("0.5")
    url = f"/api/portfolio/goals/{goal.pk}/drift"

    def breached(weight: str) -> bool:
        hold(balanced, Decimal(weight))
        said = api("viewer").get(url).json()["breached"]
        services.goals_check(at_most_every=timedelta(0))
        assert (GoalWatch.objects.get().over_since is not None) == said, "drift says what monitoring will say"
        return bool(said)

    assert [breached(weight) for weight in ("0.549", "0.551", "0.549", "0.541", "0.54", "0.549")] == [
        False, True, True, True, False, False,
    ]  # fmt: skip
    assert Decimal("0.04") == Decimal("0.05") * RECOVERY


def test_reading_the_drift_writes_nothing_and_tells_nobody(balanced: Account, api: Clients) -> None:
    goal = goal_of("0.5")
    hold(balanced, Decimal("0.9"))
    assert api("viewer").get(f"/api/portfolio/goals/{goal.pk}/drift").json()["breached"]
    assert AlertEvent.objects.count() == 0
    assert GoalWatch.objects.get().over_since is None


@pytest.mark.parametrize(
    ("change", "alerts_then"),
    [
        ({"target_weights": {"ACME": "0.2"}}, 2),
        ({"drift_threshold": "0.06"}, 2),
        ({"drift_threshold": "0.5"}, 1),
        ({"name": "Other"}, 1),
        ({"target_weights": {"ACME": "0.10"}}, 1),
    ],
)
def test_another_question_begins_the_watch_anew(
    balanced: Account, actor: Actor, change: dict[str, Any], alerts_then: int
) -> None:
    goal = goal_of("0.1")
    services.goal_update(actor=Actor.system("test"), goal_id=goal.pk, changes=change)
    assert AlertEvent.objects.count() == alerts_then


def test_a_goal_that_is_off_or_hidden_is_not_watched(balanced: Account) -> None:
    system = Actor.system("test")
    off = goal_of("0.1", enabled=False)
    hidden = goal_of("0.5", name="Hidden")
    services.goal_delete(actor=system, goal_id=hidden.pk)
    hold(balanced, Decimal("0.9"))
    assert services.goals_check(at_most_every=timedelta(0))["checked"] == 0
    services.goal_update(actor=system, goal_id=off.pk, changes={"enabled": True})
    assert AlertEvent.objects.count() == 1
    services.goal_restore(actor=system, goal_id=hidden.pk)
    assert AlertEvent.objects.count() == 2


def test_a_position_without_a_price_is_neither_a_crossing_nor_a_recovery(balanced: Account) -> None:
    goal_of("0.5")
    hold(balanced, Decimal("0.9"))
    Position.objects.update(source="gone")
    assert services.goals_check(at_most_every=timedelta(0)) == {"checked": 1, "over": 0, "unknown": 1}
    assert GoalWatch.objects.get().total_drift is None
    Position.objects.update(source="prices-historical")
    services.goals_check(at_most_every=timedelta(0))
    Position.objects.update(source="gone", quantity=0)
    Account.objects.update(cash=0)
    assert services.goals_check(at_most_every=timedelta(0)) == {"checked": 1, "over": 1, "unknown": 1}
    assert AlertEvent.objects.count() == 1


def test_the_desk_watches_by_itself_and_at_its_own_pace(balanced: Account) -> None:
    assert background._duties["portfolio.goals"].run is duties.watch_goals
    now = utcnow()
    with frozen(now):
        goal_of("0.5")
    hold(balanced, Decimal("0.9"))
    with frozen(now + goals.CHECK_EVERY - timedelta(seconds=1)):
        duties.watch_goals()
        assert AlertEvent.objects.count() == 0, "another process has just looked"
    with frozen(now + goals.CHECK_EVERY):
        duties.watch_goals()
        assert AlertEvent.objects.count() == 1


def test_an_operator_can_have_it_looked_at_when_the_clock_says(balanced: Account) -> None:
    goal_of("0.5")
    hold(balanced, Decimal("0.9"))
    job = job_types.get("portfolio.check_drift")()
    assert job.run(actor=Actor.system("test"), config={}) == {"checked": 1, "over": 1, "unknown": 0}
    assert AlertEvent.objects.count() == 1


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
class TestManyWatchmen:
    """Eight processes look at one goal that has just crossed its threshold."""

    def look(self, monkeypatch: pytest.MonkeyPatch) -> int:
        account = services.account_ensure_default(actor=Actor.system("test"))
        with frozen(NOW):
            Account.objects.filter(pk=account.pk).update(cash=10_000)
            Prices().series("ACME", [(100, 101, 99, 100)])
            goal = goal_of("0.5", enabled=False)
            Goal.objects.filter(pk=goal.pk).update(enabled=True)
        start = threading.Barrier(8)
        measured = goals.goal_measure

        def slow(*args: Any, **kwargs: Any) -> Any:
            found = measured(*args, **kwargs)
            threading.Event().wait(0.3)
            return found

        monkeypatch.setattr(goals, "goal_measure", slow)

        def work() -> None:
            try:
                start.wait(10)
                # Each at a moment of its own, as clocks are: the id of the alert cannot save a second one.
                with frozen(NOW + timedelta(minutes=1, microseconds=threading.get_ident() % 1_000_000)):
                    services.goals_check(at_most_every=timedelta(0))
            finally:
                connections.close_all()

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        return AlertEvent.objects.count()

    def test_one_alert_is_raised(self, data_dir: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        assert self.look(monkeypatch) == 1

    def test_control_without_the_lock_many_are(self, data_dir: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(type(GoalWatch.objects.all()), "select_for_update", lambda self, **_: self)
        assert self.look(monkeypatch) > 1
