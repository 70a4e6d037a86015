"""The site's settings for the tests: a data folder of their own, a fast hasher, the database named by TEST_DATABASE_URL.

Nothing here changes what the code does; a test that needs another wiring starts a real process (`tests/e2e`).
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

_worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
_folder = Path(tempfile.mkdtemp(prefix=f"desk-tests-{_worker}-"))
atexit.register(shutil.rmtree, _folder, ignore_errors=True)

# The settings are read from the environment, so it is made the tests' own before they are imported.
for _name in (
    "DATABASE_URL",
    "REDIS_URL",
    "PRODUCTION",
    "EXTRA_APPS",
    "ALLOWED_HOSTS",
    "OUTBOUND_ALLOWED",
    "EMAIL_URL",
    "SECRET_KEY_FALLBACKS",
):
    os.environ.pop(_name, None)
os.environ.pop("EXECUTION_TRANSPORT", None)
os.environ["DATA_DIR"] = str(_folder)
(_folder / "static").mkdir()  # the static file server warns when there is none
os.environ["SECRET_KEY"] = "only-for-tests-0123456789abcdefghijklmnopqrstuvwxyz-0123456789"
if url := os.environ.get("TEST_DATABASE_URL"):
    os.environ["DATABASE_URL"] = url

from tradingsite.settings import *  # noqa: E402

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

_default: dict[str, Any] = DATABASES["default"]
if _default["ENGINE"].endswith("sqlite3"):
    # A file, not memory: threads of the race tests share it as the site's threads do.
    _default["TEST"] = {"NAME": str(_folder / "test.sqlite3")}
else:
    _default["TEST"] = {"NAME": os.environ.get("TEST_DB_NAME", "test_desk")}
    # A pool would keep connections to a database that is about to be dropped.
    _default.setdefault("OPTIONS", {}).pop("pool", None)
    # Most tests are one transaction, and may compute for a while within it.
    _default["OPTIONS"].pop("options", None)
    _default["CONN_MAX_AGE"] = 0

TESTS_DATABASE = _default["TEST"]["NAME"]  # before a worker puts its own name behind it

CELERY_BROKER_URL = "memory://localhost/"
ALLOWED_HOSTS = ["*"]
