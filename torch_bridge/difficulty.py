"""How hard a training point is, by the scores in use; in all of them a larger number means harder.

Definitions as in the literature they come from, reconstructed: GraNd and EL2N (Paul, Ganguli, Dziugaite 2021), learning
speed in place of the C-proxy (Jiang et al. 2021). Every function works on arrays saved along training; `runs` are models
trained from different seeds on the same points.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from bounds._checks import FloatArray, array


def average_gradient_norm(norms: ArrayLike) -> FloatArray:
    """Mean over runs and steps of |g_t|, shape (points,), of norms (runs, steps, points) or (steps, points)."""
    norms = _norms(norms)
    return np.asarray(norms.mean(axis=(0, 1)))


def gradient_norm_early(norms: ArrayLike, *, step: int) -> FloatArray:
    """GraNd: mean over runs of |g| at one early step, an index into the recorded steps."""
    norms = _norms(norms)
    if not 0 <= step < norms.shape[1]:
        raise ValueError(f"step = {step!r}: must be at least 0 and below {norms.shape[1]}, the recorded steps")
    return np.asarray(norms[:, step].mean(axis=0))


def error_norm(probabilities: ArrayLike, labels: ArrayLike) -> FloatArray:
    """EL2N: mean over runs of |softmax - one-hot|, shape (points,).

    Parameters
    ----------
    probabilities : (runs, points, classes) early in training, each row summing to 1.
    labels : (points,) class numbers from 0.
    """
    probabilities = array("probabilities", probabilities, "[0, 1]", ndim=3)
    if np.abs(probabilities.sum(axis=2) - 1).max() > 1e-4:
        raise ValueError("probabilities: every row must sum to 1")
    points, classes = probabilities.shape[1:]
    onehot = np.eye(classes)[_labels(labels, points, classes)]
    return np.asarray(np.linalg.norm(probabilities - onehot, axis=2).mean(axis=0))


def learning_slowness(correct: ArrayLike) -> FloatArray:
    """C-proxy with its sign turned: 1 - mean over runs and epochs of correctness, or of the probability of the label.

    Parameters
    ----------
    correct : (runs, epochs, points) or (epochs, points), numbers in [0, 1] (or booleans).
    """
    correct = np.asarray(correct)
    values = array("correct", correct.astype(float) if correct.dtype == bool else correct, "[0, 1]")
    values = _norms(values, name="correct")
    return np.asarray(1.0 - values.mean(axis=(0, 1)))


def equal_groups(score: ArrayLike, *, size: int, groups: int, crowding: float = 1.0) -> np.ndarray:
    """Point numbers (groups, size), easiest group first, hardest last: the score sorted, windows spread evenly over it.

    The first window holds the `size` easiest points and the last the `size` hardest, so that groups found by different
    scores are comparable. Equal scores keep the order of the points.

    Parameters
    ----------
    crowding : at least 1; the windows start where 1 - (1 - u)^crowding of the way is covered, u even. 1 spaces them
        evenly, more moves them towards the hard end, where difficulty varies most; there they may overlap.
    """
    score = array("score", score, "[-inf, inf]", ndim=1)
    if not 1 <= size <= len(score):
        raise ValueError(f"size = {size!r}: must be at least 1 and at most {len(score)}, the points")
    if groups < 2:
        raise ValueError(f"groups = {groups!r}: must be at least 2")
    order = np.argsort(score, kind="stable")
    if not crowding >= 1:
        raise ValueError(f"crowding = {crowding!r}: must be at least 1")
    covered = 1 - np.linspace(1, 0, groups) ** crowding
    starts = (covered * (len(score) - size)).round().astype(int)
    return np.stack([order[start : start + size] for start in starts])


def _norms(values: ArrayLike, name: str = "norms") -> FloatArray:
    checked = array(name, values, "[0, inf)")
    if checked.ndim == 2:
        checked = checked[None]
    if checked.ndim != 3 or checked.size == 0:
        raise ValueError(f"{name} has shape {checked.shape}: must be (runs, steps, points), none of them 0")
    return checked


def _labels(labels: ArrayLike, points: int, classes: int) -> np.ndarray:
    values = np.asarray(labels)
    if values.dtype.kind not in "iu" or values.shape != (points,):
        raise ValueError(f"labels has type {values.dtype} and shape {values.shape}: must be ({points},) integers")
    if values.min() < 0 or values.max() >= classes:
        raise ValueError(f"labels: must be from 0 to {classes - 1}")
    return values
