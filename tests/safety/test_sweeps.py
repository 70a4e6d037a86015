"""How a kill is proven: a sweep from the kill to the resume and beyond, confirmed by two clean samples in a row."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from safety import services
from safety.models import AlertEvent, AuditLog, KillSweep
from safety.services import Remaining
from tradingsite.common import clock
from tradingsite.common.actor import Actor

pytestmark = pytest.mark.django_db

DESK = Actor.system("test")
START = datetime(2026, 1, 5, 15, tzinfo=UTC)
RESTING = Remaining(orders=[{"account_id": "a", "client_order_id": "one", "known": True}])


def at(seconds: float) -> Any:
    return clock.frozen(START + timedelta(seconds=seconds))


@pytest.fixture
def killed() -> None:
    with at(0):
        services.kill(actor=DESK, reason="r")


def sample(seconds: float, remaining: Remaining | None = None) -> KillSweep:
    wall = START + timedelta(seconds=seconds)
    with clock.frozen(wall):
        (sweep,) = services.sweep_take(wall=wall)
        return services.sweep_report(sweep=sweep, remaining=remaining or Remaining(), wall=wall)


def messages() -> list[str]:
    return [event.message for event in AlertEvent.objects.order_by("triggered_at", "id")][1:]


def test_one_clean_sample_confirms_nothing_and_the_second_one_does(killed: None) -> None:
    assert sample(1).confirmed_at is None
    confirmed = sample(2)
    assert (confirmed.clean_samples, confirmed.rounds) == (2, 2)
    assert confirmed.confirmed_at == START + timedelta(seconds=2)
    assert messages() == ["That no order of everything rests is confirmed after 2.0 s."]
    assert AuditLog.objects.filter(action="kill_switch.confirmed").count() == 1


def test_a_sample_that_is_not_clean_takes_the_earlier_one_back(killed: None) -> None:
    sample(1)
    assert sample(2, RESTING).clean_samples == 0
    assert sample(3).confirmed_at is None
    assert sample(4).confirmed_at is not None


@pytest.mark.parametrize(
    "remaining",
    [
        RESTING,
        Remaining(positions=[{"symbol": "ACME", "quantity": "1", "code": "", "detail": ""}]),
        Remaining(unreachable=["Live account"]),
    ],
)
def test_whatever_is_left_or_cannot_be_asked_keeps_it_from_being_confirmed(killed: None, remaining: Remaining) -> None:
    for second in range(1, 5):
        assert sample(second, remaining).confirmed_at is None
    assert KillSweep.objects.get().remaining == remaining.as_json()


def test_two_samples_of_one_moment_are_one(killed: None) -> None:
    wall = START + timedelta(seconds=1)
    with clock.frozen(wall):
        (sweep,) = services.sweep_take(wall=wall)
        for _ in range(3):
            after = services.sweep_report(sweep=sweep, remaining=Remaining(), wall=wall)
    assert (after.clean_samples, after.confirmed_at) == (1, None)


def test_a_round_is_taken_by_one_process_at_a_time(killed: None) -> None:
    wall = START + timedelta(seconds=1)
    assert len(services.sweep_take(wall=wall)) == 1
    assert services.sweep_take(wall=wall + timedelta(seconds=0.5)) == []
    assert len(services.sweep_take(wall=wall + timedelta(seconds=1))) == 1


def test_a_confirmed_desk_is_watched_while_it_is_halted_and_what_comes_back_is_told(killed: None) -> None:
    sample(1)
    sample(2)
    assert services.sweep_take(wall=START + timedelta(seconds=10)) == []
    again = sample(18, RESTING)
    assert (again.confirmed_at, again.clean_samples) == (None, 0)
    assert "now there is again: order one" in messages()[-1]


def test_a_confirmed_sweep_is_left_alone_after_the_resume(killed: None, operator_actor: Actor) -> None:
    sample(1)
    sample(2)
    with at(3):
        services.resume(actor=operator_actor, reason="ok")
    assert services.sweep_take(wall=START + timedelta(hours=1)) == []


def test_an_unconfirmed_sweep_goes_on_after_the_resume(killed: None, operator_actor: Actor) -> None:
    sample(1, RESTING)
    with at(2):
        services.resume(actor=operator_actor, reason="ok")
    assert sample(3, RESTING).resumed_at == START + timedelta(seconds=2)
    sample(4)
    assert sample(5).confirmed_at is not None


def test_what_takes_too_long_is_told_once(killed: None) -> None:
    for second in (10, 31, 32, 33):
        sample(second, RESTING)
    assert len(messages()) == 1
    assert "is not confirmed; what is left: order one." in messages()[0]


def test_a_second_kill_may_ask_for_flat_positions_and_then_earlier_samples_say_nothing(killed: None) -> None:
    sample(1)
    wall = START + timedelta(seconds=2)
    (taken,) = services.sweep_take(wall=wall)
    services.kill(actor=DESK, flatten=True)
    after = services.sweep_report(sweep=taken, remaining=Remaining(), wall=wall)
    assert (after.flatten, after.clean_samples, after.confirmed_at) == (True, 0, None)
    assert KillSweep.objects.count() == 1


def test_a_later_kill_without_it_does_not_take_the_closing_back(killed: None) -> None:
    services.kill(actor=DESK, flatten=True)
    services.kill(actor=DESK)
    assert KillSweep.objects.get().flatten


def test_each_halt_and_each_scope_has_a_sweep_of_its_own(killed: None, operator_actor: Actor) -> None:
    services.kill(actor=DESK, scope=uuid4())
    services.resume(actor=operator_actor, reason="ok")
    services.kill(actor=DESK)
    assert KillSweep.objects.filter(scope="all").count() == 2
    assert KillSweep.objects.filter(resumed_at=None).count() == 2


def test_how_long_the_kill_took_is_noted(killed: None) -> None:
    assert 0 < KillSweep.objects.get().latched_in_s < 5
