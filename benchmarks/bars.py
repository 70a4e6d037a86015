"""Reading 5,000 daily bars of 10 symbols: the bar store against pandas.read_parquet, in one run on one machine.

Run: python benchmarks/bars.py. It prints medians and their ratio; it asserts nothing, since a busy machine lies.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
_folder = tempfile.TemporaryDirectory(prefix="desk-bench-")
os.environ["DATA_DIR"] = _folder.name
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tradingsite.settings")

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402

from market import store  # noqa: E402

BARS, SYMBOLS, ROUNDS = 5_000, 10, 50


def _median_ms(work: Callable[[], object]) -> float:
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1000


def main() -> None:
    random = np.random.default_rng(1)
    folders = []
    for number in range(SYMBOLS):
        folder = store.series_folder(source="bench", symbol=f"S{number}", timeframe="1d", adjustment="none")
        figures = {name: random.uniform(10, 100, BARS) for name in ("open", "high", "low", "close", "volume")}
        store.write_version(folder, {"time": np.arange(BARS, dtype=np.int64), **figures}, at_least=1)
        folders.append(folder)

    def cold() -> None:
        store.cache_clear()
        for folder in folders:
            store.read_version(folder, 1)

    def warm() -> None:
        for folder in folders:
            store.read_version(folder, 1)

    def pandas() -> None:
        for folder in folders:
            pd.read_parquet(folder / "1.parquet")

    for work in (cold, warm, pandas):
        work()
    files, cached, frames = _median_ms(cold), _median_ms(warm), _median_ms(pandas)
    print(f"{BARS:,} bars x {SYMBOLS} symbols, median of {ROUNDS} rounds")
    print(f"  bar store, from files   {files:8.3f} ms")
    print(f"  bar store, from memory  {cached:8.3f} ms")
    print(f"  pandas.read_parquet     {frames:8.3f} ms   {frames / files:.1f} times the store's files")


if __name__ == "__main__":
    main()
