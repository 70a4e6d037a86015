"""What a wrong environment says to the person at the terminal: one line with what to do, never a page of calls."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.desk import ROOT


def manage(folder: Path, *args: str, **env: str) -> "subprocess.CompletedProcess[str]":
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return subprocess.run(
        [sys.executable, "manage.py", *args],
        cwd=ROOT,
        env={**kept, "DATA_DIR": str(folder / "data"), **env},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("WORKER_CONCURRENCY", "many", "WORKER_CONCURRENCY is 'many'. It must be a whole number."),
        ("PRODUCTION", "perhaps", "PRODUCTION is 'perhaps'. It must be 1 or 0."),
        ("DATABASE_URL", "secret-and-wrong", "It must look like postgres://user:password@host:5432/name"),
        ("EXECUTION_TRANSPORT", "pigeon", "EXECUTION_TRANSPORT is 'pigeon'. It must be celery or kafka."),
        ("EXECUTION_TRANSPORT", "kafka", "KAFKA_BOOTSTRAP_SERVERS is not set"),
        ("KAFKA_CONFIG", "secret-and-wrong", "KAFKA_CONFIG is no JSON object"),
        ("EMAIL_URL", "secret-and-wrong", "EMAIL_URL is no address of a mail server"),
        ("EXTRA_APPS", "nope", "EXTRA_APPS names 'nope'"),
        ("DATA_DIR", "{folder}/file/data", "Name a folder that you may write to"),
        ("PORT", "abc", "'abc' is no port; PORT and --port take 0 to 65535"),
        ("PORT", "80000", "'80000' is no port"),
    ],
)
def test_a_wrong_variable_is_named_in_a_line(tmp_path: Path, name: str, value: str, said: str) -> None:
    (tmp_path / "file").touch()
    done = manage(tmp_path, "up", **{name: value.format(folder=tmp_path)})
    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert "secret-and-wrong" not in done.stderr


def test_a_command_before_the_set_up_says_how_to_set_up(tmp_path: Path) -> None:
    done = manage(tmp_path, "create_api_key", "--user", "admin", "--role", "viewer", "--name", "x")
    assert done.returncode == 1
    assert "manage.py setup" in done.stderr
    assert "Traceback" not in done.stderr
