"""How each kind of rule looks at what there is: from a rule and a view of the world to an observation."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from market.indicators import indicator_get
from market.selectors import SeriesAsked
from safety.alerting.contracts import ACCOUNT, GOAL, Facts
from safety.alerting.expressions import NotComputable, parse
from safety.alerting.kinds import ACCOUNT_FIELDS, BOTH, DOWN, MARKET_FIELDS, PRICE, UP
from safety.alerting.market_view import Missing, SeriesView, figure
from safety.alerting.observations import Crossing, Gap, Rule, Seen
from safety.choices import AlertKind
from tradingsite.common.clock import rfc3339
from tradingsite.common.decimals import decimal_string
from tradingsite.common.errors import AppError

logger = logging.getLogger(__name__)

_KNOWN = frozenset({**MARKET_FIELDS, **ACCOUNT_FIELDS})
_HUNDRED = Decimal(100)
# What a config of another version of the desk leads to. The fault of one rule is its own and not the round's.
_BROKEN = (ArithmeticError, LookupError, TypeError, ValueError)


@dataclass(frozen=True)
class Needs:
    """What must be gathered before a rule can be looked at."""

    series: SeriesAsked | None = None
    facts: tuple[str, str] | None = None


@dataclass(frozen=True)
class World:
    """What was gathered for a round, at one moment."""

    now: datetime
    series: Mapping[SeriesAsked, SeriesView | Gap]
    facts: Mapping[tuple[str, str], Facts | Gap]

    def view(self, needs: Needs) -> SeriesView:
        """Return the series that a rule needs.

        Raises:
            Missing
        """
        assert needs.series is not None
        found = self.series[needs.series]
        if isinstance(found, Gap):
            raise Missing(found.code, found.detail)
        return found

    def facts_of(self, needs: Needs) -> Facts:
        """Return the figures that a rule needs.

        Raises:
            Missing
        """
        assert needs.facts is not None
        found = self.facts[needs.facts]
        if isinstance(found, Gap):
            raise Missing(found.code, found.detail)
        return found


@dataclass(frozen=True)
class Watch:
    """A rule made ready: what it needs, whether it waits for a crossing, and how it looks."""

    needs: Needs
    crossing: Crossing | None
    look: Callable[[Rule, Needs, World], Seen]


def observe(rule: Rule, watch: Watch, world: World) -> Seen | Gap:
    """Return what a look at a rule finds, or why nothing can be found."""
    try:
        return watch.look(rule, watch.needs, world)
    except Missing as missing:
        return missing.gap
    except AppError as error:
        return Gap(error.code, error.detail)
    except _BROKEN as error:
        return _broken(rule, error)


def watch_of(rule: Rule) -> Watch:
    """Make a rule of a condition ready for looking. One that cannot be read says so at every look."""
    try:
        return _watch_of(rule)
    except _BROKEN as error:
        gap = _broken(rule, error)

    def unreadable(rule: Rule, needs: Needs, world: World) -> Seen:
        raise Missing(gap.code, gap.detail)

    return Watch(Needs(), None, unreadable)


def _broken(rule: Rule, error: Exception) -> Gap:
    logger.error("alert rule %s cannot be evaluated: %s: %s", rule.id, type(error).__name__, error)
    return Gap("RULE_UNREADABLE", f"It cannot be evaluated ({type(error).__name__}: {error}): save it again.")


def _watch_of(rule: Rule) -> Watch:
    config = rule.config
    series, facts = None, None
    kind = AlertKind(rule.kind)
    named: frozenset[str] = frozenset()
    if kind == AlertKind.EXPRESSION:
        named = parse(config["expression"], known=_KNOWN).names
    if kind in _OF_MARKET or named & MARKET_FIELDS.keys():
        series = SeriesAsked(rule.symbol, config["source"], config["timeframe"], config["adjustment"])
    if kind in (AlertKind.DRAWDOWN, AlertKind.DAILY_LOSS) or named & ACCOUNT_FIELDS.keys():
        facts = (ACCOUNT, config["account_id"] or "")
    elif kind == AlertKind.DRIFT:
        facts = (GOAL, config["goal_id"])
    return Watch(Needs(series, facts), _crossing(kind, config), _LOOKS[kind])


def _crossing(kind: AlertKind, config: Mapping[str, Any]) -> Crossing | None:
    if kind == AlertKind.PRICE_CROSSES:
        return Crossing(up=config["direction"] in (UP, BOTH), down=config["direction"] in (DOWN, BOTH))
    if kind == AlertKind.INDICATOR and config["operator"].startswith("crosses"):
        operator = config["operator"]
        return Crossing(up=operator != "crosses_below", down=operator != "crosses_above")
    return None


def _said(number: Decimal) -> str:
    return decimal_string(number)


def _rounded(number: Decimal) -> str:
    return f"{number:.2f}"


def _needed(rule: Rule) -> Decimal:
    assert rule.threshold is not None
    return rule.threshold


def _young_enough(rule: Rule, view: SeriesView) -> None:
    """Refuse a price that is older than the rule takes for a basis.

    Raises:
        Missing
    """
    limit = rule.config["max_age_s"]
    if limit is not None and (age := view.age_s()) > limit:
        raise Missing("DATA_STALE", f"The newest price of {rule.symbol} is {age} s old; the rule takes {limit} s.")


def _price_above(rule: Rule, needs: Needs, world: World) -> Seen:
    return _level(rule, needs, world, above=True)


def _price_below(rule: Rule, needs: Needs, world: World) -> Seen:
    return _level(rule, needs, world, above=False)


def _level(rule: Rule, needs: Needs, world: World, *, above: bool) -> Seen:
    view, threshold = world.view(needs), _needed(rule)
    _young_enough(rule, view)
    point = view.point()
    met = point.price > threshold if above else point.price < threshold
    return Seen(
        met,
        point.price,
        threshold,
        point.time,
        lambda: f"{rule.symbol} is at {_said(point.price)}, {'above' if above else 'below'} {_said(threshold)}.",
    )


def _price_crosses(rule: Rule, needs: Needs, world: World) -> Seen:
    view, threshold = world.view(needs), _needed(rule)
    _young_enough(rule, view)
    point = view.point()
    met = None if point.price == threshold else point.price > threshold
    way = "above" if met else "below"
    return Seen(
        met,
        point.price,
        threshold,
        point.time,
        lambda: f"{rule.symbol} went {way} {_said(threshold)}: it is at {_said(point.price)}.",
    )


def _percent_move(rule: Rule, needs: Needs, world: World) -> Seen:
    view, threshold = world.view(needs), _needed(rule)
    _young_enough(rule, view)
    point, back = view.point(), rule.config["bars"]
    # The newest bar's own close is the price when no bar has begun since: it is not held against itself.
    running = point.time > view.bar_end()
    base = figure(view.close(back - running))
    if base <= 0:
        raise Missing("NOT_COMPUTABLE", f"The close to compare with is {_said(base)}: no percentage can be told.")
    percent = (point.price / base - 1) * _HUNDRED
    direction = rule.config["direction"]
    met = (direction != DOWN and percent >= threshold) or (direction != UP and -percent >= threshold)
    bars = f"{back} {rule.config['timeframe']} bar{'' if back == 1 else 's'}"
    return Seen(
        met,
        _stored(percent),
        threshold,
        point.time,
        lambda: f"{rule.symbol} moved {_rounded(percent)} % in {bars}, from {_said(base)} to {_said(point.price)}.",
    )


def _indicator(rule: Rule, needs: Needs, world: World) -> Seen:
    view, config = world.view(needs), rule.config
    _young_enough(rule, view)
    value, at = view.output(config)
    number = figure(value)
    against = config["against"]
    other = _needed(rule) if against is None else figure(view.output(against)[0])
    above = None if number == other else number > other
    operator = config["operator"]
    met: bool | None
    if operator.startswith("crosses"):
        met, way = above, "crossed above" if above else "crossed below"
    else:
        met, way = above is (operator == "above"), f"is {operator}"

    def text() -> str:
        other_name = _said(other) if against is None else f"{_named(against)} ({_said(other)})"
        return f"{_named(config)} of {rule.symbol}, {_said(number)}, {way} {other_name}."

    return Seen(met, number, other, at, text)


def _named(operand: Mapping[str, Any]) -> str:
    if operand["indicator"] == PRICE:
        return PRICE
    # In the order of the indicator: a database keeps the members of JSON in an order of its own.
    values = [str(operand["params"][param.name]) for param in indicator_get(operand["indicator"]).params]
    return f"{operand['indicator']}({', '.join(values)})" if values else str(operand["indicator"])


def _stale(rule: Rule, needs: Needs, world: World) -> Seen:
    limit = rule.config["max_age_s"]
    try:
        view = world.view(needs)
        point = view.point()
    except Missing as missing:
        # Nothing at all is as stale as data can be.
        detail = missing.gap.detail
        return Seen(
            True,
            None,
            Decimal(limit),
            world.now,
            lambda: f"There is no price of {rule.symbol}: {detail}",
            key=f"none since {rfc3339(world.now)}",
        )
    if view.standing_still:
        detail = f"The market of {view.series} stands still at its last bar, so that its age says nothing."
        raise Missing("HISTORICAL_SOURCE", detail)
    age = view.age_s()
    made = rfc3339(point.time)
    text = f"The newest price of {rule.symbol} is of {made}: {age} s of open market ago."
    return Seen(age > limit, Decimal(age), Decimal(limit), world.now, lambda: text, key=f"of {rfc3339(point.time)}")


def _drift(rule: Rule, needs: Needs, world: World) -> Seen:
    name = f"drift:{rule.symbol}" if rule.symbol else "total_drift"
    of = f"{rule.symbol} in the goal" if rule.symbol else "The goal"
    return _at_least(rule, world.facts_of(needs), name, lambda value: f"{of} drifts by {_percent(value)}.")


def _drawdown(rule: Rule, needs: Needs, world: World) -> Seen:
    facts = world.facts_of(needs)
    return _at_least(
        rule, facts, "drawdown", lambda value: f"The account is {_percent(value)} below its highest equity."
    )


def _daily_loss(rule: Rule, needs: Needs, world: World) -> Seen:
    facts = world.facts_of(needs)
    if rule.config["unit"] == "fraction":
        return _at_least(
            rule, facts, "daily_loss_fraction", lambda value: f"The account has lost {_percent(value)} today."
        )
    return _at_least(rule, facts, "daily_loss", lambda value: f"The account has lost {_said(value)} today.")


def _at_least(rule: Rule, facts: Facts, name: str, text: Callable[[Decimal], str]) -> Seen:
    value, threshold = _figure_of(facts, name), _needed(rule)
    return Seen(value >= threshold, _stored(value), threshold, facts.at, lambda: text(value))


def _figure_of(facts: Facts, name: str) -> Decimal:
    if name not in facts.figures:
        raise Missing("FIGURE_UNKNOWN", f"The figure {name} is not known now.")
    return facts.figures[name]


def _percent(fraction: Decimal) -> str:
    return f"{fraction * _HUNDRED:.2f} %"


def _expression(rule: Rule, needs: Needs, world: World) -> Seen:
    expression = parse(rule.config["expression"], known=_KNOWN)
    figures: dict[str, Decimal] = {}
    moments: list[datetime] = []
    if needs.series is not None:
        view = world.view(needs)
        _young_enough(rule, view)
        moments.append(view.point().time)
        figures |= {name: _market_figure(name, view) for name in expression.names & MARKET_FIELDS.keys()}
    if needs.facts is not None:
        facts = world.facts_of(needs)
        moments.append(facts.at)
        figures |= {name: _figure_of(facts, name) for name in expression.names & ACCOUNT_FIELDS.keys()}
    try:
        met = expression.holds(figures)
    except NotComputable as error:
        raise Missing("NOT_COMPUTABLE", str(error)) from None

    def text() -> str:
        return f"{expression.text}: {', '.join(f'{name} {_said(value)}' for name, value in sorted(figures.items()))}."

    value = next(iter(figures.values())) if len(figures) == 1 else None
    # The age of a price grows though the price stays: such a look is as new as the round.
    at = world.now if "age_s" in figures else max(moments)
    return Seen(met, None if value is None else _stored(value), None, at, text)


def _market_figure(name: str, view: SeriesView) -> Decimal:
    if name == "price":
        return view.point().price
    if name == "age_s":
        return Decimal(view.age_s())
    if name == "change_percent":
        running = view.point().time > view.bar_end()
        base = figure(view.close(0 if running else 1))
        if base <= 0:
            raise Missing("NOT_COMPUTABLE", f"The close to compare with is {_said(base)}.")
        return (view.point().price / base - 1) * _HUNDRED
    if name == "previous_close":
        return figure(view.close(1))
    return figure(float(getattr(view.bars(1), name)[-1]))


def _stored(number: Decimal) -> Decimal:
    """Return a figure as a column keeps it.

    Raises:
        Missing: for one that is too large.
    """
    if abs(number) >= Decimal(10) ** 17:
        raise Missing("NOT_COMPUTABLE", "The value is too large to be kept.")
    return number.quantize(Decimal("1e-10"))


_OF_MARKET = frozenset(
    {
        AlertKind.PRICE_ABOVE,
        AlertKind.PRICE_BELOW,
        AlertKind.PRICE_CROSSES,
        AlertKind.PERCENT_MOVE,
        AlertKind.INDICATOR,
        AlertKind.DATA_STALE,
    }
)
_LOOKS: Mapping[AlertKind, Callable[[Rule, Needs, World], Seen]] = {
    AlertKind.PRICE_ABOVE: _price_above,
    AlertKind.PRICE_BELOW: _price_below,
    AlertKind.PRICE_CROSSES: _price_crosses,
    AlertKind.PERCENT_MOVE: _percent_move,
    AlertKind.INDICATOR: _indicator,
    AlertKind.DATA_STALE: _stale,
    AlertKind.DRIFT: _drift,
    AlertKind.DRAWDOWN: _drawdown,
    AlertKind.DAILY_LOSS: _daily_loss,
    AlertKind.EXPRESSION: _expression,
}
