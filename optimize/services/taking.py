"""By what a strategy would decide now, and writing other parameters in the places that its signal step reads."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from optimize.errors import OptimizationNotApplicable
from optimize.inspection.strategies import MARKET_DATA, SIGNAL
from tradingsite.common.actor import Actor
from tradingsite.common.errors import ValidationFailed
from workflows.definitions import ResolvedStep
from workflows.models import Strategy
from workflows.selectors import executable, strategy_locked
from workflows.services import strategy_update
from workflows.strategies import strategy_types


@dataclass(frozen=True)
class Live:
    """What a run of a strategy would decide by.

    Attributes:
        params: every parameter of its strategy type, cleaned.
        timeframe, source, adjustment: of the bars that its signal step is given; None is whatever the instrument has.
    """

    params: dict[str, Any]
    timeframe: str
    source: str | None
    adjustment: str | None


def live_params(strategy: Strategy) -> Live:
    """Return by what the strategy would decide in a run that starts now, without input of its own.

    Raises:
        OptimizationNotApplicable: it has no strategy type, no signal step of it, no bars before that, several such steps
            that do not decide by the same, or its definition does not resolve.
    """
    name, slug = strategy.name, strategy.strategy_type
    if slug not in strategy_types:
        raise OptimizationNotApplicable(
            f"{name!r} decides by {slug or 'no strategy type'}: it has no parameters to take."
        )
    try:
        steps = _resolved(strategy)
    except ValidationFailed as error:
        said = "; ".join(f"{e.pointer}: {e.detail}" for e in error.errors)
        raise OptimizationNotApplicable(f"The definition of {name!r} cannot be run: {said}") from error
    kind = strategy_types.get(slug)
    found: list[Live] = []
    for step in _deciding(strategy, steps):
        before = [one.config for one in steps if one.type == MARKET_DATA and one.index < step.index]
        if not before:
            raise OptimizationNotApplicable(f"No market_data step of {name!r} stands before its step {step.name!r}.")
        bars = before[-1]
        live = Live(kind.clean(step.config["params"]), bars["timeframe"], bars["source"], bars["adjustment"])
        if live not in found:
            found.append(live)
    if not found:
        raise OptimizationNotApplicable(f"{name!r} has no signal step that decides by {slug}.")
    if len(found) > 1:
        raise OptimizationNotApplicable(
            f"The signal steps of {name!r} do not decide by the same parameters on the same bars. Let them read the same "
            "parameters of the workflow, or make a strategy of each."
        )
    return found[0]


@transaction.atomic
def params_take(
    *,
    actor: Actor,
    strategy: Strategy,
    params: Mapping[str, Any],
    reason: str = "",
    precondition: Callable[[Any], None] | None = None,
) -> Strategy:
    """Let a strategy decide by these parameters of its type from now on.

    Args:
        strategy: which one; it is read anew and locked, so that a change meanwhile is kept.
        reason: where they come from.
        precondition: sees the strategy, locked, before it is changed.

    Raises:
        OptimizationNotApplicable: the strategy does not decide by these parameters; nothing is changed.
        StrategyNotFound, ValidationFailed, PermissionDenied: as of any change of a strategy.
    """
    strategy = strategy_locked(strategy.pk)
    param = _with_params(strategy, params)
    changed = strategy_update(
        actor=actor, strategy_id=strategy.pk, changes={"param": param}, reason=reason, precondition=precondition
    )
    _check_taken(changed, params)
    return changed


def step_configs(strategy: Strategy, kind: str) -> list[Mapping[str, Any]]:
    """Return the configs of the strategy's steps of a kind, as a run would have them."""
    return [step.config for step in _resolved(strategy) if step.type == kind]


def _resolved(strategy: Strategy) -> tuple[ResolvedStep, ...]:
    version = strategy.workflow.current_version if strategy.workflow is not None else None
    return executable(workflow_version=version, strategy=strategy, input_data={}).steps


def _deciding(strategy: Strategy, steps: tuple[ResolvedStep, ...]) -> list[ResolvedStep]:
    """Return the signal steps of the strategy's type; those of another type have other parameters."""
    return [one for one in steps if one.type == SIGNAL and one.config["strategy_type"] == strategy.strategy_type]


def _with_params(strategy: Strategy, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the strategy's `param` with the parameters in the places that its signal step reads.

    Raises:
        OptimizationNotApplicable: its workflow fixes one of them to another value.
    """
    param = dict(strategy.param)
    workflow = strategy.workflow
    inline = workflow is None
    steps: list[dict[str, Any]] = param.get("steps", []) if workflow is None else workflow.steps
    defaults = {
        parameter.name: parameter.default for parameter in strategy_types.get(strategy.strategy_type).parameters
    }
    deciding = {step.index for step in _deciding(strategy, _resolved(strategy))}
    fixed: list[str] = []
    made = []
    for index, step in enumerate(steps):
        if index not in deciding:
            made.append(step)
            continue
        config = step.get("config", {})
        own = dict(config.get("params", {})) if isinstance(config.get("params", {}), Mapping) else {}
        for name, value in params.items():
            said = own.get(name, defaults.get(name))
            if isinstance(said, str) and said.startswith("$"):
                param[said[1:]] = value
            elif inline:
                own[name] = value
            elif said != value:
                fixed.append(name)
        made.append({**step, "config": {**config, "params": own}} if inline else step)
    if fixed:
        names = ", ".join(sorted(set(fixed)))
        raise OptimizationNotApplicable(
            f"The workflow of {strategy.name!r} fixes {names}. Let its signal step read parameters, such as "
            f'"${fixed[0]}", with their present values as the defaults.'
        )
    if inline:
        param["steps"] = made
    return param


def _check_taken(strategy: Strategy, params: Mapping[str, Any]) -> None:
    """See that the strategy decides by these parameters from now on, whatever way its workflow reads them.

    Raises:
        OptimizationNotApplicable: it does not; nothing is changed.
    """
    kind = strategy_types.get(strategy.strategy_type)
    taken = [kind.clean(step.config["params"]) == dict(params) for step in _deciding(strategy, _resolved(strategy))]
    if not taken or not all(taken):
        raise OptimizationNotApplicable(
            f"No signal step of {strategy.name!r} reads these parameters in a way that could be set from here."
        )
