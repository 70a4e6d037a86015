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


FIRST_JOB = """
import django; django.setup()
import numpy as np
from optimize.engine import Settings, evaluate, folds, make_axis, portfolio_sums, prepare, returns, simulate, warm
from optimize.engine.kernels import adding, averaging, figures, stepping, striding, walking, words
from tests.optimize.histories import walk
from workflows.strategies import strategy_types

def compiled():
    modules = (adding, averaging, figures, stepping, striding, walking, words)
    kernels = [item for module in modules for item in vars(module).values() if hasattr(item, "signatures")]
    assert len(kernels) > 20
    return sum(len(kernel.signatures) for kernel in kernels)

warm()
before = compiled()
series = [prepare(walk(300, 1)), prepare(walk(222, 2, first=50))]
axis = make_axis(series)
windows = axis.windows([stretch for fold in folds(axis, 2, 0.7) for stretch in (fold.train, fold.test)])
for kind in strategy_types.all():
    if kind.slug == "model":
        continue
    grid = [kind.clean(params) for params in kind.default_grid()]
    for settings in (Settings(), Settings(fee=0.1, take_profit=0.1), Settings(direction="long_short", stop_loss=0.1)):
        evaluate(kind, grid, series, windows, settings, threads=2)
        portfolio_sums(kind, grid, series, windows, axis, np.array([[0, 100], [100, 300]]), settings, threads=2)
        returns(kind, [grid[0]], series, windows, axis, settings)
        simulate(kind, grid[0], series[1], (10, 200), settings)
print(compiled() - before)
"""


def test_a_first_job_of_a_warm_worker_compiles_nothing() -> None:
    assert _python(FIRST_JOB) == "0"
