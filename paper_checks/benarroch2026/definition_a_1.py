"""Definition A.1: a Gaussian-DP parameter means one privacy curve."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import sympy
from scipy.special import log_ndtr

from bounds import gaussian_dp
from linear.enclosure import enclose_gdp

from ..algebra import positive, vanishes
from ..claim import Claim, Mutant
from ..court import Court
from ..legs import Comparison, Symbolic
from ..verdict import Log, Truth


@dataclass(frozen=True)
class Shift:
    """A Gaussian shift of `mu` standard deviations, looked at from epsilon."""

    mu: float
    epsilon: float
    kind: str = "random"


def shifts(court: Court, rng: np.random.Generator) -> Iterator[Shift]:
    for mu, epsilon in ((1.0, 1.0), (1.0, 0.0), (0.1, 1.0), (30.0, 1e4), (1e-6, 1e-6), (2.0, 1e-9), (5.0, 30.0)):
        yield Shift(mu, epsilon, "round numbers")
    for _ in range(200 * court.effort):
        yield Shift(float(np.exp(rng.uniform(-9, 4))), float(np.exp(rng.uniform(-9, 7))))


def truth(case: Shift) -> Truth:
    """Certified interval of the hockey-stick between N(mu, 1) and N(0, 1)."""
    return Truth(*enclose_gdp(case.mu, case.epsilon))


def altered(first: Callable[[float, float], float], second: Callable[[float, float], float]) -> Callable[[Shift], Log]:
    """log(Phi(first) - e^(eps) Phi(second)) with altered arguments; -inf where nothing is left."""

    def promise(case: Shift) -> Log:
        one = float(log_ndtr(first(case.mu, case.epsilon)))
        two = case.epsilon + float(log_ndtr(second(case.mu, case.epsilon)))
        return Log(one + math.log(-math.expm1(two - one)) if two < one else -math.inf)

    return promise


def slope_in_mu(factor: sympy.Rational) -> sympy.Expr:
    """d/dmu of the curve less phi(-eps/mu + mu/2): what is left of the product rule once e^eps phi(b) = phi(a)."""
    mu, eps = positive("mu eps")

    def normal(x: sympy.Expr) -> sympy.Expr:
        return (1 + sympy.erf(x / sympy.sqrt(2))) / 2

    a, b = -eps / mu + factor * mu, -eps / mu - factor * mu
    curve = normal(a) - sympy.exp(eps) * normal(b)
    return sympy.diff(curve, mu) - sympy.exp(-(a**2) / 2) / sympy.sqrt(2 * sympy.pi)


CLAIMS = (
    Claim(
        id="benarroch2026.definition_a_1",
        source="Benarroch, Atif, Cappe 2026, Definition A.1 (content reconstructed from its title)",
        statement=(
            "T(P, Q) >= G(mu) if and only if, for every eps, "
            "H_{e^eps}(P||Q) <= Phi(-eps/mu + mu/2) - e^eps Phi(-eps/mu - mu/2)."
        ),
        provenance="reconstructed",
        against="the certified hockey-stick between N(mu,1) and N(0,1), in ball arithmetic",
        promise=lambda case: Log(float(gaussian_dp.log_delta(case.mu, case.epsilon))),
        legs=(
            Comparison(instances=shifts, truth=truth, relation="equal"),
            Symbolic(
                identities=(
                    ("the curve grows with mu at the rate phi(a)", vanishes(lambda: slope_in_mu(sympy.Rational(1, 2)))),
                )
            ),
        ),
        expected="survived",
        why="The curve of the Gaussian shift itself: equality everywhere, also at exp(-50000).",
        mutants=(
            Mutant(
                name="lost factor 1/2",
                promise=altered(lambda mu, eps: -eps / mu + mu, lambda mu, eps: -eps / mu - mu),
            ),
            Mutant(
                name="mu^2 for mu",
                promise=altered(lambda mu, eps: -eps / mu**2 + mu / 2, lambda mu, eps: -eps / mu**2 - mu / 2),
            ),
            Mutant(
                name="e^eps dropped",
                promise=lambda case: max(
                    0.0,
                    math.exp(log_ndtr(-case.epsilon / case.mu + case.mu / 2))
                    - math.exp(log_ndtr(-case.epsilon / case.mu - case.mu / 2)),
                ),
            ),
            Mutant(
                name="sign of the shift",
                promise=altered(lambda mu, eps: -eps / mu - mu / 2, lambda mu, eps: -eps / mu - 1.5 * mu),
            ),
        ),
    ),
)
