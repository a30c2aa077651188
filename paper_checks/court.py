"""The court: runs every leg of every claim and of its mutants within a budget, deterministically for a seed."""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from joblib import Parallel, delayed

from .claim import Claim, Leg, Mutant, Promise
from .registry import all_claims
from .verdict import Evidence, MutantResult, Status, Truth, Verdict

if TYPE_CHECKING:
    from .docket import Docket
    from .legs import Comparison, Sample, Sampled

BudgetName = Literal["quick", "full", "hunt"]
BUDGETS: dict[str, int] = {"quick": 1, "full": 10, "hunt": 100}

# All Monte Carlo legs of one run share the false-alarm budget; each takes an equal part, for at most this many.
SAMPLED_LEGS_AT_MOST = 100


@dataclass
class Court:
    """Everything a leg may use: how much to try, randomness by seed, the data set's training points.

    budget: "quick" (1), "full" (10 times as many instances) or "hunt" (100 times); seed: every claim draws from its
    own stream, so that verdicts do not depend on order or on the number of jobs; false_alarm: probability that any
    Monte Carlo leg of the whole run refutes something true.
    """

    budget: BudgetName = "quick"
    seed: int = 0
    false_alarm: float = 1e-6
    docket: Docket | None = None
    _claim: str = ""
    _memory: dict[int, list[tuple[Any, Truth]]] = field(default_factory=dict, repr=False)
    _samples: dict[int, tuple[Any, Sample]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if self.budget not in BUDGETS:
            raise ValueError(f"budget = {self.budget!r}: must be one of {', '.join(BUDGETS)}")
        if not 0 < self.false_alarm < 1:
            raise ValueError(f"false_alarm = {self.false_alarm!r}: must lie strictly between 0 and 1")

    @property
    def effort(self) -> int:
        """The budget's multiplier of instance counts."""
        return BUDGETS[self.budget]

    @cached_property
    def sampled_alarm(self) -> float:
        """The false-alarm probability one sampled leg may use."""
        return self.false_alarm / SAMPLED_LEGS_AT_MOST

    def rng(self, *keys: str) -> np.random.Generator:
        """The stream that belongs to these keys, whatever else was drawn before."""
        return np.random.default_rng([self.seed, *(zlib.crc32(key.encode()) for key in keys)])

    def instances_with_truth(self, leg: Comparison) -> Iterator[tuple[Any, Truth]]:
        """The leg's instances, each with its truth; drawn once and shared by the claim and its mutants."""
        if id(leg) not in self._memory:
            self._memory[id(leg)] = []
            instances = leg.instances(self, self.rng(self._claim, leg.name))
            for instance in instances:
                entry = (instance, leg.truth(instance))
                self._memory[id(leg)].append(entry)
        yield from self._memory[id(leg)]

    def sampled(self, leg: Sampled) -> tuple[Any, Sample]:
        """The leg's runs, made once and shared by the claim and its mutants."""
        if id(leg) not in self._samples:
            self._samples[id(leg)] = leg.draw(self, self.rng(self._claim, leg.name), self.sampled_alarm)
        return self._samples[id(leg)]

    def try_claim(self, claim: Claim) -> Verdict:
        """Run the claim's legs, then every mutant through the same legs."""
        started = time.perf_counter()
        self._claim = claim.id
        self._memory, self._samples = {}, {}
        evidence = tuple(leg.run(claim.promise, self) for leg in claim.legs)
        mutants = tuple(self._try_mutant(claim, mutant) for mutant in claim.mutants)
        self._memory, self._samples = {}, {}
        seconds = time.perf_counter() - started
        return Verdict(claim.id, combine(evidence), claim.expected, evidence, mutants, seconds, claim.why)

    def _try_mutant(self, claim: Claim, mutant: Mutant) -> MutantResult:
        legs: Iterable[Leg] = (mutant.leg,) if mutant.leg is not None else claim.legs
        promise: Promise | None = mutant.promise if mutant.promise is not None else claim.promise
        statuses: list[Status] = []
        for leg in legs:
            found = leg.run(promise, self)
            if found.status == "refuted":
                return MutantResult(mutant.name, "refuted", mutant.true_because, found.counterexample, found.note)
            statuses.append(found.status)
        status: Status = "undecided" if "undecided" in statuses else "survived"
        return MutantResult(mutant.name, status, mutant.true_because)


def combine(evidence: tuple[Evidence, ...]) -> Status:
    """One status from all legs: a refutation decides, then a doubt; proved only if every leg is a proof."""
    statuses = [leg.status for leg in evidence]
    for decisive in ("invalid", "refuted", "undecided"):
        if decisive in statuses:
            return decisive  # type: ignore[return-value]
    return "proved" if all(status == "proved" for status in statuses) else "survived"


def _try_by_id(claim_id: str, court: Court) -> Verdict:
    return court.try_claim(all_claims()[claim_id])


def hold(claims: list[Claim], court: Court, jobs: int = 1) -> Iterator[Verdict]:
    """Try the claims, yielding verdicts as they come; `jobs` worker processes, the same verdicts for any number."""
    if jobs < 1:
        raise ValueError(f"jobs = {jobs!r}: must be at least 1")
    if jobs == 1:
        for claim in claims:
            yield court.try_claim(claim)
        return
    work = (delayed(_try_by_id)(claim.id, court) for claim in claims)
    yield from Parallel(n_jobs=jobs, return_as="generator_unordered")(work)
