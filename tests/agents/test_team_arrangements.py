"""Who speaks after whom: bounded whatever is said, and who decides has the last word."""

from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.team.arrangements import Choice, Turn, moves
from agents.team.words import Arrangement, Member, Role, Team
from tests.agents.scripted import HOLD, member, team

ANA, BEN = member("Ana"), member("Ben")
BULL, BEAR = member("Bull", Role.BULL), member("Bear", Role.BEAR)
RISK, DEE = member("Risk", Role.RISK), member("Dee", Role.DECISION)


def played(one: Team, say: Callable[[Turn], str], pick: Callable[[Choice], str] = lambda choice: "?") -> Iterator[Turn]:
    """Yield the turns of a team that answers by `say` and picks by `pick`."""
    line = moves(one)
    move = next(line)
    while True:
        if isinstance(move, Turn):
            yield move
            answer = say(move)
        else:
            answer = pick(move)
        try:
            move = line.send(answer)
        except StopIteration:
            return


def names(turns: Iterator[Turn]) -> list[str]:
    return [turn.member.name for turn in turns]


def advising(**lines: str) -> Callable[[Turn], str]:
    """Return answers with each member's line, and a decision of who decides."""
    return lambda turn: HOLD if turn.member.role is Role.DECISION else f"Recommendation: {lines[turn.member.name]}"


def test_round_robin_goes_round_until_somebody_has_decided() -> None:
    one = team(ANA, BEN, DEE, max_rounds=5)
    assert names(played(one, lambda turn: HOLD)) == ["Ana", "Ben", "Dee"]
    assert names(played(one, lambda turn: "Hm.")) == ["Ana", "Ben", "Dee"] * 5


def test_a_decision_of_who_does_not_decide_is_none() -> None:
    one = team(ANA, DEE, max_rounds=2)
    assert names(played(one, lambda turn: HOLD if turn.member is ANA else "Hm.")) == ["Ana", "Dee"] * 2


def test_a_selector_without_a_usable_choice_keeps_to_the_order_of_the_team() -> None:
    one = team(ANA, BEN, DEE, arrangement=Arrangement.SELECTOR, max_rounds=3)
    assert names(played(one, lambda turn: HOLD)) == ["Ana", "Ben", "Dee"]


def test_a_selector_that_never_picks_who_decides_ends_with_it_all_the_same() -> None:
    one = team(ANA, BEN, DEE, arrangement=Arrangement.SELECTOR, max_rounds=3)
    assert names(played(one, lambda turn: "Hm.", lambda choice: "Ben")) == ["Ben"] * 8 + ["Dee"]


def test_in_a_debate_the_analysts_come_first_and_who_decides_last() -> None:
    one = team(DEE, RISK, BEAR, BULL, ANA, BEN, arrangement=Arrangement.DEBATE, max_rounds=1)
    say = advising(Ana="BUY", Ben="SELL", Bull="BUY", Bear="SELL", Risk="HOLD")
    assert names(played(one, say)) == ["Ana", "Ben", "Bull", "Bear", "Risk", "Dee"]


def test_a_debate_ends_when_neither_moves_the_other() -> None:
    one = team(ANA, BULL, BEAR, DEE, arrangement=Arrangement.DEBATE, max_rounds=10)
    say = advising(Ana="HOLD", Bull="BUY (confidence 0.6)", Bear="SELL (confidence 0.6)")
    assert names(played(one, say)) == ["Ana", *["Bull", "Bear"] * 2, "Dee"]


def test_a_debate_ends_when_both_agree() -> None:
    one = team(ANA, BULL, BEAR, DEE, arrangement=Arrangement.DEBATE, max_rounds=10)
    assert names(played(one, advising(Ana="HOLD", Bull="HOLD", Bear="HOLD"))) == ["Ana", "Bull", "Bear", "Dee"]


@pytest.mark.parametrize("rounds", [1, 4])
def test_a_debate_that_goes_on_ends_with_its_rounds(rounds: int) -> None:
    one = team(BULL, BEAR, DEE, arrangement=Arrangement.DEBATE, max_rounds=rounds)
    assert names(played(one, lambda turn: "I say no more than this.")) == ["Bull", "Bear"] * rounds + ["Dee"]


def test_sides_that_nobody_is_there_for_are_taken_by_the_analysts_nearest_to_them() -> None:
    cat = member("Cat")
    one = team(ANA, BEN, cat, RISK, DEE, arrangement=Arrangement.DEBATE, max_rounds=1)
    say = advising(Ana="SELL (confidence 0.2)", Ben="SELL (confidence 0.9)", Cat="HOLD", Risk="HOLD")
    turns = list(played(one, say))
    assert names(iter(turns)) == ["Ana", "Ben", "Cat", "Cat", "Ben", "Risk", "Dee"]
    assert [turn.member.role for turn in turns[3:5]] == [Role.BULL, Role.BEAR]
    assert "for buying" in turns[3].text
    assert "against buying" in turns[4].text


def test_one_analyst_has_nobody_to_argue_with() -> None:
    one = team(ANA, RISK, DEE, arrangement=Arrangement.DEBATE, max_rounds=3)
    assert names(played(one, advising(Ana="BUY", Risk="HOLD"))) == ["Ana", "Risk", "Dee"]


@given(
    roles=st.lists(st.sampled_from([Role.ANALYST, Role.BULL, Role.BEAR, Role.RISK]), max_size=6),
    arrangement=st.sampled_from(list(Arrangement)),
    rounds=st.integers(1, 5),
    answers=st.lists(
        st.sampled_from(["Recommendation: BUY (confidence 0.5)", "Recommendation: SELL", HOLD, "Hm."]), min_size=1
    ),
)
def test_every_team_ends_within_its_rounds_and_who_decides_speaks_last(
    roles: list[Role], arrangement: Arrangement, rounds: int, answers: list[str]
) -> None:
    members: list[Member] = [member(f"M{number}", role) for number, role in enumerate(roles)]
    one = team(*members, DEE, arrangement=arrangement, max_rounds=rounds)
    spoken: list[Turn] = []

    def say(turn: Turn) -> str:
        spoken.append(turn)
        return answers[len(spoken) % len(answers)]

    turns = list(played(one, say, lambda choice: choice.members[len(spoken) % len(choice.members)].name))
    assert turns[-1].member == DEE
    assert len(turns) <= rounds * (len(members) + 2) + len(members) + 1
    assert next(moves(one)) == next(moves(one))
