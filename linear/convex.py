"""Convex models under Langevin dynamics, many runs side by side: logistic (two classes or more) and Huber regression.

F(W) = sum_j loss(x_j'W, y_j) + (penalty / 2) |W|^2, a sum and not a mean, as for ridge. No law is known exactly here; the
steps are the real ones, and in one or two dimensions quadrature says the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

from linear import _checks
from linear.schedule import Schedule

Array = NDArray[np.float64]
Kind = Literal["logistic", "softmax", "huber"]
_EPSILON = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, eq=False)
class ConvexProblem:
    """Rows and a loss per row.

    features : (n, p). targets : (n, C): +1 or -1 (C = 1) for "logistic", one-hot for "softmax", numbers for "huber"
    (all columns of a row as one vector residual). penalty : positive. kind : the loss. width : of the quadratic part of
    the Huber loss, unused by the others.
    """

    features: Array = field(repr=False)
    targets: Array = field(repr=False)
    penalty: float
    kind: Kind = "logistic"
    width: float = 1.0

    def __post_init__(self) -> None:
        x = _checks.real_array("features", self.features, dimensions=(2,))
        y = _checks.real_array("targets", self.targets, dimensions=(2,))
        _checks.one_of("kind", self.kind, ("logistic", "softmax", "huber"))
        if len(x) != len(y):
            raise ValueError(f"targets has {len(y)} rows: must have one per row of features, {len(x)}")
        if self.kind == "logistic" and (y.shape[1] != 1 or not np.all(np.abs(y) == 1)):
            raise ValueError("targets: must be one column of +1 and -1 for kind = 'logistic'")
        if self.kind == "softmax" and not (np.all((y == 0) | (y == 1)) and np.all(y.sum(1) == 1)):
            raise ValueError("targets: must be one-hot for kind = 'softmax'")
        object.__setattr__(self, "features", x)
        object.__setattr__(self, "targets", y)
        object.__setattr__(self, "penalty", _checks.positive("penalty", self.penalty))
        object.__setattr__(self, "width", _checks.positive("width", self.width))

    @property
    def shape(self) -> tuple[int, int]:
        """Of the parameters, (p, C)."""
        return self.features.shape[1], self.targets.shape[1]

    @property
    def bend(self) -> float:
        """Largest second derivative of the loss in x'W: 1/4 for two classes, 1/2 for more, 1 for Huber."""
        return {"logistic": 0.25, "softmax": 0.5, "huber": 1.0}[self.kind]

    @cached_property
    def smoothness(self) -> float:
        """Lipschitz constant of the gradient, not below the true one."""
        gram = self.features.T @ self.features
        return float(self.bend * np.linalg.eigvalsh(gram)[-1] * (1 + 1e-10) + self.penalty)

    @property
    def row_gradient(self) -> Array:
        """Largest norm of each row's gradient over all W, (n,): |x| times 1, sqrt(2) or the width."""
        most = {"logistic": 1.0, "softmax": np.sqrt(2.0), "huber": self.width}[self.kind]
        bound: Array = most * np.linalg.norm(self.features, axis=1) * (1 + 4 * _EPSILON)
        return bound

    def pull(self, outputs: Array, targets: Array) -> Array:
        """Derivative of the loss in the outputs x'W, both (..., C)."""
        if self.kind == "logistic":
            return -targets * expit(-targets * outputs)
        if self.kind == "softmax":
            found: Array = softmax(outputs, axis=-1) - targets
            return found
        residual = outputs - targets
        size = np.linalg.norm(residual, axis=-1, keepdims=True)
        return residual * np.minimum(1.0, self.width / np.maximum(size, 1e-300))

    def gradient(self, weights: Array) -> Array:
        """Of F at weights (runs, p, C)."""
        runs, (p, outputs) = len(weights), self.shape
        beside = weights.transpose(1, 0, 2).reshape(p, runs * outputs)
        pulls = self.pull((self.features @ beside).reshape(-1, runs, outputs), self.targets[:, None, :])
        summed = self.features.T @ pulls.reshape(-1, runs * outputs)
        total: Array = summed.reshape(p, runs, outputs).transpose(1, 0, 2) + self.penalty * weights
        return total

    def row_pull(self, index: int, weights: Array) -> Array:
        """Gradient of one row's loss at weights (runs, p, C)."""
        x = self.features[index]
        pulls = self.pull(np.einsum("p,rpc->rc", x, weights), self.targets[index])
        found: Array = x[None, :, None] * pulls[:, None, :]
        return found

    def without(self, index: int) -> ConvexProblem:
        """The same problem with row `index` removed."""
        index = _checks.position("index", index, len(self.features))
        return ConvexProblem(
            np.delete(self.features, index, axis=0),
            np.delete(self.targets, index, axis=0),
            self.penalty,
            self.kind,
            self.width,
        )

    def hessian(self, weights: Array) -> Array:
        """Of F at weights (p, C), as a matrix (pC, pC)."""
        p, outputs = self.shape
        values = self.features @ weights
        if self.kind == "logistic":
            share = expit(values)
            blocks = (share * (1 - share))[:, :, None]
        elif self.kind == "softmax":
            share = softmax(values, axis=1)
            blocks = share[:, :, None] * np.eye(outputs) - share[:, :, None] * share[:, None, :]
        else:
            residual = values - self.targets
            size = np.linalg.norm(residual, axis=1)
            unit = residual / np.maximum(size, 1e-300)[:, None]
            beyond = size > self.width
            shrink = np.where(beyond, self.width / np.maximum(size, 1e-300), 1.0)
            blocks = shrink[:, None, None] * (
                np.eye(outputs) - beyond[:, None, None] * unit[:, :, None] * unit[:, None, :]
            )
        total = np.zeros((p, outputs, p, outputs))
        for c in range(outputs):
            for e in range(outputs):
                total[:, c, :, e] = (self.features * blocks[:, c, e, None]).T @ self.features
        matrix: Array = total.reshape(p * outputs, p * outputs)
        matrix[np.diag_indices_from(matrix)] += self.penalty
        return 0.5 * (matrix + matrix.T)


def deletion_maps(
    problem: ConvexProblem, schedule: Schedule, index: int
) -> tuple[Callable[[int, Array], Array], Callable[[int, Array], Array]]:
    """(phi_k, phi'_k) on states (runs, p, C): steps on all rows while learning and without row `index` after; without.

    No noise is added; `schedule.noise_std` says how much belongs to every step.
    """
    index = _checks.position("index", index, len(problem.features))
    rest, eta = problem.without(index), schedule.step_size

    def less(k: int, states: Array) -> Array:
        return states - eta * rest.gradient(states)

    def full(k: int, states: Array) -> Array:
        if k >= schedule.learn_steps:
            return less(k, states)
        return states - eta * problem.gradient(states)

    return full, less


def simulate_convex(
    problem: ConvexProblem, schedule: Schedule, index: int, runs: int, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Independent samples of the unlearned and of the reference parameters, each (runs, p, C), from zero."""
    found = []
    for step in deletion_maps(problem, schedule, index):
        states = np.zeros((runs, *problem.shape))
        for k, std in enumerate(schedule.noise_std):
            states = step(k, states) + std * rng.standard_normal(states.shape)
        found.append(states)
    return found[0], found[1]
