"""A pair of Gaussian laws in the coordinates where one is standard and the other has a diagonal covariance."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import flint
import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, eigh, lapack, solve_triangular

FloatArray = NDArray[np.float64]
EPS = float(np.finfo(np.float64).eps)
_ELEMENTWISE = 4 * EPS  # relative rounding of a formula of a few operations
_MATRIX = 4 * EPS  # the same for products of matrices, relative to the product of absolute values
_NEARLY_EQUAL = 0.5  # |excess| up to which it is found from the difference of the covariances
_EXACT_BITS = 512


@dataclass(frozen=True, eq=False)
class Whitened:
    """The pair (P, Q) after the linear map that makes Q = N(0, I) and P = N(shift, diag(ratio)).

    ``excess`` is ``ratio - 1``; both are carried, because each has digits the other has lost (nearly equal
    laws, nearly singular ones). ``shift_squared`` sums the squared mean gap over the ``columns`` independent
    columns that share the covariance; divergences depend on the means only through it. All have shape (d,), or (m, d)
    for m pairs at once.

    ``shift_error`` and ``excess_error`` say how well ``shift_squared``, and ``excess`` and ``ratio``, are known. A
    mean gap that may be off by a vector of norm r has the shift errors ``(2 |shift| + r) r``; a covariance that may be
    off by a symmetric matrix of norm r has the excess error r in every direction (so there is no need for eigenvectors
    of near eigenvalues to be right). Left out, the numbers count as right to a few units in the last place.
    """

    shift_squared: FloatArray
    excess: FloatArray
    ratio: FloatArray
    columns: int
    shift_error: FloatArray | None = None
    excess_error: FloatArray | None = None

    def __post_init__(self) -> None:
        if self.columns < 1:
            raise ValueError(f"columns = {self.columns!r}: must be at least 1")
        for name in ("shift_squared", "excess", "ratio", "shift_error", "excess_error"):
            if getattr(self, name) is None:
                continue
            values = np.array(getattr(self, name), dtype=np.float64)
            if values.ndim not in (1, 2) or values.shape != np.shape(self.shift_squared):
                raise ValueError(f"{name} has shape {values.shape}: must have one or two axes, as shift_squared has")
            if not np.isfinite(values).all():
                raise ValueError(f"{name}: every entry must be finite")
            if name != "excess" and (values < 0.0).any():
                raise ValueError(f"{name} holds {values.min()}: no entry may be negative")
            values.flags.writeable = False
            object.__setattr__(self, name, values)
        if not (self.ratio > 0.0).all():
            raise ValueError(f"ratio holds {self.ratio.min()}: every variance ratio must be positive")

    @property
    def errors(self) -> tuple[FloatArray, FloatArray]:
        """The errors of ``shift_squared`` and of ``excess``, as given or as rounding leaves them."""
        shift, excess = self.shift_error, self.excess_error
        if shift is None:
            shift = _ELEMENTWISE * self.shift_squared
        if excess is None:
            excess = _ELEMENTWISE * np.minimum(np.abs(self.excess), self.ratio)
        return shift, excess

    def swapped(self) -> Whitened:
        """The pair (Q, P), whitened by P."""
        shift_error, excess_error = self.errors
        shift, excess, ratio = self.shift_squared / self.ratio, -self.excess / self.ratio, 1.0 / self.ratio
        rounding = _ELEMENTWISE * np.minimum(np.abs(excess), ratio)
        return Whitened(
            shift_squared=shift,
            excess=excess,
            ratio=ratio,
            columns=self.columns,
            shift_error=(shift_error + shift * excess_error) / self.ratio + _ELEMENTWISE * shift,
            excess_error=excess_error * ratio * ratio + rounding,
        )


@dataclass(frozen=True, eq=False)
class _Pair:
    """What whitening needs: both covariances, their difference and the gap of the means (d, C), each rounded once."""

    cov_p: FloatArray
    cov_q: FloatArray
    difference: FloatArray
    gap: FloatArray


def whiten_diagonal(mean_p: FloatArray, cov_p: FloatArray, mean_q: FloatArray, cov_q: FloatArray) -> Whitened | None:
    """The pair whitened by Q, if both covariances are diagonal.

    Whether an excess is exact is found out, for it tells which moments exist.
    """
    if any(np.count_nonzero(cov) > np.count_nonzero(np.diag(cov)) for cov in (cov_p, cov_q)):
        return None
    variance_p, variance_q = _variances(cov_p), _variances(cov_q)
    excess, ratio = (variance_p - variance_q) / variance_q, variance_p / variance_q
    entries = zip(variance_p, variance_q, excess, strict=True)
    off = np.array([abs(float(Fraction(p) / Fraction(q) - 1 - Fraction(x))) for p, q, x in entries])
    return Whitened(
        shift_squared=np.sum((mean_p - mean_q) ** 2, axis=1) / variance_q,
        excess=excess,
        ratio=ratio,
        columns=mean_p.shape[1],
        excess_error=np.minimum(off, _ELEMENTWISE * ratio),
    )


def _variances(cov_q: FloatArray) -> FloatArray:
    variances = np.diag(cov_q)
    if (variances <= 0.0).any():
        raise ValueError(f"cov_q has {variances.min()} on its diagonal: must be positive definite")
    return variances


def whiten(mean_p: FloatArray, cov_p: FloatArray, mean_q: FloatArray, cov_q: FloatArray) -> tuple[Whitened, FloatArray]:
    """The pair whitened by Q, and the map that did it.

    Means have shape (d, C), covariances are symmetric, variances of P positive. ValueError where a covariance is not
    positive definite to double precision.
    """
    # Powers of two: the units of the coordinates cost nothing and lose nothing.
    unit = 2.0 ** -np.round(0.5 * np.log2(_variances(cov_q)))
    both = unit[:, None] * unit
    difference, gap = cov_p - cov_q, mean_p - mean_q
    whitened, transform = _whiten(_Pair(cov_p * both, cov_q * both, difference * both, gap * unit[:, None]))
    return whitened, transform * unit


def whiten_again(
    transform: FloatArray, mean_p: FloatArray, cov_p: FloatArray, mean_q: FloatArray, cov_q: FloatArray
) -> Whitened:
    """The same without the loss to the condition of the covariances.

    Any invertible map leaves the divergences alone, so the rounded one that ``whiten`` found may be applied without
    error (in ``_EXACT_BITS`` bits), as if it were exact. What it leaves is rounded once and whitened in doubles: well
    conditioned now, for one law is nearly standard and the other nearly diagonal.
    """
    with flint.ctx.workprec(_EXACT_BITS):
        rows = flint.arb_mat(transform.tolist())
        columns = rows.transpose()
        exact_q = flint.arb_mat(cov_q.tolist())
        difference = flint.arb_mat(cov_p.tolist()) - exact_q
        gap = flint.arb_mat(mean_p.tolist()) - flint.arb_mat(mean_q.tolist())
        new_q, new_difference = rows * exact_q * columns, rows * difference * columns
        pair = _Pair(*(_to_doubles(item) for item in (new_q + new_difference, new_q, new_difference, rows * gap)))
    return _whiten(pair)[0]


def _to_doubles(matrix: flint.arb_mat) -> FloatArray:
    columns = matrix.ncols()
    return np.array([float(entry.mid()) for entry in matrix.entries()]).reshape(-1, columns)


def _whiten(pair: _Pair) -> tuple[Whitened, FloatArray]:
    """Whiten by the Cholesky factor of Q, then diagonalise P: its difference from Q if small, its factor if not.

    Errors are first-order: every product A B is taken to be off by ``_MATRIX |A| |B|``. An eigenvector that is off
    only moves weight between directions of like excess: exact for a matrix as near as the eigenvalues are.
    """
    root_q = definite_root("cov_q", pair.cov_q)
    middle = solve_triangular(root_q, solve_triangular(root_q, pair.difference, lower=True).T, lower=True)
    if not np.isfinite(middle).all():
        raise FloatingPointError("the variances of P and Q are too far apart: their ratio overflows")
    excess, vectors = eigh(0.5 * (middle + middle.T))
    close = bool(np.abs(excess).max() <= _NEARLY_EQUAL)
    if close:
        ratio = 1.0 + excess
    else:
        root_p = definite_root("cov_p", pair.cov_p)
        singular, vectors = _left_singular(solve_triangular(root_q, root_p, lower=True))
        ratio = singular * singular
        excess = (singular - 1.0) * (singular + 1.0)
    transform = solve_triangular(root_q, vectors, lower=True, trans="T").T
    shift = transform @ pair.gap
    size = np.abs(transform)

    def spread(matrix: FloatArray) -> FloatArray:
        return np.einsum("ij,ij->i", size @ np.abs(matrix), size)

    loss = spread(pair.cov_q).max()
    if close:
        excess_error = np.full(len(excess), _MATRIX * (spread(pair.difference).max() + loss * np.abs(excess).max()))
    else:
        excess_error = _MATRIX * ratio * (loss + np.max(spread(pair.cov_p) / ratio))
    gap_error = _MATRIX * (size @ np.abs(pair.gap) + loss * np.linalg.norm(shift, axis=0))
    whitened = Whitened(
        shift_squared=np.sum(shift**2, axis=1),
        excess=excess,
        ratio=ratio,
        columns=shift.shape[1],
        shift_error=np.sum((2.0 * np.abs(shift) + gap_error) * gap_error, axis=1),
        excess_error=excess_error,
    )
    return whitened, transform


def definite_root(name: str, cov: FloatArray) -> FloatArray:
    """The Cholesky factor; ValueError where there is none."""
    try:
        return cholesky(cov, lower=True)
    except np.linalg.LinAlgError as error:
        raise ValueError(f"{name} is singular or indefinite to double precision: must be positive definite") from error


def _left_singular(matrix: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Singular values, to high relative accuracy (one-sided Jacobi), and left singular vectors."""
    order = len(matrix)
    values, left, _, work, _, info = lapack.dgejsv(np.asfortranarray(matrix), joba=2, jobu=1, jobv=3, jobt=0, jobp=0)
    if info != 0:
        raise FloatingPointError(f"the singular value iteration stopped with code {info}")
    return values * (work[0] / work[1]), left[:, :order]
