"""Simple averages of one price over many lengths."""

import numpy as np

from optimize.engine.kernels.compiling import inlined, kernel


@inlined
def _begun(prices, period, start, into):
    """Fill `into` with the sums up to the bar `start`, NaN before the first; return the sum with which to go on there."""
    total = 0.0
    for bar in range(min(period - 1, start)):
        total += prices[bar]
        into[bar] = np.nan
    for bar in range(period - 1, start):
        total += prices[bar]
        into[bar] = total
        total -= prices[bar - period + 1]
    return total


@kernel
def average(prices, periods, rows, table):
    """Fill `table`[rows[k]] with the averages of the last `periods`[k] prices, NaN where there are fewer.

    Figures are those of the indicator `sma` to the last bit: each sum is added to and taken from in TA-Lib's order. Four
    are made at a time, since a sum waits for itself at every bar and for no other.

    Args:
        prices: float64[n], finite.
        periods: int64[K], increasing, at least 2.
    """
    count, last = len(prices), len(periods) - 1
    for first in range(0, len(periods), 4):
        # The last ones are made twice where there are no four left.
        second, third, fourth = min(first + 1, last), min(first + 2, last), min(first + 3, last)
        a, b, c, d = periods[first], periods[second], periods[third], periods[fourth]
        into_a, into_b, into_c, into_d = (
            table[rows[first]],
            table[rows[second]],
            table[rows[third]],
            table[rows[fourth]],
        )
        start = min(d - 1, count)
        total_a, total_b = _begun(prices, a, start, into_a), _begun(prices, b, start, into_b)
        total_c, total_d = _begun(prices, c, start, into_c), _begun(prices, d, start, into_d)
        for bar in range(start, count):
            price = prices[bar]
            total_a += price
            total_b += price
            total_c += price
            total_d += price
            into_a[bar], into_b[bar], into_c[bar], into_d[bar] = total_a, total_b, total_c, total_d
            total_a -= prices[bar - a + 1]
            total_b -= prices[bar - b + 1]
            total_c -= prices[bar - c + 1]
            total_d -= prices[bar - d + 1]
        for each in range(first, fourth + 1):
            into, period = table[rows[each]], float(periods[each])
            for bar in range(count):
                into[bar] /= period
