"""Asking whether an agent would answer. Changes nothing: what is found is returned."""

import json
from dataclasses import dataclass
from urllib.parse import urlsplit

from agents.calls import key_headers
from agents.choices import AgentKind, HealthStatus
from agents.errors import AgentUnusable
from agents.models import Agent
from agents.team.clients.completions import completion_read
from agents.team.failures import ModelFailed
from agents.team.words import Code
from tradingsite.common import outbound
from workflows.strategies import strategy_types

TIMEOUT_S = 5.0
MAX_ANSWER = 1024 * 1024
MAX_ERROR = 300
# What an API answers that has no list of its models.
_NO_LIST = (404, 405, 501)


@dataclass(frozen=True)
class Finding:
    """What a probe found; `error` is empty unless it failed."""

    status: HealthStatus
    latency_ms: float | None = None
    error: str = ""


def probe(agent: Agent) -> Finding:
    """Ask the agent whether it lives. Blocks for up to TIMEOUT_S; not inside a transaction.

    A rule is there or not. A program answers GET at its health address. A model's API lists its models, the agent's own
    among them; one that keeps no list is asked for a token.
    """
    if agent.kind == AgentKind.RULE:
        if agent.endpoint in strategy_types:
            return Finding(HealthStatus.OK)
        return _failed(f"There is no rule {agent.endpoint!r}.")
    if not agent.endpoint:
        return Finding(HealthStatus.UNKNOWN, error="It names no address that could be asked.")
    try:
        reply = _asked(agent, "GET", _health_url(agent), TIMEOUT_S)
        if agent.kind == AgentKind.LLM and reply.status in _NO_LIST:
            reply = _asked(agent, "POST", f"{agent.endpoint.rstrip('/')}/chat/completions", TIMEOUT_S - reply.elapsed_s)
            fault = _token_error(reply)
        else:
            fault = _error(agent, reply)
    except (AgentUnusable, outbound.AddressRefused, outbound.OutboundFailed) as error:
        return _failed(error.detail)
    latency_ms = reply.elapsed_s * 1000
    return _failed(fault, latency_ms) if fault else Finding(HealthStatus.OK, latency_ms)


def _asked(agent: Agent, method: str, url: str, timeout_s: float) -> outbound.Reply:
    headers = {"Accept": "application/json", **key_headers(agent, url)}
    content = b""
    if method == "POST":
        headers["Content-Type"] = "application/json"
        question = [{"role": "user", "content": "Are you there?"}]
        content = json.dumps({"model": agent.llm_config.get("model"), "messages": question, "max_tokens": 1}).encode()
    return outbound.call(
        method, url, content=content, headers=headers, timeout_s=max(timeout_s, 0.1), max_bytes=MAX_ANSWER
    )


def _error(agent: Agent, reply: outbound.Reply) -> str:
    if not 200 <= reply.status < 300:
        return f"It answered {reply.status}."
    return _model_error(agent, reply.body) if agent.kind == AgentKind.LLM else ""


def _token_error(reply: outbound.Reply) -> str:
    """Say why the answer to a question of one token is none; empty when it is one."""
    if not 200 <= reply.status < 300:
        return f"It keeps no list of models, and answered {reply.status} when it was asked for a token."
    try:
        completion_read(reply.body)
    except ModelFailed as failed:
        # One token is soon at its limit, and a model that declines is alive.
        return failed.detail if failed.code is Code.MODEL_ANSWER_INVALID else ""
    return ""


def _health_url(agent: Agent) -> str:
    if agent.kind == AgentKind.LLM:
        return f"{agent.endpoint.rstrip('/')}/models"
    if agent.health_url:
        return agent.health_url
    parts = urlsplit(agent.endpoint)
    return f"{parts.scheme}://{parts.netloc}/health"


def _model_error(agent: Agent, body: bytes) -> str:
    """Say why the list of models does not hold the agent's; empty when it does."""
    try:
        names = {item["id"] for item in json.loads(body)["data"]}
    except (ValueError, KeyError, TypeError, RecursionError):
        return "Its answer is no list of models."
    model = agent.llm_config.get("model")
    return "" if model in names else f"It does not offer the model {model!r}."


def _failed(error: str, latency_ms: float | None = None) -> Finding:
    return Finding(HealthStatus.FAILED, latency_ms, error[:MAX_ERROR])
