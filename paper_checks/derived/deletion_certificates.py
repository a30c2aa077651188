"""The certificates derived for this project, as the public `certify` gives them: direction-aware, coupling, best."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

import linear
from bounds.deletion import certify
from linear.audit import hockey_stick_lower_bound

from ..benarroch2026.theorem_4_3 import AGAINST, noiseless_learning, through_clipping
from ..claim import Claim, Mutant
from ..court import Court
from ..families import ridge
from ..families.ridge import RidgeInstance
from ..legs import Comparison, Sample, Sampled
from ..verdict import Log


def everywhere(court: Court, rng: np.random.Generator) -> Iterator[RidgeInstance]:
    """Corners, random small problems, then every training point of the data set."""
    yield from noiseless_learning()
    yield from ridge.instances(100 * court.effort, rng)
    if court.docket is not None:
        yield from court.docket.instances


def two_sided(method: str) -> Callable[[RidgeInstance], Log]:
    """The public certificate's log delta, the larger of both directions."""
    return lambda instance: Log(max(instance.certified(method, "forward"), instance.certified(method, "reverse")))


def at_larger_epsilon(method: str) -> Callable[[RidgeInstance], Log]:
    """The certificate looked up 5% further out, as an epsilon overstated by a constant would."""
    return lambda instance: Log(instance.certificates[method].log_delta(1.05 * instance.epsilon))


def forward_for_both(method: str) -> Callable[[RidgeInstance], Log]:
    """The forward bound used for the reverse direction too."""
    return lambda instance: Log(instance.certified(method, "forward"))


def without_delta_s(method: str) -> Callable[[RidgeInstance], Log]:
    def promise(instance: RidgeInstance) -> Log:
        certificate = instance.certificates[method]
        total = certificate.delta(instance.epsilon) - certificate.delta_s
        return Log(math.log(total) if total > 0 else -math.inf)

    return promise


def mean_gap_only(instance: RidgeInstance) -> float:
    """The deterministic part of the coupling gap alone: what a noiseless learner would be charged."""
    quiet = linear.Schedule(
        step_size=instance.schedule.step_size,
        learn_steps=instance.schedule.learn_steps,
        unlearn_steps=instance.schedule.unlearn_steps,
        learn_noise=0.0,
        unlearn_noise=instance.schedule.unlearn_noise,
    )
    bound = certify(instance.problem, quiet, instance.index, delta_s=0.0, method="coupling")
    return bound.delta(instance.epsilon)


def simulated(court: Court, rng: np.random.Generator, false_alarm: float) -> tuple[RidgeInstance, Sample]:
    """The real chain of the three-row problem against its best certificate."""
    instance = next(case for case in ridge.edge_cases() if case.kind == "three rows" and case.index == 1)
    runs = 100_000 * court.effort
    unlearned, reference = linear.simulate(instance.problem, instance.schedule, instance.index, runs, rng)
    direction = np.linalg.solve(instance.pair.cov_q, (instance.pair.mean_p - instance.pair.mean_q)[:, 0])
    found = hockey_stick_lower_bound(
        unlearned[:, :, 0] @ direction, reference[:, :, 0] @ direction, instance.epsilon, confidence=1 - false_alarm
    )
    lower = max(found.delta, 1e-300)
    return instance, Sample(math.log(lower), 0.0, runs, math.exp(instance.log_hockey_stick("forward")) / lower - 1)


def _claim(method: str, title: str, statement: str, mutants: tuple[Mutant, ...], why: str = "") -> Claim:
    exact = Comparison(
        instances=everywhere,
        truth=ridge.truth("both"),
        relation="tight",
        tolerance=1e-8,
        certify=ridge.certify("both"),
        simplify=ridge.simplify,
    )
    return Claim(
        id=f"derived.{method}",
        source=f"derived here: {title}",
        statement=statement,
        provenance="derived",
        against=AGAINST,
        promise=two_sided(method),
        legs=(exact, Sampled(draw=simulated)),
        expected="survived",
        why=why,
        mutants=mutants,
    )


CLAIMS = (
    _claim(
        "direction_aware",
        "mean gap undone by open-loop control, clipped centred residual by causal control",
        "H <= d_mu(eps) + delta_s both ways, mu = |S'^{-1/2}(m-m')| + eta sum_k q_k |V_k^{-1/2} R_k x|.",
        (
            Mutant(name="delta_s dropped", promise=without_delta_s("direction_aware")),
            Mutant(name="forward bound for both directions", promise=forward_for_both("direction_aware")),
            Mutant(name="epsilon overstated by 5%", promise=at_larger_epsilon("direction_aware")),
        ),
        "Exact where learning is noiseless.",
    ),
    _claim(
        "coupling",
        "average over the whitened gap under the coupling by learning noise",
        "H <= E d_nu(eps) both ways, nu = |V_T^{-1/2} A^K (X_T - X'_T)|, no delta_s.",
        (
            Mutant(name="mean of the gap only", promise=mean_gap_only),
            Mutant(name="epsilon overstated by 5%", promise=at_larger_epsilon("coupling")),
        ),
        "Exact where learning is noiseless.",
    ),
    _claim(
        "best",
        "in each direction the smallest certificate",
        "H <= the smallest of all certificates, in each direction.",
        (
            Mutant(name="Theorem 4.3's one-sided hull bound for both directions", promise=through_clipping()),
            Mutant(name="forward bound for both directions", promise=forward_for_both("best")),
            Mutant(name="epsilon overstated by 5%", promise=at_larger_epsilon("best")),
        ),
    ),
)
