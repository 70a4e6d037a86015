"""Settings and habits without which the stack's own defaults lose work or freeze (docs/peers.md, second table)."""

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

ROOT = Path(settings.BASE_DIR)
APPS = ("tradingsite", "market", "safety", "portfolio", "scheduler", "workflows", "executions", "agents", "optimize")
PRINTED = (
    "import json; from tradingsite import settings as s;"
    "print(json.dumps([s.CELERY_BROKER_TRANSPORT_OPTIONS, s.CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT]))"
)


def sources() -> Iterator[tuple[str, ast.Module]]:
    for app in APPS:
        for path in (ROOT / app).rglob("*.py"):
            yield str(path.relative_to(ROOT)), ast.parse(path.read_text())


@pytest.fixture(scope="module")
def with_redis(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """The settings of a process whose broker is a Redis, read as such a process reads them."""
    said = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "DATA_DIR": str(tmp_path_factory.mktemp("data")),
        "SECRET_KEY": "only-for-tests-0123456789abcdefghijklmnopqrstuvwxyz-0123456789",
        "REDIS_URL": "redis://127.0.0.1:1/0",
    }
    told = subprocess.run([sys.executable, "-c", PRINTED], env=said, check=True, capture_output=True, text=True)
    found: list[Any] = json.loads(told.stdout)
    return found


def test_no_task_is_sent_with_a_time_of_its_own() -> None:
    """Beyond the broker's patience such a message is delivered again and again; due times live in the database."""
    found = [
        f"{path}:{node.lineno}"
        for path, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and {"eta", "countdown"} & {keyword.arg for keyword in node.keywords}
    ]
    assert found == []


def test_nothing_waits_for_a_group_of_tasks_at_the_broker() -> None:
    """Chords hang when a result is lost; what many workers do together is counted in a row."""
    found = [
        f"{path}: {alias.name}"
        for path, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("celery")
        for alias in node.names
        if alias.name in {"chord", "group", "chain", "chunks"}
    ]
    assert found == []


def test_a_worker_does_not_freeze_when_its_redis_drops(with_redis: list[Any]) -> None:
    options, _ = with_redis
    assert 0 < options["socket_timeout"] <= 10
    assert 0 < options["socket_connect_timeout"] <= 5
    assert options["socket_keepalive"] is True
    assert 0 < options["health_check_interval"] <= 30
    for package in ("celery", "kombu"):
        assert tuple(int(part) for part in version(package).split(".")[:2]) >= (5, 7), package


def test_a_worker_that_is_asked_to_end_has_time_to_hand_its_runs_over(with_redis: list[Any]) -> None:
    assert with_redis[1] >= 5


def test_short_work_does_not_wait_behind_what_a_worker_has_reserved() -> None:
    assert settings.CELERY_WORKER_PREFETCH_MULTIPLIER == 1
    assert set(settings.CELERY_TASK_QUEUES) == {"control", "runs", "agents", "optimize"}


def test_nothing_asks_workers_by_the_broker_whether_they_live() -> None:
    """A ping costs seconds of the processor and fails when workers are busy; each has a row with its heartbeat."""
    assert settings.CELERY_WORKER_ENABLE_REMOTE_CONTROL is False
    command = re.search(r"celery -A tradingsite worker.*?(?=\n\S*\n|```)", (ROOT / "README.md").read_text(), re.DOTALL)
    assert command is not None
    assert {"--without-gossip", "--without-mingle"} <= set(command.group().split())


def test_workers_write_no_result_row_for_each_task() -> None:
    assert settings.CELERY_TASK_IGNORE_RESULT is True


def test_the_suite_does_not_spend_its_minutes_on_hashing_passwords() -> None:
    assert settings.PASSWORD_HASHERS[0].endswith("MD5PasswordHasher")
