"""What must stand before what, as the step types themselves say it."""

from typing import ClassVar

from tradingsite.common.contracts.steps import StepConfig, StepContext, StepResult, StepType, step_types
from workflows.definitions import resolve
from workflows.template_rules import order_errors


class Oracle(StepType):
    slug: ClassVar[str] = "oracle"
    title: ClassVar[str] = "Oracle"
    help: ClassVar[str] = "Decides."
    config_class: ClassVar[type[StepConfig]] = StepConfig
    needs: ClassVar[frozenset[str]] = frozenset({"series"})
    puts_out: ClassVar[frozenset[str]] = frozenset({"decisions"})

    def run(self, context: StepContext) -> StepResult:
        return StepResult({"decisions": []})


class Secret(Oracle):
    slug: ClassVar[str] = "secret"
    offered: ClassVar[bool] = False


RISK = {"name": "risk", "type": "risk_check", "config": {"sizing": {"method": "quantity", "value": "1"}}}
PRICES = {"name": "prices", "type": "market_data", "config": {}}


def _said(*steps: dict[str, object]) -> list[str]:
    return [f"{error.pointer}: {error.detail}" for error in order_errors(resolve(steps, {}).steps)]


def test_a_step_type_of_any_app_may_decide_for_the_risk_check() -> None:
    with step_types.temporarily(Oracle):
        assert _said(PRICES, {"name": "ask", "type": "oracle"}, RISK) == []
        (said,) = _said(PRICES, RISK)
    assert said.startswith("steps/1/type: A step of type risk_check needs a step of type ")
    assert "oracle" in said
    assert "signal" in said


def test_a_step_type_says_itself_what_it_needs() -> None:
    with step_types.temporarily(Oracle):
        (said,) = _said({"name": "ask", "type": "oracle"}, RISK)
    assert said == "steps/0/type: A step of type oracle needs a step of type market_data before it."


def test_what_is_not_offered_counts_and_is_not_proposed() -> None:
    with step_types.temporarily(Secret):
        assert _said(PRICES, {"name": "ask", "type": "secret"}, RISK) == []
        (said,) = _said(PRICES, RISK)
    assert "secret" not in said
