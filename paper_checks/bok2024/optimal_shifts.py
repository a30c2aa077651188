"""The best shifts in O(N), their optimality, and the case of one segment."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import sympy
from scipy.optimize import nnls

from bounds import interpolation

from ..algebra import positive, vanishes
from ..claim import Claim, Mutant
from ..court import Court
from ..families import contractive
from ..families.contractive import ContractiveInstance
from ..legs import Comparison, Symbolic
from ..verdict import Truth


def noisy_chains(court: Court, rng: np.random.Generator) -> Iterator[ContractiveInstance]:
    """Chains on which the quadratic program is well scaled: noise everywhere, factors away from zero."""
    for chain in contractive.instances(120 * court.effort, rng):
        if np.all(chain.noise_std > 0) and np.all(chain.contraction > 0) and np.any(chain.sensitivity > 0):
            yield chain


def quadratic_program(chain: ContractiveInstance) -> Truth:
    """min sum (a_k/sigma_k)^2 over feasible shifts, as a least-distance problem solved by nonnegative least squares.

    With y = a/sigma the constraints are z_k(y) >= 0 for k < N and z_N(y) = 0 (>= and <=), linear in y: G y >= h.
    The minimum of |y| is had from nnls on [G'; h'] (Lawson and Hanson), which knows nothing of convex minorants.
    """
    steps = chain.steps
    reach = np.eye(steps)
    for k in range(1, steps):
        reach[k, :k] = chain.contraction[k] * reach[k - 1, :k]
    scale = float(np.max(chain.sensitivity))
    gap = reach @ chain.sensitivity / scale
    payment = reach * chain.noise_std
    rows = np.vstack([-payment, payment[-1:]])
    least = np.concatenate([-gap, gap[-1:]])
    # Unit rows: the directions matter, not the scale in which a constraint is written.
    norm = np.linalg.norm(rows, axis=1)
    rows, least = rows / norm[:, None], least / norm
    target = np.zeros(steps + 1)
    target[-1] = 1.0
    system = np.vstack([rows.T, least])
    residual = system @ nnls(system, target, maxiter=100 * steps)[0] - target
    optimum = -residual[:steps] / residual[-1]
    return Truth.of(scale * float(np.linalg.norm(optimum)), 1e-8)


def chord(chain: ContractiveInstance) -> float:
    """One shift over the whole horizon: the linear pair with every factor at its largest."""
    return interpolation.optimal_shifts(chain.sensitivity, chain.noise_std, chain.contraction).lower


def hull(chain: ContractiveInstance) -> float:
    return interpolation.optimal_shifts(chain.sensitivity, chain.noise_std, chain.contraction).mu


def one_segment_chains(court: Court, rng: np.random.Generator) -> Iterator[ContractiveInstance]:
    for _ in range(150 * court.effort):
        yield contractive.sample_learn_unlearn(rng, one_segment=True).chain()


def any_chains(court: Court, rng: np.random.Generator) -> Iterator[ContractiveInstance]:
    yield from contractive.instances(150 * court.effort, rng)


def _reversed(chain: ContractiveInstance) -> ContractiveInstance:
    return ContractiveInstance(chain.sensitivity[::-1], chain.noise_std[::-1], chain.contraction[::-1])


def merging(square: bool) -> sympy.Expr:
    """What merging a block (p1, q1) with the next (p, q, r) takes off the sum of p^2/q, less the claimed amount."""
    p1, q1, p, q, r = positive("p1 q1 p q r")
    saved = p1**2 / q1 + p**2 / q - (p1 * r + p) ** 2 / (q1 * r**2 + q)
    gap = p1 * q - p * q1 * r
    return saved - gap ** (2 if square else 1) / (q * q1 * (q1 * r**2 + q))


CLAIMS = (
    Claim(
        id="bok2024.merging_step",
        source="derived here, the step of the O(N) algorithm",
        statement=(
            "p_1^2/q_1 + p^2/q - (p_1 r + p)^2/(q_1 r^2 + q) = (p_1 q - p q_1 r)^2 / (q q_1 (q_1 r^2 + q)) >= 0: "
            "merging two blocks never raises the sum, and leaves it alone exactly where their slopes agree."
        ),
        provenance="derived",
        against="computer algebra",
        legs=(Symbolic(identities=(("the difference is a square", vanishes(lambda: merging(True))),)),),
        expected="proved",
        mutants=(
            Mutant(
                name="lost square",
                leg=Symbolic(identities=(("without the square", vanishes(lambda: merging(False))),)),
            ),
        ),
    ),
    Claim(
        id="bok2024.optimal_shifts",
        source="Bok, Su, Altschuler 2024, optimisation over shifts; O(N) solution derived here",
        statement=(
            "The least sum a_k^2/sigma_k^2 over feasible shifts is that of the greatest convex minorant of the points "
            "(t_k, U_k), found by one pass with a stack."
        ),
        provenance="derived",
        against="the quadratic program itself, solved as a least-distance problem",
        promise=hull,
        legs=(Comparison(instances=noisy_chains, truth=quadratic_program, relation="equal", tolerance=1e-7),),
        expected="survived",
        mutants=(
            Mutant(name="the chord for the hull", promise=chord),
            Mutant(name="steps in reverse order", promise=lambda chain: hull(_reversed(chain))),
            Mutant(
                name="std for variance",
                promise=lambda chain: (
                    interpolation.optimal_shifts(chain.sensitivity, np.sqrt(chain.noise_std), chain.contraction).mu
                ),
            ),
        ),
    ),
    Claim(
        id="bok2024.one_segment",
        source="Bok, Su, Altschuler 2024, exactness; condition derived here",
        statement="Where s_k c^k / sigma_k^2 never grows, the single shift over the whole horizon is the exact worst case.",
        provenance="derived",
        against="the exact worst pair",
        promise=chord,
        legs=(Comparison(instances=one_segment_chains, truth=contractive.truth, relation="equal"),),
        expected="survived",
        mutants=(
            Mutant(
                name="condition dropped",
                leg=Comparison(instances=any_chains, truth=contractive.truth, relation="equal"),
            ),
            Mutant(name="lost last step", promise=lambda chain: chord(_shorter(chain))),
        ),
    ),
)


def _shorter(chain: ContractiveInstance) -> ContractiveInstance:
    return ContractiveInstance(chain.sensitivity[:-1], chain.noise_std[:-1], chain.contraction[:-1])
