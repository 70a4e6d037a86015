"""Rules that wait for something to happen: each occurrence once, none from before the rule, none lost in a restart."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar

import pytest

from executions.alert_sources import Decisions, FailedRuns
from executions.models import WorkflowExecution
from market.models import BarSeries
from portfolio import services as portfolio
from portfolio.models import Account, Position
from safety import services
from safety.alerting import rounds
from safety.alerting.contracts import fact_sources, occurrence_sources
from safety.alerting.observations import Occurrence
from safety.models import AlertCursor, AlertEvent, AlertRound, AlertSighting
from tests.alerts.conftest import Watchman
from tests.portfolio.conftest import Prices
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow
from tradingsite.common.ids import uuid7
from workflows.models import Strategy

pytestmark = pytest.mark.django_db


class Trial:
    """Says what a test says has happened, in the place of failed runs."""

    slug: ClassVar[str] = "execution_failed"

    def __init__(self) -> None:
        self.happened: list[Occurrence] = []
        self.asked: list[tuple[datetime, datetime]] = []

    def between(self, since: datetime, until: datetime) -> Sequence[Occurrence]:
        self.asked.append((since, until))
        return [one for one in self.happened if since <= one.at < until]

    def happens(self, key: str, at: datetime, **facts: str) -> None:
        self.happened.append(Occurrence(key, at, f"{key} failed", facts=facts))


@pytest.fixture
def trial() -> Iterator[Trial]:
    source = Trial()
    kept = occurrence_sources._items.pop("execution_failed")
    try:
        with occurrence_sources.temporarily(source):
            yield source
    finally:
        occurrence_sources._items["execution_failed"] = kept


def listener(watch: Watchman, kind: str = "execution_failed", **fields: Any) -> Any:
    return watch.rule(kind, **{"symbol": "", "threshold": None, **fields})


def test_what_happens_is_told_once_however_often_it_is_looked_at(watch: Watchman, trial: Trial) -> None:
    rule = listener(watch)
    now = utcnow()
    trial.happens("one", now)
    for seconds in (1, 2, 60, 200):
        rounds.evaluate(now=now + timedelta(seconds=seconds))
    assert watch.raised(rule) == ["one failed"]
    state = watch.state(rule)
    assert (state.triggered_count, state.suppressed_count) == (1, 0)


def test_several_of_one_round_are_each_told(watch: Watchman, trial: Trial) -> None:
    rule = listener(watch)
    now = utcnow()
    for number in range(5):
        trial.happens(f"run {number}", now + timedelta(milliseconds=number))
    rounds.evaluate(now=now + timedelta(seconds=1))
    assert watch.raised(rule) == [f"run {number} failed" for number in range(5)]


def test_what_a_cool_down_holds_back_is_held_back_for_good(watch: Watchman, trial: Trial) -> None:
    rule = listener(watch, cooldown_s=60)
    now = utcnow()
    trial.happens("one", now)
    trial.happens("two", now + timedelta(seconds=1))
    for seconds in (2, 30, 100):
        rounds.evaluate(now=now + timedelta(seconds=seconds))
    assert watch.raised(rule) == ["one failed"]
    assert watch.state(rule).suppressed_count == 1
    assert AlertSighting.objects.count() == 2


def test_nothing_from_before_the_rule_is_told(watch: Watchman, trial: Trial) -> None:
    now = utcnow()
    trial.happens("old", now - timedelta(seconds=5))
    rule = listener(watch)
    rounds.evaluate(now=now + timedelta(seconds=5))
    assert watch.raised(rule) == []


def test_what_happened_while_no_evaluator_ran_is_told_when_one_runs_again(watch: Watchman, trial: Trial) -> None:
    rule = listener(watch)
    now = utcnow()
    rounds.evaluate(now=now)
    trial.happens("in the night", now + timedelta(hours=3))
    rounds.evaluate(now=now + timedelta(hours=9))
    assert watch.raised(rule) == ["in the night failed"]


def test_a_row_that_was_stamped_before_a_look_and_committed_after_it_is_told(watch: Watchman, trial: Trial) -> None:
    rule = listener(watch)
    now = utcnow()
    rounds.evaluate(now=now + timedelta(seconds=10))
    trial.happens("late", now + timedelta(seconds=9))
    rounds.evaluate(now=now + timedelta(seconds=12))
    assert watch.raised(rule) == ["late failed"]


def test_a_rule_hears_only_what_it_asks_for(watch: Watchman, trial: Trial) -> None:
    mine, other = str(Strategy.objects.create(name="Mine").pk), str(uuid7())
    rule = listener(watch, config={"strategy_id": mine})
    now = utcnow()
    trial.happens("other", now, strategy_id=other, workflow_id=other)
    trial.happens("mine", now, strategy_id=mine, workflow_id=other)
    rounds.evaluate(now=now + timedelta(seconds=1))
    assert watch.raised(rule) == ["mine failed"]


def test_a_rule_for_which_nobody_tells_anything_says_so_until_somebody_does(watch: Watchman, trial: Trial) -> None:
    rule = listener(watch)
    now = utcnow()
    del occurrence_sources._items["execution_failed"]
    rounds.evaluate(now=now)
    assert watch.state(rule).problem == "NO_SOURCE"
    occurrence_sources._items["execution_failed"] = trial
    rounds.evaluate(now=now + timedelta(seconds=2))
    assert watch.state(rule).problem == ""


def test_without_rules_nothing_is_read_and_nothing_written(watch: Watchman, trial: Trial) -> None:
    rounds.evaluate(now=utcnow())
    assert rounds.evaluate_if_due(every_s=1) is None
    assert (trial.asked, AlertCursor.objects.exists(), AlertRound.objects.exists()) == ([], False, False)


def test_the_cursor_is_written_once_a_minute_and_each_look_goes_back_behind_it(watch: Watchman, trial: Trial) -> None:
    listener(watch)
    now = utcnow()
    for seconds in (0, 2, 59, 61):
        rounds.evaluate(now=now + timedelta(seconds=seconds))
    assert AlertCursor.objects.get(kind="execution_failed").until == now + timedelta(seconds=61)
    assert [since for since, _ in trial.asked] == [now - rounds.OVERLAP] * 4


def test_a_kill_and_a_resume_are_told_to_the_rules_that_ask(watch: Watchman, operator_actor: Actor) -> None:
    both = listener(watch, "kill_switch")
    kills = listener(watch, "kill_switch", config={"on": ["killed"], "scope": "all"})
    services.kill(actor=operator_actor, reason="prices look wrong")
    services.resume(actor=operator_actor, reason="they were right")
    rounds.evaluate(now=utcnow() + timedelta(seconds=1))
    assert watch.raised(kills) == ["operator stopped everything: prices look wrong"]
    assert len(watch.raised(both)) == 2


def _run(**fields: Any) -> WorkflowExecution:
    strategy = Strategy.objects.first() or Strategy.objects.create(name="Trend", strategy_type="sma_crossover")
    said = {"strategy": strategy, "task_id": str(uuid7()), "status": "completed", "completed_at": utcnow(), **fields}
    return WorkflowExecution.objects.create(**said)


def test_a_run_that_failed_is_told(watch: Watchman) -> None:
    rule = listener(watch)
    _run()
    failed = _run(status="failed", error_code="STEP_TIMED_OUT", error_message="too slow")
    rounds.evaluate(now=utcnow() + timedelta(seconds=1))
    assert watch.raised(rule) == [f"Run {failed.pk} of Trend failed: STEP_TIMED_OUT too slow"]


def test_a_retried_run_that_fails_again_has_failed_twice() -> None:
    since = utcnow() - timedelta(minutes=1)
    run = _run(status="failed")
    run.earlier_tasks.create(task_id=str(uuid7()), status="FAILURE", completed_at=utcnow())
    run.earlier_tasks.create(task_id=str(uuid7()), status="REVOKED", completed_at=utcnow())
    found = FailedRuns().between(since, utcnow() + timedelta(seconds=1))
    assert len({one.key for one in found}) == len(found) == 2


def test_decisions_are_told_by_action_confidence_and_symbol(watch: Watchman) -> None:
    sells = listener(watch, "agent_decision", config={"actions": ["SELL"], "min_confidence": "0.8"})
    acme = listener(watch, "agent_decision", symbol="ACME")
    decisions = [
        {"symbol": "ACME", "action": "BUY", "confidence": 0.4, "reason": "it rises"},
        {"symbol": "BETA", "action": "SELL", "confidence": 0.9, "reason": "it falls"},
        {"symbol": "BETA", "action": "SELL", "confidence": 0.5, "reason": "perhaps"},
        {"symbol": "ACME", "action": "HOLD", "confidence": 1, "reason": "wait"},
        {"symbol": "ACME", "action": "SELL", "confidence": None},
        "nonsense",
    ]
    _run(decisions_made=len(decisions), results={"decisions": decisions})
    rounds.evaluate(now=utcnow() + timedelta(seconds=1))
    assert watch.raised(sells) == ["SELL BETA: it falls"]
    assert watch.raised(acme) == ["BUY ACME: it rises", "SELL ACME: no reason was given"]
    assert AlertEvent.objects.get(alert_id=sells.pk).value == Decimal("0.9")


def test_a_number_that_is_none_is_no_confidence() -> None:
    since = utcnow() - timedelta(minutes=1)
    decisions = [{"symbol": "A", "action": "BUY", "confidence": value} for value in (float("inf"), "many", True, [])]
    _run(decisions_made=4, results={"decisions": [*decisions[1:], {**decisions[0], "confidence": 10**40}]})
    found = Decisions().between(since, utcnow() + timedelta(seconds=1))
    assert [one.facts["confidence"] for one in found] == ["0"] * 4


# ------------------------------------------------------------------------------------------- figures of the account


@pytest.fixture
def holding(watch: Watchman, prices: Prices, acme_of_account: BarSeries) -> Account:
    """An account of 10,000, of which half is ACME at 100."""
    account = portfolio.account_ensure_default(actor=Actor.system("test"))
    Account.objects.update(starting_cash=Decimal(10_000), cash=Decimal(5_000))
    account.refresh_from_db()
    Position.objects.create(
        account=account,
        instrument=acme_of_account.instrument,
        quantity=Decimal(50),
        cost=Decimal(5_000),
        average_price=Decimal(100),
        source=acme_of_account.source.slug,
        timeframe="1d",
        adjustment="none",
    )
    return account


@pytest.fixture
def acme_of_account(watch: Watchman) -> BarSeries:
    watch.close(100)
    return BarSeries.objects.select_related("instrument", "source").get(instrument__symbol="ACME")


def test_a_drawdown_is_told_from_the_highest_equity_on(watch: Watchman, holding: Account) -> None:
    services.breaker_sample(account_id=holding.pk, equity=Decimal(12_500), day_pnl=Decimal(0), at=watch.now)
    rule = watch.rule("drawdown", symbol="", threshold="0.3")
    watch.look()
    assert (watch.state(rule).met, watch.state(rule).value) == (False, Decimal("0.2"))
    watch.look(70)
    assert watch.raised(rule) == ["The account is 32.00 % below its highest equity."]
    assert AlertEvent.objects.get(alert_id=rule.pk).value == Decimal("0.32")


@pytest.mark.parametrize(
    ("unit", "threshold", "text"),
    [("money", "500", "The account has lost 500 today."), ("fraction", "0.05", "The account has lost 5.00 % today.")],
)
def test_a_days_loss_is_told_in_money_or_as_a_fraction(
    watch: Watchman, holding: Account, unit: str, threshold: str, text: str
) -> None:
    rule = watch.rule(
        "daily_loss", symbol="", threshold=threshold, config={"account_id": str(holding.pk), "unit": unit}
    )
    watch.look(91)
    assert watch.raised(rule) == []
    watch.look(90)
    assert watch.raised(rule) == [text]


def test_an_account_with_a_position_without_a_price_is_unknown_and_not_safe(watch: Watchman, holding: Account) -> None:
    rule = watch.rule("daily_loss", symbol="", threshold="1")
    Position.objects.update(source="gone")
    watch.look()
    assert watch.state(rule).problem == "NOT_VALUED"
    lost = watch.rule("drawdown", symbol="", threshold="0.1", config={"account_id": str(uuid7())})
    watch.look()
    assert watch.state(lost).problem == "ACCOUNT_UNKNOWN"


def test_a_goals_drift_is_told_in_all_and_of_one_symbol(watch: Watchman, holding: Account) -> None:
    goal = portfolio.goal_create(
        actor=Actor.system("test"), name="Half", target_weights={"ACME": "0.5"}, drift_threshold="0.9"
    )
    whole = watch.rule("drift", symbol="", threshold="0.1", config={"goal_id": str(goal.pk)})
    part = watch.rule("drift", threshold="0.2", config={"goal_id": str(goal.pk)})
    gone = watch.rule("drift", symbol="", threshold="0.1", config={"goal_id": str(uuid7())})
    watch.look()
    assert (watch.state(whole).met, watch.state(gone).problem) == (False, "GOAL_UNKNOWN")
    watch.look(150)
    assert watch.raised(whole) == ["The goal drifts by 10.00 %."]
    watch.look(300)
    assert watch.raised(part) == ["ACME in the goal drifts by 25.00 %."]


def test_an_expression_may_name_figures_of_an_account(watch: Watchman, holding: Account) -> None:
    watch.rule("expression", threshold=None, config={"expression": "price < 95 and daily_loss_fraction >= 0.05"})
    watch.look(94, 90)
    (message,) = watch.raised()
    assert message == "price < 95 and daily_loss_fraction >= 0.05: daily_loss_fraction 0.05, price 90."


def test_figures_that_nobody_tells_are_named(watch: Watchman) -> None:
    kept = fact_sources._items.pop("account")
    try:
        rule = watch.rule("drawdown", symbol="", threshold="0.1")
        watch.look()
        assert watch.state(rule).problem == "NO_SOURCE"
    finally:
        fact_sources._items["account"] = kept
