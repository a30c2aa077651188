"""Three ways to try a claim: exact comparison over instances, symbolic identities, sampling with exact intervals."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from torch_bridge import saved

from .claim import Promise
from .verdict import Counterexample, Evidence, InvalidPromise, Log, Status, Truth, log_promise, show_log

if TYPE_CHECKING:
    from .court import Court

Relation = Literal["upper", "tight", "equal"]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Hold the promise against the truth on many instances.

    relation: "upper" (truth <= promise everywhere), "equal" (the same number everywhere), or "tight" (an upper
    bound everywhere which at least one instance reaches to ``tolerance``: a bound that is merely valid fails).
    instances(court, rng) yields instances, simplest first; truth(instance) is the fast truth with its error;
    certify(instance), where given, is the rigorous truth that a refutation must also pass; simplify(instance)
    yields simpler instances to which a counterexample is shrunk while it stays one; tolerance is in the logarithm (1e-11
    relative to it, if larger).
    """

    instances: Callable[[Court, np.random.Generator], Iterable[Any]]
    truth: Callable[[Any], Truth]
    relation: Relation = "upper"
    tolerance: float = 1e-9
    certify: Callable[[Any], Truth] | None = None
    simplify: Callable[[Any], Iterable[Any]] | None = None
    name: str = "exact"

    def run(self, promise: Promise | None, court: Court) -> Evidence:
        if promise is None:
            raise TypeError("promise = None: an exact comparison needs a promise to hold against the truth")
        closest, nearest, trials, unclear = -math.inf, None, 0, 0
        kinds: Counter[str] = Counter()
        pairs: list[tuple[float, float]] = []
        for instance, truth in court.instances_with_truth(self):
            trials += 1
            kinds[getattr(instance, "kind", "instance")] += 1
            try:
                promised = log_promise(promise(instance))
            except InvalidPromise as error:
                return Evidence(self.name, "invalid", trials, note=f"{error}, on {instance}")
            found = self._violation(instance, truth, promised)
            if found is not None:
                best = self._shrink(found, promise)
                certified = self._certified(best)
                if certified is None:
                    note = f"an apparent violation was not confirmed by the rigorous truth: {best.instance}"
                    return Evidence(self.name, "undecided", trials, note=note, kinds=dict(kinds), pairs=tuple(pairs))
                note = f"promised {show_log(certified.log_promised)}, true {show_log(certified.truth.lower)}"
                return Evidence(
                    self.name,
                    "refuted",
                    trials,
                    counterexample=certified,
                    note=note,
                    kinds=dict(kinds),
                    pairs=tuple(pairs),
                )
            unclear += self._unclear(truth, promised)
            ratio = _ratio(truth, promised)
            pairs.append((promised, 0.5 * (truth.lower + truth.upper) if math.isfinite(truth.lower) else -math.inf))
            if ratio > closest:
                closest, nearest = ratio, instance
        if trials == 0:
            return Evidence(self.name, "undecided", note="no instance was tried")
        if unclear:
            note = f"on {unclear} instances the truth's error is too large to say"
            return Evidence(self.name, "undecided", trials, closest, nearest, note=note, kinds=dict(kinds))
        if self.relation == "tight" and closest < 1 - self.tolerance:
            return Evidence(
                self.name,
                "refuted",
                trials,
                closest,
                nearest,
                note=f"claimed tight, but truth/promise never exceeds {closest:.9g}",
                kinds=dict(kinds),
            )
        return Evidence(self.name, "survived", trials, closest, nearest, kinds=dict(kinds), pairs=tuple(pairs))

    def _allowed(self, promised: float) -> float:
        # A logarithm of -50000 is known to no better than its rounding allows.
        return max(self.tolerance, 1e-11 * abs(promised)) if math.isfinite(promised) else self.tolerance

    def _violation(self, instance: Any, truth: Truth, promised: float) -> Counterexample | None:
        if truth.lower - promised > self._allowed(promised):
            return Counterexample(instance, promised, truth, "above")
        if self.relation == "equal" and promised - truth.upper > self._allowed(promised):
            return Counterexample(instance, promised, truth, "below")
        return None

    def _unclear(self, truth: Truth, promised: float) -> bool:
        # The truth's interval reaches past the promise by more than its own width allows for.
        above = truth.upper - promised > 2 * self._allowed(promised)
        below = self.relation == "equal" and promised - truth.lower > 2 * self._allowed(promised)
        return above or below

    def _shrink(self, found: Counterexample, promise: Promise) -> Counterexample:
        if self.simplify is None:
            return found
        # A shrunk counterexample keeps half of its margin: round numbers that barely refute would convince nobody.
        least = 0.5 * math.log(min(found.margin, 2.0))
        best, progress = found, True
        while progress:
            progress = False
            for candidate in self.simplify(best.instance):
                try:
                    smaller = self._violation(candidate, self.truth(candidate), log_promise(promise(candidate)))
                except (InvalidPromise, ValueError, FloatingPointError):
                    continue
                if smaller is None or smaller.direction != best.direction:
                    continue
                if math.log(smaller.margin) >= least:
                    best, progress = smaller, True
                    break
        return best

    def _certified(self, found: Counterexample) -> Counterexample | None:
        if self.certify is None:
            return found
        truth = self.certify(found.instance)
        again = self._violation(found.instance, truth, found.log_promised)
        if again is None or again.direction != found.direction:
            return None
        return Counterexample(found.instance, found.log_promised, truth, found.direction, certified=True)


def _ratio(truth: Truth, promised: float) -> float:
    if truth.upper == -math.inf:
        return 0.0
    if promised == math.inf:
        return 0.0
    middle = 0.5 * (truth.lower + truth.upper) if math.isfinite(truth.lower) else truth.upper
    return math.exp(min(middle - promised, 700.0))


@dataclass(frozen=True, kw_only=True)
class Symbolic:
    """Identities checked by computer algebra or certified intervals over the whole stated domain: (name, check)."""

    identities: tuple[tuple[str, Callable[[], bool]], ...]
    name: str = "symbolic"

    def run(self, promise: Promise | None, court: Court) -> Evidence:
        for title, check in self.identities:
            if not check():
                return Evidence(self.name, "refuted", len(self.identities), note=f"fails: {title}")
        return Evidence(
            self.name, "proved", len(self.identities), note="; ".join(title for title, _ in self.identities)
        )


@dataclass(frozen=True, kw_only=True)
class Unmeasured:
    """A statement that nothing here can try yet: always undecided, with the reason."""

    reason: str
    name: str = "unmeasured"

    def run(self, promise: Promise | None, court: Court) -> Evidence:
        return Evidence(self.name, "undecided", note=self.reason)


class Interval(Protocol):
    """A measured value with its confidence limits."""

    @property
    def value(self) -> float: ...

    @property
    def lower(self) -> float: ...

    @property
    def upper(self) -> float: ...


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A statistic of saved measurements, decided only where its whole confidence interval is on one side.

    results: their name in torch_bridge/results; statistic(saved) returns an object with value, lower and upper.
    survived: all of the interval is above `above`; refuted: none of it; undecided: across, not defined, or no file.
    """

    results: str
    statistic: Callable[[saved.Saved], Interval]
    above: float = 0.0
    name: str = "measured"

    def run(self, promise: Promise | None, court: Court) -> Evidence:
        try:
            data = saved.load(self.results)
        except FileNotFoundError as error:
            return Evidence(self.name, "undecided", note=str(error))
        found = self.statistic(data)
        status: Status = "undecided"
        if found.lower > self.above:
            status = "survived"
        elif found.upper <= self.above:
            status = "refuted"
        words = f"{found.value:.4g} [{found.lower:.4g}, {found.upper:.4g}], claimed above {self.above:g}"
        if math.isnan(found.value):
            words = "not defined on what was measured"
        note = f"{words}; {data.command}"
        return Evidence(self.name, status, 1, note=note)


@dataclass(frozen=True)
class Sample:
    """Outcome of a Monte Carlo check: an exact confidence interval for one true number, held against a promise.

    log_lower, log_upper: the interval, at the confidence the court's share of the false-alarm budget demands;
    detectable: the smallest relative excess over the promise that these runs would have shown.
    """

    log_lower: float
    log_upper: float
    runs: int
    detectable: float


@dataclass(frozen=True, kw_only=True)
class Sampled:
    """Monte Carlo of the real algorithm as a third leg: refuted only if the whole interval lies beyond the promise.

    draw(court, rng, false_alarm) runs the algorithm for one instance and returns (instance, Sample).
    """

    draw: Callable[[Court, np.random.Generator, float], tuple[Any, Sample]]
    relation: Literal["upper", "equal"] = "upper"
    name: str = "sampled"

    def run(self, promise: Promise | None, court: Court) -> Evidence:
        if promise is None:
            raise TypeError("promise = None: a sampled leg needs a promise to hold against the runs")
        instance, sample = court.sampled(self)
        promised = log_promise(promise(instance))
        truth = Truth(sample.log_lower, sample.log_upper)
        above = sample.log_lower > promised
        below = self.relation == "equal" and sample.log_upper < promised
        note = (
            f"{sample.runs} runs: truth in [{show_log(sample.log_lower)}, {show_log(sample.log_upper)}], promised "
            f"{show_log(promised)}; an excess of {sample.detectable:.2g} relative would have shown"
        )
        if above or below:
            found = Counterexample(instance, promised, truth, "above" if above else "below")
            return Evidence(self.name, "refuted", sample.runs, counterexample=found, note=note)
        return Evidence(self.name, "survived", sample.runs, note=note)


__all__ = ["Comparison", "Log", "Measured", "Sample", "Sampled", "Symbolic", "Truth", "Unmeasured"]
