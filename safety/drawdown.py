"""The graduated breaker's arithmetic: from an account's equity, sample by sample, to a level. Plain data in and out.

Equity includes unrealised losses and every position, whoever ordered it. Two drawdowns are kept: of the equity as it
is, and of the equity smoothed over about a minute, each below its own peak; the smaller one counts, so that a single
wrong price trips nothing, in either direction. A level is reached when two samples in a row agree on it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Context, Decimal, localcontext

from safety.choices import BreakerLevel

SMOOTHING_S = Decimal(60)
"""In this time the smoothed equity makes up 63 percent of a step."""

APART_S = 5
"""Samples closer together are one: two processes that look at the same moment confirm nothing to each other."""

LATCHED = frozenset({BreakerLevel.REDUCE, BreakerLevel.KILL})
"""Levels that only a person ends. A warning stops nothing, and ends by itself when the account has recovered."""

_ORDER = tuple(BreakerLevel)
_PRECISE = Context(prec=40)
_PLACES = Decimal("1e-10")


@dataclass(frozen=True)
class Watch:
    """What is remembered of an account between two samples. Money in the account's currency, falls as fractions.

    Attributes:
        at: when the last sample was taken.
        peak, smoothed_peak: the highest equity, and the highest smoothed one, since the beginning or the last resume.
        fall: the smaller of the two drawdowns at the last sample.
        level: what is in force.
        seen: the level that the last sample alone would call for.
    """

    at: datetime
    equity: Decimal
    smoothed: Decimal
    peak: Decimal
    smoothed_peak: Decimal
    fall: Decimal
    level: BreakerLevel
    seen: BreakerLevel


def begin(*, equity: Decimal, peak: Decimal, at: datetime) -> Watch:
    """Return the watch over an account that has reached `peak` before; nothing is smoothed yet."""
    highest = max(peak, equity)
    return Watch(at, equity, equity, highest, highest, _fall(equity, highest), BreakerLevel.NORMAL, BreakerLevel.NORMAL)


def resumed(watch: Watch) -> Watch:
    """Return the watch begun anew at the present equity: what was lost before a person said go on is not counted again."""
    return begin(equity=watch.equity, peak=watch.equity, at=watch.at)


def moved(watch: Watch, amount: Decimal) -> Watch:
    """Return the watch after `amount` was paid in, or out when it is negative: nothing was won or lost by it.

    All is scaled, so that the fall stays the fraction that it was; moved by the amount alone, a small fall of a large
    account would be a large one of what a withdrawal leaves. Where nothing is left to scale, the watch begins anew, and
    where nothing was, all moves by the amount. The levels stay.
    """
    after = watch.equity + amount
    if watch.equity <= 0:
        moved = replace(
            watch,
            equity=after,
            smoothed=watch.smoothed + amount,
            peak=watch.peak + amount,
            smoothed_peak=watch.smoothed_peak + amount,
        )
        return replace(moved, fall=min(_fall(after, moved.peak), _fall(moved.smoothed, moved.smoothed_peak)))
    if after <= 0:
        return replace(begin(equity=after, peak=after, at=watch.at), level=watch.level, seen=watch.seen)
    with localcontext(_PRECISE):
        smoothed, peak, smoothed_peak = (
            (each * after / watch.equity).quantize(_PLACES)
            for each in (watch.smoothed, watch.peak, watch.smoothed_peak)
        )
    return replace(watch, equity=after, smoothed=smoothed, peak=peak, smoothed_peak=smoothed_peak)


def sampled(watch: Watch, *, equity: Decimal, at: datetime, thresholds: Mapping[BreakerLevel, Decimal]) -> Watch:
    """Return the watch after one more sample; unchanged when it comes too soon after the last one, or before it.

    Args:
        thresholds: the drawdown from which each level but the normal one holds, rising with the level.
    """
    passed = Decimal((at - watch.at).total_seconds())
    if passed < APART_S:
        return watch
    with localcontext(_PRECISE):
        weight = 1 - (-passed / SMOOTHING_S).exp()
        smoothed = (watch.smoothed + (equity - watch.smoothed) * weight).quantize(_PLACES)
    peak, smoothed_peak = max(watch.peak, equity), max(watch.smoothed_peak, smoothed)
    fall = min(_fall(equity, peak), _fall(smoothed, smoothed_peak))
    seen = _called_for(fall, thresholds)
    confirmed = min(seen, watch.seen, key=_ORDER.index)
    level = watch.level
    if _ORDER.index(confirmed) > _ORDER.index(level):
        level = confirmed
    elif level is BreakerLevel.WARN and seen is watch.seen is BreakerLevel.NORMAL:
        level = BreakerLevel.NORMAL
    return Watch(at, equity, smoothed, peak, smoothed_peak, fall, level, seen)


def _called_for(fall: Decimal, thresholds: Mapping[BreakerLevel, Decimal]) -> BreakerLevel:
    reached = [level for level, threshold in thresholds.items() if fall >= threshold]
    return max(reached, key=_ORDER.index, default=BreakerLevel.NORMAL)


def _fall(equity: Decimal, peak: Decimal) -> Decimal:
    """Return how far `equity` is below `peak`; below a peak that is not above zero, everything is lost."""
    if equity >= peak:
        return Decimal(0)
    if peak <= 0:
        return Decimal(1)
    with localcontext(_PRECISE):
        return ((peak - equity) / peak).quantize(_PLACES)
