"""What a certificate needs to know of deletions from ridge, gathered once and shared by all methods.

All that a deletion changes lives in the Krylov space of the Hessian and the row (`linear.krylov`). There, in the
eigenbasis of the reference Hessian H_ (row removed; eigenvalues lambda_, A = I - eta H_), the row is w = V'x and the
unlearning and reference maps are diagonal with factors a = 1 - eta lambda_; in the eigenbasis of the full Hessian the
learning map is diagonal with factors m = 1 - eta lambda. The space has k dimensions, enough for what it misses to be
beyond rounding (`missed`), and all p of them if need be. The residuals miss nothing: they come from the full spectrum.

Facts are of one deletion or of many. Every array may have leading axes, written "..." below: none for one deletion,
(m,) for many. All formulas here and in `methods` keep to the trailing axes, so that they are the same for both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

import linear
from linear.krylov import KrylovCoordinates

Array = NDArray[np.float64]
FIRST_RANK = 24
_NEGLIGIBLE = 1e-12  # of what a Krylov space may miss, relative
# What of the facts does not change with the unlearning noise, and of that what is too large to be kept for many.
_KEPT = (
    "powers",
    "learn_variance",
    "unlearn_variance",
    "decay",
    "mean_gap",
    "full_row",
    "unit_gap_law",
    "sensitivities",
    "adapted_products",
)
_COVARIANCES_AT_ONCE = 8
_TINY = 1e-150
_DEAR = ("full_row", "unit_gap_law", "adapted_products")  # not made before a method asks for it
_BULKY = ("powers", "learn_variance", "adapted_products")


@dataclass(frozen=True)
class Residuals:
    """The deleted row's residual at each learning step, N(mean, variance I_C): `norms` and `variances` (..., T)."""

    means: Array
    norms: Array
    variances: Array

    @classmethod
    def of(cls, moments: tuple[Array, Array]) -> Residuals:
        means, variances = moments
        return cls(means, np.linalg.norm(means, axis=-1), variances)

    def __getitem__(self, which: Any) -> Residuals:
        return Residuals(self.means[which], self.norms[which], self.variances[which])


@dataclass(frozen=True)
class DeletionFacts:
    """One deletion, or many, in numbers (of one, numbers without axes may be plain ones).

    contraction (...): one factor serving the learning and the reference map; learned, reference: the row's residuals
    along the D-chain and along the chain without the row; factors (..., k) and row (..., k): a and V'x; full_factors
    (..., k), overlap (..., k, k) = V'U: the learning map; unlearn_noise (...): may differ between deletions; missed
    (...): an estimate of what the k dimensions leave out, relative to what they hold.
    """

    step_size: float
    learn_steps: int
    unlearn_steps: int
    learn_noise: float
    unlearn_noise: Any
    outputs: int
    row_norm: Any
    contraction: Any
    learned: Residuals
    reference: Residuals
    factors: Array
    row: Array
    full_factors: Array
    overlap: Array
    missed: Any = 0.0

    @classmethod
    def of(cls, problem: linear.RidgeProblem, schedule: linear.Schedule, index: int) -> DeletionFacts:
        """The facts of deleting row `index` alone. Raises what `linear` raises for a bad problem or index."""
        [(_, facts)] = cls.of_each(problem, schedule, np.array([index]))
        return facts[0]

    @classmethod
    def of_each(
        cls, problem: linear.RidgeProblem, schedule: linear.Schedule, indices: NDArray[Any], *, rank: int = FIRST_RANK
    ) -> Iterator[tuple[NDArray[np.intp], DeletionFacts]]:
        """The facts of deleting each of some rows, in groups of equal rank: (positions in `indices`, facts).

        Ranks are tried from `rank` upwards; the dense space of all p dimensions is the last.
        """
        learned, reference = map(Residuals.of, linear.deletion_residual_moments(problem, schedule, indices))
        contraction = problem.contraction_factors(schedule.step_size, indices)
        left = np.arange(len(indices))
        while left.size:
            space = linear.krylov_coordinates(problem, indices[left], rank=rank)
            missed = _missed(space, schedule) if space.rank < problem.n_features else np.zeros(len(left))
            done = missed <= _NEGLIGIBLE
            which = left[done]
            if which.size:
                yield (
                    which,
                    cls(
                        step_size=schedule.step_size,
                        learn_steps=schedule.learn_steps,
                        unlearn_steps=schedule.unlearn_steps,
                        learn_noise=schedule.learn_noise,
                        unlearn_noise=np.full(len(which), schedule.unlearn_noise),
                        outputs=problem.n_outputs,
                        row_norm=np.linalg.norm(problem.features[indices[which]], axis=1),
                        contraction=contraction[which],
                        learned=learned[which],
                        reference=reference[which],
                        factors=1 - schedule.step_size * space.reference_curvature[done],
                        row=space.row[done],
                        full_factors=1 - schedule.step_size * space.curvature[done],
                        overlap=space.overlap[done],
                        missed=missed[done],
                    ),
                )
            left = left[~done]
            rank = rank + rank // 3 if rank < 2 * FIRST_RANK else 2 * rank

    @property
    def shape(self) -> tuple[int, ...]:
        """() for one deletion, (m,) for many."""
        return self.row.shape[:-1]

    @property
    def rank(self) -> int:
        """k."""
        return self.row.shape[-1]

    def __getitem__(self, which: Any) -> DeletionFacts:
        """The facts of some of many deletions, by anything that indexes the leading axis; of one by its number."""
        count = self.shape[0]
        changed: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Residuals) or (isinstance(value, np.ndarray) and value.shape[:1] == (count,)):
                changed[field.name] = value[which]
        part = replace(self, **changed)
        for name in _KEPT:
            if name in self.__dict__:
                part.__dict__[name] = _taken(self.__dict__[name], which)
        return part

    def with_unlearn_noise(self, unlearn_noise: float | Array) -> DeletionFacts:
        """The same with another unlearning noise (one, or one for each); nothing of the learning phase changes."""
        if self.shape:
            unlearn_noise = np.broadcast_to(np.asarray(unlearn_noise, dtype=np.float64), self.shape)
        changed = replace(self, unlearn_noise=unlearn_noise)
        for name in _KEPT:
            if name in self.__dict__ or name not in _DEAR:
                changed.__dict__[name] = getattr(self, name)
        return changed

    def without_bulk(self) -> DeletionFacts:
        """The same for keeping: what is large and quickly made again is let go, the means of the residuals for good."""
        _ = self.mean_gap
        small = replace(
            self,
            learned=replace(self.learned, means=np.empty((*self.shape, 0, self.outputs))),
            reference=replace(self.reference, means=np.empty((*self.shape, 0, self.outputs))),
        )
        for name in _KEPT:
            if name in self.__dict__ and name not in _BULKY:
                small.__dict__[name] = self.__dict__[name]
        return small

    def let_go(self) -> None:
        """Forget what is large and quickly made again."""
        for name in _BULKY:
            self.__dict__.pop(name, None)

    @cached_property
    def sensitivities(self) -> dict[tuple[str, float], Array]:
        """Sensitivities already found, by base chain and log tail; methods that ask for the same ones share them."""
        return {}

    @property
    def random_steps(self) -> bool:
        """Whether any residual that enters a sensitivity is random."""
        return self.learn_noise > 0 and self.learn_steps > 1

    @cached_property
    def unlearning_seen(self) -> Array:
        """Variance that the unlearning noise leaves along each factor as seen before unlearning, (..., k).

        That is divided by decay^2, and infinite where unlearning wipes out what was there before.
        """
        noise = np.asarray(self.unlearn_noise)[..., None]
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            seen = (noise / self.decay) ** 2 * self.unlearn_variance
        return np.where(noise > 0, seen, 0.0)

    @cached_property
    def powers(self) -> Array:
        """a_j^n, shape (..., k, max(T, K) + 1)."""
        return _powers(self.factors, max(self.learn_steps, self.unlearn_steps) + 1)

    @cached_property
    def learn_variance(self) -> Array:
        """sum_{i<n} a_j^{2i} for n = 0..T, shape (..., k, T+1): variance per unit noise of n reference steps."""
        total = np.zeros((*self.factors.shape, self.learn_steps + 1))
        np.cumsum(self.powers[..., : self.learn_steps] ** 2, axis=-1, out=total[..., 1:])
        return total

    @cached_property
    def unlearn_variance(self) -> Array:
        """sum_{i<K} a_j^{2i}, shape (..., k)."""
        squares: Array = np.sum(self.powers[..., : self.unlearn_steps] ** 2, axis=-1)
        return squares

    @cached_property
    def decay(self) -> Array:
        """a_j^K, shape (..., k): what the unlearning phase leaves of a gap."""
        found: Array = self.factors**self.unlearn_steps
        return found

    @property
    def arrivals(self) -> Array:
        """A^{T-1-k} x for the learning steps k, shape (..., k, T): what a unit difference at step k is after learning."""
        return self.row[..., None] * self.powers[..., : self.learn_steps][..., ::-1]

    @cached_property
    def mean_gap(self) -> Array:
        """Mean of X_T - X'_T, shape (..., k, C): d_T = -eta sum_k A^{T-1-k} x (mean residual at k)'."""
        gap: Array = -self.step_size * (self.arrivals @ self.learned.means)
        return gap

    @cached_property
    def reference_variance(self) -> Array:
        """Diagonal of the reference law's covariance, shape (..., k)."""
        learned = self.learn_noise**2 * self.decay**2 * self.learn_variance[..., -1]
        return learned + np.asarray(self.unlearn_noise)[..., None] ** 2 * self.unlearn_variance

    @cached_property
    def full_row(self) -> Array:
        """U'x, shape (..., k)."""
        found: Array = np.einsum("...jk,...j->...k", self.overlap, self.row)
        return found

    @cached_property
    def unit_gap_law(self) -> tuple[Array, Array] | None:
        """(shift_squared, variances), (..., k) each: the law of the gap X_T - X'_T under common learning noise.

        It is carried to the end and whitened by the unlearning noise, at unit strength, in a basis where its columns
        are uncorrelated. None where there is no unlearning noise at any strength.
        """
        spread = np.sqrt(self.unlearn_variance)
        moved = self.decay != 0
        if np.any(spread[moved] == 0):
            return None
        scale = np.divide(self.decay, spread, out=np.zeros_like(spread), where=moved)[..., None]
        covariance = self._learned_gap_covariance * (scale * np.swapaxes(scale, -1, -2))
        variances, basis = np.linalg.eigh(0.5 * (covariance + np.swapaxes(covariance, -1, -2)))
        shift = np.swapaxes(basis, -1, -2) @ (scale * self.mean_gap)
        return np.sum(shift**2, axis=-1), np.maximum(variances, 0)

    @property
    def _learned_gap_covariance(self) -> Array:
        """Covariance of one column of X_T - X'_T under common learning noise, (..., k, k)."""
        learn, rank = self.learn_steps, self.rank
        if not self.random_steps:
            return np.zeros((*self.shape, rank, rank))
        arrivals = self.arrivals.reshape(-1, rank, learn)
        weights, factors = (part.reshape(-1, rank) for part in (self.full_row**2, self.full_factors))
        found = np.empty((len(arrivals), rank, rank))
        for start in range(0, len(arrivals), _COVARIANCES_AT_ONCE):
            part = slice(start, start + _COVARIANCES_AT_ONCE)
            covariance = _residual_covariance(weights[part], factors[part], learn)
            found[part] = arrivals[part] @ covariance @ np.swapaxes(arrivals[part], 1, 2)
        found *= (self.learn_noise * self.step_size) ** 2
        return found.reshape(*self.shape, rank, rank)


def _residual_covariance(weights: Array, factors: Array, steps: int) -> Array:
    """Covariance over learning steps of one column of the residual's noise at unit strength, (m, T, T).

    At steps k, l it is the sum of lag(|k-l| + 2i) over i < min(k, l), with lag(n) = x'M^n x = sum_j weights_j factors_j^n:
    a difference of two sums over every other lag. These run to the end where lags fall, and from the start where they
    grow, so that what cancels is at most as long as what is left, give or take a factor T.
    """
    count = 2 * steps - 1
    line = (weights[:, None, :] @ _powers(factors, count))[:, 0, :]
    total = np.zeros((len(line), count + 2))  # at n: the sum of lag(n), lag(n+2), ..., or of ..., lag(n-4), lag(n-2)
    falling = bool(np.all(np.abs(factors) <= 1.0))
    for parity in (0, 1):
        some = line[:, parity::2]
        if falling:
            total[:, parity:count:2] = np.cumsum(some[:, ::-1], axis=1)[:, ::-1]
        else:
            np.cumsum(some, axis=1, out=total[:, parity + 2 : count + 2 : 2])
    view = np.lib.stride_tricks.sliding_window_view
    near = np.concatenate([total[:, steps - 1 : 0 : -1], total[:, :steps]], axis=1)
    toeplitz, hankel = view(near, steps, axis=1)[:, ::-1], view(total[:, :count], steps, axis=1)
    difference: Array = toeplitz - hankel if falling else hankel - toeplitz
    return difference


def _powers(factors: Array, count: int) -> Array:
    """factors^n for n < count along a new last axis; what is beyond any use is zero, as subnormal numbers are slow."""
    steps = np.empty((*factors.shape, count))
    steps[..., 0] = 1.0
    steps[..., 1:] = np.where(np.abs(factors) < _TINY, 0.0, factors)[..., None]
    np.cumprod(steps, axis=-1, out=steps)
    steps[np.abs(steps) < _TINY] = 0.0
    return steps


def _missed(space: KrylovCoordinates, schedule: linear.Schedule) -> Array:
    """What the space misses of A^n x, n < T + K, relative to the shortest of them, (m,).

    Vectors below a thousandth of the longest that is left by unlearning add nothing and do not count as short.
    """
    factor = np.abs(1.0 - schedule.step_size * space.reference_curvature)
    first, last = (
        np.linalg.norm(factor**steps * space.row, axis=1) for steps in (schedule.unlearn_steps, schedule.horizon)
    )
    norm = np.linalg.norm(space.row, axis=1)
    least = np.maximum(last, 1e-3 * first)
    missed = space.missed(schedule.step_size, schedule.horizon) * norm
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(norm > 0.0, missed / least, 0.0)


def _taken(value: Any, which: Any) -> Any:
    if isinstance(value, dict):
        return {key: part[which] for key, part in value.items()}
    if isinstance(value, tuple):
        return tuple(part[which] for part in value)
    return None if value is None else value[which]
