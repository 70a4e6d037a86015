"""A round from its beginning to its event: begun once, carried like every job, and settled exactly once."""

import time
from datetime import timedelta
from typing import Any

import pytest

from optimize import watchdog
from optimize.adaptation import changing, rounds
from optimize.adaptation.choices import Trigger
from optimize.adaptation.errors import AdaptationStopped, RoundUnderWay
from optimize.adaptation.models import AdaptationEvent, AdaptationRound
from optimize.carrying import carry
from optimize.claims import claim
from optimize.errors import OptimizationFailed, OptimizerBusy
from optimize.models import OptimizationChunk, OptimizationJob
from optimize.retention import jobs_past_their_time
from optimize.services import job_cancel, live_run
from optimize.work import Piece
from safety.models import AlertEvent, AuditLog
from tests.optimize.adaptation.conftest import BETTER, LIVE, SPACE, Desk
from tests.portfolio.conftest import Prices
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow
from tradingsite.common.contracts.jobs import Skipped
from tradingsite.common.errors import PermissionDenied
from workflows.services import strategy_update

pytestmark = pytest.mark.django_db


def test_a_round_reads_the_newest_complete_bars_pinned_and_compares_what_is_within_reach(desk: Desk) -> None:
    row = desk.begin(desk.start(max_param_change_pct=20.0))
    job = OptimizationJob.objects.get(pk=row.job_id)
    assert (job.kind, job.strategy_type, job.created_by_id) == ("adaptation", "sma_crossover", desk.actor.user_id)
    # The last of 400 bars has only just begun.
    assert job.request["end"].startswith("2027-02-03")
    assert job.request["start"].startswith("2026-08-28")
    assert row.bar_time is not None
    assert f"{row.bar_time:%Y-%m-%d}" == "2027-02-03"
    assert [pinned["symbol"] for pinned in job.data] == ["ACME"]
    assert job.data[0]["version"] == 1
    assert job.chunks_count == 1
    assert job.request["live_params"] == row.live_params == LIVE
    # fast: 8, 10, 12; slow: 40 and what is nearest to 30, 32.
    assert job.total_combinations == 6
    assert (row.trigger, row.actor_name) == (Trigger.MANUAL, desk.actor.name)


def test_bars_that_come_later_change_nothing_for_a_round_under_way(desk: Desk, prices: Prices) -> None:
    from optimize import data
    from optimize.walkforward.asking import moment
    from optimize.work import Pinned
    from tests.optimize.adaptation.conftest import walk_rows

    job = OptimizationJob.objects.get(pk=desk.begin(desk.start()).job_id)

    def closes() -> list[float]:
        start, end = (moment(job.request[name]) for name in ("start", "end"))
        (bars,) = data.load([Pinned(**one) for one in job.data], start=start, end=end)
        found: list[float] = bars.since(start).close.tolist()
        return found

    before = closes()
    prices.series("ACME", walk_rows(420, seed=2))
    assert closes() == before
    assert len(before) == 160


def test_nothing_better_changes_nothing_and_says_so(desk: Desk) -> None:
    adaptation = desk.start(mode="auto")
    event = desk.round(adaptation, None)
    assert (event.status, event.code, event.message) == ("no_change", "LIVE_IS_BEST", "Nothing is better.")
    assert (event.number, event.trigger, event.live_params) == (1, "manual", LIVE)
    assert event.applied_params is None
    assert event.evidence["searched"] == 6
    assert desk.params() == LIVE
    assert desk.watches(adaptation) == []
    assert not AlertEvent.objects.filter(kind="adaptation").exists()


def test_a_suggestion_is_only_told_and_watched(desk: Desk) -> None:
    adaptation = desk.start(mode="suggest")
    event = desk.round(adaptation, BETTER)
    assert (event.status, event.proposed_params, event.applied_params) == ("suggested", BETTER, None)
    assert desk.params() == LIVE
    assert desk.watches(adaptation) == [(1, False, "watching")]
    desk.round(adaptation, BETTER)
    assert desk.watches(adaptation) == [(1, False, "ended"), (2, False, "watching")]


def test_a_proposal_waits_and_the_next_one_takes_its_place(desk: Desk) -> None:
    adaptation = desk.start()
    desk.round(adaptation, BETTER)
    assert desk.params() == LIVE
    desk.round(adaptation, {"fast": 8, "slow": 40})
    assert desk.events(adaptation) == [(1, "proposed", None), (2, "superseded", 1), (3, "proposed", None)]
    assert desk.watches(adaptation) == [(1, False, "ended"), (3, False, "watching")]
    # Nothing better is no reason to withdraw what was better.
    desk.round(adaptation, None)
    assert desk.watches(adaptation)[-1] == (3, False, "watching")


def test_auto_applies_it_within_the_same_change_and_watches_it(desk: Desk) -> None:
    adaptation = desk.start(mode="auto")
    event = desk.round(adaptation, BETTER)
    assert (event.status, event.proposed_params, event.applied_params) == ("applied", BETTER, BETTER)
    assert desk.params() == BETTER
    assert event.version_before is not None
    assert event.version_after == event.version_before + 1
    assert desk.watches(adaptation) == [(1, True, "watching")]
    watch = adaptation.watches.get()
    assert (watch.params, watch.shadow_params) == (BETTER, LIVE)
    assert f"{watch.from_time:%Y-%m-%d}" == "2027-02-03"
    [told] = desk.told("adaptation_result")
    assert told["strategy_id"] == str(desk.strategy.pk)
    assert (told["proposed_params"], told["status"], told["event"]) == (BETTER, "applied", 1)
    alert = AlertEvent.objects.get(kind="adaptation")
    assert (alert.severity, alert.name) == ("info", "Applied: parameters of Mine")
    assert AuditLog.objects.filter(action="adaptation.applied").count() == 1


def test_the_next_round_begins_from_what_was_applied(desk: Desk) -> None:
    adaptation = desk.start(mode="auto")
    desk.round(adaptation, BETTER)
    assert desk.begin(adaptation).live_params == BETTER


def test_a_change_takes_the_place_of_what_was_watched_and_a_proposal_does_not(desk: Desk) -> None:
    adaptation = desk.start(mode="auto")
    desk.round(adaptation, BETTER)
    adaptation.mode = "suggest"
    adaptation.save(update_fields=["mode"])
    desk.round(adaptation, {"fast": 10, "slow": 40})
    assert desk.watches(adaptation) == [(1, True, "watching"), (2, False, "watching")]
    adaptation.mode = "auto"
    adaptation.save(update_fields=["mode"])
    desk.round(adaptation, {"fast": 10, "slow": 40})
    assert desk.watches(adaptation) == [(1, True, "ended"), (2, False, "ended"), (3, True, "watching")]


def test_what_promises_nothing_is_not_watched(desk: Desk) -> None:
    adaptation = desk.start(mode="auto")
    desk.finding.promise = None
    assert desk.round(adaptation, BETTER).status == "applied"
    assert desk.watches(adaptation) == []


def test_a_strategy_that_somebody_changed_meanwhile_keeps_what_they_wrote(desk: Desk) -> None:
    adaptation = desk.start(mode="auto")
    desk.finding.params = BETTER
    row = desk.begin(adaptation)
    desk.carry(row)
    desk.set(quick=9, slow=39)
    rounds.settle()
    event = AdaptationEvent.objects.get(round_id=row.pk)
    assert (event.status, event.code, event.applied_params) == ("stale", "PARAMETERS_CHANGED", None)
    assert "fast, slow" in event.message
    assert desk.params() == {"fast": 9, "slow": 39}
    assert desk.watches(adaptation) == []


@pytest.mark.parametrize("mode", ["auto", "approve", "suggest"])
def test_a_strategy_that_trades_something_else_meanwhile_makes_the_round_stale(
    desk: Desk, prices: Prices, mode: str
) -> None:
    from tests.optimize.adaptation.conftest import walk_rows

    prices.series("BETA", walk_rows(400, seed=3))
    adaptation = desk.start(mode=mode)
    desk.finding.params = BETTER
    desk.carry(desk.begin(adaptation))
    strategy_update(actor=desk.actor, strategy_id=desk.strategy.pk, changes={"symbols": ["BETA"]})
    rounds.settle()
    assert desk.events(adaptation) == [(1, "stale", None)]


def test_a_failed_job_is_a_failed_round_with_its_code(desk: Desk) -> None:
    def fail(piece: Piece) -> None:
        raise OptimizationFailed("The moon is in the way.", code="MOON")

    adaptation = desk.start(mode="auto")
    desk.finding.during = fail
    event = desk.round(adaptation, BETTER)
    assert (event.status, event.code, event.message) == ("failed", "MOON", "The moon is in the way.")
    assert AlertEvent.objects.get(kind="adaptation").severity == "warning"
    assert desk.params() == LIVE


def test_a_cancelled_job_is_a_cancelled_round(desk: Desk) -> None:
    adaptation = desk.start(mode="auto")
    row = desk.begin(adaptation)
    job_cancel(actor=desk.actor, job=OptimizationJob.objects.get(pk=row.job_id))
    assert rounds.settle() == 1
    assert desk.events(adaptation) == [(1, "cancelled", None)]


def test_a_job_that_was_deleted_leaves_a_failed_round_behind(desk: Desk) -> None:
    adaptation = desk.start()
    row = desk.begin(adaptation)
    OptimizationJob.objects.filter(pk=row.job_id).delete()
    assert rounds.settle() == 1
    assert AdaptationEvent.objects.get().code == "JOB_GONE"


def test_a_strategy_that_is_gone_leaves_a_failed_round_behind(desk: Desk) -> None:
    from workflows.services import strategy_delete

    adaptation = desk.start(mode="auto")
    desk.finding.params = BETTER
    desk.carry(desk.begin(adaptation))
    strategy_delete(actor=desk.actor, strategy_id=desk.strategy.pk)
    assert rounds.settle() == 1
    event = AdaptationEvent.objects.get()
    assert (event.status, event.code) == ("failed", "STRATEGY_NOT_FOUND")
    assert event.evidence["searched"] == 6


def test_a_round_is_settled_once_however_often_somebody_looks(desk: Desk) -> None:
    adaptation = desk.start(mode="auto")
    desk.finding.params = BETTER
    row = desk.begin(adaptation)
    assert rounds.settle() == 0
    desk.carry(row)
    assert [rounds.settle() for _ in range(3)] == [1, 0, 0]
    assert desk.events(adaptation) == [(1, "applied", None)]


@pytest.mark.parametrize("where", ["run_ended", "watch_begin", "apply"])
def test_who_dies_while_settling_leaves_it_all_to_the_next_one(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    class Death(BaseException):
        pass

    def die(*args: Any, **kwargs: Any) -> None:
        raise Death

    adaptation = desk.start(mode="auto")
    desk.finding.params = BETTER
    desk.carry(desk.begin(adaptation))
    with monkeypatch.context() as patched:
        patched.setattr(rounds, where, die)
        with pytest.raises(Death):
            rounds.settle()
    assert desk.params() == LIVE
    assert desk.events(adaptation) == []
    assert rounds.settle() == 1
    assert desk.params() == BETTER
    assert desk.events(adaptation) == [(1, "applied", None)]


def test_one_round_that_cannot_be_settled_does_not_keep_the_others_waiting(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workflows.services import strategy_create

    other = strategy_create(actor=desk.actor, name="Other", workflow_id=desk.strategy.workflow_id, symbols=["ACME"])
    first, second = desk.start(), desk.start(strategy_id=other.pk)
    for adaptation in (first, second):
        desk.carry(desk.begin(adaptation))
    settle_one = rounds._settle_locked

    def settle(adaptation: Any, row: Any) -> None:
        if adaptation.pk == first.pk:
            raise ZeroDivisionError
        settle_one(adaptation, row)

    monkeypatch.setattr(rounds, "_settle_locked", settle)
    assert rounds.settle() == 1
    assert desk.events(second) == [(1, "no_change", None)]


def test_a_round_does_not_overlap_itself(desk: Desk) -> None:
    adaptation = desk.start()
    desk.begin(adaptation)
    with pytest.raises(RoundUnderWay):
        desk.begin(adaptation)
    assert AdaptationRound.objects.count() == 1


def test_a_round_that_nobody_settled_yet_is_settled_by_the_next_one_to_begin(desk: Desk) -> None:
    adaptation = desk.start(mode="auto")
    desk.finding.params = BETTER
    desk.carry(desk.begin(adaptation))
    assert desk.begin(adaptation).live_params == BETTER
    assert desk.events(adaptation) == [(1, "applied", None)]


def test_a_full_optimiser_puts_a_round_off(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("optimize.services.asking.UNFINISHED_MAX", 0)
    adaptation = desk.start()
    with pytest.raises(OptimizerBusy):
        desk.begin(adaptation)
    found = rounds.round_start(adaptation_id=adaptation.pk, trigger=Trigger.SCHEDULE, actor=desk.actor)
    assert isinstance(found, Skipped)
    assert found.code == "OPTIMIZER_BUSY"
    assert not AdaptationRound.objects.exists()


def test_a_stop_during_a_round_cancels_it_and_nothing_of_it_is_taken(desk: Desk) -> None:
    adaptation = desk.start(mode="auto")
    desk.finding.params = BETTER
    row = desk.begin(adaptation)
    desk.stop(adaptation)
    assert OptimizationJob.objects.get(pk=row.job_id).status == "cancelled"
    event = AdaptationEvent.objects.get()
    assert (event.status, event.trigger, event.round_id) == ("cancelled", "stop", row.pk)
    desk.carry(row)
    assert rounds.settle() == 0
    assert desk.params() == LIVE
    with pytest.raises(AdaptationStopped):
        desk.begin(adaptation)


def test_a_stop_after_the_work_but_before_it_was_settled_takes_nothing_either(desk: Desk) -> None:
    adaptation = desk.start(mode="auto")
    desk.finding.params = BETTER
    desk.carry(desk.begin(adaptation))
    desk.stop(adaptation)
    assert rounds.settle() == 0
    assert desk.events(adaptation) == [(1, "cancelled", None)]
    assert desk.params() == LIVE


def test_a_stop_closes_what_waits_and_ends_what_is_watched(desk: Desk) -> None:
    adaptation = desk.start()
    desk.round(adaptation, BETTER)
    desk.stop(adaptation)
    assert desk.events(adaptation) == [(1, "proposed", None), (2, "superseded", 1)]
    assert desk.watches(adaptation) == [(1, False, "ended")]


def test_only_its_owner_and_operators_begin_a_round_by_hand(desk: Desk, operator_actor: Actor) -> None:
    adaptation = desk.start()
    with pytest.raises(PermissionDenied):
        live_run(actor=Actor(kind="user", name="x", user_id=None, role=desk.actor.role), adaptation=adaptation)
    row = live_run(actor=operator_actor, adaptation=adaptation)
    # Its progress is for who started the adaptation.
    assert OptimizationJob.objects.get(pk=row.job_id).created_by_id == desk.actor.user_id


def test_a_worker_that_is_lost_in_the_middle_is_followed_by_another_with_the_same_proposal(desk: Desk) -> None:
    adaptation = desk.start(mode="auto")
    desk.finding.params = BETTER
    row = desk.begin(adaptation)
    held = claim(row.job_id, "lost")
    assert held is not None
    OptimizationChunk.objects.filter(pk=held.chunk_id).update(lease_until=utcnow() - timedelta(seconds=1))
    assert rounds.settle() == 0
    assert watchdog.tick() == 1
    carry(row.job_id, "another", until=time.monotonic() + 60)
    assert desk.finding.ran == 1
    rounds.settle()
    assert desk.events(adaptation) == [(1, "applied", None)]


def test_what_breaks_the_bound_is_not_written_whoever_proposes_it(desk: Desk) -> None:
    adaptation = desk.start(mode="auto", max_param_change_pct=10.0)
    event = desk.round(adaptation, {"fast": 20, "slow": 40})
    assert (event.status, event.code) == ("failed", "ADAPTATION_CHANGE_TOO_LARGE")
    assert "fast" in event.message
    assert desk.params() == LIVE


def test_cleared_jobs_leave_the_history_whole(desk: Desk) -> None:
    adaptation = desk.start(mode="auto")
    event = desk.round(adaptation, BETTER)
    long_after = utcnow() + timedelta(days=5000)
    assert jobs_past_their_time(long_after).filter(pk=event.job_id).delete()[0] > 0
    event.refresh_from_db()
    assert event.evidence["promise"]["bars"] == 60
    changing.take_back(
        adaptation=adaptation, event=event, trigger=Trigger.DECISION, actor=desk.actor, message="Not good."
    )
    assert desk.params() == LIVE


def test_a_round_s_space_is_the_adaptation_s(desk: Desk) -> None:
    adaptation = desk.start()
    assert adaptation.search_space == SPACE
    job = OptimizationJob.objects.get(pk=desk.begin(adaptation).job_id)
    assert job.request["search_space"] == SPACE
