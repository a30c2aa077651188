"""From a Rényi divergence at one order to (epsilon, delta): the simple conversion and the improved one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import log_ndtr, ndtr

from bounds import renyi_dp

from ..claim import Claim, Mutant
from ..court import Court
from ..legs import Comparison
from ..verdict import Truth


@dataclass(frozen=True)
class TwoPoints:
    """P = (p, 1-p) against Q = (q, 1-q) on two points, p > q; `order` of the conversion and `delta`."""

    log_p: float
    log_ratio: float
    order: float
    delta: float
    kind: str = "two points"

    def divergence(self, order: float) -> float:
        """D_order(P || Q)."""
        p, q = math.exp(self.log_p), math.exp(self.log_p - self.log_ratio)
        near = self.log_p + (order - 1) * self.log_ratio
        far = order * math.log1p(-p) - (order - 1) * math.log1p(-q)
        return float(np.logaddexp(near, far)) / (order - 1)

    def epsilon(self) -> float:
        """Least epsilon >= 0 with P(S) <= e^epsilon Q(S) + delta: only the first point counts, p - e^epsilon q = delta."""
        above = self.log_ratio + math.log1p(-self.delta / math.exp(self.log_p))
        return max(above, 0.0)


@dataclass(frozen=True)
class GaussianShift:
    """N(mu, 1) against N(0, 1)."""

    mu: float
    order: float
    delta: float
    kind: str = "Gaussian shift"

    def divergence(self, order: float) -> float:
        """D_order(N(mu, 1) || N(0, 1))."""
        return order * self.mu**2 / 2

    def epsilon(self) -> float:
        """Least epsilon >= 0 with Phi(mu/2 - eps/mu) - e^eps Phi(-mu/2 - eps/mu) <= delta."""
        if 2 * ndtr(self.mu / 2) - 1 <= self.delta:
            return 0.0
        # Above the upper end the tail alone is less than delta.
        high = self.mu**2 / 2 + self.mu * (math.sqrt(-2 * math.log(self.delta)) + 1)
        return float(brentq(lambda eps: self._log_delta(eps) - math.log(self.delta), 0.0, high, xtol=1e-13, rtol=1e-14))

    def _log_delta(self, epsilon: float) -> float:
        near = float(log_ndtr(self.mu / 2 - epsilon / self.mu))
        far = epsilon + float(log_ndtr(-self.mu / 2 - epsilon / self.mu))
        return near + math.log(-math.expm1(far - near))


Case = TwoPoints | GaussianShift


def attaining(order: float, delta: float, epsilon: float) -> TwoPoints:
    """The two-point law on which Markov's step of the improved conversion loses nothing.

    p = a delta and p/q = e^epsilon a/(a-1): exactly the share 1/a of the mass p lies above e^epsilon q.
    """
    return TwoPoints(math.log(order * delta), epsilon + math.log(order / (order - 1)), order, delta, "attaining")


def cases(court: Court, rng: np.random.Generator) -> Iterator[Case]:
    for delta in (1e-5, 1e-8, 1e-12):
        for order, epsilon in ((4.0, 10.0), (4.0, 15.0), (8.0, 10.0), (2.0, 40.0)):
            yield attaining(order, delta, epsilon)
    yield GaussianShift(1.0, 5.7, 1e-5)
    for _ in range(60 * court.effort):
        order, delta = float(1 + np.exp(rng.normal(1.0))), float(10 ** rng.uniform(-12, -1))
        if rng.random() < 0.2:
            yield GaussianShift(float(np.exp(rng.normal())), order, delta)
            continue
        log_p = math.log(delta) * float(rng.uniform(0.01, 0.999))
        yield TwoPoints(log_p, float(np.exp(rng.normal(1.0))), order, delta)


def exact_epsilon(case: Case) -> Truth:
    """Rounding: 1e-13 of what is subtracted for two points; 1e-9 for the root of the Gaussian shift."""
    value = case.epsilon()
    if value == 0:
        return Truth(-math.inf, -math.inf)
    if isinstance(case, GaussianShift):
        return Truth.of(value, 1e-9)
    return Truth.of(value, 1e-13 * (1 + case.log_ratio) / value)


def simple(case: Case) -> float:
    divergence = case.divergence(case.order)
    return float(renyi_dp.epsilon_simple(order=case.order, divergence=divergence, delta=case.delta))


def improved(case: Case) -> float:
    divergence = max(case.divergence(case.order), 0.0)
    return float(renyi_dp.epsilon_improved(order=case.order, divergence=divergence, delta=case.delta))


def conversion(
    price: Callable[[float, float], float], *, less: Callable[[float], float] = lambda a: 0.0, order: float = 0.0
) -> Callable[[Case], float]:
    """D_(a+order) + price(a, log 1/delta) - less(a), at least 0."""

    def promise(case: Case) -> float:
        divergence = case.divergence(max(case.order + order, 1 + 1e-9))
        return max(divergence + price(case.order, -math.log(case.delta)) - less(case.order), 0.0)

    return promise


CLAIMS = (
    Claim(
        id="mironov2017.conversion.simple",
        source="Mironov 2017, from RDP to (epsilon, delta); also the released code of Chien et al. 2024",
        statement="D_a(P||Q) <= D implies P(S) <= e^eps Q(S) + delta with eps = D + log(1/delta)/(a-1).",
        provenance="public code",
        against="the exact epsilon of two-point laws and of shifted Gaussians",
        promise=simple,
        legs=(Comparison(instances=cases, truth=exact_epsilon),),
        expected="survived",
        why="Only two-point laws with delta <= 1e-5 come close enough to catch its mutants.",
        mutants=(
            Mutant(name="1/a for 1/(a-1)", promise=conversion(lambda a, cost: cost / a)),
            Mutant(name="divergence at order a-1", promise=conversion(lambda a, cost: cost / (a - 1), order=-1.0)),
        ),
    ),
    Claim(
        id="mironov2017.conversion.improved",
        source="Canonne, Kamath, Steinke 2020, from RDP to (epsilon, delta) (form reconstructed)",
        statement="D_a(P||Q) <= D implies eps = D + log((a-1)/a) - (log delta + log a)/(a-1).",
        provenance="reconstructed",
        against="the exact epsilon of two-point laws and of shifted Gaussians",
        promise=improved,
        legs=(Comparison(instances=cases, truth=exact_epsilon, relation="tight"),),
        expected="survived",
        why="Attained, at a fixed order, by two-point laws with p = a delta and p/q = e^eps a/(a-1).",
        mutants=(
            Mutant(
                name="2 log a for log a",
                promise=conversion(
                    lambda a, cost: cost / (a - 1), less=lambda a: math.log(a / (a - 1)) + 2 * math.log(a) / (a - 1)
                ),
            ),
            Mutant(
                name="log((a-1)/a) twice",
                promise=conversion(
                    lambda a, cost: cost / (a - 1), less=lambda a: 2 * math.log(a / (a - 1)) + math.log(a) / (a - 1)
                ),
            ),
            Mutant(
                name="log a for log(a)/(a-1)",
                promise=conversion(lambda a, cost: cost / (a - 1), less=lambda a: math.log(a / (a - 1)) + math.log(a)),
            ),
        ),
    ),
)
