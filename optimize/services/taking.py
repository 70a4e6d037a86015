"""Writing parameters to a strategy in the places that its signal step reads."""

from collections.abc import Callable, Mapping
from typing import Any

from django.db import transaction

from optimize.errors import OptimizationNotApplicable
from tradingsite.common.actor import Actor
from workflows.models import Strategy
from workflows.selectors import executable
from workflows.services import strategy_update
from workflows.strategies import strategy_types


@transaction.atomic
def params_take(
    *,
    actor: Actor,
    strategy: Strategy,
    params: Mapping[str, Any],
    precondition: Callable[[Any], None] | None = None,
) -> Strategy:
    """Let a strategy decide by these parameters of its type from now on.

    Args:
        precondition: sees the strategy, locked, before it is changed.

    Raises:
        OptimizationNotApplicable: the strategy does not decide by these parameters; nothing is changed.
        ValidationFailed, PermissionDenied: as of any change of a strategy.
    """
    param = _with_params(strategy, params)
    changed = strategy_update(actor=actor, strategy_id=strategy.pk, changes={"param": param}, precondition=precondition)
    _check_taken(changed, params)
    return changed


def step_configs(strategy: Strategy, kind: str) -> list[Mapping[str, Any]]:
    """Return the configs of the strategy's steps of a kind, as a run would have them."""
    version = strategy.workflow.current_version if strategy.workflow is not None else None
    steps = executable(workflow_version=version, strategy=strategy, input_data={}).steps
    return [step.config for step in steps if step.type == kind]


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
    fixed: list[str] = []
    made = []
    for step in steps:
        config = step.get("config", {})
        if step.get("type") != "signal":
            made.append(step)
            continue
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
    found = step_configs(strategy, "signal")
    kind = strategy_types.get(strategy.strategy_type)
    taken = [kind.clean(config["params"]) == dict(params) for config in found if config["strategy_type"] == kind.slug]
    if not taken or not all(taken):
        raise OptimizationNotApplicable(
            f"No signal step of {strategy.name!r} reads these parameters in a way that could be set from here."
        )
