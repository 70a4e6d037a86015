"""Every change of a workflow."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import transaction

from tradingsite.common import audit
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow
from tradingsite.common.owners import require_owner
from tradingsite.common.writes import Sql, Write, update
from workflows.choices import WorkflowType
from workflows.errors import NotDeleted, WorkflowInUse, WorkflowNotFound
from workflows.models import Strategy, Workflow, WorkflowVersion
from workflows.selectors import workflow_version_get
from workflows.services.guards import MAX_NAME, Precondition, clean_name, save_named
from workflows.template_rules import definition_check


def _summary(workflow: Workflow, version: WorkflowVersion | None = None) -> dict[str, Any]:
    number = version.version_number if version is not None else None
    return {
        "name": workflow.name,
        "type": workflow.type,
        "description": workflow.description,
        "version": number,
        "steps": workflow.steps,
        "default_params": workflow.default_params,
    }


def _locked(workflow_id: UUID) -> Workflow:
    # Only the row itself: PostgreSQL cannot lock the nullable side of the join to the version.
    row: Workflow | None = Workflow.objects.select_for_update(of=("self",)).filter(pk=workflow_id).first()
    if row is None:
        raise WorkflowNotFound(f"There is no workflow {workflow_id}.")
    return row


def _alive(workflow_id: UUID) -> Workflow:
    row = _locked(workflow_id)
    if row.deleted_at is not None:
        raise WorkflowNotFound(f"There is no workflow {workflow_id}.")
    return row


def _version_add(workflow: Workflow, *, number: int, actor: Actor) -> WorkflowVersion:
    version = WorkflowVersion(
        workflow=workflow,
        version_number=number,
        type=workflow.type,
        steps=workflow.steps,
        default_params=workflow.default_params,
        created_by_id=actor.user_id,
    )
    version.save()
    workflow.current_version = version
    return version


@transaction.atomic
def workflow_create(
    *,
    actor: Actor,
    name: str,
    type: str,
    steps: Sequence[Mapping[str, Any]],
    default_params: Mapping[str, Any] | None = None,
    description: str = "",
) -> Workflow:
    """Create a workflow as its version 1.

    Raises:
        ValidationFailed: naming each wrong field.
        NameTaken
    """
    name = clean_name(name)
    params = dict(default_params or {})
    definition_check(type_=type, steps=steps, default_params=params)
    workflow = Workflow(
        name=name,
        type=type,
        description=description,
        steps=list(steps),
        default_params=params,
        created_by_id=actor.user_id,
    )
    save_named(workflow, "workflow")
    version = _version_add(workflow, number=1, actor=actor)
    workflow.save(update_fields=["current_version"])
    audit.record(actor=actor, action="workflow.create", target=workflow, after=_summary(workflow, version))
    return workflow


def _change(workflow: Workflow, *, actor: Actor, action: str, before: Mapping[str, Any]) -> WorkflowVersion:
    number = workflow.versions.order_by("-version_number").values_list("version_number", flat=True).first() or 0
    version = _version_add(workflow, number=number + 1, actor=actor)
    save_named(workflow, "workflow")
    audit.record(actor=actor, action=action, target=workflow, before=before, after=_summary(workflow, version))
    return version


@transaction.atomic
def workflow_update(
    *,
    actor: Actor,
    workflow_id: UUID,
    name: str,
    type: str,
    steps: Sequence[Mapping[str, Any]],
    default_params: Mapping[str, Any] | None = None,
    description: str = "",
    precondition: Precondition | None = None,
) -> Workflow:
    """Replace a definition: always a new version, whoever runs an older one keeps it.

    Args:
        precondition: called with the locked row; raises when it is not the one the caller read.

    Raises:
        WorkflowNotFound, ValidationFailed, NameTaken, PermissionDenied
    """
    workflow = _alive(workflow_id)
    require_owner(actor=actor, created_by_id=workflow.created_by_id)
    if precondition is not None:
        precondition(workflow)
    name = clean_name(name)
    params = dict(default_params or {})
    definition_check(type_=type, steps=steps, default_params=params)
    before = _summary(workflow, workflow.current_version)
    workflow.name, workflow.type, workflow.description = name, type, description
    workflow.steps, workflow.default_params = list(steps), params
    _change(workflow, actor=actor, action="workflow.update", before=before)
    return workflow


@transaction.atomic
def workflow_version_restore(
    *, actor: Actor, workflow_id: UUID, version_number: int, precondition: Precondition | None = None
) -> Workflow:
    """Make an old version's content the newest version; history only grows.

    Raises:
        WorkflowNotFound, WorkflowVersionNotFound, PermissionDenied
        ValidationFailed: when a step type has changed since and refuses the old config.
    """
    workflow = _alive(workflow_id)
    require_owner(actor=actor, created_by_id=workflow.created_by_id)
    if precondition is not None:
        precondition(workflow)
    old = workflow_version_get(workflow_id, version_number)
    definition_check(type_=old.type, steps=old.steps, default_params=old.default_params)
    before = _summary(workflow, workflow.current_version)
    workflow.type, workflow.steps, workflow.default_params = old.type, old.steps, old.default_params
    _change(workflow, actor=actor, action="workflow.version_restore", before=before)
    return workflow


@transaction.atomic
def workflow_delete(*, actor: Actor, workflow_id: UUID, precondition: Precondition | None = None) -> None:
    """Hide a workflow that no enabled strategy uses. Its versions and runs stay.

    Raises:
        WorkflowNotFound, PermissionDenied
        WorkflowInUse: with the strategies, as `strategies` of the problem document.
    """
    workflow = _alive(workflow_id)
    require_owner(actor=actor, created_by_id=workflow.created_by_id)
    if precondition is not None:
        precondition(workflow)
    users = list(Strategy.objects.alive().filter(workflow_id=workflow.pk, enabled=True).order_by("name", "id"))
    if users:
        names = ", ".join(strategy.name for strategy in users[:5])
        more = f" and {len(users) - 5} more" if len(users) > 5 else ""
        raise WorkflowInUse(
            f"Disable, move or delete these strategies first: {names}{more}.",
            extra={"strategies": [{"id": str(strategy.pk), "name": strategy.name} for strategy in users]},
        )
    workflow.deleted_at = utcnow()
    workflow.save(update_fields=["deleted_at"])
    audit.record(actor=actor, action="workflow.delete", target=workflow, before=_summary(workflow))


@transaction.atomic
def workflow_restore(*, actor: Actor, workflow_id: UUID) -> Workflow:
    """Bring a deleted workflow back under its name.

    Raises:
        WorkflowNotFound, NotDeleted, PermissionDenied
        NameTaken: when another workflow took the name meanwhile.
    """
    workflow = _locked(workflow_id)
    require_owner(actor=actor, created_by_id=workflow.created_by_id)
    if workflow.deleted_at is None:
        raise NotDeleted(f"Workflow {workflow.name!r} is not deleted.")
    workflow.deleted_at = None
    save_named(workflow, "workflow")
    audit.record(actor=actor, action="workflow.restore", target=workflow, after=_summary(workflow))
    return workflow


def _copy_name(name: str) -> str:
    """Return the first free of `name (Copy)`, `name (Copy 2)`, …, shortened to fit."""
    number = 1
    while True:
        suffix = " (Copy)" if number == 1 else f" (Copy {number})"
        candidate = name[: MAX_NAME - len(suffix)].rstrip() + suffix
        if not Workflow.objects.alive().filter(name=candidate).exists():
            return candidate
        number += 1


@transaction.atomic
def workflow_clone(*, actor: Actor, workflow_id: UUID) -> Workflow:
    """Copy the current definition into a new workflow, owned by the caller, with its own version 1.

    Raises:
        WorkflowNotFound
    """
    # Two clones of one original at once wait for each other here, so that each sees the other's name.
    source = _alive(workflow_id)
    clone = Workflow(
        name=_copy_name(source.name),
        type=source.type,
        description=source.description,
        steps=source.steps,
        default_params=source.default_params,
        created_by_id=actor.user_id,
    )
    save_named(clone, "workflow")
    version = _version_add(clone, number=1, actor=actor)
    clone.save(update_fields=["current_version"])
    after = {**_summary(clone, version), "cloned_from": str(source.pk)}
    audit.record(actor=actor, action="workflow.clone", target=clone, after=after)
    return clone


def workflow_import(
    *,
    actor: Actor,
    name: str,
    steps: Sequence[Mapping[str, Any]],
    type: str = WorkflowType.CUSTOM.value,
    default_params: Mapping[str, Any] | None = None,
    description: str = "",
) -> tuple[Workflow, bool]:
    """Create the workflow of this name, or give it a new version where the content differs.

    Returns the workflow and whether anything was written.
    """
    with transaction.atomic():
        found = Workflow.objects.alive().filter(name=clean_name(name)).first()
        content: dict[str, Any] = {
            "type": type,
            "steps": list(steps),
            "default_params": dict(default_params or {}),
            "description": description,
        }
        if found is None:
            return workflow_create(actor=actor, name=name, **content), True
        if all(getattr(found, field) == value for field, value in content.items()):
            return found, False
        return workflow_update(actor=actor, workflow_id=found.pk, name=name, **content), True


def execution_counted(workflow_id: UUID) -> Write:
    """Return the write that counts one more run of a workflow, to be done with the run's own."""
    # Not save(): it must neither lose counts nor change the ETag of the definition.
    return update(Workflow, {"id": workflow_id}, {"executions_count": Sql("executions_count + 1")})
