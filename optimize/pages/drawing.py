"""The geometry of the charts that the server draws. No Django here.

Places are percent of the width and of the height, from the top left, so that words in a chart keep their size however
wide it is. Lines are paths in a box of 1000 by 100.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

BOX_WIDTH, BOX_HEIGHT = 1000.0, 100.0
# Free above and below a line, in percent of the height.
MARGIN = 6.0
# A word fits into a band that is so wide; marks nearer than this would lie on each other on a small screen.
WORD_WIDTH, MARK_GAP = 17.0, 6.0
# More points than pixels show nothing more.
POINTS_MAX = 1000


@dataclass(frozen=True)
class Band:
    """A stretch of bars with one label; the empty one is unknown. `left` and `width` in percent."""

    label: str
    left: float
    width: float

    @property
    def middle(self) -> float:
        return self.left + self.width / 2

    @property
    def has_room(self) -> bool:
        return self.width >= WORD_WIDTH


@dataclass(frozen=True)
class Mark:
    """A numbered place on the chart."""

    number: int
    left: float
    shown: bool


@dataclass(frozen=True)
class Line:
    """A path `M x y L x y …` through what is known, interrupted where nothing is, and the least and most of its values."""

    path: str
    low: float
    high: float


def bands(labels: Sequence[str]) -> list[Band]:
    """Return the stretches of equal labels, each bar as wide as the others."""
    found: list[Band] = []
    first = 0
    for index in range(1, len(labels) + 1):
        if index == len(labels) or labels[index] != labels[first]:
            found.append(Band(labels[first], _share(first, len(labels)), _share(index - first, len(labels))))
            first = index
    return found


def marks(indices: Sequence[int], count: int) -> list[Mark]:
    """Return numbered marks at the beginnings of bars; of two that would overlap the later one is not shown."""
    found: list[Mark] = []
    last = -math.inf
    for number, index in enumerate(indices, start=1):
        left = _share(index, count)
        shown = left - last >= MARK_GAP
        found.append(Mark(number, left, shown))
        last = left if shown else last
    return found


def span(*series: Sequence[float | None]) -> tuple[float, float] | None:
    """Return the least and most that several lines have together; None where nothing is known."""
    known = [value for values in series for value in values if value is not None and math.isfinite(value)]
    return (min(known), max(known)) if known else None


def line(values: Sequence[float | None], between: tuple[float, float] | None = None) -> Line | None:
    """Return the path of a line; None where fewer than two values are known.

    Args:
        between: the values at the bottom and the top, for lines that share a chart; else the line's own.
    """
    known = [index for index, value in enumerate(values) if value is not None and math.isfinite(value)]
    ends = span(values)
    if len(known) < 2 or ends is None:
        return None
    low, high = between or ends
    step = max(1, math.ceil(len(values) / POINTS_MAX))
    pieces: list[str] = []
    pen = "M"
    for index, value in enumerate(values):
        if value is None or not math.isfinite(value):
            pen = "M"
            continue
        if index % step and index != len(values) - 1 and pen == "L":
            continue
        x = (index + 0.5) / len(values) * BOX_WIDTH
        pieces.append(f"{pen}{x:.1f} {height(value, low, high) * BOX_HEIGHT / 100:.2f}")
        pen = "L"
    return Line("".join(pieces), *ends)


def height(value: float, low: float, high: float) -> float:
    """Return where a value lies between two others, in percent from the top; what lies outside is at the edge."""
    if high <= low:
        return 50.0
    place = min(1.0, max(0.0, (high - value) / (high - low)))
    return round(MARGIN + place * (100 - 2 * MARGIN), 2)


def _share(part: int, whole: int) -> float:
    return round(100 * part / whole, 3)
