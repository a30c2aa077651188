"""Loss barriers on the straight line between two models, in the two readings in use.

The line is w = share * w_1 + (1 - share) * w_2; by convention w_1 is the model that has learned (or unlearned) the
forget set and w_2 the one retrained without it. The readings differ whenever the two ends do not have the same loss.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from bounds._checks import FloatArray, array

LEAST_POINTS = 21


@dataclass(frozen=True, eq=False)
class Barrier:
    """above_chord (B1): max over the line of L(w) - [share L(w_1) + (1 - share) L(w_2)], never below 0.

    change (B2): max of |L(w) - L(w_1)|, the largest change of the loss on the way from w_1. Shapes as the losses
    without their first axis.
    """

    above_chord: FloatArray
    change: FloatArray


def shares(points: int = LEAST_POINTS) -> FloatArray:
    """The grid of the line, from w_2 (0) to w_1 (1)."""
    if points < LEAST_POINTS:
        raise ValueError(f"points = {points!r}: must be at least {LEAST_POINTS}")
    return np.linspace(0.0, 1.0, points)


def barrier(losses: ArrayLike) -> Barrier:
    """Both barriers of losses (points, ...) on the even grid of `shares`."""
    losses = array("losses", losses, "(-inf, inf)")
    if losses.ndim == 0 or len(losses) < LEAST_POINTS:
        raise ValueError(f"losses has shape {losses.shape}: the first axis must hold at least {LEAST_POINTS} points")
    share = shares(len(losses)).reshape(-1, *[1] * (losses.ndim - 1))
    chord = share * losses[-1] + (1 - share) * losses[0]
    # The ends are on the chord, whatever the rounding.
    return Barrier(np.maximum((losses - chord).max(axis=0), 0.0), np.abs(losses - losses[-1]).max(axis=0))


def line_losses(loss: Callable[[Any], ArrayLike], first: Any, second: Any, *, points: int = LEAST_POINTS) -> FloatArray:
    """Losses (points, ...) along the line from `second` to `first`.

    Parameters
    ----------
    loss : of parameters of the kind of `first` (numpy arrays or tensors); any shape, e.g. (sets,) or (runs, sets).
        A model with normalisation statistics must have them estimated anew inside.
    """
    return np.stack([np.asarray(loss(share * first + (1 - share) * second), dtype=float) for share in shares(points)])
