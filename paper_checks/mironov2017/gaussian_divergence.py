"""The Rényi divergence of two Gaussians in closed form, infinite cases included, against the integral itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from ..claim import Claim, Mutant
from ..court import Court
from ..families import gaussian_renyi
from ..families.gaussian_renyi import GaussianLaw, GaussianTriple
from ..legs import Comparison
from ..verdict import Truth

Array = NDArray[np.float64]


def closed_form(
    *,
    mix: Callable[[float, Array, Array], Array] = lambda a, first, second: (1 - a) * first + a * second,
    tested: bool = True,
    shift: Callable[[float], float] = lambda a: a / 2,
    swapped: bool = False,
) -> Callable[[GaussianTriple], float]:
    """The statement; the mutants alter the mixed covariance, its test, the factor of the shift, or the determinants."""

    def promise(instance: GaussianTriple) -> float:
        a, first, second = instance.order, instance.p.cov, instance.q.cov
        mixed = mix(a, first, second)
        spectrum = np.linalg.eigvalsh(mixed)
        if np.any(spectrum == 0) or (tested and spectrum[0] < 0):
            return math.inf
        gap = instance.p.mean - instance.q.mean
        logs = [float(np.linalg.slogdet(matrix)[1]) for matrix in (mixed, first, second)]
        if swapped:
            logs[1], logs[2] = logs[2], logs[1]
        shape = (logs[0] - (1 - a) * logs[1] - a * logs[2]) / (2 * (1 - a))
        return max(shift(a) * float(gap @ np.linalg.solve(mixed, gap)) + shape, 0.0)

    return promise


def log_density(law: GaussianLaw, points: Array) -> Array:
    """log density at points (n, d)."""
    deviation = points - law.mean
    square = np.sum(deviation * np.linalg.solve(law.cov, deviation.T).T, axis=1)
    return -(square + np.linalg.slogdet(2 * math.pi * law.cov)[1]) / 2


def integral(instance: GaussianTriple) -> Truth:
    """log of the integral of p^a q^(1-a) by the trapezoid rule in one or two dimensions; infinite if it does not decay.

    The grid is laid by the integrand's own peak and curvature, found by differences; the rule is geometrically accurate.
    """
    a, size = instance.order, len(instance.p.mean)

    def log_integrand(points: Array) -> Array:
        return a * log_density(instance.p, points) + (1 - a) * log_density(instance.q, points)

    unit = math.sqrt(min(np.linalg.eigvalsh(law.cov)[0] for law in (instance.p, instance.q)))
    steps = unit * np.eye(size)

    def value(offset: Array) -> float:
        return float(log_integrand(instance.p.mean[None] + offset)[0])

    slope = np.array([(value(s) - value(-s)) / (2 * unit) for s in steps])
    bend = np.array([[value(s + t) - value(s - t) - value(t - s) + value(-s - t) for t in steps] for s in steps])
    bend /= -4 * unit * unit
    curvatures, directions = np.linalg.eigh(bend)
    far = 1e5 * (1 + float(np.abs(instance.p.mean - instance.q.mean).max()))
    if curvatures[0] > 0:
        far = max(far, 10 * float(np.linalg.norm(slope)) / float(curvatures[0]))  # well beyond a peak, if there is one
    if max(value(far * directions[:, 0]), value(-far * directions[:, 0])) >= value(np.zeros(size)) - 1:
        return gaussian_renyi.INFINITE
    factor = np.linalg.inv(np.linalg.cholesky(bend)).T
    spacing = 0.25
    line = np.arange(-40, 41) * spacing
    grid = np.stack(np.meshgrid(*[line] * size), axis=-1).reshape(-1, size)
    points = instance.p.mean + np.linalg.solve(bend, slope) + grid @ factor.T
    logs = log_integrand(points)
    peak = float(logs.max())
    cell = size * math.log(spacing) + math.log(abs(np.linalg.det(factor)))
    log_moment = peak + cell + math.log(float(np.exp(logs - peak).sum()))
    scale = 1 + abs(peak) + float(np.abs(logs[np.argmax(logs)]))
    return Truth.of(log_moment / (a - 1), 1e-13 * scale / log_moment)


def integrable(court: Court, rng: np.random.Generator) -> Iterator[GaussianTriple]:
    """Instances of one or two dimensions whose moment stands clear of 1, so that the quadrature keeps its digits."""
    for instance in gaussian_renyi.instances(120 * court.effort, rng):
        exact = gaussian_renyi.truth(instance)
        if len(instance.p.mean) <= 2 and math.exp(min(exact.lower, 1.0)) * (instance.order - 1) > 1e-2:
            yield instance


def any_instances(court: Court, rng: np.random.Generator) -> Iterator[GaussianTriple]:
    """All kinds and dimensions; the formula subtracts logarithms, so divergences below 1e-4 would lose its digits."""
    for instance in gaussian_renyi.instances(300 * court.effort, rng):
        if gaussian_renyi.truth(instance).lower > math.log(1e-4):
            yield instance


CLAIMS = (
    Claim(
        id="mironov2017.gaussian_divergence",
        source="Mironov 2017, Gaussian mechanism; general covariances derived here",
        statement=(
            "With V = (1-a)S_1 + a S_2: D_a(N(m_1,S_1) || N(m_2,S_2)) = (a/2) g'V^{-1}g + [log|V| - (1-a)log|S_1| - a "
            "log|S_2|]/(2(1-a)), g = m_1 - m_2, if V is positive definite, and +infinity otherwise, boundary included."
        ),
        provenance="derived",
        against="the integral of p^a q^{1-a} by quadrature, and the same numbers from exact rational determinants",
        promise=closed_form(),
        legs=(
            Comparison(instances=integrable, truth=integral, relation="equal", name="quadrature"),
            Comparison(
                instances=any_instances,
                truth=gaussian_renyi.truth,
                relation="equal",
                certify=gaussian_renyi.truth,
                simplify=gaussian_renyi.simplify,
                name="exact rationals",
            ),
        ),
        expected="survived",
        mutants=(
            Mutant(
                name="weights swapped", promise=closed_form(mix=lambda a, first, second: (1 - a) * second + a * first)
            ),
            Mutant(name="positive definiteness not tested", promise=closed_form(tested=False)),
            Mutant(name="1/2 for a/2", promise=closed_form(shift=lambda a: 0.5)),
            Mutant(name="determinants exchanged", promise=closed_form(swapped=True)),
        ),
    ),
)
