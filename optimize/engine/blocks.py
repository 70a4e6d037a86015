"""How a search is cut into pieces: bounded in memory, short enough to be stopped, and spread over threads."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

import numpy as np

from market.bars import FloatArray
from optimize.engine.kernels.words import compare
from optimize.engine.plan import Plan, part
from optimize.engine.series import Series, WordArray
from workflows.strategies.rules import Value, outputs_of

# Bytes of figures and of masks that one piece may hold, and bars times combinations that it may walk: a tenth of a
# second or so, so that whoever asks to stop is heard.
MOST_TABLE = 64 << 20
MOST_MASKS = 16 << 20
MOST_WORK = 40_000_000
PAUSE_S = 0.2


@dataclass(frozen=True, eq=False)
class Masks:
    """What the pairs of a plan say on each bar of one symbol, as bits.

    Attributes:
        masks: uint64[2P, words], see `Plan.asked`.
        known: uint64[columns, words].
    """

    masks: WordArray
    known: WordArray


def table_of(plan: Plan, series: Series) -> FloatArray:
    """Return the figures of the plan's columns, float64[columns, 64 * words], filled up with NaN."""
    count = len(series)
    table = np.empty((len(plan.columns), 64 * len(series.sound)))
    table[:, count:] = np.nan
    rows: dict[tuple[str, tuple[tuple[str, Value], ...]], list[int]] = {}
    for row, column in enumerate(plan.columns):
        rows.setdefault((column.name, column.params), []).append(row)
    # Each is let go when its rows are filled: a search may ask for more figures than there is memory for.
    for (name, params), numbers in rows.items():
        outputs = outputs_of(name, dict(params), series.bars)
        main = next(iter(outputs))
        for row in numbers:
            column = plan.columns[row]
            shift = min(column.shift, count)
            table[row, :shift] = np.nan
            table[row, shift:count] = outputs[column.output or main][: count - shift]
    return table


def masks_of(plan: Plan, table: FloatArray) -> Masks:
    """Return what the plan's pairs say over `table`, whose rows are the plan's columns."""
    words = table.shape[1] // 64
    masks = np.empty((2 * len(plan.left), words), dtype=np.uint64)
    known = np.empty((len(plan.columns), words), dtype=np.uint64)
    compare(table, plan.left, plan.right, plan.level, masks, known)
    return Masks(masks, known)


def pieces(plan: Plan, longest: int, parts: int) -> Iterator[tuple[int, int, Plan]]:
    """Yield (first, last, plan) of stretches of combinations, in order.

    Args:
        longest: bars of the longest symbol.
        parts: into how many pieces to cut at least, as far as there are combinations.
    """
    count = len(plan)
    size = max(1, min(-(-count // max(1, parts)), MOST_WORK // max(1, longest)))
    for first in range(0, count, size):
        yield from _halved(plan, first, min(first + size, count), longest)


def _halved(plan: Plan, first: int, last: int, longest: int) -> Iterator[tuple[int, int, Plan]]:
    piece = part(plan, first, last)
    table, masks = len(piece.columns) * longest * 8, 2 * len(piece.left) * longest // 8
    if last - first > 1 and (table > MOST_TABLE or masks > MOST_MASKS):
        middle = (first + last) // 2
        yield from _halved(plan, first, middle, longest)
        yield from _halved(plan, middle, last, longest)
    else:
        yield first, last, piece


def run_all(tasks: Sequence[Callable[[], None]], threads: int, check: Callable[[], None]) -> None:
    """Run `tasks`, on `threads` threads; `check` is called between them, and what it raises stops the rest."""
    if threads <= 1 or len(tasks) <= 1:
        for task in tasks:
            check()
            task()
        check()
        return
    queue, lock = iter(tasks), threading.Lock()
    stopped = threading.Event()

    def work() -> None:
        while not stopped.is_set():
            with lock:
                task = next(queue, None)
            if task is None:
                return
            task()

    with ThreadPoolExecutor(min(threads, len(tasks)), thread_name_prefix="engine") as pool:
        pending: set[Future[None]] = {pool.submit(work) for _ in range(min(threads, len(tasks)))}
        try:
            while pending:
                check()
                done, pending = wait(pending, timeout=PAUSE_S, return_when=FIRST_COMPLETED)
                for future in done:
                    future.result()
            check()
        finally:
            stopped.set()
