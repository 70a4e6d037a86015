"""Several evaluators at once. A control without the lock and the second judgement shows the race."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from market import store
from safety.alerting import emails, rounds, selectors
from safety.alerting.observations import Change, Stored
from safety.models import AlertEmail, AlertEvent, AlertRule, AlertState, KillSwitchEvent
from tests.alerts.conftest import FIRST_DAY, Watchman
from tests.portfolio.conftest import Prices
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow
from tradingsite.common.models import LiveEvent

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]

EVALUATORS, RULES = 6, 40


@pytest.fixture
def watch(transactional_db: None, actor: Actor, data_dir: Path) -> Iterator[Watchman]:
    store.cache_clear()
    watchman = Watchman(actor, Prices())
    watchman.close(90)
    for number in range(RULES):
        watchman.rule(name=f"rule {number}")
    yield watchman
    store.cache_clear()


def at_once(count: int, work: Callable[[], Any]) -> list[BaseException]:
    """Run `work` in `count` threads at the same moment and return what they raised."""
    raised: list[BaseException] = []
    start = threading.Barrier(count)

    def run() -> None:
        start.wait(10)
        try:
            work()
        except BaseException as error:  # noqa: BLE001  # the test looks at whatever it was
            raised.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return raised


def all_having_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each evaluator wait with its writes until all have read the same states."""
    meeting = threading.Barrier(EVALUATORS)
    apply = rounds.apply

    def slow(looks: Any, *, now: Any) -> Any:
        if looks:
            meeting.wait(10)
        return apply(looks, now=now)

    monkeypatch.setattr(rounds, "apply", slow)


def judged_by_what_was_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the lock and the second judgement away, as an evaluator without them would be."""

    def as_read(batch: Any) -> Any:
        return (
            {look.rule.id: look.rule.version for look in batch},
            {look.rule.id: look.read for look in batch},
            set(),
        )

    monkeypatch.setattr(rounds, "_locked", as_read)


def told() -> Counter[int]:
    """Return how many rules raised how many alerts."""
    return Counter(Counter(AlertEvent.objects.values_list("alert_id", flat=True)).values())


def test_of_several_evaluators_that_see_the_same_crossing_one_tells_it(
    watch: Watchman, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch.look()
    watch.close(101)
    all_having_read(monkeypatch)
    assert at_once(EVALUATORS, lambda: rounds.evaluate(now=watch.now)) == []
    assert told() == {1: RULES}
    assert LiveEvent.objects.filter(stream="alerts").count() == RULES
    assert set(AlertState.objects.values_list("revision", "triggered_count")) == {(2, 1)}


def test_control_without_the_lock_each_evaluator_tells_it(watch: Watchman, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the lock nor the key of the observation: what is left is what a naive evaluator does."""
    watch.look()
    watch.close(101)
    all_having_read(monkeypatch)
    judged_by_what_was_read(monkeypatch)
    number = iter(range(10**6))
    lock = threading.Lock()

    def anything(change: Any) -> str:
        with lock:
            return str(next(number))

    monkeypatch.setattr(Change, "observation", property(anything))
    assert at_once(EVALUATORS, lambda: rounds.evaluate(now=watch.now)) == []
    assert told() == {EVALUATORS: RULES}


def test_the_key_of_the_observation_alone_keeps_an_alert_from_being_raised_twice(
    watch: Watchman, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second belt: with the lock gone, the database refuses the second row and the round that wrote it fails."""
    watch.look()
    watch.close(101)
    all_having_read(monkeypatch)
    judged_by_what_was_read(monkeypatch)
    at_once(EVALUATORS, lambda: rounds.evaluate(now=watch.now))
    assert told() == {1: RULES}


def test_crossings_between_evaluators_that_never_agree_on_the_time_are_each_told_once(watch: Watchman) -> None:
    """Each evaluator goes through the same days at its own pace; a later day seen makes an earlier one old news."""
    closes = [99.0, 101.0, 99.0, 102.0, 98.0, 103.0]
    watch.close(*closes)

    def work() -> None:
        for day in range(2, len(closes) + 2):
            rounds.evaluate(now=FIRST_DAY + timedelta(days=day))

    assert at_once(EVALUATORS, work) == []
    keys = list(AlertEvent.objects.values_list("alert_id", "observation"))
    assert len(keys) == len(set(keys))
    seen = {key.split("@")[1] for _, key in keys}
    # At midnight the bar of the next day has opened: 101, 102 and 103 are first seen at their opens.
    assert seen <= {"2026-01-03T00:00:00Z", "2026-01-05T00:00:00Z", "2026-01-07T00:00:00Z"}
    assert "2026-01-07T00:00:00Z" in seen
    assert set(AlertState.objects.values_list("met", flat=True)) == {True}


def test_a_rule_that_is_changed_while_it_is_looked_at_is_left_alone(
    watch: Watchman, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safety import services

    watch.look()
    watch.close(101)
    victim = AlertRule.objects.earliest("created_at")
    apply = rounds.apply

    def changed_just_before(looks: Any, *, now: Any) -> Any:
        if looks:
            services.alert_rule_update(actor=watch.actor, rule_id=victim.pk, changes={"threshold": "500"})
        return apply(looks, now=now)

    monkeypatch.setattr(rounds, "apply", changed_just_before)
    rounds.evaluate(now=watch.now)
    assert not AlertEvent.objects.filter(alert_id=victim.pk).exists()
    assert AlertEvent.objects.count() == RULES - 1


def test_an_evaluator_that_dies_between_alert_and_state_leaves_neither(
    watch: Watchman, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch.look()
    watch.close(101)
    real = rounds._row

    def dies(change: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(rounds, "_row", dies)
    with pytest.raises(KeyboardInterrupt):
        rounds.evaluate(now=watch.now)
    assert (AlertEvent.objects.count(), LiveEvent.objects.filter(stream="alerts").count()) == (0, 0)
    monkeypatch.setattr(rounds, "_row", real)
    rounds.evaluate(now=watch.now)
    assert told() == {1: RULES}


def test_an_occurrence_is_told_once_by_several_evaluators(watch: Watchman, monkeypatch: pytest.MonkeyPatch) -> None:
    AlertRule.objects.all().delete()
    for number in range(10):
        watch.rule("kill_switch", name=f"rule {number}", symbol="", threshold=None)
    for _ in range(3):
        KillSwitchEvent.objects.create(scope="all", action="killed", actor_kind="user", actor_name="olga", at=utcnow())
    later = utcnow() + timedelta(seconds=1)

    def work() -> None:
        for _ in range(3):
            rounds.evaluate(now=later)

    assert at_once(EVALUATORS, work) == []
    assert told() == {3: 10}
    assert set(AlertState.objects.values_list("triggered_count", flat=True)) == {3}


def test_of_several_processes_one_does_the_round(watch: Watchman) -> None:
    done: list[Any] = []
    at_once(EVALUATORS, lambda: done.append(rounds.evaluate_if_due(every_s=60)))
    assert len([one for one in done if one is not None]) == 1


def test_an_e_mail_is_sent_by_one_of_several_processes(
    watch: Watchman, settings: Any, monkeypatch: pytest.MonkeyPatch, trader: Any
) -> None:
    sent: list[str] = []
    monkeypatch.setattr(emails, "_sent", lambda email: sent.append(str(email.pk)) or ("", False))
    for number in range(20):
        AlertEmail.objects.create(user=trader, subject=f"{number}", body="b")
    assert at_once(EVALUATORS, emails.send_due) == []
    assert sorted(Counter(sent).values()) == [1] * 20
    assert set(AlertEmail.objects.values_list("status", "attempts")) == {("sent", 1)}


def test_states_are_read_as_they_were_written(watch: Watchman) -> None:
    watch.look()
    rule = AlertRule.objects.earliest("created_at")
    (stored,) = selectors.states_by_rule([rule.pk]).values()
    assert (stored.met, stored.revision, stored.observed_at) == (False, 1, watch.now)
    assert selectors.states_by_rule([watch.rule(name="new").pk]) == {}
    assert Stored().revision == 0


def test_of_a_round_that_dies_between_two_parts_nothing_is_lost_or_doubled(
    watch: Watchman, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch.look()
    watch.close(101)
    monkeypatch.setattr(rounds, "BATCH", 15)
    real, parts = rounds.raise_all, iter((True, False))

    def dies_in_the_second(changes: Any, *, now: Any) -> int:
        done = real(changes, now=now)
        if next(parts):
            return done
        raise KeyboardInterrupt

    monkeypatch.setattr(rounds, "raise_all", dies_in_the_second)
    with pytest.raises(KeyboardInterrupt):
        rounds.evaluate(now=watch.now)
    assert told() == {1: 15}, "the first part stands, of the second there is nothing"
    assert AlertState.objects.filter(triggered_count=1).count() == LiveEvent.objects.count() == 15
    monkeypatch.setattr(rounds, "raise_all", real)
    again = rounds.evaluate(now=watch.now)
    assert (again.changed, again.triggered) == (RULES - 15, RULES - 15)
    assert told() == {1: RULES}
    assert sorted(LiveEvent.objects.values_list("seq", flat=True)) == list(range(1, RULES + 1))
    assert set(AlertState.objects.values_list("revision", "triggered_count")) == {(2, 1)}
