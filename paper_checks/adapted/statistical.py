"""AD-7: the statistical certificate is wrong with probability at most 1 - confidence."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from bounds import adapted

from ..claim import Claim
from ..claim import Mutant as _Mutant
from ..court import Court
from ..legs import Sample, Sampled
from ..verdict import Evidence, Log
from .sure_budget import SOURCE, Array

_CONFIDENCE = 0.9
_DELTA = 0.05
_HALF = 60  # runs of each half


@dataclass(frozen=True)
class Repeated:
    """Certificates at delta 0.05 from 2 x 60 budgets, many times over; B = 0.05 + 0.02 chi-square of 3."""

    repeats: int
    kind: str = "repeated"

    def __str__(self) -> str:
        return f"{self.repeats} certificates from 2 x {_HALF} budgets at confidence {_CONFIDENCE}"


def honest(first: Array, second: Array) -> tuple[float, float]:
    found = adapted.truncated_certificate(first, second, delta=_DELTA, confidence=_CONFIDENCE)
    return found.mu, found.tail


def same_runs(first: Array, second: Array) -> tuple[float, float]:
    """mu chosen on the very runs that are counted: the budget of each rank, the best of them taken."""
    ordered = np.sort(np.concatenate([first, second]))
    best, chosen = math.inf, (math.inf, 1.0)
    for above in range(8):
        mu = math.sqrt(ordered[-1 - above])
        limit = adapted.tail_limit(above, len(ordered), _CONFIDENCE)
        # the luckiest rank: the one whose limit looks best against the law that the runs suggest
        looks = limit / math.exp(-0.5 * (ordered[-1 - above] - 0.05) / 0.02)
        if looks < best:
            best, chosen = looks, (mu, limit)
    return chosen


def normal(first: Array, second: Array) -> tuple[float, float]:
    """Mean plus 1.2816 standard errors in place of Clopper and Pearson's limit."""
    mu = adapted.truncated_certificate(first, second, delta=_DELTA, confidence=_CONFIDENCE).mu
    share = float(np.mean(second > mu**2))
    return mu, share + 1.2816 * math.sqrt(share * (1 - share) / len(second))


def failures(certify: Callable[[Array, Array], tuple[float, float]]) -> Callable[..., tuple[Repeated, Sample]]:
    """How often d_mu + limit lies below d_mu + Pr[B > mu^2], the tail known from the law."""

    def draw(court: Court, rng: np.random.Generator, false_alarm: float) -> tuple[Repeated, Sample]:
        repeats = 900 * court.effort
        missed = 0
        for _ in range(repeats):
            first, second = 0.05 + 0.02 * rng.chisquare(3, (2, _HALF))
            mu, limit = certify(first, second)
            # d_mu is the same on both sides
            missed += limit < float(stats.chi2.sf((mu**2 - 0.05) / 0.02, 3))
        radius = math.sqrt(math.log(2 / false_alarm) / (2 * repeats))
        rate = missed / repeats
        sample = Sample(math.log(max(rate - radius, 1e-300)), math.log(rate + radius), repeats, 2 * radius / 0.1)
        return Repeated(repeats), sample

    return draw


def allowed(case: Repeated) -> Log:
    return Log(math.log1p(-_CONFIDENCE))


@dataclass(frozen=True)
class _Leg:
    """The same trial of another way to make certificates."""

    inner: Sampled
    name: str = "sampled"

    def run(self, promise: object, court: Court) -> Evidence:
        return self.inner.run(allowed, court)


def Mutant(name: str, certify: Callable[[Array, Array], tuple[float, float]]) -> _Mutant:
    return _Mutant(name=name, leg=_Leg(Sampled(draw=failures(certify))))


CLAIMS = (
    Claim(
        id="adapted.statistical",
        source=SOURCE,
        statement="mu chosen on one half, Pr[B > mu^2] limited on the other: wrong with probability at most 1 - confidence.",
        provenance="derived",
        against="a budget whose law is known, certificates repeated",
        promise=allowed,
        legs=(Sampled(draw=failures(honest)),),
        expected="survived",
        mutants=(
            Mutant("plan and mu chosen on the runs that are counted", same_runs),
            Mutant("normal instead of Clopper-Pearson", normal),
        ),
    ),
)
