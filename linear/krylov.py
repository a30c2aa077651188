"""Every training point in the few coordinates that its deletion can reach.

With H the Hessian and x a row, H and H_ = H - x x' differ only on span{x, Hx, H^2 x, ...}: both map it to itself and
agree across it. So all that a deletion changes, functions of H and of H_ applied to x or subtracted from each other,
lives there, and its first k vectors are nearly all of it. In the orthonormal basis Q that Lanczos builds from x, with
T = Q'HQ tridiagonal, H becomes T, the row |x| e_1 and H_ becomes T - |x|^2 e_1 e_1' (Golub and Meurant 2010,
"Matrices, Moments and Quadrature", chapter 4). Points are worked on in blocks, in the eigenbasis of H.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from linear import _checks
from linear.ridge import RidgeProblem

Array = NDArray[np.float64]
Indices = Sequence[int] | NDArray[np.integer] | None
_EPSILON = float(np.finfo(np.float64).eps)
_BLOCK_BYTES = 1 << 23  # of Lanczos vectors at once: they stay in the cache


@dataclass(frozen=True, eq=False)
class KrylovCoordinates:
    """m points, each in k coordinates of its own; along one point's axes H_ is diagonal, along others H is.

    indices : (m,), the points.
    curvature : (m, k), eigenvalues of H on the space, ascending, none below the penalty.
    reference_curvature : (m, k), the same of H_ = H - x x'.
    row : (m, k), x along the eigenvectors of H_; its squares sum to |x|^2.
    overlap : (m, k, k), reference eigenvectors' @ eigenvectors of H. H_ = overlap diag(curvature) overlap' - row row'.
    leak : (m, k), what H_ v has outside the space for each reference eigenvector v: all along one unit vector, signed.

    A row whose space has fewer than k dimensions is padded with directions at the penalty that x has no part in.
    """

    indices: NDArray[np.intp]
    curvature: Array
    reference_curvature: Array
    row: Array
    overlap: Array
    leak: Array

    def rows(self, part: slice | NDArray[np.bool_] | NDArray[np.intp]) -> KrylovCoordinates:
        """The same of some of the points."""
        return KrylovCoordinates(**{name: values[part] for name, values in vars(self).items()})

    @property
    def rank(self) -> int:
        return self.row.shape[1]

    def missed(self, step_size: float, steps: int) -> Array:
        """A bound on |A^n x - Q A_k^n Q'x| / |x| over n <= steps, (m,); A = I - step_size H_, A_k = Q'AQ.

        The error after n steps is the sum over j < n of A^{n-1-j} times the leak of A_k^j Q'x (derived here), and no
        power of A lengthens a vector while step_size * smoothness <= 2. Zero where x is.
        """
        factor = 1.0 - step_size * self.reference_curvature
        state, total = self.row.copy(), np.zeros(len(self.row))
        for _ in range(steps):
            total += np.abs(np.einsum("mk,mk->m", self.leak, state))
            state *= factor
        norm = np.linalg.norm(self.row, axis=1)
        return step_size * total / np.where(norm > 0.0, norm, 1.0)


def krylov_coordinates(problem: RidgeProblem, indices: Indices = None, *, rank: int = 24) -> KrylovCoordinates:
    """The coordinates of the given points (default: all) in spaces of `rank` dimensions, at most n_features.

    O(rank^2 p) operations a point, after one eigendecomposition of the Hessian. With rank = n_features nothing is
    missed but rounding, about eps * smoothness in every curvature.
    """
    chosen = _checks.positions("indices", indices, problem.n_points)
    return coordinates(problem.ridge, chosen, *tridiagonal(problem, chosen, rank))


def tridiagonal(problem: RidgeProblem, chosen: NDArray[np.intp], rank: int) -> tuple[Array, Array, Array]:
    """|x| (m,), diagonal (m, k) and off-diagonal (m, k) of Q'HQ; the last off-diagonal leads out of the space.

    The leading part of the answer is the answer for a smaller rank.
    """
    rank = min(_checks.integer("rank", rank, minimum=1), problem.n_features)
    norm = np.empty(len(chosen))
    diagonal, off = np.empty((len(chosen), rank)), np.empty((len(chosen), rank))
    size = max(1, _BLOCK_BYTES // (8 * rank * problem.n_features))
    for begin in range(0, len(chosen), size):
        part = slice(begin, begin + size)
        rotated = problem.features[chosen[part]] @ problem.eigenvectors
        norm[part], diagonal[part], off[part] = _lanczos(problem.eigenvalues, rotated, rank)
    return norm, diagonal, off


def coordinates(ridge: float, indices: NDArray[np.intp], norm: Array, diagonal: Array, off: Array) -> KrylovCoordinates:
    """The two eigenbases of a space, from its tridiagonal matrix."""
    count, rank = diagonal.shape
    full = np.zeros((count, rank, rank))
    step = np.arange(rank)
    full[:, step, step] = diagonal
    full[:, step[1:], step[:-1]] = full[:, step[:-1], step[1:]] = off[:, :-1]
    curvature, basis = np.linalg.eigh(full)
    full[:, 0, 0] -= norm * norm
    reference_curvature, reference_basis = np.linalg.eigh(full)
    return KrylovCoordinates(
        indices=indices,
        # No eigenvalue lies below the penalty; rounding may say otherwise.
        curvature=np.maximum(curvature, ridge),
        reference_curvature=np.maximum(reference_curvature, ridge),
        row=norm[:, None] * reference_basis[:, 0],
        overlap=np.swapaxes(reference_basis, 1, 2) @ basis,
        leak=off[:, -1, None] * reference_basis[:, -1],
    )


def _lanczos(eigenvalues: Array, rows: Array, rank: int) -> tuple[Array, Array, Array]:
    """Of a block of rows, in the eigenbasis. Every vector is orthogonalised against all before it.

    Where a space is exhausted everything from there on is zero: what is left then is rounding, at most `rounding`, and
    a vector that is longer keeps its angle to those before it.
    """
    count, width = rows.shape
    norm = np.linalg.norm(rows, axis=1)
    diagonal, off = np.zeros((count, rank)), np.zeros((count, rank))
    basis = np.zeros((count, rank, width))
    basis[:, 0] = rows / np.where(norm > 0.0, norm, 1.0)[:, None]
    alive = norm > 0.0
    rounding = 4.0 * _EPSILON * np.sqrt(width) * eigenvalues[-1]
    for k in range(rank):
        vector = basis[:, k] * eigenvalues
        diagonal[:, k] = np.einsum("ij,ij->i", basis[:, k], vector)
        vector -= diagonal[:, k, None] * basis[:, k]
        if k > 0:
            vector -= off[:, k - 1, None] * basis[:, k - 1]
        found = basis[:, : k + 1]
        vector -= np.matmul(np.matmul(vector[:, None, :], found.transpose(0, 2, 1)), found)[:, 0]
        length = np.linalg.norm(vector, axis=1)
        alive &= length > rounding
        off[alive, k] = length[alive]
        if k + 1 < rank:
            np.multiply(np.where(alive, 1.0 / np.where(alive, length, 1.0), 0.0)[:, None], vector, out=basis[:, k + 1])
    return norm, diagonal, off
