"""Prefect as it is deployed: runs asked of the server, which outlive whoever asked, carried by a process that serves them."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from loads import Marks, given, hand_back, measure, program, until
from prefect_server import prefect_server

FLOW = Path(__file__).resolve().parent / "prefect_flow.py"
# Each run is a process of its own there, and several wait for two processors.
ENDS_WITHIN_S = 300.0


class Peer:
    """Runs of a deployment."""

    def __init__(self, client: Any, deployment: Any, marks: Path) -> None:
        self._client = client
        self._deployment = deployment
        self._marks = marks

    def submit(self) -> str:
        return str(self._client.create_flow_run_from_deployment(self._deployment).id)

    def wait(self, run: str) -> None:
        until(f"run {run}", lambda: self._ended(run), pause_s=0.02, within_s=ENDS_WITHIN_S)

    def wait_all(self, runs: Sequence[str]) -> None:
        for run in runs:
            until(f"run {run}", lambda run=run: self._ended(run), pause_s=0.1, within_s=ENDS_WITHIN_S)

    def _ended(self, run: str) -> bool:
        state = self._client.read_flow_run(run).state
        return bool(state is not None and state.is_final())

    def marks(self, runs: Sequence[str]) -> Mapping[str, Marks]:
        files = {run: self._marks / f"{run}.json" for run in runs}
        return {run: json.loads(file.read_text()) for run, file in files.items() if file.exists()}


def main() -> None:
    asked = given()
    folder = Path(asked["folder"])
    marks = folder / "marks"
    marks.mkdir()
    os.environ |= {
        "BENCH_MARKS": str(marks),
        "BENCH_CONCURRENCY": str(asked["concurrency"]),
        # Ten seconds otherwise: the wait for the next look would be most of what is measured.
        "PREFECT_RUNNER_POLL_FREQUENCY": "1",
    }
    with prefect_server(asked), program([sys.executable, str(FLOW)], str(folder / "serve.log"), os.environ) as process:
        from prefect.client.orchestration import get_client
        from prefect.exceptions import ObjectNotFound

        with get_client(sync_client=True) as client:

            def deployed() -> bool:
                if process.poll() is not None:
                    raise RuntimeError(f"who serves the flow ended; see {folder / 'serve.log'}")
                try:
                    client.read_deployment_by_name("three-steps/bench")
                except ObjectNotFound:
                    return False
                return True

            until("the deployment", deployed, pause_s=0.2)
            deployment = client.read_deployment_by_name("three-steps/bench").id
            hand_back(measure(Peer(client, deployment, marks), asked["load"]))


if __name__ == "__main__":
    main()
