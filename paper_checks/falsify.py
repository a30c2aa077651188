"""`falsify`: put a bound on trial that someone wrote as a Python function."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from joblib import Parallel, parallel_config

from . import families
from .families.base import Family
from .registry import all_claims
from .search import BrokenPromise, Clock, Promise, Tally, Trial, run_tasks, tasks_of_round, try_instance
from .verdict import Counterexample, Evidence, Status, Truth, Verdict, show_log

# A shrink may take this long, whatever is left of the budget: a refutation is worth making readable.
_SHRINK_SECONDS = 10.0


def falsify(
    claim: Promise | str,
    *,
    family: str | Family,
    seconds: float = 30,
    seed: int = 0,
    trials: int | None = None,
    jobs: int = 1,
    backend: str | None = None,
) -> Verdict:
    """Search `family` for an instance on which the truth exceeds what `claim` promises.

    claim: a function of one instance that returns the bound it promises (one real number >= 0, or `Log` of it), or
    the id of a registered claim; see the family's docstring for what an instance holds and which number is meant.
    seconds, trials: whichever is reached first ends the search (a trial budget makes it reproducible for a seed).
    jobs, backend: joblib workers and backend; results do not depend on them.

    Returns a Verdict: `refuted` with the smallest counterexample found, certified (the lower end of the rigorous
    truth exceeds the claim by more than the family's tolerance), or `survived` with the closest approach; `undecided`
    where a violation could not be certified; `invalid` where the claim raised or returned no bound.

    Raises ValueError for an unknown family or claim, or a budget that is not positive.
    """
    chosen = families.get(family)
    promise, name = _resolve(claim)
    if not seconds > 0:
        raise ValueError(f"seconds = {seconds!r}: must be positive")
    if trials is not None and trials < 1:
        raise ValueError(f"trials = {trials!r}: must be at least 1")
    if jobs < 1:
        raise ValueError(f"jobs = {jobs!r}: must be at least 1")
    started = time.perf_counter()
    try:
        evidence = _search(promise, chosen, Clock.start(seconds, trials), seed, jobs, backend)
    except BrokenPromise as broken:
        evidence = Evidence("search", "invalid", nearest=broken.instance, note=f"{broken.what}, on {broken.instance}")
    return Verdict(name, evidence.status, None, (evidence,), (), time.perf_counter() - started, evidence.note)


def _resolve(claim: Promise | str) -> tuple[Promise, str]:
    if callable(claim):
        return claim, getattr(claim, "__name__", type(claim).__name__)
    registered = all_claims().get(claim)
    if registered is None or registered.promise is None:
        raise ValueError(f"claim = {claim!r}: must be a function or the id of a registered claim with a promise")
    return registered.promise, claim


@contextmanager
def _pool(jobs: int, backend: str | None) -> Iterator[Parallel | None]:
    if jobs == 1 and backend is None:
        yield None
        return
    with parallel_config(backend) if backend is not None else nullcontext(), Parallel(n_jobs=jobs) as parallel:
        yield parallel


def _search(promise: Promise, family: Family, clock: Clock, seed: int, jobs: int, backend: str | None) -> Evidence:
    tally, number, doubts = Tally(), 0, 0
    with _pool(jobs, backend) as parallel:
        while True:
            for found in run_tasks(tasks_of_round(promise, family, seed, number, tally), parallel):
                for trial in found:
                    tally.add(trial)
                    if trial is not None and trial.excess > family.tolerance:
                        refutation = _refute(promise, family, trial)
                        if refutation is not None:
                            return _refuted(tally, refutation)
                        doubts += 1
                if clock.over(tally):
                    return _survived(family, tally, doubts)
            number += 1


def _refute(promise: Promise, family: Family, trial: Trial) -> Counterexample | None:
    """The trial shrunk and certified; None where the rigorous truth does not confirm it."""
    if _certified(promise, family, trial.instance) is None:
        return None
    # A shrunk counterexample keeps half of its margin: round numbers that barely refute would convince nobody.
    least = max(family.tolerance, 0.5 * min(trial.excess, math.log(2.0)))
    best, ends = trial.instance, time.monotonic() + _SHRINK_SECONDS
    progress = True
    while progress and time.monotonic() < ends:
        progress = False
        for candidate in family.simplify(best):
            if time.monotonic() > ends:
                break
            if _still_refutes(promise, family, candidate, least):
                best, progress = candidate, True
                break
    return _certified(promise, family, best)


def _still_refutes(promise: Promise, family: Family, candidate: Any, least: float) -> bool:
    try:
        trial = try_instance(promise, family, candidate)
    except (BrokenPromise, ValueError):
        return False
    if trial is None or trial.excess < least:
        return False
    return _certified(promise, family, candidate) is not None


def _certified(promise: Promise, family: Family, instance: Any) -> Counterexample | None:
    try:
        trial = try_instance(promise, family, instance)
        truth = family.certify(instance)
    except (FloatingPointError, ValueError):
        return None
    if trial is None or not truth.lower - trial.log_promised > family.tolerance:
        return None
    return Counterexample(instance, trial.log_promised, Truth(truth.lower, truth.upper), certified=True)


def _refuted(tally: Tally, found: Counterexample) -> Evidence:
    note = f"promised {show_log(found.log_promised)}, true {show_log(found.truth.lower)}"
    return Evidence(
        "search",
        "refuted",
        tally.trials,
        counterexample=found,
        note=note,
        kinds=dict(tally.kinds),
        pairs=tuple(tally.pairs),
    )


def _survived(family: Family, tally: Tally, doubts: int) -> Evidence:
    best = tally.best[0] if tally.best else None
    closest = math.exp(min(best.excess, 700.0)) if best is not None else None
    kinds = ", ".join(f"{kind} ({count})" for kind, count in sorted(tally.kinds.items()))
    note = f"tried: {kinds}"
    if tally.refused:
        note += f"; on {tally.refused} more the truth could not be had and nothing was concluded"
    status: Status = "survived" if doubts == 0 and tally.trials else "undecided"
    if doubts:
        note = f"{doubts} apparent violations were not confirmed by the rigorous truth; {note}"
    nearest = best.instance if best is not None else None
    return Evidence(
        "search", status, tally.trials, closest, nearest, note=note, kinds=dict(tally.kinds), pairs=tuple(tally.pairs)
    )
