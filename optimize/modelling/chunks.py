"""One chunk of a tuning: some combinations scored on every fold, packed as plain arrays."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimize import data
from optimize.learning.panel import Panel, build
from optimize.learning.tuning import FIGURES, Scores, evaluate
from optimize.modelling.asking import Asking, asking_of
from optimize.work import Asked, Piece


def run(piece: Piece) -> bytes:
    """Score the combinations of a chunk."""
    asking = asking_of(piece.asked)
    panel = panel_of(asking, piece.asked, piece.check)
    size, folds = piece.last - piece.first, piece.asked.n_folds
    scored = 0

    def progress(count: int) -> None:
        nonlocal scored
        scored += count
        # Fold by fold, each with all combinations: a combination is done with its last fold.
        piece.progress(scored // folds, min(folds, scored // size + 1))

    scores = evaluate(panel, asking.tuning, piece.first, piece.last, check=piece.check, progress=progress)
    return packed(scores)


def panel_of(asking: Asking, asked: Asked, check: Callable[[], None]) -> Panel:
    """Return the rows of a job, the same in every chunk."""
    series = data.load(asked.data, start=asking.start, end=asking.end, warm_up=asking.features.warmup, check=check)
    check()
    return build(series, asking.features, asking.labels, start=asking.start, end=asking.end)


def packed(scores: Scores) -> bytes:
    """Return scores as NumPy's zip of arrays."""
    arrays: dict[str, NDArray[Any]] = {
        **{f"fold_{name}": values for name, values in scores.folds.items()},
        **{f"whole_{name}": values for name, values in scores.whole.items()},
        "rounds": scores.rounds,
        "returns": scores.returns,
        "axis": scores.axis,
        "holding": scores.holding,
    }
    stream = io.BytesIO()
    np.savez_compressed(stream, allow_pickle=False, **arrays)  # type: ignore[arg-type]  # its names are no options
    return stream.getvalue()


def unpacked(parts: list[bytes]) -> Scores:
    """Return the scores of several chunks, in their order, as one."""
    found = []
    for part in parts:
        with np.load(io.BytesIO(part), allow_pickle=False) as arrays:
            found.append({name: arrays[name] for name in arrays.files})

    def joined(name: str) -> NDArray[Any]:
        return np.concatenate([arrays[name] for arrays in found])

    return Scores(
        folds={name: joined(f"fold_{name}") for name in FIGURES},
        whole={name: joined(f"whole_{name}") for name in FIGURES},
        rounds=joined("rounds"),
        returns=joined("returns"),
        axis=found[0]["axis"],
        holding=found[0]["holding"],
    )
