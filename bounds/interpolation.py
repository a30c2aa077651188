"""Shifted interpolation (Bok, Su, Altschuler, *Shifted Interpolation for Differential Privacy*): the Gaussian-DP
parameter of noisy contractive iterations.

Two processes start together and follow X_k = phi_k(X_{k-1}) + sigma_k xi_k and X'_k = phi'_k(X'_{k-1}) + sigma_k xi'_k,
k = 1..N, with |phi_k - phi'_k| <= s_k along X and phi'_k Lipschitz with factor c_k. For shifts a_k >= 0 with distances
z_0 = 0, z_k = c_k z_{k-1} + s_k - a_k >= 0 and z_N = 0, the laws of X_N and X'_N are as hard to tell apart as N(0, 1)
and N(mu, 1), mu^2 = sum of a_k^2 / sigma_k^2.

Every mu returned here is a promise, rounded up; every calibrated noise is rounded up too. `noise_std` is the standard
deviation of what is added to the parameters at each step.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from bounds import _hull
from bounds._bok_su_altschuler import constrained, cyclic_batches, exponential_mechanism, strongly_convex
from bounds._checks import FloatArray, array, count

__all__ = [
    "ShiftPlan",
    "constrained",
    "cyclic_batches",
    "exponential_mechanism",
    "feasible_mu",
    "is_one_segment",
    "optimal_mu",
    "optimal_shifts",
    "strongly_convex",
    "unlearning_only",
    "unlearning_only_noise",
    "whole_horizon",
    "whole_horizon_noise",
]

# Allowance for the closed forms: nonnegative terms and at most a hundred roundings of 2^-53, sums being pairwise.
_SLACK = 2.0**-45
_CHAIN_ENTRIES = 1 << 17  # steps of all chains that `optimal_mu` merges at once
_ROUND = 1.0  # multiplies every allowance for rounding; the tests set it to 0 and must see wrong sides


@dataclass(frozen=True, eq=False)
class ShiftPlan:
    """A schedule of shifts and what it proves; all arrays have shape (N,) and index the steps k = 1..N in order."""

    mu: float
    """What is promised: mu of the best shifts, rounded up."""
    shifts: FloatArray
    """a_k."""
    distances: FloatArray
    """z_k, what is left between the processes after step k; 0 at the end of each segment."""
    lower: float
    """mu of the linear processes with factors exactly c_k and differences exactly s_k, rounded down."""
    sensitivity: FloatArray
    noise_std: FloatArray
    contraction: FloatArray

    def check(self) -> float:
        """mu recomputed from the shifts alone, by `feasible_mu`."""
        return feasible_mu(
            self.shifts, sensitivity=self.sensitivity, noise_std=self.noise_std, contraction=self.contraction
        )


def optimal_shifts(sensitivity: ArrayLike, noise_std: ArrayLike, contraction: ArrayLike) -> ShiftPlan:
    """The shifts with the least mu, in linear time.

    With R_k = c_{k+1} ... c_N and F_k the sum of R_j a_j over j <= k, the distances are nonnegative iff F stays below
    the partial sums U of R_k s_k, and mu^2 is the sum of (F_k - F_{k-1})^2 / (R_k sigma_k)^2. The minimum is at the
    greatest convex minorant of U as a function of the partial sums t of (R_k sigma_k)^2, whose slopes g are the
    nondecreasing isotonic fit of s_k / (R_k sigma_k^2).

    mu is not only an upper bound but the exact worst case over all processes of this kind: the scalar linear one with
    factors c_k g_{k-1} / g_k <= c_k and differences s_k attains it (derived here). With the factors c_k themselves the
    linear pair has parameter ``lower`` = U_N / sqrt(t_N), so the worst case lies in [lower, mu]; the two agree when the
    minorant is one segment.

    Parameters
    ----------
    sensitivity : (N,), nonnegative: s_k, bounds of the one-step differences along the first process.
    noise_std : scalar or (N,), nonnegative: sigma_k.
    contraction : scalar or (N,), nonnegative: c_k; 0 forgets the past, and values above 1 are allowed.

    Returns
    -------
    ShiftPlan; its mu is infinite iff some distance has to be closed in a step without noise, and 0 iff there is none.

    Raises
    ------
    FloatingPointError : if the noise spans more than 480 powers of two, or contractions above 1 make the products leave
        the range of doubles.
    """
    s, noise, c = _steps(sensitivity, noise_std, contraction)
    hull = _hull.segments(s, noise, c)
    shifts = _hull.shifts(hull, noise, c)
    closed = np.zeros(s.size, dtype=bool)
    closed[hull.ends] = True
    z, distances = 0.0, []
    for factor, difference, shift, end in zip(c.tolist(), s.tolist(), shifts.tolist(), closed.tolist(), strict=True):
        z = 0.0 if end else max(factor * z + difference - shift, 0.0)
        distances.append(z)
    return ShiftPlan(_hull.optimum(hull), shifts, np.array(distances), _hull.chord(hull), s, noise, c)


def optimal_mu(sensitivity: ArrayLike, noise_std: ArrayLike, contraction: ArrayLike) -> FloatArray:
    """mu of `optimal_shifts` for many chains at once, without the shifts.

    Parameters
    ----------
    sensitivity, noise_std, contraction : broadcasting to (..., N): s_k, sigma_k, c_k of each chain.

    Returns
    -------
    (...) array, each entry rounded up like `ShiftPlan.mu`.
    """
    s = array("sensitivity", sensitivity, "[0, inf)")
    noise = array("noise_std", noise_std, "[0, inf)")
    c = array("contraction", contraction, "[0, inf)")
    shape = np.broadcast_shapes(s.shape, noise.shape, c.shape)
    if not shape or shape[-1] == 0:
        raise ValueError(f"sensitivity, noise_std, contraction have shape {shape}: need at least one step")
    chains = [np.broadcast_to(part, shape).reshape(-1, shape[-1]) for part in (s, noise, c)]
    size = max(1, _CHAIN_ENTRIES // shape[-1])
    mu = np.empty(len(chains[0]))
    for start in range(0, mu.size, size):
        mu[start : start + size] = _hull.optima(*(part[start : start + size] for part in chains))
    return mu.reshape(shape[:-1])


def feasible_mu(shifts: ArrayLike, *, sensitivity: ArrayLike, noise_std: ArrayLike, contraction: ArrayLike) -> float:
    """mu proved by any given shifts, running z_k = c_k z_{k-1} + s_k - a_k, which shares nothing with `optimal_shifts`.

    What is not feasible is repaired on the way: a shift never exceeds the distance there is, takes all of it when less
    than 1e-9 of it would stay, and the last shift takes whatever is left. So the result is a valid mu for all shifts;
    it is close to the root of the sum of a_k^2 / sigma_k^2 only if they were feasible.

    Parameters
    ----------
    shifts : (N,), nonnegative: a_k. The others as in `optimal_shifts`.
    """
    s, noise, c = _steps(sensitivity, noise_std, contraction)
    wanted = array("shifts", shifts, "[0, inf)", length=s.size)
    z, up, made = 0.0, 1.0 + 2.0**-51 * _ROUND, []
    for factor, difference, shift in zip(c.tolist(), s.tolist(), wanted.tolist(), strict=True):
        there = (factor * z + difference) * up
        shift = there if shift >= there * (1.0 - 1e-9) else shift
        z = (there - shift) * up
        made.append(shift)
    made[-1] += z
    return _norm(np.array(made), noise)


def is_one_segment(sensitivity: ArrayLike, noise_std: ArrayLike, contraction: ArrayLike) -> bool:
    """Whether the best shifts are those of a single segment, so that mu = `ShiftPlan.lower` and `whole_horizon` holds.

    True whenever U_k / t_k >= U_N / t_N for all k, up to rounding (relative 16 N 2^-53): slopes too close to tell apart
    count as equal. Sufficient: s_k c^k / sigma_k^2 is nonincreasing. Arguments as in `optimal_shifts`.
    """
    s, noise, c = _steps(sensitivity, noise_std, contraction)
    return _hull.segments(s, noise, c, merge_ties=True).starts.size <= 1


def unlearning_only(
    *, sensitivity: ArrayLike, contraction: ArrayLike, unlearn_steps: int, unlearn_noise: ArrayLike
) -> Any:
    """mu with all shifts in the unlearning steps: c^K z_T / (sigma_U sqrt(g_K)), always valid ("reading P1").

    z_T = sum of c^(T-1-k) s_k is the distance after learning, g_K = 1 + c^2 + ... + c^(2(K-1)).

    Parameters
    ----------
    sensitivity : (..., T), nonnegative: s_k of the learning steps k = 0..T-1.
    contraction : (...), in [0, 1].
    unlearn_steps, unlearn_noise : K >= 0 and sigma_U >= 0, (...); with either 0 the distance is never closed.
    """
    distance, decay, _, unlearn = _learned(sensitivity, contraction, unlearn_steps)
    noise = array("unlearn_noise", unlearn_noise, "[0, inf)")
    with np.errstate(invalid="ignore"):
        value = _up(_over(distance, noise * unlearn) * decay)
    return _nothing_left(distance, decay, value)


def unlearning_only_noise(*, sensitivity: ArrayLike, contraction: ArrayLike, unlearn_steps: int, mu: ArrayLike) -> Any:
    """The least unlearning noise with `unlearning_only` at most ``mu``; 0 if none is needed, inf if none is enough.

    ``mu`` is in [0, inf], the rest as in `unlearning_only`.
    """
    distance, decay, _, unlearn = _learned(sensitivity, contraction, unlearn_steps)
    mu = array("mu", mu, "[0, inf]")
    with np.errstate(invalid="ignore"):
        noise = _up(_over(distance, mu * unlearn) * decay, 4.0)
    return _nothing_left(distance, decay, np.where(mu == np.inf, 0.0, noise))


def whole_horizon(
    *,
    sensitivity: ArrayLike,
    contraction: ArrayLike,
    unlearn_steps: int,
    learn_noise: ArrayLike,
    unlearn_noise: ArrayLike,
) -> Any:
    """mu of shifts spread over the whole horizon: c^K z_T / sqrt(sigma_L^2 c^(2K) g_T + sigma_U^2 g_K) ("reading P2").

    A valid bound ONLY IF the convex minorant of all T + K steps has one segment (see `is_one_segment`); otherwise it is
    less than some contractive process costs. z_T and g as in `unlearning_only`.

    Parameters
    ----------
    sensitivity : (..., T), nonnegative: s_k of the learning steps k = 0..T-1.
    contraction : (...), in [0, 1].
    unlearn_steps : K >= 0.
    learn_noise, unlearn_noise : (...), sigma_L, sigma_U >= 0.
    """
    distance, decay, learn, unlearn = _learned(sensitivity, contraction, unlearn_steps)
    learned = array("learn_noise", learn_noise, "[0, inf)") * learn
    unlearned = array("unlearn_noise", unlearn_noise, "[0, inf)") * unlearn
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        spread = np.hypot(learned, unlearned / decay)
        value = np.where(spread < np.inf, _over(distance, spread), distance / unlearned * decay)
    return _nothing_left(distance, decay, _up(value))


def whole_horizon_noise(
    *, sensitivity: ArrayLike, contraction: ArrayLike, unlearn_steps: int, learn_noise: ArrayLike, mu: ArrayLike
) -> Any:
    """The least unlearning noise with `whole_horizon` at most ``mu``; 0 if none is needed, inf if none is enough.

    ``mu`` is in [0, inf], the rest as in `whole_horizon`, with its condition: one segment at the noise returned.
    """
    distance, decay, learn, unlearn = _learned(sensitivity, contraction, unlearn_steps)
    learned = array("learn_noise", learn_noise, "[0, inf)") * learn
    mu = array("mu", mu, "[0, inf]")
    needed = _up(_over(distance, mu), 4.0)  # covers what rounding adds to `learned` where it is less
    with np.errstate(invalid="ignore"):
        missing = np.sqrt(np.maximum(needed - learned, 0.0)) * np.sqrt(needed + learned)
        noise = _up(_over(missing, unlearn) * decay)
    return _nothing_left(distance, decay, np.where((needed <= learned) | (mu == np.inf), 0.0, noise))


def _steps(
    sensitivity: ArrayLike, noise_std: ArrayLike, contraction: ArrayLike
) -> tuple[FloatArray, FloatArray, FloatArray]:
    s = array("sensitivity", sensitivity, "[0, inf)", ndim=1)
    noise = array("noise_std", noise_std, "[0, inf)", length=s.size)
    return s, noise, array("contraction", contraction, "[0, inf)", length=s.size)


def _learned(
    sensitivity: ArrayLike, contraction: ArrayLike, unlearn_steps: int
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """z_T, c^K, sqrt(g_T), sqrt(g_K). Powers that would be subnormal are rounded up to the least normal number."""
    s = array("sensitivity", sensitivity, "[0, inf)")
    if s.ndim == 0 or s.shape[-1] == 0:
        raise ValueError(f"sensitivity has shape {s.shape}: must not be empty along its last axis, the learning steps")
    c = array("contraction", contraction, "[0, 1]")[..., None]
    steps = count("unlearn_steps", unlearn_steps)
    learn = s.shape[-1]
    powers = np.power(c, np.append(np.arange(learn - 1.0, -1.0, -1.0), steps))
    powers = np.where(c > 0.0, np.maximum(powers, 2.0**-1022), powers)
    with np.errstate(over="ignore"):
        distance = np.sum(powers[..., :-1] * s, axis=-1)
    return distance, powers[..., -1], _root_sum(c[..., 0], learn), _root_sum(c[..., 0], steps)


def _root_sum(c: FloatArray, steps: int) -> FloatArray:
    """sqrt(1 + c^2 + ... + c^(2 (steps - 1)))."""
    inside = (c > 0.0) & (c < 1.0) & (steps > 0)
    safe = np.where(inside, c, 0.5)
    total = -np.expm1(2.0 * steps * np.log(safe)) / ((1.0 - safe) * (1.0 + safe))
    return np.sqrt(np.where(inside, total, np.where(c > 0.0, steps, min(steps, 1))))


def _nothing_left(distance: FloatArray, decay: FloatArray, otherwise: FloatArray) -> FloatArray | float:
    """0 where no distance is left to close; a float for scalars."""
    value = np.where((distance == 0.0) | (decay == 0.0), 0.0, otherwise)
    return value if value.ndim else float(value)


def _norm(shifts: FloatArray, noise_std: FloatArray) -> float:
    """Root of the sum of squares of shifts / noise_std, rounded up."""
    live = shifts > 0.0
    if not live.any():
        return 0.0
    with np.errstate(divide="ignore", over="ignore"):
        ratios = np.maximum(shifts[live] / noise_std[live], 2.0**-1022)
    top = float(ratios.max())
    return top if top == np.inf else float(_up(top * np.sqrt(np.sum((ratios / top) ** 2))))


def _over(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    """The quotient of nonnegative numbers, infinite over 0."""
    denominator = np.asarray(denominator)
    shape = np.broadcast_shapes(np.shape(numerator), denominator.shape)
    with np.errstate(over="ignore"):
        return np.divide(numerator, denominator, out=np.full(shape, np.inf), where=denominator > 0.0)


def _up(value: FloatArray, times: float = 1.0) -> FloatArray:
    """A positive value rounded up; what has underflowed to 0 becomes positive again."""
    return np.nextafter(value * (1.0 + times * _ROUND * _SLACK), np.inf)
