"""Lower bounds from samples, with an exact confidence level.

Samples of two laws P and Q can never show that they are close, only that they are apart. The bounds here say how
far apart at least, and are wrong with probability at most 1 - confidence whatever the laws are: all that is assumed
is that the draws of one law are independent of each other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, overload

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike, NDArray
from scipy import special

from linear import _checks

Array = NDArray[np.float64]
Limit = float | Array
_EPSILON = float(np.finfo(np.float64).eps)

# A limit is accepted when the computed tail at it is below the wanted one by this relative margin. Against 400-bit
# ball arithmetic the regularised incomplete beta function was found wrong by at most 3e-11, relative, for up to
# _MOST_TRIALS trials and tails down to 1e-16, so the true tail is below the wanted one too.
_TAIL_MARGIN = 1e-9
_MOST_TRIALS = 10**9

# Thresholds tried per end of each sample: ranks in geometric progression, as the rarest events need the finest grid.
_RANKS_TRIED = 256


# A bound as a function of the failure probability of each limit, and hits and trials of P and of Q.
_Bound = Callable[[float, ArrayLike, int, ArrayLike, int], Array]


@dataclass(frozen=True)
class ThresholdTest:
    """What was counted: how many held-out scores of each law are above a threshold fixed beforehand.

    `hits_p` of the `trials_p` scores drawn from P, and `hits_q` of the `trials_q` drawn from Q, are strictly above
    `threshold`. The bound built on these four counts is wrong with probability at most 1 - `confidence`.
    """

    threshold: float
    hits_p: int
    trials_p: int
    hits_q: int
    trials_q: int
    confidence: float


@dataclass(frozen=True)
class HockeyStickBound(ThresholdTest):
    """`delta`: a lower bound on the hockey-stick divergence sup_S P(S) - exp(`epsilon`) Q(S)."""

    epsilon: float
    delta: float


@dataclass(frozen=True)
class MuBound(ThresholdTest):
    """`mu`: a lower bound on every mu for which P and Q are mu-Gaussian-DP."""

    mu: float


@dataclass(frozen=True)
class EpsilonBound(ThresholdTest):
    """`epsilon`: a lower bound on every epsilon at which P <= exp(epsilon) Q + `delta` on all events."""

    delta: float
    epsilon: float


@dataclass(frozen=True, eq=False)
class LinearScore:
    """The score `samples @ direction`, higher where P is the more likely; `direction` has unit norm (or is 0)."""

    direction: Array

    def __call__(self, samples: ArrayLike) -> Array:
        """Scores (n,) of samples (n, ...), every one flattened."""
        rows = _sample_rows("samples", samples)
        if rows.shape[1] != len(self.direction):
            raise ValueError(f"samples have {rows.shape[1]} numbers each: must have {len(self.direction)}")
        return rows @ self.direction


@overload
def clopper_pearson(
    successes: ArrayLike, trials: ArrayLike, confidence: float, side: Literal["lower", "upper"]
) -> Limit: ...


@overload
def clopper_pearson(
    successes: ArrayLike, trials: ArrayLike, confidence: float, side: Literal["both"] = "both"
) -> tuple[Limit, Limit]: ...


def clopper_pearson(
    successes: ArrayLike, trials: ArrayLike, confidence: float, side: Literal["lower", "upper", "both"] = "both"
) -> Limit | tuple[Limit, Limit]:
    """Exact confidence limits of a probability, after Clopper and Pearson (1934), rounded outward.

    The lower limit is the p at which `successes` or more have probability 1 - confidence, a quantile of
    Beta(successes, trials - successes + 1); the upper one the p at which `successes` or fewer have it. Whatever the
    true p, each covers it with probability at least `confidence`; of "both", each has half of 1 - confidence.

    Parameters
    ----------
    successes, trials : integers, broadcast together; 0 <= successes <= trials <= 10**9.
    confidence : strictly between 0 and 1.
    side : "lower", "upper" or "both".

    Returns
    -------
    The limit, or the pair (lower, upper); floats where both counts are scalars. 0 and 1 where nothing is known.

    Raises
    ------
    ValueError, TypeError : naming the argument that breaks these rules.
    """
    k, n = _counts(successes, trials)
    failure = 1.0 - _confidence(confidence)
    _checks.one_of("side", side, ("lower", "upper", "both"))
    if side == "lower":
        return _lower_limit(k, n, failure)[()]
    if side == "upper":
        return _upper_limit(k, n, failure)[()]
    return _lower_limit(k, n, failure / 2)[()], _upper_limit(k, n, failure / 2)[()]


def dkw_radius(trials: ArrayLike, confidence: float) -> Limit:
    """Radius of the Dvoretzky-Kiefer-Wolfowitz band, with Massart's (1990) constant, rounded up.

    With probability at least `confidence` the empirical distribution function of `trials` independent draws is
    nowhere further than sqrt(log(2 / (1 - confidence)) / (2 trials)), nor ever than 1, from the true one.

    Raises
    ------
    ValueError, TypeError : trials not integers of at least 1, confidence not strictly between 0 and 1.
    """
    n = _counts(0, trials)[1]
    if (n < 1).any():
        raise ValueError(f"trials = {trials!r}: must be at least 1")
    radius = np.sqrt(np.log(2.0 / (1.0 - _confidence(confidence))) / (2.0 * n))
    # 1 - confidence, the logarithm and the rest are each within 2 roundings, relative; log(2 / ...) > log 2.
    return np.minimum(1.0, radius * (1.0 + 16.0 * _EPSILON))[()]


def hockey_stick_lower_bound(
    scores_p: ArrayLike,
    scores_q: ArrayLike,
    epsilon: float,
    confidence: float,
    rng: np.random.Generator | None = None,
) -> HockeyStickBound:
    """Lower bound on sup_S P(S) - exp(epsilon) Q(S) from scores of draws of P and of Q.

    A threshold is chosen on one half of the scores. On the other half, P(score > threshold) is at least its
    Clopper-Pearson lower limit and Q(score > threshold) at most its upper limit, each but for half of
    1 - confidence. For the other direction, exchange the samples and negate the scores.

    Parameters
    ----------
    scores_p, scores_q : (n,) and (m,), at least 2 of each, higher meaning more likely under P. Infinities are
        allowed. The score must have been fixed before these draws were seen. Draws i of both laws may depend on
        each other when n = m (coupled runs share a half), else the two samples must be independent.
    epsilon : at least 0.
    confidence : strictly between 0 and 1, of the bound as a whole.
    rng : halves drawn at random; None takes the first half to choose and the second to measure.

    Raises
    ------
    ValueError, TypeError : naming the argument that breaks these rules.
    """
    epsilon = _checks.nonnegative("epsilon", epsilon)

    def delta(tail: float, hits_p: ArrayLike, trials_p: int, hits_q: ArrayLike, trials_q: int) -> Array:
        at_least = _lower_limit(*_counts(hits_p, trials_p), tail)
        at_most = _upper_limit(*_counts(hits_q, trials_q), tail)
        # p - exp(epsilon) q = -p expm1(gap). The gap is rounded up, so the difference is rounded down; the floor
        # on p and the cap on the gap only touch negative values, which merely rank thresholds.
        log_p, log_q = np.log(np.maximum(at_least, 1e-300)), np.log(at_most)
        gap = epsilon + log_q - log_p + 4.0 * _EPSILON * (epsilon - log_q - log_p)
        return -np.maximum(at_least, 1e-300) * np.expm1(np.minimum(gap, 700.0)) * (1.0 - 4.0 * _EPSILON)

    counted = _held_out_test(scores_p, scores_q, confidence, rng, delta)
    return HockeyStickBound(**vars(counted), epsilon=epsilon, delta=_measured(counted, delta))


def epsilon_lower_bound(
    scores_p: ArrayLike,
    scores_q: ArrayLike,
    delta: float,
    confidence: float,
    rng: np.random.Generator | None = None,
) -> EpsilonBound:
    """Lower bound on the epsilon of an (epsilon, delta) promise, one direction, from scores of draws of P and of Q.

    P(S) <= exp(epsilon) Q(S) + delta for all S means epsilon >= log(P(S) - delta) - log Q(S); at a threshold chosen on
    one half of the scores both probabilities are limited on the other, each but for half of 1 - confidence.

    Parameters
    ----------
    scores_p, scores_q, confidence, rng : as in `hockey_stick_lower_bound`.
    delta : in [0, 1).

    Raises
    ------
    ValueError, TypeError : naming the argument that breaks these rules.
    """
    delta = _checks.nonnegative("delta", delta)
    if delta >= 1.0:
        raise ValueError(f"delta = {delta!r}: must be below 1")

    def epsilon(tail: float, hits_p: ArrayLike, trials_p: int, hits_q: ArrayLike, trials_q: int) -> Array:
        # Rounded down: delta is tiny beside the limits that count, and the floor only makes useless thresholds rank low.
        at_least = _lower_limit(*_counts(hits_p, trials_p), tail) * (1.0 - 4.0 * _EPSILON) - delta
        log_p, log_q = np.log(np.maximum(at_least, 1e-300)), np.log(_upper_limit(*_counts(hits_q, trials_q), tail))
        return log_p - log_q - 8.0 * _EPSILON * (1.0 - log_q - np.minimum(log_p, 0.0))

    counted = _held_out_test(scores_p, scores_q, confidence, rng, epsilon)
    return EpsilonBound(**vars(counted), delta=delta, epsilon=_measured(counted, epsilon))


def mu_lower_bound(
    scores_p: ArrayLike, scores_q: ArrayLike, confidence: float, rng: np.random.Generator | None = None
) -> MuBound:
    """Lower bound on mu for P and Q to be mu-Gaussian-DP, from scores of draws of P and of Q.

    If no test tells P from Q better than N(mu, 1) is told from N(0, 1), then a test with false positive rate a and
    false negative rate b has b >= Phi(Phi^-1(1 - a) - mu) (Dong, Roth and Su 2022, definition of mu-GDP),
    that is mu >= -Phi^-1(a) - Phi^-1(b), which upper limits of a and b only make smaller. A threshold is chosen on
    one half of the scores and both rates are limited on the other, each but for half of 1 - confidence.

    Parameters
    ----------
    scores_p, scores_q, confidence, rng : as in `hockey_stick_lower_bound`.

    Raises
    ------
    ValueError, TypeError : naming the argument that breaks these rules.
    """

    def mu(tail: float, hits_p: ArrayLike, trials_p: int, hits_q: ArrayLike, trials_q: int) -> Array:
        misses, trials = _counts(trials_p - np.asarray(hits_p), trials_p)
        quantile_a = special.ndtri(_upper_limit(*_counts(hits_q, trials_q), tail))
        quantile_b = special.ndtri(_upper_limit(misses, trials, tail))
        # scipy's ndtri is good to a few roundings, of its value and (near 0) of its argument.
        return -quantile_a - quantile_b - 64.0 * _EPSILON * (1.0 + np.abs(quantile_a) + np.abs(quantile_b))

    counted = _held_out_test(scores_p, scores_q, confidence, rng, mu)
    return MuBound(**vars(counted), mu=_measured(counted, mu))


def linear_score(train_p: ArrayLike, train_q: ArrayLike, *, shrinkage: float = 1e-3) -> LinearScore:
    """Fisher's linear discriminant, regularised: the direction (W + r I)^-1 (mean_p - mean_q).

    W is the scatter within the two samples and r is `shrinkage` times its mean eigenvalue. Fit on draws that the
    bounds never see: split the runs, fit on one part, and score the other.

    Parameters
    ----------
    train_p, train_q : (n, ...) and (m, ...), one draw per row, flattened to d numbers; at least one draw each.
    shrinkage : positive; 1e-3 suits many more draws than numbers, raise it towards 1 for fewer.

    Raises
    ------
    ValueError, TypeError : naming the argument that breaks these rules.
    """
    rows_p, rows_q = _sample_rows("train_p", train_p), _sample_rows("train_q", train_q)
    shrinkage = _checks.positive("shrinkage", shrinkage)
    if rows_p.shape[1] != rows_q.shape[1]:
        raise ValueError(f"train_q has {rows_q.shape[1]} numbers per draw: must have {rows_p.shape[1]}, as train_p")
    mean_p, mean_q = rows_p.mean(axis=0), rows_q.mean(axis=0)
    gap = mean_p - mean_q
    within = np.concatenate([rows_p - mean_p, rows_q - mean_q])
    scale = np.abs(within).max()
    direction = gap
    if scale > 0.0:
        within = within / scale
        draws, size = within.shape
        penalty = shrinkage * np.sum(within**2) / size
        if size <= draws:
            scatter = within.T @ within + penalty * np.eye(size)
            direction = scipy.linalg.solve(scatter, gap, assume_a="pos")
        else:
            # Woodbury: with fewer draws than numbers the system is one of draws.
            gram = within @ within.T + penalty * np.eye(draws)
            direction = gap - within.T @ scipy.linalg.solve(gram, within @ gap, assume_a="pos")
    length = np.linalg.norm(direction)
    return LinearScore(_checks.frozen(direction / length if length > 0.0 else direction))


def _held_out_test(
    scores_p: ArrayLike,
    scores_q: ArrayLike,
    confidence: float,
    rng: np.random.Generator | None,
    bound: _Bound,
) -> ThresholdTest:
    """The threshold with the best `bound` on one half of the scores, and its counts on the other half."""
    tail = (1.0 - _confidence(confidence)) / 2.0
    p, q = _scores("scores_p", scores_p), _scores("scores_q", scores_q)
    if rng is not None:
        order = rng.permutation(len(p))
        # One order for samples of one size: coupled draws must land in the same half.
        p, q = p[order], q[order if len(q) == len(p) else rng.permutation(len(q))]
    chosen_p, chosen_q = np.sort(p[: len(p) // 2]), np.sort(q[: len(q) // 2])
    thresholds = np.unique(np.concatenate([_thresholds(chosen_p), _thresholds(chosen_q)]))
    # All thresholds share the tail, so that their bounds hold together and the best is no stroke of luck.
    hits_p, hits_q = _above(chosen_p, thresholds), _above(chosen_q, thresholds)
    promised = bound(tail / len(thresholds), hits_p, len(chosen_p), hits_q, len(chosen_q))
    threshold = _middle_of_gap(float(thresholds[np.argmax(promised)]), chosen_p, chosen_q)
    held_p, held_q = p[len(p) // 2 :], q[len(q) // 2 :]
    return ThresholdTest(
        threshold=threshold,
        hits_p=int(np.count_nonzero(held_p > threshold)),
        trials_p=len(held_p),
        hits_q=int(np.count_nonzero(held_q > threshold)),
        trials_q=len(held_q),
        confidence=float(confidence),
    )


def _measured(counted: ThresholdTest, bound: _Bound) -> float:
    """The bound on the held-out counts, half of 1 - confidence for each of its two limits; never below 0."""
    tail = (1.0 - counted.confidence) / 2.0
    value = bound(tail, counted.hits_p, counted.trials_p, counted.hits_q, counted.trials_q)
    return max(0.0, float(value))


def _thresholds(ordered: Array) -> Array:
    ranks = np.unique(np.geomspace(1, len(ordered), _RANKS_TRIED).round().astype(np.intp))
    return np.concatenate([ordered[ranks - 1], ordered[-ranks]])


def _middle_of_gap(threshold: float, *samples: Array) -> float:
    """A threshold that splits the samples alike, half way to the next score: fresh scores overshoot the edge."""
    following = min((float(s[s > threshold][0]) for s in samples if s[-1] > threshold), default=threshold)
    middle = threshold / 2.0 + following / 2.0
    return middle if threshold <= middle < following else threshold


def _above(ordered: Array, thresholds: Array) -> NDArray[np.intp]:
    return len(ordered) - np.searchsorted(ordered, thresholds, side="right")


def _lower_limit(k: NDArray[np.int64], n: NDArray[np.int64], tail: float) -> Array:
    """Largest p found with Pr[Bin(n, p) >= k] <= tail; 0 where k = 0."""
    known = k > 0
    a, b = np.where(known, k, 1), n - k + 1
    # Aimed ten margins low, the inverse passes at once unless it is less accurate than that.
    p = np.nan_to_num(special.betaincinv(a, b, tail * (1.0 - 10.0 * _TAIL_MARGIN)), nan=0.0)
    step = _EPSILON
    while (wrong := special.betainc(a, b, p) > tail * (1.0 - _TAIL_MARGIN)).any():
        p, step = np.where(wrong, p * (1.0 - step), p), min(4.0 * step, 0.5)
    return np.where(known, p, 0.0)


def _upper_limit(k: NDArray[np.int64], n: NDArray[np.int64], tail: float) -> Array:
    """Smallest p found with Pr[Bin(n, p) <= k] <= tail; 1 where k = n."""
    known = k < n
    a, b = k + 1, np.where(known, n - k, 1)
    p = np.nan_to_num(special.betainccinv(a, b, tail * (1.0 - 10.0 * _TAIL_MARGIN)), nan=1.0)
    step = _EPSILON
    while (wrong := special.betaincc(a, b, p) > tail * (1.0 - _TAIL_MARGIN)).any():
        p, step = np.where(wrong, np.minimum(1.0, p * (1.0 + step)), p), 4.0 * step
    return np.where(known, p, 1.0)


def _counts(successes: ArrayLike, trials: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    arrays = []
    for name, value in (("successes", successes), ("trials", trials)):
        array = np.asarray(value)
        if array.dtype.kind not in "iu":
            raise TypeError(f"{name} = {value!r}: must be integers")
        if array.size and not 0 <= int(array.min()) <= int(array.max()) <= _MOST_TRIALS:
            raise ValueError(f"{name} = {value!r}: must be at least 0 and at most {_MOST_TRIALS}")
        arrays.append(array.astype(np.int64))
    k, n = np.broadcast_arrays(*arrays)
    if (k > n).any():
        raise ValueError(f"successes = {successes!r}: must be at most trials = {trials!r}")
    return k, n


def _confidence(confidence: float) -> float:
    if not 0.0 < _checks.finite("confidence", confidence) < 1.0:
        raise ValueError(f"confidence = {confidence!r}: must be strictly between 0 and 1")
    return float(confidence)


def _scores(name: str, values: ArrayLike) -> Array:
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} has type {array.dtype}: must be real numbers")
    if array.ndim != 1 or len(array) < 2:
        raise ValueError(f"{name} has shape {array.shape}: must be (n,) with n at least 2")
    array = array.astype(np.float64)
    if np.isnan(array).any():
        raise ValueError(f"{name}[{int(np.argmax(np.isnan(array)))}] is nan: must be numbers or infinite")
    return array


def _sample_rows(name: str, samples: ArrayLike) -> Array:
    rows = _checks.real_array(name, samples, dimensions=(2, 3))
    if rows.size == 0:
        raise ValueError(f"{name} has shape {rows.shape}: must hold at least one draw of at least one number")
    return rows.reshape(len(rows), -1)
