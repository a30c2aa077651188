"""Where the slack goes: from the exact Rényi divergence of one deletion to the published bounds, link by link.

Every value bounds the divergence of the unlearned law from the one that retrains without the row and continues, at one
order and after one number of unlearning steps; each link replaces one exact ingredient by what the theory uses, and its
factor is what that costs. Two chains: Langevin unlearning (uniform) and the per-instance reading.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

import linear
from bounds import langevin_unlearning, lsi_decay, per_instance_unlearning
from bounds.deletion.theories.case import Array, Case
from bounds.deletion.theories.catalogue import EXACT
from bounds.deletion.theories.renyi import common_rate, moment_losses, own_rate, per_instance_slope, temperature
from linear.gaussian_renyi import scalar_renyi

_BOUNDARY = 1e-12  # how far from infinite, relative, a Gaussian moment must be to count as finite


@dataclass(frozen=True)
class Link:
    """One bound and what it costs over the one before: `factor` is 1 for the first, inf where it turns infinite.

    Below 1 only where clipping makes finite what the unclipped laws, or a sharper but longer proof, leave larger.
    """

    chain: str
    what: str
    value: float
    factor: float


@dataclass(frozen=True)
class Stationarity:
    """Distances between retraining and the stationary law at the orders of `to_retraining`, and when they are finite.

    away: D_(4a-1)(retrained || stationary), back: D_(2a-1)(stationary || retrained), the irreducible term; back is
    finite from `learn_steps_needed` learning steps on, away always is for a start at one point.
    """

    away: float
    back: float
    learn_steps_needed: float


def path_divergence(
    problem: linear.RidgeProblem, schedule: linear.Schedule, index: int, order: float, *, reverse: bool = False
) -> float:
    """D_order of the whole learning path with row `index` from the path without it; `reverse` exchanges them.

    Derived here: with gap e_t = -step_size x r_t' on the reference drift, a Gaussian tilt gives
    E_Q[(P/Q)^u] = E_u exp(u (u-1) sum_t |e_t|^2 / (2 noise^2)), E_u over the chain whose drift has u times the gap, that
    is over ridge with the row counted u times; u = order, or 1 - order for the reverse. The residuals r_t of that chain
    are jointly Gaussian over the T steps, so the moment is a determinant of size T; +inf where it does not exist.
    """
    x, y, eta = problem.features[index], problem.targets[index], schedule.step_size
    tilt = 1 - order if reverse else order
    curvature, basis = np.linalg.eigh(problem.hessian + (tilt - 1) * np.outer(x, x))
    pull = eta * (basis.T @ (problem.cross + (tilt - 1) * np.outer(x, y)))
    row, factors = basis.T @ x, 1 - eta * curvature
    weights, learn = basis.T @ problem.initial, schedule.learn_steps
    means = np.empty((learn, problem.n_outputs))
    with np.errstate(over="ignore", invalid="ignore"):
        for k in range(learn):
            means[k] = row @ weights - y
            weights = factors[:, None] * weights + pull
        powers = factors[:, None] ** np.arange(learn)
        gains = np.hstack([np.zeros((len(factors), 1)), np.cumsum(powers**2, axis=1)[:, :-1]])
        covariance = np.zeros((learn, learn))
        for k in range(learn):
            covariance[k, k:] = (row**2 * gains[:, k]) @ powers[:, : learn - k]
    if not (np.isfinite(covariance).all() and np.isfinite(means).all()):
        return math.inf
    covariance = np.triu(covariance) + np.triu(covariance, 1).T
    # noise^2 of the covariance cancels that of the exponent
    unit = order * (order - 1) * eta**2 * float(x @ x)
    spectrum, directions = np.linalg.eigh(unit * covariance)
    if spectrum.max(initial=0.0) >= 1 - _BOUNDARY:
        return math.inf
    shifted = np.sum((directions.T @ means) ** 2, axis=1)
    log_moment = -problem.n_outputs / 2 * np.log1p(-spectrum).sum()
    log_moment += unit / schedule.learn_noise**2 / 2 * float(np.sum(shifted / (1 - spectrum)))
    return float(log_moment) / (order - 1)


def stationarity(case: Case, order: float) -> Stationarity:
    """How far the law of retraining is from the stationary one, for the reference dynamics at the learning noise."""
    schedule, reference = case.schedule, case.problem.without(0)
    factors = 1 - schedule.step_size * reference.eigenvalues
    left = np.maximum(factors, 0.0) ** schedule.learn_steps
    limit = schedule.learn_noise**2 / (1 - factors**2)
    reached = limit * -np.expm1(2 * schedule.learn_steps * np.log(np.maximum(factors, 1e-300)))
    to_go = left[:, None] * (reference.eigenvectors.T @ (reference.initial - reference.minimiser))

    def divergence(first: Array, second: Array, at: float) -> float:
        return float(scalar_renyi(to_go, first[:, None], 0.0, second[:, None], order=at).sum())

    slowest = float(factors.max())
    needed = math.floor(math.log(2 * order - 1) / (-2 * math.log(slowest))) + 1 if 0 < slowest < 1 else math.inf
    return Stationarity(
        away=divergence(reached, limit, 4 * order - 1),
        back=divergence(limit, reached, 2 * order - 1),
        learn_steps_needed=needed,
    )


def chains(case: Case, *, order: float, steps: int | None = None) -> tuple[list[Link], int, Stationarity]:
    """Both chains at `order`, after `steps` unlearning steps at the schedule's noise.

    `steps` None takes what the exact laws need for the case's budget. Returns the links, the steps and the stationarity
    terms.
    """
    if not (math.isfinite(order) and order > 1):
        raise ValueError(f"order = {order!r}: must be finite and above 1")
    used = int(EXACT.steps(case)) if steps is None else steps
    noise, schedule, uniform = case.schedule.unlearn_noise, case.schedule, case.uniform
    exact = _two_sided(case, used, order)
    rate = own_rate(case, noise, used)

    def decayed(initial: float, total: float) -> float:
        return float(lsi_decay.unlearning_bound(order=order, initial=initial, rate=total, unlearn_steps=1))

    learned = _two_sided(case, 0, order)
    common = [
        ("exact", exact),
        (
            "decay by log-Sobolev rate, orders moving (hypercontractive)",
            lsi_decay.hypercontractive_bound(
                order=order, initial=lambda at: _two_sided(case, 0, at), rate=rate, unlearn_steps=1
            ),
        ),
        ("decay at 1/order of that rate", decayed(learned, rate)),
    ]
    learn = temperature(schedule.learn_noise, case.step_size)
    published = lsi_decay.strongly_convex_constant(temperature=learn, strong_convexity=uniform.strong_convexity)
    slow = common_rate(published, uniform.contraction, noise, used)
    constants = lsi_decay.lsi_evolution(
        constant=0.0,
        contraction=uniform.contraction,
        step_size=case.step_size,
        temperature=learn,
        steps=schedule.learn_steps,
    )[1:]

    def with_gap(gradient: float) -> float:
        return float(
            langevin_unlearning.learning_bound_constants(
                order=order,
                step_size=case.step_size,
                temperature=learn,
                lipschitz=gradient / 2,
                size=1,
                constants=constants,
            )
        )

    def closed(learn_steps: float) -> float:
        return float(
            langevin_unlearning.learning_bound(
                order=order,
                step_size=case.step_size,
                temperature=learn,
                strong_convexity=uniform.strong_convexity,
                smoothness=uniform.smoothness,
                lipschitz=uniform.gradient,
                size=1,
                learn_steps=learn_steps,
                cut="exponential",
            )
        )

    own = float(case.sensitivity.max()) / case.step_size
    langevin = [
        ("the published log-Sobolev constant 2 sigma^2 / m in the rate", decayed(learned, slow)),
        ("learning by half the noise, this row's largest gradient", decayed(with_gap(own), slow)),
        ("the largest gradient M of any row", decayed(with_gap(uniform.gradient), slow)),
        ("replacement: gap 2 M", decayed(with_gap(2 * uniform.gradient), slow)),
        ("closed form with 1 - e^(-m step_size T)", decayed(closed(schedule.learn_steps), slow)),
        ("published: converged learning, 4 a M^2 / (m sigma^2)", decayed(closed(math.inf), slow)),
    ]
    path = max(path_divergence(case.problem, schedule, 0, order, reverse=reverse) for reverse in (False, True))
    slope = per_instance_slope(case)
    terms = stationarity(case, order)
    per_instance = [
        ("joint path of learning in place of its end", decayed(path, rate)),
        ("losses of the steps at their largest, added up", decayed(order * slope, rate)),
        (
            "compared with retraining alone: two triangles and the stationarity terms",
            per_instance_unlearning.to_retraining(
                order=order,
                loss=4 * order * slope,
                retrained_to_stationary=terms.away,
                stationary_to_retrained=terms.back,
                rate=rate,
                unlearn_steps=1,
            ),
        ),
    ]
    links = _linked("Langevin unlearning", common + langevin) + _linked("per-instance reading", common + per_instance)
    return links, used, terms


def moments_finite(case: Case) -> tuple[int, int]:
    """At how many of the orders tried the Gaussian-moment composition is finite, and how many were tried."""
    losses = moment_losses(case)[1]
    return int(np.isfinite(losses).sum()), len(losses)


def _two_sided(case: Case, steps: int, order: float) -> float:
    pair = linear.deletion_pair(case.problem, replace(case.schedule, unlearn_steps=steps), 0)
    return max(float(pair.renyi(order)), float(pair.renyi(order, reverse=True)))


def _linked(chain: str, values: list[tuple[str, float]]) -> list[Link]:
    links, before = [], values[0][1]
    for what, value in values:
        factor = 1.0 if value == before else (value / before if before > 0 and math.isfinite(value) else math.inf)
        links.append(Link(chain, what, value, factor))
        before = value
    return links
