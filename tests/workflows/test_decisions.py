"""Decisions and conditions as pure functions."""

from decimal import Decimal
from typing import Any

import pytest

from workflows.conditions import Rule, check_rule, check_rules
from workflows.decisions import Decision, Levels, decide
from workflows.errors import UnknownFigure


def _decide(**changes: Any) -> Decision:
    facts: dict[str, Any] = {
        "symbol": "IBM",
        "target": 1,
        "began": False,
        "held": Decimal(0),
        "event_only": False,
        "confidence": 0.5,
        "figures": {"sma 20": 101.25, "sma 50": 99.5},
        "levels": Levels(stop=Decimal(95), target=Decimal(110)),
        "price": Decimal(100),
        "bar_time": "2013-02-28T14:30:00Z",
    }
    return decide(**{**facts, **changes})


@pytest.mark.parametrize(
    ("target", "held", "action"),
    [(1, "0", "BUY"), (1, "5", "HOLD"), (1, "-5", "HOLD"), (0, "5", "SELL"), (0, "0", "HOLD"), (0, "-5", "HOLD")],
)
def test_the_decision_compares_what_is_wanted_with_what_is_held(target: int, held: str, action: str) -> None:
    decision = _decide(target=target, held=Decimal(held))
    assert decision.action == action
    assert "sma 20 = 101.25, sma 50 = 99.5" in decision.reason


def test_an_event_buys_on_its_own_bar_only_and_never_delays_a_sale() -> None:
    assert _decide(event_only=True, began=True).action == "BUY"
    late = _decide(event_only=True, began=False)
    assert late.action == "HOLD"
    assert "own bar only" in late.reason
    assert _decide(event_only=True, target=0, held=Decimal(3)).action == "SELL"


def test_r_is_reward_over_risk_and_null_without_a_stop() -> None:
    assert _decide().r_coefficient == 2.0
    assert _decide(levels=Levels(target=Decimal(110))).r_coefficient is None
    assert _decide(levels=Levels(stop=Decimal(95))).r_coefficient is None
    assert _decide(levels=Levels(stop=Decimal(100), target=Decimal(110))).r_coefficient is None
    held = _decide(held=Decimal(1))
    assert (held.r_coefficient, held.stop, held.target) == (None, None, None)


def test_an_output_is_json_with_decimal_strings() -> None:
    assert _decide().as_output() == {
        "symbol": "IBM",
        "action": "BUY",
        "confidence": 0.5,
        "r_coefficient": 2.0,
        "reason": "the strategy is long and nothing is held: sma 20 = 101.25, sma 50 = 99.5",
        "price": "100",
        "stop": "95",
        "target": "110",
        "bar_time": "2013-02-28T14:30:00Z",
    }


FIGURES = {
    "rsi": {"value": 55.1, "previous": 29.0},
    "avg": {"value": 50.0, "previous": 30.0},
    "new": {"value": 5.0, "previous": None},
    "none": {"value": None, "previous": None},
}


@pytest.mark.parametrize(
    ("rule", "passed"),
    [
        (Rule("rsi", "<", 60.0), True),
        (Rule("rsi", "<", 55.1), False),
        (Rule("rsi", "<=", 55.1), True),
        (Rule("rsi", ">", "avg"), True),
        (Rule("rsi", ">=", 55.1), True),
        (Rule("rsi", "crosses_above", 30.0), True),
        (Rule("rsi", "crosses_above", 20.0), False),
        (Rule("rsi", "crosses_above", "avg"), True),
        (Rule("avg", "crosses_below", "rsi"), True),
        (Rule("rsi", "crosses_below", 30.0), False),
        (Rule("new", "crosses_above", 1.0), False),
        (Rule("none", "<", 60.0), False),
        (Rule("none", ">", 60.0), False),
    ],
)
def test_a_rule_holds_by_its_figures(rule: Rule, passed: bool) -> None:
    assert check_rule(rule, FIGURES)[0] is passed


def test_a_rule_says_its_figures() -> None:
    assert check_rule(Rule("rsi", "<", 30.0), FIGURES)[1] == "rsi 55.1 < 30"
    assert check_rule(Rule("none", "<", 30.0), FIGURES)[1] == "none no value < 30"


def test_all_or_any_rules_must_hold() -> None:
    rules = [Rule("rsi", "<", 60.0), Rule("rsi", "<", 30.0)]
    assert check_rules(rules, FIGURES, match_all=True) == (False, "rsi 55.1 < 60 and not rsi 55.1 < 30")
    assert check_rules(rules, FIGURES, match_all=False)[0] is True


def test_a_rule_about_nothing_is_a_coded_failure() -> None:
    with pytest.raises(UnknownFigure, match="UNKNOWN_FIGURE: A rule names 'x'"):
        check_rule(Rule("x", "<", 1.0), FIGURES)
