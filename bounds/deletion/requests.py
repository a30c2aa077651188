"""`certify_requests`, `calibrate_requests`: what is promised when several rows are deleted, together or in turn.

The promise after the last request is held against the chain that never saw any of the rows named so far
(`linear.requests` says why this one). The whole history is one pair of chains, so it is accounted for as one: the step
on data that still hold the rows X_S differs from the reference's by -eta X_S'R. Each method is the one of
`bounds.deletion.methods` with that in place of one row's difference; two differences there are. The rows act on after
learning, in the steps between the requests; and only the steps after the last request are the same map for both chains,
so that a bound which couples the chains by common noise can hide the gap in those alone.

No sum of the certificates of single requests is as good: the optimal shifts of a sum of sensitivities cost at most the
sum of the mu of each (add the shifts). And the certificates of single requests side by side prove nothing about all
of them (`paper_checks.derived.requests` refutes it).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

import linear
from linear._deletion import Requests

from .. import coupling, gaussian_dp, interpolation, sensitivity
from .calibrate import SHARES
from .certificate import Certificate
from .methods import AUDIBLE, Best, Method, log_add
from .request_facts import Base, RequestFacts

Array = NDArray[np.float64]
_UP = 1 + 1e-12


@dataclass(frozen=True, eq=False)
class UnlearningOnly:
    """All shifts after the last request. Both chains are coupled by their noise until then; outside an event of
    probability delta_s they are within z, and the last steps, common to both, hide that: two-sided as it stands."""

    facts: RequestFacts
    log_delta_s: float

    @property
    def floor(self) -> float:
        return self.log_delta_s

    @cached_property
    def mu(self) -> float:
        facts = self.facts
        noise = np.concatenate([np.zeros(facts.driven), facts.noise[facts.driven :]])
        return _optimal(facts, facts.sensitivities("learned", self.log_delta_s), noise)

    def forward(self, epsilon: float) -> float:
        kept = math.log1p(-math.exp(self.log_delta_s))
        return log_add(kept + _log_delta(self.mu, epsilon), self.log_delta_s)

    reverse = forward


@dataclass(frozen=True, eq=False)
class Hull:
    """The optimal shifts over the whole history: differences clipped along the unlearned chain for the forward
    direction, along the reference chain for the reverse one."""

    facts: RequestFacts
    log_delta_s: float

    @property
    def floor(self) -> float:
        return self.log_delta_s

    def parameter(self, base: Base) -> float:
        return _optimal(self.facts, self.facts.sensitivities(base, self.log_delta_s), self.facts.noise)

    @cached_property
    def forward_mu(self) -> float:
        return self.parameter("learned")

    @cached_property
    def reverse_mu(self) -> float:
        return self.parameter("reference")

    @property
    def mu(self) -> float:
        return max(self.forward_mu, self.reverse_mu)

    def forward(self, epsilon: float) -> float:
        return log_add(_log_delta(self.forward_mu, epsilon), self.log_delta_s)

    def reverse(self, epsilon: float) -> float:
        return log_add(_log_delta(self.reverse_mu, epsilon), self.log_delta_s)


@dataclass(frozen=True, eq=False)
class DirectionAware:
    """The mean of every difference undone by open-loop control, its clipped centred part by causal control.

    With R_k = mean + L_k xi, xi (s, C) standard normal, |xi| clipped at q_k, V_k the covariance that the noise of steps
    >= k has at the end of the reference chain: mu = |S'^{-1/2}(m - m')| + eta sum_k q_k ||V_k^{-1/2} A^left X_S'L_k||.
    Base is the unlearned chain; the reverse direction takes its tail as delta_s e^-epsilon (variant V1).
    """

    facts: RequestFacts
    log_delta_s: float

    @property
    def floor(self) -> float:
        return self.log_delta_s

    @cached_property
    def _norms(self) -> tuple[float, float]:
        """(mean term, sum over the random steps of the norm that one unit of xi costs)."""
        facts, eta = self.facts, self.facts.deletion.schedule.step_size
        horizon = len(facts.noise)
        powers = facts.powers(horizon)
        after = np.cumsum((facts.noise[::-1] * powers) ** 2, axis=1)[:, ::-1]  # V_k, (p, N)
        decay = facts.last_powers[:, -1]
        gap = decay[:, None] * facts.coupled_gap[0]
        if facts.noise[-1] == 0 and np.any((np.abs(decay) < AUDIBLE) & np.any(facts.coupled_gap[0] != 0, axis=1)):
            return math.inf, math.inf  # a^K is common to gap and noise, and may underflow in both
        mean = math.sqrt(float(_over(np.sum(gap**2, axis=1), after[:, 0]).sum()))
        total, start = 0.0, 0
        for part in facts.differences["learned"]:
            steps = np.arange(start, start + len(part.rest))
            start += len(steps)
            random = np.flatnonzero((part.variances > 0).any(axis=1))
            if not random.size:
                continue
            values, axes = np.linalg.eigh(part.residuals.covariances[random])
            roots = axes * np.sqrt(np.maximum(values, 0.0))[:, None, :]  # L_k, (n, s, s)
            arrived = powers[:, horizon - 1 - steps[random]].T[:, :, None] * part.rows  # (n, p, s)
            scale = after[:, steps[random]].T
            if ((scale == 0)[:, :, None] & (arrived != 0)).any():
                return mean, math.inf
            whitened = arrived / np.sqrt(np.where(scale == 0, 1.0, scale))[:, :, None]
            grams = roots.transpose(0, 2, 1) @ (whitened.transpose(0, 2, 1) @ whitened) @ roots
            total += float(np.sqrt(np.maximum(np.linalg.eigvalsh(grams)[:, -1], 0.0)).sum())
        return mean * _UP, eta * total * _UP

    def parameter(self, log_tail: float) -> float:
        mean, per_unit = self._norms
        if per_unit == 0:
            return mean
        part = self.facts.differences["learned"][0].rows.shape[1]
        each = log_tail - math.log(self.facts.random_steps("learned"))
        radius = float(sensitivity.central_radius(part * self.facts.outputs, log_tail=min(each, -1e-60)))
        return (mean + radius * per_unit) * _UP

    @cached_property
    def mu(self) -> float:
        return self.parameter(self.log_delta_s)

    def forward(self, epsilon: float) -> float:
        return log_add(_log_delta(self.mu, epsilon), self.log_delta_s)

    def reverse(self, epsilon: float) -> float:
        if self.log_delta_s == -math.inf:
            return self.forward(epsilon)
        smaller = self.parameter(self.log_delta_s - max(epsilon, 0.0))
        return log_add(_log_delta(smaller, epsilon), self.log_delta_s)


@dataclass(frozen=True, eq=False)
class Coupling:
    """H <= E d_nu(eps), nu the whitened gap left after the last steps by chains coupled through all noise before."""

    facts: RequestFacts
    log_delta_s: float = -math.inf
    mu: float = math.nan
    floor: float = -math.inf

    @cached_property
    def _gap_law(self) -> tuple[Array, Array] | None:
        law, noise = self.facts.unit_gap_law, self.facts.deletion.phases[-1].noise
        # Where the gap is none, no noise is needed; else too little of it cannot be told from none (a^K may underflow).
        if law is None or not any(part.any() for part in self.facts.coupled_gap):
            return law
        if noise < AUDIBLE:
            return None
        square = noise**2
        return law[0] / square * _UP, law[1] / square

    def forward(self, epsilon: float) -> float:
        if self._gap_law is None:
            return 0.0
        value = float(coupling.log_expected_delta(*self._gap_law, self.facts.outputs, epsilon))
        # As for one row: the rounding of the gap's law is met in the result.
        return value if math.isinf(value) else value + 1e-11 * (1 + abs(value))

    reverse = forward


_BUILDERS: dict[str, Callable[[RequestFacts, float], Method]] = {
    "unlearning_only": UnlearningOnly,
    "hull": Hull,
    "direction_aware": DirectionAware,
    "coupling": Coupling,
}
REQUEST_METHODS = (*_BUILDERS, "best")
_BEST_OF = ("coupling", "unlearning_only", "hull", "direction_aware")


def _build(facts: RequestFacts, delta_s: float, method: str) -> Certificate:
    if method not in REQUEST_METHODS:
        raise ValueError(f"method = {method!r}: must be one of {', '.join(REQUEST_METHODS)}")
    if not 0 <= delta_s < 1:
        raise ValueError(f"delta_s = {delta_s!r}: must lie in [0, 1)")
    if not facts.random_steps("learned") and not facts.random_steps("reference"):
        delta_s = 0.0
    elif delta_s == 0 and method != "coupling":
        raise ValueError(f"delta_s = {delta_s!r}: must be positive, the sensitivities are random")
    log_delta_s = math.log(delta_s) if delta_s > 0 else -math.inf
    if method == "best":
        bound: Method = Best(tuple(_BUILDERS[name](facts, log_delta_s) for name in _BEST_OF))
    else:
        bound = _BUILDERS[method](facts, log_delta_s)
    return Certificate(method, 0.0 if method == "coupling" else delta_s, bound)


def certify_requests(
    problem: linear.RidgeProblem,
    schedule: linear.Schedule,
    requests: Requests,
    *,
    delta_s: float,
    method: str = "best",
    unlearn_noise: ArrayLike | None = None,
) -> Certificate:
    """Certificate, after the last of several requests, for all the rows they name at once.

    Parameters
    ----------
    requests : in order; each one row or several that are deleted together. A batch is one request.
    delta_s : probability allowed for the sensitivity event over the whole history, in [0, 1).
    method : "unlearning_only" (shifts after the last request), "hull" (optimal shifts over the history),
        "direction_aware", "coupling", or "best", in each direction the smallest.
    unlearn_noise : injected noise of the K steps after each request, one number or (R,); by default the schedule's.

    It holds over all the noise of the history together, for requests that do not depend on it, and for the weights
    after the last request alone. Raises ValueError for bad requests, an unknown method or delta_s out of range.
    """
    return _build(RequestFacts.of(problem, schedule, requests, unlearn_noise), delta_s, method)


def certify_requests_each(
    problem: linear.RidgeProblem,
    schedule: linear.Schedule,
    requests: Requests,
    *,
    delta_s: float,
    unlearn_noise: ArrayLike | None = None,
) -> dict[str, Certificate]:
    """The certificate of every method, their common work done once."""
    facts = RequestFacts.of(problem, schedule, requests, unlearn_noise)
    return {method: _build(facts, delta_s, method) for method in REQUEST_METHODS}


def calibrate_requests(
    problem: linear.RidgeProblem,
    schedule: linear.Schedule,
    requests: Requests,
    *,
    epsilon: float,
    delta: float,
    earlier_noise: ArrayLike = (),
    method: str = "best",
) -> tuple[float, Certificate]:
    """Injected noise of the steps after the last request that certifies (epsilon, delta) for all rows named so far.

    earlier_noise : (R - 1,), the noise of the requests before, already spent. The noise is the upper end of a bisection
    to 1e-9 relative, at which the certificate was evaluated and holds; 0.0 where the noise before suffices. delta_s is
    chosen among fixed shares of delta. Returns (noise, certificate). Raises ValueError for epsilon < 0, delta outside
    (0, 1), no unlearning step, or a target that no noise reaches.
    """
    if not (math.isfinite(epsilon) and epsilon >= 0):
        raise ValueError(f"epsilon = {epsilon!r}: must be finite and not negative")
    if not 0 < delta < 1:
        raise ValueError(f"delta = {delta!r}: must lie strictly between 0 and 1")
    if schedule.unlearn_steps == 0:
        raise ValueError("unlearn_steps = 0: without an unlearning step there is no noise to calibrate")
    spent = np.atleast_1d(np.asarray(earlier_noise, dtype=float))
    facts = RequestFacts.of(problem, schedule, requests, np.append(spent, 1.0))
    wanted = math.log(delta)
    best: tuple[float, Certificate] | None = None
    for share in SHARES if facts.random_steps("learned") and method != "coupling" else (0.5,):

        def at(noise: float, delta_s: float = share * delta) -> Certificate:
            return _build(facts.with_last_noise(noise), delta_s, method)

        least = _least(lambda noise, at=at: at(noise).holds(epsilon, wanted), math.inf if best is None else best[0])
        if least is not None:
            best = least, at(least)
        if least == 0:
            break
    if best is None:
        raise ValueError(f"epsilon = {epsilon!r}, delta = {delta!r}: no unlearning noise certifies this target")
    return best


def _least(holds: Callable[..., bool], known: float) -> float | None:
    """The smallest noise below `known` where it holds, to 1e-9 relative; None where there is none."""
    if holds(0.0):
        return 0.0
    high = known * (1 - 1e-9) if math.isfinite(known) else 1e-3
    while not holds(high):
        high *= 4
        if high > min(1e30, known):
            return None
    low = high / 4
    while holds(low):
        low, high = low / 4, low
        if high < 1e-300:
            return high
    while high > low * (1 + 1e-9):
        middle = math.sqrt(low) * math.sqrt(high)
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _optimal(facts: RequestFacts, sensitivities: Array, noise: Array) -> float:
    return interpolation.optimal_shifts(sensitivities, noise, facts.contraction).mu


def _log_delta(mu: float, epsilon: float) -> float:
    return float(gaussian_dp.log_delta(mu, epsilon))


def _over(squares: Array, variances: Array) -> Any:
    """squares / variances, 0/0 counting 0 and x/0 infinity."""
    ratio = np.divide(squares, variances, out=np.full(squares.shape, np.inf), where=variances > 0)
    return np.where(squares == 0, 0.0, ratio)
