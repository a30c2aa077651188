"""`certify`: what is promised for one deletion, in both directions, on the safe side."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from scipy.optimize import brentq

import linear

from .facts import DeletionFacts
from .methods import Best, Coupling, DirectionAware, Hull, Method, UnlearningOnly, WholeHorizon

_BUILDERS: dict[str, Callable[[DeletionFacts, float], Method]] = {
    "unlearning_only": UnlearningOnly,
    "whole_horizon": WholeHorizon,
    "hull": Hull,
    "direction_aware": DirectionAware,
    "coupling": Coupling,
}
METHODS = (*_BUILDERS, "best")

# P2 is never below the hull, so it cannot improve the best.
# The cheapest to evaluate and usually the smallest first.
_BEST_OF = ("coupling", "unlearning_only", "hull", "direction_aware")


@dataclass(frozen=True, eq=False)
class Certificate:
    """A two-sided promise for one deletion: hockey-stick at most delta(epsilon) in both directions.

    method: how it was had; mu: Gaussian-DP parameter that, with delta_s, serves both directions (nan for "coupling",
    which has none; for "best" the smallest among its parts); delta_s: probability spent on the sensitivity event
    (0 where nothing is random). Every number is rounded up.
    """

    method: str
    delta_s: float
    bound: Method

    @property
    def mu(self) -> float:
        """The Gaussian-DP parameter, found when first asked for."""
        return self.bound.mu

    def log_forward(self, epsilon: float) -> float:
        """Upper bound on the log hockey-stick of unlearned from reference."""
        return min(0.0, self.bound.forward(float(epsilon)))

    def log_reverse(self, epsilon: float) -> float:
        """Upper bound on the log hockey-stick of reference from unlearned."""
        return min(0.0, self.bound.reverse(float(epsilon)))

    def holds(self, epsilon: float, log_delta: float) -> bool:
        """Whether log_delta(epsilon) <= log_delta, without finding out by how much."""
        if isinstance(self.bound, Best):
            return self.bound.certifies(epsilon, log_delta)
        return self.log_forward(epsilon) <= log_delta and self.log_reverse(epsilon) <= log_delta

    def log_delta(self, epsilon: float) -> float:
        """Natural log of the two-sided delta at `epsilon`: the larger of both directions."""
        return max(self.log_forward(epsilon), self.log_reverse(epsilon))

    def delta(self, epsilon: float) -> float:
        """The two-sided delta at `epsilon`."""
        return math.exp(self.log_delta(epsilon)) * (1 + 4e-16)

    def epsilon(self, delta: float) -> float:
        """An epsilon >= 0 at which the promised delta is at most `delta`, smallest to 1e-7 relative; inf if none.

        Raises ValueError unless 0 < delta < 1.
        """
        if not 0 < delta < 1:
            raise ValueError(f"delta = {delta!r}: must lie strictly between 0 and 1")
        target = math.log(delta)

        def excess(epsilon: float) -> float:
            return max(self.log_delta(epsilon) - target, -1e3)

        if self.bound.floor >= target:
            return math.inf
        if excess(0.0) <= 0:
            return 0.0
        low, high = 0.0, 1.0
        while excess(high) > 0:
            low, high = high, 2 * high
            if high > 1e12:
                return math.inf
        high = brentq(excess, low, high, xtol=1e-12, rtol=1e-8)
        # Only a point at which the promise was evaluated and holds is returned.
        while excess(high) > 0:
            high *= 1 + 1e-8
        return high


def build(facts: DeletionFacts, delta_s: float, method: str) -> Certificate:
    """The certificate for facts already gathered."""
    if method not in METHODS:
        raise ValueError(f"method = {method!r}: must be one of {', '.join(METHODS)}")
    if not 0 <= delta_s < 1:
        raise ValueError(f"delta_s = {delta_s!r}: must lie in [0, 1)")
    if not facts.random_steps:
        delta_s = 0.0
    elif delta_s == 0 and method != "coupling":
        raise ValueError(f"delta_s = {delta_s!r}: must be positive, the sensitivities are random")
    log_delta_s = math.log(delta_s) if delta_s > 0 else -math.inf
    if method == "best":
        bound: Method = Best(tuple(_BUILDERS[name](facts, log_delta_s) for name in _BEST_OF))
    else:
        bound = _BUILDERS[method](facts, log_delta_s)
    return Certificate(method, 0.0 if method == "coupling" else delta_s, bound)


def certify_each(
    problem: linear.RidgeProblem, schedule: linear.Schedule, index: int, *, delta_s: float
) -> dict[str, Certificate]:
    """The certificate of every method for one deletion, their common work done once."""
    facts = DeletionFacts.of(problem, schedule, index)
    found = {method: build(facts, delta_s, method) for method in METHODS if method != "best"}
    best = Best(tuple(found[name].bound for name in _BEST_OF))
    return {**found, "best": Certificate("best", found["hull"].delta_s, best)}


def certify(
    problem: linear.RidgeProblem,
    schedule: linear.Schedule,
    index: int,
    *,
    delta_s: float,
    method: str = "best",
) -> Certificate:
    """Certificate of deleting row `index` by learning on all rows and unlearning on the others.

    delta_s: probability allowed for the sensitivity event, in [0, 1); spent by all methods but "coupling".
    method: "unlearning_only" (Prop. 4.2 reading P1), "whole_horizon" (reading P2), "hull" (optimal shifts),
    "direction_aware", "coupling" (both derived here), or "best", in each direction the smallest of them. P1 is
    two-sided as it stands; the others by the repaired Theorem 4.3 of Benarroch, Atif, Cappe 2026.

    Raises ValueError for an unknown method, delta_s out of range, or a row that is not there. The certificate holds
    over the noise of learning and unlearning together, for one deletion; the noise it certifies depends on the data.
    """
    return build(DeletionFacts.of(problem, schedule, index), delta_s, method)
