"""What is promoted, reviewed and rejected, and that each threshold binds."""

import json
import math
from dataclasses import fields, replace
from typing import Any

import pytest

from optimize.honesty import Evidence, Gate, judge
from optimize.honesty.verdict import RANGES
from tradingsite.common.errors import ValidationFailed

GOOD = Evidence(
    dsr=0.97,
    pbo=0.1,
    probability_of_loss=0.02,
    combinations=18,
    trials=18,
    sharpe=1.2,
    trades=80,
    folds=5,
    efficiency=0.8,
    profitable_folds=0.8,
    plateau=0.9,
    neighbours=4,
)


def test_what_nothing_speaks_against_is_promoted() -> None:
    verdict = judge(GOOD)
    assert (verdict.outcome, verdict.reasons) == ("promote", ())
    assert verdict.text.startswith("Nothing speaks against it")


@pytest.mark.parametrize(
    ("change", "outcome", "code"),
    [
        ({"ruined": True}, "reject", "RUINED"),
        ({"sharpe": None}, "reject", "NO_RETURNS"),
        ({"sharpe": math.nan}, "reject", "NO_RETURNS"),
        ({"sharpe": 0.0}, "reject", "OUT_OF_SAMPLE_LOSS"),
        ({"sharpe": -0.4}, "reject", "OUT_OF_SAMPLE_LOSS"),
        ({"dsr": 0.9499}, "review", "DSR_LOW"),
        ({"dsr": 0.79}, "reject", "DSR_LOW"),
        ({"dsr": None}, "review", "DSR_UNKNOWN"),
        ({"dsr": math.nan}, "review", "DSR_UNKNOWN"),
        ({"pbo": 0.2001, "probability_of_loss": 0.3}, "review", "PBO_HIGH"),
        ({"pbo": 0.51, "probability_of_loss": 0.3}, "reject", "PBO_HIGH"),
        ({"pbo": 0.51, "probability_of_loss": None}, "reject", "PBO_HIGH"),
        ({"pbo": 0.51, "probability_of_loss": 0.05}, "review", "PBO_HIGH"),
        ({"pbo": None}, "review", "PBO_UNKNOWN"),
        ({"pbo": None, "combinations": 1}, "review", "PBO_UNKNOWN"),
        ({"trades": 29}, "review", "TOO_FEW_TRADES"),
        ({"trades": 0}, "review", "TOO_FEW_TRADES"),
        ({"folds": 2}, "review", "TOO_FEW_FOLDS"),
        ({"profitable_folds": 0.4}, "review", "FOLDS_UNPROFITABLE"),
        ({"profitable_folds": None}, "review", "FOLDS_UNKNOWN"),
        ({"efficiency": 0.24}, "review", "EFFICIENCY_LOW"),
        ({"efficiency": 0.0}, "reject", "EFFICIENCY_LOW"),
        ({"efficiency": None}, "review", "EFFICIENCY_UNKNOWN"),
        ({"plateau": 0.32}, "review", "PLATEAU_POOR"),
        ({"plateau": None}, "review", "PLATEAU_UNKNOWN"),
        ({"edges": ("fast", "slow")}, "review", "AT_GRID_EDGE"),
        ({"holding": 1.2}, "review", "NO_BETTER_THAN_HOLDING"),
        ({"holding": 1.5}, "review", "NO_BETTER_THAN_HOLDING"),
    ],
)
def test_each_fault_and_each_missing_fact_alone_keeps_it_from_being_promoted(
    change: dict[str, Any], outcome: str, code: str
) -> None:
    verdict = judge(replace(GOOD, **change))
    assert (verdict.outcome, [each.code for each in verdict.reasons]) == (outcome, [code])
    (reason,) = verdict.reasons
    assert reason.text in verdict.text
    assert reason.text.endswith(".")


@pytest.mark.parametrize(
    "change",
    [
        {"dsr": 0.95},
        {"pbo": 0.2},
        {"trades": 30},
        {"folds": 3},
        {"efficiency": 0.25},
        {"profitable_folds": 0.5},
        {"plateau": 0.33},
        {"plateau": None, "neighbours": 0},
        {"holding": 1.19},
        {"holding": -1.0},
    ],
)
def test_a_threshold_itself_is_enough(change: dict[str, Any]) -> None:
    assert judge(replace(GOOD, **change)).outcome == "promote"


def test_one_combination_that_was_never_searched_for_needs_no_probability_of_overfitting() -> None:
    assert judge(replace(GOOD, pbo=None, combinations=1, trials=1)).outcome == "promote"


def test_a_rejecting_reason_comes_first_and_all_are_told() -> None:
    verdict = judge(replace(GOOD, trades=3, pbo=0.9, probability_of_loss=0.6, edges=("fast",)))
    assert [each.code for each in verdict.reasons] == ["PBO_HIGH", "TOO_FEW_TRADES", "AT_GRID_EDGE"]
    assert verdict.outcome == "reject"
    assert "90 %" in verdict.text


def test_the_text_names_figures_and_thresholds() -> None:
    (reason,) = judge(replace(GOOD, dsr=0.931, trials=1204)).reasons
    assert reason.text == (
        "The chance that its edge is real is 93.1 % after 1,204 trials on this data; 95 % is needed."
    )
    (reason,) = judge(replace(GOOD, trades=1)).reasons
    assert reason.text == "It closed 1 trade out of sample; fewer than 30 prove little."


# ------------------------------------------------------------------------------------------------------------ thresholds


def test_what_is_not_named_keeps_its_default() -> None:
    assert Gate.clean({}) == Gate()
    assert Gate.clean({"max_pbo": 0.1, "min_trades": 100}) == Gate(max_pbo=0.1, min_trades=100)


@pytest.mark.parametrize(
    ("data", "pointer"),
    [
        ({"max_pob": 0.1}, "gate/max_pob"),
        ({"min_dsr": 1.2}, "gate/min_dsr"),
        ({"min_dsr": -0.95}, "gate/min_dsr"),
        ({"min_dsr": 0.0}, "gate/min_dsr"),
        ({"min_dsr": math.nan}, "gate/min_dsr"),
        ({"min_dsr": "0.95"}, "gate/min_dsr"),
        ({"min_dsr": None}, "gate/min_dsr"),
        ({"min_dsr": True}, "gate/min_dsr"),
        ({"max_pbo": 1}, "gate/max_pbo"),
        ({"min_trades": 10.5}, "gate/min_trades"),
        ({"min_trades": 0}, "gate/min_trades"),
        ({"min_folds": -1}, "gate/min_folds"),
        ({"reject_dsr": 0.99}, "gate/reject_dsr"),
        ({"reject_pbo": 0.1}, "gate/reject_pbo"),
        ([], "gate"),
        ("strict", "gate"),
    ],
)
def test_a_threshold_that_is_unknown_or_cannot_be_is_refused_and_named(data: object, pointer: str) -> None:
    with pytest.raises(ValidationFailed) as refused:
        Gate.clean(data)
    assert [each.pointer for each in refused.value.errors] == [pointer]


def test_all_wrong_thresholds_are_named_at_once() -> None:
    with pytest.raises(ValidationFailed) as refused:
        Gate.clean({"min_dsr": 2, "extra": 1, "max_pbo": 0.1}, pointer="settings/gate")
    assert [each.pointer for each in refused.value.errors] == ["settings/gate/min_dsr", "settings/gate/extra"]


def test_every_threshold_has_a_range_that_its_default_is_in() -> None:
    gate = Gate()
    assert set(RANGES) == {each.name for each in fields(Gate)}
    for name, allowed in RANGES.items():
        assert allowed.least <= getattr(gate, name) <= allowed.most


def test_it_becomes_json() -> None:
    data = json.loads(json.dumps(judge(replace(GOOD, dsr=0.5, edges=("fast",))).as_dict(), allow_nan=False))
    assert data["outcome"] == "reject"
    assert data["reasons"][0]["code"] == "DSR_LOW"
    assert data["gate"]["min_dsr"] == 0.95
    assert data["evidence"]["edges"] == ["fast"]
