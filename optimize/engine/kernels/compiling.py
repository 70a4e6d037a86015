"""How every kernel is compiled, and where the result is kept for the next process."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba

_HERE = Path(__file__).resolve().parent
# Kept on disk for the next process; Python's lock let go, so that threads run side by side; x / 0 gives infinity as in
# NumPy, so that no loop carries a check.
_OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}


def fingerprint(folder: Path) -> str:
    """Return what changes with any source in `folder`.

    Numba looks at the file of a function alone to see whether what it kept is still right, and would go on using a
    kernel into which another file's function was compiled before that one changed.
    """
    digest = hashlib.sha256(numba.__version__.encode())
    for path in sorted(folder.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _root() -> Path | None:
    """Return where to keep what was compiled: where NUMBA_CACHE_DIR says, else beside the sources; else Numba decides."""
    if named := os.environ.get("NUMBA_CACHE_DIR"):
        return Path(named)
    return _HERE / "__pycache__" if os.access(_HERE, os.W_OK) else None


_ROOT = _root()
_FOLDER = "" if _ROOT is None else str(_ROOT / f"kernels-{fingerprint(_HERE)}")


def _compiled(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that makes a kernel, kept in a folder for exactly these sources."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        # The setting is read when the decorator is applied; others' kernels go where they would go anyway.
        config: Any = numba.config
        before, config.CACHE_DIR = config.CACHE_DIR, _FOLDER or config.CACHE_DIR
        try:
            made: Callable[..., Any] = numba.njit(**_OPTIONS, **options)(function)
        finally:
            config.CACHE_DIR = before
        return made

    return decorate


kernel = _compiled()
# Copied into its callers: a call hands over seven words for each array, which is more than a small function does.
inlined = _compiled(forceinline=True)
# Where the order of a sum may change and no figure is NaN, the compiler may add several figures at once.
vector_kernel = _compiled(fastmath={"reassoc", "nsz", "nnan", "contract"})
