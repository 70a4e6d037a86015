"""The half of the kill switch that needs no database: one file per scope under DATA_DIR/kill_switch.

A file that is there halts, whatever is in it. A folder that cannot be read halts as well, for nobody knows then.
"""

import contextlib
import json
import os
from pathlib import Path

from django.conf import settings


def folder() -> Path:
    """Return the folder of the sentinel files; it exists once something was killed."""
    return Path(settings.DATA_DIR) / "kill_switch"


def is_set(scope: str) -> bool:
    """Say whether the file of `scope` is there.

    Raises:
        OSError: when that cannot be told, also when the data folder itself is missing.
    """
    # A missing data folder is a volume that is not mounted, not a clear switch.
    os.stat(settings.DATA_DIR)
    try:
        os.lstat(folder() / scope)
    except FileNotFoundError:
        return False
    return True


def scopes() -> list[str]:
    """Return the scopes whose file is there.

    Raises:
        OSError: when that cannot be told.
    """
    os.stat(settings.DATA_DIR)
    try:
        names = os.listdir(folder())
    except FileNotFoundError:
        return []
    return sorted(name for name in names if not name.startswith("."))


def read(scope: str) -> dict[str, str]:
    """Return what the file says of itself, as far as it can be read: it is for people, nothing depends on it."""
    with contextlib.suppress(OSError, ValueError):
        content = json.loads((folder() / scope).read_text(encoding="utf-8"))
        if isinstance(content, dict):
            return {str(key): str(value) for key, value in content.items()}
    return {}


def write(scope: str, content: dict[str, str]) -> None:
    """Set the file of `scope` so that it survives a power cut; one that is there stays as it is.

    Raises:
        OSError: when it could not be written.
    """
    target = folder()
    target.mkdir(mode=0o750, exist_ok=True)
    path = target / scope
    if os.path.lexists(path):
        return
    draft = target / f".{scope}.{os.getpid()}.{os.urandom(4).hex()}"
    try:
        with open(draft, "x", encoding="utf-8") as file:
            json.dump(content, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            draft.unlink()
    _sync(target)
    _sync(target.parent)


def clear(scope: str) -> None:
    """Remove the file of `scope`, if it is there.

    Raises:
        OSError: when it is still there.
    """
    with contextlib.suppress(FileNotFoundError):
        (folder() / scope).unlink()
    with contextlib.suppress(FileNotFoundError):
        _sync(folder())


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
