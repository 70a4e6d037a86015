"""Five agents over an API on this machine, from the workflow to the order: as they decide, or a HOLD that says why."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from rest_framework.test import APIClient

from executions.models import StepExecution, WorkflowExecution
from portfolio.models import Account
from tests.agents import model_api
from tests.agents.program import Act, Call, Program
from tests.executions.conftest import Trials

pytestmark = pytest.mark.django_db
KEY = "sk-loopback-0987654321"
BUY = '```json\n{"action": "BUY", "confidence": 0.8, "reason": "Both analysts see it rise.", "stop": "90"}\n```'
ROLES = {
    "Technical": "analyst",
    "Fundamental": "analyst",
    "Sentiment": "analyst",
    "Risk": "risk",
    "Decider": "decision",
}
both = pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])


@dataclass
class Ended:
    """What the API says of a run that has ended."""

    run: dict[str, Any]
    said: list[dict[str, Any]]
    orders: list[dict[str, Any]]

    @property
    def decision(self) -> dict[str, Any]:
        (decision,) = self.run["results"]["decisions"]
        return dict(decision)

    def of(self, who: str) -> list[tuple[str, str]]:
        return [(row["message_type"], row["error_code"]) for row in self.said if row["agent_name"] == who]


Carry = Callable[..., Ended]


def member_of(call: Call) -> str:
    """Return which member the request is made for."""
    system = next(message["content"] for message in call.json["messages"] if message["role"] == "system")
    return str(system).split(".")[0].removeprefix("You are ")


def speaks(call: Call) -> None:
    """Answer as a sound model: look at the bars first, then recommend; who decides decides."""
    if member_of(call) == "Decider":
        model_api.says(BUY, usage=(900, 60))(call)
    elif call.json.get("tools") and not any(message["role"] == "tool" for message in call.json["messages"]):
        model_api.calls(("get_bars", {"n": 2}), usage=(200, 15))(call)
    else:
        model_api.says("It rises.\nRecommendation: BUY (confidence 0.70)", usage=(400, 30))(call)


def with_one(name: str, act: Act) -> Act:
    """Answer soundly for all but one, who is answered by `act`."""
    return lambda call: act(call) if member_of(call) == name else speaks(call)


@pytest.fixture
def carry(
    api: Callable[..., APIClient],
    trials: Trials,
    program: Program,
    acme: object,
    account: Account,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> Carry:
    """Return what writes a workflow of five agents, has it carried, and reads how it ended; all over the API."""
    settings.AGENT_KEYS = [f"MODEL_KEY@{program.place}"]
    monkeypatch.setenv("MODEL_KEY", KEY)
    client = api("trader")

    def post(path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = client.post(f"/api/{path}", body, format="json")
        assert answer.status_code in (201, 202), answer.content
        return dict(answer.json())

    def make(act: Act, *, odd: str = "", llm: dict[str, Any] | None = None, **config: Any) -> Ended:
        program.says(act)
        model = {
            "provider": "openai",
            "model": "some-model",
            "base_url": f"{program.url}/v1",
            "api_key_env": "MODEL_KEY",
            "timeout_s": 30,
        }
        agents = [
            {
                "agent_name": name,
                "role": role,
                "system_prompt": f"You are {name}. Think.",
                "llm_config": {**model, **((llm or {}) if odd in ("", name) else {})},
                "tools": ["get_bars"] if role == "analyst" else [],
            }
            for name, role in ROLES.items()
        ]
        steps = [
            {"name": "prices", "type": "market_data", "config": {}},
            {"name": "team", "type": "agents", "config": {"agents": agents, "max_rounds": 1, **config}},
            {"name": "size", "type": "risk_check", "config": {"sizing": {"method": "quantity", "value": "3"}}},
            {"name": "order", "type": "order", "config": {}},
        ]
        name = f"Team {WorkflowExecution.objects.count()}"
        workflow = post("workflows", {"name": name, "type": "custom", "default_params": {}, "steps": steps})["id"]
        strategy = post("strategies", {"name": name, "workflow_id": workflow, "symbols": ["ACME"]})["id"]
        run = post(f"workflows/{workflow}/execute", {"strategy_id": strategy})["workflow_execution_id"]
        trials.carry(WorkflowExecution.objects.get(pk=run))
        return Ended(
            client.get(f"/api/runs/{run}").json(),
            client.get(f"/api/runs/{run}/agent-conversation?page_size=200").json()["results"],
            client.get(f"/api/portfolio/orders?execution_id={run}").json()["results"],
        )

    return make


@both
def test_five_agents_decide_and_the_order_goes_out(carry: Carry, program: Program, stream: bool) -> None:
    ended = carry(speaks, llm={"stream": stream})
    assert ended.run["status"] == "completed", ended.run
    assert (ended.decision["action"], ended.decision["confidence"], ended.decision["stop"]) == ("BUY", 0.8, "90")
    assert [(order["symbol"], order["side"], order["quantity"]) for order in ended.orders] == [("ACME", "buy", "3")]
    assert {member_of(call) for call in program.calls} == set(ROLES)
    assert {call.headers["authorization"] for call in program.calls} == {f"Bearer {KEY}"}
    assert {bool(call.json.get("stream")) for call in program.calls} == {stream}
    assert ended.of("Technical")[:4] == [("request", ""), ("tool_call", ""), ("tool_result", ""), ("response", "")]
    [row] = [row for row in ended.said if row["agent_name"] == "Decider" and row["message_type"] == "response"]
    assert row["message_content"] == BUY
    assert row["tokens_used"] == 960
    asked = next(call for call in program.calls if member_of(call) == "Decider")
    assert "Recommendation: BUY (confidence 0.70)" in str(asked.json["messages"])


FAILURES: list[tuple[Act, str]] = [
    (model_api.fails(401, "Incorrect API key provided."), "MODEL_UNAUTHORIZED"),
    (model_api.fails(429, "Slow down.", Retry_After="0"), "MODEL_RATE_LIMITED"),
    (model_api.hangs, "MODEL_TIMED_OUT"),
    (model_api.drips, "MODEL_TIMED_OUT"),
    (model_api.fails(500, "Oops.", Retry_After="0"), "MODEL_UNAVAILABLE"),
    (model_api.fails(404, "There is no such model."), "MODEL_REFUSED"),
    (model_api.fails(302, Location="http://169.254.169.254/"), "MODEL_REFUSED"),
    (model_api.answers(b"<html>Sign in</html>"), "MODEL_ANSWER_INVALID"),
    (model_api.half, "MODEL_ANSWER_INVALID"),
    (model_api.cut, "MODEL_ANSWER_INVALID"),
    (model_api.huge, "MODEL_ANSWER_INVALID"),
    (model_api.answers({"choices": []}), "MODEL_ANSWER_INVALID"),
    (model_api.says("", finish="length"), "ANSWER_CUT_OFF"),
]


@both
@pytest.mark.parametrize(("act", "code"), FAILURES)
def test_each_failure_of_a_model_is_a_stored_code_and_a_hold(carry: Carry, act: Act, code: str, stream: bool) -> None:
    ended = carry(with_one("Risk", act), odd="Risk", llm={"stream": stream, "timeout_s": 2.0})
    assert (ended.run["status"], ended.orders) == ("completed", [])
    assert ended.decision["action"] == "HOLD"
    assert ended.decision["reason"].startswith(f"{code}: ")
    assert ended.of("Risk") == [("request", ""), ("error", code)]
    assert ended.of("Decider") == []
    assert ("response", "") in ended.of("Technical"), "what was said before stays"
    assert KEY not in str(ended)


def test_a_key_that_is_not_there_or_not_for_this_host_is_a_hold(
    carry: Carry, program: Program, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.AGENT_KEYS = ["MODEL_KEY@elsewhere.example.com"]
    ended = carry(speaks)
    assert (ended.decision["reason"][:14], ended.orders, program.calls) == ("MODEL_UNUSABLE", [], [])
    settings.AGENT_KEYS = [f"MODEL_KEY@{program.place}"]
    monkeypatch.delenv("MODEL_KEY")
    assert carry(speaks).decision["reason"].startswith("MODEL_UNUSABLE: The variable MODEL_KEY is empty")


def test_a_model_off_the_public_network_is_a_hold(carry: Carry, program: Program, settings: Any) -> None:
    settings.OUTBOUND_ALLOWED = []
    ended = carry(speaks)
    assert (ended.decision["reason"][:21], ended.orders, program.calls) == ("MODEL_ADDRESS_REFUSED", [], [])


def test_a_decision_that_was_cut_off_stands_only_if_it_is_whole(carry: Carry) -> None:
    whole = carry(with_one("Decider", model_api.says(BUY, finish="length")))
    assert (whole.decision["action"], len(whole.orders)) == ("BUY", 1)
    half = carry(with_one("Decider", model_api.says(BUY[: len(BUY) // 2], finish="length")))
    assert half.decision["reason"].startswith("ANSWER_CUT_OFF: ")
    assert half.orders == []


def test_what_is_not_known_to_cost_nothing_is_not_bought_on_a_budget(
    carry: Carry, settings: Any, program: Program
) -> None:
    settings.AGENT_PRICES = '{"some-model": {"prompt": "1000", "completion": "1000"}}'
    ended = carry(speaks, budget={"cost": "0.50"})
    assert ended.decision["reason"].startswith("BUDGET_COST: ")
    costs = [float(row["cost"]) for row in ended.said if row.get("cost") is not None]
    assert 0.5 <= sum(costs) < 1.5, "it ends with the answer that spends the rest"


@pytest.mark.parametrize(
    ("cutoff", "code", "words"),
    [
        ({"training_cutoff": "2099-12-31"}, "BEFORE_TRAINING_CUTOFF", "some-model was trained until 2099-12-31"),
        ({}, "TRAINING_CUTOFF_UNKNOWN", "Until when some-model was trained is not told"),
        ({"training_cutoff": "1999-12-31"}, "", ""),
    ],
    ids=["after the bar", "not told", "before the bar"],
)
def test_a_decision_says_when_its_model_may_know_what_came_next(
    carry: Carry, cutoff: dict[str, Any], code: str, words: str
) -> None:
    ended = carry(speaks, llm=cutoff)
    team = StepExecution.objects.get(execution=ended.run["id"], name="team").result
    assert team["outcomes"]["ACME"]["warnings"] == ([code] if code else [])
    assert ended.decision["action"] == "BUY"
    assert ended.decision["reason"].startswith("Both analysts see it rise.")
    assert words in ended.decision["reason"]
    assert bool(words) == ("trained" in ended.decision["reason"])
