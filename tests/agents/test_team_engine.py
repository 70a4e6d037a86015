"""The engine of a team: what is said comes in order, every end has a code, and a reason to stop is heard."""

import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from agents.team import engine
from agents.team.failures import ModelFailed
from agents.team.words import Arrangement, Budget, Code, Outcome, Role, Said, SaidType, Task
from tests.agents.scripted import BUY, HOLD, OPENAI, TASK, Cast, ScriptedDesk, member, split, talkers, team
from tradingsite.common.contracts.steps import StepInterrupted

ANN, DEE = member("Ann", tools=("bars",)), member("Dee", Role.DECISION)


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    yield
    assert not [thread for thread in threading.enumerate() if thread.name == "team"]
    assert engine._places._value == engine.TALKING  # type: ignore[attr-defined]


def test_a_team_talks_in_order_and_decides() -> None:
    cast = Cast({"Ann": [[("bars", {"count": 5})], "It rises.\nRecommendation: BUY (confidence 0.60)"], "Dee": [BUY]})
    desk = ScriptedDesk()
    said, outcomes = split(engine.run(team(ANN, DEE), [TASK], host=desk, clients=cast))
    assert [(one.agent_name, one.type) for one in said] == [
        ("Ann", SaidType.REQUEST),
        ("Ann", SaidType.TOOL_CALL),
        ("Ann", SaidType.TOOL_RESULT),
        ("Ann", SaidType.RESPONSE),
        ("Dee", SaidType.REQUEST),
        ("Dee", SaidType.RESPONSE),
    ]
    assert desk.calls == [("IBM", "Ann", "bars", {"count": 5})]
    call, result = said[1], said[2]
    assert (call.tool, call.call_id, call.content) == ("bars", result.call_id, '{"count": 5}')
    assert result.content == '{"close": "100", "of": "IBM"}'
    assert (call.prompt_tokens, call.completion_tokens, result.prompt_tokens) == (10, 5, None)
    outcome = outcomes["IBM"]
    assert outcome.decision == {
        "action": "BUY", "confidence": 0.7, "reason": "It rises.", "stop": "95.5", "target": "110"
    }  # fmt: skip
    assert (outcome.code, outcome.tokens, outcome.messages, outcome.cost) == ("", 45, 4, Decimal(0))


def test_each_member_hears_the_question_once_and_what_the_others_said() -> None:
    cast = Cast({"Ann": ["It rises.", "It still rises."], "Dee": ["I need another round.", BUY]})
    split(engine.run(team(ANN, DEE), [TASK], host=ScriptedDesk(), clients=cast))
    first, second = cast.clients["IBM", "Dee"].asked
    assert [str(message.content).count(TASK.text) for message in first].count(1) == 1
    assert any("It rises." in str(message.content) for message in first)
    assert any("It still rises." in str(message.content) for message in second)
    assert sum("It rises." in str(message.content) for message in second) == 1


def test_symbols_are_talked_about_at_once_up_to_the_bound_and_each_keeps_its_order() -> None:
    tasks = [Task(f"S{n}", "Decide.", Decimal(1), "2026-01-02T00:00:00Z") for n in range(9)]
    cast = Cast({"Ann": [[("bars", {})], [("bars", {})], "Recommendation: HOLD"], "Dee": [HOLD]})
    said, outcomes = split(engine.run(team(ANN, DEE), tasks, host=ScriptedDesk(), clients=cast, concurrency=3))
    assert set(outcomes) == {task.symbol for task in tasks}
    for task in tasks:
        types = [one.type for one in said if one.symbol == task.symbol]
        assert types == ["request", *["tool_call", "tool_result"] * 2, "response", "request", "response"]


@pytest.mark.parametrize(
    ("budget", "code"),
    [
        ({"messages": 7}, Code.BUDGET_MESSAGES),
        ({"tokens": 100}, Code.BUDGET_TOKENS),
        ({"cost": Decimal("0.05")}, Code.BUDGET_COST),
        ({"seconds": 0.5}, Code.BUDGET_SECONDS),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("by", ["turns", "tools"])
def test_a_team_that_never_ends_is_stopped_by_its_budget(budget: dict[str, Any], code: str, by: str) -> None:
    talks = (lambda number: f"And another thing, the {number}th.") if by == "turns" else (lambda number: [("bars", {})])
    if code == Code.BUDGET_SECONDS:
        talks = lambda number: "hang" if number == 3 else [("bars", {})]  # noqa: E731
    big = {"messages": 10_000, "tokens": None, "seconds": 60.0}
    ann, dee = talkers(**{**big, **budget}).members
    ann = member("Ann", tools=("bars",), max_iterations=1000)
    endless = team(ann, dee, max_rounds=100, budget=Budget(**{**big, **budget}))
    cast = Cast({"Ann": talks, "Dee": talks if by == "turns" else ["?"] * 100})
    began = time.monotonic()
    said, outcomes = split(
        engine.run(endless, [TASK], host=ScriptedDesk(), clients=cast, cost=lambda member, p, c: Decimal("0.01"))
    )
    assert time.monotonic() - began < 5
    outcome = outcomes["IBM"]
    assert (outcome.decision, outcome.code) == (None, code)
    assert (said[-1].type, said[-1].error_code, said[-1].content) == (SaidType.ERROR, code, outcome.detail)
    assert "holds" in outcome.detail
    if code == Code.BUDGET_MESSAGES:
        assert outcome.messages == 7


def test_a_cost_that_is_not_known_is_within_no_budget() -> None:
    cast = Cast({"Ann": ["a"] * 9, "Dee": ["b"] * 9})
    said, outcomes = split(
        engine.run(
            talkers(cost=Decimal(1000)), [TASK], host=ScriptedDesk(), clients=cast, cost=lambda member, p, c: None
        )
    )
    assert outcomes["IBM"].code == Code.BUDGET_COST
    assert len([one for one in said if one.type == SaidType.RESPONSE]) == 1


def test_tokens_that_an_api_does_not_tell_are_counted_by_the_length() -> None:
    ann, dee = member("Ann", model=OPENAI), member("Dee", Role.DECISION, model=OPENAI)
    cast = Cast({"Ann": ["word " * 100], "Dee": [HOLD]}, tokens=(0, 0))
    said, outcomes = split(engine.run(team(ann, dee), [TASK], host=ScriptedDesk(), clients=cast))
    answers = [one for one in said if one.type == SaidType.RESPONSE]
    assert [one.prompt_tokens for one in answers] == [None, None]
    assert outcomes["IBM"].tokens >= 500


@pytest.mark.parametrize("where", ["model", "model that streams", "tool round"])
def test_a_reason_to_stop_ends_a_model_that_hangs_within_two_seconds(where: str) -> None:
    stream = where == "model that streams"
    ref = OPENAI if not stream else type(OPENAI)(provider=OPENAI.provider, model="m", stream=True)
    script = ["hang"] if where != "tool round" else [[("bars", {})], "hang"]
    cast = Cast({"Ann": script, "Dee": [HOLD]})
    desk = ScriptedDesk()
    items = engine.run(team(member("Ann", tools=("bars",), model=ref), DEE), [TASK], host=desk, clients=cast)
    assert next(items)
    for _ in range(2 if where == "tool round" else 0):
        next(items)
    desk.stop = StepInterrupted("cancelled")
    began = time.monotonic()
    with pytest.raises(StepInterrupted, match="cancelled"):
        list(items)
    assert time.monotonic() - began < 2


def test_the_reason_to_stop_is_asked_for_ten_times_a_second() -> None:
    desk = ScriptedDesk()
    limited = team(ANN, DEE, budget=Budget(seconds=1.0))
    split(engine.run(limited, [TASK], host=desk, clients=Cast({"Ann": ["hang"], "Dee": [HOLD]})))
    assert desk.checks >= 10


def test_who_stops_listening_ends_the_team() -> None:
    items = engine.run(team(ANN, DEE), [TASK], host=ScriptedDesk(), clients=Cast({"Ann": ["hang"], "Dee": [HOLD]}))
    assert isinstance(next(items), Said)
    items.close()


@pytest.mark.parametrize("rounds", [1, 3])
def test_a_member_goes_back_to_its_tools_only_so_often(rounds: int) -> None:
    ann = member("Ann", tools=("bars",), max_iterations=rounds)
    cast = Cast({"Ann": [*[[("bars", {})]] * rounds, "Enough."], "Dee": [HOLD]})
    desk = ScriptedDesk()
    _, outcomes = split(engine.run(team(ann, DEE), [TASK], host=desk, clients=cast))
    assert (len(desk.calls), outcomes["IBM"].code) == (rounds, "")


def test_a_member_that_calls_tools_where_none_are_offered_ends_the_conversation() -> None:
    ann = member("Ann", tools=("bars",), max_iterations=1)
    cast = Cast({"Ann": lambda number: [("bars", {})], "Dee": [HOLD]})
    _, outcomes = split(engine.run(team(ann, DEE), [TASK], host=ScriptedDesk(), clients=cast))
    assert outcomes["IBM"].code == Code.MODEL_ANSWER_INVALID


@pytest.mark.parametrize("arguments", ["{", "[1]", "7", '{"a": 1'])
def test_a_call_that_is_none_is_told_to_the_model_and_stored(arguments: str) -> None:
    cast = Cast({"Ann": [[("bars", arguments), ("bars", {})], "Recommendation: HOLD"], "Dee": [HOLD]})
    desk = ScriptedDesk()
    said, outcomes = split(engine.run(team(ANN, DEE), [TASK], host=desk, clients=cast))
    assert len(desk.calls) == 1
    assert outcomes["IBM"].code == ""
    wrong = [one for one in said if one.error_code]
    assert [(one.type, one.error_code) for one in wrong] == [(SaidType.TOOL_RESULT, "TOOL_ARGUMENTS_INVALID")]


def test_a_tool_that_is_none_is_told_to_the_model_and_stored() -> None:
    cast = Cast({"Ann": [[("place_order", {"quantity": 100})], "Recommendation: HOLD"], "Dee": [HOLD]})
    desk = ScriptedDesk()
    said, _ = split(engine.run(team(ANN, DEE), [TASK], host=desk, clients=cast))
    assert desk.calls == []
    assert [one.tool for one in said if one.type == SaidType.TOOL_CALL] == ["place_order"]


@pytest.mark.parametrize(
    ("answer", "finish", "code"),
    [
        (ModelFailed(Code.MODEL_UNAUTHORIZED, "The key was refused."), "stop", Code.MODEL_UNAUTHORIZED),
        ("", "stop", Code.MODEL_ANSWER_INVALID),
        ("I must not", "content_filter", Code.MODEL_REFUSED),
        ("No idea.", "stop", Code.DECISION_MISSING),
        ('{"action": "BUY", "conf', "length", Code.ANSWER_CUT_OFF),
        ('{"action": "BUY", "conf', "stop", Code.DECISION_INVALID),
        (f"Recommendation: SELL (confidence 0.9)\n{BUY}", "stop", Code.TEXT_AGAINST_ACTION),
    ],
)
def test_a_failure_is_an_outcome_with_its_code(answer: Any, finish: str, code: str) -> None:
    cast = Cast({"Dee": [answer]}, finish=finish)
    said, outcomes = split(engine.run(team(DEE, max_rounds=1), [TASK], host=ScriptedDesk(), clients=cast))
    assert (outcomes["IBM"].decision, outcomes["IBM"].code) == (None, code)
    assert (said[-1].type, said[-1].error_code) == (SaidType.ERROR, code)


def test_a_model_that_is_too_slow_ends_its_conversation_and_no_other() -> None:
    slow = member("Dee", Role.DECISION, model=type(OPENAI)(provider=OPENAI.provider, model="m", timeout_s=0.2))

    def cast(one: Any, task: Task) -> Any:
        return Cast({"Dee": ["hang" if task.symbol == "IBM" else HOLD]})(one, task)

    other = Task("MSFT", "Decide.", Decimal(1), "2026-01-02T00:00:00Z")
    _, outcomes = split(engine.run(team(slow), [TASK, other], host=ScriptedDesk(), clients=cast))
    assert (outcomes["IBM"].code, outcomes["MSFT"].code) == (Code.MODEL_TIMED_OUT, "")


def test_a_whole_decision_of_a_cut_answer_stands_with_a_warning() -> None:
    cast = Cast({"Dee": [f"{HOLD} and so on and so"]}, finish="length")
    said, outcomes = split(engine.run(team(DEE), [TASK], host=ScriptedDesk(), clients=cast))
    assert outcomes["IBM"].warnings == (Code.ANSWER_CUT_OFF,)
    assert said[-1].cut_off


def test_a_fault_of_the_desks_own_is_raised_and_no_outcome() -> None:
    class Broken(ScriptedDesk):
        def call(self, **more: Any) -> str:
            raise ZeroDivisionError

    cast = Cast({"Ann": [[("bars", {})]], "Dee": [HOLD]})
    with pytest.raises(ZeroDivisionError):
        list(engine.run(team(ANN, DEE), [TASK], host=Broken(), clients=cast))
    with pytest.raises(KeyError):
        list(engine.run(team(ANN, DEE), [TASK], host=ScriptedDesk(), clients=Cast({})))


def test_the_same_answers_make_the_same_conversation() -> None:
    def once() -> list[Any]:
        cast = Cast({"Ann": [[("bars", {}), ("bars", {"count": 2})], "Recommendation: HOLD"], "Dee": [HOLD]})
        return [
            (one.symbol, one.decision) if isinstance(one, Outcome) else (one.agent_name, one.type, one.content)
            for one in engine.run(team(ANN, DEE), [TASK], host=ScriptedDesk(), clients=cast)
        ]

    assert once() == once()


def test_a_model_picks_who_speaks_and_one_that_names_nobody_leaves_it_to_the_order() -> None:
    dee = member("Dee", Role.DECISION, model=OPENAI)
    ann, ben = member("Ann"), member("Ben")
    # Its model picks and decides: the answers to both are one script's.
    cast = Cast({"Ann": ["Recommendation: BUY"], "Ben": ["Recommendation: HOLD"], "Dee": ["Ben!", "?", BUY]})
    chosen = team(ann, ben, dee, arrangement=Arrangement.SELECTOR)
    said, outcomes = split(engine.run(chosen, [TASK], host=ScriptedDesk(), clients=cast))
    assert [one.agent_name for one in said] == ["selector"] * 2 + ["Ben"] * 2 + ["selector"] * 2 + ["Dee"] * 2
    assert outcomes["IBM"].decision is not None
    assert outcomes["IBM"].messages == 4


def test_two_teams_take_turns_at_their_messages_and_one_that_waits_still_hears_its_reason_to_stop() -> None:
    first = engine.run(team(ANN, DEE), [TASK], host=ScriptedDesk(), clients=Cast({"Ann": ["hang"], "Dee": [HOLD]}))
    next(first)
    desk = ScriptedDesk()
    desk.stop_after = 5
    second = engine.run(team(ANN, DEE), [TASK], host=desk, clients=Cast({"Ann": ["a"], "Dee": [HOLD]}))
    with pytest.raises(StepInterrupted):
        next(second)
    first.close()
    third = engine.run(team(ANN, DEE), [TASK], host=ScriptedDesk(), clients=Cast({"Ann": ["a"], "Dee": [HOLD]}))
    assert split(third)[1]["IBM"].code == ""
