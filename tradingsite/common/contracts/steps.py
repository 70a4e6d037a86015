"""The contract of a workflow step.

An app offers a step type in its `steps.py`; the runner carries it out without knowing the app. A step reads its
context and returns a result; it never touches the rows of the run.
"""

import abc
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from django.core.exceptions import ImproperlyConfigured

from tradingsite.common.actor import Actor
from tradingsite.common.api.serializers import StrictSerializer
from tradingsite.common.contracts.registry import Registry
from tradingsite.common.errors import AppError


class StepConfig(StrictSerializer):
    """Base of a step type's config: unknown keys are errors; the API, the form and OpenAPI are drawn from it."""


class StepError(AppError):
    """A step's own, coded and final failure: another attempt would fail the same way."""

    code, status, title = "STEP_FAILED", 409, "The step failed"


class StepRetryable(StepError):
    """A failure that may pass: worth another attempt, within the step's retries."""

    code = "STEP_FAILED_FOR_NOW"


class StepInterrupted(Exception):
    """Raised inside a step by `context.check()`: the run was cancelled, its lease was lost, or its time is up."""


@dataclass(frozen=True)
class StepContext:
    """All that a step may know.

    Attributes:
        attempt: 1 for the first try of this step.
        params: the workflow's defaults, overlaid by the strategy's overrides and the run's input.
        config: this step's validated config, `$params` resolved.
        as_of: the wall time pinned when the run was created; a resumed run sees the same.
        outputs: what each finished step returned, by step name, in order.
        log: adds a line to the step's log.
        progress: says how much of this step is done, 0 to 1.
        check: raises StepInterrupted when the run must stop. Call it in loops and right before anything that
            cannot be undone.
    """

    execution_id: UUID
    step_index: int
    step_name: str
    attempt: int
    actor: Actor
    strategy_id: UUID | None
    strategy_name: str
    workflow_name: str
    symbols: tuple[str, ...]
    params: Mapping[str, Any]
    config: Mapping[str, Any]
    as_of: datetime
    mode: str
    outputs: Mapping[str, Mapping[str, Any]]
    log: Callable[[str], None]
    progress: Callable[[float], None]
    check: Callable[[], None]

    def latest(self, key: str, default: Any = None) -> Any:
        """Return the newest finished output's value under `key`."""
        for output in reversed(list(self.outputs.values())):
            if key in output:
                return output[key]
        return default

    def merged(self, key: str) -> dict[str, Any]:
        """Return the mappings under `key` of all finished outputs, later ones winning."""
        result: dict[str, Any] = {}
        for output in self.outputs.values():
            result.update(output.get(key, {}))
        return result


@dataclass(frozen=True)
class StepResult:
    """What a step leaves behind: JSON-able output for the next steps, and a line for people."""

    output: Mapping[str, Any] = field(default_factory=dict)
    summary: str = ""


class StepType(abc.ABC):
    """One kind of step.

    Attributes:
        slug: the word in a definition's `type`.
        help: one line for the page and the API.
        config_class: validates `config`.
        needs: keys of outputs that it reads; each must be put out by a step before it.
        puts_out: keys of its output that others may need.
        reads_only: whether it changes nothing and sends nothing, so that it may be carried out beside a run as well.
        offered: whether people may choose it; False for the parts of a workflow that the desk itself keeps.
    """

    slug: ClassVar[str]
    title: ClassVar[str]
    help: ClassVar[str]
    config_class: ClassVar[type[StepConfig]]
    needs: ClassVar[frozenset[str]] = frozenset()
    puts_out: ClassVar[frozenset[str]] = frozenset()
    reads_only: ClassVar[bool] = False
    offered: ClassVar[bool] = True

    @abc.abstractmethod
    def run(self, context: StepContext) -> StepResult:
        """Do the work.

        Raises:
            StepError: a final failure with a code.
            StepRetryable: a failure worth another attempt.
        """


def _check(step_type: type[StepType]) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9_]{1,39}", step_type.slug):
        raise ImproperlyConfigured(f"step type {step_type.slug!r} must be lower case letters, digits and underscores")
    for name in ("title", "help", "config_class"):
        if not getattr(step_type, name, None):
            raise ImproperlyConfigured(f"step type {step_type.slug!r} has no {name}")


step_types: Registry[type[StepType]] = Registry("step type", _check)
