"""DBOS: workflows and steps carried in the process that starts them, every step stored in the same PostgreSQL."""

import time
from collections.abc import Mapping, Sequence

from dbos import DBOS
from loads import Marks, given, hand_back, measure


@DBOS.step()
def timed() -> tuple[float, float]:
    began = time.monotonic()
    return began, time.monotonic()


@DBOS.workflow()
def three_steps() -> list[tuple[float, float]]:
    return [timed(), timed(), timed()]


class Peer:
    def __init__(self) -> None:
        self._started = {}
        self._marks: dict[str, Marks] = {}

    def submit(self) -> str:
        handle = DBOS.start_workflow(three_steps)
        self._started[handle.workflow_id] = handle
        return handle.workflow_id

    def wait(self, run: str) -> None:
        self._marks[run] = [tuple(mark) for mark in self._started.pop(run).get_result()]

    def wait_all(self, runs: Sequence[str]) -> None:
        for run in runs:
            self.wait(run)

    def marks(self, runs: Sequence[str]) -> Mapping[str, Marks]:
        return {run: self._marks[run] for run in runs}


def main() -> None:
    asked = given()
    DBOS(config={"name": "bench", "system_database_url": asked["database_url"], "log_level": "ERROR"})
    DBOS.launch()
    figures = measure(Peer(), asked["load"])
    DBOS.destroy()
    hand_back(figures)


if __name__ == "__main__":
    main()
