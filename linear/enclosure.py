"""Certified intervals of the log hockey-stick between two Gaussians, in ball arithmetic (Arb, through python-flint).

What is certified: for the doubles (or balls) given, taken as exact, the natural log of

    H_t(P || Q) = sup_S P(S) - t Q(S),   t = e^epsilon,

lies in the interval returned, rounding included. Where that cannot be shown the answer is a FloatingPointError.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from flint import arb, arb_mat, ctx
from numpy.typing import ArrayLike

from linear import _checks
from linear._ball_hockey_stick import Interval, log_hockey_stick
from linear._ball_linalg import LARGEST_DIMENSION, as_balls, checked_covariance, diagonalise
from linear._deletion import Requests, noise_of_requests

if TYPE_CHECKING:
    from linear.ridge import RidgeProblem
    from linear.schedule import Schedule

__all__ = ["enclose_deletion", "enclose_gdp", "enclose_pair", "enclose_requests"]

RELATIVE_WIDTH = 1e-12
_PRECISIONS = (256, 512, 1024)
_LARGEST_PRECISION = 1 << 15


def enclose_pair(
    mean_p: ArrayLike | arb_mat,
    cov_p: ArrayLike | arb_mat,
    mean_q: ArrayLike | arb_mat,
    cov_q: ArrayLike | arb_mat,
    epsilon: float,
    *,
    reverse: bool = False,
) -> tuple[float, float]:
    """Certified interval of log H_{e^epsilon}(P || Q), or of log H_{e^epsilon}(Q || P) if `reverse`.

    P = N(mean_p, cov_p), Q = N(mean_q, cov_q), independently in every column with the same covariances. Derived here:
    a simultaneous diagonalisation checked in balls (equal and clustered eigenvalues welcome), then a contour integral
    of the cumulant of log dP/dQ through its saddle, with rigorous quadrature and a bound on what is cut off.

    Parameters
    ----------
    mean_p, mean_q : (d,) or (d, C). Arrays of floats, taken as exact, or matrices (or arrays) of `flint.arb`.
    cov_p, cov_q : (d, d), symmetric and positive definite. Floats or balls.
    epsilon : any finite float.

    Returns
    -------
    (lower, upper), natural logs, rounded outward. The relative width of H is at most 1e-12, to which each end adds its
    rounding to a double (visible below -4096). Exactly (-inf, -inf) where H is certainly zero. (-inf, upper) with
    upper < -1e6 where H is that small and may be zero: laws that agree in some direction up to the width of the balls.

    Raises
    ------
    FloatingPointError
        If no interval can be certified: a covariance singular or nearly so, balls too wide, more than 64 dimensions.
    """
    epsilon = _checks.finite("epsilon", epsilon)
    means = as_balls(mean_p, "mean_p"), as_balls(mean_q, "mean_q")
    shapes = [(mean.nrows(), mean.ncols()) for mean in means]
    if shapes[0] != shapes[1]:
        raise ValueError(f"mean_p, mean_q have shapes {shapes[0]}, {shapes[1]}: must be the same")
    dimension = shapes[0][0]
    covariances = checked_covariance(cov_p, "cov_p", dimension), checked_covariance(cov_q, "cov_q", dimension)
    if dimension > LARGEST_DIMENSION:
        raise FloatingPointError(f"dimension {dimension}: certified up to {LARGEST_DIMENSION} only")
    if reverse:
        means, covariances = means[::-1], covariances[::-1]

    def attempt() -> Interval:
        gap = means[0] - means[1]
        if _identical(*covariances):
            return _equal_covariances(gap, covariances[0], epsilon)
        return log_hockey_stick(diagonalise(gap, *covariances), arb(epsilon))

    return _outward(_certified(attempt, _PRECISIONS))


def enclose_gdp(mu: float, epsilon: float) -> tuple[float, float]:
    """Certified interval of log d_mu(epsilon), the hockey-stick of N(mu, 1) from N(0, 1).

    d_mu(epsilon) = Phi(a) - e^epsilon Phi(b), a = -epsilon / mu + mu / 2, b = a - mu, in balls wide enough in precision
    to survive the cancellation. (-inf, -inf) at mu = 0, epsilon >= 0.

    Raises
    ------
    FloatingPointError
        If a relative width of 1e-12 is out of reach.
    """
    mu, epsilon = _checks.nonnegative("mu", mu), _checks.finite("epsilon", epsilon)
    precisions = tuple(128 << doubling for doubling in range(8))
    return _outward(_certified(lambda: _shift(arb(mu), epsilon), precisions))


def enclose_deletion(
    problem: RidgeProblem, schedule: Schedule, index: int, epsilon: float, *, reverse: bool = False
) -> tuple[float, float]:
    """Certified interval of log H between the learn-unlearn chain and the reference chain of one deletion.

    The two laws come from the recursion mean <- M mean + step_size B, cov <- M cov M + std^2 I, step by step in balls
    from the doubles of the problem, and from no closed form. P, the unlearned law, makes `learn_steps` steps on all the
    data and `unlearn_steps` on the data without row `index`; Q, the reference, makes them all without it. The cost is
    (steps) x p^3 at a precision that grows with the number of steps: meant for p up to about 20.

    Parameters
    ----------
    problem : with features (n, p), targets (n, C), ridge, initial (p, C); the loss is |XW - Y|^2 / 2 + ridge |W|^2 / 2.
    schedule : with step_size, learn_steps, unlearn_steps, and learn_noise, unlearn_noise, the std injected per step.
    epsilon, reverse, returns, raises : as in `enclose_pair`.
    """
    index = _checks.position("index", index, len(problem.features))
    return enclose_requests(problem, schedule, [index], epsilon, reverse=reverse)


def enclose_requests(
    problem: RidgeProblem,
    schedule: Schedule,
    requests: Requests,
    epsilon: float,
    *,
    unlearn_noise: ArrayLike | None = None,
    reverse: bool = False,
) -> tuple[float, float]:
    """The same for several rows, deleted together or one request after another: see `linear.requests`.

    P learns on all the data and, request by request, makes `unlearn_steps` steps on what no request so far has named;
    Q makes as many steps with the same noises on what is left at the end.
    """
    features = np.asarray(problem.features, dtype=np.float64)
    groups = _checks.requests("requests", requests, len(features))
    noises = noise_of_requests(schedule, len(groups), unlearn_noise)
    targets = np.asarray(problem.targets, dtype=np.float64).reshape(len(features), -1)
    initial = np.asarray(problem.initial, dtype=np.float64).reshape(features.shape[1], -1)
    kept = np.ones(len(features), dtype=bool)
    phases = [(kept.copy(), schedule.learn_steps, schedule.learn_noise)]
    for group, noise in zip(groups, noises, strict=True):
        kept[list(group)] = False
        phases.append((kept.copy(), schedule.unlearn_steps, float(noise)))
    if not any(steps and features[rows & ~kept].any() for rows, steps, _ in phases):
        return enclose_gdp(0.0, epsilon)  # the two chains are the same

    def steps_of() -> list[Step]:
        return [_step(features[rows], targets[rows], problem.ridge, schedule.step_size) for rows, _, _ in phases]

    with ctx.workprec(_PRECISIONS[0]):
        lost_per_step = max(_bits_lost(step[0]) for step in steps_of())
    bits = _PRECISIONS[0] + math.ceil(sum(steps for _, steps, _ in phases) * lost_per_step)
    if bits > _LARGEST_PRECISION:
        raise FloatingPointError(f"the recursion would need {bits} bits of precision: refused")
    with ctx.workprec(bits):
        made = steps_of()
        size = len(initial)
        start = as_balls(initial, "initial"), arb_mat(size, size)
        unlearned, reference = start, start
        for step, (_, steps, noise) in zip(made, phases, strict=True):
            unlearned = _run(unlearned, step, noise, steps)
            reference = _run(reference, made[-1], noise, steps)
    return enclose_pair(*unlearned, *reference, epsilon, reverse=reverse)


def _certified(attempt: Callable[[], Interval], precisions: tuple[int, ...]) -> Interval:
    """The first attempt narrow enough, at growing precision."""
    for bits in precisions:
        with ctx.workprec(bits):
            try:
                lower, upper = attempt()
            except FloatingPointError as error:
                reason = str(error)
                continue
            if lower == arb.neg_inf() or upper - lower < RELATIVE_WIDTH:
                return lower, upper
            reason = f"{lower.str(20)} to {upper.str(20)} is wider than {RELATIVE_WIDTH} relative to H"
    raise FloatingPointError(f"no certified interval at {precisions[-1]} bits: {reason}")


def _outward(interval: Interval) -> tuple[float, float]:
    """Doubles at or outside both ends; log H <= 0 caps the upper one."""
    lower, upper = interval
    low, high = float(lower), min(float(upper), 0.0)
    if arb(low) > lower:
        low = math.nextafter(low, -math.inf)
    if high < 0 and arb(high) < upper:
        high = math.nextafter(high, math.inf)
    return low, high


def _identical(first: arb_mat, second: arb_mat) -> bool:
    """Whether two matrices are exact and equal."""
    return all(x.is_exact() and y.is_exact() and x == y for x, y in zip(first.entries(), second.entries(), strict=True))


def _equal_covariances(gap: arb_mat, covariance: arb_mat, epsilon: float) -> Interval:
    """A shift by mu, the Mahalanobis norm of the gap over all columns."""
    if gap.nrows() == 0:
        return _shift(arb(0), epsilon)
    whitened = diagonalise(gap, covariance, covariance)
    return _shift(sum(whitened.gap, arb(0)).sqrt(), epsilon)


def _shift(mu: arb, epsilon: float) -> Interval:
    """log d_mu(epsilon), mu and all roundings in balls."""
    if mu == 0:
        if epsilon >= 0:
            return arb.neg_inf(), arb.neg_inf()
        ball = (-arb(epsilon).expm1()).log()
        return ball.lower(), ball.upper()
    a = mu / 2 - arb(epsilon) / mu
    b = a - mu
    if a < 0:
        ball = -a * a / 2 + ((_mills(-a) - _mills(-b)) / (2 * arb.pi()).sqrt()).log()
    else:
        root = arb(2).sqrt()
        ball = (((-a / root).erfc() - arb(epsilon).exp() * (-b / root).erfc()) / 2).log()
    if not ball.is_finite():
        raise FloatingPointError(f"cancellation at mu = {mu}, epsilon = {epsilon}")
    return ball.lower(), ball.upper()


def _mills(x: arb) -> arb:
    """Upper tail of the normal over its density, for x > 0: U(1/2, 1/2, x^2 / 2) / sqrt 2."""
    return (x * x / 2).hypgeom_u(arb(0.5), arb(0.5)) / arb(2).sqrt()


Step = tuple[arb_mat, arb_mat]


def _step(features: np.ndarray, targets: np.ndarray, ridge: float, step_size: float) -> Step:
    """One gradient step W -> M W + D: M = I - step_size (X'X + ridge I), D = step_size X'Y."""
    x, y, eta = as_balls(features, "features"), as_balls(targets, "targets"), arb(float(step_size))
    identity = arb_mat(x.ncols(), x.ncols(), [int(i == j) for i in range(x.ncols()) for j in range(x.ncols())])
    hessian = x.transpose() * x + identity * arb(float(ridge))
    return identity - hessian * eta, x.transpose() * y * eta


def _run(law: Step, step: Step, noise: float, steps: int) -> Step:
    """`steps` noisy steps of a law (mean, covariance)."""
    (mean, covariance), (matrix, drift) = law, step
    variance = arb(float(noise)) ** 2
    for _ in range(steps):
        mean = matrix * mean + drift
        covariance = matrix * covariance * matrix
        for i in range(covariance.nrows()):
            covariance[i, i] += variance
    return mean, covariance


def _bits_lost(matrix: arb_mat) -> float:
    """How far one step can widen the balls of a covariance: entrywise, by the row sums of |M| on both sides."""
    widest = max(float(sum((abs(entry) for entry in row), arb(0)).upper()) for row in matrix.tolist())
    return 2 * math.log2(max(widest, 1.0)) + 1e-6
