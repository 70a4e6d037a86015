"""Buy what has risen, sell when the rise is over."""

from workflows.strategies.base import Condition, Constraint, Parameter, Params, Reading, StrategyType
from workflows.strategies.numbers import above, below, roc
from workflows.strategies.rules import Columns, Rule


def _rule(params: Params) -> Rule:
    change = roc(params["lookback"])
    return Rule((above(change, params["threshold"]),), 1, (below(change, params["exit_threshold"]),), 1)


def _reading(columns: Columns, params: Params) -> Reading:
    change = columns.get(roc(params["lookback"]))
    return Reading(
        (
            Condition("change above the entry threshold", change - params["threshold"]),
            Condition("change above the exit threshold", change - params["exit_threshold"]),
        ),
        {f"change over {params['lookback']} bars in %": change},
    )


MOMENTUM = StrategyType(
    slug="momentum",
    title="Momentum",
    help="Long while the close has risen by more than a threshold over a number of bars.",
    parameters=(
        Parameter("lookback", "int", 63, "Bars over which the change of the close is measured.", 2, 1000),
        Parameter("threshold", "float", 0.0, "Enter above this change, in percent.", -100, 1000),
        Parameter("exit_threshold", "float", 0.0, "Leave below this change, in percent.", -100, 1000),
    ),
    constraints=(
        Constraint(
            "exit_threshold",
            lambda p: p["exit_threshold"] <= p["threshold"],
            "Must not be above threshold: an entry would be an exit too.",
        ),
    ),
    grid={"lookback": (21, 63, 126), "threshold": (0.0, 2.0, 5.0), "exit_threshold": (-2.0, 0.0)},
    warm_up=lambda p: p["lookback"] + 1,
    rule=_rule,
    reading=_reading,
)
