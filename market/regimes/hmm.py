"""A hidden Markov model with normal emissions, learnt and read from the past alone.

Baum-Welch with scaling (Rabiner, "A Tutorial on Hidden Markov Models", Proc. IEEE 77(2), 1989, sections III and V), for many
windows at once. A missing observation says nothing of the state.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from market.bars import FloatArray

ITERATIONS = 40
# Of the variance of the whole window: no state may collapse onto one observation.
VARIANCE_FLOOR = 1e-3
# Added to each count of a transition, the stay more than the moves: no state is one that is never left or reached.
STAY, MOVE = 2.0, 0.5


@dataclass(frozen=True, eq=False)
class Model:
    """One model for each of W windows, its K states ordered by rising variance.

    Attributes:
        start: (W, K); transition: (W, K, K), rows sum to one; mean, variance: (W, K).
    """

    start: FloatArray
    transition: FloatArray
    mean: FloatArray
    variance: FloatArray


def fit(windows: FloatArray, states: int) -> Model:
    """Learn a model from each row of `windows` (W, T), T at least 10 x states; the same numbers give the same model."""
    model = _begin(windows, states)
    for _ in range(ITERATIONS):
        model = _step(windows, model)
    return _ordered(model)


def filtered(windows: FloatArray, model: Model) -> FloatArray:
    """Return (W, T, K): how likely each state is after the observation at t, knowing those up to t and no later one."""
    forward, _ = _forward(_likelihoods(windows, model), model)
    return forward


def _begin(windows: FloatArray, states: int) -> Model:
    """Begin with the observations split by their size: the smallest belong to the calmest state."""
    count = windows.shape[0]
    centre = np.nanmean(windows, axis=1, keepdims=True)
    size = np.abs(windows - centre)
    bounds = np.nanquantile(size, np.arange(1, states) / states, axis=1).T
    group = np.count_nonzero(np.greater(size[:, :, None], bounds[:, None, :]), axis=2)
    variance = np.empty((count, states))
    floor = _floor(windows)
    for state in range(states):
        inside = np.where((group == state) & np.isfinite(windows), (windows - centre) ** 2, np.nan)
        with np.errstate(invalid="ignore"):
            filled: NDArray[np.bool_] = np.any(np.isfinite(inside), axis=1)
            variance[:, state] = np.where(filled, np.nanmean(np.where(filled[:, None], inside, 0.0), axis=1), floor)
    transition = np.full((count, states, states), 0.05 / max(states - 1, 1))
    transition[:, range(states), range(states)] = 0.95
    return Model(
        start=np.full((count, states), 1.0 / states),
        transition=transition,
        mean=np.repeat(centre, states, axis=1),
        variance=np.maximum(variance, floor[:, None]),
    )


def _floor(windows: FloatArray) -> FloatArray:
    floor: FloatArray = np.maximum(np.nanvar(windows, axis=1) * VARIANCE_FLOOR, 1e-18)
    return floor


def _likelihoods(windows: FloatArray, model: Model) -> FloatArray:
    """Return (W, T, K) densities, scaled by the largest of each observation."""
    known = np.isfinite(windows)[:, :, None]
    distance = np.where(known, windows[:, :, None] - model.mean[:, None, :], 0.0)
    variance = model.variance[:, None, :]
    logs = np.where(known, -0.5 * (distance**2 / variance + np.log(variance)), 0.0)
    densities: FloatArray = np.exp(logs - logs.max(axis=2, keepdims=True))
    return densities


def _forward(likelihoods: FloatArray, model: Model) -> tuple[FloatArray, FloatArray]:
    """Return the filtered probabilities (W, T, K) and the scales (W, T)."""
    forward = np.empty_like(likelihoods)
    scales = np.empty(likelihoods.shape[:2])
    now = model.start * likelihoods[:, 0]
    for t in range(likelihoods.shape[1]):
        if t:
            now = (forward[:, t - 1, None, :] @ model.transition)[:, 0] * likelihoods[:, t]
        # Underflow alone could make it zero: then the observation says nothing.
        total = now.sum(axis=1)
        dead = total <= 0
        if dead.any():
            now[dead], total[dead] = 1.0 / now.shape[1], 1.0
        scales[:, t] = total
        forward[:, t] = now / total[:, None]
    return forward, scales


def _step(windows: FloatArray, model: Model) -> Model:
    likelihoods = _likelihoods(windows, model)
    forward, scales = _forward(likelihoods, model)
    moves = np.zeros_like(model.transition)
    backward = np.ones_like(model.start)
    weights = np.empty_like(forward)
    weights[:, -1] = forward[:, -1]
    for t in range(windows.shape[1] - 2, -1, -1):
        ahead = likelihoods[:, t + 1] * backward / scales[:, t + 1, None]
        moves += forward[:, t, :, None] * model.transition * ahead[:, None, :]
        backward = (model.transition @ ahead[:, :, None])[:, :, 0]
        weights[:, t] = forward[:, t] * backward
    weights /= weights.sum(axis=2, keepdims=True)
    known: NDArray[np.bool_] = np.isfinite(windows)
    counted = np.where(known[:, :, None], weights, 0.0)
    total = np.maximum(counted.sum(axis=1), 1e-12)
    observed = np.where(known, windows, 0.0)
    mean = np.einsum("wtk,wt->wk", counted, observed) / total
    distance = np.where(known[:, :, None], windows[:, :, None] - mean[:, None, :], 0.0)
    variance = np.einsum("wtk,wtk->wk", counted, distance**2) / total
    states = model.start.shape[1]
    moves += MOVE + (STAY - MOVE) * np.eye(states)
    return Model(
        start=weights[:, 0],
        transition=moves / moves.sum(axis=2, keepdims=True),
        mean=mean,
        variance=np.maximum(variance, _floor(windows)[:, None]),
    )


def _ordered(model: Model) -> Model:
    order = np.argsort(model.variance, axis=1, kind="stable")
    rows = np.arange(len(order))[:, None]
    return Model(
        start=model.start[rows, order],
        transition=model.transition[rows[:, :, None], order[:, :, None], order[:, None, :]],
        mean=model.mean[rows, order],
        variance=model.variance[rows, order],
    )
