"""From opinions to decisions, by the written rule."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from agents.autonomous.deciding import Opinion, Quote, decisions_of

PRICE = Decimal(100)
QUOTE = Quote(PRICE, "2026-01-05T00:00:00Z")


@st.composite
def opinions(draw: st.DrawFn) -> Opinion:
    action = draw(st.sampled_from(["BUY", "SELL", "HOLD"]))
    code = draw(st.sampled_from(["", "", "", "INSUFFICIENT_BARS"])) if action == "HOLD" else ""
    level = st.none() | st.integers(50, 150).map(Decimal)
    return Opinion(
        source=draw(st.sampled_from(["strategy A", "strategy B", "team"])),
        symbol=draw(st.sampled_from(["ACME", "BETA"])),
        action=action,
        confidence=draw(st.floats(0, 1)),
        reason=draw(st.text(max_size=3000)),
        stop=draw(level) if action == "BUY" else None,
        target=draw(level) if action == "BUY" else None,
        code=code,
    )


@given(st.lists(opinions(), max_size=8))
def test_only_what_everybody_says_is_done(said: list[Opinion]) -> None:
    decisions = decisions_of(said, {"ACME": QUOTE, "BETA": QUOTE})
    assert [each.symbol for each in decisions] == ["ACME", "BETA"]
    for decision in decisions:
        own = [each for each in said if each.symbol == decision.symbol]
        actions = {each.action for each in own}
        agreed = actions == {decision.action} and not any(each.code for each in own)
        assert decision.action == "HOLD" or agreed
        if len(actions) == 1 and not any(each.code for each in own):
            assert {decision.action} == actions
            assert decision.confidence == min(each.confidence for each in own)
        assert 0 <= decision.confidence <= 1
        assert len(decision.reason) <= 2000
        assert decision.price == PRICE
        if decision.action != "BUY":
            assert decision.stop is decision.target is None
        assert decision.stop is None or decision.stop < PRICE
        assert decision.target is None or decision.target > PRICE


@given(st.lists(opinions(), max_size=8), st.randoms())
def test_the_order_in_which_they_speak_decides_nothing(said: list[Opinion], random: object) -> None:
    shuffled = list(said)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    quotes = {"ACME": QUOTE, "BETA": QUOTE}
    first, second = decisions_of(said, quotes), decisions_of(shuffled, quotes)
    assert [(d.action, d.confidence, d.stop, d.target) for d in first] == [
        (d.action, d.confidence, d.stop, d.target) for d in second
    ]


def _said(source: str, action: str, **levels: Decimal) -> Opinion:
    return Opinion(source, "ACME", action, 0.5, f"{source} looked", **levels)


def test_the_nearest_stop_and_the_nearest_target_stand() -> None:
    (decision,) = decisions_of(
        [
            _said("A", "BUY", stop=Decimal(90), target=Decimal(130)),
            _said("B", "BUY", stop=Decimal(95), target=Decimal(110)),
        ],
        {"ACME": QUOTE},
    )
    assert (decision.action, decision.stop, decision.target) == ("BUY", Decimal(95), Decimal(110))
    assert decision.r_coefficient == 2.0


def test_a_hold_says_who_said_what() -> None:
    (decision,) = decisions_of([_said("A", "BUY"), _said("B", "SELL")], {"ACME": QUOTE})
    assert decision.action == "HOLD"
    assert decision.reason == "DISAGREEMENT: A says BUY: A looked; B says SELL: B looked"
    (silent,) = decisions_of([], {"ACME": QUOTE})
    assert silent.reason == "NO_OPINION: nobody was asked about it"
