"""Every change of a strategy, and the versions that those leave."""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import transaction

from tradingsite.common import audit
from tradingsite.common.actor import Actor
from tradingsite.common.api.serializers import SYMBOL
from tradingsite.common.clock import utcnow
from tradingsite.common.errors import FieldError, ValidationFailed
from tradingsite.common.owners import require_owner
from workflows.choices import WorkflowType
from workflows.definitions import ResolvedStep, team_check
from workflows.errors import NotDeleted, StrategyNotFound, StrategyVersionUnfit, WorkflowDeleted
from workflows.models import Strategy, StrategyVersion, Workflow
from workflows.selectors import (
    AUTOGEN_CONFIG,
    RESERVED_PARAMS,
    strategy_locked,
    strategy_resolution,
    strategy_version_get,
)
from workflows.services.guards import Precondition, clean_name, save_named
from workflows.strategies import strategy_types

MAX_SYMBOLS = 500


def clean_symbols(symbols: object, pointer: str = "symbols") -> list[str]:
    """Return symbols in order, without repeats.

    Whether an instrument exists is asked when the strategy runs: prices may be imported later.

    Raises:
        ValidationFailed: naming each wrong symbol.
    """
    if not isinstance(symbols, list | tuple):
        raise ValidationFailed(errors=[FieldError(pointer, "invalid", "Must be a list of symbols.")])
    if len(symbols) > MAX_SYMBOLS:
        raise ValidationFailed(errors=[FieldError(pointer, "too_many", f"Must be at most {MAX_SYMBOLS} symbols.")])
    errors = [
        FieldError(f"{pointer}/{index}", "invalid", "Must be 1 to 20 capital letters, digits, points or dashes.")
        for index, symbol in enumerate(symbols)
        if not isinstance(symbol, str) or not SYMBOL.fullmatch(symbol)
    ]
    if errors:
        raise ValidationFailed(errors=errors)
    return list(dict.fromkeys(symbols))


def _resolved(workflow: Workflow | None, param: Mapping[str, Any]) -> tuple[ResolvedStep, ...]:
    if workflow is None:
        if "steps" not in param:
            detail = "Without a workflow, the steps stand here; or name a workflow in workflow_id."
            raise ValidationFailed(errors=[FieldError("param/steps", "required", detail)])
        defaults = {key: value for key, value in param.items() if key not in RESERVED_PARAMS}
        steps, _ = strategy_resolution(
            type_=WorkflowType.CUSTOM,
            steps=param["steps"],
            defaults=defaults,
            param=defaults,
            input_data={},
            steps_pointer="param/steps",
        )
        return steps
    if "steps" in param:
        detail = "The steps come from the workflow; here stand overrides of its parameters only."
        raise ValidationFailed(errors=[FieldError("param/steps", "not_allowed", detail)])
    steps, _ = strategy_resolution(
        type_=workflow.type, steps=workflow.steps, defaults=workflow.default_params, param=param, input_data={}
    )
    return steps


def _strategy_type(given: str, steps: Sequence[ResolvedStep]) -> str:
    """Return the strategy type: the one the signal steps decide by, which a given one must agree with.

    A back-test of the strategy asks for this type; were it another than the live one, it would prove nothing.
    """
    known = [slug for step in steps if step.type == "signal" and (slug := step.config.get("strategy_type"))]
    if given and given not in strategy_types:
        names = ", ".join(item.slug for item in strategy_types.all())
        detail = f"There is no such strategy type. Known: {names}."
        raise ValidationFailed(errors=[FieldError("strategy_type", "unknown", detail)])
    if known and given and given not in known:
        detail = f"The signal step decides by {known[0]}; say that, or leave it out."
        raise ValidationFailed(errors=[FieldError("strategy_type", "mismatch", detail)])
    return given or (known[0] if known else "")


def _workflow(workflow_id: UUID | None) -> Workflow | None:
    if workflow_id is None:
        return None
    # Locked, so that nobody deletes it between this look and the strategy's row.
    row: Workflow | None = Workflow.objects.select_for_update(of=("self",), no_key=True).filter(pk=workflow_id).first()
    if row is None or row.deleted_at is not None:
        raise ValidationFailed(errors=[FieldError("workflow_id", "unknown", f"There is no workflow {workflow_id}.")])
    return row


def _workflow_of(row: Strategy | StrategyVersion) -> Workflow | None:
    """Return the workflow of a state that is to come back, locked as by `_workflow`."""
    if row.workflow_id is None:
        return None
    workflow: Workflow = Workflow.objects.select_for_update(of=("self",), no_key=True).get(pk=row.workflow_id)
    if workflow.deleted_at is not None:
        raise WorkflowDeleted(f"Its workflow {workflow.name!r} is deleted; restore that first.")
    return workflow


def _fill(
    strategy: Strategy,
    *,
    name: str,
    strategy_type: str,
    workflow_id: UUID | None,
    symbols: Sequence[str],
    param: Mapping[str, Any],
    enabled: bool,
    check: bool = True,
) -> None:
    if not isinstance(param, Mapping):
        raise ValidationFailed(errors=[FieldError("param", "invalid", "Must be an object.")])
    strategy.name = clean_name(name)
    strategy.symbols = clean_symbols(symbols)
    strategy.enabled = enabled
    if check:
        strategy.workflow = _workflow(workflow_id)
        if AUTOGEN_CONFIG in param:
            team_check(param[AUTOGEN_CONFIG])
        strategy.strategy_type = _strategy_type(strategy_type, _resolved(strategy.workflow, param))
        strategy.param = dict(param)


def _content(row: Strategy | StrategyVersion) -> str:
    """Return what versions are made of as text: in Python 1, 1.0 and True are equal, and in JSON they are not."""
    workflow_id = None if row.workflow_id is None else str(row.workflow_id)
    return json.dumps([workflow_id, row.strategy_type, row.symbols, row.param], sort_keys=True)


def _version_add(strategy: Strategy, *, actor: Actor, reason: str) -> None:
    """Write what a strategy does by now under the number that its row has got."""
    StrategyVersion(
        strategy=strategy,
        version_number=strategy.version_number,
        workflow_id=strategy.workflow_id,
        strategy_type=strategy.strategy_type,
        symbols=strategy.symbols,
        param=strategy.param,
        reason=reason,
        created_by_id=actor.user_id,
        actor_name=actor.name,
    ).save()


def _summary(strategy: Strategy) -> dict[str, Any]:
    return {
        "name": strategy.name,
        "version": strategy.version_number,
        "strategy_type": strategy.strategy_type,
        "workflow_id": None if strategy.workflow_id is None else str(strategy.workflow_id),
        "symbols": strategy.symbols,
        "param": strategy.param,
        "enabled": strategy.enabled,
    }


@transaction.atomic
def strategy_create(
    *,
    actor: Actor,
    name: str,
    strategy_type: str = "",
    workflow_id: UUID | None = None,
    symbols: Sequence[str] = (),
    param: Mapping[str, Any] | None = None,
    enabled: bool = True,
) -> Strategy:
    """Create a strategy as its version 1: overrides of a workflow's parameters, or, without one, its own inline steps.

    Raises:
        ValidationFailed: naming an unknown override (`param/…`), a wrong symbol, an unknown workflow or type.
        NameTaken
    """
    strategy = Strategy(created_by_id=actor.user_id)
    _fill(
        strategy,
        name=name,
        strategy_type=strategy_type,
        workflow_id=workflow_id,
        symbols=symbols,
        param=param or {},
        enabled=enabled,
    )
    strategy.version_number = 1
    save_named(strategy, "strategy")
    _version_add(strategy, actor=actor, reason="")
    audit.record(actor=actor, action="strategy.create", target=strategy, after=_summary(strategy))
    return strategy


@transaction.atomic
def strategy_update(
    *,
    actor: Actor,
    strategy_id: UUID,
    changes: Mapping[str, Any],
    reason: str = "",
    precondition: Precondition | None = None,
) -> Strategy:
    """Change what `changes` names: `name, strategy_type, workflow_id, symbols, param, enabled`; `param` as a whole.

    Args:
        reason: why, for the audit and, where another workflow, type, other symbols or parameters make one, the version.

    Raises:
        StrategyNotFound, ValidationFailed, NameTaken, PermissionDenied
    """
    strategy = strategy_locked(strategy_id)
    require_owner(actor=actor, created_by_id=strategy.created_by_id)
    if precondition is not None:
        precondition(strategy)
    before, content = _summary(strategy), _content(strategy)
    values: dict[str, Any] = {
        "name": strategy.name,
        # Another workflow or other parameters may decide by another type: then it is derived anew.
        "strategy_type": "" if {"workflow_id", "param"} & set(changes) else strategy.strategy_type,
        "workflow_id": strategy.workflow_id,
        "symbols": strategy.symbols,
        "param": strategy.param,
        "enabled": strategy.enabled,
    }
    unknown = set(changes) - set(values)
    if unknown:
        errors = [FieldError(name, "unknown_field", "There is no such field.") for name in sorted(unknown)]
        raise ValidationFailed(errors=errors)
    # A strategy that its workflow's newest version no longer fits must still be renamed or switched off.
    touched = bool({"workflow_id", "param", "strategy_type"} & set(changes))
    enabling = bool(changes.get("enabled")) and not strategy.enabled
    _fill(strategy, **{**values, **changes}, check=touched or enabling)
    changed = _content(strategy) != content
    strategy.version_number += changed
    save_named(strategy, "strategy")
    if changed:
        _version_add(strategy, actor=actor, reason=reason)
    audit.record(
        actor=actor, action="strategy.update", target=strategy, before=before, after=_summary(strategy), reason=reason
    )
    return strategy


@transaction.atomic
def strategy_team_set(
    *, actor: Actor, strategy_id: UUID, config: Mapping[str, Any], precondition: Precondition | None = None
) -> Strategy:
    """Set how the strategy's team differs from its workflow's: `config` stands in its `param` as `autogen_config`.

    Raises:
        StrategyNotFound, ValidationFailed, PermissionDenied
    """
    team_check(config, pointer="")
    param = {**strategy_locked(strategy_id).param, AUTOGEN_CONFIG: dict(config)}
    return strategy_update(actor=actor, strategy_id=strategy_id, changes={"param": param}, precondition=precondition)


@transaction.atomic
def strategy_delete(*, actor: Actor, strategy_id: UUID, precondition: Precondition | None = None) -> None:
    """Hide a strategy; its runs and orders stay.

    Raises:
        StrategyNotFound, PermissionDenied
    """
    strategy = strategy_locked(strategy_id)
    require_owner(actor=actor, created_by_id=strategy.created_by_id)
    if precondition is not None:
        precondition(strategy)
    strategy.deleted_at = utcnow()
    strategy.save(update_fields=["deleted_at"])
    audit.record(actor=actor, action="strategy.delete", target=strategy, before=_summary(strategy))


@transaction.atomic
def strategy_restore(*, actor: Actor, strategy_id: UUID) -> Strategy:
    """Bring a deleted strategy back under its name.

    Raises:
        StrategyNotFound, NotDeleted, PermissionDenied
        NameTaken: when another strategy took the name meanwhile.
        WorkflowDeleted: when its workflow is deleted.
    """
    strategy: Strategy | None = (
        Strategy.objects.select_for_update(of=("self",), no_key=True).filter(pk=strategy_id).first()
    )
    if strategy is None:
        raise StrategyNotFound(f"There is no strategy {strategy_id}.")
    require_owner(actor=actor, created_by_id=strategy.created_by_id)
    if strategy.deleted_at is None:
        raise NotDeleted(f"Strategy {strategy.name!r} is not deleted.")
    _workflow_of(strategy)
    strategy.deleted_at = None
    save_named(strategy, "strategy")
    audit.record(actor=actor, action="strategy.restore", target=strategy, after=_summary(strategy))
    return strategy


@transaction.atomic
def strategy_version_restore(
    *, actor: Actor, strategy_id: UUID, number: int, reason: str = "", precondition: Precondition | None = None
) -> Strategy:
    """Make an old version's workflow, type, symbols and parameters the newest version; history only grows.

    Name and `enabled` stay. A version is written also where it says what the one before it does.

    Raises:
        StrategyNotFound, StrategyVersionNotFound, PermissionDenied
        WorkflowDeleted: the version's workflow is deleted.
        StrategyVersionUnfit: its workflow has changed since and no longer takes the old parameters.
    """
    strategy = strategy_locked(strategy_id)
    require_owner(actor=actor, created_by_id=strategy.created_by_id)
    if precondition is not None:
        precondition(strategy)
    old = strategy_version_get(strategy_id, number)
    workflow = _workflow_of(old)
    try:
        _version_check(old, workflow)
    except ValidationFailed as error:
        raise StrategyVersionUnfit(f"Version {number}: {error.detail}", errors=error.errors) from error
    before = _summary(strategy)
    strategy.workflow, strategy.strategy_type = workflow, old.strategy_type
    strategy.symbols, strategy.param = old.symbols, old.param
    strategy.version_number += 1
    save_named(strategy, "strategy")
    _version_add(strategy, actor=actor, reason=f"Version {number} restored. {reason}".strip())
    after = {**_summary(strategy), "restored": number}
    audit.record(
        actor=actor, action="strategy.version_restore", target=strategy, before=before, after=after, reason=reason
    )
    return strategy


def _version_check(version: StrategyVersion, workflow: Workflow | None) -> None:
    """See that a version could be written today just as it is."""
    clean_symbols(version.symbols)
    if AUTOGEN_CONFIG in version.param:
        team_check(version.param[AUTOGEN_CONFIG])
    by_now = _strategy_type(version.strategy_type, _resolved(workflow, version.param))
    if by_now != version.strategy_type:
        detail = f"The workflow decides by {by_now} by now, and by no strategy type then."
        raise ValidationFailed(errors=[FieldError("strategy_type", "mismatch", detail)])
