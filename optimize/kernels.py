"""All kernels that a search calls, compiled once and kept on disk: `python -m optimize.kernels`, at the installation.

Compiling takes most of a minute, which would otherwise be the first job's on a new desk, or after an update.
"""

import numpy as np


def warm() -> None:
    """Load every kernel that a search calls, and compile those that were not kept."""
    from optimize import engine, honesty

    engine.warm()
    sums = np.arange(32, dtype=np.float64).reshape(4, 8)
    honesty.overfitting(np.full(8, 20), sums, sums + 1.0)
    honesty.bands(np.linspace(-0.01, 0.011, 50), paths=2)


if __name__ == "__main__":
    warm()
