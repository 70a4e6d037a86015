"""How `figures/strategies.json` was made: a second opinion on every strategy type, by other code.

Run once, outside the desk's environment, with vectorbt 1.2 and pandas installed (neither is a dependency of the desk):

    python tests/workflows/record_figures.py market/data/stocks.csv.gz tests/workflows/figures/strategies.json

Prices are the sample's, adjusted by `Adj Close / Close`. Averages, bands and channels come from vectorbt and pandas; what
TA-Lib seeds in its own way (EMA, RSI, MACD) is written out below from its documented recurrences. Nothing of the desk is
imported. For each symbol and parameter set the file holds the entries and exits as bits (hex of numpy.packbits), the
position that vectorbt holds when it fills those signals at the next open, and the figures at every 251st bar.
"""

import json
import sys

import numpy as np
import pandas as pd
import vectorbt as vbt

EVERY = 251


def sma(close, period):
    return vbt.MA.run(close, period).ma.to_numpy()


def ema_from(values, period, start):
    """An EMA whose first value, at `start`, is the mean of the `period` values up to it."""
    result = np.full(len(values), np.nan)
    if start >= len(values):
        return result
    result[start] = sum(values[start - period + 1 : start + 1]) / period
    weight = 2.0 / (period + 1)
    for t in range(start + 1, len(values)):
        result[t] = (values[t] - result[t - 1]) * weight + result[t - 1]
    return result


def ema(close, period):
    return ema_from(close.to_numpy(), period, period - 1)


def rsi(close, period):
    """Wilder's RSI: plain means of the first `period` gains and losses, then his smoothing."""
    values = close.to_numpy()
    result = np.full(len(values), np.nan)
    if len(values) <= period:
        return result
    change = np.diff(values)
    gain, loss = np.where(change > 0, change, 0.0), np.where(change < 0, -change, 0.0)
    up, down = gain[:period].sum() / period, loss[:period].sum() / period
    result[period] = 100 * up / (up + down) if up + down else 0.0
    for t in range(period, len(change)):
        up, down = (up * (period - 1) + gain[t]) / period, (down * (period - 1) + loss[t]) / period
        result[t + 1] = 100 * up / (up + down) if up + down else 0.0
    return result


def macd(close, fast, slow, signal):
    """Both averages start at the same bar, and the lines show from the bar on which the signal line starts."""
    values = close.to_numpy()
    line = ema_from(values, fast, slow - 1) - ema_from(values, slow, slow - 1)
    first = slow - 1 + signal - 1
    smooth = np.full(len(values), np.nan)
    smooth[slow - 1 :] = ema_from(line[slow - 1 :], signal, signal - 1)
    line[:first] = np.nan
    return line, smooth


def momentum(bars, p):
    change = (bars.close / bars.close.shift(p["lookback"]) - 1).to_numpy() * 100
    return change > p["threshold"], change < p["exit_threshold"], [change]


def crossover(average):
    def run(bars, p):
        fast, slow = average(bars.close, p["fast"]), average(bars.close, p["slow"])
        return fast > slow, fast < slow, [fast, slow]

    return run


def rsi_reversion(bars, p):
    strength = rsi(bars.close, p["period"])
    return strength < p["oversold"], strength > p["overbought"], [strength]


def macd_cross(bars, p):
    line, smooth = macd(bars.close, p["fast"], p["slow"], p["signal"])
    return line > smooth, line < smooth, [line, smooth]


def bollinger(bars, p):
    bands = vbt.BBANDS.run(bars.close, window=p["period"], alpha=p["deviations"])
    upper, middle = bands.upper.to_numpy(), bands.middle.to_numpy()
    close = bars.close.to_numpy()
    return close > upper, close < middle, [close, upper, middle]


def donchian(bars, p):
    close = bars.close.to_numpy()
    highest = bars.high.rolling(p["entry_period"]).max().shift(1).to_numpy()
    lowest = bars.low.rolling(p["exit_period"]).min().shift(1).to_numpy()
    known = ~np.isnan(highest) & ~np.isnan(lowest)
    return (close > highest) & known, (close < lowest) & known, [close, highest, lowest]


def two(bars, p):
    close, trend, strength = bars.close.to_numpy(), sma(bars.close, p["trend_period"]), rsi(bars.close, p["rsi_period"])
    known = ~np.isnan(trend) & ~np.isnan(strength)
    entries = (close > trend) & (strength > p["rsi_entry"]) & known
    exits = ((close < trend) | (strength < p["rsi_exit"])) & known
    return entries, exits, [close, trend, strength]


def three(bars, p):
    close, trend, strength = bars.close.to_numpy(), sma(bars.close, p["trend_period"]), rsi(bars.close, p["rsi_period"])
    line, smooth = macd(bars.close, p["macd_fast"], p["macd_slow"], p["macd_signal"])
    entries, exits = [], []
    for t in range(len(close)):
        figures = (close[t], trend[t], strength[t], line[t], smooth[t])
        if any(np.isnan(figures)):
            entries.append(False)
            exits.append(False)
            continue
        votes = sum(map(int, (close[t] > trend[t], strength[t] > p["rsi_level"], line[t] > smooth[t])))
        against = sum(map(int, (close[t] < trend[t], strength[t] < p["rsi_level"], line[t] < smooth[t])))
        entries.append(votes >= p["votes"])
        exits.append(against >= 2)
    return np.array(entries), np.array(exits), [close, trend, strength, line, smooth]


CASES = {
    "momentum": (
        momentum,
        [
            {"lookback": 63, "threshold": 0.0, "exit_threshold": 0.0},
            {"lookback": 21, "threshold": 5.0, "exit_threshold": -2.0},
        ],
    ),
    "sma_crossover": (crossover(sma), [{"fast": 20, "slow": 50}, {"fast": 10, "slow": 200}]),
    "ema_crossover": (crossover(ema), [{"fast": 20, "slow": 50}, {"fast": 5, "slow": 100}]),
    "rsi_reversion": (
        rsi_reversion,
        [
            {"period": 14, "oversold": 30.0, "overbought": 70.0},
            {"period": 7, "oversold": 40.0, "overbought": 60.0},
        ],
    ),
    "macd": (macd_cross, [{"fast": 12, "slow": 26, "signal": 9}, {"fast": 8, "slow": 34, "signal": 7}]),
    "bollinger_breakout": (bollinger, [{"period": 20, "deviations": 2.0}, {"period": 50, "deviations": 1.5}]),
    "donchian_breakout": (donchian, [{"entry_period": 20, "exit_period": 10}, {"entry_period": 55, "exit_period": 20}]),
    "two_indicator": (
        two,
        [
            {"trend_period": 50, "rsi_period": 14, "rsi_entry": 50.0, "rsi_exit": 40.0},
            {"trend_period": 100, "rsi_period": 7, "rsi_entry": 55.0, "rsi_exit": 30.0},
        ],
    ),
    "three_indicator": (
        three,
        [
            {
                "trend_period": 50,
                "rsi_period": 14,
                "rsi_level": 50.0,
                "macd_fast": 12,
                "macd_slow": 26,
                "macd_signal": 9,
                "votes": votes,
            }
            for votes in (2, 3)
        ],
    ),
}


def bits(values):
    return np.packbits(np.asarray(values, dtype=bool)).tobytes().hex()


def held(bars, entries, exits):
    """Whether vectorbt is long after each bar's open, one bar after the signal."""
    index = bars.index
    shifted = [pd.Series(s, index=index).shift(1, fill_value=False) for s in (entries, exits)]
    portfolio = vbt.Portfolio.from_signals(bars.close, *shifted, price=bars.open, init_cash=100_000.0, freq="1D")
    return (portfolio.assets() > 0).to_numpy()


def main(source, target):
    table = pd.read_csv(source)
    cases = []
    for symbol, rows in table.groupby("Ticker"):
        factor = (rows["Adj Close"] / rows["Close"]).to_numpy()
        bars = pd.DataFrame(
            {name.lower(): rows[name].to_numpy() * factor for name in ("Open", "High", "Low", "Close")},
            index=pd.to_datetime(rows["Date"]),
        )
        for slug, (function, parameter_sets) in CASES.items():
            for params in parameter_sets:
                entries, exits, figures = function(bars, params)
                cases.append(
                    {
                        "symbol": symbol,
                        "strategy_type": slug,
                        "params": params,
                        "bars": len(bars),
                        "entries": bits(entries),
                        "exits": bits(exits),
                        "held": bits(held(bars, entries, exits)),
                        "figures": [[None if np.isnan(x) else float(x) for x in f[::EVERY]] for f in figures],
                    }
                )
    with open(target, "w") as file:
        file.write("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
