"""AD-5, AD-6: the linear plan is the cheapest causal one, and the laws of its budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy import stats

from bounds.adapted_linear import AffinePair, LinearQuadratic
from bounds.adapted_plans import Plan, Step, accumulate
from bounds.adapted_tail import BudgetLaw

from ..claim import Claim, Mutant
from ..court import Court
from ..families.ridge import RidgeInstance
from ..legs import Comparison, Sample, Sampled
from ..verdict import Log, Truth
from ._pairs import Array, affine, expected_budget, noisy, shifts_by_noise
from .sure_budget import SOURCE


def deletions(court: Court, rng: np.random.Generator) -> Iterator[RidgeInstance]:
    """Small ones whose numbers a dense solve resolves."""
    for instance in noisy(court, rng, 30):
        pair = affine(instance)
        spread = LinearQuadratic(pair).variances
        if np.linalg.cond(spread[0]) < 1e6 and np.linalg.cond(spread[len(pair.noise_std) - 1]) < 1e6:
            yield instance


def cheapest(instance: RidgeInstance) -> Truth:
    """The least E[B] of any plan that is linear in the noise so far and closes the gap, by least norms.

    With w_k = sig_k (a_k + sum_{j<k} L_kj xi_j) the final gap is G_0 - sum_k sig_k Phi_{k+1} a_k without noise, and xi_j
    adds N_j - sum_{k>j} sig_k Phi_{k+1} L_kj: separate least-norm problems.
    """
    pair = affine(instance)
    maps, others, std = pair.base_maps, pair.reference_maps, pair.noise_std
    steps, d = len(std), len(pair.start)
    x, y = pair.start.copy(), pair.start.copy()
    for k in range(steps):
        x, y = maps[k] @ x + pair.base_offsets[k], others[k] @ y + pair.reference_offsets[k]
    phi, psi = [np.eye(d)], [np.eye(d)]
    for k in range(steps - 1, 0, -1):
        phi.insert(0, phi[0] @ others[k])
        psi.insert(0, psi[0] @ maps[k])
    reach = np.hstack([std[k] * phi[k] for k in range(steps)])
    total = float(np.sum(np.linalg.lstsq(reach, x - y, rcond=None)[0] ** 2))
    for j in range(steps - 1):
        wanted = std[j] * (psi[j] - phi[j])
        later = reach[:, (j + 1) * d :]
        total += pair.start.shape[1] * float(np.sum(np.linalg.lstsq(later, wanted, rcond=None)[0] ** 2))
    return Truth.of(total, 1e-8)


def cost(plan: Callable[[AffinePair], Plan]) -> Callable[[RidgeInstance], float]:
    def promise(instance: RidgeInstance) -> float:
        pair = affine(instance)
        return expected_budget(pair, plan(pair))

    return promise


@dataclass(frozen=True)
class Late:
    """The plan with Phi_k where Phi_{k+1} belongs."""

    plan: LinearQuadratic

    def shift(self, step: Step) -> Array:
        phi, _ = self.plan.ahead
        k = step.number
        total = sum(s**2 * phi[j] @ phi[j].T for j, s in enumerate(step.noise_std) if j >= k)
        gain: Array = (
            step.noise_std[k] ** 2 * phi[k].T @ np.linalg.solve(total, self.plan.predicted(k, step.base, step.follower))
        )
        return gain


@dataclass(frozen=True)
class Shortsighted:
    """The plan without a forecast: only the gap that is open now."""

    plan: LinearQuadratic

    def shift(self, step: Step) -> Array:
        phi, _ = self.plan.ahead
        k = step.number
        gap = phi[k + 1] @ step.gap
        gain: Array = step.noise_std[k] ** 2 * phi[k + 1].T @ np.linalg.pinv(self.plan.variances[k]) @ gap
        return gain


@dataclass(frozen=True, eq=False)
class Moment:
    """log E exp(theta B) of a deletion's plan."""

    ridge: RidgeInstance
    theta: float
    kind: str = "moment"

    def __str__(self) -> str:
        return f"{self.ridge}, theta {self.theta:.6g}"


def moments(court: Court, rng: np.random.Generator) -> Iterator[Moment]:
    for instance in deletions(court, rng):
        pair = affine(instance)
        _, response = shifts_by_noise(pair, LinearQuadratic(pair))
        threshold = 0.5 / max(float(np.linalg.norm(response, 2)) ** 2, 1e-12)
        for share in (0.9, 0.3, -1.0):
            yield Moment(instance, share * min(threshold, 1e3))


def moment_truth(case: Moment) -> Truth:
    """exp of it, as a Gaussian integral over all the noise at once."""
    pair = affine(case.ridge)
    mean, response = shifts_by_noise(pair, LinearQuadratic(pair))
    inner = np.eye(len(response)) - 2 * case.theta * response.T @ response
    pulled = response.T @ mean
    value = case.theta * float(np.sum(mean**2))
    value += 2 * case.theta**2 * float(np.sum(pulled * np.linalg.solve(inner, pulled)))
    value -= 0.5 * mean.shape[1] * float(np.linalg.slogdet(inner)[1])
    return Truth.of_log(value, 1e-10 * (1 + abs(value)))


def by_recursion(case: Moment) -> Log:
    return Log(LinearQuadratic(affine(case.ridge)).log_moment(case.theta))


def altered(*, log_det: float = 1.0, quadratic: float = 1.0) -> Callable[[Moment], Log]:
    """The recursion's two parts weighed anew: the log-determinants are what is left at a zero start."""

    def promise(case: Moment) -> Log:
        pair = affine(case.ridge)
        plan = LinearQuadratic(pair)
        whole = plan.log_moment(case.theta)
        silent = LinearQuadratic(pair)
        silent.__dict__["start"] = np.zeros_like(plan.start)
        constant = silent.log_moment(case.theta)
        return Log(log_det * constant + quadratic * (whole - constant))

    return promise


def simulated(court: Court, rng: np.random.Generator, false_alarm: float) -> tuple[Moment, Sample]:
    """E exp(theta B) at a negative theta from runs of the plan: values in [0, 1], Hoeffding's interval."""
    instance = next(case for case in noisy(court, rng, 0) if case.kind == "three rows")
    pair = affine(instance)
    plan = LinearQuadratic(pair)
    theta, runs = -0.5 / expected_budget(pair, plan), 60_000 * court.effort
    start = np.zeros((runs, *pair.start.shape))
    found = accumulate(pair.base, pair.reference, pair.noise_std, start, plan, rng)
    mean, radius = float(np.exp(theta * found.budgets).mean()), math.sqrt(math.log(2 / false_alarm) / (2 * runs))
    sample = Sample(math.log(mean - radius), math.log(mean + radius), runs, 2 * radius / mean)
    return Moment(instance, theta), sample


@dataclass(frozen=True)
class Excess:
    """Pr[B > budget] of a budget with one random part: a shifted, scaled non-central chi-square."""

    weight: float
    pull: float
    base: float
    columns: int
    budget: float
    kind: str = "tail"

    @property
    def law(self) -> BudgetLaw:
        return BudgetLaw(np.array([self.weight]), np.array([self.pull]), self.base, self.columns)


def excesses(court: Court, rng: np.random.Generator) -> Iterator[Excess]:
    for _ in range(40 * court.effort):
        weight, pull = float(np.exp(rng.uniform(-3, 0))), float(rng.choice([0.0, np.exp(rng.uniform(-3, 0))]))
        law = Excess(weight, pull, pull**2 / weight + float(rng.random()), int(rng.integers(1, 4)), 0.0)
        reach = law.law.mean + math.sqrt(law.law.variance) * float(rng.uniform(0.5, 8))
        yield Excess(law.weight, law.pull, law.base, law.columns, reach)


def excess_truth(case: Excess) -> Truth:
    """weight |zeta|^2 + 2 pull zeta_1 = weight |zeta + pull/weight|^2 - pull^2/weight."""
    moved = case.pull**2 / case.weight
    place = (case.budget - case.base + moved) / case.weight
    noncentral = moved / case.weight
    value = stats.ncx2.sf(place, case.columns, noncentral) if noncentral else stats.chi2.sf(place, case.columns)
    return Truth.of(float(value), 1e-6 + 1e-13 / max(float(value), 1e-13))


def tail(case: Excess) -> Log:
    return Log(case.law.tail(case.budget))


def chernoff(case: Excess) -> Log:
    return Log(case.law.chernoff_tail(case.budget))


def chernoff_squared(case: Excess) -> Log:
    return Log(1.5 * case.law.chernoff_tail(case.budget))


def without_pole(case: Excess) -> Log:
    """The contour integral with its pole forgotten: a density read as a tail."""
    law = case.law
    spread = math.sqrt(law.variance)
    step = 1e-3 * spread
    return Log(math.log(max(math.exp(law.tail(case.budget)) - math.exp(law.tail(case.budget + step)), 1e-300) / step))


CLAIMS = (
    Claim(
        id="adapted.cheapest_plan",
        source=SOURCE,
        statement="w_k = sigma_k^2 Phi_{k+1}' V_k^{-1} G_k closes the gap and has the least E[B] of all causal linear plans.",
        provenance="derived",
        against="the least-norm problems of all causal linear plans; E[B] from the plan's response to single noises",
        promise=cost(LinearQuadratic),
        legs=(Comparison(instances=deletions, truth=cheapest, relation="equal", tolerance=1e-7),),
        expected="survived",
        mutants=(
            Mutant(name="Phi_k for Phi_{k+1}", promise=cost(lambda pair: Late(LinearQuadratic(pair)))),
            Mutant(name="no forecast", promise=cost(lambda pair: Shortsighted(LinearQuadratic(pair)))),
        ),
    ),
    Claim(
        id="adapted.cumulant",
        source=SOURCE,
        statement="log E exp(theta B) by the backward recursion.",
        provenance="derived",
        against="the Gaussian integral over all noise at once, and runs of the plan",
        promise=by_recursion,
        legs=(
            Comparison(instances=moments, truth=moment_truth, relation="equal", tolerance=1e-6),
            Sampled(draw=simulated, relation="equal"),
        ),
        expected="survived",
        mutants=(
            Mutant(name="log-determinant with the wrong sign", promise=altered(log_det=-1.0)),
            Mutant(name="half the quadratic term", promise=altered(quadratic=0.5)),
        ),
    ),
    Claim(
        id="adapted.tail",
        source=SOURCE,
        statement="The contour integral is Pr[B > t], to 1e-6.",
        provenance="derived",
        against="non-central chi-square laws",
        promise=tail,
        legs=(Comparison(instances=excesses, truth=excess_truth, relation="equal", tolerance=3e-6),),
        expected="survived",
        mutants=(Mutant(name="the pole forgotten", promise=without_pole),),
    ),
    Claim(
        id="adapted.chernoff",
        source=SOURCE,
        statement="Pr[B > t] <= exp(K(theta) - theta t).",
        provenance="derived",
        against="non-central chi-square laws",
        promise=chernoff,
        legs=(Comparison(instances=excesses, truth=excess_truth, tolerance=3e-6),),
        expected="survived",
        mutants=(Mutant(name="one and a half times the exponent", promise=chernoff_squared),),
    ),
)
