"""What the web process must never carry."""

import subprocess
import sys

from tests.support.desk import ROOT

HEAVY = ("numba", "optuna", "xgboost", "lightgbm", "sklearn", "scipy")
SITE = (
    "import os, sys; os.environ['DJANGO_SETTINGS_MODULE'] = 'tests.settings';"
    "import tradingsite.asgi;"
    "from optimize.work import kinds; from optimize.honesty import Gate; Gate.clean({});"
    "print([name for name in sys.argv[1:] if name in sys.modules])"
)


def test_the_site_starts_without_the_compiler_and_the_learners() -> None:
    done = subprocess.run([sys.executable, "-c", SITE, *HEAVY], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"
