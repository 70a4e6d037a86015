"""A desk in processes of its own: started as a user would, spoken to over HTTP, killed without mercy."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.harness.services import free_port

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "only-for-this-test"
START_S = 90.0


def wait_until(what: str, ready: Callable[[], Any], seconds: float) -> Any:
    """Return the first true answer of `ready`; fail the test, naming `what`, when there is none in time."""
    deadline = time.monotonic() + seconds
    while True:
        if answer := ready():
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.05)


@dataclass
class Program:
    """One process with its children in a group of their own, so that a signal reaches what Ctrl-C would reach."""

    name: str
    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def alive(self) -> bool:
        """Say whether any process of the group is left."""
        try:
            os.killpg(self.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def interrupt(self) -> None:
        """Do what Ctrl-C does."""
        os.killpg(self.pid, signal.SIGINT)

    def kill(self) -> None:
        """Give it no chance to clean up."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()


@dataclass
class Desk:
    """Where a desk keeps its things, and the processes that were started for it."""

    folder: Path
    env: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    programs: list[Program] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def slow_steps_file(self) -> Path:
        return self.folder / "slow-steps"

    def environment(self) -> dict[str, str]:
        dropped = (
            *("DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE", "SECRET_KEY", "DATA_DIR"),
            *("EXECUTION_TRANSPORT", "KAFKA_BOOTSTRAP_SERVERS", "KAFKA_CONFIG", "KAFKA_TOPIC_PREFIX"),
        )
        kept = {name: text for name, text in os.environ.items() if name not in dropped and "PYTEST" not in name}
        return {
            **kept,
            "DATA_DIR": str(self.folder / "data"),
            "PORT": str(self.port),
            "HOST": "127.0.0.1",
            "ADMIN_PASSWORD": PASSWORD,
            "EXTRA_APPS": "tests.e2e.slowsteps",
            "SLOW_STEPS_FILE": str(self.slow_steps_file),
            "PYTHONUNBUFFERED": "1",
            **self.env,
        }

    def start(self, name: str, *command: str, **variables: str) -> Program:
        """Start a program of the desk; its output goes to a file that a failing test shows."""
        log = self.folder / f"{name}-{len(self.programs)}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**self.environment(), **variables},
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        program = Program(name, process, log)
        self.programs.append(program)
        return program

    def make(self, target: str) -> Program:
        """Start `make <target>` with this interpreter; what the tests run in is installed already."""
        installed = ("-o", ".venv/.runtime-installed", "-o", ".venv/.testing-installed")
        return self.start(target, "make", "--no-print-directory", *installed, f"PY={sys.executable}", target)

    def manage(self, *arguments: str, **variables: str) -> Program:
        """Start a management command; `variables` go before those of the desk's environment."""
        return self.start(arguments[0], sys.executable, "manage.py", *arguments, **variables)

    def worker(self, name: str, pool: str = "threads") -> Program:
        queues = "control,runs,agents,optimize"
        celery = (sys.executable, "-m", "celery", "-A", "tradingsite", "worker")
        return self.start(name, *celery, "-P", pool, "-c", "2", "-Q", queues, "-n", f"{name}@%h", "-l", "INFO")

    def run(self, *arguments: str, seconds: float = START_S) -> str:
        """Run a management command to its end and return what it printed."""
        program = self.manage(*arguments)
        code = program.process.wait(seconds)
        assert code == 0, program.output()
        return program.output()

    def wait_until_up(self, program: Program) -> None:
        """Return when `/health` answers."""

        def answers() -> bool:
            assert program.process.poll() is None, f"{program.name} ended: {program.output()}"
            with contextlib.suppress(httpx.TransportError):
                return httpx.get(f"{self.url}/health", timeout=2).status_code == 200
            return False

        wait_until(f"/health of {program.name}", answers, START_S)

    def client(self) -> httpx.Client:
        """Return a client with the admin's token."""
        answer = httpx.post(f"{self.url}/api/auth/token", json={"username": "admin", "password": PASSWORD}, timeout=20)
        assert answer.status_code == 200, answer.text
        return httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {answer.json()['access']}"}, timeout=60
        )

    def slow_steps(self, execution_id: str, what: str = "start") -> list[tuple[str, int, float]]:
        """Return (step name, process id, time) of each start or end of a slow step, oldest first."""
        if not self.slow_steps_file.exists():
            return []
        lines = [line.split() for line in self.slow_steps_file.read_text().splitlines()]
        return [
            (line[1], int(line[3]), float(line[4])) for line in lines if line[0] == execution_id and line[2] == what
        ]

    def logs(self) -> str:
        return "\n".join(f"--- {program.name}\n{program.output()[-6000:]}" for program in self.programs)


@contextlib.contextmanager
def desk(folder: Path, env: Mapping[str, str] | None = None) -> Iterator[Desk]:
    """Yield a desk; end every process that it started, whatever happened, and show their output on a failure."""
    one = Desk(folder, env or {})
    try:
        yield one
    except BaseException:
        print(one.logs())  # noqa: T201  # pytest shows it with the failure
        raise
    finally:
        for program in one.programs:
            program.kill()
