"""Bars are looked at when they are new, by one worker, again where that one died, and at little cost where nothing is."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, connections
from django.test.utils import CaptureQueriesContext

from optimize.adaptation import looking, regime_watch
from optimize.adaptation.models import AdaptationRound, LiveAdaptation
from optimize.tasks import look_at_bars
from tests.optimize.adaptation.conftest import Desk
from tests.optimize.adaptation.watching import CALM, REGIME, WILD, Market, called, looked, points, turning
from tests.portfolio.conftest import FIRST_DAY, Prices
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow
from workflows.services import strategy_create

pytestmark = pytest.mark.django_db


@pytest.fixture
def market(prices: Prices, desk: Desk) -> Market:
    made = Market(prices, turning([(220, CALM), (60, WILD), (60, CALM)]))
    made.until(210)
    return made


def test_where_nothing_is_new_a_tick_is_two_queries_and_calls_nobody(desk: Desk, market: Market, actor: Actor) -> None:
    desk.start(regime=REGIME)
    for number in range(3):
        other = strategy_create(
            actor=actor, name=f"Other {number}", workflow_id=desk.strategy.workflow_id, symbols=["ACME"]
        )
        desk.start(strategy_id=other.pk, regime=REGIME)
    assert looked() == 4
    with CaptureQueriesContext(connection) as queries:
        assert looking.tick() == 0
    assert len(queries) == 2


def test_a_desk_that_watches_nothing_asks_one_query(desk: Desk, market: Market) -> None:
    desk.start()
    with CaptureQueriesContext(connection) as queries:
        assert looking.tick() == 0
    assert len(queries) == 1


def test_new_bars_and_another_strategy_are_each_looked_at_once(desk: Desk, market: Market) -> None:
    desk.start(regime=REGIME)
    assert [looked(), looked()] == [1, 0]
    market.until(211)
    assert [looked(), looked()] == [1, 0]
    desk.set(quick=11, slow=40)
    assert [looked(), looked()] == [1, 0]


def test_a_look_whose_worker_died_is_called_again(
    desk: Desk, market: Market, frozen_clock: Callable[[datetime], None]
) -> None:
    now = utcnow()
    frozen_clock(now)
    adaptation = desk.start(regime=REGIME)
    assert looking.tick() == 1
    assert looking.tick() == 0
    frozen_clock(now + looking.LEASE + timedelta(seconds=1))
    assert looking.tick() == 1
    late, again = called()
    look_at_bars(*late.args)
    # The late one has done it all, and leaves the claim of the other one alone.
    assert len(points(adaptation)) == 160
    adaptation.refresh_from_db()
    assert adaptation.look_at is not None
    look_at_bars(*again.args)
    adaptation.refresh_from_db()
    assert (adaptation.look_at, len(points(adaptation))) == (None, 160)


def test_bars_that_come_during_a_look_are_looked_at_after_it(desk: Desk, market: Market) -> None:
    adaptation = desk.start(regime=REGIME)
    looking.tick()
    (first,) = called()
    market.until(212)
    assert looking.tick() == 1
    look_at_bars(*first.args)
    look_at_bars(*called()[-1].args)
    assert len(points(adaptation)) in (160, 162)
    assert looking.tick() == 0


def test_a_market_by_the_clock_is_looked_at_when_its_next_bar_ends(
    prices: Prices, desk: Desk, frozen_clock: Callable[[datetime], None]
) -> None:
    rows = turning([(300, CALM)])
    prices.series("LIVE", rows, clock="live")
    noon = FIRST_DAY + timedelta(days=250, hours=12)
    frozen_clock(noon)
    other = strategy_create(
        actor=desk.actor, name="By the clock", workflow_id=desk.strategy.workflow_id, symbols=["LIVE"]
    )
    adaptation = desk.start(strategy_id=other.pk, regime={**REGIME, "symbol": "LIVE"})
    assert looked() == 1
    adaptation.refresh_from_db()
    assert adaptation.look_at == FIRST_DAY + timedelta(days=251)
    newest = points(adaptation)[-1][0]
    assert newest == FIRST_DAY + timedelta(days=249)
    frozen_clock(noon + timedelta(hours=11, minutes=59))
    assert looked() == 0
    frozen_clock(noon + timedelta(hours=12))
    assert looked() == 1
    assert points(adaptation)[-1][0] == newest + timedelta(days=1)


def test_what_cannot_be_read_is_tried_again_later_and_keeps_nobody_from_working(
    desk: Desk, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    adaptation = desk.start(regime={**REGIME})
    LiveAdaptation.objects.filter(pk=adaptation.pk).update(regime={**REGIME, "symbol": "NOBODY"})
    assert looked() == 1
    adaptation.refresh_from_db()
    assert adaptation.look_at is not None
    assert adaptation.look_at > utcnow() + looking.AGAIN_AFTER / 2


def _at_once(looks: int, adaptation: LiveAdaptation) -> list[Exception]:
    """Have as many workers look at the same bars at the same time; return what they failed with."""
    gate = threading.Barrier(looks)
    failures: list[Exception] = []

    def work() -> None:
        try:
            gate.wait(20)
            looking.look(adaptation.pk, claimed=utcnow())
        except IntegrityError as error:
            failures.append(error)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(looks) as pool:
        for each in [pool.submit(work) for _ in range(looks)]:
            each.result(60)
    return failures


@pytest.mark.postgres
def test_of_many_workers_at_once_one_tells_the_change_and_begins_the_round(
    transactional_db: None, desk: Desk, market: Market
) -> None:
    adaptation = desk.start(regime=REGIME)
    looked()
    market.until(245)
    assert _at_once(6, adaptation) == []
    assert len(points(adaptation)) == 160 + 35
    told = desk.told("regime_change")
    assert len(told) == len([1 for _, _, changed in points(adaptation)[160:] if changed])
    assert [each["triggered"] for each in told].count(True) == 1
    assert AdaptationRound.objects.count() == 1


@pytest.mark.postgres
def test_without_the_lock_the_same_workers_meet(
    transactional_db: None, desk: Desk, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    adaptation = desk.start(regime=REGIME)
    looked()
    market.until(245)
    gate = threading.Barrier(6)

    def unlocked(pk: Any) -> LiveAdaptation:
        return LiveAdaptation.objects.select_related("strategy").get(pk=pk)

    def all_there(adaptation: LiveAdaptation, dwell: int, told: Any = regime_watch._told) -> Any:
        found = told(adaptation, dwell)
        gate.wait(20)
        return found

    monkeypatch.setattr(regime_watch, "locked_with_schedule", unlocked)
    monkeypatch.setattr(regime_watch, "_told", all_there)
    assert len(_at_once(6, adaptation)) == 5
