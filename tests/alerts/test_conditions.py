"""What each kind of rule fires on, when it does not, and what it says when it cannot know."""

from datetime import timedelta
from decimal import Decimal

import pytest

from market.models import Instrument
from safety import services
from safety.alerting.rounds import evaluate
from safety.models import AlertEvent, AlertRule, AlertState
from tests.alerts.conftest import Watchman
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow

pytestmark = pytest.mark.django_db


def test_a_price_above_its_threshold_is_told_when_it_gets_there_and_not_while_it_stays(watch: Watchman) -> None:
    rule = watch.rule(threshold="100")
    watch.look(99, 100, 101, 105, 110)
    assert watch.raised() == ["ACME is at 101, above 100."]
    event = AlertEvent.objects.get()
    assert (event.alert_id, event.value, event.threshold) == (rule.pk, Decimal(101), Decimal(100))
    assert (event.kind, event.severity, event.symbol, event.name) == ("price_above", "warning", "ACME", rule.name)


def test_a_price_that_comes_back_is_told_again(watch: Watchman) -> None:
    watch.rule(threshold="100")
    watch.look(101, 99, 102, 98, 98)
    assert watch.raised() == ["ACME is at 101, above 100.", "ACME is at 102, above 100."]


def test_a_level_that_holds_already_is_told_at_the_first_look(watch: Watchman) -> None:
    watch.rule("price_below", threshold="100")
    watch.look()
    watch.look()
    assert watch.raised() == ["ACME is at 90, below 100."]


def test_a_crossing_needs_a_side_to_come_from_and_is_told_in_both_directions(watch: Watchman) -> None:
    watch.rule("price_crosses", threshold="100")
    watch.look()
    assert watch.raised() == []
    watch.look(101, 102, 99)
    assert watch.raised() == ["ACME went above 100: it is at 101.", "ACME went below 100: it is at 99."]


def test_reaching_the_line_is_no_crossing_and_leaving_it_to_the_old_side_is_none(watch: Watchman) -> None:
    watch.rule("price_crosses", threshold="100")
    watch.look(99, 100, 99, 100)
    assert watch.raised() == []
    watch.look(101)
    assert watch.raised() == ["ACME went above 100: it is at 101."]


@pytest.mark.parametrize(("direction", "count"), [("up", 1), ("down", 1), ("both", 2)])
def test_a_crossing_may_be_asked_for_in_one_direction(watch: Watchman, direction: str, count: int) -> None:
    watch.rule("price_crosses", config={"direction": direction})
    watch.look(99, 101, 99)
    assert len(watch.raised()) == count


@pytest.mark.parametrize(
    ("direction", "closes", "told"),
    [
        ("both", (100, 105), ["ACME moved 5.00 % in 1 1d bar, from 100 to 105."]),
        ("both", (100, 95), ["ACME moved -5.00 % in 1 1d bar, from 100 to 95."]),
        ("up", (100, 95), []),
        ("down", (100, 106), []),
        ("both", (100, 104.9), []),
    ],
)
def test_a_move_is_told_from_the_percentage_on_in_the_direction_asked_for(
    watch: Watchman, direction: str, closes: tuple[float, ...], told: list[str]
) -> None:
    watch.close(100)
    rule = watch.rule("percent_move", threshold="5", config={"direction": direction})
    watch.look(*closes)
    assert watch.raised(rule) == told


def test_a_move_may_be_held_against_an_earlier_close(watch: Watchman) -> None:
    watch.close(100, 101, 102)
    watch.rule("percent_move", threshold="5", config={"bars": 3})
    watch.look(105)
    assert watch.raised() == ["ACME moved 5.00 % in 3 1d bars, from 100 to 105."]


def test_an_indicator_is_held_against_a_threshold(watch: Watchman) -> None:
    watch.close(100, 100)
    rule = watch.rule(
        "indicator", threshold="103", config={"indicator": "sma", "params": {"period": 2}, "operator": "above"}
    )
    watch.look()
    assert watch.state(rule).met is False
    watch.look(110)
    assert watch.raised() == ["sma(2, close) of ACME, 105, is above 103."]


def test_a_price_crosses_its_average(watch: Watchman) -> None:
    watch.close(100, 100)
    watch.rule(
        "indicator",
        threshold=None,
        config={
            "indicator": "price",
            "operator": "crosses_above",
            "against": {"indicator": "sma", "params": {"period": 2}},
        },
    )
    watch.look(98, 104, 90, 89)
    assert watch.raised() == ["price of ACME, 104, crossed above sma(2, close) (101)."]


def test_an_expression_is_told_when_it_comes_to_hold(watch: Watchman) -> None:
    watch.close(100)
    watch.rule(
        "expression",
        threshold=None,
        config={"expression": "price > 100 and change_percent >= 2"},
    )
    watch.look(100.5, 101, 104, 105)
    (message,) = watch.raised()
    assert message.startswith("price > 100 and change_percent >= 2: change_percent 2.97")


# ---------------------------------------------------------------------------------------------------- missing data


def test_a_rule_without_data_says_so_and_is_not_quietly_false(watch: Watchman) -> None:
    Instrument.objects.create(symbol="VOID", exchange="24/7")
    rule = watch.rule(symbol="VOID")
    result = watch.look()
    state = watch.state(rule)
    assert (state.met, state.problem) == (None, "SERIES_UNKNOWN")
    assert "VOID has no series" in state.detail
    assert (result.unknown, result.triggered) == (1, 0)


def test_too_few_bars_are_named(watch: Watchman) -> None:
    rule = watch.rule(
        "indicator", threshold="1", config={"indicator": "sma", "params": {"period": 50}, "operator": "above"}
    )
    watch.look()
    assert watch.state(rule).problem == "TOO_FEW_BARS"
    assert "1 complete bars; 50 are needed" in watch.state(rule).detail


def test_a_crossing_that_happens_while_data_is_missing_is_told_when_it_is_back(watch: Watchman) -> None:
    rule = watch.rule(threshold="100")
    watch.look(99)
    Instrument.objects.update(symbol="GONE")
    evaluate(now=watch.now + timedelta(minutes=1))
    assert (watch.state(rule).met, watch.state(rule).problem) == (False, "SERIES_UNKNOWN")
    Instrument.objects.update(symbol="ACME")
    watch.look(101)
    assert (watch.state(rule).met, watch.state(rule).problem) == (True, "")
    assert len(watch.raised()) == 1


def test_what_was_told_before_data_went_missing_is_not_told_again_after(watch: Watchman) -> None:
    rule = watch.rule(threshold="100")
    watch.look(101)
    Instrument.objects.update(symbol="GONE")
    evaluate(now=watch.now + timedelta(minutes=1))
    Instrument.objects.update(symbol="ACME")
    watch.look(102)
    assert (watch.state(rule).met, watch.state(rule).problem) == (True, "")
    assert len(watch.raised()) == 1


def test_a_price_may_be_too_old_to_be_a_basis(watch: Watchman) -> None:
    rule = watch.rule(config={"max_age_s": 3600})
    watch.close(101)
    evaluate(now=watch.now + timedelta(hours=2))
    assert (watch.state(rule).met, watch.state(rule).problem) == (None, "DATA_STALE")
    assert "7200 s old; the rule takes 3600 s" in watch.state(rule).detail
    assert watch.raised() == []


def test_stale_data_is_told_once_and_again_after_it_was_fresh(watch: Watchman) -> None:
    watch.rule("data_stale", threshold=None, config={"max_age_s": 3600})
    for minutes in (0, 59, 61, 120, 600):
        evaluate(now=watch.now + timedelta(minutes=minutes))
    assert len(watch.raised()) == 1
    assert "3660 s of open market ago" in watch.raised()[0]
    watch.look(91)
    evaluate(now=watch.now + timedelta(minutes=61))
    assert len(watch.raised()) == 2


def test_no_data_at_all_is_stale(watch: Watchman) -> None:
    Instrument.objects.create(symbol="VOID", exchange="24/7")
    watch.rule("data_stale", symbol="VOID", threshold=None, config={"max_age_s": 60})
    watch.look()
    evaluate(now=watch.now + timedelta(hours=1))
    (message,) = watch.raised()
    assert message.startswith("There is no price of VOID")


def test_the_time_in_which_the_exchange_is_shut_makes_no_data_stale(watch: Watchman) -> None:
    """2026-01-02 is a Friday: New York opens again on Monday at 14:30 UTC."""
    Instrument.objects.filter(symbol="ACME").update(exchange="XNYS")
    watch.close(91)
    rule = watch.rule("data_stale", threshold=None, config={"max_age_s": 1800})
    friday_evening, monday = watch.now, watch.now.replace(day=5, hour=14, minute=55)
    evaluate(now=friday_evening)
    assert watch.state(rule).met is False
    evaluate(now=monday)
    assert watch.state(rule).met is False
    evaluate(now=monday + timedelta(minutes=10))
    assert watch.state(rule).met is True


def test_nothing_grows_stale_in_a_market_that_stands_still_and_the_rule_says_so(watch: Watchman) -> None:
    watch.prices.series("OLD", [(1, 1, 1, 1), (2, 2, 2, 2)], clock="historical")
    rule = watch.rule("data_stale", symbol="OLD", threshold=None, config={"max_age_s": 60})
    watch.look()
    assert watch.state(rule).problem == "HISTORICAL_SOURCE"


def test_a_division_by_zero_is_unknown(watch: Watchman) -> None:
    rule = watch.rule("expression", threshold=None, config={"expression": "1 / (price - 90) > 1"})
    watch.look()
    assert (watch.state(rule).met, watch.state(rule).problem) == (None, "NOT_COMPUTABLE")


def test_a_rule_that_cannot_be_read_stops_no_other(watch: Watchman) -> None:
    broken, sound = watch.rule(name="broken"), watch.rule(name="sound")
    AlertRule.objects.filter(pk=broken.pk).update(config={}, version=2)
    watch.look(101)
    assert watch.state(broken).problem == "RULE_UNREADABLE"
    assert len(watch.raised(sound)) == 1


# ------------------------------------------------------------------------------------------- cool-down, snooze, changes


def test_a_cool_down_holds_back_and_counts(watch: Watchman) -> None:
    rule = watch.rule(cooldown_s=3 * 86_400)
    watch.look(101, 99, 102, 99, 103)
    assert watch.raised() == ["ACME is at 101, above 100.", "ACME is at 103, above 100."]
    state = watch.state(rule)
    assert (state.triggered_count, state.suppressed_count) == (2, 1)


def test_a_snoozed_rule_is_looked_at_and_raises_nothing(watch: Watchman, frozen_clock: object) -> None:
    rule = watch.rule()
    services.alert_rule_snooze(actor=watch.actor, rule_id=rule.pk, until=utcnow() + timedelta(days=300))
    watch.look(99, 101, 99)
    assert watch.raised() == []
    assert watch.state(rule).suppressed_count == 1
    services.alert_rule_snooze(actor=watch.actor, rule_id=rule.pk, until=None)
    watch.look(101)
    assert len(watch.raised()) == 1


def test_a_disabled_rule_is_not_looked_at_and_starts_anew(watch: Watchman) -> None:
    rule = watch.rule("price_crosses")
    watch.look(99)
    services.alert_rule_switch(actor=watch.actor, rule_id=rule.pk, enabled=False)
    assert watch.look().rules == 0
    watch.close(101)
    services.alert_rule_switch(actor=watch.actor, rule_id=rule.pk, enabled=True)
    watch.look()
    assert watch.raised() == []
    assert watch.state(rule).met is True


def test_a_changed_threshold_starts_anew_and_a_changed_name_does_not(watch: Watchman) -> None:
    rule = watch.rule()
    watch.look(101)
    services.alert_rule_update(actor=watch.actor, rule_id=rule.pk, changes={"name": "Renamed", "severity": "critical"})
    watch.look(102)
    assert len(watch.raised()) == 1
    services.alert_rule_update(actor=watch.actor, rule_id=rule.pk, changes={"threshold": "101"})
    watch.look()
    assert watch.raised()[1:] == ["ACME is at 102, above 101."]
    assert AlertEvent.objects.order_by("id").last().name == "Renamed"  # type: ignore[union-attr]


def test_a_round_writes_only_what_changed(watch: Watchman) -> None:
    for index in range(5):
        watch.rule(threshold=str(100 + index))
    watch.look()
    before = list(AlertState.objects.order_by("rule_id").values_list("rule_id", "revision", "since"))
    again = evaluate(now=watch.now + timedelta(seconds=2))
    assert (again.rules, again.changed) == (5, 0)
    assert list(AlertState.objects.order_by("rule_id").values_list("rule_id", "revision", "since")) == before
    watch.close(102.5)
    assert watch.look().changed == 3


def test_a_deleted_rule_raises_nothing(watch: Watchman, operator_actor: Actor) -> None:
    rule = watch.rule()
    services.alert_rule_delete(actor=operator_actor, rule_id=rule.pk)
    watch.look(101)
    assert watch.raised() == []
