"""Reading a decision out of what a model wrote: one whole JSON object that nothing beside it contradicts."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.team.decisions import MAX_REASON, decision_read
from agents.team.words import Code

GOOD: dict[str, Any] = {"action": "BUY", "confidence": 0.7, "reason": "It rises."}


def text(**changes: Any) -> str:
    return json.dumps({**GOOD, **changes})


@pytest.mark.parametrize(
    "written",
    [
        text(),
        f"```json\n{text()}\n```",
        f"After all that:\n\n{text()}\n\nThank you.",
        f"Of {{braces}} and such. {text()}",
        f"{text()}\nRecommendation: BUY (confidence 0.70)",
        f"The bear said to sell; I disagree. {text()}",
        f"I recommend to buy. {text()}",
    ],
)
def test_one_whole_decision_is_found_fenced_or_bare(written: str) -> None:
    stated = decision_read(written)
    assert (stated.decision, stated.code) == (GOOD, "")


@pytest.mark.parametrize(
    ("stop", "kept"),
    [("95.5", "95.5"), (95.5, "95.5"), (95, "95"), (0.1, "0.1"), (1e-07, "0.0000001"), (1e3, "1000.0")],
)
def test_a_price_is_read_as_it_was_written(stop: Any, kept: str) -> None:
    decision = decision_read(text(stop=stop)).decision
    assert decision is not None
    assert decision["stop"] == kept


def test_a_level_that_is_null_is_none() -> None:
    assert decision_read(text(stop=None, target=None)).decision == GOOD


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("", Code.DECISION_MISSING),
        ("BUY!", Code.DECISION_MISSING),
        ("I would say [BUY].", Code.DECISION_MISSING),
        (text()[:-4], Code.DECISION_INVALID),
        ('{"decision": ' + text() + "}", Code.DECISION_INVALID),
        ("{}", Code.DECISION_INVALID),
        (text() + text(action="SELL"), Code.DECISION_INVALID),
        (text(action="buy"), Code.DECISION_INVALID),
        (text(action="SHORT"), Code.DECISION_INVALID),
        (text(action=["BUY"]), Code.DECISION_INVALID),
        (text(confidence=70), Code.DECISION_INVALID),
        (text(confidence="0.7"), Code.DECISION_INVALID),
        (text(confidence=True), Code.DECISION_INVALID),
        (text(confidence=float("nan")), Code.DECISION_INVALID),
        (text(reason=" "), Code.DECISION_INVALID),
        (text(reason="x" * (MAX_REASON + 1)), Code.DECISION_INVALID),
        (text(stop="cheap"), Code.DECISION_INVALID),
        (text(stop=-5), Code.DECISION_INVALID),
        (text(quantity=1000), Code.DECISION_INVALID),
        ('{"action": "BUY", "action": "BUY", "confidence": 1, "reason": "x"}', Code.DECISION_INVALID),
        ('{"action": "BUY", "confidence": 1}', Code.DECISION_INVALID),
        ("[" * 100_000 + text(), None),
        ('{"a":' * 5_000, Code.DECISION_INVALID),
        (f"Recommendation: SELL (confidence 0.90)\n{text()}", Code.TEXT_AGAINST_ACTION),
        (f"My decision is to sell. {text()}", Code.TEXT_AGAINST_ACTION),
        (f"Final recommendation: HOLD. {text()}", Code.TEXT_AGAINST_ACTION),
        (f"We should sell. {text()}", Code.TEXT_AGAINST_ACTION),
        (text(reason="Do not buy this."), Code.TEXT_AGAINST_ACTION),
        (text(reason="I decided against buying."), Code.TEXT_AGAINST_ACTION),
    ],
)
def test_what_is_no_decision_has_a_code(written: str, code: str | None) -> None:
    stated = decision_read(written)
    if code is None:
        assert stated.decision == GOOD
    else:
        assert (stated.decision, stated.code) == (None, code)
        assert stated.detail


def test_a_cut_answer_without_a_whole_decision_says_that_it_was_cut() -> None:
    assert decision_read(text()[:20], cut_off=True).code == Code.ANSWER_CUT_OFF
    assert decision_read(f"{text()} and", cut_off=True).warnings == (Code.ANSWER_CUT_OFF,)


@given(
    action=st.sampled_from(["BUY", "SELL", "HOLD"]),
    confidence=st.floats(0, 1),
    reason=st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=200),
    before=st.text(max_size=50),
)
def test_what_is_read_is_what_was_stated(action: str, confidence: float, reason: str, before: str) -> None:
    given_ = {"action": action, "confidence": confidence, "reason": reason}
    stated = decision_read(before.replace("{", "") + "\n" + json.dumps(given_))
    if stated.decision is not None:
        assert stated.decision == given_
    else:
        assert stated.code == Code.TEXT_AGAINST_ACTION


@given(st.text())
def test_no_text_is_too_odd_to_be_read(written: str) -> None:
    stated = decision_read(written)
    assert (stated.decision is None) == bool(stated.code)


@given(st.integers(0, len(text()) - 1))
def test_a_decision_cut_anywhere_is_none(place: int) -> None:
    assert decision_read(text()[:place]).decision is None
