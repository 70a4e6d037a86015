"""How `data/vectorbt.npz` was made: fills, equity and statistics by vectorbt, of signals by other code than the desk's.

Run once, outside the desk's environment, with what `benchmarks/peers/vectorbt.txt` names (none is a dependency of the desk):

    python tests/optimize/record_vectorbt.py market/data/stocks.csv.gz tests/optimize/data/vectorbt.npz

The signals come from `tests/workflows/record_figures.py` (vectorbt, pandas and recurrences written out), nothing of the desk
is imported. Each case is one strategy on one series under one set of costs; `told` (JSON) says which, and where its rows
begin in the arrays that all cases share:

    equity      float64 per bar, its last 20 bits of mantissa cut (1e-10 of the figure), so that it packs
    trades      float64 per round trip: the columns of TRADES, bars from the window's start; an open one has status 0 and is marked at the last close
    bars_<name> float64 [4, bars] open, high, low, close of the adversarial series; the sample's are with the desk
"""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import vectorbt as vbt

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "workflows"))
import record_figures as figures

vbt.settings.returns["year_freq"] = "252 days"

CASH = 10_000.0
TRADES = (
    "entry_idx",
    "entry_price",
    "entry_fees",
    "exit_idx",
    "exit_price",
    "exit_fees",
    "size",
    "pnl",
    "return",
    "direction",
    "status",
)
# fee, slippage, direction, share of the series that is left out on both ends
COSTS = (
    (0.0, 0.0, "long_only", 0.0),
    (1e-3, 5e-4, "long_only", 0.0),
    (5e-3, 0.0, "long_short", 0.0),
    (1e-3, 5e-4, "long_only", 0.25),
    (0.0, 2e-3, "long_short", 0.0),
    (1e-3, 5e-4, "long_short", 0.3),
)


# ------------------------------------------------------------------------------------------------------------ series


def walk(bars, seed, volatility=0.02):
    """A random walk with opens, highs and lows around it."""
    random = np.random.default_rng(seed)
    close = 50 * np.exp(np.cumsum(random.normal(0, volatility, bars)))
    opens = np.concatenate([[close[0]], close[:-1]]) * np.exp(random.normal(0, volatility / 4, bars))
    high = np.maximum(opens, close) * np.exp(np.abs(random.normal(0, volatility / 3, bars)))
    low = np.minimum(opens, close) * np.exp(-np.abs(random.normal(0, volatility / 3, bars)))
    return np.array([opens, high, low, close])


def adversarial():
    """Return what breaks engines, by name."""
    random = np.random.default_rng(20)
    gaps = walk(600, 1)
    jumps = np.ones(600)
    jumps[random.choice(600, 40, replace=False)] = np.exp(random.choice([-0.3, 0.3], 40))
    gaps *= np.cumprod(jumps)
    holes = walk(600, 2)
    holes[:, 120:123] = np.nan
    holes[:, random.choice(600, 25, replace=False)] = np.nan
    opens = walk(600, 3)
    opens[0, random.choice(600, 120, replace=False)] = np.nan
    closes = walk(600, 4)
    closes[3, random.choice(600, 25, replace=False)] = np.nan
    spikes = walk(600, 5)
    spikes[:, random.choice(600, 6, replace=False)] *= 50.0
    spikes[:, random.choice(600, 6, replace=False)] /= 50.0
    collapse = walk(600, 6)
    collapse[:, 300:] /= 4000.0
    return {
        "gaps": gaps,
        "holes": holes,
        "no_open": opens,
        "no_close": closes,
        "spikes": spikes,
        "collapse": collapse,
        "constant": np.full((4, 300), 50.0),
        "one": np.full((4, 1), 50.0),
        "two": walk(2, 7),
        "nothing": np.full((4, 40), np.nan),
        "starts_late": np.concatenate([np.full((4, 150), np.nan), walk(350, 8)], axis=1),
        "tiny": walk(400, 9) * 1e-9,
        "huge": walk(400, 10) * 1e9,
        "minutes": walk(999, 11, 0.0007),
    }


def sample(source):
    """Yield the sample's symbols, adjusted by `Adj Close / Close`."""
    for symbol, rows in pd.read_csv(source).groupby("Ticker"):
        factor = (rows["Adj Close"] / rows["Close"]).to_numpy()
        yield symbol, np.array([rows[name].to_numpy() * factor for name in ("Open", "High", "Low", "Close")])


# ------------------------------------------------------------------------------------------------------------ signals


def signals(slug, params, prices):
    """Entries and exits; a figure warms up anew behind a bar without its price, a bar with a hole says nothing."""
    bars = pd.DataFrame(prices.T, columns=["open", "high", "low", "close"])
    reads = ["high", "low"] if slug == "donchian_breakout" else ["close"]
    known = np.isfinite(bars[reads].to_numpy()).all(axis=1)
    entries, exits = np.zeros(len(bars), bool), np.zeros(len(bars), bool)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], known.astype(int), [0]])))
    need = max(value for value in params.values() if isinstance(value, int))
    for first, last in zip(edges[::2], edges[1::2], strict=True):
        if last - first >= need:
            found = figures.CASES[slug][0](bars.iloc[first:last].reset_index(drop=True), params)
            entries[first:last], exits[first:last] = found[0], found[1]
    sound = np.isfinite(prices).all(axis=0)
    return entries & sound, exits & sound


def moved(values):
    return np.concatenate([[False], values[:-1]])


# ------------------------------------------------------------------------------------------------------------ figures


def play(entries, exits, prices, fee, slippage, direction):
    """Fill each signal at the next open, as the desk does, and return equity, trades and statistics."""
    portfolio = vbt.Portfolio.from_signals(
        pd.Series(prices[3]),
        moved(entries),
        moved(exits),
        price=pd.Series(prices[0]),
        fees=fee,
        slippage=slippage,
        direction="longonly" if direction == "long_only" else "both",
        accumulate=False,
        init_cash=CASH,
        freq="1D",
    )
    records = portfolio.trades.records
    closed = portfolio.trades.closed
    statistics = {
        "total_return": portfolio.total_return(),
        "sharpe": portfolio.sharpe_ratio(),
        "sortino": portfolio.sortino_ratio(),
        "max_drawdown": -portfolio.max_drawdown(),
        "calmar": portfolio.calmar_ratio(),
        "trades": closed.count(),
        "win_rate": closed.win_rate(),
        "profit_factor": closed.profit_factor(),
        "average_trade": closed.returns.mean(),
        "exposure": portfolio.position_coverage(),
    }
    told = {name: float(value) if np.isfinite(value) else None for name, value in statistics.items()}
    return portfolio.value().to_numpy(), records[list(TRADES)].to_numpy(dtype=float), told


def cut(values):
    """Clear the last 20 of 52 bits of each mantissa: what is left is within 2e-10 of the figure."""
    return (np.ascontiguousarray(values).view(np.uint64) & ~np.uint64((1 << 20) - 1)).view(np.float64)


def cases_of(name, prices, turn):
    """Yield one case for each strategy; parameter sets and costs take turns from `turn` on."""
    for slug, (_, parameter_sets) in figures.CASES.items():
        for params in parameter_sets if prices.shape[1] < 1000 else parameter_sets[turn % 2 :][:1]:
            entries, exits = signals(slug, params, prices)
            fee, slippage, direction, margin = COSTS[turn % len(COSTS)]
            turn += 1
            bars = prices.shape[1]
            start, stop = int(bars * margin), bars - int(bars * margin)
            part = slice(start, stop)
            equity, trades, told = play(entries[part], exits[part], prices[:, part], fee, slippage, direction)
            case = {
                "series": name,
                "strategy_type": slug,
                "params": params,
                "fee": fee,
                "slippage": slippage,
                "direction": direction,
                "window": [start, stop],
                "statistics": told,
            }
            yield case, equity, trades


def main(source, target):
    arrays, cases, equities, trades = {}, [], [], []
    everything = [*sample(source), *adversarial().items()]
    for number, (name, prices) in enumerate(everything):
        if name in adversarial():
            arrays[f"bars_{name}"] = prices
        for case, equity, rows in cases_of(name, prices, number):
            case["equity_at"], case["trades_at"] = sum(map(len, equities)), [sum(map(len, trades)), len(rows)]
            cases.append(case)
            equities.append(cut(equity))
            trades.append(rows)
    # Bytes of one significance together: they repeat, and pack to half.
    arrays["equity"] = np.concatenate(equities).view(np.uint8).reshape(-1, 8).T.copy()
    arrays["trades"] = np.concatenate(trades)
    arrays["told"] = np.frombuffer(json.dumps({"trades": TRADES, "cases": cases}).encode(), dtype=np.uint8)
    np.savez_compressed(target, **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])
