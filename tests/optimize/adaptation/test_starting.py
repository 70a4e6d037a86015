"""Starting an adaptation: everything is checked and each wrong field named, and it has a schedule or is not there."""

from decimal import Decimal
from typing import Any

import pytest

from optimize.adaptation.errors import AlreadyAdapting
from optimize.adaptation.models import LiveAdaptation
from portfolio.accounts import account_ensure_default
from portfolio.models import Account
from scheduler.errors import ScheduleNotFound
from scheduler.models import Schedule
from scheduler.services import schedule_delete
from tests.optimize.adaptation.conftest import LIVE, SPACE, Desk
from tradingsite.common.actor import Actor
from tradingsite.common.errors import PermissionDenied, ValidationFailed
from tradingsite.common.ids import uuid7
from workflows.services import strategy_create, strategy_delete, workflow_create

pytestmark = pytest.mark.django_db


def wrong(desk: Desk, **changes: Any) -> list[tuple[str, str]]:
    """Return which fields are named, with the codes."""
    before = Schedule.objects.count()
    with pytest.raises(ValidationFailed) as failure:
        desk.start(**changes)
    assert LiveAdaptation.objects.count() == 0
    assert Schedule.objects.count() == before
    return [(error.pointer, error.code) for error in failure.value.errors]


def test_it_starts_with_a_schedule_of_its_own_and_changes_nothing(desk: Desk) -> None:
    before = desk.again().param
    adaptation = desk.start()
    assert (adaptation.status, adaptation.mode, adaptation.objective) == ("active", "approve", "sharpe")
    assert adaptation.costs == {"fee": 0.001, "slippage": 0.0005}
    schedule = adaptation.schedule
    assert (schedule.job_type, schedule.cron, schedule.overlap) == ("optimize.adapt_parameters", "0 22 * * *", "skip")
    assert schedule.config == {"adaptation_id": str(adaptation.pk)}
    assert schedule.next_run_at is not None
    assert desk.again().param == before


def test_what_trading_costs_in_the_desk_s_account_counts_unless_told_otherwise(desk: Desk, actor: Actor) -> None:
    account = account_ensure_default(actor=actor)
    Account.objects.filter(pk=account.pk).update(fee_rate=Decimal("0.002"), slippage=Decimal(0))
    assert desk.start().costs == {"fee": 0.002, "slippage": 0.0}


def test_the_type_s_own_grid_is_searched_when_none_is_given(desk: Desk) -> None:
    desk.set(quick=20, slow=50)
    # Its slowest average needs 200 bars, in each of two folds.
    assert wrong(desk, search_space=None) == [("trailing_window", "too_short")]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"mode": "yolo"}, [("mode", "invalid_choice")]),
        ({"objective": "luck"}, [("objective", "invalid_choice")]),
        ({"max_param_change_pct": 0}, [("max_param_change_pct", "out_of_range")]),
        ({"max_param_change_pct": 100.5}, [("max_param_change_pct", "out_of_range")]),
        ({"max_param_change_pct": "ten"}, [("max_param_change_pct", "invalid")]),
        ({"trailing_window": 100_001}, [("trailing_window", "out_of_range")]),
        ({"trailing_window": 139}, [("trailing_window", "too_short")]),
        ({"trailing_window": 400}, [("trailing_window", "too_few_bars")]),
        ({"watch_bars": 4}, [("watch_bars", "out_of_range")]),
        ({"schedule": "every day"}, [("schedule", "invalid_cron")]),
        ({"schedule": {"every_s": 5}}, [("schedule", "invalid")]),
        ({"timezone": "Mars/Phobos"}, [("timezone", "unknown_timezone")]),
        ({"costs": {"fee": 0.5}}, [("costs/fee", "out_of_range")]),
        ({"costs": {"tax": 0.1}}, [("costs/tax", "unknown_field")]),
        ({"search_space": {"quick": [1]}}, [("search_space/quick", "unknown_parameter")]),
        ({"search_space": {"fast": [0]}}, [("search_space/fast/0", "invalid")]),
        ({"search_space": {"fast": list(range(2, 60)), "slow": list(range(60, 100))}}, [("search_space", "too_many")]),
        ({"regime": {"kind": "weather"}}, [("regime/kind", "invalid_choice")]),
        ({"regime": {"kind": "trend", "symbol": "IBM"}}, [("regime/symbol", "invalid_choice")]),
        ({"regime": {"kind": "trend", "cooldown_bars": -1}}, [("regime/cooldown_bars", "out_of_range")]),
        ({"regime": {"kind": "trend", "moon": 1}}, [("regime/moon", "unknown")]),
        ({"strategy_id": uuid7()}, [("strategy_id", "not_found")]),
        (
            {"mode": "yolo", "schedule": "x", "costs": {"fee": -1}, "search_space": {"fast": [0]}},
            [
                ("mode", "invalid_choice"),
                ("costs/fee", "out_of_range"),
                ("schedule", "invalid_cron"),
                ("search_space/fast/0", "invalid"),
            ],
        ),
    ],
)
def test_each_wrong_field_is_named(desk: Desk, changes: dict[str, Any], named: list[tuple[str, str]]) -> None:
    assert wrong(desk, **changes) == named


def test_too_short_a_window_is_told_how_long_it_must_be(desk: Desk) -> None:
    with pytest.raises(ValidationFailed, match="at least 140 bars"):
        desk.start(trailing_window=100)
    desk.start(trailing_window=140)


def test_a_deleted_strategy_cannot_be_adapted(desk: Desk) -> None:
    strategy_delete(actor=desk.actor, strategy_id=desk.strategy.pk)
    assert wrong(desk) == [("strategy_id", "not_found")]


def test_somebody_else_s_strategy_takes_an_operator(desk: Desk, operator_actor: Actor) -> None:
    other = Actor(kind="user", name="other", user_id=None, role=desk.actor.role)
    with pytest.raises(PermissionDenied):
        desk.start(actor=other)
    assert desk.start(actor=operator_actor).created_by_id == operator_actor.user_id


def test_a_strategy_that_nobody_can_read_the_parameters_of_is_refused(desk: Desk) -> None:
    team = strategy_create(
        actor=desk.actor,
        name="Team",
        symbols=["ACME"],
        param={"steps": [{"name": "prices", "type": "market_data", "config": {"timeframe": "1d"}}]},
    )
    assert wrong(desk, strategy_id=team.pk) == [("strategy_id", "not_searchable")]


def test_a_strategy_without_bars_of_its_own_length_is_refused(desk: Desk) -> None:
    lone = strategy_create(
        actor=desk.actor, name="Lone", workflow_id=desk.strategy.workflow_id, symbols=["ACME", "NONE"]
    )
    assert wrong(desk, strategy_id=lone.pk) == [("strategy_id", "no_series")]
    idle = strategy_create(actor=desk.actor, name="Idle", workflow_id=desk.strategy.workflow_id, symbols=[])
    assert wrong(desk, strategy_id=idle.pk) == [("strategy_id", "symbols")]


def test_a_workflow_that_fixes_what_is_searched_is_refused(desk: Desk) -> None:
    workflow = workflow_create(
        actor=desk.actor,
        name="Fixed",
        type="custom",
        steps=[
            {"name": "prices", "type": "market_data", "config": {"timeframe": "1d"}},
            {
                "name": "signal",
                "type": "signal",
                "config": {"strategy_type": "sma_crossover", "params": {"fast": "$quick", "slow": 40}},
            },
        ],
        default_params={"quick": 10},
    )
    fixed = strategy_create(actor=desk.actor, name="Fixed", workflow_id=workflow.pk, symbols=["ACME"])
    before = fixed.param
    assert wrong(desk, strategy_id=fixed.pk) == [("strategy_id", "not_applicable")]
    desk.start(strategy_id=fixed.pk, search_space={"fast": SPACE["fast"]})
    fixed.refresh_from_db()
    assert fixed.param == before


def test_a_regime_is_kept_as_it_was_cleaned(desk: Desk) -> None:
    regime = desk.start(regime={"kind": "volatility", "window": 30}).regime
    assert regime is not None
    assert (regime["kind"], regime["window"], regime["symbol"], regime["cooldown_bars"]) == (
        "volatility",
        30,
        "ACME",
        20,
    )


def test_a_strategy_follows_the_market_in_one_way_alone(desk: Desk) -> None:
    first = desk.start()
    with pytest.raises(AlreadyAdapting) as refused:
        desk.start()
    assert refused.value.extra == {"adaptation_id": str(first.pk)}
    desk.stop(first)
    desk.start()
    assert LiveAdaptation.objects.count() == 2


def test_stopping_takes_the_schedule_away_whoever_saved_it_last(desk: Desk, operator_actor: Actor) -> None:
    adaptation = desk.start()
    Schedule.objects.filter(pk=adaptation.schedule_id).update(created_by_id=operator_actor.user_id)
    stopped = desk.stop(adaptation)
    assert stopped.status == "stopped"
    assert stopped.stopped_at is not None
    assert not Schedule.objects.alive().filter(pk=adaptation.schedule_id).exists()
    assert desk.stop(stopped).stopped_at == stopped.stopped_at
    assert desk.params() == LIVE


def test_an_adaptation_whose_schedule_was_deleted_by_hand_can_be_stopped(desk: Desk) -> None:
    adaptation = desk.start()
    schedule_delete(actor=desk.actor, schedule_id=adaptation.schedule_id)
    assert desk.stop(adaptation).status == "stopped"
    with pytest.raises(ScheduleNotFound):
        schedule_delete(actor=desk.actor, schedule_id=adaptation.schedule_id)


def test_a_schedule_that_was_given_another_job_stays_when_the_adaptation_is_stopped(desk: Desk) -> None:
    adaptation = desk.start()
    Schedule.objects.filter(pk=adaptation.schedule_id).update(job_type="agents.check_health", config={})
    desk.stop(adaptation)
    assert Schedule.objects.alive().filter(pk=adaptation.schedule_id).exists()


def test_only_its_owner_and_operators_stop_it(desk: Desk, operator_actor: Actor) -> None:
    from optimize.services import live_stop

    adaptation = desk.start()
    with pytest.raises(PermissionDenied):
        live_stop(actor=Actor(kind="user", name="other", user_id=None, role=desk.actor.role), adaptation=adaptation)
    assert live_stop(actor=operator_actor, adaptation=adaptation).status == "stopped"
