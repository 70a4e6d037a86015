"""The strategy type `model`: long while a tuned model thinks a rise likely enough."""

from collections.abc import Mapping
from datetime import datetime

from market.bars import Bars
from optimize.errors import ModelInSample
from optimize.modelling.reading import forecast, in_sample, model_named
from tradingsite.common.errors import FieldError
from workflows.strategies import (
    Column,
    Columns,
    ColumnSource,
    Comparison,
    Condition,
    Constraint,
    Parameter,
    Reading,
    Rule,
    StrategyType,
)
from workflows.strategies.rules import FloatArray, Params

SLUG = "model"


def _compute(bars: Bars, params: Params) -> Mapping[str, FloatArray]:
    return {"probability": forecast(str(params["model"]), bars).probability}


# The probability of a rise after each bar; NaN on bars that the model's training looked at.
MODEL_COLUMN = ColumnSource(SLUG, _compute)


def _column(params: Params) -> Column:
    return Column.of(SLUG, model=params["model"])


def _rule(params: Params) -> Rule:
    column = _column(params)
    return Rule(
        entries=(Comparison(column, True, params["enter"]),),
        entries_needed=1,
        exits=(Comparison(column, False, params["leave"]),),
        exits_needed=1,
    )


def _reading(columns: Columns, params: Params) -> Reading:
    probability = columns.get(_column(params))
    # Said in every reason: until then there is no forecast, and none means no trade.
    until = f"{model_named(str(params['model'])).trained_until:%Y-%m-%d %H:%M}"
    return Reading(
        conditions=(Condition("probability above its entry", probability - params["enter"]),),
        figures={f"probability of a rise (model trained until {until})": probability},
    )


def _objection(params: Params, first: datetime) -> FieldError | None:
    why = in_sample(str(params["model"]), first)
    return FieldError("start", ModelInSample.code, why) if why else None


MODEL_STRATEGY = StrategyType(
    slug=SLUG,
    title="Model",
    help="Long while a tuned model thinks a rise likely. It says nothing on bars that its training looked at.",
    parameters=(
        Parameter("model", "reference", "", "Id of a tuned model, from GET /api/models."),
        Parameter("enter", "float", 0.5, "Enter above this probability of a rise.", 0, 1),
        Parameter("leave", "float", 0.5, "Leave below this probability.", 0, 1),
    ),
    constraints=(
        Constraint(
            "leave", lambda p: p["leave"] <= p["enter"], "Must not be above enter: an entry would be an exit too."
        ),
    ),
    grid={"enter": (0.5, 0.55, 0.6), "leave": (0.4, 0.45, 0.5)},
    warm_up=lambda p: model_named(str(p["model"])).warm_up + 1,
    rule=_rule,
    reading=_reading,
    objection=_objection,
)
