"""Where compiled kernels are kept, and who loads them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

from optimize import warming
from optimize.engine.kernels.compiling import fingerprint

CALL = (
    "import numpy as np\n"
    "from optimize.engine.kernels.figures import drawdown_of\n"
    "assert drawdown_of(np.array([2.0, 1.0])) == 0.5\n"
    "print(sum(drawdown_of.stats.cache_hits.values()))"
)


def _python(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", **environment},
    )
    return done.stdout.strip()


def test_a_web_process_never_loads_the_compiler() -> None:
    code = "import sys, tradingsite.asgi, tradingsite.urls, optimize.engine\nprint('numba' in sys.modules)"
    assert _python(code) == "False"


def test_what_one_process_compiled_the_next_one_loads(tmp_path: Path) -> None:
    assert _python(CALL, NUMBA_CACHE_DIR=str(tmp_path)) == "0"
    assert [folder.name.split("-")[0] for folder in tmp_path.iterdir()] == ["kernels"]
    assert _python(CALL, NUMBA_CACHE_DIR=str(tmp_path)) == "1"


def test_what_was_compiled_from_other_sources_is_not_loaded(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text("a = 1")
    (tmp_path / "other.py").write_text("b = 1")
    before = fingerprint(tmp_path)
    assert fingerprint(tmp_path) == before
    (tmp_path / "other.py").write_text("b = 2")
    assert fingerprint(tmp_path) != before


@pytest.mark.parametrize("writable", [True, False])
def test_where_the_code_may_not_be_written_to_kernels_are_kept_with_the_data(
    writable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", "set, so that it is put back")
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    monkeypatch.setattr(os, "access", lambda path, mode: writable)
    warming.keep_kernels()
    expected = None if writable else str(settings.DATA_DIR / "kernels")
    assert os.environ.get("NUMBA_CACHE_DIR") == expected
