"""One back-test of a saved strategy, answered at once: equity, trades, statistics, drawdowns, costs, buy-and-hold beside."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from market.bars import Bars, FloatArray, from_ns
from market.sources import generated
from optimize import data
from optimize.analysis.account import Played, Trade, play
from optimize.analysis.figures import Drawdown, costs_of, drawdowns_of, figures_of, returns_of, statistics_of
from optimize.engine import Settings
from optimize.honesty.words import INVENTED
from optimize.inspection.strategies import Deciding, deciding
from tradingsite.common.clock import rfc3339
from tradingsite.common.errors import FieldError, ValidationFailed
from workflows.models import Strategy
from workflows.strategies import sound_bars

# Of all symbols together: a second or so of the web process. What is longer is a job.
BARS_MAX = 200_000
# Points of the curve and trades in an answer; statistics are made of all.
POINTS_MAX = 5_000
TRADES_MAX = 2_000


@dataclass(frozen=True, eq=False)
class _Account:
    """One symbol's account, and the same cash simply held."""

    bars: Bars
    window: tuple[int, int]
    played: Played
    held: Played
    first_signal: int | None

    @property
    def time(self) -> Any:
        return self.bars.time[slice(*self.window)]


def backtest(*, strategy: Strategy, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a strategy would have done in a period.

    Each symbol is traded alone from `initial_cash`; the curve of several is that of their mean return at each time, as
    in a search. The first signal that counts is that of the first bar, filled at the second one's open.

    Args:
        body: as `BacktestSerializer` lets it through.

    Raises:
        StrategyWithoutSignal: the strategy has no signal step.
        ValidationFailed: naming each wrong field.
    """
    how = deciding(strategy, body.get("step"))
    params = how.strategy_type.clean({**how.params, **(body.get("params") or {})})
    symbols = list(dict.fromkeys(body.get("symbols") or strategy.symbols))
    start, end = body["start"], body["end"]
    errors = []
    if not symbols:
        errors.append(FieldError("symbols", "required", "The strategy has no symbols; name some."))
    if start >= end:
        errors.append(FieldError("end", "invalid", "Must be later than start."))
    if (objection := how.strategy_type.objection(params, start)) is not None:
        errors.append(objection)
    if errors:
        raise ValidationFailed(errors=errors)
    chosen = data.choose(
        symbols=symbols,
        timeframe=body.get("timeframe") or how.bars.get("timeframe") or "1d",
        start=start,
        end=end,
        source=body.get("source") or how.bars.get("source"),
        adjustment=body.get("adjustment") or how.bars.get("adjustment"),
    )
    if sum(chosen.counts) > BARS_MAX:
        detail = (
            f"These are {sum(chosen.counts)} bars, at most {BARS_MAX} are answered at once; use fewer symbols or days."
        )
        raise ValidationFailed(errors=[FieldError("end", "too_many_bars", detail)])
    settings = _settings(how, body, chosen.periods_per_year)
    loaded = data.load(chosen.data, start=start, end=end, warm_up=how.strategy_type.warmup(params))
    accounts = [_traded(how, params, bars, start, end, settings) for bars in loaded]
    return {
        "strategy_id": str(strategy.pk),
        "strategy_type": how.strategy_type.slug,
        "params": dict(params),
        "step": how.step,
        "start": rfc3339(start),
        "end": rfc3339(end),
        "settings": {
            "initial_cash": settings.initial_cash,
            "fee": settings.fee,
            "slippage": settings.slippage,
            "direction": settings.direction,
            "stop_loss": settings.stop_loss,
            "take_profit": settings.take_profit,
            "periods_per_year": settings.periods_per_year,
        },
        "data": [pinned.as_json() for pinned in chosen.data],
        **_told(accounts, settings),
        "notes": [*([INVENTED] if generated(each.source for each in chosen.data) else []), *how.untraded],
    }


def _settings(how: Deciding, body: Mapping[str, Any], periods_per_year: float) -> Settings:
    """Return how is traded: what the body says, else the stops of the signal step, in percent there.

    Raises:
        ValidationFailed: for a target that a short position could never reach.
    """

    def level(name: str, of_step: str) -> float | None:
        if name in body:
            found: float | None = body[name]
            return found
        percent = how.config.get(of_step)
        return None if percent is None else percent / 100

    direction, take_profit = body["direction"], level("take_profit", "target_pct")
    if direction == "long_short" and take_profit is not None and take_profit >= 1:
        detail = "Must be below 1 where short positions are traded."
        raise ValidationFailed(errors=[FieldError("take_profit", "invalid", detail)])
    return Settings(
        initial_cash=body["initial_cash"],
        fee=body["costs"]["fee"],
        slippage=body["costs"]["slippage"],
        direction=direction,
        stop_loss=level("stop_loss", "stop_pct"),
        take_profit=take_profit,
        periods_per_year=periods_per_year,
    )


def _traded(
    how: Deciding, params: Mapping[str, Any], bars: Bars, start: datetime, end: datetime, settings: Settings
) -> _Account:
    window = data.bounds(bars.time, start, end)
    signals = how.strategy_type.signals(bars, params)
    always = np.ones(len(bars), dtype=np.bool_)
    held = Settings(
        initial_cash=settings.initial_cash,
        fee=settings.fee,
        slippage=settings.slippage,
        periods_per_year=settings.periods_per_year,
    )
    speaks = np.flatnonzero((signals.entries ^ signals.exits)[slice(*window)])
    return _Account(
        bars,
        window,
        play(bars, signals.entries, signals.exits, window, settings),
        play(bars, always, ~always, window, held),
        int(speaks[0]) if len(speaks) else None,
    )


# ---------------------------------------------------------------------------------------------- the answer


def _told(accounts: Sequence[_Account], settings: Settings) -> dict[str, Any]:
    initial = settings.initial_cash
    if len(accounts) == 1:
        (one,) = accounts
        time, curve, held = one.time, one.played.equity, one.held.equity
        statistics: dict[str, Any] = dict(figures_of(one.played, settings))
    else:
        time = np.unique(np.concatenate([one.time for one in accounts]))
        curve = _together([(one.time, one.played.equity) for one in accounts], time, initial)
        held = _together([(one.time, one.held.equity) for one in accounts], time, initial)
        together = Played(
            curve,
            np.concatenate([one.played.position for one in accounts]),
            tuple(trade for one in accounts for trade in one.played.trades),
            any(one.played.ruined for one in accounts),
            0,
        )
        statistics = dict(figures_of(together, settings))
    trades = sorted(
        ((one.bars, trade) for one in accounts for trade in one.played.trades),
        key=lambda pair: (int(pair[0].time[pair[1].entry_bar]), pair[0].symbol),
    )
    everything = [trade for _, trade in trades]
    return {
        "statistics": statistics,
        "benchmark": statistics_of(held, initial, settings.periods_per_year),
        "equity": _points(time, curve, held),
        "drawdowns": [_drawdown(fall, time) for fall in drawdowns_of(curve)],
        "costs": costs_of(everything, initial * len(accounts)),
        "trades": [_trade(bars, trade) for bars, trade in trades[:TRADES_MAX]],
        "trades_left_out": max(0, len(trades) - TRADES_MAX),
        "symbols": [_symbol(one, settings) for one in accounts],
    }


def _together(curves: Sequence[tuple[Any, FloatArray]], time: Any, initial: float) -> FloatArray:
    """Return the curve of the mean return at each time over those that have a bar there."""
    total, count = np.zeros(len(time)), np.zeros(len(time))
    for own, equity in curves:
        places = np.searchsorted(time, own)
        total[places] += returns_of(equity, initial)
        count[places] += 1
    return np.asarray(initial * np.cumprod(1 + total / count), dtype=np.float64)


def _moment(nanoseconds: Any) -> str:
    return rfc3339(from_ns(int(nanoseconds)))


def _points(time: Any, curve: FloatArray, held: FloatArray) -> list[dict[str, Any]]:
    """Return the curve, thinned evenly where it is longer than anybody looks at; the last point is always there."""
    every = -(-len(time) // POINTS_MAX)
    places = np.arange(len(time) - 1, -1, -every)[::-1]
    return [
        {"time": _moment(time[place]), "equity": float(curve[place]), "benchmark": float(held[place])}
        for place in places
    ]


def _drawdown(fall: Drawdown, time: Any) -> dict[str, Any]:
    return {
        "peak_at": _moment(time[fall.peak]),
        "trough_at": _moment(time[fall.trough]),
        "recovered_at": None if fall.recovered is None else _moment(time[fall.recovered]),
        "depth": fall.depth,
        "bars": fall.bars,
    }


def _trade(bars: Bars, trade: Trade) -> dict[str, Any]:
    return {
        "symbol": bars.symbol,
        "side": "long" if trade.quantity > 0 else "short",
        "entry_at": _moment(bars.time[trade.entry_bar]),
        "entry_price": trade.entry_price,
        "exit_at": _moment(bars.time[trade.exit_bar]) if trade.closed else None,
        "exit_price": trade.exit_price if trade.closed else None,
        "quantity": abs(trade.quantity),
        "bars": trade.exit_bar - trade.entry_bar,
        "fees": trade.fees,
        "slippage": trade.slippage,
        "profit": trade.profit,
        "return": trade.share,
        "open": not trade.closed,
        "reason": trade.reason or None,
    }


def _symbol(one: _Account, settings: Settings) -> dict[str, Any]:
    sound = sound_bars(one.bars)[slice(*one.window)]
    first = one.first_signal
    return {
        "symbol": one.bars.symbol,
        "bars": len(sound),
        "bars_to_warm_up": one.window[0],
        "bars_skipped": int(len(sound) - np.count_nonzero(sound)),
        "orders_without_price": one.played.unfilled,
        "first_signal_at": None if first is None else _moment(one.time[first]),
        "statistics": dict(figures_of(one.played, settings)),
        "benchmark": statistics_of(one.held.equity, settings.initial_cash, settings.periods_per_year),
        "costs": costs_of(one.played.trades, settings.initial_cash),
    }
