"""Bodies and files that nobody should send, and the field or line that the answer must name."""

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

UNKNOWN_ID = "0190a0b0-0000-7000-8000-000000000000"
PRICES = {"name": "prices", "type": "market_data", "config": {"source": "sample"}}
SIGNAL = {
    "name": "trend",
    "type": "signal",
    "config": {"strategy_type": "sma_crossover", "params": {"fast": 10, "slow": 50}},
}
SIZE = {"name": "size", "type": "risk_check", "config": {"sizing": {"method": "quantity", "value": "1"}}}


@dataclass(frozen=True)
class Case:
    """One request.

    Attributes:
        names: a text that must stand in a pointer or detail of the answer.
        path: may hold `{workflow}` and `{strategy}`, the ids of what the test made before.
        body: sent as JSON, or raw when it is bytes.
        form: sent as multipart instead, with `file` as the content of the file.
    """

    title: str
    names: str
    path: str
    body: Any = None
    form: Mapping[str, str] | None = None
    file: bytes | None = None
    filename: str = "prices.csv"
    method: str = "post"
    query: Mapping[str, str] = field(default_factory=dict)


def workflow(*steps: Any, **changes: Any) -> dict[str, Any]:
    return {"name": "Odd", "type": "custom", "default_params": {}, "steps": list(steps), **changes}


def nested(depth: int) -> bytes:
    return b'{"name": ' + b"[" * depth + b"]" * depth + b"}"


WORKFLOWS = "/api/workflows"
JSON_CASES = [
    Case("a body that stops in the middle", "line 1", WORKFLOWS, b'{"name": "a", '),
    Case("a constant that is no JSON", "NaN", WORKFLOWS, b'{"name": "a", "default_params": {"x": NaN}}'),
    Case("bytes that are no text", "UTF-8", WORKFLOWS, b'{"name": "\xff\xfe"}'),
    Case("a list in place of an object", "object", WORKFLOWS, [1, 2]),
    Case("brackets a hundred thousand deep", "deep", WORKFLOWS, nested(100_000)),
    Case("a null character in a name", "name", WORKFLOWS, workflow(PRICES, name="a\x00b")),
    Case("an empty object", "name", WORKFLOWS, {}),
    Case("a field that is not there", "colour", WORKFLOWS, workflow(PRICES, colour="red")),
    Case("a type that is not there", "type", WORKFLOWS, workflow(PRICES, type="quantum")),
    Case("a name of 10,000 letters", "name", WORKFLOWS, workflow(PRICES, name="a" * 10_000)),
    Case("steps that are no list", "steps", WORKFLOWS, workflow(steps={"a": 1})),
    Case("no step at all", "steps", WORKFLOWS, workflow()),
    Case("a step that is a number", "steps/1", WORKFLOWS, workflow(PRICES, 7)),
    Case("a step type that is not there", "steps/1/type", WORKFLOWS, workflow(PRICES, {"name": "x", "type": "magic"})),
    Case("a step without a name", "steps/1/name", WORKFLOWS, workflow(PRICES, {"type": "signal", "config": {}})),
    Case("two steps of one name", "steps/1/name", WORKFLOWS, workflow(PRICES, PRICES)),
    Case(
        "a key that the config does not know",
        "steps/0/config/speed",
        WORKFLOWS,
        workflow({**PRICES, "config": {"speed": 9}}),
    ),
    Case("a step before what it needs", "steps/0", WORKFLOWS, workflow(SIGNAL, PRICES)),
    Case(
        "a parameter that nobody gives",
        "steps/0/config",
        WORKFLOWS,
        workflow({**PRICES, "config": {"source": "$nowhere"}}),
    ),
    Case("time that runs backwards", "steps/0/timeout_s", WORKFLOWS, workflow({**PRICES, "timeout_s": -1})),
    Case("retries without end", "steps/0/retries", WORKFLOWS, workflow({**PRICES, "retries": 10**30})),
    Case(
        "a fast average slower than the slow one",
        "steps/1/config",
        WORKFLOWS,
        workflow(PRICES, {**SIGNAL, "config": {"strategy_type": "sma_crossover", "params": {"fast": 90, "slow": 10}}}),
    ),
    Case(
        "a sizing method that is not there",
        "steps/2/config/sizing",
        WORKFLOWS,
        workflow(PRICES, SIGNAL, {**SIZE, "config": {"sizing": {"method": "hope", "value": "1"}}}),
    ),
    Case(
        "a strategy type that is not there",
        "strategy_type",
        "/api/strategies",
        {"name": "s", "strategy_type": "luck", "workflow_id": "{workflow}"},
    ),
    Case(
        "a workflow id that is no id",
        "workflow_id",
        "/api/strategies",
        {"name": "s", "strategy_type": "sma_crossover", "workflow_id": "seven"},
    ),
    Case(
        "an override that the workflow does not have",
        "param/leverage",
        "/api/strategies",
        {
            "name": "s",
            "strategy_type": "sma_crossover",
            "workflow_id": "{workflow}",
            "symbols": ["IBM"],
            "param": {"leverage": 9},
        },
    ),
    Case(
        "a symbol that climbs out of its folder",
        "symbols",
        "/api/strategies",
        {"name": "s", "strategy_type": "sma_crossover", "workflow_id": "{workflow}", "symbols": ["../../etc/passwd"]},
    ),
    Case("a run without a strategy", "strategy_id", "/api/workflows/{workflow}/execute", {}),
    Case("a run of an unknown strategy", "strategy", "/api/workflows/{workflow}/execute", {"strategy_id": UNKNOWN_ID}),
    Case(
        "a priority beyond the last",
        "priority",
        "/api/workflows/{workflow}/execute",
        {"strategy_id": "{strategy}", "priority": 10},
    ),
    Case(
        "a mode that is not there",
        "mode",
        "/api/workflows/{workflow}/execute",
        {"strategy_id": "{strategy}", "mode": "yolo"},
    ),
    Case(
        "input that the workflow does not know",
        "input_data/leverage",
        "/api/workflows/{workflow}/execute",
        {"strategy_id": "{strategy}", "input_data": {"leverage": 9}},
    ),
]


def order(**changes: Any) -> dict[str, Any]:
    return {"symbol": "IBM", "side": "buy", "quantity": "1", "source": "sample", **changes}


def goal(**changes: Any) -> dict[str, Any]:
    return {"name": "Odd", "target_weights": {"IBM": "0.5"}, "drift_threshold": "0.05", **changes}


ORDERS = "/api/portfolio/orders"
GOALS = "/api/portfolio/goals"
TRADING_CASES = [
    Case("a quantity that is no number", "quantity", ORDERS, order(quantity="NaN")),
    Case("a quantity without end", "quantity", ORDERS, order(quantity="Infinity")),
    Case("a quantity of a thousand digits", "quantity", ORDERS, order(quantity="9" * 1000)),
    Case("a quantity that is a list", "quantity", ORDERS, order(quantity=["1"])),
    Case("a side that is not there", "side", ORDERS, order(side="hold")),
    Case("a limit order without its limit", "limit_price", ORDERS, order(type="limit")),
    Case("a negative limit price", "limit_price", ORDERS, order(type="limit", limit_price="-5")),
    Case("a symbol that is not there", "NOSUCH", ORDERS, order(symbol="NOSUCH")),
    Case("a goal of everything twice", "target_weights", GOALS, goal(target_weights={"IBM": "1", "MSFT": "0.0001"})),
    Case("a goal of nothing", "target_weights", GOALS, goal(target_weights={})),
    Case("a goal that is a list", "target_weights", GOALS, goal(target_weights=["IBM"])),
    Case("a goal of debts", "target_weights/IBM", GOALS, goal(target_weights={"IBM": "-1"})),
    Case("a goal of what is not there", "target_weights/NOSUCH", GOALS, goal(target_weights={"NOSUCH": "0.1"})),
    Case("a weight without end", "target_weights/IBM", GOALS, goal(target_weights={"IBM": "Infinity"})),
    Case("a weight too fine", "target_weights/IBM", GOALS, goal(target_weights={"IBM": "0." + "1" * 40})),
    Case("a goal that drifts never", "drift_threshold", GOALS, goal(drift_threshold="7")),
    Case("a symbol that is named twice", "IBM", GOALS, b'{"target_weights": {"IBM": "0.1", "IBM": "0.2"}}'),
    Case("a limit that is not there", "luck_limit", "/api/safety/limits", {"luck_limit": 1}, method="patch"),
    Case("a negative limit", "position_limit", "/api/safety/limits", {"position_limit": "-1"}, method="patch"),
    Case("an empty limit", "daily_trade_limit", "/api/safety/limits", {"daily_trade_limit": None}, method="patch"),
    Case(
        "a limit that is no number",
        "order_notional_limit",
        "/api/safety/limits",
        {"order_notional_limit": "NaN"},
        method="patch",
    ),
    Case("a kill of something that is not there", "scope", "/api/safety/kill", {"scope": "half"}),
    Case("a resume without a reason", "reason", "/api/safety/resume", {}),
    Case("a filter that is not there", "colour", "/api/runs", method="get", query={"colour": "red"}),
    Case("a page of a million", "page_size", "/api/workflows", method="get", query={"page_size": "1000000"}),
    Case("a cursor that was never given", "cursor", "/api/runs", method="get", query={"cursor": "%%%"}),
    Case("a day that is not there", "created_after", "/api/runs", method="get", query={"created_after": "2024-02-31"}),
]

WEBHOOKS = "/api/webhooks"


def webhook(**changes: Any) -> dict[str, Any]:
    return {"name": "Odd", "url": "https://1.1.1.1/", "event_types": ["*"], **changes}


WEBHOOK_CASES = [
    Case("a webhook without an address", "url", WEBHOOKS, {"name": "Odd", "event_types": ["*"]}),
    Case("a webhook at this machine", "url", WEBHOOKS, webhook(url="http://127.0.0.1:8000/")),
    Case("a webhook at the keys of the cloud", "url", WEBHOOKS, webhook(url="http://169.254.169.254/latest/")),
    Case("a webhook that is a file", "url", WEBHOOKS, webhook(url="file:///etc/passwd")),
    Case("a webhook with a password", "url", WEBHOOKS, webhook(url="https://me:secret@1.1.1.1/")),
    Case("a webhook that wants nothing", "event_types", WEBHOOKS, webhook(event_types=[])),
    Case("an event that is not there", "event_types/1", WEBHOOKS, webhook(event_types=["ping", "moon.rises"])),
    Case("a secret of one's own", "secret", WEBHOOKS, webhook(secret="whsec_abc")),
    Case("a filter of webhooks that is not there", "colour", WEBHOOKS, method="get", query={"colour": "red"}),
    Case("a webhook id that is no id", "id", WEBHOOKS + "/seven", method="get"),
]

AGENTS = "/api/agents"


def agent(**changes: Any) -> dict[str, Any]:
    return {"name": "Odd", "kind": "http", "endpoint": "https://agents.example.com/", **changes}


def asking(**config: Any) -> dict[str, Any]:
    return workflow(PRICES, {"name": "ask", "type": "http_agent", "config": {"agent": "Odd", **config}})


AGENT_CASES = [
    Case("an agent that is an empty object", "name", AGENTS, {}),
    Case("an agent that is a list", "object", AGENTS, [agent()]),
    Case("a kind of agent that is not there", "kind", AGENTS, agent(kind="human")),
    Case("an agent at a file", "endpoint", AGENTS, agent(endpoint="file:///etc/passwd")),
    Case("an agent at an address that breaks lines", "endpoint", AGENTS, agent(endpoint="https://a.b/\r\nX: y")),
    Case("an agent at brackets that never close", "endpoint", AGENTS, agent(endpoint="https://[::1/")),
    Case("an agent with a key in its settings", "llm_config", AGENTS, agent(llm_config={"API_KEY": "sk"})),
    Case("an agent's settings that are a list", "llm_config", AGENTS, agent(llm_config=["model"])),
    Case("an agent's tools that are a text", "tools", AGENTS, agent(tools="search")),
    Case("an agent's tools that are numbers without end", "tools", AGENTS, agent(tools=[10**30])),
    Case("an agent that goes round without end", "max_iterations", AGENTS, agent(max_iterations=10**30)),
    Case("an agent's name with a null character", "name", AGENTS, agent(name="a\x00b")),
    Case("an agent that keeps its own health", "health", AGENTS, agent(health={"status": "ok"})),
    Case("a variable that no setting pairs with a host", "api_key_env", AGENTS, agent(api_key_env="SECRET_KEY")),
    Case("a step that asks nobody", "steps/1/config/agent", WORKFLOWS, asking(agent="")),
    Case("a step that waits for ever", "steps/1/config/timeout_s", WORKFLOWS, asking(timeout_s=10**9)),
    Case("a payload that is a text", "steps/1/config/payload", WORKFLOWS, asking(payload="do it")),
    Case(
        "a schema of no type that there is",
        "steps/1/config/answer_schema",
        WORKFLOWS,
        asking(answer_schema={"type": "objekt"}),
    ),
    Case(
        "a schema whose pattern takes for ever",
        "steps/1/config/answer_schema",
        WORKFLOWS,
        asking(answer_schema={"properties": {"a": {"pattern": "(a+)+$"}}}),
    ),
    Case(
        "a schema that fetches another",
        "steps/1/config/answer_schema",
        WORKFLOWS,
        asking(answer_schema={"$ref": "http://127.0.0.1/schema.json"}),
    ),
    Case("a list of agents of no kind", "kind", AGENTS, method="get", query={"kind": "human"}),
    Case(
        "figures of agents in no time", "date_range", f"{AGENTS}/performance", method="get", query={"date_range": "now"}
    ),
]

HEADER = "Date,Open,High,Low,Close,Volume\n"
GOOD = "2020-01-02,10,11,9,10.5,1000\n"


def csv_with(line: str) -> bytes:
    """Return a file whose third line, the second day, is `line`."""
    return (HEADER + GOOD + line + "\n").encode()


def upload(title: str, names: str, file: bytes | None, *, filename: str = "prices.csv", **form: str) -> Case:
    fields = {"source": "mine", "symbols": "ODD", "clock": "historical", **form}
    return Case(title, names, "/api/market/imports", form=fields, file=file, filename=filename)


FILE_CASES = [
    upload("no file", "file", None),
    upload("an empty file", "file", b""),
    upload("a file of a header alone", "file", HEADER.encode()),
    upload("a picture", "file", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8),
    upload(
        "a head that promises gzip", "file", b"\x1f\x8b" + csv_with("2020-01-03,1,2,1,1,1"), filename="prices.csv.gz"
    ),
    upload("gzip that stops in the middle", "file", gzip.compress(csv_with("x") * 500)[:60], filename="prices.csv.gz"),
    upload("a file without prices", "open", b"Date,Mood\n2020-01-02,good\n"),
    upload("a high below its low", "line/3", csv_with("2020-01-03,10,8,9,9.5,1000")),
    upload("a close outside its day", "line/3", csv_with("2020-01-03,10,11,9,12,1000")),
    upload("a price that is no number", "line/3", csv_with("2020-01-03,ten,11,9,10,1000")),
    upload("a price that is NaN", "line/3", csv_with("2020-01-03,NaN,11,9,10,1000")),
    upload("a price without end", "line/3", csv_with("2020-01-03,10,inf,9,10,1000")),
    upload("a negative price", "line/3", csv_with("2020-01-03,-10,11,-12,10,1000")),
    upload("a price of nothing", "line/3", csv_with("2020-01-03,0,11,0,10,1000")),
    upload("a negative volume", "line/3", csv_with("2020-01-03,10,11,9,10,-1")),
    upload("a date that is not there", "line/3", csv_with("2020-02-31,10,11,9,10,1000")),
    upload("a holiday", "line/3", csv_with("2020-12-25,10,11,9,10,1000")),
    upload("a day to come", "line/3", csv_with("2199-01-03,10,11,9,10,1000")),
    upload("one day told in two ways", "line/3", csv_with("2020-01-02,10,11,9,10.6,1000")),
    upload("a line too short", "line/3", csv_with("2020-01-03,10")),
    upload("a name that climbs out of its folder", "symbol", csv_with("2020-01-03,10,11,9,10,1"), symbols="../../x"),
    upload("a source that climbs out of its folder", "source", csv_with("2020-01-03,10,11,9,10,1"), source="../x"),
    upload("a clock that is not there", "clock", csv_with("2020-01-03,10,11,9,10,1"), clock="cuckoo"),
    upload("a form field that is not there", "colour", csv_with("2020-01-03,10,11,9,10,1"), colour="red"),
]

ALL = [*JSON_CASES, *TRADING_CASES, *WEBHOOK_CASES, *AGENT_CASES, *FILE_CASES]


def filled(value: Any, ids: Mapping[str, str]) -> Any:
    """Return `value` with `{workflow}` and `{strategy}` replaced, at any depth of a JSON value."""
    if isinstance(value, bytes) or value is None:
        return value
    text = json.dumps(value)
    for name, text_id in ids.items():
        text = text.replace("{" + name + "}", text_id)
    return json.loads(text)
