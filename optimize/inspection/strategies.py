"""What a saved strategy decides by: the signal step of its definition, and the bars that the step is given."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optimize.errors import StrategyWithoutSignal
from tradingsite.common.errors import FieldError, ValidationFailed
from workflows.models import Strategy
from workflows.selectors import executable
from workflows.strategies import StrategyType, strategy_types

SIGNAL, MARKET_DATA, CONDITION = "signal", "market_data", "condition"


@dataclass(frozen=True)
class Deciding:
    """A strategy's signal step, resolved.

    Attributes:
        step: its name in the definition.
        config: of the step, cleaned.
        bars: config of the market data step before it; empty where there is none.
        conditions: names of the steps behind it that turn decisions to HOLD.
    """

    strategy_type: StrategyType
    params: Mapping[str, Any]
    step: str
    config: Mapping[str, Any]
    bars: Mapping[str, Any]
    conditions: tuple[str, ...]

    @property
    def untraded(self) -> list[str]:
        """What the step or the definition says and a back-test does not do, in words."""
        notes = []
        if self.config.get("entry") == "event":
            notes.append("Entries on their own bar only (entry: event) are not back-tested; any bar may enter.")
        for name in ("stop_atr", "target_atr"):
            if self.config.get(name) is not None:
                notes.append(f"{name} moves with the market and is not back-tested; ask for stop_loss or take_profit.")
        notes += [f"The condition {name!r} is not back-tested." for name in self.conditions]
        return notes


def deciding(strategy: Strategy, step: str | None = None) -> Deciding:
    """Return how `strategy` decides.

    Args:
        step: the name of a signal step; the first one when left out.

    Raises:
        StrategyWithoutSignal: it has none, as one that a team of agents decides.
        ValidationFailed: `step` names none of its signal steps, or its definition does not resolve.
    """
    version = None if strategy.workflow is None else strategy.workflow.current_version
    steps = executable(workflow_version=version, strategy=strategy, input_data={}).steps
    signals = [one for one in steps if one.type == SIGNAL]
    if not signals:
        raise StrategyWithoutSignal(f"{strategy.name!r} has no signal step: there is nothing to back-test.")
    found = next((one for one in signals if step is None or one.name == step), None)
    if found is None:
        names = ", ".join(one.name for one in signals)
        raise ValidationFailed(errors=[FieldError("step", "unknown", f"There is no such signal step. Known: {names}.")])
    before = [one for one in steps if one.type == MARKET_DATA and one.index < found.index]
    kind = strategy_types.get(found.config["strategy_type"])
    return Deciding(
        strategy_type=kind,
        params=kind.clean(found.config.get("params", {})),
        step=found.name,
        config=found.config,
        bars=before[-1].config if before else {},
        conditions=tuple(one.name for one in steps if one.type == CONDITION and one.index > found.index),
    )
