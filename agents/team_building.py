"""From the config of an `agents` step to the team that talks: its members, their models and what they are asked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any
from uuid import UUID

from agents.choices import MessageType
from agents.errors import AgentUnusable
from agents.models import Agent, AgentConversation
from agents.selectors import agent_model
from agents.team.fencing import fence, nonce_new
from agents.team.words import Arrangement, Budget, Member, ModelRef, Provider, Role, Task, Team
from portfolio.models import Position
from portfolio.selectors import account_default
from tradingsite.common.contracts.steps import StepContext
from tradingsite.common.decimals import decimal_string
from workflows.agent_section import provider_of

_OPTIONS = ("temperature", "max_tokens", "top_p", "seed")


@dataclass(frozen=True)
class Cast:
    """A team, and what its members' models need beside it.

    Attributes:
        agents: the registered agent behind a member, by the member's name.
        unusable: why the desk cannot ask a member's model, by the member's name.
        replayed: the runs whose answers members give again, by the member's name.
    """

    team: Team
    agents: Mapping[str, Agent] = field(default_factory=dict)
    unusable: Mapping[str, str] = field(default_factory=dict)
    replayed: Mapping[str, UUID] = field(default_factory=dict)


def cast_of(config: Mapping[str, Any]) -> Cast:
    """Return the team of a validated config; members that are switched off are not there."""
    specs = [spec for spec in config["agents"] if spec["enabled"]]
    agents: dict[str, Agent] = {}
    unusable: dict[str, str] = {}
    replayed: dict[str, UUID] = {}
    members = []
    decided = any(spec.get("role") == Role.DECISION for spec in specs)
    for spec in specs:
        name, model = spec["agent_name"], spec["llm_config"]
        ref = _model_ref(model)
        if "agent" in model:
            try:
                agents[name] = agent_model(model["agent"])
            except AgentUnusable as error:
                unusable[name] = error.detail
            else:
                ref = _of_agent(ref, agents[name])
        if "replay_of" in model:
            replayed[name] = UUID(str(model["replay_of"]))
        last = not decided and spec is specs[-1]
        members.append(
            Member(
                name=name,
                role=Role(spec.get("role") or (Role.DECISION if last else Role.ANALYST)),
                system_prompt=spec["system_prompt"],
                description=spec.get("description", ""),
                model=ref,
                tools=tuple(spec.get("tools", ())),
                max_iterations=spec["max_iterations"],
            )
        )
    team = Team(
        members=tuple(members),
        arrangement=Arrangement(config["arrangement"]),
        max_rounds=config["max_rounds"],
        budget=_budget(config["budget"]),
    )
    return Cast(team, agents, unusable, replayed)


def _model_ref(config: Mapping[str, Any]) -> ModelRef:
    provider = Provider(provider_of(config))
    ref = ModelRef(
        provider=provider,
        options={name: config[name] for name in _OPTIONS if name in config},
        timeout_s=config.get("timeout_s", ModelRef.timeout_s),
        stream=config.get("stream", False),
    )
    if provider is Provider.REPLAY:
        return replace(ref, model="replay")
    if provider is Provider.OPENAI:
        return replace(
            ref,
            model=config.get("model", ""),
            base_url=config.get("base_url", ""),
            api_key_env=config.get("api_key_env", ""),
            training_cutoff=config.get("training_cutoff", ""),
        )
    return ref


def _of_agent(ref: ModelRef, agent: Agent) -> ModelRef:
    """Return the model of a registered agent; one without an address is the desk's own. The step's options prevail."""
    own = agent.llm_config
    options = {**{name: own[name] for name in _OPTIONS if name in own}, **ref.options}
    if not agent.endpoint:
        return ModelRef(options=options, timeout_s=ref.timeout_s)
    return replace(
        ref,
        model=own["model"],
        base_url=agent.endpoint,
        api_key_env=agent.api_key_env,
        options=options,
        training_cutoff=own.get("training_cutoff", ""),
    )


def _budget(config: Mapping[str, Any]) -> Budget:
    cost = config.get("cost")
    return replace(Budget(), **{**config, **({} if cost is None else {"cost": Decimal(str(cost))})})


def tasks_of(context: StepContext) -> list[Task]:
    """Return what a team is asked about each symbol that has prices, in the order of the run's symbols.

    It is told what earlier steps put out as `indicators`, and by symbol as `strategy_opinions`.
    """
    series = context.merged("series")
    held = dict(
        Position.objects.filter(account=account_default(), instrument__symbol__in=list(series)).values_list(
            "instrument__symbol", "quantity"
        )
    )
    figures, opinions = context.merged("indicators"), context.merged("strategy_opinions")
    return [
        _task(symbol, series[symbol], held.get(symbol, Decimal(0)), figures, opinions.get(symbol, ()))
        for symbol in dict.fromkeys([*context.symbols, *series])
        if symbol in series
    ]


def _task(
    symbol: str, pin: Mapping[str, Any], held: Decimal, figures: Mapping[str, Any], opinions: Sequence[str]
) -> Task:
    price, bar_time = Decimal(pin["decision_close"]), str(pin["decision_time"])
    lines = [
        f"Decide about {symbol}: BUY, SELL or HOLD.",
        f"The newest complete bar ({pin.get('timeframe', 'unknown length')}) began at {bar_time} and closed at "
        f"{decimal_string(price)}.",
        f"The desk holds {decimal_string(held)} of it." if held else "The desk holds none of it.",
    ]
    known = {name: by[symbol]["value"] for name, by in figures.items() if by.get(symbol, {}).get("value") is not None}
    if known:
        lines.append("Computed on that bar: " + ", ".join(f"{name} {value:.6g}" for name, value in known.items()) + ".")
    if opinions:
        # A strategy may pass on what an agent at an address wrote.
        said = fence("\n".join(opinions), nonce_new(), "strategies")
        lines.append(f"What the desk's strategies say of it:\n{said}")
    return Task(symbol=symbol, text=" ".join(lines), price=price, bar_time=bar_time, held=held)


def answers_of(replayed: Mapping[str, UUID]) -> dict[tuple[str, str], tuple[str, ...]]:
    """Return what was answered in earlier runs, by symbol and member, in the order of saying: of the last attempt."""
    result: dict[tuple[str, str], tuple[str, ...]] = {}
    for name, execution_id in replayed.items():
        said = AgentConversation.objects.filter(
            workflow_execution_id=execution_id, agent_name=name, message_type=MessageType.RESPONSE, truncated=False
        )
        last = said.order_by("-attempt").values_list("attempt", flat=True).first() or 1
        for symbol, content in said.filter(attempt=last).order_by("seq").values_list("symbol", "message_content"):
            result[symbol, name] = (*result.get((symbol, name), ()), content)
    return result
