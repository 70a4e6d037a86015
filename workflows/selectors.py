"""Reading workflows and strategies: for the API, the pages, and the runs that carry them out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Prefetch, QuerySet

from tradingsite.common.contracts.directories import STRATEGY, WORKFLOW
from tradingsite.common.errors import FieldError, ValidationFailed
from workflows.choices import WorkflowType
from workflows.definitions import AGENTS, ResolvedStep, blame, params_errors, resolve, steps_errors, team_overlaid
from workflows.errors import StrategyNotFound, StrategyVersionNotFound, WorkflowNotFound, WorkflowVersionNotFound
from workflows.models import Strategy, StrategyVersion, Workflow, WorkflowVersion
from workflows.template_rules import condition_errors, order_errors, template_errors

AUTOGEN_CONFIG = "autogen_config"
# Keys of a strategy's `param` that are not parameters: the inline definition, and the team's own settings.
RESERVED_PARAMS = frozenset({"steps", AUTOGEN_CONFIG})


@dataclass(frozen=True)
class Executable:
    """What a run is made of: resolved steps, the parameters they were resolved with, the strategy's symbols."""

    steps: tuple[ResolvedStep, ...]
    params: Mapping[str, Any]
    symbols: tuple[str, ...]


def workflow_list(*, deleted: bool = False) -> QuerySet[Workflow]:
    """Return the workflows of a list, deleted ones only on request."""
    rows = Workflow.objects.select_related("current_version", "created_by")
    return rows.dead() if deleted else rows.alive()


def workflow_get(workflow_id: UUID, *, deleted: bool = False) -> Workflow:
    """Return one workflow with its strategies.

    Raises:
        WorkflowNotFound: also for a deleted one, unless `deleted` is set.
    """
    strategies = Prefetch("strategies", queryset=Strategy.objects.alive().order_by("name"))
    rows = Workflow.objects.select_related("current_version", "created_by").prefetch_related(strategies)
    row = (rows if deleted else rows.alive()).filter(pk=workflow_id).first()
    if row is None:
        raise WorkflowNotFound(f"There is no workflow {workflow_id}.")
    return row


def workflow_by_name(name: str) -> Workflow:
    """Return the workflow that bears this name now.

    Raises:
        WorkflowNotFound: when none does.
    """
    row = Workflow.objects.alive().select_related("current_version").filter(name=name).first()
    if row is None:
        raise WorkflowNotFound(f"There is no workflow named {name!r}.")
    return row


def workflow_versions(workflow_id: UUID) -> QuerySet[WorkflowVersion]:
    """Return a workflow's versions, the newest first.

    Raises:
        WorkflowNotFound: when there is no such workflow.
    """
    if not Workflow.objects.alive().filter(pk=workflow_id).exists():
        raise WorkflowNotFound(f"There is no workflow {workflow_id}.")
    return WorkflowVersion.objects.filter(workflow_id=workflow_id).select_related("created_by")


def workflow_version_get(workflow_id: UUID, version_number: int) -> WorkflowVersion:
    """Return one version.

    Raises:
        WorkflowNotFound, WorkflowVersionNotFound
    """
    row = workflow_versions(workflow_id).filter(version_number=version_number).first()
    if row is None:
        raise WorkflowVersionNotFound(f"Workflow {workflow_id} has no version {version_number}.")
    return row


def workflow_diff(workflow_id: UUID, a: int, b: int) -> dict[str, Any]:
    """Say what changed from version `a` to version `b`.

    Steps are matched by name, so that a moved step is told from a replaced one. Returns `type` and
    `default_params` {added, removed, changed}, and `steps` {added, removed, changed, moved}.
    """
    before, after = workflow_version_get(workflow_id, a), workflow_version_get(workflow_id, b)
    old = {step["name"]: (index, step) for index, step in enumerate(before.steps)}
    new = {step["name"]: (index, step) for index, step in enumerate(after.steps)}
    both = [name for name in new if name in old]
    return {
        "a": a,
        "b": b,
        "type": None if before.type == after.type else {"before": before.type, "after": after.type},
        "default_params": _mapping_diff(before.default_params, after.default_params),
        "steps": {
            "added": [{"index": new[n][0], "step": new[n][1]} for n in new if n not in old],
            "removed": [{"index": old[n][0], "step": old[n][1]} for n in old if n not in new],
            "changed": [{"name": n, "before": old[n][1], "after": new[n][1]} for n in both if old[n][1] != new[n][1]],
            "moved": [{"name": n, "from": old[n][0], "to": new[n][0]} for n in both if old[n][0] != new[n][0]],
        },
    }


def _mapping_diff(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "added": {key: new[key] for key in new if key not in old},
        "removed": {key: old[key] for key in old if key not in new},
        "changed": {k: {"before": old[k], "after": new[k]} for k in new if k in old and old[k] != new[k]},
    }


def strategy_list(*, deleted: bool = False) -> QuerySet[Strategy]:
    """Return the strategies of a list, deleted ones only on request."""
    rows = Strategy.objects.select_related("workflow", "created_by")
    return rows.dead() if deleted else rows.alive()


def strategy_get(strategy_id: UUID, *, deleted: bool = False) -> Strategy:
    """Return one strategy with its workflow.

    Raises:
        StrategyNotFound: also for a deleted one, unless `deleted` is set.
    """
    rows = Strategy.objects.select_related("workflow", "workflow__current_version", "created_by")
    row = (rows if deleted else rows.alive()).filter(pk=strategy_id).first()
    if row is None:
        raise StrategyNotFound(f"There is no strategy {strategy_id}.")
    return row


def strategy_locked(strategy_id: UUID) -> Strategy:
    """Return one strategy as nobody else changes it before this transaction ends.

    Raises:
        StrategyNotFound: also for a deleted one.
    """
    # Only the row itself: a joined one would be as it was before the wait for the lock. Not its key: who starts a run
    # holds the workflow and refers to the strategy, who changes the strategy takes the workflow after it.
    row: Strategy | None = Strategy.objects.select_for_update(of=("self",), no_key=True).filter(pk=strategy_id).first()
    if row is None or row.deleted_at is not None:
        raise StrategyNotFound(f"There is no strategy {strategy_id}.")
    return row


def strategy_version_of(strategy: Strategy) -> int:
    """Return the number of the version that a strategy, as it was read, is of; 0 where no service wrote it."""
    return strategy.version_number


def strategy_versions(strategy_id: UUID) -> QuerySet[StrategyVersion]:
    """Return a strategy's versions, the newest first.

    Raises:
        StrategyNotFound: also for a deleted one.
    """
    if not Strategy.objects.alive().filter(pk=strategy_id).exists():
        raise StrategyNotFound(f"There is no strategy {strategy_id}.")
    return StrategyVersion.objects.filter(strategy_id=strategy_id).select_related("created_by")


def strategy_version_get(strategy_id: UUID, version_number: int) -> StrategyVersion:
    """Return one version.

    Raises:
        StrategyNotFound, StrategyVersionNotFound
    """
    row = strategy_versions(strategy_id).filter(version_number=version_number).first()
    if row is None:
        raise StrategyVersionNotFound(f"Strategy {strategy_id} has no version {version_number}.")
    return row


def strategy_team(strategy: Strategy) -> Mapping[str, Any]:
    """Return what a strategy says of its team; where it says nothing, the team of its workflow, or `{"agents": []}`."""
    if AUTOGEN_CONFIG in strategy.param:
        own: Mapping[str, Any] = strategy.param[AUTOGEN_CONFIG]
        return own
    steps = strategy.param.get("steps", ()) if strategy.workflow is None else strategy.workflow.steps
    return next((step.get("config", {}) for step in steps if step["type"] == AGENTS), {"agents": []})


class StrategyDirectory:
    """Tells the floors below which strategies there are. Every role may read every strategy that is not deleted."""

    slug: str = STRATEGY

    def is_known(self, id: UUID) -> bool:
        return bool(Strategy.objects.alive().filter(pk=id).exists())


class WorkflowDirectory:
    """Tells the floors below which workflows there are. Every role may read every workflow that is not deleted."""

    slug: str = WORKFLOW

    def is_known(self, id: UUID) -> bool:
        return bool(Workflow.objects.alive().filter(pk=id).exists())


def strategy_resolution(
    *,
    type_: str,
    steps: Any,
    defaults: Mapping[str, Any],
    param: Mapping[str, Any],
    input_data: Mapping[str, Any],
    steps_pointer: str = "steps",
) -> tuple[tuple[ResolvedStep, ...], dict[str, Any]]:
    """Overlay the defaults with a strategy's overrides and a run's input, and resolve the steps with them.

    Raises:
        ValidationFailed: pointing at `param/…` or `input_data/…` where the value came from there, else into the steps.
    """
    overrides = {key: value for key, value in param.items() if key not in RESERVED_PARAMS}
    errors = [*params_errors(overrides, "param"), *params_errors(input_data, "input_data")]
    for pointer, layer in (("param", overrides), ("input_data", input_data)):
        for name in layer:
            if name not in defaults:
                known = ", ".join(sorted(defaults)) or "none"
                detail = f"The workflow has no such parameter. Known: {known}."
                errors.append(FieldError(f"{pointer}/{name}", "unknown_parameter", detail))
    errors.extend(steps_errors(steps, steps_pointer))
    if errors:
        raise ValidationFailed(errors=errors)
    params = {**defaults, **overrides, **input_data}
    origin = {**{name: f"param/{name}" for name in overrides}, **{name: f"input_data/{name}" for name in input_data}}
    resolution = resolve(steps, params, steps_pointer)
    found = [*resolution.errors, *order_errors(resolution.steps, steps_pointer)]
    if not resolution.errors:
        found.extend(template_errors(type_, resolution.steps, steps_pointer))
        found.extend(condition_errors(resolution.steps, steps_pointer))
    if found:
        raise ValidationFailed(errors=blame(found, resolution.references, origin))
    own = param.get(AUTOGEN_CONFIG)
    return (resolution.steps if own is None else team_overlaid(resolution.steps, own)), params


def executable(
    *, workflow_version: WorkflowVersion | None, strategy: Strategy, input_data: Mapping[str, Any]
) -> Executable:
    """Make a strategy ready to run on a version of its workflow.

    Args:
        workflow_version: None for a strategy without a workflow, which runs its inline `param["steps"]`; the other
            keys of its `param` are then the parameters.

    Raises:
        ValidationFailed: naming an unknown or unfitting parameter.
    """
    param: Mapping[str, Any] = strategy.param
    if workflow_version is None:
        defaults = {key: value for key, value in param.items() if key not in RESERVED_PARAMS}
        steps, params = strategy_resolution(
            type_=WorkflowType.CUSTOM,
            steps=param.get("steps"),
            defaults=defaults,
            param={},
            input_data=input_data,
            steps_pointer="param/steps",
        )
    else:
        steps, params = strategy_resolution(
            type_=workflow_version.type,
            steps=workflow_version.steps,
            defaults=workflow_version.default_params,
            param=param,
            input_data=input_data,
        )
    return Executable(steps=steps, params=params, symbols=tuple(strategy.symbols))
