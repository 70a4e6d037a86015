"""The `notify` step: a workflow tells people what it found."""

import re
from collections.abc import Iterator, Mapping
from string import Template
from typing import Any
from uuid import uuid5

from django.db import transaction
from rest_framework import serializers

from safety.choices import AlertKind, Severity
from safety.services import alert_raise
from tradingsite.common.contracts.steps import StepConfig, StepContext, StepResult, StepType, step_types
from tradingsite.common.decimals import to_decimal
from tradingsite.common.errors import ValidationFailed

ALWAYS, DECISION, ORDER = "always", "decision", "order"

# What a message may name; the first three are there in every message.
_RUN = ("workflow", "strategy", "symbols")
_DECISION = ("symbol", "action", "confidence", "reason", "price")
_ORDER = ("symbol", "side", "quantity", "status", "code", "detail", "average_price")
PLACEHOLDERS: Mapping[str, frozenset[str]] = {
    ALWAYS: frozenset(_RUN),
    DECISION: frozenset({*_RUN, *_DECISION}),
    ORDER: frozenset({*_RUN, *_ORDER}),
}
DEFAULT_MESSAGE: Mapping[str, str] = {
    ALWAYS: "{workflow} looked at {symbols}.",
    DECISION: "{action} {symbol}: {reason}",
    ORDER: "{side} {quantity} {symbol}: {status} {code}",
}


class BraceTemplate(Template):
    """`{name}` and nothing more: no attributes, no indexes, no format codes. `{{` is a brace."""

    delimiter = "{"
    pattern = r"\{(?:(?P<escaped>\{)|(?P<named>[a-z_]+)\}|(?P<braced>(?!))|(?P<invalid>))"  # type: ignore[assignment]
    flags = re.NOFLAG


class NotifyConfig(StepConfig):
    """When to tell, how loudly, and in which words."""

    only_when = serializers.ChoiceField(
        choices=[ALWAYS, DECISION, ORDER],
        default=DECISION,
        help_text="always: one message a run; decision: one for each BUY or SELL; order: one for each order.",
    )
    severity = serializers.ChoiceField(choices=Severity.values, default=Severity.INFO.value)
    message = serializers.CharField(
        required=False,
        max_length=500,
        help_text="Placeholders in braces, such as {symbol} {action} {status}.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs.setdefault("message", DEFAULT_MESSAGE[attrs["only_when"]])
        template = BraceTemplate(attrs["message"])
        if not template.is_valid():
            raise serializers.ValidationError(
                {"message": "A brace opens that is no {placeholder}; write {{ for a brace."}
            )
        known = PLACEHOLDERS[attrs["only_when"]]
        unknown = sorted(set(template.get_identifiers()) - known)
        if unknown:
            raise serializers.ValidationError(
                {"message": f"Unknown here: {', '.join(unknown)}. Known: {', '.join(sorted(known))}."}
            )
        return attrs


@step_types.register
class Notify(StepType):
    """Raises alerts; each has an id that follows from the run, so that a step which is repeated tells it once."""

    slug = "notify"
    title = "Notify"
    help = "Raise an alert for the run, for each decision or for each order."
    config_class = NotifyConfig

    def run(self, context: StepContext) -> StepResult:
        config = context.config
        template = BraceTemplate(config["message"])
        common = {
            "workflow": context.workflow_name,
            "strategy": context.strategy_name,
            "symbols": ", ".join(context.symbols),
        }
        notified: list[str] = []
        context.check()
        with transaction.atomic():
            for number, facts in enumerate(_occasions(context, config["only_when"])):
                words = {name: _word(value) for name, value in {**common, **facts}.items()}
                event = alert_raise(
                    kind=AlertKind.NOTIFY,
                    name=context.workflow_name or context.step_name,
                    severity=config["severity"],
                    message=template.safe_substitute(words)[:2000],
                    symbol=words.get("symbol", ""),
                    value=_price(facts),
                    event_id=uuid5(context.execution_id, f"{context.step_index}-{number}"),
                    actor=context.actor,
                )
                notified.append(str(event.pk))
        return StepResult({"notified": notified}, f"{len(notified)} alert{'' if len(notified) == 1 else 's'}")


def _occasions(context: StepContext, only_when: str) -> Iterator[dict[str, Any]]:
    if only_when == ALWAYS:
        yield {}
    elif only_when == DECISION:
        for decision in context.latest("decisions", []):
            if decision["action"] != "HOLD":
                yield {name: decision.get(name) for name in _DECISION}
    else:
        for output in context.outputs.values():
            for order in output.get("orders", []):
                yield {name: order.get(name) for name in _ORDER}


def _word(value: object) -> str:
    return "" if value is None else str(value)


def _price(facts: Mapping[str, Any]) -> Any:
    try:
        return to_decimal(facts.get("average_price") or facts.get("price"))
    except ValidationFailed:
        return None
