"""Several deletions from one model, together or in turn: the certificates of the whole history, and what proves nothing.

The reference is the chain that never saw any of the rows deleted so far and makes the same later steps with the same
noise (`linear.requests`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

import linear
from bounds import gaussian_dp, interpolation
from bounds.deletion import certify_requests
from bounds.deletion.request_facts import RequestFacts

from ..benarroch2026._readings import log_sum
from ..claim import Claim, Mutant
from ..legs import Comparison
from ..verdict import Log
from . import _request_cases as cases
from ._request_cases import RequestInstance

AGAINST = "the exact hockey-stick of the two Gaussian laws of the whole history, on small problems"


def two_sided(method: str) -> Callable[[RequestInstance], Log]:
    """The public certificate's log delta, the larger of both directions."""
    return lambda instance: Log(instance.certificates[method].log_delta(instance.epsilon))


def each_alone(method: str) -> Callable[[RequestInstance], Log]:
    """Every request certified as if it were the only one, and the largest delta claimed for all."""
    return lambda instance: Log(max(each[method].log_delta(instance.epsilon) for each in instance.alone))


def deltas_add(method: str) -> Callable[[RequestInstance], Log]:
    """Epsilon shared among the requests, each certified alone, and the deltas added."""

    def promise(instance: RequestInstance) -> Log:
        share = instance.epsilon / len(instance.requests)
        logs = [each[method].log_delta(share) for each in instance.alone]
        return Log(float(np.logaddexp.reduce(logs)))

    return promise


def forward_for_both(method: str) -> Callable[[RequestInstance], Log]:
    return lambda instance: Log(instance.certificates[method].log_forward(instance.epsilon))


def at_larger_epsilon(method: str) -> Callable[[RequestInstance], Log]:
    return lambda instance: Log(instance.certificates[method].log_delta(1.05 * instance.epsilon))


def _facts(instance: RequestInstance) -> RequestFacts:
    return RequestFacts.of(instance.problem, instance.schedule, instance.requests, np.array(instance.noises))


def _hull(facts: RequestFacts, sensitivities: np.ndarray, instance: RequestInstance) -> Log:
    mu = interpolation.optimal_shifts(sensitivities, facts.noise, facts.contraction).mu
    random = facts.random_steps("learned") > 0
    return Log(log_sum(float(gaussian_dp.log_delta(mu, instance.epsilon)), instance.delta_s if random else 0.0))


def _log_tail(instance: RequestInstance) -> float:
    return math.log(instance.delta_s)


def learning_only(instance: RequestInstance) -> Log:
    """Rows that are still to be deleted are taken to act in learning alone, not in the steps between requests."""
    facts = _facts(instance)
    sensitivities = facts.sensitivities("learned", _log_tail(instance)).copy()
    sensitivities[instance.schedule.learn_steps :] = 0.0
    return _hull(facts, sensitivities, instance)


def norms_in_squares(instance: RequestInstance) -> Log:
    """The rows' differences added as if they were orthogonal."""
    facts = _facts(instance)
    square = np.zeros(len(facts.noise))
    for row in {row for group in instance.requests for row in group}:
        alone = tuple(tuple(one for one in group if one == row) for group in instance.requests)
        kept = [place for place, group in enumerate(alone) if group]
        # Only the steps up to this row's own request have a difference; earlier requests are kept as they are.
        before = [*instance.requests[: kept[0]], (row,)]
        own = RequestFacts.of(instance.problem, instance.schedule, before, np.array(instance.noises[: kept[0] + 1]))
        steps = instance.schedule.learn_steps + kept[0] * instance.schedule.unlearn_steps
        residual = own.differences["learned"]
        norms = np.concatenate([_row_norms(part, row, own, _log_tail(instance)) for part in residual])
        square[:steps] += norms**2
    return _hull(facts, np.sqrt(square), instance)


def _row_norms(part: object, row: int, facts: RequestFacts, log_tail: float) -> np.ndarray:
    from bounds.sensitivity import residual_quantile

    place = part.residuals.rows.index(row)  # type: ignore[attr-defined]
    means, covariances = part.residuals.means, part.residuals.covariances  # type: ignore[attr-defined]
    size = float(np.linalg.norm(facts.deletion.problem.features[row]))
    tail = min(log_tail - math.log(max(facts.random_steps("learned"), 1)), -1e-60)
    std = np.sqrt(np.maximum(covariances[:, place, place], 0.0))
    norms = residual_quantile(np.linalg.norm(means[:, place], axis=-1), std, facts.outputs, log_tail=tail)
    return np.asarray(facts.deletion.schedule.step_size * size * norms)


def mean_gap_only(instance: RequestInstance) -> float:
    """The deterministic part of the coupled gap alone: what a chain silent before the last request is charged."""
    quiet = replace(instance.schedule, learn_noise=0.0)
    noises = np.array(instance.noises)
    noises[:-1] = 0.0
    bound = certify_requests(
        instance.problem, quiet, instance.requests, delta_s=0.0, method="coupling", unlearn_noise=noises
    )
    return bound.delta(instance.epsilon)


def chained(joined: Callable[[float], float]) -> Callable[[RequestInstance], Log]:
    """H_e(P||R) <= min over e1 + e2 = e of H_e1(P||Q) + e^e1 H_e2(Q||R), Q the chain that lacks the first row only."""

    def promise(instance: RequestInstance) -> Log:
        (first, second), noise = instance.requests[0], instance.noises[0]
        schedule = instance.schedule.with_unlearn_noise(noise)
        whole = instance.pair
        left = instance.problem.without(first)
        place = second - (second > first)
        later = linear.deletion_pair(left, schedule, place)  # Q against R
        former = linear.GaussianPair(whole.mean_p, whole.cov_p, later.mean_p, later.cov_p)  # P against Q
        best = math.inf
        for split in np.linspace(0.0, instance.epsilon, 5).tolist():
            try:
                one = float(former.log_hockey_stick(split))
                two = float(later.log_hockey_stick(instance.epsilon - split))
            except FloatingPointError:
                continue  # beyond float64: this split promises nothing
            best = min(best, float(np.logaddexp(one, joined(split) + two)))
        return Log(best + 1e-8)

    return promise


def _comparison(relation: str = "tight") -> Comparison:
    return Comparison(
        instances=cases.instances,
        truth=cases.truth,
        relation=relation,  # type: ignore[arg-type]
        tolerance=1e-8,
        certify=cases.certify,
        simplify=cases.simplify,
    )


def _claim(method: str, statement: str, mutants: tuple[Mutant, ...], why: str = "", relation: str = "tight") -> Claim:
    return Claim(
        id=f"derived.requests.{method}",
        source="derived here: several deletions, together or one request after another",
        statement=statement,
        provenance="derived",
        against=AGAINST,
        promise=two_sided(method),
        legs=(_comparison(relation),),
        expected="survived",
        why=why,
        mutants=mutants,
    )


CLAIMS = (
    _claim(
        "hull",
        "H <= d_mu(eps) + delta_s both ways, mu of the optimal shifts over learning and all requests, s_k = eta |X_S'R|.",
        (
            Mutant(name="each request certified alone", promise=each_alone("hull")),
            Mutant(name="rows act in learning only", promise=learning_only),
            Mutant(name="the rows' norms added in squares", promise=norms_in_squares),
            Mutant(name="forward bound for both directions", promise=forward_for_both("hull")),
            Mutant(name="epsilon overstated by 5%", promise=at_larger_epsilon("hull")),
        ),
        "Exact for copies of one row learned without noise.",
    ),
    _claim(
        "direction_aware",
        "H <= d_mu(eps) + delta_s both ways, mu = |S'^{-1/2}(m-m')| + eta sum_k q_k ||V_k^{-1/2} A^left X_S'L_k||.",
        (
            Mutant(name="each request certified alone", promise=each_alone("direction_aware")),
            Mutant(name="forward bound for both directions", promise=forward_for_both("direction_aware")),
            Mutant(name="epsilon overstated by 5%", promise=at_larger_epsilon("direction_aware")),
        ),
        "Exact where only the last noise is not zero, or the differences are certain.",
    ),
    _claim(
        "coupling",
        "H <= E d_nu(eps) both ways, nu the whitened gap that common noise up to the last request leaves.",
        (
            Mutant(name="each request certified alone", promise=each_alone("coupling")),
            Mutant(name="mean of the gap only", promise=mean_gap_only),
            Mutant(name="epsilon overstated by 5%", promise=at_larger_epsilon("coupling")),
        ),
        "Exact for rows deleted together after learning without noise.",
    ),
    _claim(
        "best",
        "H <= the smallest of the certificates of the whole history, in each direction.",
        (
            Mutant(name="each request certified alone", promise=each_alone("best")),
            Mutant(name="forward bound for both directions", promise=forward_for_both("best")),
            Mutant(name="epsilon overstated by 5%", promise=at_larger_epsilon("best")),
        ),
    ),
    Claim(
        id="derived.requests.each_alone",
        source="a natural reading of single-deletion certificates",
        statement="If every request is (eps, delta)-certified as the only one, the sequence is (eps, delta)-unlearning.",
        provenance="derived",
        against=AGAINST,
        promise=each_alone("best"),
        legs=(_comparison("upper"),),
        expected="refuted",
        repair="derived.requests.best",
        why="Two copies of a row: each deletion alone hides half of what both taught.",
    ),
    Claim(
        id="derived.requests.deltas_add",
        source="a natural reading of basic composition",
        statement="If request r is (eps_r, delta_r)-certified alone, the sequence is (sum eps_r, sum delta_r)-unlearning.",
        provenance="derived",
        against=AGAINST,
        promise=deltas_add("best"),
        legs=(_comparison("upper"),),
        expected="refuted",
        repair="derived.requests.chained",
        why=(
            "Deletions from one model are a chain of neighbours, not releases: a later delta is paid e^eps times, and the "
            "later rows act on while the first are unlearned."
        ),
    ),
    Claim(
        id="derived.requests.chained",
        source="derived here: hockey-stick divergences along a chain of neighbours",
        statement="Rows i, j deleted together: H_{e1+e2}(P||R) <= H_e1(P||Q) + e^{e1} H_e2(Q||R), Q learned without i.",
        provenance="derived",
        against="the exact hockey-stick of the two Gaussian laws, unlearned from reference",
        promise=chained(lambda split: split),
        legs=(
            Comparison(
                instances=cases.batches,
                truth=cases.forward_truth,
                tolerance=1e-8,
                certify=cases.certify_forward,
                simplify=cases.simplify,
            ),
        ),
        expected="survived",
        mutants=(Mutant(name="the deltas simply add", promise=chained(lambda split: 0.0)),),
    ),
)
