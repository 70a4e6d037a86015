"""Using a tuned model: in a strategy, in a step, never on bars that its training looked at."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest
from rest_framework.test import APIClient

from market import store
from market.bars import Bars, from_ns
from market.selectors import bars_load
from market.services import bars_import_source
from optimize import engine
from optimize.carrying import carry
from optimize.choices import JobKind
from optimize.errors import ModelInSample, ModelReferenceUnknown, ModelTimeframeWrong
from optimize.learning import artefacts
from optimize.learning.errors import ModelFileInvalid
from optimize.learning.families import combinations, family_get
from optimize.learning.features import feature_config
from optimize.learning.labels import LabelConfig
from optimize.learning.panel import build
from optimize.learning.tuning import Plan, train_final
from optimize.modelling import files
from optimize.modelling.reading import forecast, in_sample, last_forecast
from optimize.modelling.strategy import MODEL_STRATEGY
from optimize.models import OptimizationJob, TunedModel
from optimize.services.models import model_save
from tests.workflows.test_steps import Desk, _context
from tradingsite.common.actor import Actor
from tradingsite.common.contracts.steps import step_types
from tradingsite.common.errors import ValidationFailed
from workflows import steps
from workflows.services import strategy_create, workflow_create
from workflows.strategies import strategy_types

pytestmark = pytest.mark.django_db

Api = Callable[..., APIClient]
FEATURES = feature_config({"returns": [1, 5], "volatility": [10], "indicators": [{"indicator": "rsi"}]})
CUT = 1500


@pytest.fixture
def bars(db: None, data_dir: Path) -> Bars:
    store.cache_clear()
    files.forget()
    bars_import_source(actor=Actor.system("tests"), source="sample")
    return bars_load(symbol="MSFT")


@pytest.fixture
def model(bars: Bars) -> TunedModel:
    """A model that was trained on the first CUT bars."""
    start, end = bars.opened_at(0), bars.opened_at(CUT - 1)
    panel = build([bars], FEATURES, LabelConfig(horizon=3), start=start, end=end)
    family = family_get("logistic")
    plan = Plan(family, combinations(family, {"C": [1.0]}))
    description = {
        "model_type": family.slug,
        "params": dict(plan.combinations[0]),
        "rounds": 0,
        "feature_config": FEATURES.as_json(),
        "features": list(FEATURES.names),
        "timeframe": "1d",
        "trained_from_ns": int(panel.axis[0]),
        "trained_until_ns": int(panel.axis[-1]),
    }
    content = artefacts.dump(description, train_final(panel, plan, plan.combinations[0], 0).arrays(0))
    job = OptimizationJob.objects.create(kind=JobKind.MODEL, fingerprint="f" * 64)
    return model_save(
        job_id=job.pk,
        name="A line",
        digest=files.write(content),
        size=len(content),
        model=artefacts.load(content),
        verdict="review",
        figures={},
    )


def _params(model: TunedModel, **changes: Any) -> dict[str, Any]:
    return MODEL_STRATEGY.clean({"model": str(model.pk), **changes})


def test_the_strategy_trades_the_forecasts_and_says_nothing_on_bars_of_the_training(
    bars: Bars, model: TunedModel
) -> None:
    study = MODEL_STRATEGY.study(bars, _params(model, enter=0.52, leave=0.48))
    probability = forecast(str(model.pk), bars).probability

    assert np.isnan(probability[:CUT]).all()
    assert np.isfinite(probability[CUT:]).all()
    np.testing.assert_array_equal(study.signals.entries, probability > 0.52)
    np.testing.assert_array_equal(study.signals.exits, probability < 0.48)
    assert study.signals.entries.any()
    assert study.signals.exits.any()
    assert not (study.signals.entries | study.signals.exits)[:CUT].any()
    (name,) = study.figures
    assert f"{model.trained_until:%Y-%m-%d}" in name


def test_a_signal_is_the_same_without_the_bars_behind_it(bars: Bars, model: TunedModel) -> None:
    params = _params(model)
    whole = MODEL_STRATEGY.signals(bars, params)
    for cut in (CUT - 5, CUT + 1, CUT + 333, len(bars) - 1):
        part = MODEL_STRATEGY.signals(bars.slice(0, cut), params)
        np.testing.assert_array_equal(part.entries, whole.entries[:cut])
        np.testing.assert_array_equal(part.exits, whole.exits[:cut])


def test_the_engine_trades_it_as_the_strategy_says(bars: Bars, model: TunedModel) -> None:
    kind, params = strategy_types.get("model"), _params(model, enter=0.52, leave=0.48)
    series = engine.prepare(bars)
    path = engine.simulate(kind, params, series, (0, len(bars)), engine.Settings())
    assert not path.position[: CUT + 1].any()
    assert path.position.any()


def test_a_model_must_be_named_and_be_there(bars: Bars) -> None:
    for given in ({}, {"model": "mine"}, {"model": 5}, {"model": ""}):
        with pytest.raises(ValidationFailed, match="params/model"):
            MODEL_STRATEGY.clean(given)
    params = MODEL_STRATEGY.clean({"model": str(uuid4())})
    with pytest.raises(ModelReferenceUnknown, match="params/model"):
        MODEL_STRATEGY.warmup(params)
    with pytest.raises(ModelReferenceUnknown):
        MODEL_STRATEGY.study(bars, params)


def test_bars_of_another_length_than_the_model_learnt_from_are_refused(model: TunedModel) -> None:
    hourly = Bars.of({name: np.ones(1) for name in ("time", "open", "high", "low", "close", "volume")}, timeframe="1h")
    with pytest.raises(ModelTimeframeWrong, match="1d"):
        forecast(str(model.pk), hourly)


def test_a_file_that_was_changed_or_lost_is_refused(bars: Bars, model: TunedModel) -> None:
    path = files.path_of(model.digest)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(ModelFileInvalid, match="not what was written"):
        forecast(str(model.pk), bars)
    path.unlink()
    with pytest.raises(ModelFileInvalid, match="cannot be read"):
        forecast(str(model.pk), bars)


def test_writing_a_model_again_mends_its_file(bars: Bars, model: TunedModel) -> None:
    path = files.path_of(model.digest)
    content = path.read_bytes()
    path.write_bytes(b"damaged")
    assert files.write(content) == model.digest
    assert np.isfinite(forecast(str(model.pk), bars).probability[-1])
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_job_that_is_gathered_twice_keeps_one_model(model: TunedModel) -> None:
    assert model.job_id is not None
    again = model_save(
        job_id=model.job_id,
        name="A line",
        digest=model.digest,
        size=model.size,
        model=files.read(model.digest),
        verdict="reject",
        figures={"auc": 0.5},
    )
    assert again.pk == model.pk
    assert TunedModel.objects.get().verdict == "reject"


def test_evidence_from_the_training_is_refused_with_the_day_it_ends(bars: Bars, model: TunedModel) -> None:
    assert f"{model.trained_until:%Y-%m-%d}" in in_sample(str(model.pk), bars.opened_at(CUT - 1))
    assert in_sample(str(model.pk), bars.opened_at(CUT)) == ""
    with pytest.raises(ModelInSample):
        last_forecast(str(model.pk), bars.slice(0, CUT))
    newest, before = last_forecast(str(model.pk), bars.slice(0, CUT + 1))
    assert newest is not None
    assert before is None


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch, bars: Bars) -> Desk:
    found = Desk(monkeypatch)
    found.bars["MSFT"] = bars
    return found


def test_the_step_puts_the_forecast_where_conditions_find_it(desk: Desk, bars: Bars, model: TunedModel) -> None:
    outputs: dict[str, Any] = {"prices": {"series": {"MSFT": desk.series("MSFT")}}}
    step = step_types.get("model_forecast")()
    found = step.run(_context("model_forecast", {"model": str(model.pk)}, outputs))

    expected = forecast(str(model.pk), bars.slice(0, len(bars) - 1)).probability[-2:]
    assert found.output == {"indicators": {"model": {"MSFT": {"value": expected[1], "previous": expected[0]}}}}
    for op, passed in ((">", True), ("<", False)):
        rule = {"left": "model", "op": op, "right": float(expected[1]) - 0.01}
        context = _context("condition", {"rules": [rule]}, {**outputs, "forecast": found.output})
        assert steps.Condition().run(context).output["conditions"]["MSFT"]["passed"] is passed


def test_the_step_refuses_a_bar_that_the_training_looked_at(desk: Desk, bars: Bars, model: TunedModel) -> None:
    series = desk.series("MSFT", CUT - len(bars) - 1)
    context = _context("model_forecast", {"model": str(model.pk)}, {"prices": {"series": {"MSFT": series}}})
    with pytest.raises(ModelInSample) as caught:
        step_types.get("model_forecast")().run(context)
    assert from_ns(int(bars.time[CUT - 1])) == model.trained_until
    assert caught.value.code == "MODEL_IN_SAMPLE"


def test_the_signal_step_decides_by_the_model(desk: Desk, bars: Bars, model: TunedModel) -> None:
    config = {"strategy_type": "model", "params": {"model": str(model.pk), "enter": 0.0, "leave": 0.0}}
    series = {"MSFT": desk.series("MSFT")}
    decision = steps.Signal().run(_context("signal", config, {"prices": {"series": series}})).output["decisions"][0]
    assert decision["action"] == "BUY"
    assert "model trained until" in decision["reason"]


def test_a_search_over_a_models_own_training_is_refused(api: Api, bars: Bars, model: TunedModel, warmed: None) -> None:
    body: dict[str, Any] = {
        "strategy_type": "model",
        "symbols": ["MSFT"],
        "start": f"{bars.opened_at(CUT - 30):%Y-%m-%d}",
        "end": f"{bars.opened_at(len(bars) - 1):%Y-%m-%d}",
        "param_grid": {"model": [str(model.pk)], "enter": [0.5, 0.52], "leave": [0.48]},
    }
    refused = api("trader").post("/api/optimize/strategy", body, format="json")
    assert refused.status_code == 400, refused.json()
    assert [(e["pointer"], e["code"]) for e in refused.json()["errors"]] == [("start", "MODEL_IN_SAMPLE")]
    later = {**body, "start": f"{bars.opened_at(CUT):%Y-%m-%d}"}
    taken = api("trader").post("/api/optimize/strategy", later, format="json")
    assert taken.status_code == 200, taken.json()
    carry(UUID(taken.json()["job_id"]), "tests", until=time.monotonic() + 600)
    found = api("trader").get(f"/api/optimize/{taken.json()['job_id']}").json()
    assert found["status"] == "complete", found["error"]
    assert {row["params"]["model"] for row in found["results"]} == {str(model.pk)}
    assert found["results"][0]["trades"] > 0
    for grid, code in (({"model": [str(uuid4())]}, "unknown_model"), ({"enter": [0.5]}, "required")):
        wrong = api("trader").post("/api/optimize/strategy", {**later, "param_grid": grid}, format="json")
        assert wrong.status_code == 400
        assert code in [error["code"] for error in wrong.json()["errors"]]


def test_a_backtest_over_a_models_own_training_is_refused(api: Api, bars: Bars, model: TunedModel) -> None:
    signal = {"strategy_type": "model", "params": {"model": str(model.pk)}}
    workflow = workflow_create(
        actor=Actor.system("tests"),
        name="By model",
        type="custom",
        steps=[
            {"name": "prices", "type": "market_data", "config": {"source": "sample"}},
            {"name": "signal", "type": "signal", "config": signal},
        ],
    )
    strategy = strategy_create(actor=Actor.system("tests"), name="By model", workflow_id=workflow.pk, symbols=["MSFT"])
    body = {"start": f"{bars.opened_at(CUT - 1):%Y-%m-%d}", "end": f"{bars.opened_at(len(bars) - 1):%Y-%m-%d}"}
    refused = api("trader").post(f"/api/strategies/{strategy.pk}/backtest", body, format="json")
    assert refused.status_code == 400, refused.json()
    assert [(e["pointer"], e["code"]) for e in refused.json()["errors"]] == [("start", "MODEL_IN_SAMPLE")]
    body["start"] = f"{bars.opened_at(CUT):%Y-%m-%d}"
    taken = api("trader").post(f"/api/strategies/{strategy.pk}/backtest", body, format="json")
    assert taken.status_code == 200, taken.json()
    assert taken.json()["trades"]
