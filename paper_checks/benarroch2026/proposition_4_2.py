"""Proposition 4.2: Gaussian-DP accounting along contractive trajectories, in each of its readings."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import sympy

from bounds import interpolation

from ..algebra import positive, vanishes
from ..claim import Claim, Mutant
from ..court import Court
from ..families import contractive
from ..families.contractive import LearnUnlearnInstance
from ..legs import Comparison, Symbolic
from ..verdict import Truth

SOURCE = "Benarroch, Atif, Cappe 2026, Proposition 4.2 (hypothesis seen, conclusion's mu reconstructed)"
AGAINST = "the exact worst pair of the learn-unlearn chain: scalar, linear, factors at most c"


def edge_cases() -> Iterator[LearnUnlearnInstance]:
    """Noiseless learning, where P1 is exact; gaps that grow, where one chord is too low; the note's round numbers."""
    yield LearnUnlearnInstance(np.array([1.0]), 0.5, 1, 0.0, 1.0, "noiseless learning")
    yield LearnUnlearnInstance(np.array([1.0, 1.0]), 0.5, 2, 0.0, 1.0, "noiseless learning")
    yield LearnUnlearnInstance(np.array([1.0, 0.5, 2.0]), 0.9, 3, 0.0, 0.5, "noiseless learning")
    yield LearnUnlearnInstance(np.array([1.0, 1.0]), 1.0, 1, 1.0, 1.0, "no contraction")
    yield LearnUnlearnInstance(np.array([0.0, 1.0]), 0.5, 1, 1.0, 1.0, "late gap")
    yield LearnUnlearnInstance(np.full(10, 0.2), 0.9, 3, 0.1, 0.5, "equal gaps")


def any_gaps(court: Court, rng: np.random.Generator) -> Iterator[LearnUnlearnInstance]:
    yield from edge_cases()
    for _ in range(150 * court.effort):
        yield contractive.sample_learn_unlearn(rng)


def falling_gaps(court: Court, rng: np.random.Generator) -> Iterator[LearnUnlearnInstance]:
    yield LearnUnlearnInstance(np.full(10, 0.2), 0.9, 3, 0.1, 0.5, "equal gaps")
    for _ in range(150 * court.effort):
        yield contractive.sample_learn_unlearn(rng, one_segment=True)


def truth(case: LearnUnlearnInstance) -> Truth:
    return contractive.truth(case.chain())


def certify(case: LearnUnlearnInstance) -> Truth:
    return contractive.certify(case.chain())


def simplify(case: LearnUnlearnInstance) -> Iterator[LearnUnlearnInstance]:
    """Fewer steps, rounder numbers."""
    s = case.sensitivity
    if len(s) > 1:
        for k in range(len(s)):
            yield _with(case, sensitivity=np.delete(s, k))
    if case.unlearn_steps > 1:
        yield _with(case, unlearn_steps=case.unlearn_steps - 1)
    for name in ("contraction", "learn_noise", "unlearn_noise"):
        for value in contractive.rounder_numbers(getattr(case, name)):
            if value > 0:
                yield _with(case, **{name: value})
    for k, entry in enumerate(s):
        for value in contractive.rounder_numbers(float(entry)):
            changed = s.copy()
            changed[k] = value
            yield _with(case, sensitivity=changed)


def _with(case: LearnUnlearnInstance, **changes: object) -> LearnUnlearnInstance:
    return replace(case, **changes)  # type: ignore[arg-type]


def p1(case: LearnUnlearnInstance) -> float:
    return interpolation.unlearning_only(
        sensitivity=case.sensitivity,
        contraction=case.contraction,
        unlearn_steps=case.unlearn_steps,
        unlearn_noise=case.unlearn_noise,
    )


def p2(case: LearnUnlearnInstance) -> float:
    return interpolation.whole_horizon(
        sensitivity=case.sensitivity,
        contraction=case.contraction,
        unlearn_steps=case.unlearn_steps,
        learn_noise=case.learn_noise,
        unlearn_noise=case.unlearn_noise,
    )


def hull(case: LearnUnlearnInstance) -> float:
    chain = case.chain()
    return interpolation.optimal_shifts(chain.sensitivity, chain.noise_std, chain.contraction).mu


def p1_form(
    *, decay: int = 0, gap_power: int = -1, unlearn: int = 0, square: bool = True
) -> Callable[[LearnUnlearnInstance], float]:
    """P1 written out, one exponent altered."""

    def promise(case: LearnUnlearnInstance) -> float:
        c, learn, steps = case.contraction, len(case.sensitivity), case.unlearn_steps
        powers = np.maximum(learn + gap_power - np.arange(learn), 0)
        gap = c ** (steps + decay) * float(np.sum(c**powers * case.sensitivity))
        energy = sum(c ** (2 * k) for k in range(steps + unlearn))
        return gap / (case.unlearn_noise * (math.sqrt(energy) if square else energy))

    return promise


def p2_form(*, learn_weight: Callable[[float, int], float], learn_shift: int = 0) -> Callable:
    """P2 written out, with another weight of the learning noise at the end."""

    def promise(case: LearnUnlearnInstance) -> float:
        c, learn, steps = case.contraction, len(case.sensitivity), case.unlearn_steps
        gap = c**steps * float(np.sum(c ** np.arange(learn - 1, -1, -1) * case.sensitivity))
        learned = case.learn_noise**2 * sum(c ** (2 * k) for k in range(learn + learn_shift))
        unlearned = case.unlearn_noise**2 * sum(c ** (2 * k) for k in range(steps))
        return gap / math.sqrt(learn_weight(c, steps) * learned + unlearned)

    return promise


def parameter_ratio(power: int) -> sympy.Expr:
    """(mu of P1 / mu of P2)^2 less its closed form, T and K symbolic."""
    c, learn, unlearn, sigma_l, sigma_u, z = positive("c T K sigma_L sigma_U z")
    learned = (1 - c ** (2 * learn)) / (1 - c**2)
    unlearned = (1 - c ** (2 * unlearn)) / (1 - c**2)
    p1_squared = (c**unlearn * z) ** 2 / (sigma_u**2 * unlearned)
    p2_squared = (c**unlearn * z) ** 2 / (sigma_l**2 * c ** (2 * unlearn) * learned + sigma_u**2 * unlearned)
    closed = 1 + (sigma_l / sigma_u) ** power * c ** (2 * unlearn) * (1 - c ** (2 * learn)) / (1 - c ** (2 * unlearn))
    return p1_squared / p2_squared - closed


CLAIMS = (
    Claim(
        id="benarroch2026.proposition_4_2.p1_against_p2",
        source=SOURCE,
        statement="(mu_1/mu_2)^2 = 1 + (sigma_L/sigma_U)^2 c^{2K} (1-c^{2T})/(1-c^{2K}): P1 is never below P2.",
        reading="how much the two readings differ",
        provenance="derived",
        against="computer algebra, T and K symbolic",
        legs=(Symbolic(identities=(("ratio of the two parameters", vanishes(lambda: parameter_ratio(2))),)),),
        expected="proved",
        mutants=(
            Mutant(
                name="lost square",
                leg=Symbolic(identities=(("without the square", vanishes(lambda: parameter_ratio(1))),)),
            ),
        ),
    ),
    Claim(
        id="benarroch2026.proposition_4_2.p1",
        source=SOURCE,
        statement="mu = c^K z_T / (sigma_U sqrt((1-c^{2K})/(1-c^2))), z_T = sum_{k<T} c^{T-1-k} s_k.",
        reading="P1: all shifts in the unlearning phase",
        provenance="reconstructed",
        against=AGAINST,
        promise=p1,
        legs=(Comparison(instances=any_gaps, truth=truth, relation="tight", certify=certify, simplify=simplify),),
        expected="survived",
        why="Attained where learning is noiseless.",
        mutants=(
            Mutant(name="c^{K+1} for c^K", promise=p1_form(decay=1)),
            Mutant(name="T for T-1 in z_T", promise=p1_form(gap_power=0)),
            Mutant(name="K+1 unlearning steps", promise=p1_form(unlearn=1)),
            Mutant(name="variance for std", promise=p1_form(square=False)),
        ),
    ),
    Claim(
        id="benarroch2026.proposition_4_2.p2_any",
        source=SOURCE,
        statement=(
            "mu = c^K z_T / sqrt(sigma_L^2 c^{2K} (1-c^{2T})/(1-c^2) + sigma_U^2 (1-c^{2K})/(1-c^2)) for any s_k."
        ),
        reading="P2: one shift over the whole horizon, claimed for every sequence of sensitivities",
        provenance="reconstructed",
        against=AGAINST,
        promise=p2,
        legs=(Comparison(instances=any_gaps, truth=truth, certify=certify, simplify=simplify),),
        expected="refuted",
        why="A gap that opens late meets only the noise that follows it: the chord lies below the worst case.",
        repair="benarroch2026.proposition_4_2.p2_one_segment",
    ),
    Claim(
        id="benarroch2026.proposition_4_2.p2_one_segment",
        source=SOURCE,
        statement="P2's mu is the exact worst case where the hull of the points (t_k, U_k) is one segment.",
        reading="P2, sensitivities s_k c^k / sigma_k^2 that never grow",
        provenance="derived",
        against=AGAINST,
        promise=p2,
        legs=(Comparison(instances=falling_gaps, truth=truth, relation="equal", certify=certify),),
        expected="survived",
        mutants=(
            Mutant(name="learning noise not decayed by c^{2K}", promise=p2_form(learn_weight=lambda c, steps: 1.0)),
            Mutant(name="c^K for c^{2K}", promise=p2_form(learn_weight=lambda c, steps: c**steps)),
            Mutant(name="learning noise dropped", promise=p1),
            Mutant(
                name="T+1 learning steps",
                promise=p2_form(learn_weight=lambda c, steps: c ** (2 * steps), learn_shift=1),
            ),
        ),
    ),
    Claim(
        id="benarroch2026.proposition_4_2.hull",
        source=SOURCE,
        statement=(
            "mu = the optimum over shifts (greatest convex minorant) is the exact worst case for every "
            "s_k, sigma_k, c_k."
        ),
        reading="optimal shifts over the whole horizon",
        provenance="derived",
        against=AGAINST,
        promise=hull,
        legs=(Comparison(instances=any_gaps, truth=truth, relation="equal", certify=certify, simplify=simplify),),
        expected="survived",
        why="The bound and an allowed pair meet: the hull is the exact worst case.",
        mutants=(
            Mutant(name="the chord", promise=p2),
            Mutant(name="shifts only in unlearning", promise=p1),
            Mutant(name="std for variance", promise=lambda case: hull(_with(case, learn_noise=case.learn_noise**2))),
        ),
    ),
)
