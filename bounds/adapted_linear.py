"""The certainty-equivalent plan for two affine chains, and the exact laws of its budget and of its path.

Base X_{k+1} = M_k X_k + b_k + sig_k xi_k, reference X'_{k+1} = A_k X'_k + b'_k + sig_k xi'_k, columns independent. With
Phi_k = A_{N-1}...A_k, Psi_k = M_{N-1}...M_k and V_k = sum_{j>=k} sig_j^2 Phi_{j+1} Phi_{j+1}', the predicted final gap is

    G_k = E[X_N | X_k] - (what the reference maps make of Y_k),      w_k = sig_k^2 Phi_{k+1}' g_k,   g_k = V_k^{-1} G_k.

A shift takes (V_k - V_{k+1}) g_k off the gap, so g is a martingale: g_{k+1} = g_k + J_k xi_k with
J_k = sig_k V_{k+1}^{-1} (Psi_{k+1} - Phi_{k+1}), and B = sum_k g_k' (V_k - V_{k+1}) g_k: the last gap is closed exactly and
every law below follows from these recursions (derived here). Small dimensions: everything is dense.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bounds._gaussian_ratio import GaussianRatio
from bounds.adapted_plans import Step
from bounds.adapted_tail import BudgetLaw

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class AffinePair:
    """maps (N, d, d) and offsets (N, d, C) of both chains, noise_std (N,), start (d, C)."""

    base_maps: Array
    base_offsets: Array
    reference_maps: Array
    reference_offsets: Array
    noise_std: Array
    start: Array

    def exchanged(self) -> AffinePair:
        """The roles exchanged: base X', shifts through the maps of X."""
        return AffinePair(
            self.reference_maps, self.reference_offsets, self.base_maps, self.base_offsets, self.noise_std, self.start
        )

    def base(self, k: int, states: Array) -> Array:
        """phi_k on states (runs, d, C)."""
        return self.base_maps[k] @ states + self.base_offsets[k]

    def reference(self, k: int, states: Array) -> Array:
        """phi'_k on states (runs, d, C)."""
        return self.reference_maps[k] @ states + self.reference_offsets[k]


@dataclass(frozen=True, eq=False)
class LinearQuadratic:
    """The plan for one pair; `shift` makes it a plan of `bounds.adapted_plans`."""

    pair: AffinePair

    @cached_property
    def ahead(self) -> tuple[Array, Array]:
        """Phi_0..Phi_N and Psi_0..Psi_N, each (N+1, d, d)."""
        return _products(self.pair.reference_maps), _products(self.pair.base_maps)

    @cached_property
    def variances(self) -> Array:
        """V_0..V_N, (N+1, d, d)."""
        phi, _ = self.ahead
        total = np.zeros_like(phi)
        for k in range(len(self.pair.noise_std) - 1, -1, -1):
            total[k] = total[k + 1] + self.pair.noise_std[k] ** 2 * phi[k + 1] @ phi[k + 1].T
        return total

    @cached_property
    def targets(self) -> Array:
        """Offset of G_k: G_k = Psi_k X_k - Phi_k Y_k + targets_k, (N+1, d, C)."""
        phi, psi = self.ahead
        total = np.zeros((len(phi), *self.pair.start.shape))
        for k in range(len(phi) - 2, -1, -1):
            total[k] = total[k + 1] + psi[k + 1] @ self.pair.base_offsets[k]
            total[k] -= phi[k + 1] @ self.pair.reference_offsets[k]
        return total

    def predicted(self, k: int, base: Array, follower: Array) -> Array:
        """G_k for states (runs, d, C)."""
        phi, psi = self.ahead
        return psi[k] @ base - phi[k] @ follower + self.targets[k]

    def shift(self, step: Step) -> Array:
        phi, _ = self.ahead
        k = step.number
        gap = self.predicted(k, step.base, step.follower)
        gain: Array = step.noise_std[k] ** 2 * phi[k + 1].T @ np.linalg.pinv(self.variances[k]) @ gap
        return gain

    @cached_property
    def start(self) -> Array:
        """g_0, (d, C)."""
        gap = self.predicted(0, self.pair.start[None], self.pair.start[None])[0]
        return np.linalg.solve(self.variances[0], gap)

    @cached_property
    def innovations(self) -> Array:
        """J_0..J_{N-1}, (N, d, d); zero where the predictions no longer change."""
        phi, psi = self.ahead
        found = np.zeros_like(self.pair.base_maps)
        for k, std in enumerate(self.pair.noise_std):
            change = std * (psi[k + 1] - phi[k + 1])
            if np.any(change):
                found[k] = np.linalg.solve(self.variances[k + 1], change)
        return found

    def log_moment(self, theta: float, tilt: float = 0.0) -> float:
        """log E_X exp(theta B + tilt M), M = sum_k <w_k, xi_k> / sig_k, by one backward recursion; infinite if it is.

        With (theta, tilt) = (z/2, z) this is the cumulant of L. The value before step k is C c_k + sum_c g'P_k g over
        the columns of g_k; taking the mean over xi_k,
            P_k = (theta + tilt^2/2) dV_k + F'P (I - 2 J J'P)^{-1} F,  F = I + tilt J S',  S = sig_k Phi_{k+1},
        and c grows by -log det(I - 2 J'PJ) / 2.
        """
        phi, _ = self.ahead
        d = len(self.pair.start)
        value, constant = np.zeros((d, d)), 0.0
        for k in range(len(self.pair.noise_std) - 1, -1, -1):
            jump, spread = self.innovations[k], self.pair.noise_std[k] * phi[k + 1]
            if np.any(jump):
                inner = np.eye(d) - 2 * jump.T @ value @ jump
                try:
                    root = np.linalg.cholesky(0.5 * (inner + inner.T))
                except np.linalg.LinAlgError:
                    return math.inf
                constant -= float(np.sum(np.log(np.diag(root))))
                side = np.linalg.solve(root, jump.T @ value)
                turn = np.eye(d) + tilt * jump @ spread.T
                value = turn.T @ (value + 2 * side.T @ side) @ turn
            value = value + (theta + 0.5 * tilt**2) * spread @ spread.T
        return float(np.einsum("ic,ij,jc->", self.start, value, self.start)) + self.start.shape[1] * constant

    @cached_property
    def _stacked(self) -> tuple[Array, Array]:
        """R and s: along the path the innovations of the reference chain are (I + R) xi + s; (Nd, Nd), (Nd, C)."""
        phi, _ = self.ahead
        steps, d = len(self.pair.noise_std), len(self.pair.start)
        response, mean = np.zeros((steps * d, steps * d)), np.zeros((steps * d, self.start.shape[1]))
        for k in range(steps):
            spread = (self.pair.noise_std[k] * phi[k + 1]).T
            mean[k * d : (k + 1) * d] = spread @ self.start
            for j in range(k):
                response[k * d : (k + 1) * d, j * d : (j + 1) * d] = spread @ self.innovations[j]
        return response, mean

    def budget_law(self) -> BudgetLaw:
        """The exact law of B under X: a generalised chi-square."""
        response, mean = self._stacked
        values, basis = np.linalg.eigh(response.T @ response)
        pulls = np.linalg.norm(basis.T @ (response.T @ mean), axis=1)
        base = float(np.sum(mean**2))
        return BudgetLaw(np.maximum(values, 0.0), pulls, base, self.start.shape[1])

    def path_ratio(self) -> GaussianRatio:
        """The pair (path of Y, path of X') by its likelihood ratio."""
        response, mean = self._stacked
        values, basis = np.linalg.eigh(response + response.T + response @ response.T)
        shift = np.sum((basis.T @ mean) ** 2, axis=1)
        return GaussianRatio(shift[None], np.maximum(values[None], -1 + 1e-15), np.zeros(1), self.start.shape[1])


@dataclass(frozen=True, eq=False)
class RiskSensitive:
    """The plan that minimises E exp(theta B) instead of E[B], theta > 0 (linear-exponential-quadratic control).

    The inverse of the value's matrix obeys a sum instead of a Riccati equation (derived here): in place of V_k the gain
    has V_k - 2 theta sum_{j>=k} N_j N_j', N_j = sig_j (Psi_{j+1} - Phi_{j+1}) the innovations of the prediction, which
    must be positive definite on what is left to pay. It pays earlier for what may still come.
    """

    plan: LinearQuadratic
    theta: float

    @cached_property
    def inverses(self) -> Array:
        """V_k - 2 theta sum_{j>=k} N_j N_j', k = 0..N."""
        phi, psi = self.plan.ahead
        total, found = np.zeros_like(phi[0]), self.plan.variances.copy()
        for k in range(len(self.plan.pair.noise_std) - 1, -1, -1):
            change = self.plan.pair.noise_std[k] * (psi[k + 1] - phi[k + 1])
            total = total + change @ change.T
            found[k] -= 2 * self.theta * total
            if np.any(total) and np.linalg.eigvalsh(found[k])[0] <= 0:
                raise ValueError(f"theta = {self.theta!r}: must be below the threshold, E exp(theta B) is infinite")
        return found

    def shift(self, step: Step) -> Array:
        phi, _ = self.plan.ahead
        k = step.number
        gap = self.plan.predicted(k, step.base, step.follower)
        gain: Array = step.noise_std[k] ** 2 * phi[k + 1].T @ np.linalg.pinv(self.inverses[k]) @ gap
        return gain


def _products(maps: Array) -> Array:
    """maps_{N-1} ... maps_k for k = 0..N, (N+1, d, d)."""
    found = np.empty((len(maps) + 1, *maps.shape[1:]))
    found[-1] = np.eye(maps.shape[1])
    for k in range(len(maps) - 1, -1, -1):
        found[k] = found[k + 1] @ maps[k]
    return found
