"""How a search is cut into pieces: bounded in memory, short enough to be stopped, and spread over threads."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

import numpy as np

from market.bars import FloatArray
from optimize.engine.kernels.words import compare, know
from optimize.engine.plan import Plan, part, stretch
from optimize.engine.series import Series, WordArray
from workflows.strategies.rules import Value, outputs_of

# Bytes of figures and of masks that a block may hold at a time, and bars times combinations that are walked in one go:
# a tenth of a second or so, so that whoever asks to stop is heard.
MOST_TABLE = 192 << 20
MOST_MASKS = 64 << 20
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
        outputs = outputs_of(name, params, series.bars)
        main = next(iter(outputs))
        for row in numbers:
            column = plan.columns[row]
            shift = min(column.shift, count)
            table[row, :shift] = np.nan
            table[row, shift:count] = outputs[column.output or main][: count - shift]
    return table


def masks_of(plan: Plan, table: FloatArray) -> WordArray:
    """Return what the plan's pairs say over `table`, whose rows are the plan's columns: uint64[2P, words]."""
    masks = np.empty((2 * len(plan.left), table.shape[1] // 64), dtype=np.uint64)
    compare(table, plan.left, plan.right, plan.level, masks)
    return masks


def known_of(table: FloatArray) -> WordArray:
    """Return where the rows of `table` are finite: uint64[rows, words]."""
    known = np.empty((len(table), table.shape[1] // 64), dtype=np.uint64)
    know(table, known)
    return known


def bits_of(plan: Plan, series: Series) -> Masks:
    """Return all that `speak` needs of one symbol."""
    table = table_of(plan, series)
    return Masks(masks_of(plan, table), known_of(table))


class Shared:
    """The figures of one symbol, made by the first thread that needs them and let go after the last."""

    def __init__(self, plan: Plan, series: Series, users: int) -> None:
        self.series = series
        self._plan, self._users = plan, users
        self._lock = threading.Lock()
        self._made: tuple[FloatArray, WordArray] | None = None

    @contextlib.contextmanager
    def figures(self) -> Iterator[tuple[FloatArray, WordArray]]:
        """Give the table and its known bits for the length of a block."""
        with self._lock:
            if self._made is None:
                table = table_of(self._plan, self.series)
                self._made = table, known_of(table)
            made = self._made
        try:
            yield made
        finally:
            with self._lock:
                self._users -= 1
                if self._users == 0:
                    self._made = None


def slices(plan: Plan, longest: int, parts: int) -> list[tuple[int, int, Plan]]:
    """Return (first, last, plan) of stretches of combinations that look at the same table.

    Args:
        longest: bars of the longest symbol.
        parts: into how many to cut at least, as far as there are combinations.
    """
    count = len(plan)
    fitting = MOST_MASKS // max(1, plan.asked.shape[1] * longest // 4)
    size = max(1, min(-(-count // max(1, parts)), MOST_WORK // max(1, longest), fitting))
    cuts = [(first, min(first + size, count)) for first in range(0, count, size)]
    return [(first, last, stretch(plan, first, last)) for first, last in cuts]


def pieces(plan: Plan, bars: int, masks: bool = False) -> Iterator[tuple[int, int, Plan]]:
    """Yield (first, last, plan) of stretches of combinations whose figures there is room for, in order.

    Args:
        bars: of the symbols whose figures are held at a time.
        masks: whether all their masks are held too.
    """
    yield from _halved(plan, 0, len(plan), bars, masks)


def _halved(plan: Plan, first: int, last: int, bars: int, masks: bool) -> Iterator[tuple[int, int, Plan]]:
    if first == last:
        return
    piece = part(plan, first, last)
    wide = len(piece.columns) * bars * 8 > MOST_TABLE or (masks and len(piece.left) * bars // 4 > MOST_MASKS)
    if last - first > 1 and wide:
        middle = (first + last) // 2
        yield from _halved(plan, first, middle, bars, masks)
        yield from _halved(plan, middle, last, bars, masks)
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
