"""How every kernel is compiled."""

from typing import Any

import numba

# Kept on disk for the next process; Python's lock let go, so that threads run side by side; x / 0 gives infinity as in
# NumPy, so that no loop carries a check.
_OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}
kernel = numba.njit(**_OPTIONS)
# Where the order of a sum may change and no figure is NaN, the compiler may add several figures at once.
vector_kernel = numba.njit(fastmath={"reassoc", "nsz", "nnan", "contract"}, **_OPTIONS)
