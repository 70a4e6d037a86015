"""Did the desk decide live as a back-test over the same bars decides? Bar by bar, every difference named."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from market.bars import Bars
from workflows.strategies import StrategyType, target_position
from workflows.strategies.rules import Params

Action = Literal["BUY", "SELL", "HOLD"]
# Relative: prices in decisions are decimal strings of their own precision.
PRICE_TOLERANCE = 1e-6


@dataclass(frozen=True)
class LiveDecision:
    """What a run decided for one symbol.

    Attributes:
        time: nanoseconds UTC at which the bar opened that it decided by.
        price: the close of that bar as the run saw it.
        label: names the run, such as its id.
    """

    time: int
    action: Action
    price: float
    label: str


@dataclass(frozen=True)
class Difference:
    """One bar on which live and back-test are not the same.

    Attributes:
        kind: `action` they decided otherwise; `price` the close is another by now; `no_bar` there is no such bar (any
            more); `no_decision` no run decided by this bar; `contradiction` two runs decided otherwise by one bar.
    """

    kind: Literal["action", "price", "no_bar", "no_decision", "contradiction"]
    time: int
    live: str
    backtest: str
    label: str


@dataclass(frozen=True)
class Parity:
    """What was found.

    Attributes:
        bars: from the first to the last that a run decided by.
        decided: bars with a decision of a run.
        agreed: those on which live and back-test decided the same.
        began_long: whether something was held before the first decision; told from the first one that traded, or without
            one from what the strategy wanted.
        differences: in the order of their bars.
    """

    bars: int
    decided: int
    agreed: int
    began_long: bool
    differences: tuple[Difference, ...]


def parity(
    strategy_type: StrategyType,
    params: Params,
    bars: Bars,
    decisions: Sequence[LiveDecision],
    *,
    event_only: bool = False,
    history: int | None = None,
    check: Callable[[], None] = lambda: None,
) -> Parity:
    """Compare decisions of runs with those of a back-test over `bars`, from the first of them to the last.

    The back-test decides as the live step does (buy when it wants to be long and is not, sell when it does not and is) and
    fills at once what it decides; it holds at the start what the runs held. Where a run's order was refused, or something
    else closed the position, the two part, and every bar until they meet again is a difference.

    Args:
        decisions: in any order; several by one bar must say the same.
        event_only: as in the signal step: buy only on the bar on which the strategy begins to want to.
        history: bars that the live step looks at, at the most; None for all.
        check: called between bars; what it raises ends the comparison.
    """
    ordered = sorted(decisions, key=lambda decision: decision.time)
    if not ordered:
        return Parity(0, 0, 0, False, ())
    place = {int(time): index for index, time in enumerate(bars.time)}
    differences: list[Difference] = []
    live: dict[int, LiveDecision] = {}
    for decision in ordered:
        index = place.get(decision.time)
        if index is None:
            differences.append(Difference("no_bar", decision.time, decision.action, "", decision.label))
        elif index in live and live[index].action != decision.action:
            both = f"{live[index].action} of {live[index].label}, {decision.action}"
            differences.append(Difference("contradiction", decision.time, both, "", decision.label))
        else:
            live.setdefault(index, decision)
    if not live:
        return Parity(0, 0, 0, False, tuple(differences))
    first, last = min(live), max(live)
    wanted = _targets(strategy_type, params, bars, first, last, history, check)
    traded = next((live[index].action for index in sorted(live) if live[index].action != "HOLD"), None)
    # Where no run traded, they held what the strategy wanted, or there was nothing to agree on.
    long = began_long = traded == "SELL" if traded else bool(wanted[1])
    agreed = 0
    for index in range(first, last + 1):
        here, before = int(wanted[index - first + 1]), int(wanted[index - first])
        action = _decide(here, before, long=long, event_only=event_only)
        long = action == "BUY" or (long and action != "SELL")
        found = live.get(index)
        time = int(bars.time[index])
        if found is None:
            differences.append(Difference("no_decision", time, "", action, ""))
            continue
        agreed += found.action == action
        if found.action != action:
            differences.append(Difference("action", time, found.action, action, found.label))
        close = float(bars.close[index])
        if not abs(close - found.price) <= PRICE_TOLERANCE * abs(found.price):
            differences.append(Difference("price", time, f"{found.price:.10g}", f"{close:.10g}", found.label))
    differences.sort(key=lambda difference: difference.time)
    return Parity(last - first + 1, len(live), agreed, began_long, tuple(differences))


def _decide(wanted: int, before: int, *, long: bool, event_only: bool) -> Action:
    if wanted == 1 and not long:
        return "HOLD" if event_only and before == 1 else "BUY"
    if wanted == 0 and long:
        return "SELL"
    return "HOLD"


def _targets(
    strategy_type: StrategyType,
    params: Params,
    bars: Bars,
    first: int,
    last: int,
    history: int | None,
    check: Callable[[], None],
) -> NDArray[np.int8]:
    """Return the position wanted after each bar from `first - 1` to `last`; before there are bars enough, none."""
    result = np.zeros(last - first + 2, dtype=np.int8)
    needed = strategy_type.warmup(params)
    if history is None or last < history:
        # The step looked at all that there was: one pass over the whole says what each of its own said.
        check()
        found = target_position(strategy_type.signals(bars.slice(0, last + 1), params))
        found[: needed - 1] = 0
        result[1:] = found[first:]
        result[0] = found[first - 1] if first > 0 else 0
        return result
    for index in range(max(first - 1, needed - 1), last + 1):
        check()
        shown = bars.slice(max(0, index + 1 - history), index + 1)
        result[index - first + 1] = target_position(strategy_type.signals(shown, params))[-1]
    return result
