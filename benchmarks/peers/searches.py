"""What every contender of `optimize.py` is asked and hands back. Standard library and NumPy only: peers have their own
environments.

The strategy is the crossing of two simple averages, long only: a signal at the close, filled at the next open with a fee,
everything in cash or everything in the share. Each window is traded alone, its averages warmed by the bars before it.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

CASH = 10_000.0
PERIODS_PER_YEAR = 252
# What is held equal, each [combinations, windows, symbols].
FIGURES = ("total_return", "sharpe", "max_drawdown", "trades")
SMALL_BARS, SMALL_PAIRS = 300, 8


@dataclass(frozen=True)
class Search:
    """One shape: `bars` float64 [symbols, 4, bars]; `pairs` of periods; `windows` [windows, 2] start and stop."""

    bars: np.ndarray
    pairs: Sequence[tuple[int, int]]
    windows: np.ndarray
    fee: float

    @property
    def shape(self) -> tuple[int, int, int]:
        return len(self.pairs), len(self.windows), len(self.bars)

    def small(self) -> "Search":
        """Return a search that compiles and loads everything and costs nothing."""
        return Search(self.bars[:1, :, :SMALL_BARS], self.pairs[:SMALL_PAIRS], np.array([[0, SMALL_BARS]]), self.fee)


def pairs(count: int) -> list[tuple[int, int]]:
    """Return `count` pairs of periods, the fast one below the slow one: 20 fast times as many slow as needed."""
    slows = np.unique(np.linspace(50, 240, count // 20).round().astype(int))
    found = [(fast, int(slow)) for fast in range(5, 45, 2) for slow in slows]
    if len(found) != count:
        raise ValueError(f"there are no {count} different pairs")
    return found


def market(symbols: int, bars: int, volatility: float, seed: int = 7) -> np.ndarray:
    """Return random walks, float64 [symbols, 4, bars]: open, high, low, close."""
    random = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(random.normal(volatility**2 / 2, volatility, (symbols, bars)), axis=1))
    opens = close.copy()
    opens[:, 1:] = close[:, :-1]
    opens *= np.exp(random.normal(0, volatility / 4, (symbols, bars)))
    return np.stack([opens, np.maximum(opens, close), np.minimum(opens, close), close], axis=1)


# ---------------------------------------------------------------------------------------------------------- memory


def resident_mb(name: str) -> float:
    """Return VmRSS (now) or VmHWM (the most since it was forgotten last), in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"the system does not tell {name}")


def peak_of(work: Callable[[], object]) -> float:
    """Return by how much the memory of this process rose above what it was, at the most, while `work` ran; in MB."""
    Path("/proc/self/clear_refs").write_text("5")  # the kernel forgets the peak, e.g. of a compiler
    before = resident_mb("VmRSS")
    work()
    return max(0.0, resident_mb("VmHWM") - before)


# ---------------------------------------------------------------------------------------------------------- asked


def asked() -> tuple[Search, Mapping[str, Any]]:
    """Return the search that stands in the folder named on the command line, and the words beside it."""
    words: dict[str, Any] = json.loads(sys.argv[1])
    folder = Path(words["search"])
    with np.load(folder / "search.npz") as file:
        periods = [(int(fast), int(slow)) for fast, slow in file["pairs"]]
        windows, fee = file["windows"], float(file["fee"])
    # Mapped, so that the prices of all are read alike and count for nobody.
    search = Search(np.load(folder / "bars.npy", mmap_mode="r"), periods, windows, fee)
    return search, words


def write(search: Search, folder: Path) -> None:
    """Put a search where contenders find it."""
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "bars.npy", search.bars)
    np.savez(folder / "search.npz", pairs=np.array(search.pairs), windows=search.windows, fee=search.fee)


def measure(run: Callable[[Search], Mapping[str, np.ndarray]]) -> None:
    """Warm `run` up, time it as often as asked, and hand back seconds, memory and figures.

    The first full pass is measured for memory and warms what the small one did not reach; the others are timed.
    """
    search, words = asked()
    search.bars.sum()  # every page of the mapping is in memory
    run(search.small())
    found: dict[str, Mapping[str, np.ndarray]] = {}

    def first() -> None:
        found["figures"] = run(search)

    began = time.perf_counter()
    peak = peak_of(first)
    seconds = [] if words["times"] else [time.perf_counter() - began]
    for _ in range(words["times"]):
        began = time.perf_counter()
        run(search)
        seconds.append(time.perf_counter() - began)
    np.savez(words["figures"], **found["figures"])
    hand_back({"seconds": seconds, "peak_mb": peak})


def hand_back(result: Mapping[str, Any]) -> None:
    print(json.dumps({**result, "pid": os.getpid()}))
