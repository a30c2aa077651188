"""The released code's triangle inequality for two-sided divergences: one factor before both terms."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from bounds import renyi_dp

from ..claim import Claim, Mutant
from ..court import Court
from ..families import gaussian_renyi
from ..families.gaussian_renyi import GaussianLaw, GaussianTriple
from ..legs import Comparison
from ..verdict import Truth


def two_sided(first: GaussianLaw, second: GaussianLaw, order: float) -> float:
    """The larger of both directions."""
    return max(first.renyi(second, order), second.renyi(first, order))


def symmetric(instance: GaussianTriple) -> float:
    order = 2 * instance.order
    return float(
        renyi_dp.symmetric_triangle(
            order=instance.order,
            first=two_sided(instance.p, instance.r, order),
            second=two_sided(instance.r, instance.q, order),
        )
    )


def form(
    *, factor: Callable[[float], float] = lambda a: (a - 0.5) / (a - 1), doubled: float = 2.0
) -> Callable[[GaussianTriple], float]:
    """factor(a) times the two divergences at order doubled * a; for the mutants."""

    def promise(instance: GaussianTriple) -> float:
        order = doubled * instance.order
        total = two_sided(instance.p, instance.r, order) + two_sided(instance.r, instance.q, order)
        return factor(instance.order) * total

    return promise


def one_factor(instance: GaussianTriple) -> float:
    """The one-sided triangle's orders and factor, read as a statement on two-sided divergences."""
    a = instance.order
    first = two_sided(instance.p, instance.r, 2 * a)
    return (a - 0.5) / (a - 1) * first + two_sided(instance.r, instance.q, 2 * a - 1)


def truth(instance: GaussianTriple) -> Truth:
    """The larger direction between p and q, certified."""
    forward = gaussian_renyi.truth(instance)
    backward = gaussian_renyi.truth(replace(instance, p=instance.q, q=instance.p))
    return Truth(max(forward.lower, backward.lower), max(forward.upper, backward.upper))


def triples(court: Court, rng: np.random.Generator) -> Iterator[GaussianTriple]:
    """The family's, and r half way on a line: the symmetric form is closest there, as the order grows."""
    for order in (2.0, 8.0, 64.0):
        yield gaussian_renyi.attaining(GaussianLaw.of(0.0, 1.0), np.array([3.0]), order, 0.5)
    # In one of the directions the larger divergence is the one that a one-sided triangle would take without a factor.
    yield gaussian_renyi.scalar((4.0, 0.75), (0.0, 1.0), (3.0, 0.9), 2.0, "two directions")
    yield from gaussian_renyi.instances(150 * court.effort, rng)


CLAIMS = (
    Claim(
        id="chien2024.symmetric_triangle",
        source="Chien et al. 2024 (Langevin Unlearning), sequential unlearning",
        statement="d_a(P,Q) <= ((a-1/2)/(a-1)) (d_{2a}(P,R) + d_{2a}(R,Q)), d_a the larger of both directions.",
        provenance="public code",
        against="the exact two-sided divergences of Gaussian triples",
        promise=symmetric,
        legs=(Comparison(instances=triples, truth=truth, certify=truth, simplify=gaussian_renyi.simplify),),
        expected="survived",
        why=(
            "Follows from the weak triangle in each direction; approached half way on a line as the order grows. An earlier "
            "version of the released code has the factor before one term only: for two-sided divergences that is false."
        ),
        mutants=(
            Mutant(name="both at order a", promise=form(doubled=1.0)),
            Mutant(name="factor before the first term only, second at order 2a-1", promise=one_factor),
            Mutant(name="factor (a-1/2)/a", promise=form(factor=lambda a: (a - 0.5) / a)),
        ),
    ),
)
