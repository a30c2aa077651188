"""`certify` and `certify_all`: what is promised for deletions, in both directions, on the safe side."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import linear

from .adapted import Adapted
from .facts import FIRST_RANK, DeletionFacts
from .methods import Best, Builder, Coupling, DirectionAware, Hull, Method, UnlearningOnly, WholeHorizon
from .solve import inverse_of

Array = NDArray[np.float64]

_BUILDERS: dict[str, Builder] = {
    "unlearning_only": UnlearningOnly,
    "whole_horizon": WholeHorizon,
    "hull": Hull,
    "direction_aware": DirectionAware,
    "coupling": Coupling,
    "adapted": Adapted,
}
NO_EVENT = ("coupling", "adapted")  # methods that spend nothing on a sensitivity event
METHODS = (*_BUILDERS, "best")
CHUNK = 128

# P2 is never below the hull, so it cannot improve the best.
# The cheapest to evaluate and usually the smallest first. "adapted" is asked for by name: what it leaves out (some 1e-9
# of delta) depends on which points are worked on together.
_BEST_OF = ("coupling", "unlearning_only", "hull", "direction_aware")


@dataclass(frozen=True, eq=False)
class Certificate:
    """A two-sided promise for one deletion: hockey-stick at most delta(epsilon) in both directions.

    method: how it was had; mu: Gaussian-DP parameter that, with delta_s, serves both directions (nan for "coupling"
    and "adapted", which have none; for "best" the smallest among its parts); delta_s: probability spent on the sensitivity event
    (0 where nothing is random). Every number is rounded up.
    """

    method: str
    delta_s: float
    bound: Method

    @property
    def mu(self) -> float:
        """The Gaussian-DP parameter, found when first asked for."""
        return float(self.bound.mu)

    def log_forward(self, epsilon: float) -> float:
        """Upper bound on the log hockey-stick of unlearned from reference."""
        return min(0.0, float(self.bound.forward(float(epsilon))))

    def log_reverse(self, epsilon: float) -> float:
        """Upper bound on the log hockey-stick of reference from unlearned."""
        return min(0.0, float(self.bound.reverse(float(epsilon))))

    def holds(self, epsilon: float, log_delta: float) -> bool:
        """Whether log_delta(epsilon) <= log_delta, without finding out by how much."""
        return bool(holds(self.bound, epsilon, log_delta))

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
        return float(_epsilon(self.bound, (), _log_target(delta)))


@dataclass(frozen=True, eq=False)
class Certificates:
    """Two-sided promises for many deletions, like `Certificate`: all numbers are arrays (m,), one for each of `indices`.

    Each is at most some 1e-9, relatively, above what `certify` gives for that point alone, and never below it by more
    than that; only where variant V1 of the reverse direction decides may `epsilon` be larger by about a thousandth.
    """

    method: str
    delta_s: float
    indices: NDArray[np.intp]
    parts: tuple[tuple[NDArray[np.intp], DeletionFacts, Method], ...]
    progress: Callable[[int, int], None] | None = None

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def mu(self) -> Array:
        """Gaussian-DP parameters; nan for "coupling" and "adapted"."""
        return self._gathered(lambda bound, where: bound.mu)

    def log_forward(self, epsilon: float | Array) -> Array:
        """Upper bounds on the log hockey-stick of unlearned from reference, at one epsilon or one for each, (m,)."""
        at = self._at(epsilon)
        return self._gathered(lambda bound, where: np.minimum(bound.forward(at(where)), 0.0))

    def log_reverse(self, epsilon: float | Array) -> Array:
        """Upper bounds on the log hockey-stick of reference from unlearned, at one epsilon or one for each, (m,)."""
        at = self._at(epsilon)
        return self._gathered(lambda bound, where: np.minimum(bound.reverse(at(where)), 0.0))

    def log_delta(self, epsilon: float | Array) -> Array:
        """Natural logs of the two-sided delta at `epsilon` (one, or one for each): the larger of both directions."""
        at = self._at(epsilon)
        return self._gathered(lambda bound, where: _log_delta(bound, at(where)))

    def delta(self, epsilon: float) -> Array:
        """The two-sided delta at `epsilon`."""
        found: Array = np.exp(self.log_delta(epsilon)) * (1 + 4e-16)
        return found

    def holds(self, epsilon: float, log_delta: float) -> NDArray[np.bool_]:
        """Whether log_delta(epsilon) <= log_delta, without finding out by how much."""
        return self._gathered(lambda bound, count: holds(bound, float(epsilon), log_delta)).astype(bool)

    def epsilon(self, delta: float) -> Array:
        """Epsilons >= 0 at which the promised delta is at most `delta`, smallest to 1e-7 relative; inf if none."""
        target = _log_target(delta)
        return self._gathered(lambda bound, where: _epsilon(bound, (len(where),), target))

    def _at(self, epsilon: float | Array) -> Callable[[NDArray[np.intp]], Any]:
        if np.ndim(epsilon) == 0:
            return lambda where: float(epsilon)
        each = np.asarray(epsilon, dtype=np.float64)
        if each.shape != (len(self),):
            raise ValueError(f"epsilon has shape {each.shape}: must be one number or have shape ({len(self)},)")
        return lambda where: each[where]

    def _gathered(self, number: Callable[[Method, NDArray[np.intp]], Any]) -> Array:
        found = np.empty(len(self))
        done = 0
        for where, facts, bound in self.parts:
            found[where] = number(bound, where)
            facts.let_go()
            done += len(where)
            if self.progress is not None:
                self.progress(done, len(self))
        return found


def _log_target(delta: float) -> float:
    if not 0 < delta < 1:
        raise ValueError(f"delta = {delta!r}: must lie strictly between 0 and 1")
    return math.log(delta)


def _log_delta(bound: Method, epsilon: Any) -> Any:
    return np.minimum(np.maximum(bound.forward(epsilon), bound.reverse(epsilon)), 0.0)


def holds(bound: Method, epsilon: Any, log_delta: float) -> Any:
    """Whether both directions are at most log_delta at `epsilon`, without finding out by how much."""
    if isinstance(bound, Best):
        return bound.certifies(epsilon, log_delta)
    return (bound.forward(epsilon) <= log_delta) & (bound.reverse(epsilon) <= log_delta)


def _epsilon(bound: Method, shape: tuple[int, ...], target: float) -> Array:
    """The smallest epsilon with a log delta of at most `target`, elementwise; inf if there is none."""
    found: Array = np.maximum(
        _one_sided_epsilon(bound, shape, target, "forward"), _one_sided_epsilon(bound, shape, target, "reverse")
    )
    return found


def _one_sided_epsilon(bound: Method, shape: tuple[int, ...], target: float, side: str) -> Array:
    if isinstance(bound, Best):
        found = [_one_sided_epsilon(method, shape, target, side) for method in bound.methods]
        return np.minimum.reduce(found)
    inverse = getattr(bound, f"{side}_epsilon", None)
    if inverse is not None:
        return np.asarray(inverse(target), dtype=np.float64)
    value = getattr(bound, side)
    return inverse_of(lambda epsilon: np.asarray(value(epsilon if shape else float(epsilon))), shape, target)


def build_bound(facts: DeletionFacts, delta_s: float, method: str) -> tuple[float, Method]:
    """What is really spent of delta_s, and the bounds, for facts already gathered, of one deletion or of many."""
    if method not in METHODS:
        raise ValueError(f"method = {method!r}: must be one of {', '.join(METHODS)}")
    if not 0 <= delta_s < 1:
        raise ValueError(f"delta_s = {delta_s!r}: must lie in [0, 1)")
    if not facts.random_steps:
        delta_s = 0.0
    elif delta_s == 0 and method not in NO_EVENT:
        raise ValueError(f"delta_s = {delta_s!r}: must be positive, the sensitivities are random")
    log_delta_s = math.log(delta_s) if delta_s > 0 else -math.inf
    if method == "best":
        bound: Method = Best(tuple(_BUILDERS[name](facts, log_delta_s) for name in _BEST_OF))
    else:
        bound = _BUILDERS[method](facts, log_delta_s)
    return (0.0 if method in NO_EVENT else delta_s), bound


def build(facts: DeletionFacts, delta_s: float, method: str) -> Certificate:
    """The certificate for the facts of one deletion already gathered."""
    return Certificate(method, *build_bound(facts, delta_s, method))


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

    delta_s: probability allowed for the sensitivity event, in [0, 1); spent by all methods but "coupling" and "adapted".
    method: "unlearning_only" (Prop. 4.2 reading P1), "whole_horizon" (reading P2), "hull" (optimal shifts),
    "direction_aware", "coupling", "adapted" (derived here; the sharpest), or "best", in each direction the smallest of
    the others. P1 is two-sided as it stands; the others by the repaired Theorem 4.3 of Benarroch, Atif, Cappe 2026.

    Raises ValueError for an unknown method, delta_s out of range, or a row that is not there. The certificate holds
    over the noise of learning and unlearning together, for one deletion; the noise it certifies depends on the data.
    """
    return build(DeletionFacts.of(problem, schedule, index), delta_s, method)


def certify_all(
    problem: linear.RidgeProblem,
    schedule: linear.Schedule,
    indices: Any = None,
    *,
    delta_s: float,
    method: str = "best",
    chunk: int = CHUNK,
    progress: Callable[[int, int], None] | None = None,
) -> Certificates:
    """`certify` for many deletions, each by itself, of the rows `indices` (default: all).

    Work is done `chunk` deletions at a time, in memory of about 4 (T C + k T) doubles each, k some 30; what is kept is
    about 4 T + k^2 doubles for each. The formulas are those of `certify` on arrays with one more axis. progress(done,
    total) is called after every chunk, also of what is asked of the result later.
    """
    chosen = positions(problem, indices)
    spent, parts = delta_s, []
    done = 0
    for where, facts in gathered(problem, schedule, chosen, chunk):
        facts = facts.without_bulk()
        spent, bound = build_bound(facts, delta_s, method)
        parts.append((where, facts, bound))
        done += len(where)
        if progress is not None:
            progress(done, len(chosen))
    return Certificates(method, spent, chosen, tuple(parts), progress)


def certify_all_each(
    problem: linear.RidgeProblem,
    schedule: linear.Schedule,
    indices: Any = None,
    *,
    delta_s: float,
    chunk: int = CHUNK,
) -> dict[str, Certificates]:
    """The certificates of every method for many deletions, their common work done once; see `certify_all`."""
    chosen = positions(problem, indices)
    spent = dict.fromkeys(METHODS, delta_s)
    parts: dict[str, list[tuple[NDArray[np.intp], DeletionFacts, Method]]] = {method: [] for method in METHODS}
    for where, facts in gathered(problem, schedule, chosen, chunk):
        facts = facts.without_bulk()
        found: dict[str, Method] = {}
        for method in METHODS:
            if method == "best":
                found[method] = Best(tuple(found[name] for name in _BEST_OF))
            else:
                spent[method], found[method] = build_bound(facts, delta_s, method)
            parts[method].append((where, facts, found[method]))
    spent["best"] = spent["hull"]
    return {method: Certificates(method, spent[method], chosen, tuple(parts[method])) for method in METHODS}


def epsilon_each(each: dict[str, Certificates], delta: float) -> dict[str, Array]:
    """The epsilon at `delta` of every method of `certify_all_each`, (m,); the best of each direction found once."""
    target = _log_target(delta)

    def one_sided(certificates: Certificates, side: str) -> Array:
        return certificates._gathered(lambda bound, where: _one_sided_epsilon(bound, (len(where),), target, side))

    sides = {
        method: [one_sided(certificates, side) for side in ("forward", "reverse")]
        for method, certificates in each.items()
        if method != "best"
    }
    best = [np.minimum.reduce([sides[name][side] for name in _BEST_OF]) for side in (0, 1)]
    return {method: np.maximum(*(sides[method] if method != "best" else best)) for method in each}


def gathered(
    problem: linear.RidgeProblem, schedule: linear.Schedule, chosen: NDArray[np.intp], chunk: int
) -> Iterator[tuple[NDArray[np.intp], DeletionFacts]]:
    """The facts of many deletions, at most `chunk` at a time: (positions in `chosen`, facts)."""
    rank = FIRST_RANK
    for start in range(0, len(chosen), chunk):
        part = np.arange(start, min(start + chunk, len(chosen)))
        ranks = []
        for where, facts in DeletionFacts.of_each(problem, schedule, chosen[part], rank=rank):
            ranks.append(facts.rank)
            yield part[where], facts
        rank = max(min(ranks, default=rank), FIRST_RANK)


def positions(problem: linear.RidgeProblem, indices: Any) -> NDArray[np.intp]:
    """`indices` checked, all rows for None."""
    if indices is None:
        return np.arange(problem.n_points)
    chosen = np.asarray(indices)
    if chosen.ndim != 1 or (chosen.size and chosen.dtype.kind not in "iu"):
        raise TypeError(f"indices has type {chosen.dtype} and shape {chosen.shape}: must be a list of integers")
    outside = (chosen < 0) | (chosen >= problem.n_points)
    if outside.any():
        raise ValueError(f"indices holds {chosen[outside][0]}: must be at least 0 and below {problem.n_points}")
    return chosen.astype(np.intp)
