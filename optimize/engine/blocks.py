"""How a search is cut into pieces: bounded in memory, short enough to be stopped, and spread over threads."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

import numpy as np

from market.bars import FloatArray
from optimize.engine.kernels.averaging import average
from optimize.engine.kernels.words import compare, know
from optimize.engine.plan import Plan, part, stretch
from optimize.engine.series import Series, WordArray
from workflows.strategies.rules import Value, figures_of, validated

# Bytes of figures and of masks that a block may hold at a time, and bars times combinations that are walked in one go:
# a tenth of a second or so, so that whoever asks to stop is heard.
MOST_TABLE = 128 << 20
MOST_MASKS = 64 << 20
MOST_WORK = 40_000_000
PAUSE_S = 0.2

# What figures come from: a name and its parameters, as in `Column`.
_Source = tuple[str, tuple[tuple[str, Value], ...]]
# With the rows that they fill.
_Sourced = tuple[_Source, list[int]]


@dataclass(frozen=True, eq=False)
class Masks:
    """What the pairs of a plan say on each bar of one symbol, as bits.

    Attributes:
        masks: uint64[2P, words], see `Plan.asked`.
        known: uint64[columns, words].
    """

    masks: WordArray
    known: WordArray


class Figures:
    """A plan's columns over one symbol, made by all the threads that ask for them: each takes parts until none is left.

    Attributes:
        table: float64[columns, 64 * words], filled up with NaN.
        known: where the figures are finite, uint64[columns, words].
    """

    def __init__(self, plan: Plan, series: Series, parts: int = 1) -> None:
        self._plan, self._series = plan, series
        words = len(series.sound)
        self.table = np.empty((len(plan.columns), 64 * words))
        self.table[:, len(series) :] = np.nan
        self.known = np.empty((len(plan.columns), words), dtype=np.uint64)
        rows: dict[_Source, list[int]] = {}
        for row, column in enumerate(plan.columns):
            rows.setdefault((column.name, column.params), []).append(row)
        sources = list(rows.items())
        self._waiting = [sources[first::parts] for first in range(min(parts, len(sources)))]
        self._unmade, self._changed = len(self._waiting), threading.Condition()

    def make(self) -> "Figures":
        """Return when every figure is there."""
        while True:
            with self._changed:
                if not self._waiting:
                    self._changed.wait_for(lambda: self._unmade == 0)
                    return self
                sources = self._waiting.pop()
            try:
                self._fill(sources)
            finally:  # whoever waits for a part that failed goes on: what was raised ends the search
                with self._changed:
                    self._unmade -= 1
                    self._changed.notify_all()

    def _fill(self, sources: Sequence[_Sourced]) -> None:
        count, columns = len(self._series), self._plan.columns
        # Each is let go when its rows are filled: a search may ask for more figures than there is memory for.
        for (name, params), rows in self._average(sources):
            outputs = figures_of(name, params, self._series.bars)
            for row in rows:
                column, into = columns[row], self.table[row]
                values = outputs[column.output] if column.output else next(iter(outputs.values()))
                if column.shift:
                    shift = min(column.shift, count)
                    into[:shift] = np.nan
                    into[shift:count] = values[: count - shift]
                else:
                    into[:count] = values
        know(self.table, np.array([row for _, rows in sources for row in rows], dtype=np.int64), self.known)

    def _average(self, sources: Sequence[_Sourced]) -> list[_Sourced]:
        """Make the simple averages of prices without holes, all at once; return the sources that are left."""
        whole, columns = self._series.bars.whole, self._plan.columns
        left: list[_Sourced] = []
        asked: dict[str, list[tuple[int, int]]] = {}
        for source in sources:
            (name, params), rows = source
            values = validated(name, params) if name == "sma" else {}
            if values.get("on") in whole and len(rows) == 1 and not columns[rows[0]].shift:
                asked.setdefault(values["on"], []).append((values["period"], rows[0]))
            else:
                left.append(source)
        for price, wanted in asked.items():
            periods, numbers = np.array(sorted(wanted), dtype=np.int64).T.copy()
            average(getattr(self._series.bars, price), periods, numbers, self.table)
        return left


def masks_of(plan: Plan, table: FloatArray) -> WordArray:
    """Return what the plan's pairs say over `table`, whose rows are the plan's columns: uint64[2P, words]."""
    masks = np.empty((2 * len(plan.left), table.shape[1] // 64), dtype=np.uint64)
    compare(table, plan.left, plan.right, plan.level, masks)
    return masks


def bits_of(plan: Plan, series: Series) -> Masks:
    """Return all that `speak` needs of one symbol."""
    figures = Figures(plan, series).make()
    return Masks(masks_of(plan, figures.table), figures.known)


class Shared:
    """The figures of one symbol, made by the threads that need them and let go after the last."""

    def __init__(self, plan: Plan, series: Series, users: int) -> None:
        self.series = series
        self._plan, self._users, self._unserved = plan, users, users
        self._lock = threading.Lock()
        self._figures: Figures | None = None

    def bits(self, plan: Plan) -> Masks:
        """Return all that `speak` needs for a stretch of the plan's combinations; each user asks once."""
        with self._lock:
            if self._figures is None:
                # More parts than users, since not all parts take as long.
                self._figures = Figures(self._plan, self.series, 1 if self._users == 1 else 4 * self._users)
            figures = self._figures
        try:
            figures.make()
            return Masks(masks_of(plan, figures.table), figures.known)
        finally:
            with self._lock:
                self._unserved -= 1
                if self._unserved == 0:
                    self._figures = None


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
