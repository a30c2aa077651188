"""Decay of a Rényi divergence under common noisy steps, by log-Sobolev constants and at the published rate."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import sympy

from bounds import lsi_decay
from linear.gaussian_renyi import OrnsteinUhlenbeck

from ..algebra import positive, vanishes
from ..claim import Claim, Mutant
from ..court import Court
from ..legs import Comparison, Symbolic
from ..verdict import Truth
from ._common_steps import (
    Case,
    CommonSteps,
    after_smoothing,
    after_steps,
    any_contraction,
    decayed,
    double_wells,
    strongly_convex,
)

SOURCE = "Chien et al. 2024 (Langevin Unlearning), decay while unlearning"
AGAINST = "exact divergences of Gaussian chains, narrow laws far from wide ones included"


def by_constants(case: Case) -> float:
    """The library's decay; constants of the reference law by their own evolution."""
    rates = case.rates()
    if isinstance(case, CommonSteps):
        constants = lsi_decay.lsi_evolution(
            constant=case.second[1],
            contraction=case.contraction,
            step_size=case.step_size,
            temperature=case.temperature,
            steps=case.steps,
        )
        rates = np.asarray(
            lsi_decay.decay_rate(
                constant=constants[:-1],
                contraction=case.contraction,
                step_size=case.step_size,
                temperature=case.temperature,
            )
        )
    bound = lsi_decay.unlearning_bound(
        order=case.order, initial=case.initial(case.order), rate=rates, unlearn_steps=case.steps
    )
    return float(bound)


def _by_the_first_law(case: Case) -> float:
    rates = case.rates(case.first) if isinstance(case, CommonSteps) else case.rates()
    return float(rates.sum()) / case.order


def published(case: CommonSteps) -> float:
    m = case.strong_convexity
    rate = lsi_decay.strongly_convex_rate(step_size=case.step_size, strong_convexity=m, smoothness=m)
    bound = lsi_decay.unlearning_bound(
        order=case.order, initial=case.initial(case.order), rate=rate, unlearn_steps=case.steps
    )
    return float(bound)


def _contracted(case: CommonSteps) -> float:
    """K m eta."""
    return case.steps * (1 - case.contraction)


@dataclass(frozen=True)
class OneStep:
    """A law of constant `share` * 2 temperature^2/m taking one step with step_size * m = product."""

    product: float
    temperature: float
    strong_convexity: float
    share: float
    kind: str = "product at most 1"

    @property
    def largest(self) -> float:
        return 2 * self.temperature**2 / self.strong_convexity

    def after(self, constant: float) -> float:
        """Variance of a Gaussian of this variance after the step."""
        step_size = self.product / self.strong_convexity
        chain = OrnsteinUhlenbeck(
            contraction=1 - self.product, noise_std=float(np.sqrt(2 * step_size) * self.temperature)
        )
        return chain.after(0.0, constant, 1)[1]


def one_steps(low: float, high: float) -> Callable[[Court, np.random.Generator], Iterator[OneStep]]:
    """Products between `low` and `high`, the upper end included; shares up to 1."""

    def instances(court: Court, rng: np.random.Generator) -> Iterator[OneStep]:
        yield OneStep(high, 1.0, 2.0, 1.0)
        for _ in range(30 * court.effort):
            temperature, strong_convexity = np.exp(rng.normal(size=2)).tolist()
            share = float(rng.choice([1.0, rng.uniform()]))
            yield OneStep(float(rng.uniform(low, high)), temperature, strong_convexity, share)

    return instances


def constant_after(factor: float) -> Callable[[OneStep], Truth]:
    """The constant after a step from share * factor * 2 temperature^2/m."""
    return lambda case: Truth.of(case.after(factor * case.share * case.largest), 1e-14)


def kept(case: OneStep) -> float:
    return lsi_decay.strongly_convex_constant(temperature=case.temperature, strong_convexity=case.strong_convexity)


def _kept_while_product_at_most_one() -> sympy.Expr:
    """(1-x)^2 C + 2 eta sigma^2 <= C at C = 2 sigma^2/m: the difference is -C x (1-x), x = eta m."""
    x, sigma, m = positive("x sigma m")
    largest = 2 * sigma**2 / m
    return (1 - x) ** 2 * largest + 2 * (x / m) * sigma**2 - largest + largest * x * (1 - x)


def _true_rate_of_the_stationary_law() -> sympy.Expr:
    """At the stationary constant noise/(1-c^2), log(1 + noise/(c^2 C)) is -2 log c."""
    c, noise = positive("c noise")
    return 1 + noise / (c**2 * noise / (1 - c**2)) - c**-2


GAUSSIANS = Comparison(instances=any_contraction, truth=after_steps, name="Gaussian chains")
WELLS = Comparison(instances=double_wells, truth=after_smoothing, tolerance=1e-8, name="double wells by quadrature")

CLAIMS = (
    Claim(
        id="chien2024.decay.constants",
        source=SOURCE,
        statement=(
            "D_a after k common steps <= D_a before * exp(-(1/a) sum_j R_j), R_j = log(1 + 2 eta sigma^2/(l^2 C_j)), C_{j+1} = "
            "l^2 C_j + 2 eta sigma^2 the log-Sobolev constant of the reference law."
        ),
        provenance="derived",
        against=AGAINST + "; laws with two wells by quadrature",
        promise=by_constants,
        legs=(
            GAUSSIANS,
            WELLS,
            Symbolic(identities=(("stationary reference: rate -2 log c", vanishes(_true_rate_of_the_stationary_law)),)),
        ),
        expected="survived",
        why="Nearly attained by a narrow law far away; laws of one variance decay a times faster and would miss mutants.",
        mutants=(
            Mutant(name="1/a dropped", promise=decayed(lambda case: float(case.rates().sum()))),
            Mutant(name="2/a for 1/a", promise=decayed(lambda case: 2 * float(case.rates().sum()) / case.order)),
            Mutant(name="constant of the first law", promise=decayed(_by_the_first_law)),
        ),
    ),
    Claim(
        id="chien2024.decay.published_rate",
        source=SOURCE,
        statement="Strongly convex, eta m <= 1, reference constant at most 2 sigma^2/m: D_a decays by exp(-K m eta/a).",
        provenance="public code",
        against=AGAINST,
        promise=published,
        legs=(Comparison(instances=strongly_convex, truth=after_steps),),
        expected="survived",
        why="Half the true rate for small steps. The divergence is given at order a alone; see derived.uniform_unlearning.",
        mutants=(
            Mutant(name="1/a dropped", promise=decayed(_contracted)),
            Mutant(name="4 m eta for m eta", promise=decayed(lambda case: 4 * _contracted(case) / case.order)),
        ),
    ),
    Claim(
        id="chien2024.decay.constant_kept",
        source=SOURCE,
        statement="If eta m <= 1, a law with log-Sobolev constant at most 2 sigma^2/m keeps that bound step by step.",
        provenance="derived",
        against="the variance of a Gaussian after one step",
        promise=kept,
        legs=(
            Comparison(instances=one_steps(0.0, 1.0), truth=constant_after(1.0), relation="tight"),
            Symbolic(identities=(("growth is -C x (1-x)", vanishes(_kept_while_product_at_most_one)),)),
        ),
        expected="survived",
        why="Attained at eta m = 1, where one step forgets everything and leaves 2 eta sigma^2.",
        mutants=(
            Mutant(
                name="eta m > 1 allowed",
                leg=Comparison(instances=one_steps(1.0, 1.9), truth=constant_after(1.0)),
            ),
            Mutant(
                name="sigma^2/m for 2 sigma^2/m",
                promise=lambda case: kept(case) / 2,
                leg=Comparison(instances=one_steps(0.0, 1.0), truth=constant_after(0.5)),
            ),
        ),
    ),
)
