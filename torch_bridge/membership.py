"""Loss-threshold membership inference: is a point's loss low enough to have been trained on?

The threshold is chosen on one half of the runs (models) and used on the other, and the other way round; nothing is
measured on the models it was tuned on. Averages over points hide points that get worse, so every attack is also reported
per point, across runs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from bounds._checks import FloatArray, array


@dataclass(frozen=True, eq=False)
class Attack:
    """balanced_accuracy, auc: over all points and runs; 0.5 is chance. member_rate (points,): share of runs in which
    the attack calls the point of the forget set a member. thresholds: the two in use, one per half of the runs."""

    balanced_accuracy: float
    auc: float
    member_rate: FloatArray
    thresholds: tuple[float, float]


def auc(members: ArrayLike, others: ArrayLike) -> float:
    """Probability that a member's loss is below another point's, ties counted half."""
    members, others = array("members", members, "(-inf, inf]").ravel(), array("others", others, "(-inf, inf]").ravel()
    if not len(members) or not len(others):
        raise ValueError(f"members has {len(members)} losses, others {len(others)}: must have some of both")
    ranks = rankdata(np.concatenate([members, others]))
    rank_sum = ranks[: len(members)].sum() - len(members) * (len(members) + 1) / 2
    return float(1 - rank_sum / (len(members) * len(others)))


def best_threshold(members: ArrayLike, others: ArrayLike) -> float:
    """The loss that separates best: balanced accuracy of "member if loss <= threshold" is largest."""
    members, others = np.sort(np.ravel(members)), np.sort(np.ravel(others))
    candidates = np.unique(np.concatenate([members, others]))
    hits = np.searchsorted(members, candidates, side="right") / len(members)
    false = np.searchsorted(others, candidates, side="right") / len(others)
    best = int(np.argmax(hits - false))
    following = candidates[min(best + 1, len(candidates) - 1)]
    middle = candidates[best] / 2 + following / 2
    return float(middle if candidates[best] <= middle < following else candidates[best])


def loss_threshold(members: ArrayLike, others: ArrayLike) -> Attack:
    """The attack on losses (runs, points) of members (or of a forget set that was a member) and (runs, others) held out.

    At least 2 runs. With one set of 0 points there is nothing to attack.
    """
    members, others = array("members", members, "[0, inf]", ndim=2), array("others", others, "[0, inf]", ndim=2)
    if len(members) != len(others) or len(members) < 2:
        raise ValueError(f"members has {len(members)} runs, others {len(others)}: must be equal, at least 2")
    halves = np.arange(len(members)) % 2
    called, false, thresholds = np.empty(members.shape, bool), np.empty(others.shape, bool), []
    for half in (0, 1):
        chosen, used = halves != half, halves == half
        thresholds.append(best_threshold(members[chosen], others[chosen]))
        called[used], false[used] = members[used] <= thresholds[-1], others[used] <= thresholds[-1]
    # AUC within each model: losses of different models are not on one scale.
    areas = [auc(own, rest) for own, rest in zip(members, others, strict=True)]
    return Attack(
        balanced_accuracy=float((called.mean() + 1 - false.mean()) / 2),
        auc=float(np.mean(areas)),
        member_rate=called.mean(axis=0),
        thresholds=(thresholds[0], thresholds[1]),
    )


def per_point_auc(unlearned: ArrayLike, retrained: ArrayLike) -> FloatArray:
    """For each point (points,): AUC of its losses in unlearned models (runs, points) against retrained ones (runs', points).

    0.5: its loss does not tell whether the model once knew it. Above: the loss is too low still; below: too high.
    """
    unlearned, retrained = (
        array("unlearned", unlearned, "[0, inf]", ndim=2),
        array("retrained", retrained, "[0, inf]", ndim=2),
    )
    if unlearned.shape[1] != retrained.shape[1]:
        raise ValueError(f"retrained has {retrained.shape[1]} points: must have {unlearned.shape[1]}, as unlearned")
    return np.array([auc(u, r) for u, r in zip(unlearned.T, retrained.T, strict=True)])
