"""Asking whether an agent would answer. Changes nothing: what is found is returned."""

import json
from dataclasses import dataclass
from urllib.parse import urlsplit

from agents.calls import key_headers
from agents.choices import AgentKind, HealthStatus
from agents.errors import AgentUnusable
from agents.models import Agent
from tradingsite.common import outbound
from workflows.strategies import strategy_types

TIMEOUT_S = 5.0
MAX_ANSWER = 1024 * 1024
MAX_ERROR = 300


@dataclass(frozen=True)
class Finding:
    """What a probe found; `error` is empty unless it failed."""

    status: HealthStatus
    latency_ms: float | None = None
    error: str = ""


def probe(agent: Agent) -> Finding:
    """Ask the agent whether it lives. Blocks for up to TIMEOUT_S; not inside a transaction.

    A rule is there or not. A program answers GET at its health address. A model's API lists its models, the agent's own
    among them.
    """
    if agent.kind == AgentKind.RULE:
        if agent.endpoint in strategy_types:
            return Finding(HealthStatus.OK)
        return _failed(f"There is no rule {agent.endpoint!r}.")
    if not agent.endpoint:
        return Finding(HealthStatus.UNKNOWN, error="It names no address that could be asked.")
    url = _health_url(agent)
    try:
        reply = outbound.call(
            "GET",
            url,
            headers={"Accept": "application/json", **key_headers(agent, url)},
            timeout_s=TIMEOUT_S,
            max_bytes=MAX_ANSWER,
        )
    except (AgentUnusable, outbound.AddressRefused, outbound.OutboundFailed) as error:
        return _failed(error.detail)
    latency_ms = reply.elapsed_s * 1000
    if not 200 <= reply.status < 300:
        return _failed(f"It answered {reply.status}.", latency_ms)
    if agent.kind == AgentKind.LLM and (fault := _model_error(agent, reply.body)):
        return _failed(fault, latency_ms)
    return Finding(HealthStatus.OK, latency_ms)


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
