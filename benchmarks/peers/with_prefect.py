"""Prefect as a library: flows carried in this process, their states kept by a server.

What it cannot do is what the other contenders are there for: nobody takes up a flow whose process has died.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence

from loads import Marks, given, hand_back, measure
from prefect_server import prefect_server


class Peer:
    """A flow call returns when the flow has ended: submitting and waiting are one."""

    def __init__(self, flow: Callable[[], Marks]) -> None:
        self._flow = flow
        self._marks: dict[str, Marks] = {}

    def submit(self) -> str:
        run = str(uuid.uuid4())
        self._marks[run] = self._flow()
        return run

    def wait(self, run: str) -> None:
        pass

    def wait_all(self, runs: Sequence[str]) -> None:
        pass

    def marks(self, runs: Sequence[str]) -> Mapping[str, Marks]:
        return {run: self._marks[run] for run in runs}


def main() -> None:
    asked = given()
    with prefect_server(asked):
        from prefect_flow import three_steps

        hand_back(measure(Peer(three_steps), asked["load"]))


if __name__ == "__main__":
    main()
