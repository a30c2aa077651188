"""The path form of the theorem, the divergence of the ends in terms of the budget (AD-4), and the public certificate."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

import linear
from bounds import _gaussian_ratio
from bounds._gaussian_ratio import GaussianRatio
from bounds.adapted_linear import LinearQuadratic
from bounds.deletion.adapted import Adapted
from bounds.deletion.facts import DeletionFacts

from ..claim import Claim, Mutant
from ..court import Court
from ..families import ridge
from ..families.ridge import RidgeInstance
from ..legs import Comparison
from ..verdict import Log, Truth
from ._pairs import affine, noisy
from .sure_budget import SOURCE
from .truncated import AGAINST, budget_law


def path_ratio(instance: RidgeInstance) -> GaussianRatio:
    """Likelihood ratio of the shifted path to the reference path under the linear plan run from X."""
    if "path" not in instance.shared:
        instance.shared["path"] = LinearQuadratic(affine(instance)).path_ratio()
    found: GaussianRatio = instance.shared["path"]
    return found


def both(instance: RidgeInstance, ratio: GaussianRatio, backward: GaussianRatio) -> Log:
    at = np.array([instance.epsilon])
    sides = [float(_gaussian_ratio.log_hockey_stick(law, at)[0]) for law in (ratio, backward)]
    return Log(max(sides) + 1e-10 * (1 + abs(max(sides))) if math.isfinite(max(sides)) else max(sides))


def by_paths(instance: RidgeInstance) -> Log:
    ratio = path_ratio(instance)
    return both(instance, ratio, ratio.swapped())


def forward_for_both(instance: RidgeInstance) -> Log:
    ratio = path_ratio(instance)
    return both(instance, ratio, ratio)


def gap_only(instance: RidgeInstance) -> Log:
    """Only the known part of the shifts: L as if B were its part at the start."""
    base = budget_law(instance, "learned").base
    none = np.zeros((1, 0))
    law = GaussianRatio(none, none, np.array([base]), 1)
    return both(instance, law, law)


def without_martingale(instance: RidgeInstance) -> Log:
    """Variances of the path left out: the shifts' means, random ones at their mean square."""
    mean = budget_law(instance, "learned").mean
    none = np.zeros((1, 0))
    law = GaussianRatio(none, none, np.array([0.5 * mean]), 1)
    return both(instance, law, law)


def public(instance: RidgeInstance) -> Log:
    bound = Adapted(DeletionFacts.of(instance.problem, instance.schedule, instance.index))
    return Log(max(bound.forward(instance.epsilon), bound.reverse(instance.epsilon)))


def public_further_out(instance: RidgeInstance) -> Log:
    bound = Adapted(DeletionFacts.of(instance.problem, instance.schedule, instance.index))
    return Log(max(bound.forward(1.05 * instance.epsilon), bound.reverse(1.05 * instance.epsilon)))


def known_gaps(court: Court, rng: np.random.Generator) -> Iterator[RidgeInstance]:
    """One learning step: nothing is random and the plan is exact; then random deletions."""
    for epsilon in (0.5, 2.0):
        yield ridge.scalar(
            [(1.0, 1.0), (1.0, -1.0)],
            ridge=0.5,
            step_size=0.2,
            learn_steps=1,
            unlearn_steps=2,
            learn_noise=0.1,
            unlearn_noise=0.2,
            epsilon=epsilon,
            delta_s=1e-3,
            kind="one learning step",
        )
    yield from noisy(court, rng, 40)


def divergence(instance: RidgeInstance) -> Truth:
    """KL(P||Q) of the exact laws, from means and covariances."""
    laws = linear.exact_laws(instance.problem, instance.schedule, instance.index)
    gap = laws.mean_p - laws.mean_q
    root = np.linalg.cholesky(laws.cov_q)
    inner = np.linalg.solve(root, np.linalg.solve(root, laws.cov_p).T)
    excess = np.linalg.eigvalsh(0.5 * (inner + inner.T)) - 1
    value = 0.5 * float(np.sum(np.linalg.solve(root, gap) ** 2))
    value += 0.5 * gap.shape[1] * float(np.sum(excess - np.log1p(excess)))
    return Truth.of(value, 1e-9 + 1e-14 / max(value, 1e-14))


def half(share: float) -> Callable[[RidgeInstance], float]:
    return lambda instance: share * budget_law(instance, "learned").mean


def mean_root(instance: RidgeInstance) -> float:
    """E[sqrt B]^2 / 2, by simulation of the law."""
    law = budget_law(instance, "learned")
    rng = np.random.default_rng(0)
    total = np.full(20_000, law.base)
    for weight, pull in zip(law.weights, law.pulls, strict=True):
        normals = rng.standard_normal((20_000, law.columns))
        total += weight * np.sum(normals**2, axis=1) + 2 * pull * normals[:, 0]
    return 0.5 * float(np.mean(np.sqrt(np.maximum(total, 0.0)))) ** 2


def random_gaps(court: Court, rng: np.random.Generator) -> Iterator[RidgeInstance]:
    """Lone rows without a mean gap, where all of the budget is random, then the others."""
    for eta in (0.1, 0.3, 0.6):
        for unlearn_noise in (0.1, 1.0):
            yield ridge.scalar(
                [(1.0, 0.0)],
                ridge=1e-3,
                step_size=eta,
                learn_steps=2,
                unlearn_steps=1,
                learn_noise=1.0,
                unlearn_noise=unlearn_noise,
                epsilon=1.0,
                delta_s=1e-3,
                kind="no mean gap",
            )
    # a divergence much smaller than its terms cannot be had from means and covariances
    yield from (case for case in known_gaps(court, rng) if budget_law(case, "learned").mean > 1e-5)


def _leg(relation: str = "tight") -> Comparison:
    return Comparison(
        instances=known_gaps,
        truth=ridge.truth("both"),
        certify=ridge.certify("both"),
        simplify=ridge.simplify,
        relation=relation,  # type: ignore[arg-type]
        tolerance=1e-8,
    )


CLAIMS = (
    Claim(
        id="adapted.paths",
        source=SOURCE,
        statement="H(P||Q) <= E_X (1 - e^{eps-L})_+ and H(Q||P) <= E_{X'} (1 - e^{eps+L})_+, L the paths' log ratio, "
        "one plan for both.",
        provenance="derived",
        against=AGAINST,
        promise=by_paths,
        legs=(_leg(),),
        expected="survived",
        why="Attained where the gap is known beforehand.",
        mutants=(
            Mutant(name="the forward ratio for both directions", promise=forward_for_both),
            Mutant(name="only the shifts known at the start", promise=gap_only),
            Mutant(name="half the mean budget as if it were known", promise=without_martingale),
        ),
    ),
    Claim(
        id="adapted.certificate",
        source=f"{SOURCE}; bounds.deletion, method adapted",
        statement="The certificate `adapted`: the same, with the paths' law computed in blocks of steps.",
        provenance="derived",
        against=AGAINST,
        promise=public,
        legs=(_leg("upper"),),
        expected="survived",
        mutants=(Mutant(name="epsilon overstated by 5%", promise=public_further_out),),
    ),
    Claim(
        id="adapted.divergence",
        source=SOURCE,
        statement="KL(P||Q) <= E_X[B] / 2.",
        provenance="derived",
        against="exact ridge laws, from their means and covariances",
        promise=half(0.5),
        legs=(Comparison(instances=random_gaps, truth=divergence, relation="tight", tolerance=1e-7),),
        expected="survived",
        why="Attained where the gap is known beforehand.",
        mutants=(
            Mutant(name="E[B]/4", promise=half(0.25)),
            Mutant(name="half the squared mean of the root of B", promise=mean_root),
        ),
    ),
)
