"""What the faults cost, as a table. `python -m tests.faults.figures <file>` prints the one that a run has left."""

import json
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

# The environment names the file; each scenario adds its line as soon as it is over.
FILE = "FAULTS_REPORT"
RECOVERED_WITHIN_S = 10.0


@dataclass
class Figures:
    """One scenario. A recovery is the time from a fault until a run that it hit goes on, by the database's rows.

    `slowness` is how many seconds went by for one second of computing: 1 on a machine that does nothing else.
    """

    scenario: str
    runs: int = 0
    kills: int = 0
    recoveries: list[float] = field(default_factory=list)
    lost: int = 0
    duplicated: int = 0
    wrong: int = 0
    refused: int = 0
    seconds: float = 0.0
    slowness: float = 1.0
    note: str = ""

    def tell(self) -> None:
        """Add the line to the file that the environment names, if it names one."""
        if path := os.environ.get(FILE):
            add(self, Path(path))

    def assert_recovered(self) -> None:
        if self.recoveries:
            # In seconds of a machine that is the desk's own.
            late = percentile(self.recoveries, 0.95) / self.slowness
            assert late <= RECOVERED_WITHIN_S, f"{self.scenario}: a run stood still for {late:.1f} s"


def percentile(values: Sequence[float], fraction: float) -> float:
    """Return the nearest-rank percentile.

    Raises:
        ValueError: of no values.
    """
    if not values:
        raise ValueError("there is no percentile of nothing")
    return sorted(values)[max(0, math.ceil(fraction * len(values)) - 1)]


def add(figures: Figures, path: Path) -> None:
    told = read(path) if path.exists() else []
    path.write_text(json.dumps([asdict(one) for one in [*told, figures]], indent=1))


def read(path: Path) -> list[Figures]:
    return [Figures(**one) for one in json.loads(path.read_text())]


HEAD = (
    "scenario",
    "runs",
    "kills",
    "hit",
    "p50 s",
    "p95 s",
    "max s",
    "lost",
    "duplicated",
    "wrong end",
    "refused",
    "took",
    "slowness",
)


def table(told: Sequence[Figures]) -> str:
    rows = [HEAD, *(_row(one) for one in told)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    lines = [
        "  ".join(text.ljust(width) if not column else text.rjust(width) for column, (text, width) in enumerate(cells))
        for cells in (zip(row, widths, strict=True) for row in rows)
    ]
    notes = [f"{one.scenario}: {one.note}" for one in told if one.note]
    return "\n".join([*lines, *notes])


def _row(one: Figures) -> tuple[str, ...]:
    times = [f"{percentile(one.recoveries, part):.1f}" if one.recoveries else "-" for part in (0.5, 0.95, 1.0)]
    counts = (one.lost, one.duplicated, one.wrong, one.refused)
    start = (one.scenario, str(one.runs), str(one.kills), str(len(one.recoveries)))
    return (*start, *times, *map(str, counts), f"{one.seconds:.0f} s", f"{one.slowness:.1f}")


if __name__ == "__main__":
    print(table(read(Path(sys.argv[1]))))  # noqa: T201  # what it is called for
