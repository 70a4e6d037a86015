"""Taking a search's parameters: through the gate, or past it with a reason from an operator, and never over a change."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from django.contrib.auth.models import AbstractBaseUser
from rest_framework.test import APIClient

from optimize import trials
from optimize.honesty import Moments, deflated_sharpe, judge
from optimize.models import OptimizationJob, TrialRecord
from safety.models import AuditLog
from tests.conftest import user_with_role
from tests.optimize.honesty.test_verdict import GOOD
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow
from tradingsite.common.roles import Role
from workflows.models import Strategy
from workflows.services import strategy_create, workflow_create

pytestmark = pytest.mark.django_db

Api = Callable[..., APIClient]
PARAMS = {"fast": 10, "slow": 100}
# Such as the verdict GOOD was made of: 500 returns of 0.1 each, 18 trials.
FIGURES = {"deflated_sharpe": deflated_sharpe(Moments(500, None, None, 0.0, 3.0, 0.1, None), 18, 4e-7).as_dict()}
PRICES = {"name": "prices", "type": "market_data", "config": {"timeframe": "1d", "lookback": 300}}


def signal(**params: Any) -> dict[str, Any]:
    return {"name": "signal", "type": "signal", "config": {"strategy_type": "sma_crossover", "params": params}}


def job_of(user: AbstractBaseUser, verdict: str = "promote", **changes: Any) -> OptimizationJob:
    judged = judge(GOOD)
    assert judged.outcome == "promote"
    ranked = [{"rank": 1, "params": PARAMS}, {"rank": 2, "params": {"fast": 5, "slow": 20}}]
    fields: dict[str, Any] = {
        "kind": "strategy",
        "strategy_type": "sma_crossover",
        "status": "complete",
        "completed_at": utcnow(),
        "verdict": verdict,
        "request": {"symbols": ["IBM", "MSFT"]},
        "result": {
            "best_params": PARAMS,
            "results": ranked,
            **FIGURES,
            "verdict": {**judged.as_dict(), "text": f"The gate says {verdict}."},
        },
        "created_by": user,
        **changes,
    }
    job = OptimizationJob.objects.create(**fields)
    tried(100, job=job)
    return job


def tried(first: int, count: int = 18, spread: float = 0.001, **changes: Any) -> TrialRecord:
    """Write an entry of the ledger: `count` combinations from the number `first`, of Sharpe ratios that differ so much."""
    asked: dict[str, Any] = {
        "strategy_type": "sma_crossover",
        "symbols": ["IBM"],
        "timeframe": "1d",
        "source": "sample",
        "start": datetime(2005, 1, 1, tzinfo=UTC),
        "end": datetime(2009, 12, 31, tzinfo=UTC),
        "folds": {"n_splits": 5},
        "hashes": np.arange(first, first + count, dtype=np.uint64),
        "ratios": np.linspace(-spread, spread, count),
        "periods": 500,
    }
    made = trials.record(**{name: changes.pop(name, value) for name, value in asked.items()})
    for name, value in changes.items():
        setattr(made, name, value)
    made.save(force_insert=True)
    return made


@pytest.fixture
def job(trader: AbstractBaseUser) -> OptimizationJob:
    return job_of(trader)


@pytest.fixture
def strategy(actor: Actor) -> Strategy:
    """A strategy whose workflow reads both parameters."""
    workflow = workflow_create(
        actor=actor,
        name="Averages",
        type="custom",
        steps=[PRICES, signal(fast="$quick", slow="$slow")],
        default_params={"quick": 20, "slow": 50},
    )
    return strategy_create(actor=actor, name="Mine", workflow_id=workflow.pk, symbols=["IBM"])


def apply(client: APIClient, job: OptimizationJob, strategy: Strategy, **body: Any) -> Any:
    headers = body.pop("headers", {})
    said = {"strategy_id": str(strategy.pk), **body}
    return client.post(f"/api/optimize/{job.pk}/apply", said, format="json", headers=headers)


def test_promoted_parameters_are_written_where_the_workflow_reads_them(
    api: Api, job: OptimizationJob, strategy: Strategy
) -> None:
    answer = apply(api("trader"), job, strategy)
    assert answer.status_code == 200, answer.json()
    assert answer.json() == {
        "job_id": str(job.pk),
        "strategy_id": str(strategy.pk),
        "params": PARAMS,
        "promoted": True,
    }
    strategy.refresh_from_db()
    assert strategy.param == {"quick": 10, "slow": 100}
    written = AuditLog.objects.get(action="optimization.apply")
    assert written.after["params"] == PARAMS
    assert AuditLog.objects.filter(action="strategy.update").count() == 1


def test_inline_steps_take_them_in_their_signal(api: Api, job: OptimizationJob, actor: Actor) -> None:
    inline = strategy_create(
        actor=actor,
        name="Inline",
        symbols=["IBM"],
        param={"quick": 20, "steps": [PRICES, signal(fast="$quick", slow=50)]},
    )
    assert apply(api("trader"), job, inline).status_code == 200
    inline.refresh_from_db()
    assert inline.param["quick"] == 10
    assert inline.param["steps"][1]["config"]["params"] == {"fast": "$quick", "slow": 100}


@pytest.mark.parametrize("verdict", ["review", "reject", ""])
def test_what_the_gate_does_not_promote_needs_an_operator_and_a_reason(
    api: Api, trader: AbstractBaseUser, strategy: Strategy, verdict: str
) -> None:
    job = job_of(trader, verdict)
    refused = apply(api("trader"), job, strategy, reason="I like it")
    assert (refused.status_code, refused.json()["code"]) == (403, "PROMOTION_REFUSED")
    for reason in ("", "   "):
        nameless = apply(api("operator"), job, strategy, reason=reason)
        assert nameless.status_code == 400
        assert nameless.json()["errors"][0]["pointer"] == "reason"
    strategy.refresh_from_db()
    assert strategy.param == {}

    taken = apply(api("operator"), job, strategy, reason="A trial with little money")

    assert (taken.status_code, taken.json()["promoted"]) == (200, False)
    written = AuditLog.objects.get(action="optimization.apply")
    assert written.reason == "A trial with little money"
    assert written.after["doubts"]


def test_another_rank_than_the_judged_one_is_not_promoted(api: Api, job: OptimizationJob, strategy: Strategy) -> None:
    assert apply(api("trader"), job, strategy, rank=2).status_code == 403
    assert apply(api("trader"), job, strategy, rank=1).json()["promoted"] is True
    assert apply(api("operator"), job, strategy, rank=2, reason="Faster").status_code == 200
    assert apply(api("operator"), job, strategy, rank=3, reason="Faster").status_code == 400
    strategy.refresh_from_db()
    assert strategy.param == {"quick": 5, "slow": 20}


def test_a_gate_that_was_made_looser_promotes_nothing(api: Api, trader: AbstractBaseUser, strategy: Strategy) -> None:
    for gate, status in (({"max_pbo": 0.5}, 403), ({"min_dsr": 0.6}, 403), ({"min_dsr": 0.99, "max_pbo": 0.1}, 200)):
        job = job_of(trader, request={"symbols": ["IBM"], "gate": gate})
        assert apply(api("trader"), job, strategy).status_code == status


@pytest.mark.parametrize(
    ("traded", "word"),
    [({"stop_loss": 0.05}, "a stop loss"), ({"take_profit": 0.2}, "target"), ({"direction": "long_short"}, "short")],
)
def test_what_was_judged_with_stops_or_short_positions_is_not_what_a_strategy_trades(
    api: Api, trader: AbstractBaseUser, strategy: Strategy, traded: dict[str, Any], word: str
) -> None:
    usual = {"symbols": ["IBM"], "stop_loss": None, "take_profit": None, "direction": "long_only"}
    refused = apply(api("trader"), job_of(trader, request={**usual, **traded}), strategy)
    assert refused.status_code == 403
    assert word in refused.json()["detail"]
    assert apply(api("trader"), job_of(trader, request=usual), strategy).status_code == 200


def test_what_was_judged_on_other_bars_is_not_promoted(api: Api, trader: AbstractBaseUser, strategy: Strategy) -> None:
    refused = apply(api("trader"), job_of(trader, request={"symbols": ["IBM"], "timeframe": "1h"}), strategy)
    assert refused.status_code == 403
    assert "bars of 1h" in refused.json()["detail"]
    daily = job_of(trader, request={"symbols": ["IBM"], "timeframe": "1d"})
    assert apply(api("trader"), daily, strategy).status_code == 200


def test_symbols_that_the_search_never_saw_are_not_promoted(api: Api, job: OptimizationJob, strategy: Strategy) -> None:
    Strategy.objects.filter(pk=strategy.pk).update(symbols=["IBM", "AAPL"])
    answer = apply(api("trader"), job, strategy)
    assert answer.status_code == 403
    assert "AAPL" in answer.json()["detail"]


def test_somebody_else_s_strategy_is_left_alone(api: Api, strategy: Strategy) -> None:
    other = user_with_role(Role.TRADER, "other")
    answer = apply(api(other), job_of(other), strategy)
    assert (answer.status_code, answer.json()["code"]) == (403, "PERMISSION_DENIED")


def test_somebody_else_s_job_is_not_there(api: Api, job: OptimizationJob, strategy: Strategy) -> None:
    assert apply(api(user_with_role(Role.TRADER, "other")), job, strategy).status_code == 404


def test_a_change_meanwhile_is_not_overwritten(api: Api, job: OptimizationJob, strategy: Strategy) -> None:
    client = api("trader")
    etag = client.get(f"/api/strategies/{strategy.pk}")["ETag"]
    client.patch(f"/api/strategies/{strategy.pk}", {"name": "Renamed"}, format="json")
    assert apply(client, job, strategy, headers={"If-Match": etag}).status_code == 412
    etag = client.get(f"/api/strategies/{strategy.pk}")["ETag"]
    answer = apply(client, job, strategy, headers={"If-Match": etag})
    assert answer.status_code == 200
    assert answer["ETag"] == client.get(f"/api/strategies/{strategy.pk}")["ETag"] != etag


def test_a_workflow_that_fixes_a_parameter_is_named(api: Api, job: OptimizationJob, actor: Actor) -> None:
    workflow = workflow_create(
        actor=actor,
        name="Fixed",
        type="custom",
        steps=[PRICES, signal(fast=20, slow="$slow")],
        default_params={"slow": 50},
    )
    fixed = strategy_create(actor=actor, name="Fixed", workflow_id=workflow.pk, symbols=["IBM"])
    answer = apply(api("trader"), job, fixed)
    assert (answer.status_code, answer.json()["code"]) == (409, "OPTIMIZATION_NOT_APPLICABLE")
    assert "fast" in answer.json()["detail"]


def test_another_type_s_parameters_do_not_fit(api: Api, trader: AbstractBaseUser, strategy: Strategy) -> None:
    answer = apply(api("trader"), job_of(trader, strategy_type="momentum"), strategy)
    assert (answer.status_code, answer.json()["code"]) == (409, "OPTIMIZATION_NOT_APPLICABLE")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"status": "cancelled"}, "OPTIMIZATION_UNFINISHED"),
        ({"status": "running", "completed_at": None}, "OPTIMIZATION_UNFINISHED"),
        ({"result": {"best_params": None, "results": []}}, "OPTIMIZATION_WITHOUT_RESULT"),
        ({"kind": "lookahead"}, "OPTIMIZATION_WITHOUT_RESULT"),
    ],
)
def test_without_a_complete_result_there_is_nothing_to_take(
    api: Api, trader: AbstractBaseUser, strategy: Strategy, changes: dict[str, Any], code: str
) -> None:
    answer = apply(api("trader"), job_of(trader, **changes), strategy)
    assert (answer.status_code, answer.json()["code"]) == (409, code)


def test_a_strategy_that_is_not_there_is_named(api: Api, job: OptimizationJob, strategy: Strategy) -> None:
    said = {"strategy_id": str(job.pk)}
    answer = api("trader").post(f"/api/optimize/{job.pk}/apply", said, format="json")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["pointer"] == "strategy_id"


def test_what_was_tried_on_the_same_data_since_is_held_against_it(
    api: Api, job: OptimizationJob, strategy: Strategy
) -> None:
    """A verdict is not to be kept for later, while luck is asked on."""
    tried(1_000, 400, spread=0.2)
    refused = apply(api("trader"), job, strategy)
    assert (refused.status_code, refused.json()["code"]) == (403, "PROMOTION_REFUSED")
    told = refused.json()["detail"]
    assert "400 combinations more" in told
    assert "after 418 trials" in told, "the figure by now"
    assert "It was 97 % after 18." in told, "and the one that it was judged by"
    strategy.refresh_from_db()
    assert strategy.param == {}
    taken = apply(api("operator"), job, strategy, reason="A trial with little money")
    assert (taken.status_code, taken.json()["promoted"]) == (200, False)
    [doubt] = AuditLog.objects.get(action="optimization.apply").after["doubts"]
    assert doubt in told


def test_the_ledger_of_other_data_is_not_held_against_it(api: Api, job: OptimizationJob, strategy: Strategy) -> None:
    tried(1_000, 400, spread=0.2, symbols=["MSFT"])
    tried(2_000, 400, spread=0.2, strategy_type="momentum")
    tried(3_000, 400, spread=0.2, start=datetime(2010, 1, 1, tzinfo=UTC), end=datetime(2012, 1, 1, tzinfo=UTC))
    assert apply(api("trader"), job, strategy).json()["promoted"] is True


def test_the_same_search_done_again_is_not_held_against_it(api: Api, job: OptimizationJob, strategy: Strategy) -> None:
    tried(100)
    assert apply(api("trader"), job, strategy).json()["promoted"] is True


def test_searches_that_all_came_to_the_same_take_nothing_of_the_doubt_away(
    api: Api, trader: AbstractBaseUser, strategy: Strategy
) -> None:
    """Many alike make the variance of all smaller, and it would seem that less luck was at work."""
    figures = deflated_sharpe(Moments(500, None, None, 0.0, 3.0, 0.1, None), 18, 4e-4)
    job = job_of(trader)
    job.result["deflated_sharpe"] = figures.as_dict()
    job.save()
    tried(1_000, 5_000, spread=0.0)
    assert figures.dsr is not None
    assert figures.dsr < 0.95
    assert apply(api("trader"), job, strategy).status_code == 403


def test_what_cannot_be_judged_by_the_ledger_of_today_is_not_promoted(
    api: Api, trader: AbstractBaseUser, strategy: Strategy
) -> None:
    without_ledger, without_figures = job_of(trader), job_of(trader)
    TrialRecord.objects.filter(job=without_ledger).delete()
    del without_figures.result["deflated_sharpe"]
    without_figures.save()
    for job in (without_ledger, without_figures):
        refused = apply(api("trader"), job, strategy)
        assert refused.status_code == 403
        assert "search again" in refused.json()["detail"]
