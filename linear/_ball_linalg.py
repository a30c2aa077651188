"""Ball arithmetic on pairs of Gaussians: from means and covariances to independent coordinates, with proof.

Everything that is not a ball here (float eigenvectors, midpoint Cholesky factors, Jacobi rotations) only *proposes* a
change of basis W. What W is worth is then measured in balls, so a poor proposal costs accuracy, never truth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from flint import arb, arb_mat, ctx
from numpy.typing import ArrayLike

from linear import _checks

LARGEST_DIMENSION = 64


@dataclass(frozen=True)
class DiagonalPair:
    """Pairs P = N(m, diag(1 + excess)), Q = N(0, I), with the same covariances in every one of `columns` columns.

    The balls `excess` and `gap` (squares of m, summed over columns) hold the parameters of two pairs of this form
    that bracket the pair asked for: for some A with +-log A in the ball `slack`,

        A^-1 H_{t A^2}(P_1 || Q_1) <= H_t(asked) <= A H_{t A^-2}(P_2 || Q_2).

    A ball that holds log H of every pair in the balls, at every log t within 2 `slack`, holds log H_t(asked) once
    widened by `slack`.
    """

    excess: list[arb]
    gap: list[arb]
    columns: int
    slack: arb


def as_balls(value: ArrayLike | arb_mat, name: str) -> arb_mat:
    """``value`` (an array of floats, or a matrix or nested list of balls) as an ``arb_mat``; floats are exact."""
    if isinstance(value, arb_mat):
        matrix = value
    else:
        array = np.asarray(value)
        if array.dtype == object and array.ndim in (1, 2) and all(isinstance(x, arb) for x in array.flat):
            entries = list(array.flat)
        else:
            array = _checks.real_array(name, value, dimensions=(1, 2))
            entries = [arb(x) for x in array.ravel().tolist()]
        matrix = arb_mat(array.shape[0], array.shape[1] if array.ndim == 2 else 1, entries)
    if not all(entry.is_finite() for entry in matrix.entries()):
        raise ValueError(f"{name}: every entry must be finite")
    return matrix


def checked_covariance(value: ArrayLike | arb_mat, name: str, dimension: int) -> arb_mat:
    """``value`` as a symmetric ``arb_mat`` of the given dimension."""
    matrix = as_balls(value, name)
    if (matrix.nrows(), matrix.ncols()) != (dimension, dimension):
        raise ValueError(
            f"{name} has shape {(matrix.nrows(), matrix.ncols())}: must be {(dimension, dimension)}, like the means"
        )
    for i in range(dimension):
        for j in range(i):
            if not matrix[i, j].overlaps(matrix[j, i]):
                raise ValueError(
                    f"{name}[{i}, {j}] = {matrix[i, j]} and {name}[{j}, {i}] = {matrix[j, i]}: must be symmetric"
                )
    return matrix


def squared_norms(matrix: arb_mat) -> list[arb]:
    """The squared Euclidean norm of every row, in balls."""
    return [sum((entry * entry for entry in row), arb(0)) for row in matrix.tolist()]


def diagonalise(mean_gap: arb_mat, cov_p: arb_mat, cov_q: arb_mat) -> DiagonalPair:
    """Bracket the pair N(mean_gap, cov_p), N(0, cov_q) between pairs with diagonal covariances.

    With W' cov_q W = I + E and W' cov_p W = D + F, |E| <= rho and |D^-1/2 F D^-1/2| <= rho in Frobenius norm, the
    matrices lie between (1 - rho) and (1 + rho) times I and D. A Gaussian density with covariance S between
    (1 - rho) R and (1 + rho) R is at most A times the density of covariance (1 + rho) R and at least 1/A times that
    of (1 - rho) R, A = ((1 + rho) / (1 - rho))^(d C / 2), so that

        (p - t q)_+ <= A (p_(1 + rho) - t A^-2 q_(1 - rho))_+ ,   >= A^-1 (p_(1 - rho) - t A^2 q_(1 + rho))_+ .

    Nothing is asked of the eigenvalues: equal and clustered ones are as good as any.

    Raises
    ------
    FloatingPointError
        If a covariance is not certified positive definite at the current precision.
    """
    dimension, columns = mean_gap.nrows(), mean_gap.ncols()
    basis = _proposed_basis(cov_p, cov_q)
    transposed = basis.transpose()
    gram_q = transposed * cov_q * basis
    difference = transposed * (cov_p - cov_q) * basis
    excess = [difference[j, j].mid() for j in range(dimension)]
    ratio = [1 + x for x in excess]
    if not all(g > 0 for g in ratio):
        raise FloatingPointError("a covariance is not certified positive definite: it is singular, or nearly so")
    error_q, error_p = arb(0), arb(0)
    for i in range(dimension):
        for j in range(dimension):
            in_q = gram_q[i, j] - (1 if i == j else 0)
            in_p = in_q + difference[i, j] - (excess[i] if i == j else 0)
            error_q += in_q * in_q
            error_p += in_p * in_p / (ratio[i] * ratio[j])
    rho = error_q.max(error_p).abs_upper().sqrt().upper()
    if not rho < 0.25:
        raise FloatingPointError(
            "no basis makes both covariances diagonal to within their balls: singular, nearly so, or balls too wide"
        )
    around_one = 1 + arb(0, rho)
    change = around_one / around_one - 1
    slack = arb(0, (((1 + rho) / (1 - rho)).log() * dimension * columns / 2).abs_upper())
    return DiagonalPair(
        excess=[x + g * change for x, g in zip(excess, ratio, strict=True)],
        gap=[n / around_one for n in squared_norms(transposed * mean_gap)],
        columns=columns,
        slack=slack,
    )


def _proposed_basis(cov_p: arb_mat, cov_q: arb_mat) -> arb_mat:
    """An exact matrix W with W' cov_q W close to I and W' cov_p W close to diagonal."""
    inverse = _cholesky(cov_q).inv().mid()
    whitened = (inverse * (cov_p - cov_q) * inverse.transpose()).mid()
    return (inverse.transpose() * _eigenvectors(whitened)).mid()


def _cholesky(matrix: arb_mat) -> arb_mat:
    """Lower Cholesky factor of the midpoints."""
    size = matrix.nrows()
    rows: list[list[arb]] = []
    for i in range(size):
        row: list[arb] = []
        for j in range(i):
            inner = sum((row[k] * rows[j][k] for k in range(j)), arb(0))
            row.append(((matrix[i, j].mid() - inner) / rows[j][j]).mid())
        pivot = (matrix[i, i].mid() - sum((x * x for x in row), arb(0))).mid()
        if not pivot > 0:
            raise FloatingPointError("a covariance is not certified positive definite: it is singular, or nearly so")
        row.append(pivot.sqrt().mid())
        rows.append(row)
    return arb_mat([row + [arb(0)] * (size - len(row)) for row in rows])


def _eigenvectors(matrix: arb_mat) -> arb_mat:
    """Orthogonal V with V' matrix V nearly diagonal: float eigenvectors, then Jacobi rotations at full precision."""
    size = matrix.nrows()
    scale = max((abs(x) for x in matrix.entries()), default=arb(0))
    if scale == 0:
        return arb_mat(size, size, [int(i == j) for i in range(size) for j in range(size)])
    scaled = np.array([float(x / scale) for x in matrix.entries()]).reshape(size, size)
    vectors = arb_mat(np.linalg.eigh((scaled + scaled.T) / 2)[1].tolist())
    bits = 40
    while bits < ctx.prec:  # Newton-Schulz: orthogonal to 2^-k becomes orthogonal to 2^-2k
        gram = vectors.transpose() * vectors
        vectors = (vectors * (3 * _identity(size) - gram) / 2).mid()
        bits *= 2
    rotated = np.array((vectors.transpose() * matrix * vectors / scale).mid().tolist(), dtype=object)
    turned = np.array(vectors.transpose().tolist(), dtype=object)
    negligible = arb(2) ** (24 - ctx.prec)
    for _ in range(30):
        busy = False
        for p in range(size - 1):
            for q in range(p + 1, size):
                off = rotated[p, q]
                if not abs(off) > negligible:
                    continue
                busy = True
                cosine, sine = _rotation(rotated[p, p], rotated[q, q], off)
                for array in (rotated, rotated.T, turned):
                    first, second = array[p].copy(), array[q].copy()
                    array[p] = cosine * first - sine * second
                    array[q] = sine * first + cosine * second
        if not busy:
            break
        rotated = np.array(arb_mat(rotated.tolist()).mid().tolist(), dtype=object)
    return arb_mat(turned.T.tolist()).mid()


def _rotation(first: arb, second: arb, off: arb) -> tuple[arb, arb]:
    """Cosine and sine of the rotation that annihilates the entry ``off`` between two diagonal entries."""
    slope = ((second - first) / (2 * off)).mid()
    tangent = (1 / (abs(slope) + (slope * slope + 1).sqrt())).mid()
    if slope < 0:
        tangent = -tangent
    cosine = (tangent * tangent + 1).rsqrt().mid()
    return cosine, (tangent * cosine).mid()


def _identity(size: int) -> arb_mat:
    return arb_mat(size, size, [int(i == j) for i in range(size) for j in range(size)])
