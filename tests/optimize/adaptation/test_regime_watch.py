"""Regimes are told of each bar once and never anew, and a change is told and begins a round exactly once."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from optimize.adaptation import looking, regime_watch
from optimize.adaptation.models import AdaptationRound, LiveAdaptation
from optimize.adaptation.watch_selectors import changes_of, regime_now, regimes_of
from optimize.tasks import look_at_bars
from safety import services as safety
from tests.optimize.adaptation.conftest import SPACE, Desk
from tests.optimize.adaptation.watching import CALM, REGIME, WILD, Market, called, looked, points, regimes, turning
from tests.portfolio.conftest import Prices
from tradingsite.common.actor import Actor
from tradingsite.common.clock import parse_rfc3339, rfc3339
from workflows.services import strategy_create

pytestmark = pytest.mark.django_db

START, DWELL = 220, 4
Start = Callable[..., LiveAdaptation]


@pytest.fixture
def market(prices: Prices, desk: Desk) -> Market:
    """ACME is calm until shortly after bar 220, then wild for 60 bars, then calm again."""
    made = Market(prices, turning([(230, CALM), (60, WILD), (120, CALM)]))
    made.until(START)
    return made


@pytest.fixture
def start(desk: Desk, market: Market) -> Start:
    """Return a factory of adaptations that have looked at what there is."""

    def make(**changes: Any) -> LiveAdaptation:
        adaptation = desk.start(**{"regime": REGIME, **changes})
        assert looked() == 1
        return adaptation

    return make


def go_on(market: Market, *counts: int) -> None:
    for count in counts:
        market.until(count)
        assert looked() == 1


def test_at_the_start_the_trailing_window_is_told_without_a_word(start: Start, desk: Desk) -> None:
    adaptation = start()
    assert len(points(adaptation)) == adaptation.trailing_window == 160
    assert points(adaptation)[-1][0] == regime_now(adaptation).bar_time  # type: ignore[union-attr]
    assert set(regimes(adaptation)) <= {"calm", "normal", "turbulent"}
    assert (desk.told("regime_change"), AdaptationRound.objects.count()) == ([], 0)


def test_a_confirmed_change_is_kept_told_and_begins_a_round(start: Start, market: Market, desk: Desk) -> None:
    adaptation = start()
    count = START
    while not desk.told("regime_change"):
        count += 1
        go_on(market, count)
    (told,) = desk.told("regime_change")
    assert count < 245
    newest = regimes_of(adaptation, limit=1)[0]
    assert newest.changed_from
    assert newest.label != newest.changed_from
    assert told == {
        "strategy_id": str(adaptation.strategy_id),
        "regime_type": "volatility",
        "value": newest.label,
        "before": newest.changed_from,
        "measure": newest.value,
        "symbol": "ACME",
        "bar_time": rfc3339(newest.bar_time),
        "adaptation_id": str(adaptation.pk),
        "triggered": True,
        "code": None,
        "reason": None,
    }
    row = AdaptationRound.objects.get(adaptation=adaptation)
    assert (row.trigger, row.bar_time) == ("regime_change", newest.bar_time)


def test_within_the_cool_down_a_change_is_told_and_begins_nothing(start: Start, market: Market, desk: Desk) -> None:
    adaptation = start(regime={**REGIME, "cooldown_bars": 100})
    desk.round(adaptation)
    go_on(market, *range(START + 1, START + 20))
    told = desk.told("regime_change")
    assert told
    assert {(each["triggered"], each["code"]) for each in told} == {(False, "COOLDOWN")}
    passed = int(told[0]["reason"].split()[0])
    began = AdaptationRound.objects.get().bar_time
    assert began is not None
    assert passed == (parse_rfc3339(told[0]["bar_time"]) - began).days
    assert AdaptationRound.objects.count() == 1


def test_after_the_cool_down_the_next_change_begins_a_round(start: Start, market: Market, desk: Desk) -> None:
    adaptation = start(regime={**REGIME, "cooldown_bars": 5})
    desk.round(adaptation)
    go_on(market, *range(START + 1, START + 20))
    assert desk.told("regime_change")[0]["triggered"]
    assert AdaptationRound.objects.filter(trigger="regime_change").count() >= 1


def test_bar_by_bar_the_same_is_told_as_of_all_bars_at_once(prices: Prices, desk: Desk, actor: Actor) -> None:
    rows = turning([(205, CALM), (12, WILD), (15, CALM), (8, WILD)])
    slowly, at_once = Market(prices, rows, "ACME"), Market(prices, rows, "BETA")
    other = strategy_create(actor=actor, name="Other", workflow_id=desk.strategy.workflow_id, symbols=["BETA"])
    slowly.until(200)
    at_once.until(200)
    first = desk.start(regime=REGIME)
    second = desk.start(strategy_id=other.pk, regime={**REGIME, "symbol": "BETA"})
    assert looked() == 2
    go_on(slowly, *range(201, 240))
    go_on(at_once, 239)
    assert points(first) == points(second)
    assert len(points(first)) == 160 + 39
    assert any(changed for _, _, changed in points(first)[160:])
    slow, quick = [np.array([one.value for one in regimes_of(each)], dtype=float) for each in (first, second)]
    assert np.allclose(slow, quick, rtol=1e-12, equal_nan=True)


def test_what_was_told_stays_though_the_bars_are_revised(start: Start, market: Market) -> None:
    adaptation = start()
    before = points(adaptation)
    revised = turning([(400, WILD)], seed=9)
    market.until(START, revised)
    looked()
    assert points(adaptation) == before
    market.until(START + 3, revised)
    looked()
    assert points(adaptation)[:-3] == before


def test_no_change_comes_sooner_than_a_regime_has_to_last_whatever_is_imported(
    start: Start, market: Market, desk: Desk
) -> None:
    adaptation = start(trailing_window=140)
    for number, count in enumerate(range(START + 1, START + 40)):
        # The whole past is another one at each look, now calm, now wild.
        market.until(count, turning([(count - 8, CALM), (60, WILD if number % 6 < 3 else CALM / 9)], seed=number))
        looked()
    told = [index for index, (_, _, changed) in enumerate(points(adaptation)) if changed]
    assert len(told) > 3
    assert all(later - earlier >= DWELL for earlier, later in itertools.pairwise(told))


def test_of_several_changes_at_once_the_newest_begins_the_round(start: Start, market: Market, desk: Desk) -> None:
    adaptation = start()
    go_on(market, 330)
    told = desk.told("regime_change")
    assert len(told) >= 2
    assert [(each["triggered"], each["code"]) for each in told] == [
        *[(False, "NEWER_CHANGE")] * (len(told) - 1),
        (True, None),
    ]
    assert [each["value"] for each in told] == [point.label for point in changes_of(adaptation)][: len(told)][::-1]
    assert AdaptationRound.objects.count() == 1


def test_what_is_frozen_still_sees_and_says_why_it_begins_nothing(
    start: Start, market: Market, desk: Desk, operator_actor: Actor
) -> None:
    start()
    safety.kill(actor=operator_actor, reason="A drill.", scope=desk.strategy.pk)
    go_on(market, 330)
    told = desk.told("regime_change")[-1]
    assert (told["triggered"], told["code"]) == (False, "ADAPTATION_FROZEN")
    assert AdaptationRound.objects.count() == 0


def test_while_a_round_is_under_way_no_other_begins(start: Start, market: Market, desk: Desk) -> None:
    adaptation = start(regime={**REGIME, "cooldown_bars": 0})
    desk.begin(adaptation)
    go_on(market, 330)
    assert [each["code"] for each in desk.told("regime_change")][-1] == "ROUND_UNDER_WAY"
    assert AdaptationRound.objects.count() == 1


def test_a_round_that_cannot_begin_is_no_reason_to_say_nothing(start: Start, market: Market, desk: Desk) -> None:
    adaptation = start()
    LiveAdaptation.objects.filter(pk=adaptation.pk).update(trailing_window=5_000)
    go_on(market, 330)
    told = desk.told("regime_change")[-1]
    assert (told["triggered"], told["code"]) == (False, "VALIDATION_FAILED")
    assert len(points(adaptation)) == 160 + 330 - START


def test_a_stopped_adaptation_sees_nothing_any_more(start: Start, market: Market, desk: Desk) -> None:
    adaptation = start()
    looking.tick()
    market.until(330)
    looking.tick()
    (call,) = called()
    desk.stop(adaptation)
    look_at_bars(*call.args)
    assert len(points(adaptation)) == 160
    assert desk.told("regime_change") == []


def test_what_dies_before_it_has_told_leaves_nothing_and_the_next_look_does_it_all(
    start: Start, market: Market, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    adaptation = start()
    market.until(330)
    looking.tick()
    (call,) = called()

    def die(**_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(regime_watch.telling, "tell_regime", lambda *_, **__: die())
        look_at_bars(*call.args)
    assert len(points(adaptation)) == 160
    assert AdaptationRound.objects.count() == 0
    look_at_bars(*call.args)
    look_at_bars(*call.args)
    assert len(points(adaptation)) == 160 + 330 - START
    assert [each["triggered"] for each in desk.told("regime_change")].count(True) == 1
    assert AdaptationRound.objects.count() == 1


def test_an_adaptation_without_a_detector_is_left_alone(desk: Desk, market: Market) -> None:
    adaptation = desk.start(search_space=SPACE)
    assert looked() == 0
    assert points(adaptation) == []
