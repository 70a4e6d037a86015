"""The files of tuned models: each named by the SHA-256 of its content, in the folder that all processes share.

A file is written to a temporary one, forced to disk and linked to its name; a name that is taken holds the same bytes.
What is read is compared with its name before it is looked at.
"""

import os
import re
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from django.conf import settings

from optimize.learning.artefacts import Model, digest, load
from optimize.learning.errors import ModelFileInvalid

_NAME = re.compile(r"[0-9a-f]{64}")
# Models kept in memory by each process.
KEPT = 16


def path_of(name: str) -> Path:
    """Return where the file with this digest stands.

    Raises:
        ValueError: for what is no digest, and could lead out of the folder.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no SHA-256")
    return Path(settings.DATA_DIR) / "models" / name[:2] / f"{name}.npz"


def write(content: bytes) -> str:
    """Keep a model's file and return its digest; the same content twice is one file."""
    name = digest(content)
    path = path_of(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, text = tempfile.mkstemp(dir=path.parent, prefix=".writing-", suffix=".tmp")
    temporary = Path(text)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # Over whatever stands there: it has the same content, unless it was damaged.
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync(path.parent)
    return name


def read(name: str) -> Model:
    """Return the model whose file has this digest; shared, never to be changed.

    Raises:
        ModelFileInvalid: when it is missing, or is not what was written.
    """
    with _lock:
        kept = _models.get(name)
        if kept is not None:
            _models.move_to_end(name)
            return kept
    try:
        content = path_of(name).read_bytes()
    except OSError as error:
        raise ModelFileInvalid(f"The model's file {name} cannot be read: {error.strerror}. Tune it anew.") from error
    if digest(content) != name:
        raise ModelFileInvalid(f"The model's file {name} is not what was written. Tune it anew.")
    model = load(content)
    with _lock:
        _models[name] = model
        while len(_models) > KEPT:
            _models.popitem(last=False)
    return model


def older_than(moment: float) -> Iterator[Path]:
    """Yield every file of the store, half-written ones too, that was last written before `moment`, in Unix seconds."""
    for path in sorted((Path(settings.DATA_DIR) / "models").glob("*/*")):
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < moment:
                yield path


def remove(path: Path) -> bool:
    """Delete a file of the store; False when somebody else did."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True


def forget() -> None:
    """Forget the models read so far; the next reading of each goes to disk."""
    with _lock:
        _models.clear()


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_lock = threading.Lock()
_models: OrderedDict[str, Model] = OrderedDict()
