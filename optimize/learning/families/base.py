"""The one interface that every learning library stands behind."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from optimize.learning.errors import ModelLibraryMissing
from workflows.strategies.base import Parameter

FloatArray = NDArray[np.float64]
Matrix = NDArray[np.float32]
Combination = Mapping[str, Any]
Arrays = Mapping[str, NDArray[Any]]
Check = Callable[[], None]
SEED_BOUND = 2**31 - 1


@dataclass(frozen=True, eq=False)
class Rows:
    """What is learnt from: `x` float32 [n, F], all finite; `up` 1.0 or 0.0; `weight` above zero, or None for equal."""

    x: Matrix
    up: FloatArray
    weight: FloatArray | None = None


class Predictor(Protocol):
    """Says how likely a rise is: float32 [n, F] in, float64 [n] out, each in 0..1."""

    def __call__(self, x: Matrix) -> FloatArray: ...


class Fitted(Protocol):
    """A trained model, of which fewer rounds can be read off."""

    @property
    def history(self) -> FloatArray:
        """Log loss over the watched rows after each round; empty where none were watched."""

    def probabilities(self, x: Matrix, rounds: Sequence[int]) -> FloatArray:
        """Return float64 [len(rounds), n]: the probabilities by the first so many rounds each."""

    def arrays(self, rounds: int) -> dict[str, NDArray[Any]]:
        """Return the first `rounds` rounds as plain arrays, from which `Family.predictor` predicts the same."""


class Family(Protocol):
    """One kind of model.

    Attributes:
        library: what it imports to train; raises ModelLibraryMissing where that is not installed.
        rounds: the parameter of which fewer can be read off a longer run; None where there is none.
        boosts: whether more rounds may be worse, so that stopping early has a meaning.
        shaping: parameters that the prepared matrix depends on.
    """

    slug: str
    title: str
    library: str
    parameters: tuple[Parameter, ...]
    grid: Mapping[str, tuple[Any, ...]]
    rounds: str | None
    boosts: bool
    shaping: tuple[str, ...]

    def matrix(self, train: Rows, watch: Rows | None, params: Combination) -> Any:
        """Return the library's own form of the rows, to be shared by all combinations of equal `shaping` parameters.

        Raises:
            ModelLibraryMissing: where the library is not installed.
        """

    def fit(
        self, matrix: Any, params: Combination, rounds: int, *, seed: int, patience: int = 0, check: Check
    ) -> Fitted:
        """Train `rounds` rounds, or, with `patience`, until so many in a row made the watched rows no better.

        Single-threaded: what runs beside it decides how many cores are used. `check` is called between rounds and may
        raise to stop.
        """

    def predictor(self, arrays: Arrays, features: int) -> Predictor:
        """Return the predictor that `Fitted.arrays` describe.

        Raises:
            ModelFileInvalid: for arrays that describe none. The library itself is not needed.
        """


@dataclass(frozen=True)
class Matrices:
    """A boosting library's own form of the rows to fit, and of those watched, if any."""

    train: Any
    watch: Any


class Boosted:
    """What the fitted models of both boosting libraries are made of: the booster, and the watched loss by round."""

    def __init__(self, booster: Any, history: Sequence[float]) -> None:
        self._booster = booster
        self.history: FloatArray = np.array(history, dtype=np.float64)


def library(name: str, distribution: str = "") -> ModuleType:
    """Import a library that is large, when the first model asks for it.

    Raises:
        ModelLibraryMissing: saying how to get it.
    """
    try:
        return importlib.import_module(name)
    # OSError: LightGBM's own library needs libgomp from the system.
    except (ImportError, OSError) as error:
        raise ModelLibraryMissing(
            f"{distribution or name} cannot be imported ({error}). requirements.txt brings it, and LightGBM needs the "
            "system's libgomp, on the workers too."
        ) from error


def best_rounds(history: FloatArray, most: int) -> int:
    """Return the round after which the watched rows were best, of the first `most`; all of them when none were watched.

    Equal to what a run with `most` rounds and the same patience would have stopped at: it can only have stopped
    earlier than the longer run where the longer one stopped too.
    """
    seen = history[:most]
    return int(np.argmin(seen)) + 1 if len(seen) else most


class Patience:
    """Says when to stop: once `patience` rounds in a row brought no lower loss."""

    def __init__(self, patience: int) -> None:
        self._patience = patience
        self._best = np.inf
        self._since = 0

    def spent(self, loss: float) -> bool:
        if loss < self._best:
            self._best, self._since = loss, 0
        else:
            self._since += 1
        return self._patience > 0 and self._since >= self._patience
