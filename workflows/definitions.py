"""What makes a definition valid, and how it becomes the steps of a run. Plain data in, plain data out.

A definition is a list of steps `{name, type, config, timeout_s?, retries?, on_error?}` and a mapping of default
parameters. A config value that is the string `$name`, at any depth, stands for the parameter `name`.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tradingsite.common.api.config_schema import json_able
from tradingsite.common.api.serializers import validated
from tradingsite.common.contracts.steps import StepConfig, step_types
from tradingsite.common.errors import FieldError, ValidationFailed
from workflows.agent_section import overlaid
from workflows.choices import OnError

MAX_STEPS = 50
MAX_BYTES = 256 * 1024
MAX_DEPTH = 20
DEFAULT_TIMEOUT_S = 300.0
MAX_TIMEOUT_S = 86_400.0
MAX_RETRIES = 10
AGENTS = "agents"

STEP_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,59}")
PARAM_NAME = re.compile(r"[a-z][a-z0-9_]{0,59}")
_REFERENCE = re.compile(r"\$([a-z][a-z0-9_]{0,59})")
_STEP_KEYS = frozenset({"name", "type", "config", "timeout_s", "retries", "on_error"})


@dataclass(frozen=True)
class ResolvedStep:
    """One step of a run: its config has every `$name` replaced, every default filled in, and is JSON-able.

    `config_typed` gives the values back as the step type's serializer types them.
    """

    index: int
    name: str
    type: str
    config: Mapping[str, Any]
    timeout_s: float
    retries: int
    on_error: str


@dataclass(frozen=True)
class Resolution:
    """Resolved steps, what is wrong with them, and which config values came from parameters.

    Attributes:
        references: pointer of a config value -> name of the parameter it was taken from.
    """

    steps: tuple[ResolvedStep, ...]
    errors: tuple[FieldError, ...]
    references: Mapping[str, str]


def config_class_of(slug: str) -> type[StepConfig] | None:
    """Return the serializer of a step type's config; None for an unknown type."""
    return step_types.get(slug).config_class if slug in step_types else None


def config_typed(slug: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Validate a resolved config with its step type.

    Raises:
        ValidationFailed: with pointers relative to the config.
    """
    config_class = config_class_of(slug)
    if config_class is None:
        raise ValidationFailed(errors=[FieldError("type", "unknown", f"There is no step type {slug!r}.")])
    return dict(validated(config_class, config))


def team_check(own: object, pointer: str = "param/autogen_config") -> None:
    """Validate a strategy's own settings of its team.

    Raises:
        ValidationFailed: naming each wrong field below `pointer`.
    """
    try:
        config_typed(AGENTS, own)  # type: ignore[arg-type]  # what is no object is refused like any other wrong value
    except ValidationFailed as failure:
        raise _below(failure, pointer) from failure


def team_overlaid(
    steps: Sequence[ResolvedStep], own: Mapping[str, Any], pointer: str = "param/autogen_config"
) -> tuple[ResolvedStep, ...]:
    """Return the steps of a run with a strategy's own settings laid over its team: what is pinned is what is run.

    Raises:
        ValidationFailed: naming each wrong field below `pointer`, also of what only the whole team gets wrong.
    """
    team_check(own, pointer)
    result = []
    for step in steps:
        if step.type == AGENTS:
            try:
                step = replace(step, config=json_able(config_typed(AGENTS, overlaid(step.config, own))))
            except ValidationFailed as failure:
                raise _below(failure, pointer) from failure
        result.append(step)
    return tuple(result)


def _below(failure: ValidationFailed, pointer: str) -> ValidationFailed:
    return ValidationFailed(errors=[replace(e, pointer=f"{pointer}/{e.pointer}".strip("/")) for e in failure.errors])


def params_errors(params: object, pointer: str) -> list[FieldError]:
    """Say what is wrong with a mapping of parameters."""
    if not isinstance(params, Mapping):
        return [FieldError(pointer, "invalid", "Must be an object.")]
    errors = [
        FieldError(f"{pointer}/{name}", "invalid_name", "Use lower case letters, digits and underscores.")
        for name in params
        if not isinstance(name, str) or not PARAM_NAME.fullmatch(name)
    ]
    return errors or list(_json_errors(params, pointer))


def _json_errors(value: object, pointer: str, depth: int = 0) -> Iterator[FieldError]:
    if depth > MAX_DEPTH:
        yield FieldError(pointer, "too_deep", f"Must not be nested deeper than {MAX_DEPTH} levels.")
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            if not isinstance(key, str):
                yield FieldError(pointer, "invalid", "Keys must be strings.")
            else:
                yield from _json_errors(inner, f"{pointer}/{key}", depth + 1)
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _json_errors(inner, f"{pointer}/{index}", depth + 1)
    elif isinstance(value, float):
        if not math.isfinite(value):
            yield FieldError(pointer, "not_finite", "Must be a finite number.")
    elif isinstance(value, str):
        if "\x00" in value:
            # PostgreSQL cannot hold it in JSON.
            yield FieldError(pointer, "null_character", "Must not contain null characters.")
    elif value is not None and not isinstance(value, bool | int):
        yield FieldError(pointer, "invalid", "Must be a JSON value.")


def _shape_errors(step: object, pointer: str) -> Iterator[FieldError]:
    if not isinstance(step, Mapping):
        yield FieldError(pointer, "invalid", "Must be an object with name, type and config.")
        return
    for key in step:
        if key not in _STEP_KEYS:
            yield FieldError(f"{pointer}/{key}", "unknown_field", "There is no such field in a step.")
    name = step.get("name")
    if "name" not in step or "type" not in step:
        missing = [key for key in ("name", "type") if key not in step]
        yield from (FieldError(f"{pointer}/{key}", "required", "This field is required.") for key in missing)
    if "name" in step and not (isinstance(name, str) and STEP_NAME.fullmatch(name)):
        detail = "Must be 1 to 60 letters, digits, underscores or hyphens, starting with a letter."
        yield FieldError(f"{pointer}/name", "invalid", detail)
    slug = step.get("type")
    if "type" in step and (not isinstance(slug, str) or config_class_of(slug) is None):
        known = ", ".join(item.slug for item in step_types.all() if item.offered)
        yield FieldError(f"{pointer}/type", "unknown", f"There is no such step type. Known: {known}.")
    config = step.get("config", {})
    if not isinstance(config, Mapping):
        yield FieldError(f"{pointer}/config", "invalid", "Must be an object.")
    else:
        yield from _json_errors(config, f"{pointer}/config")
    timeout = step.get("timeout_s", DEFAULT_TIMEOUT_S)
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout <= MAX_TIMEOUT_S:
        yield FieldError(f"{pointer}/timeout_s", "invalid", f"Must be a number of seconds, up to {MAX_TIMEOUT_S:.0f}.")
    retries = step.get("retries", 0)
    if isinstance(retries, bool) or not isinstance(retries, int) or not 0 <= retries <= MAX_RETRIES:
        yield FieldError(f"{pointer}/retries", "invalid", f"Must be a whole number from 0 to {MAX_RETRIES}.")
    if step.get("on_error", OnError.FAIL) not in OnError.values:
        yield FieldError(f"{pointer}/on_error", "invalid", "Must be fail or continue.")


def steps_errors(steps: object, pointer: str = "steps") -> list[FieldError]:
    """Say what is wrong with the shape of the steps, whatever their parameters."""
    if not isinstance(steps, list | tuple):
        return [FieldError(pointer, "invalid", "Must be a list of steps.")]
    if not steps:
        return [FieldError(pointer, "empty", "A workflow needs at least one step.")]
    if len(steps) > MAX_STEPS:
        return [FieldError(pointer, "too_many", f"A workflow has at most {MAX_STEPS} steps.")]
    errors = [error for index, step in enumerate(steps) for error in _shape_errors(step, f"{pointer}/{index}")]
    if errors:
        return errors
    if len(json.dumps(steps)) > MAX_BYTES:
        return [FieldError(pointer, "too_large", f"Must be at most {MAX_BYTES // 1024} KiB of JSON.")]
    seen: dict[str, int] = {}
    for index, step in enumerate(steps):
        first = seen.setdefault(step["name"], index)
        if first != index:
            detail = f"Step {first} has this name already; later steps find outputs by it."
            errors.append(FieldError(f"{pointer}/{index}/name", "duplicate", detail))
    return errors


def _substitute(
    value: Any, params: Mapping[str, Any], pointer: str, references: dict[str, str], errors: list[FieldError]
) -> Any:
    if isinstance(value, str):
        match = _REFERENCE.fullmatch(value)
        if match is None:
            return value
        name = match.group(1)
        if name not in params:
            detail = f"There is no parameter {name!r}; add it to default_params."
            errors.append(FieldError(pointer, "unknown_parameter", detail))
            return None
        references[pointer] = name
        return params[name]
    if isinstance(value, Mapping):
        return {key: _substitute(v, params, f"{pointer}/{key}", references, errors) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_substitute(v, params, f"{pointer}/{i}", references, errors) for i, v in enumerate(value)]
    return value


def resolve(steps: Sequence[Mapping[str, Any]], params: Mapping[str, Any], pointer: str = "steps") -> Resolution:
    """Replace parameters and validate every config. The steps must have passed `steps_errors`."""
    resolved: list[ResolvedStep] = []
    errors: list[FieldError] = []
    references: dict[str, str] = {}
    for index, step in enumerate(steps):
        here = f"{pointer}/{index}/config"
        missing: list[FieldError] = []
        config = _substitute(step.get("config", {}), params, here, references, missing)
        errors.extend(missing)
        if not missing:
            try:
                config = json_able(config_typed(step["type"], config))
            except ValidationFailed as failure:
                errors.extend(replace(e, pointer=f"{here}/{e.pointer}".rstrip("/")) for e in failure.errors)
        resolved.append(
            ResolvedStep(
                index=index,
                name=step["name"],
                type=step["type"],
                config=config,
                timeout_s=float(step.get("timeout_s", DEFAULT_TIMEOUT_S)),
                retries=step.get("retries", 0),
                on_error=step.get("on_error", OnError.FAIL.value),
            )
        )
    return Resolution(tuple(resolved), tuple(errors), references)


def blame(
    errors: Sequence[FieldError], references: Mapping[str, str], overrides: Mapping[str, str]
) -> list[FieldError]:
    """Point errors of a config at the override they came from.

    Args:
        overrides: parameter name -> pointer of where it was overridden, such as `param/fast`.
    """
    moved: dict[tuple[str, str], FieldError] = {}
    for error in errors:
        name = next((n for p, n in references.items() if error.pointer == p or error.pointer.startswith(p + "/")), "")
        if name in overrides:
            error = replace(error, pointer=overrides[name], detail=f"{error.detail} (used at {error.pointer})")
        moved.setdefault((error.pointer, error.code), error)
    return list(moved.values())
