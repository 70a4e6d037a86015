"""The rules that hold between the steps of a definition: what comes before what, and what each template needs."""

from collections.abc import Iterator, Mapping, Sequence

from market.indicators import indicator_get
from market.steps import default_name
from tradingsite.common.contracts.steps import step_types
from tradingsite.common.errors import FieldError, ValidationFailed
from workflows.choices import WorkflowType
from workflows.definitions import AGENTS, ResolvedStep, params_errors, resolve, steps_errors


def _sources(key: str) -> list[str]:
    """Return the step types that people may put before one that needs `key`."""
    return sorted(each.slug for each in step_types.all() if each.offered and key in each.puts_out)


def order_errors(steps: Sequence[ResolvedStep], pointer: str = "steps") -> Iterator[FieldError]:
    """Say which steps come before what they need."""
    there: set[str] = set()
    for step in steps:
        kind = step_types.get(step.type)
        for key in sorted(kind.needs - there):
            words = " or ".join(_sources(key))
            detail = f"A step of type {step.type} needs a step of type {words} before it."
            yield FieldError(f"{pointer}/{step.index}/type", "out_of_order", detail)
        there |= kind.puts_out


def _figure_names(steps: Sequence[ResolvedStep]) -> set[str]:
    """Return what the indicator steps among `steps` will call their figures."""
    names = {"close"}
    for step in steps:
        if step.type == "indicator":
            slug, params = step.config["indicator"], step.config["params"]
            name = step.config.get("name") or default_name(slug, params)
            outputs = indicator_get(slug).outputs
            names |= {name, *(f"{name}_{output}" for output in outputs if len(outputs) > 1)}
    return names


def condition_errors(steps: Sequence[ResolvedStep], pointer: str = "steps") -> Iterator[FieldError]:
    """Say which rules name a figure that no step before them computes. The configs must be valid."""
    for step in steps:
        if step.type != "condition":
            continue
        names = _figure_names(steps[: step.index])
        for number, rule in enumerate(step.config["rules"]):
            for side in ("left", "right"):
                if isinstance(rule[side], str) and rule[side] not in names:
                    detail = f"No step before computes {rule[side]!r}. Computed: {', '.join(sorted(names))}."
                    yield FieldError(f"{pointer}/{step.index}/config/rules/{number}/{side}", "unknown_figure", detail)


def _indicator_template(steps: Sequence[ResolvedStep], count: int, slug: str, pointer: str) -> Iterator[FieldError]:
    indicators = [step for step in steps if step.type == "indicator"]
    if len(indicators) != count:
        detail = f"The template {slug} has exactly {count} steps of type indicator, not {len(indicators)}."
        yield FieldError(pointer, "template", detail)
    signals = [step for step in steps if step.type == "signal"]
    if len(signals) != 1:
        detail = f"The template {slug} has exactly one step of type signal, not {len(signals)}."
        yield FieldError(pointer, "template", detail)
    for step in signals:
        if step.config.get("strategy_type") != slug:
            detail = f"The template {slug} decides by the strategy type {slug}."
            yield FieldError(f"{pointer}/{step.index}/config/strategy_type", "template", detail)


def template_errors(type_: str, steps: Sequence[ResolvedStep], pointer: str = "steps") -> Iterator[FieldError]:
    """Say where the steps break the rules of their template."""
    if type_ == WorkflowType.TWO_INDICATOR:
        yield from _indicator_template(steps, 2, type_, pointer)
    elif type_ == WorkflowType.THREE_INDICATOR:
        yield from _indicator_template(steps, 3, type_, pointer)
    elif type_ == WorkflowType.AUTOGEN_MULTI_AGENT:
        teams = sum(step.type == AGENTS for step in steps)
        if teams != 1:
            detail = f"The template {type_} has exactly one step of type {AGENTS}, not {teams}."
            yield FieldError(pointer, "template", detail)


def definition_check(
    *, type_: str, steps: object, default_params: object, pointer: str = "steps", params_pointer: str = "default_params"
) -> tuple[ResolvedStep, ...]:
    """Validate a whole definition and return its steps with the default parameters in place.

    Raises:
        ValidationFailed: naming every wrong field, such as `steps/2/config/period`.
    """
    errors = [*steps_errors(steps, pointer), *params_errors(default_params, params_pointer)]
    if type_ not in WorkflowType.values:
        errors.insert(0, FieldError("type", "invalid", f"Must be one of {', '.join(WorkflowType.values)}."))
    if errors:
        raise ValidationFailed(errors=errors)
    assert isinstance(steps, Sequence)  # narrowed by steps_errors
    assert isinstance(default_params, Mapping)
    resolution = resolve(steps, default_params, pointer)
    errors.extend(resolution.errors)
    errors.extend(order_errors(resolution.steps, pointer))
    if not resolution.errors:
        errors.extend(template_errors(type_, resolution.steps, pointer))
        errors.extend(condition_errors(resolution.steps, pointer))
    if errors:
        raise ValidationFailed(errors=errors)
    return resolution.steps
