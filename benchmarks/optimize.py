"""A search for parameters: the desk's engine beside vectorbt, backtesting.py and a NumPy loop, in one run on one machine.

Run: python benchmarks/optimize.py. vectorbt and backtesting.py are installed in an environment of their own under BENCH_DIR,
otherwise var/bench, on the first call. All find the same trades, drawdowns and Sharpe ratios, or nothing is timed; then the
contenders take turns, round by round, each in a process of its own that has warmed up, and ratios are formed within a round.
It exits with 1 when figures differ or a target is missed.

backtesting.py is asked a part of each search, and its time is scaled by the bars: the whole would take it hours.
"""

import argparse
import itertools
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "benchmarks" / "peers"), str(ROOT)]

import numpy as np  # noqa: E402
from environments import FOLDER, PEERS, interpreter  # noqa: E402
from searches import FIGURES, Search, market, pairs, write  # noqa: E402

EXACT = 1e-9
TURN_ENDS_WITHIN_S = 900.0


@dataclass(frozen=True)
class Shape:
    """A search and what is to be reached on it: how many times as fast as vectorbt and as the NumPy loop.

    `passes` are the desk's in each round, `others` the other contenders'; with 0 their first full one is timed, the small
    one before it having loaded everything. `sample` says which part backtesting.py is asked: combinations, windows, symbols.
    """

    title: str
    search: Search
    vectorbt: float
    loop: float
    passes: int
    others: int
    sample: tuple[slice, slice, slice]


@dataclass(frozen=True)
class Contender:
    script: str
    environment: str = ""
    threads: int = 1
    engine: str = ""
    sampled: bool = False
    rounds: int | None = None  # None: all


DESK, ALONE, PEER, LOOP = "desk, two threads", "desk, one thread", "vectorbt", "NumPy loop"
CONTENDERS: Mapping[str, Contender] = {
    DESK: Contender("search_desk.py", threads=2),
    ALONE: Contender("search_desk.py"),
    PEER: Contender("search_vectorbt.py", "vectorbt", engine="rust"),
    "vectorbt, Numba": Contender("search_vectorbt.py", "vectorbt", engine="numba", rounds=1),
    LOOP: Contender("search_numpy.py"),
    "backtesting.py": Contender("search_backtesting.py", "vectorbt", sampled=True, rounds=1),
}

Turns = Mapping[str, Sequence[Mapping[str, Any]]]


def folded(bars: int, folds: int, train_ratio: float) -> np.ndarray:
    """Return the windows of a rolling walk-forward, training and test in turn."""
    edges = [bars * fold // folds for fold in range(folds + 1)]
    found = []
    for first, last in itertools.pairwise(edges):
        split = first + int((last - first) * train_ratio)
        found += [(first, split), (split, last)]
    return np.array(found)


def shapes() -> dict[str, Shape]:
    one = slice(0, 1)
    return {
        "walk-forward": Shape(
            "10 symbols x 5,000 bars x 400 combinations x 10 folds",
            Search(market(10, 5_000, 0.012), pairs(400), folded(5_000, 10, 0.7), 1e-3),
            *(150, 15, 20, 1),
            (slice(0, None, 21), slice(0, 2), one),
        ),
        "years": Shape(
            "400 combinations x 1,258 bars",
            Search(market(1, 1_258, 0.012), pairs(400), np.array([[0, 1_258]]), 1e-3),
            *(100, 15, 200, 2),
            (slice(0, None, 21), one, one),
        ),
        "minutes": Shape(
            "400 combinations x 500,000 bars, fee 1e-5",
            Search(market(1, 500_000, 0.0007), pairs(400), np.array([[0, 500_000]]), 1e-5),
            *(50, 15, 3, 0),
            (slice(0, None, 400), one, one),
        ),
    }


def part_of(search: Search, sample: tuple[slice, slice, slice]) -> Search:
    combinations, windows, symbols = sample
    return Search(search.bars[symbols], search.pairs[combinations], search.windows[windows], search.fee)


def work_of(search: Search) -> int:
    """Return the bars that all its combinations trade."""
    return len(search.pairs) * len(search.bars) * int((search.windows[:, 1] - search.windows[:, 0]).sum())


# ---------------------------------------------------------------------------------------------- turns


def turn(contender: Contender, folder: Path, passes: int, figures: Path) -> dict[str, Any]:
    """Measure one contender once: `passes` timed passes after one that is not.

    Raises:
        SystemExit: it failed; what it printed is shown.
    """
    words = {
        "search": str(folder),
        "figures": str(figures),
        "times": passes,
        "threads": contender.threads,
        "engine": contender.engine,
    }
    call = [interpreter(contender.environment), str(PEERS / contender.script), json.dumps(words)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)} if not contender.environment else None
    done = subprocess.run(call, capture_output=True, text=True, timeout=TURN_ENDS_WITHIN_S, env=environment)
    if done.returncode:
        sys.exit(f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}\n{contender.script} failed")
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def compare(shape: Shape, folder: Path, names: Sequence[str]) -> list[str]:
    """Return where figures differ from the desk's by more than EXACT."""
    found = []
    with np.load(folder / f"{DESK}.npz") as file:
        mine = {name: file[name] for name in FIGURES}
    for name in names:
        with np.load(folder / f"{name}.npz") as file:
            theirs = {figure: file[figure] for figure in FIGURES}
        for figure in FIGURES:
            if CONTENDERS[name].sampled and figure == "sharpe":
                continue  # its own is of another definition
            expected = mine[figure][shape.sample] if CONTENDERS[name].sampled else mine[figure]
            same = np.isclose(theirs[figure], expected, rtol=EXACT, atol=EXACT, equal_nan=True)
            if not same.all():
                found.append(f"{name}: {figure} differs in {np.count_nonzero(~same):,} of {same.size:,} places")
    return found


def rounds_of(shape: Shape, folder: Path, names: Sequence[str], rounds: int) -> dict[str, list[dict[str, Any]]]:
    """Return what each contender took, by round.

    Raises:
        SystemExit: when their figures differ.
    """
    write(shape.search, folder / "whole")
    write(part_of(shape.search, shape.sample), folder / "sample")
    factor = work_of(shape.search) / work_of(part_of(shape.search, shape.sample))
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for number in range(rounds):
        for name in names:
            contender = CONTENDERS[name]
            if contender.rounds is not None and number >= contender.rounds:
                continue
            passes = shape.passes if name in (DESK, ALONE) else shape.others
            asked = folder / ("sample" if contender.sampled else "whole")
            taken = turn(contender, asked, passes, folder / f"{name}.npz")
            taken["s"] = statistics.median(taken["seconds"]) * (factor if contender.sampled else 1)
            found[name].append(taken)
        if number == 0 and (differing := compare(shape, folder, names)):
            sys.exit("The figures are not the same:\n" + "\n".join(differing))
    return found


def ratio(turns: Turns, over: str, under: str, figure: str) -> float:
    """Return the median over the rounds of the first contender's figure divided by the second's."""
    return statistics.median(
        one[figure] / max(other[figure], 1e-12) for one, other in zip(turns[over], turns[under], strict=False)
    )


def middle(turns: Turns, name: str, figure: str) -> float:
    return statistics.median(one[figure] for one in turns[name])


# ---------------------------------------------------------------------------------------------- linearity


def exponents(folder: Path) -> dict[str, tuple[float, list[tuple[int, float]]]]:
    """Return, for combinations and for bars, the exponent of the cost and the (size, seconds) behind it."""
    series = market(10, 20_000, 0.012)
    grown: dict[str, Iterator[tuple[int, Search]]] = {
        "combinations": (
            (count, Search(series[:, :, :5_000], pairs(count), folded(5_000, 10, 0.7), 1e-3))
            for count in (100, 200, 400, 800)
        ),
        "bars": (
            (bars, Search(series[:, :, :bars], pairs(400), folded(bars, 10, 0.7), 1e-3))
            for bars in (2_500, 5_000, 10_000, 20_000)
        ),
    }
    found = {}
    for name, searches in grown.items():
        points = []
        for size, search in searches:
            write(search, folder / "grown")
            taken = turn(CONTENDERS[ALONE], folder / "grown", 7, folder / "grown.npz")
            points.append((size, min(taken["seconds"])))
        slope = float(np.polyfit(*(np.log([point[place] for point in points]) for place in (0, 1)), 1)[0])
        found[name] = (slope, points)
    return found


# ---------------------------------------------------------------------------------------------- what is told


def targets(name: str, shape: Shape, turns: Turns) -> list[tuple[str, float, bool]]:
    """Return what is to be reached: its name, what was measured, whether it holds."""
    found: list[tuple[str, float, bool]] = []
    if PEER in turns:
        faster = ratio(turns, PEER, DESK, "s")
        found.append(
            (f"{name}: times as fast as vectorbt, at least {shape.vectorbt:g}", faster, faster >= shape.vectorbt)
        )
        leaner = ratio(turns, PEER, DESK, "peak_mb")
        found.append((f"{name}: vectorbt's peak memory over the desk's, at least 20", leaner, leaner >= 20))
    if LOOP in turns:
        faster = ratio(turns, LOOP, DESK, "s")
        found.append(
            (f"{name}: times as fast as the NumPy loop, at least {shape.loop:g}", faster, faster >= shape.loop)
        )
    return found


def show(shape: Shape, turns: Turns) -> None:
    print(f"\n{shape.title}; median of {len(turns[DESK])} interleaved rounds")
    print(f"  {'':20}{'ms':>12}{'bars/s':>12}{'peak MB':>10}{'desk is':>12}{'one thread':>12}")
    for name, taken in turns.items():
        seconds = middle(turns, name, "s")
        rate = f"{work_of(shape.search) / seconds / 1e6:,.1f} M"
        times = f"{ratio(turns, name, DESK, 's'):,.1f} x" if name != DESK else ""
        alone = f"{ratio(turns, name, ALONE, 's'):,.1f} x" if name not in (DESK, ALONE) and ALONE in turns else ""
        note = "   scaled from a part" if CONTENDERS[name].sampled else ""
        peak = middle(turns, name, "peak_mb")
        print(f"  {name:20}{seconds * 1000:>12,.2f}{rate:>12}{peak:>10,.1f}{times:>12}{alone:>12}{note}")
        if not all(math.isfinite(one["s"]) for one in taken):
            raise ValueError(f"{name} took no time")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="how often each contender has its turn")
    parser.add_argument("--only", help=f"shapes with commas between: {', '.join(shapes())}, growth")
    parser.add_argument("--json", type=Path, default=FOLDER / "optimize.json", help="where every figure goes")
    return parser.parse_args()


def main() -> None:
    given = arguments()
    known = [*shapes(), "growth"]
    chosen = [name.strip() for name in given.only.split(",")] if given.only else known
    if unknown := set(chosen) - set(known):
        sys.exit(f"Unknown: {', '.join(sorted(unknown))}. There are {', '.join(known)}.")
    FOLDER.mkdir(parents=True, exist_ok=True)
    told: list[tuple[str, float, bool]] = []
    kept: dict[str, Any] = {"at": datetime.now(UTC).isoformat(), "cores": os.cpu_count()}
    with tempfile.TemporaryDirectory(prefix="desk-bench-") as name:
        folder = Path(name)
        for title, shape in shapes().items():
            if title in chosen:
                (folder / title).mkdir()
                turns = rounds_of(shape, folder / title, list(CONTENDERS), given.rounds)
                show(shape, turns)
                told += targets(title, shape, turns)
                kept[title] = turns
        if "growth" in chosen:
            kept["growth"] = exponents(folder)
            print("\nCost of a walk-forward of 10 symbols on one thread, as it grows")
            for what, (slope, points) in kept["growth"].items():
                sizes = ", ".join(f"{size:,}: {seconds * 1000:,.1f} ms" for size, seconds in points)
                print(f"  {what:14}{sizes}")
                told.append((f"exponent of the cost in {what}: at most 1.1", slope, slope <= 1.1))
    print()
    for title, value, holds in told:
        print(f"  {value:10.2f}   {'holds ' if holds else 'MISSED'}   {title}")
    given.json.write_text(json.dumps({**kept, "targets": told}, indent=1))
    print(f"\nEvery figure: {given.json}")
    if not all(holds for _, _, holds in told):
        sys.exit(1)


if __name__ == "__main__":
    main()
