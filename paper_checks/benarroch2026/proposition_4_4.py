"""Proposition 4.4: quantiles of the residual norm at every step, and how many steps share delta_s."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import gammaincc, gammaln, log_ndtr, logsumexp, ndtr

from bounds import sensitivity
from linear.audit import clopper_pearson

from ..claim import Claim, Mutant
from ..court import Court
from ..legs import Comparison, Sample, Sampled
from ..verdict import Truth

SOURCE = "Benarroch, Atif, Cappe 2026, Proposition 4.4 (formulas reconstructed from its title)"


@dataclass(frozen=True)
class Residual:
    """|R| for R ~ N(m, std^2 I_dof), |m| = mean_norm, and a tail probability."""

    mean_norm: float
    std: float
    dof: int
    tail: float
    kind: str = "random"


def residuals(court: Court, rng: np.random.Generator) -> Iterator[Residual]:
    yield Residual(0.9, 0.1, 10, 1e-6, "round numbers")
    yield Residual(2.0, 1.0, 1, 1e-2, "round numbers")
    yield Residual(0.0, 1.0, 2, 0.5, "central")
    yield Residual(1.5, 0.0, 3, 1e-3, "step 0")
    for _ in range(60 * court.effort):
        yield Residual(
            float(np.exp(rng.normal())),
            float(np.exp(rng.normal(-0.5))),
            int(rng.integers(1, 21)),
            float(10 ** rng.uniform(-10, -0.3)),
        )


def log_survival(case: Residual, radius: float) -> float:
    """log P(|R| > radius) as a Poisson mixture of central chi-square tails, every term positive."""
    half, level = 0.5 * (case.mean_norm / case.std) ** 2, 0.5 * (radius / case.std) ** 2
    spread = 12 * math.sqrt(half + level) + 60
    terms = np.arange(max(0, math.floor(min(half, level) - spread)), math.ceil(max(half, level) + spread))
    weights = -half + terms * (math.log(half) if half > 0 else 0.0) - gammaln(terms + 1)
    if half == 0:
        weights = np.where(terms == 0, 0.0, -np.inf)
    tails = gammaincc(0.5 * case.dof + terms, level)
    with np.errstate(divide="ignore"):
        return float(logsumexp(weights + np.log(tails)))


def true_quantile(case: Residual) -> Truth:
    if case.std == 0:
        return Truth.of(case.mean_norm)
    log_tail = math.log(case.tail)
    high = case.mean_norm + case.std * (math.sqrt(case.dof) + math.sqrt(-2 * log_tail) + 1)
    root = brentq(lambda r: log_survival(case, r) - log_tail, 1e-9, high, xtol=1e-14, rtol=1e-14)
    return Truth.of(float(root), 2e-10)


def quantile(
    *,
    mean: Callable[[Residual], float] = lambda case: case.mean_norm,
    std: Callable[[Residual], float] = lambda case: case.std,
    dof: int = 0,
    tail: Callable[[Residual], float] = lambda case: case.tail,
) -> Callable[[Residual], float]:
    def promise(case: Residual) -> float:
        return float(sensitivity.residual_quantile(mean(case), std(case), case.dof + dof, tail(case)))

    return promise


@dataclass(frozen=True)
class ThreeSteps:
    """A scalar learning chain of T = 3 steps from 0: residuals R_1, R_2 are jointly Gaussian (R_0 is fixed).

    X_{k+1} = (1 - eta (x^2 + rest + ridge)) X_k + eta (x y + cross) + noise xi; the residual is x X_k - y. `rest` and
    `cross` stand for the other rows.
    """

    row: float
    target: float
    rest: float
    cross: float
    step_size: float
    noise: float
    delta_s: float
    kind: str = "three steps"

    @property
    def factor(self) -> float:
        return 1 - self.step_size * (self.row**2 + self.rest)

    @property
    def drift(self) -> float:
        return self.step_size * (self.row * self.target + self.cross)

    def moments(self) -> tuple[float, float, float, float]:
        """(mean R_1, std R_1, mean R_2, std R_2)."""
        first, second = self.drift, self.factor * self.drift + self.drift
        scale = abs(self.row) * self.noise
        return (
            self.row * first - self.target,
            scale,
            self.row * second - self.target,
            scale * math.sqrt(1 + self.factor**2),
        )


def three_steps(court: Court, rng: np.random.Generator) -> Iterator[ThreeSteps]:
    # Factor 0 makes the two residuals' noises independent: there the union bound is nearly attained.
    yield ThreeSteps(1.0, 1.0, 1.0, 0.0, 0.5, 1.0, 0.01, "independent steps")
    yield ThreeSteps(1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1e-6, "independent steps")
    for _ in range(40 * court.effort):
        row = float(np.exp(0.3 * rng.normal()))
        rest = float(rng.exponential())
        step = float(rng.uniform(0.1, 1.0) / (row**2 + rest))
        yield ThreeSteps(
            row,
            float(rng.normal()),
            rest,
            float(rng.normal()),
            step,
            float(np.exp(rng.normal())),
            float(10 ** rng.uniform(-6, -1)),
        )


def radii(case: ThreeSteps, per_step: float) -> tuple[float, float]:
    """Quantiles of |R_1|, |R_2| (one output: Phi(a-r) + Phi(-a-r) = tail solved in logs), independent of `bounds`."""
    first, spread, second, wider = case.moments()
    return _radius(abs(first) / spread, per_step) * spread, _radius(abs(second) / wider, per_step) * wider


def _radius(shift: float, tail: float) -> float:
    def gap(r: float) -> float:
        return float(np.logaddexp(log_ndtr(shift - r), log_ndtr(-shift - r))) - math.log(tail)

    return float(brentq(gap, 0.0, shift + 40.0, xtol=1e-13))


def event(count: float) -> Callable[[ThreeSteps], Truth]:
    """P(|R_1| > r_1 or |R_2| > r_2) when every event is given delta_s/count; exact by one quadrature."""

    def truth(case: ThreeSteps) -> Truth:
        per_step = case.delta_s / count
        r1, r2 = radii(case, per_step)
        first, spread, second, _ = case.moments()

        def second_given(noise: float) -> float:
            centre = second + case.factor * spread * noise
            density = math.exp(-0.5 * noise * noise) / math.sqrt(2 * math.pi)
            return density * float(ndtr((-r2 - centre) / spread) + ndtr((centre - r2) / spread))

        low, high = (-r1 - first) / spread, (r1 - first) / spread
        inside = quad(second_given, low, high, epsabs=0, epsrel=1e-11, limit=400)[0]
        return Truth.of(per_step + inside, 1e-8)

    return truth


def simulated_event(court: Court, rng: np.random.Generator, false_alarm: float) -> tuple[ThreeSteps, Sample]:
    """The chain itself, step by step: how often some residual leaves its radius."""
    case = ThreeSteps(1.0, 1.0, 1.0, 0.0, 0.5, 1.0, 0.01, "independent steps")
    runs = 400_000 * court.effort
    r1, r2 = radii(case, case.delta_s / 2)
    weights, outside = np.zeros(runs), np.zeros(runs, dtype=bool)
    for radius in (r1, r2):
        residual = case.row * weights - case.target
        gradient = case.row * residual + case.rest * weights - case.cross
        weights = weights - case.step_size * gradient + case.noise * rng.standard_normal(runs)
        outside |= np.abs(case.row * weights - case.target) > radius
    lower, upper = clopper_pearson(int(outside.sum()), runs, 1 - false_alarm)
    return case, Sample(math.log(lower), math.log(upper), runs, float(upper / lower - 1))


CLAIMS = (
    Claim(
        id="benarroch2026.proposition_4_4.quantile",
        source=SOURCE,
        statement=(
            "|W_k'x - y| <= sqrt(v_k q) with probability 1 - p, q the upper p-quantile of the noncentral chi-square "
            "with C degrees of freedom and noncentrality |m_k|^2/v_k; at k = 0 the residual is not random and q costs nothing."
        ),
        provenance="reconstructed",
        against="the quantile from a Poisson mixture of central chi-square tails",
        promise=quantile(),
        legs=(Comparison(instances=residuals, truth=true_quantile, relation="equal"),),
        expected="survived",
        mutants=(
            Mutant(name="central (noncentrality dropped)", promise=quantile(mean=lambda case: 0.0)),
            Mutant(name="C+1 for C", promise=quantile(dof=1)),
            Mutant(name="noncentrality not squared", promise=quantile(mean=lambda case: math.sqrt(case.mean_norm))),
            Mutant(name="variance for std", promise=quantile(std=lambda case: case.std**2)),
            Mutant(name="two-sided tail p/2", promise=quantile(tail=lambda case: case.tail / 2)),
        ),
    ),
    Claim(
        id="benarroch2026.proposition_4_4.joint_event",
        source=SOURCE,
        statement="With every random step given delta_s/(T-1), P(some |e_k| > s_k) <= delta_s.",
        reading="union bound over the T-1 random steps that enter the recursion (k = 1..T-1)",
        provenance="derived",
        against="the exact probability for T = 3, by quadrature; and the chain itself",
        promise=lambda case: case.delta_s,
        legs=(
            Comparison(instances=three_steps, truth=event(2.0), tolerance=1e-7),
            Sampled(draw=simulated_event),
        ),
        expected="survived",
        why="Nearly attained where the steps' noises are independent; exponents of delta_s cannot be improved.",
        mutants=(
            Mutant(
                name="delta_s at every step (no union bound)", leg=Comparison(instances=three_steps, truth=event(1.0))
            ),
            Mutant(name="T-2 events counted", leg=Comparison(instances=three_steps, truth=event(1.0))),
            Mutant(
                name="T events counted",
                leg=Comparison(instances=three_steps, truth=event(3.0), tolerance=1e-7),
                true_because="counting more events than are random only shrinks each tail",
            ),
            Mutant(
                name="T+1 events counted",
                leg=Comparison(instances=three_steps, truth=event(4.0), tolerance=1e-7),
                true_because="counting more events than are random only shrinks each tail",
            ),
        ),
    ),
)
