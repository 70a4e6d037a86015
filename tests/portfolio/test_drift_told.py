"""A goal's own watch and a rule on the same goal: a crossing is told by one of them, and never by neither."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from portfolio import services
from portfolio.models import Account, Goal
from safety.alerting.rounds import evaluate
from safety.models import AlertEvent, AlertRule, AlertState
from safety.services import alert_rule_create, alert_rule_delete, alert_rule_snooze, alert_rule_switch
from tests.portfolio.test_monitoring import balanced, goal_of, hold
from tests.support.webhooks import maker
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow

pytestmark = pytest.mark.django_db
__all__ = ["balanced"]


@pytest.fixture
def goal(balanced: Account) -> Goal:
    return goal_of("0.5")


def rule_on(goal: Goal, actor: Actor, **fields: Any) -> AlertRule:
    said = {"name": "rule", "kind": "drift", "threshold": "0.05", "config": {"goal_id": str(goal.pk)}, **fields}
    return alert_rule_create(actor=actor, **said)


def crossed(goal: Goal, *, rule_first: bool) -> list[str]:
    """Let the goal drift over its threshold, have both look, and return who told it."""
    hold(goal.account, Decimal("0.6"))
    looks = [lambda: evaluate(), lambda: services.goals_check(at_most_every=timedelta(0))]
    for look in looks if rule_first else reversed(looks):
        look()
    evaluate()
    return list(AlertEvent.objects.order_by("triggered_at", "id").values_list("name", flat=True))


def within(goal: Goal) -> None:
    hold(goal.account, Decimal("0.5"))
    evaluate()
    services.goals_check(at_most_every=timedelta(0))


@pytest.mark.parametrize("rule_first", [True, False])
@pytest.mark.parametrize("looked_before", [True, False])
def test_a_crossing_is_told_by_the_rule_whoever_looks_first(
    goal: Goal, actor: Actor, rule_first: bool, looked_before: bool
) -> None:
    rule_on(goal, actor)
    if looked_before:
        within(goal)
    assert crossed(goal, rule_first=rule_first) == ["rule"]
    assert services.goals_check(at_most_every=timedelta(0))["over"] == 1, "the goal knows of it all the same"


@pytest.mark.parametrize("rule_first", [True, False])
def test_each_crossing_is_told_once(goal: Goal, actor: Actor, rule_first: bool) -> None:
    rule_on(goal, actor)
    for times in (1, 2, 3):
        within(goal)
        assert crossed(goal, rule_first=rule_first) == ["rule"] * times


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"threshold": "0.04"}, "a lower threshold is another question"),
        ({"symbol": "ACME"}, "so is one symbol"),
    ],
)
def test_a_rule_that_asks_something_else_tells_beside_the_goal(
    goal: Goal, actor: Actor, fields: dict[str, Any], why: str
) -> None:
    rule_on(goal, actor, **fields)
    within(goal)
    assert sorted(crossed(goal, rule_first=True)) == ["Half", "rule"], why


def test_the_goal_tells_where_the_rule_does_not(goal: Goal, actor: Actor) -> None:
    rule = rule_on(goal, actor)
    within(goal)
    alert_rule_snooze(actor=actor, rule_id=rule.pk, until=utcnow() + timedelta(hours=1))
    assert crossed(goal, rule_first=True) == ["Half"]
    alert_rule_snooze(actor=actor, rule_id=rule.pk, until=None)
    within(goal)
    alert_rule_switch(actor=actor, rule_id=rule.pk, enabled=False)
    assert crossed(goal, rule_first=True) == ["Half"] * 2
    within(goal)
    alert_rule_delete(actor=actor, rule_id=rule.pk)
    assert crossed(goal, rule_first=True) == ["Half"] * 3


@pytest.mark.parametrize("rule_first", [True, False])
def test_the_goal_tells_while_the_rule_cools_down(goal: Goal, actor: Actor, rule_first: bool) -> None:
    rule_on(goal, actor, cooldown_s=3600)
    within(goal)
    assert crossed(goal, rule_first=rule_first) == ["rule"]
    within(goal)
    assert crossed(goal, rule_first=rule_first) == ["rule", "Half"]


def test_the_goal_tells_where_the_rule_cannot_be_evaluated_or_was_met_all_the_while(goal: Goal, actor: Actor) -> None:
    rule = rule_on(goal, actor)
    within(goal)
    AlertState.objects.filter(rule=rule).update(problem="NOT_VALUED")
    hold(goal.account, Decimal("0.6"))
    services.goals_check(at_most_every=timedelta(0))
    assert AlertEvent.objects.get().name == "Half"
    within(goal)
    AlertState.objects.filter(rule=rule).update(met=True, problem="")
    assert crossed(goal, rule_first=True) == ["Half"] * 2


def test_a_webhook_that_listens_is_not_left_out(goal: Goal, actor: Actor, settings: Any) -> None:
    settings.OUTBOUND_ALLOWED = ["127.0.0.1"]
    maker(actor)("http://127.0.0.1:9/", event_types=["alert.triggered"])
    rule = rule_on(goal, actor)
    within(goal)
    assert sorted(crossed(goal, rule_first=True)) == ["Half", "rule"], "the rule tells no webhook"
    alert_rule_delete(actor=actor, rule_id=rule.pk)
    rule_on(goal, actor, name="loud", channels=["in_app", "webhook"])
    within(goal)
    AlertEvent.objects.all().delete()
    assert crossed(goal, rule_first=True) == ["loud"]
