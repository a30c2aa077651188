"""The weak triangle inequality: a divergence through a third law, at the price of higher orders."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import sympy

from bounds import renyi_dp

from ..algebra import positive, vanishes
from ..claim import Claim, Mutant
from ..court import Court
from ..families import gaussian_renyi
from ..families.gaussian_renyi import GaussianLaw, GaussianTriple
from ..legs import Comparison, Symbolic
from ..verdict import Truth

SOURCE = "Mironov 2017, weak triangle inequality (wording reconstructed)"


def even_split(instance: GaussianTriple) -> float:
    """The bound as the library gives it, at u = w = 2."""
    first, second = renyi_dp.triangle_orders(order=instance.order)
    return float(
        renyi_dp.weak_triangle(
            order=instance.order,
            first=instance.p.renyi(instance.r, float(first)),
            second=instance.r.renyi(instance.q, float(second)),
        )
    )


def triangle(
    *,
    factor: Callable[[float], float] = lambda a: (a - 0.5) / (a - 1),
    first: Callable[[float], float] = lambda a: 2 * a,
    second: Callable[[float], float] = lambda a: 2 * a - 1,
) -> Callable[[GaussianTriple], float]:
    """factor(a) D_first(p || r) + D_second(r || q); the mutants alter one ingredient each."""

    def promise(instance: GaussianTriple) -> float:
        p, q, r, a = instance.p, instance.q, instance.r, instance.order
        return factor(a) * p.renyi(r, first(a)) + r.renyi(q, max(second(a), 1 + 1e-12))

    return promise


@dataclass(frozen=True)
class SplitTriple:
    """A triple and the Hölder exponent u of the first factor."""

    triple: GaussianTriple
    split: float
    kind: str = "random"

    def __str__(self) -> str:
        return f"u = {self.split:.6g}, {self.triple}"


def any_split(
    *, weight: Callable[[float, float], float] = lambda a, u: (a - 1 / u) / (a - 1)
) -> Callable[[SplitTriple], float]:
    def promise(instance: SplitTriple) -> float:
        p, q, r, a, u = instance.triple.p, instance.triple.q, instance.triple.r, instance.triple.order, instance.split
        return weight(a, u) * p.renyi(r, u * a) + r.renyi(q, u / (u - 1) * (a - 1 / u))

    return promise


def triples(court: Court, rng: np.random.Generator) -> Iterator[GaussianTriple]:
    yield from gaussian_renyi.instances(250 * court.effort, rng)


def split_triples(court: Court, rng: np.random.Generator) -> Iterator[SplitTriple]:
    """For every split, r where the two sides of the line balance: with equal covariances the bound is attained there."""
    for order, split in ((2.0, 2.0), (2.0, 1.5), (4.0, 5.0), (1.5, 3.0)):
        first, second = (order - 1 / split) / (order - 1) * split * order, split / (split - 1) * (order - 1 / split)
        share = second / (first + second)
        triple = gaussian_renyi.attaining(GaussianLaw.of(0.0, 1.0), np.array([3.0]), order, share)
        yield SplitTriple(triple, split, "attaining")
    for triple in triples(court, rng):
        yield SplitTriple(triple, float(1 + np.exp(rng.normal())), triple.kind)


def split_truth(instance: SplitTriple) -> Truth:
    return gaussian_renyi.truth(instance.triple)


def _norm_of_first_factor() -> sympy.Expr:
    """E_R[(P/R)^a (R/Q)^(a-1)]: ||(P/R)^a||_u is exp((ua-1)/u D_ua), which over a-1 is the factor of the statement."""
    a, u = positive("a u")
    return (u * a - 1) / u / (a - 1) - (a - 1 / u) / (a - 1)


def _order_of_second_factor() -> sympy.Expr:
    """||(R/Q)^(a-1)||_w under R is a moment of order w(a-1)+1 under Q, 1/u + 1/w = 1; its factor is 1."""
    a, u = positive("a u")
    w = u / (u - 1)
    return w * (a - 1) + 1 - w * (a - 1 / u)


def _attained() -> sympy.Expr:
    """One covariance: with r at the fraction (a-1)/(2a-1), both sides are a g^2/2."""
    a, g = positive("a g")
    share = (a - 1) / (2 * a - 1)
    right = (2 * a - 1) / (2 * (a - 1)) * a * (share * g) ** 2 + (2 * a - 1) * ((1 - share) * g) ** 2 / 2
    return right - a * g**2 / 2


HOELDER = Symbolic(
    identities=(
        ("norm of the first factor", vanishes(_norm_of_first_factor)),
        ("order of the second factor", vanishes(_order_of_second_factor)),
        ("attained on a line", vanishes(_attained)),
    )
)

CLAIMS = (
    Claim(
        id="mironov2017.weak_triangle",
        source=SOURCE,
        statement="D_a(P||Q) <= ((a-1/2)/(a-1)) D_{2a}(P||R) + D_{2a-1}(R||Q).",
        reading="even split of Hölder's inequality, u = w = 2; the factor stands before the first term only",
        provenance="reconstructed",
        against="the exact divergences of Gaussian triples",
        promise=even_split,
        legs=(
            Comparison(
                instances=triples,
                truth=gaussian_renyi.truth,
                relation="tight",
                certify=gaussian_renyi.truth,
                simplify=gaussian_renyi.simplify,
            ),
            HOELDER,
        ),
        expected="survived",
        why="Attained by equal covariances with R's mean at the fraction (a-1)/(2a-1) of the way from P to Q.",
        mutants=(
            Mutant(name="factor 1", promise=triangle(factor=lambda a: 1.0)),
            Mutant(name="first term at order a", promise=triangle(first=lambda a: a)),
            Mutant(name="second term at order a", promise=triangle(second=lambda a: a)),
            Mutant(name="second term at order 2a-2", promise=triangle(second=lambda a: 2 * a - 2)),
            Mutant(name="factor (a-1/2)/a", promise=triangle(factor=lambda a: (a - 0.5) / a)),
        ),
    ),
    Claim(
        id="mironov2017.weak_triangle.any_split",
        source=SOURCE,
        statement="1/u + 1/w = 1: D_a(P||Q) <= ((a-1/u)/(a-1)) D_{ua}(P||R) + D_{w(a-1/u)}(R||Q).",
        reading="any split of Hölder's inequality",
        provenance="reconstructed",
        against="the exact divergences of Gaussian triples",
        promise=any_split(),
        legs=(Comparison(instances=split_triples, truth=split_truth, relation="tight"),),
        expected="survived",
        why="Attained on a line of equal covariances, for every u at its own place of R.",
        mutants=(
            Mutant(name="a-1 for a-1/u", promise=any_split(weight=lambda a, u: 1.0)),
            Mutant(name="a-u for a-1/u", promise=any_split(weight=lambda a, u: max(a - u, 0.0) / (a - 1))),
        ),
    ),
)
