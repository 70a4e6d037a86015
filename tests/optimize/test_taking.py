"""By what a strategy would decide, and that parameters are written where it reads them and nowhere else."""

from typing import Any

import pytest

from optimize.errors import OptimizationNotApplicable
from optimize.services.taking import Live, live_params, params_take
from safety.models import AuditLog
from tests.optimize.test_applying import PARAMS, PRICES, signal
from tradingsite.common.actor import Actor
from workflows.models import Strategy
from workflows.selectors import strategy_get
from workflows.services import strategy_create, strategy_update, workflow_create, workflow_update

ME = Actor.system("tests")
HOURLY = {**PRICES, "config": {"timeframe": "1h", "lookback": 300, "source": "sample", "adjustment": "split"}}

DEFAULTS = {"quick": 20, "back": 300}


def strategy_of(*steps: dict[str, Any], name: str = "Mine", **param: Any) -> Strategy:
    return strategy_create(actor=ME, name=name, symbols=["IBM"], param={"steps": list(steps), **param})


def of_workflow(*steps: dict[str, Any], **defaults: Any) -> Strategy:
    workflow = workflow_create(actor=ME, name="Averages", type="custom", steps=list(steps), default_params=defaults)
    return strategy_create(actor=ME, name="Mine", workflow_id=workflow.pk, symbols=["IBM"])


def named(step: dict[str, Any], name: str) -> dict[str, Any]:
    return {**step, "name": name}


@pytest.mark.django_db
def test_what_a_run_would_decide_by_is_read_through_overrides_and_defaults() -> None:
    strategy = of_workflow(HOURLY, signal(fast="$quick"), quick=20)
    assert live_params(strategy) == Live({"fast": 20, "slow": 50}, "1h", "sample", "split")
    changed = strategy_update(actor=ME, strategy_id=strategy.pk, changes={"param": {"quick": 7}})
    assert live_params(changed).params == {"fast": 7, "slow": 50}


@pytest.mark.django_db
def test_the_bars_are_those_of_the_last_step_before_the_signal() -> None:
    live = live_params(strategy_of(named(HOURLY, "first"), PRICES, signal(), named(HOURLY, "later")))
    assert (live.timeframe, live.source, live.adjustment) == ("1d", None, None)


@pytest.mark.django_db
def test_a_signal_of_another_type_is_not_asked_and_not_written_to() -> None:
    other = {"name": "other", "type": "signal", "config": {"strategy_type": "momentum", "params": {"lookback": 9}}}
    strategy = strategy_of(PRICES, signal(fast=20, slow=50), other)
    assert live_params(strategy).params == {"fast": 20, "slow": 50}
    taken = params_take(actor=ME, strategy=strategy, params=PARAMS)
    assert live_params(taken).params == PARAMS
    assert taken.param["steps"][2] == other


@pytest.mark.django_db
def test_two_signals_that_agree_are_one_and_are_written_together() -> None:
    strategy = strategy_of(PRICES, named(signal(fast=20), "one"), named(signal(slow=50), "two"))
    assert live_params(strategy).params == {"fast": 20, "slow": 50}
    assert live_params(params_take(actor=ME, strategy=strategy, params=PARAMS)).params == PARAMS


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("steps", "word"),
    [
        ([PRICES, named(signal(fast=5), "one"), named(signal(fast=6), "two")], "do not decide by the same"),
        ([PRICES, named(signal(), "one"), named(HOURLY, "more"), named(signal(), "two")], "on the same bars"),
        ([PRICES], "no strategy type"),
    ],
)
def test_what_has_no_one_answer_is_refused_in_words(steps: list[dict[str, Any]], word: str) -> None:
    with pytest.raises(OptimizationNotApplicable, match=word):
        live_params(strategy_of(*steps))


@pytest.mark.django_db
def test_a_type_without_a_step_of_it_is_refused() -> None:
    strategy = strategy_create(actor=ME, name="Mine", strategy_type="momentum", param={"steps": [PRICES]})
    with pytest.raises(OptimizationNotApplicable, match="no signal step that decides by momentum"):
        live_params(strategy)


@pytest.mark.django_db
def test_a_definition_that_no_longer_resolves_is_refused_with_its_field() -> None:
    strategy = of_workflow(PRICES, signal(fast="$quick"), quick=20)
    strategy_update(actor=ME, strategy_id=strategy.pk, changes={"param": {"quick": 30}})
    workflow = strategy.workflow
    assert workflow is not None
    workflow_update(
        actor=ME, workflow_id=workflow.pk, name="Averages", type="custom", steps=[PRICES, signal()], default_params={}
    )
    with pytest.raises(OptimizationNotApplicable, match="param/quick"):
        live_params(strategy_get(strategy.pk))


@pytest.mark.django_db
def test_why_they_are_taken_stands_in_the_audit() -> None:
    strategy = of_workflow(PRICES, signal(fast="$quick", slow="$slow"), quick=20, slow=50)
    params_take(actor=ME, strategy=strategy, params=PARAMS, reason="Better since May")
    assert AuditLog.objects.get(action="strategy.update").reason == "Better since May"


@pytest.mark.django_db
def test_parameters_that_the_strategy_would_not_decide_by_change_nothing() -> None:
    config = {"strategy_type": "macd", "params": {"fast": "$short", "slow": 26, "signal": "$short"}}
    strategy = strategy_of(PRICES, {"name": "signal", "type": "signal", "config": config}, short=9)
    with pytest.raises(OptimizationNotApplicable, match="in a way that could be set from here"):
        params_take(actor=ME, strategy=strategy, params={"fast": 12, "slow": 30, "signal": 9})
    written = Strategy.objects.get().param
    assert (written["short"], written["steps"][1]["config"]["params"]["slow"]) == (9, 26)


@pytest.mark.django_db
def test_a_change_since_the_strategy_was_read_is_kept() -> None:
    read = of_workflow(
        HOURLY | {"config": {**HOURLY["config"], "lookback": "$back"}}, signal(fast="$quick"), **DEFAULTS
    )
    strategy_update(actor=ME, strategy_id=read.pk, changes={"param": {"back": 500}})
    taken = params_take(actor=ME, strategy=read, params={"fast": 10, "slow": 50})
    assert taken.param == {"back": 500, "quick": 10}
