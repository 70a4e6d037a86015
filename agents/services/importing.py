"""Taking a whole registry in, or nothing of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from django.db import transaction

from agents.models import Agent
from agents.rules import agent_checked
from agents.services.registry import DEFAULTS, agent_content, agent_create, agent_update
from tradingsite.common.actor import Actor
from tradingsite.common.errors import FieldError, ValidationFailed


@dataclass
class Imported:
    """The names of the agents that were, or would be, created, updated and left alone."""

    created: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)


@transaction.atomic
def agents_import(
    *, actor: Actor, entries: Sequence[Mapping[str, Any]], update: bool = False, dry_run: bool = False
) -> Imported:
    """Bring the registry to what `entries` say, each in the shape of a body of the API; agents not named stay.

    An entry says all of its agent: what it leaves out becomes the default. Only `enabled`, left out, stays as it is:
    whoever switched an agent off did not want a file to switch it on.

    Args:
        update: whether agents that differ may be changed.
        dry_run: validate and compare, and write nothing.

    Raises:
        ValidationFailed: with pointers such as `agents/2/endpoint`; also for an agent that differs, without `update`.
            Nothing was written.
    """
    errors: list[FieldError] = []
    wanted: list[dict[str, Any]] = []
    for index, entry in enumerate(entries):
        try:
            wanted.append(agent_checked({**DEFAULTS, **entry}))
        except ValidationFailed as failure:
            errors.extend(replace(error, pointer=f"agents/{index}/{error.pointer}") for error in failure.errors)
    names = [str(entry["name"]).strip() for entry in entries]
    for index, name in enumerate(names):
        if name in names[:index]:
            detail = f"Entry {names.index(name)} has this name already."
            errors.append(FieldError(f"agents/{index}/name", "duplicate", detail))
    if errors:
        raise ValidationFailed(errors=errors)
    found = {row.name: row for row in Agent.objects.alive().select_for_update().filter(name__in=names)}
    result = Imported()
    for index, (entry, values) in enumerate(zip(entries, wanted, strict=True)):
        agent: Agent | None = found.get(values["name"])
        if agent is None:
            result.created.append(values["name"])
            if not dry_run:
                agent_create(actor=actor, **values)
            continue
        if "enabled" not in entry:
            values["enabled"] = agent.enabled
        before = agent_content(agent)
        changes = {name: value for name, value in values.items() if before[name] != value}
        if not changes:
            result.unchanged.append(agent.name)
            continue
        if not update:
            detail = f"{agent.name} is registered with other content. Say that it shall be updated, or leave it out."
            errors.extend(FieldError(f"agents/{index}/{name}", "differs", detail) for name in changes)
        elif not dry_run and not errors:
            agent_update(actor=actor, agent_id=agent.pk, changes=changes)
        result.updated.append(agent.name)
    if errors:
        raise ValidationFailed(errors=errors)
    return result
