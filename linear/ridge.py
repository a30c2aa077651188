"""The ridge problem: data, penalty, spectrum, leave-one-out solutions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from linear import _checks

Array = NDArray[np.float64]
_EPSILON = float(np.finfo(np.float64).eps)

# Sherman-Morrison divides two roundings of order eps by 1 - leverage; below this it is worth a solve of its own.
_LEVERAGE_LEFT = 1e-4

_ROOTS_AT_ONCE = 64  # points whose smallest eigenvalue is sought together, so that the temporaries stay in cache


@dataclass(frozen=True, init=False, eq=False, repr=False)
class RidgeProblem:
    """Least squares with a quadratic penalty: F(W) = |XW - Y|^2 / 2 + (ridge / 2) |W|^2, a sum and not a mean.

    Parameters
    ----------
    features : (n, p), the rows X_i; n = 0 is allowed (everything deleted).
    targets : (n,) or (n, C); stored as (n, C).
    ridge : the penalty, positive, not divided by n.
    initial : (p, C), or (p,) when C = 1: where the chains start. Zero by default.

    All arrays are kept as read-only float64 copies. `eigenvalues` (ascending, none below `ridge`) and `eigenvectors`
    (columns) are those of the Hessian X'X + ridge I.
    """

    features: Array
    targets: Array
    ridge: float
    initial: Array

    def __init__(
        self, features: ArrayLike, targets: ArrayLike, *, ridge: float, initial: ArrayLike | None = None
    ) -> None:
        x = _checks.real_array("features", features, dimensions=(2,))
        y = _checks.real_array("targets", targets, dimensions=(1, 2))
        if y.ndim == 1:
            y = y[:, None]
        if x.shape[1] == 0 or y.shape[1] == 0:
            raise ValueError(f"features {x.shape}, targets {y.shape}: need at least one column each")
        if len(x) != len(y):
            raise ValueError(f"targets has {len(y)} rows: must have one per row of features, {len(x)}")
        shape = (x.shape[1], y.shape[1])
        if initial is None:
            start = _checks.frozen(np.zeros(shape))
        else:
            start = _checks.real_array("initial", initial, dimensions=(1, 2))
            if start.ndim == 1 and shape[1] == 1:
                start = start[:, None]
            if start.shape != shape:
                raise ValueError(f"initial has shape {start.shape}: must be (features, outputs) = {shape}")
        for name, value in (("features", x), ("targets", y), ("initial", start)):
            object.__setattr__(self, name, value)
        object.__setattr__(self, "ridge", _checks.positive("ridge", ridge))

    def __repr__(self) -> str:
        return (
            f"RidgeProblem(n_points={self.n_points}, n_features={self.n_features}, "
            f"n_outputs={self.n_outputs}, ridge={self.ridge!r})"
        )

    @property
    def n_points(self) -> int:
        return self.features.shape[0]

    @property
    def n_features(self) -> int:
        return self.features.shape[1]

    @property
    def n_outputs(self) -> int:
        return self.targets.shape[1]

    @cached_property
    def hessian(self) -> Array:
        """X'X + ridge I, (p, p)."""
        gram = self.features.T @ self.features
        gram[np.diag_indices_from(gram)] += self.ridge
        return _checks.frozen(gram)

    @cached_property
    def cross(self) -> Array:
        """X'Y, (p, C)."""
        return _checks.frozen(self.features.T @ self.targets)

    @cached_property
    def _spectrum(self) -> tuple[Array, Array]:
        values, vectors = np.linalg.eigh(self.hessian)
        # X'X is positive semidefinite and of rank at most n: what lies below `ridge`, or off it there, is rounding.
        values[: max(0, self.n_features - self.n_points)] = self.ridge
        return _checks.frozen(np.maximum(values, self.ridge)), _checks.frozen(vectors)

    @property
    def eigenvalues(self) -> Array:
        """Of the Hessian, ascending, (p,)."""
        return self._spectrum[0]

    @property
    def eigenvectors(self) -> Array:
        """Of the Hessian, in columns, (p, p)."""
        return self._spectrum[1]

    @property
    def smoothness(self) -> float:
        """Largest eigenvalue of the Hessian: the Lipschitz constant of the gradient."""
        return float(self.eigenvalues[-1])

    @cached_property
    def minimiser(self) -> Array:
        """The W with gradient zero, (p, C)."""
        solution = self._solve(self.cross)
        # Rounding of X'Y is amplified by the condition of H. One step of refinement, with the gradient taken from the
        # residuals, leaves only what rounding of the residuals does.
        gradient = self.features.T @ (self.features @ solution - self.targets) + self.ridge * solution
        return _checks.frozen(solution - self._solve(gradient))

    def _solve(self, right: Array) -> Array:
        return self.eigenvectors @ ((self.eigenvectors.T @ right) / self.eigenvalues[:, None])

    def leverage(self, indices: Sequence[int] | NDArray[np.integer] | None = None) -> Array:
        """x_i' H^{-1} x_i in [0, 1), (m,), for the given points (default: all)."""
        chosen = _checks.positions("indices", indices, self.n_points)
        return ((self.features[chosen] @ self.eigenvectors) ** 2) @ (1.0 / self.eigenvalues)

    def without(self, index: int) -> RidgeProblem:
        """The same problem with row `index` removed."""
        return self.without_rows([_checks.position("index", index, self.n_points)])

    def without_rows(self, indices: Sequence[int] | NDArray[np.integer]) -> RidgeProblem:
        """The same problem with several rows removed."""
        chosen = _checks.positions("indices", indices, self.n_points)
        return RidgeProblem(
            np.delete(self.features, chosen, axis=0),
            np.delete(self.targets, chosen, axis=0),
            ridge=self.ridge,
            initial=self.initial,
        )

    def leave_one_out_minimiser(self, index: int) -> Array:
        """The minimiser without row i: W + H^{-1} x_i (x_i'W - y_i') / (1 - leverage_i), (p, C).

        Sherman-Morrison (Benarroch, Atif, Cappe 2026, Remark 4.5). Where the leverage is so close to 1 that the
        quotient would lose more than four digits, the smaller problem is solved instead.
        """
        index = _checks.position("index", index, self.n_points)
        x = self.features[index]
        left = 1.0 - float(self.leverage([index])[0])
        if left < _LEVERAGE_LEFT:
            return self.without(index).minimiser
        residual = x @ self.minimiser - self.targets[index]
        return self.minimiser + self._solve(x[:, None]) * (residual / left)

    def contraction_factor(self, step_size: float, index: int | None = None) -> float:
        """A Lipschitz factor of one gradient step W -> W - step_size * gradient, never below the true one.

        With `index`, the largest |1 - step_size * eigenvalue| over the spectra of the Hessian *and* of the Hessian
        without that row, so that the one factor serves the step on all the data and the reference step: with
        H - xx' <= H, these spectra lie between the smallest eigenvalue of H - xx' and the largest of H. Above 1 where
        the step is too long. The eigenvalues are widened by `eigenvalue_error` but never below `ridge`.
        """
        if index is not None:
            index = _checks.position("index", index, self.n_points)
            return float(self.contraction_factors(step_size, [index])[0])
        return float(self._contraction(step_size, self.eigenvalues[0]))

    def contraction_factors(
        self, step_size: float, indices: Sequence[int] | NDArray[np.integer] | None = None
    ) -> Array:
        """`contraction_factor` with each of the given points (default: all) as `index`, (m,)."""
        chosen = _checks.positions("indices", indices, self.n_points)
        return self._contraction(step_size, self._smallest_eigenvalues_without(chosen))

    def _contraction(self, step_size: float, smallest: ArrayLike) -> Array:
        step_size = _checks.positive("step_size", step_size)
        smallest = np.maximum(np.asarray(smallest) - self.eigenvalue_error, self.ridge)
        largest = self.smoothness + self.eigenvalue_error
        rounding = _EPSILON * max(1.0, step_size * largest)
        return np.maximum(np.abs(1.0 - step_size * smallest), abs(1.0 - step_size * largest)) + rounding

    @cached_property
    def eigenvalue_error(self) -> float:
        """A bound on |computed - true| for every eigenvalue of the Hessian, with or without one row.

        By Weyl's inequality it is the norm of the backward error. Forming X'X costs at most n eps |X|_F^2 (each
        entry is an inner product of length n), the orthogonal eigensolver and the rank-one update a modest multiple
        of p eps |H|; 16 is that multiple, far above what LAPACK shows.
        """
        scale = float(np.vdot(self.features, self.features)) + self.ridge
        return (self.n_points + 16 * self.n_features) * _EPSILON * scale

    def _smallest_eigenvalues_without(self, chosen: NDArray[np.intp]) -> Array:
        """Smallest eigenvalue of H - xx': the root below lambda_1 of 1 = sum_j u_j^2 / (lambda_j - z), or lambda_1."""
        low = np.full(len(chosen), self.ridge)
        high = np.full(len(chosen), float(self.eigenvalues[0]))
        for start in range(0, len(chosen), _ROOTS_AT_ONCE):
            part = slice(start, start + _ROOTS_AT_ONCE)
            weights = (self.features[chosen[part]] @ self.eigenvectors) ** 2
            # The right side increases in z, so the root lies above z as long as it is at most 1; keep the lower end.
            while True:
                middle = 0.5 * (low[part] + high[part])
                inside = (low[part] < middle) & (middle < high[part])
                if not inside.any():
                    break
                with np.errstate(divide="ignore", invalid="ignore"):  # only where the interval is closed already
                    above = np.sum(weights / (self.eigenvalues - middle[:, None]), axis=1) <= 1.0
                low[part] = np.where(inside & above, middle, low[part])
                high[part] = np.where(inside & ~above, middle, high[part])
        return low
