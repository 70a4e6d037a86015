"""From figures to evidence: what speaks for a rise, what for a fall, how much, and in which words."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agents.team.rules.figures import Figures, Fundamental
from agents.team.rules.sentiment import mood

# How much each subject counts against the others.
WEIGHTS = {"trend": 3.0, "momentum": 1.5, "levels": 0.5, "valuation": 1.5, "news": 1.5}
TOOL_OF = {
    "trend": "get_indicators",
    "momentum": "get_indicators",
    "volatility": "get_indicators",
    "levels": "get_bars",
    "valuation": "get_fundamentals",
    "news": "get_news",
}
# Beyond this fraction of the price a day the market is called restless.
RESTLESS_PCT = 4.0
CALM_PCT = 1.0
OVERBOUGHT, OVERSOLD = 75.0, 25.0


@dataclass(frozen=True)
class Point:
    """One finding. `score` is -1 (a fall) to 1 (a rise); `text` is a whole sentence with the figures in it."""

    subject: str
    score: float
    text: str

    @property
    def weight(self) -> float:
        return WEIGHTS.get(self.subject, 0.0)


def number(value: float) -> str:
    """Write a figure for people: two places from one upwards, four digits below it."""
    if value == 0 or abs(value) >= 1:
        return f"{value:,.2f}".removesuffix(".00")
    return f"{value:.4g}"


def points(figures: Figures, subjects: Iterable[str]) -> list[Point]:
    """Return what the figures say about each of `subjects`, in their order; a subject without figures says nothing."""
    found: list[Point] = []
    for subject in subjects:
        found += _JUDGES[subject](figures)
    return found


def score_of(found: Sequence[Point]) -> float:
    """Return all the findings in one figure, -1 to 1; 0 when nothing was found."""
    weight = sum(point.weight for point in found)
    return sum(point.score * point.weight for point in found) / weight if weight else 0.0


def missing(figures: Figures, subjects: Iterable[str], tools: Iterable[str]) -> list[str]:
    """Return the subjects on which there is nothing although a tool for them was at hand."""
    at_hand = set(tools)
    return [subject for subject in subjects if TOOL_OF[subject] in at_hand and not _JUDGES[subject](figures)]


def _bounded(value: float) -> float:
    return max(-1.0, min(1.0, value))


def _trend(figures: Figures) -> list[Point]:
    price, fast, slow = figures.price, figures.value("sma_20"), figures.value("sma_50")
    width = figures.value("atr_14")
    if price is None or slow is None or fast is None or not width:
        return []
    adx = figures.value("adx_14")
    steady = 0.5 if adx is None else max(0.2, min(1.0, (adx - 10) / 15))
    score = steady * (math.tanh((price - slow) / width / 2) + math.tanh((fast - slow) / width)) / 2
    where = "above" if price > slow else "below" if price < slow else "at"
    lies = "above" if fast > slow else "below" if fast < slow else "at"
    text = (
        f"The close of {number(price)} is {where} its 50-bar average of {number(slow)}, and the 20-bar average of "
        f"{number(fast)} lies {lies} it"
    )
    if adx is not None:
        strength = "a strong trend" if adx >= 30 else "a trend" if adx >= 20 else "hardly a trend"
        text += f"; an ADX of {number(adx)} speaks of {strength}"
    return [Point("trend", _bounded(score), f"{text}.")]


def _momentum(figures: Figures) -> list[Point]:
    rsi, histogram, width = figures.value("rsi_14"), figures.value("macd_12_26_9_histogram"), figures.value("atr_14")
    if rsi is None:
        return []
    parts = [_bounded((rsi - 50) / 20)]
    text = f"The RSI stands at {number(rsi)}"
    before = figures.previous("rsi_14")
    if before is not None and before != rsi:
        text += f", {'up' if rsi > before else 'down'} from {number(before)}"
    if histogram is not None and width:
        parts.append(math.tanh(5 * histogram / width))
        # Less than a hundredth of a bar's range apart is together.
        side = "on" if abs(histogram) < width / 100 else "above" if histogram > 0 else "below"
        text += f", and the MACD runs {side} its signal line"
    score = sum(parts) / len(parts)
    if rsi >= OVERBOUGHT:
        score, text = score - 0.3, f"{text}; so high an RSI warns of a setback"
    elif rsi <= OVERSOLD:
        score, text = score + 0.3, f"{text}; so low an RSI allows for a rebound"
    return [Point("momentum", _bounded(score), f"{text}.")]


def _volatility(figures: Figures) -> list[Point]:
    width, share = figures.value("atr_14"), figures.value("natr_14")
    if width is None or share is None:
        return []
    mood_ = "restless" if share >= RESTLESS_PCT else "calm" if share <= CALM_PCT else "ordinary"
    return [Point("volatility", 0.0, f"It moves by {number(width)} a bar ({number(share)} %), which is {mood_}.")]


def _levels(figures: Figures) -> list[Point]:
    price = figures.price
    if price is None or len(figures.lows) < 10 or len(figures.highs) < 10:
        return []
    support, resistance = min(figures.lows[-20:]), max(figures.highs[-20:])
    if resistance <= support:
        return []
    place = (price - support) / (resistance - support)
    text = (
        f"Over the last {min(20, len(figures.lows))} bars it found support at {number(support)} and resistance at "
        f"{number(resistance)}; the close is {number(100 * place)} % of the way up"
    )
    return [Point("levels", _bounded(2 * place - 1), f"{text}.")]


def _reported(figures: Figures) -> dict[str, Fundamental]:
    return {item.metric.lower().replace(" ", "_").replace("-", "_"): item for item in figures.fundamentals or ()}


def _fraction(item: Fundamental) -> float:
    return item.value / 100 if item.unit.lower() in ("percent", "%", "pct") else item.value


def _valuation(figures: Figures) -> list[Point]:
    reported = _reported(figures)
    scores: list[float] = []
    said: list[str] = []
    ratio = next((reported[name].value for name in ("pe_ratio", "pe", "price_earnings") if name in reported), None)
    earned = next((reported[name].value for name in ("eps", "eps_ttm", "earnings_per_share") if name in reported), None)
    if ratio is None and earned is not None and earned > 0 and figures.price is not None:
        ratio = figures.price / earned
    if earned is not None and earned <= 0:
        scores.append(-0.6)
        said.append(f"it lost {number(-earned)} a share")
    elif ratio is not None:
        scores.append(
            -0.6 if ratio <= 0 else 0.6 if ratio < 15 else 0.0 if ratio <= 25 else -0.3 if ratio <= 40 else -0.6
        )
        said.append(f"it costs {number(ratio)} times its earnings")
    for name, word in (("revenue_growth", "revenue"), ("eps_growth", "earnings"), ("earnings_growth", "earnings")):
        if name in reported:
            grown = _fraction(reported[name])
            scores.append(_bounded(grown / 0.2))
            said.append(f"{word} {'grew' if grown >= 0 else 'shrank'} by {number(abs(100 * grown))} %")
    if "debt_to_equity" in reported:
        debt = reported["debt_to_equity"].value
        scores.append(0.2 if debt < 0.5 else -0.5 if debt > 2 else 0.0)
        said.append(f"it owes {number(debt)} times its equity")
    for name in ("net_margin", "profit_margin"):
        if name in reported:
            margin = _fraction(reported[name])
            scores.append(_bounded(margin / 0.2))
            said.append(f"it keeps {number(100 * margin)} % of its revenue")
    if not scores:
        return []
    text = f"By what it has reported, {', '.join(said)}."
    return [Point("valuation", _bounded(sum(scores) / len(scores)), text)]


def _news(figures: Figures) -> list[Point]:
    if not figures.news:
        return []
    read = mood(figures.news)
    count = len(figures.news)
    text = (
        f"Of {count} news item{'' if count == 1 else 's'}, {read.good} read{'s' if read.good == 1 else ''} well and "
        f"{read.bad} badly"
    )
    if read.telling:
        text += f" (telling words: {', '.join(read.telling)})"
    # One item may err, many seldom do.
    return [Point("news", _bounded(read.score * count / (count + 1)), f"{text}.")]


_JUDGES = {
    "trend": _trend,
    "momentum": _momentum,
    "volatility": _volatility,
    "levels": _levels,
    "valuation": _valuation,
    "news": _news,
}
