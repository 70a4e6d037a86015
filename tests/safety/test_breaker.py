"""The graduated breaker: warn, reduce only, kill; on unrealised losses, twice confirmed, latched until a person resumes."""

import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st
from rest_framework.test import APIClient

from portfolio import services as portfolio
from portfolio.models import Account, EquitySnapshot, Order, RoundTrip
from safety import drawdown, killswitch, selectors, services
from safety.choices import BreakerLevel
from safety.errors import BreakerNotTripped, BreakerUnknown, KillSwitchUnwritable, ResumeNeedsPerson
from safety.models import AlertEvent, AuditLog, DrawdownBreaker
from tests.portfolio.conftest import FIRST_DAY, Prices, account, place, prices  # noqa: F401
from tests.safety.cases import ACCOUNT, D
from tradingsite.common import clock
from tradingsite.common.actor import Actor
from tradingsite.common.errors import ValidationFailed

NORMAL, WARN, REDUCE, KILL = BreakerLevel
AT = {WARN: D("0.1"), REDUCE: D("0.15"), KILL: D("0.25")}
# Each setting, and an equity out of 100,000 that has fallen just that far by its default.
TRIPS = {"breaker_warn_at": (90_000, WARN), "breaker_reduce_at": (85_000, REDUCE), "breaker_kill_at": (75_000, KILL)}


def watched(equities: Sequence[int | Decimal], *, apart_s: int = 600, peak: int = 100_000) -> drawdown.Watch:
    """Return the watch after samples far enough apart that smoothing has caught up with each."""
    watch = drawdown.begin(equity=D(peak), peak=D(peak), at=FIRST_DAY)
    for number, equity in enumerate(equities, 1):
        at = FIRST_DAY + timedelta(seconds=apart_s * number)
        watch = drawdown.sampled(watch, equity=D(equity), at=at, thresholds=AT)
    return watch


# ------------------------------------------------------------------------------------------------------ arithmetic


@pytest.mark.parametrize(("equity", "level"), [(90_001, NORMAL), (89_990, WARN), (84_990, REDUCE), (74_990, KILL)])
def test_each_level_is_reached_by_two_samples_and_by_no_single_one(equity: int, level: BreakerLevel) -> None:
    assert watched([equity]).level is NORMAL
    assert watched([equity, equity]).level is level


def test_two_samples_confirm_the_lower_of_what_they_call_for() -> None:
    assert watched([88_000, 70_000]).level is WARN
    assert watched([88_000, 70_000, 70_000]).level is KILL
    assert watched([70_000, 100_000, 70_000]).level is NORMAL


def test_a_level_holds_once_reached_and_only_a_warning_ends_by_itself() -> None:
    assert watched([80_000] * 2 + [100_000] * 9).level is REDUCE
    assert watched([70_000] * 2 + [200_000] * 9).level is KILL
    assert watched([88_000] * 2 + [100_000]).level is WARN
    assert watched([88_000] * 2 + [100_000] * 2).level is NORMAL


def test_one_wrong_price_trips_nothing_in_either_direction() -> None:
    assert watched([100_000, 1, 100_000, 100_000], apart_s=10).level is NORMAL
    spike = watched([100_000, 1_000_000, 100_000, 100_000, 100_000], apart_s=5)
    raw = 1 - spike.equity / spike.peak
    assert raw > D("0.89")
    assert spike.fall < raw


def test_samples_of_the_same_moment_are_one() -> None:
    watch = drawdown.begin(equity=D(100_000), peak=D(100_000), at=FIRST_DAY)
    first = drawdown.sampled(watch, equity=D(1), at=FIRST_DAY + timedelta(hours=1), thresholds=AT)
    for late in (0, 1, 4, -60):
        again = FIRST_DAY + timedelta(hours=1, seconds=late)
        assert drawdown.sampled(first, equity=D(1), at=again, thresholds=AT) is first


equities = st.decimals(min_value=-100_000, max_value=1_000_000, places=2)


@given(st.lists(equities, max_size=20), st.integers(5, 3600))
def test_the_fall_is_never_above_the_raw_drawdown_and_levels_of_a_person_never_sink(
    path: list[Decimal], apart_s: int
) -> None:
    watch = drawdown.begin(equity=D(100_000), peak=D(100_000), at=FIRST_DAY)
    for number, equity in enumerate(path, 1):
        at = FIRST_DAY + timedelta(seconds=apart_s * number)
        after = drawdown.sampled(watch, equity=equity, at=at, thresholds=AT)
        assert 0 <= after.fall <= (after.peak - equity) / after.peak + D("1e-9")
        assert after.peak >= watch.peak
        if watch.level in drawdown.LATCHED:
            assert list(BreakerLevel).index(after.level) >= list(BreakerLevel).index(watch.level)
        watch = after


@given(st.lists(st.decimals(min_value=0, max_value=10_000, places=2), max_size=20))
def test_hummingbots_sign_an_account_that_only_gains_never_trips(gains: list[Decimal]) -> None:
    equity, path = D(100_000), []
    for gain in gains:
        equity += gain
        path.append(equity)
    assert watched(path).level is NORMAL
    assert watched([110_000, 110_000]).fall == 0


@given(
    st.lists(st.decimals(min_value=1, max_value=1_000_000, places=2), min_size=1, max_size=9),
    st.decimals(min_value=-999_999, max_value=1_000_000, places=2),
)
def test_cash_that_comes_or_goes_leaves_the_fall_and_the_level_as_they_are(
    path: list[Decimal], amount: Decimal
) -> None:
    watch = watched(path)
    if watch.equity + amount < 1:
        amount = 1 - watch.equity
    after = drawdown.moved(watch, amount)
    assert (after.equity, after.level, after.seen) == (watch.equity + amount, watch.level, watch.seen)
    again = drawdown.sampled(after, equity=after.equity, at=after.at + timedelta(days=1), thresholds=AT)
    same = drawdown.sampled(watch, equity=watch.equity, at=watch.at + timedelta(days=1), thresholds=AT)
    assert abs(again.fall - same.fall) < D("1e-7")


def test_an_account_that_is_emptied_has_lost_nothing_by_it_and_one_in_debt_keeps_what_it_lost() -> None:
    emptied = drawdown.moved(watched([95_000]), D(-95_000))
    assert (emptied.equity, emptied.fall) == (0, 0)
    for minutes in (10, 20):
        at = emptied.at + timedelta(minutes=minutes)
        assert drawdown.sampled(emptied, equity=D(0), at=at, thresholds=AT).level is NORMAL
    saved = drawdown.moved(watched([-5_000]), D(30_000))
    assert (saved.equity, saved.peak) == (25_000, 130_000)


# -------------------------------------------------------------------------------------------------------- the service


class Told:
    """An account whose equity is told to the breaker, ten minutes later each time."""

    def __init__(self) -> None:
        self.now = FIRST_DAY

    def is_worth(self, *equities: int) -> DrawdownBreaker:
        for equity in equities:
            self.now += timedelta(minutes=10)
            row = services.breaker_sample(
                account_id=ACCOUNT, equity=D(equity), day_pnl=D(equity - 100_000), at=self.now
            )
        return row


@pytest.fixture
def told(db: None) -> Told:
    found = Told()
    found.is_worth(100_000)
    return found


@pytest.mark.parametrize("name", TRIPS)
def test_each_level_is_set_where_its_setting_says(name: str, told: Told, admin_actor: Actor) -> None:
    equity, level = TRIPS[name]
    assert told.is_worth(equity - 10, equity - 10).level == level
    row = DrawdownBreaker.objects.get()
    services.breaker_resume(actor=admin_actor, account_id=ACCOUNT, reason="moved")
    # The same loss under a setting that allows it; those above move out of its way.
    services.limits_update(actor=admin_actor, changes=dict.fromkeys(list(TRIPS)[list(TRIPS).index(name) :], "0.9"))
    fallen = int(row.equity * equity / 100_000)
    assert told.is_worth(fallen, fallen).level != level


def test_a_warning_raises_one_alert_and_stops_nothing(told: Told) -> None:
    told.is_worth(88_000, 88_000, 88_000, 88_000)
    [alert] = AlertEvent.objects.all()
    assert (alert.kind, alert.severity, alert.threshold) == ("drawdown", "warning", D("0.1"))
    assert alert.value is not None
    assert D("0.11") < alert.value <= D("0.12")
    assert not killswitch.state().active


def test_the_last_level_sets_the_kill_switch_and_says_why(told: Told) -> None:
    told.is_worth(70_000, 70_000)
    switch = killswitch.state()
    assert switch.active
    assert switch.by == "drawdown breaker"
    assert str(ACCOUNT) in switch.reason
    assert {"drawdown", "kill_switch"} == set(AlertEvent.objects.values_list("kind", flat=True))


def test_hummingbots_swallowed_error_a_kill_that_failed_is_told_kept_and_tried_again(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: Any) -> None:
        raise KillSwitchUnwritable("no disk, no database")

    told.is_worth(70_000)
    with monkeypatch.context() as broken:
        broken.setattr("safety.services.breaker.kill", fail)
        with pytest.raises(KillSwitchUnwritable):
            told.is_worth(70_000)
    assert DrawdownBreaker.objects.get().level == KILL, "orders that add a risk are denied meanwhile"
    assert not killswitch.state().active
    told.is_worth(70_000)
    assert killswitch.state().active


def test_an_account_that_is_resumed_while_its_kill_is_under_way_is_killed_by_its_next_fall(
    told: Told, operator_actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowly(**_: Any) -> None:
        services.breaker_resume(actor=operator_actor, account_id=ACCOUNT, reason="resumed meanwhile")

    with monkeypatch.context() as slow:
        slow.setattr("safety.services.breaker.kill", slowly)
        assert told.is_worth(70_000, 70_000).level == NORMAL
    assert DrawdownBreaker.objects.get().killed_at is None
    assert not killswitch.state().active
    assert told.is_worth(40_000, 40_000).level == KILL
    assert killswitch.state().active


def test_the_alert_of_the_last_level_promises_nothing_that_is_not_done_yet(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("safety.services.breaker.kill", lambda **_: None)
    told.is_worth(70_000, 70_000)
    message = AlertEvent.objects.get(kind="drawdown").message
    assert message.endswith("Everything is being stopped.")


def test_a_switch_that_a_person_resumed_is_not_set_again_for_the_same_fall(told: Told, operator_actor: Actor) -> None:
    told.is_worth(70_000, 70_000)
    services.resume(actor=operator_actor, reason="closing by hand")
    assert told.is_worth(70_000, 69_000).level == KILL
    assert not killswitch.state().active


def test_leans_unlatching_a_recovered_account_stays_stopped_until_a_person_resumes_it(
    told: Told, operator_actor: Actor
) -> None:
    assert told.is_worth(80_000, 80_000, 120_000, 130_000, 130_000).level == REDUCE
    services.breaker_resume(actor=operator_actor, account_id=ACCOUNT, reason="looked at every position")
    row = DrawdownBreaker.objects.get()
    assert (row.level, row.peak, row.fall) == (NORMAL, 130_000, 0)
    assert AuditLog.objects.get(action="breaker.resume").reason == "looked at every position"


def test_after_a_resume_the_fall_is_measured_from_there(told: Told, operator_actor: Actor) -> None:
    told.is_worth(80_000, 80_000)
    services.breaker_resume(actor=operator_actor, account_id=ACCOUNT, reason="accepted")
    assert told.is_worth(79_000, 79_000).level == NORMAL
    assert told.is_worth(60_000, 60_000).level == REDUCE


def test_nobody_resumes_without_a_reason_or_the_right_and_nothing_else_resumes(
    told: Told, operator_actor: Actor, actor: Actor
) -> None:
    told.is_worth(80_000, 80_000)
    for who in (actor, Actor.system("agent"), Actor(kind="api_key", name="k", role=operator_actor.role)):
        with pytest.raises(ResumeNeedsPerson):
            services.breaker_resume(actor=who, account_id=ACCOUNT, reason="please")
    with pytest.raises(ValidationFailed) as caught:
        services.breaker_resume(actor=operator_actor, account_id=ACCOUNT, reason="  ")
    assert caught.value.errors[0].pointer == "reason"
    with pytest.raises(BreakerUnknown):
        services.breaker_resume(actor=operator_actor, account_id=uuid4(), reason="x")
    assert DrawdownBreaker.objects.get().level == REDUCE


def test_what_has_not_tripped_cannot_be_resumed(told: Told, operator_actor: Actor) -> None:
    with pytest.raises(BreakerNotTripped):
        services.breaker_resume(actor=operator_actor, account_id=ACCOUNT, reason="x")


def test_the_first_confirmation_survives_the_process_that_saw_it(told: Told) -> None:
    """Nothing of the breaker is in memory: what one process saw, the row tells the next one."""
    told.is_worth(80_000)
    row = DrawdownBreaker.objects.get()
    assert (row.level, row.seen) == (NORMAL, REDUCE)
    after = drawdown.sampled(
        row.watch, equity=D(80_000), at=told.now + timedelta(minutes=10), thresholds=selectors.breaker_thresholds()
    )
    assert after.level is REDUCE


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_twenty_processes_that_look_at_the_same_moment_confirm_nothing_to_each_other() -> None:
    later = FIRST_DAY + timedelta(hours=1)
    said = {"account_id": ACCOUNT, "day_pnl": D(0)}
    services.breaker_sample(equity=D(100_000), at=FIRST_DAY, **said)

    def look() -> None:
        try:
            services.breaker_sample(equity=D(50_000), at=later, **said)
        finally:
            connection.close()

    threads = [threading.Thread(target=look) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    row = DrawdownBreaker.objects.get()
    assert (row.level, row.seen) == (NORMAL, KILL)
    services.breaker_sample(equity=D(50_000), at=later + timedelta(minutes=10), **said)
    assert DrawdownBreaker.objects.get().level == KILL


# -------------------------------------------------------------------------------------------------- from end to end


def fall_of(symbol: str, close: float) -> None:
    """Let the next day of a share open, after one that closed at `close`."""
    Prices().series(symbol, [(100, 101, 99, 100), (100, 101, min(close, 99), close), (close, close, close, close)])


def watch_at(*moments: datetime) -> None:
    for moment in moments:
        with clock.frozen(moment):
            portfolio.drawdowns_watch(wall=moment)


@pytest.fixture
def invested(prices: Prices, place: Callable[..., Order], admin_actor: Actor) -> None:  # noqa: F811
    """Half of the account in HELD, at 100; nothing was ever sold."""
    services.limits_update(
        actor=admin_actor,
        changes={"order_notional_limit": "60000", "position_limit": "60000", "daily_loss_limit": "90000"},
    )
    for symbol in ("HELD", "OTHER"):
        prices.series(symbol, [(100, 101, 99, 100), (100, 100, 100, 100)])
    assert place(symbol="HELD", quantity=Decimal(500)).status == "filled"


HOUR = timedelta(hours=1)
START = FIRST_DAY + timedelta(days=10)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("invested")
def test_freqtrades_closed_trades_a_loss_that_nobody_has_realised_trips_it(
    place: Callable[..., Order],  # noqa: F811
    api: Callable[..., APIClient],
) -> None:
    watch_at(START)
    fall_of("HELD", 65)
    watch_at(START + HOUR, START + 2 * HOUR)
    assert not RoundTrip.objects.filter(closed_at__isnull=False).exists()
    [shown] = api("viewer").get("/api/safety").json()["breakers"]
    assert (shown["level"], shown["drawdown"][:5]) == ("reduce", "0.175")
    denied = place(client_order_id="more", symbol="OTHER", quantity=Decimal(1))
    assert (denied.status, denied.code) == ("denied", "TRADING_STATE_REDUCING")
    assert "drawdown breaker" in denied.detail
    assert place(client_order_id="less", symbol="HELD", side="sell", quantity=Decimal(100)).status == "filled"


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("invested")
def test_leans_current_targets_a_position_that_nothing_trades_any_more_counts_as_well(
    place: Callable[..., Order],  # noqa: F811
) -> None:
    assert place(client_order_id="target", symbol="OTHER", quantity=Decimal(10)).status == "filled"
    watch_at(START)
    fall_of("HELD", 65)
    watch_at(START + HOUR, START + 2 * HOUR)
    assert place(client_order_id="more", symbol="OTHER", quantity=Decimal(1)).code == "TRADING_STATE_REDUCING"


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("invested")
def test_a_fall_beyond_the_drawdown_limit_denies_at_once_before_anything_is_confirmed(
    place: Callable[..., Order],  # noqa: F811
) -> None:
    watch_at(START)
    fall_of("HELD", 55)
    assert place(client_order_id="more", symbol="OTHER", quantity=Decimal(1)).code == "DRAWDOWN_EXCEEDED"


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("invested")
def test_the_api_resumes_the_account_with_a_reason_and_it_trades_again(
    place: Callable[..., Order],  # noqa: F811
    api: Callable[..., APIClient],
) -> None:
    watch_at(START)
    fall_of("HELD", 65)
    watch_at(START + HOUR, START + 2 * HOUR)
    body = {"account_id": str(Account.objects.get().pk), "reason": "HELD is understood"}
    path = "/api/safety/breaker/resume"
    assert api("trader").post(path, body, format="json").status_code == 403
    assert api("operator").post(path, {**body, "reason": ""}, format="json").status_code == 400
    answer = api("operator").post(path, body, format="json")
    assert (answer.status_code, answer.json()["level"]) == (200, "normal")
    assert place(client_order_id="more", symbol="OTHER", quantity=Decimal(1)).status == "filled"
    again = api("operator").post(path, body, format="json")
    assert (again.status_code, again.json()["code"]) == (409, "BREAKER_NOT_TRIPPED")


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("invested")
def test_an_account_is_watched_from_its_present_equity_on_whatever_its_old_curve_says() -> None:
    EquitySnapshot.objects.create(
        account=Account.objects.get(), at=START - HOUR, cash=D(0), positions_value=D(200_000), equity=D(200_000)
    )
    watch_at(START, START + HOUR, START + 2 * HOUR)
    row = DrawdownBreaker.objects.get()
    assert (row.level, row.fall, row.peak) == (NORMAL, 0, row.equity)
    assert not killswitch.state().active


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("invested")
def test_a_kill_that_nothing_takes_keeps_no_other_account_from_being_looked_at(
    actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Account.objects.create(name="Other", starting_cash=D(100_000), cash=D(100_000))
    said = {"actor": actor, "account": other, "symbol": "OTHER", "side": "buy", "quantity": D(1)}
    assert portfolio.order_place(**said, client_order_id="of another account").status == "filled"
    looked = []

    def fail(row: DrawdownBreaker) -> None:
        looked.append(row.account_id)
        raise KillSwitchUnwritable("no disk, no database")

    monkeypatch.setattr("portfolio.watching.breaker_enforce", fail)
    with pytest.raises(KillSwitchUnwritable):
        watch_at(START)
    assert set(looked) == set(Account.objects.values_list("pk", flat=True))
    assert len(looked) == 2


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("invested")
def test_an_account_without_a_price_is_not_judged_by_a_guess() -> None:
    watch_at(START)
    from portfolio.models import Position

    Position.objects.update(source="gone")
    watch_at(START + HOUR)
    assert DrawdownBreaker.objects.get().sampled_at == START
