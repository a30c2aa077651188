"""`falsify`: put a bound on trial that someone wrote as a Python function."""

from __future__ import annotations

import math
import time
from typing import Any

from threadpoolctl import threadpool_limits

from . import families
from .families.base import Family
from .pool import pool
from .registry import all_claims
from .search import Broken, Clock, Promise, Tally, Trial, run_tasks, tasks_of_round, try_instance
from .verdict import Counterexample, Evidence, Status, Truth, Verdict, show_log

# A shrink takes at most this long and this many candidates; and this share of the budget, where the budget is used up.
_SHRINK_SECONDS, _SHRINK_CANDIDATES, _SHRINK_SHARE = 10.0, 3000, 0.08
# The same for the closest approach of a survivor, which is only made readable.
_ROUNDING_CANDIDATES, _ROUNDING_SHARE = 300, 0.03


def falsify(
    claim: Promise | str,
    *,
    family: str | Family,
    seconds: float = 30,
    seed: int = 0,
    trials: int | None = None,
    jobs: int = 1,
    backend: str | None = None,
    scheduler: str | None = None,
) -> Verdict:
    """Search `family` for an instance on which the truth exceeds what `claim` promises.

    claim: a function of one instance that returns the bound it promises (one real number >= 0, or `Log` of it), or
    the id of a registered claim; see the family's docstring for what an instance holds and which number is meant.
    seconds, trials: whichever is reached first ends the search (a trial budget makes it reproducible for a seed).
    jobs, backend: joblib workers and backend; results do not depend on them. scheduler: address of a Dask scheduler whose
    workers (one thread each) do the search, for backend "dask".

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
    started = time.perf_counter()
    evidence = _search(promise, chosen, seconds, trials, seed, jobs, backend, scheduler)
    return Verdict(name, evidence.status, None, (evidence,), (), time.perf_counter() - started, evidence.note)


def _resolve(claim: Promise | str) -> tuple[Promise, str]:
    if callable(claim):
        return claim, getattr(claim, "__name__", type(claim).__name__)
    registered = all_claims().get(claim)
    if registered is None or registered.promise is None:
        raise ValueError(f"claim = {claim!r}: must be a function or the id of a registered claim with a promise")
    return registered.promise, claim


def _search(
    promise: Promise,
    family: Family,
    seconds: float,
    trials: int | None,
    seed: int,
    jobs: int,
    backend: str | None,
    scheduler: str | None,
) -> Evidence:
    tally, number, doubts = Tally(), 0, 0
    # Matrices are small here: threads inside the linear algebra only get in each other's way.
    clock = Clock.start(seconds, trials)
    with threadpool_limits(1), pool(jobs, backend, scheduler, promise, family) as parallel:
        while True:
            for found in run_tasks(tasks_of_round(promise, family, clock, seed, number, tally), parallel):
                for trial in found:
                    if isinstance(trial, Broken):
                        return _broken(tally, trial)
                    tally.add(trial, family)
                    if trial is not None and trial.excess > family.tolerance:
                        refutation = _refute(promise, family, trial, clock)
                        if refutation is not None:
                            return _refuted(tally, refutation)
                        doubts += 1
                    if clock.trials is not None and tally.trials >= clock.trials:
                        return _survived(promise, family, tally, doubts, clock)
                if clock.out_of_time:
                    return _survived(promise, family, tally, doubts, clock)
            number += 1


def _refute(promise: Promise, family: Family, trial: Trial, clock: Clock) -> Counterexample | None:
    """The trial shrunk and certified; None where the rigorous truth does not confirm it."""
    best = _certified(promise, family, trial.instance)
    if best is None:
        return None
    # A shrunk counterexample keeps half of its margin: round numbers that barely refute would convince nobody.
    least = max(family.tolerance, 0.5 * min(trial.excess, math.log(2.0)))
    now = time.time()
    ends = max(min(now + _SHRINK_SECONDS, clock.ends), now + _SHRINK_SHARE * clock.seconds)
    tried, progress = 0, True
    while progress:
        progress = False
        for candidate in family.simplify(best.instance):
            tried += 1
            if tried > _SHRINK_CANDIDATES or time.time() > ends:
                return best
            smaller = _still_refutes(promise, family, candidate, least)
            if smaller is not None:
                best, progress = smaller, True
                break
    return best


def _still_refutes(promise: Promise, family: Family, candidate: Any, least: float) -> Counterexample | None:
    try:
        trial = try_instance(promise, family, candidate)
    except ValueError:
        return None
    if not isinstance(trial, Trial) or trial.excess < least:
        return None
    return _certified(promise, family, candidate)


def _certified(promise: Promise, family: Family, instance: Any) -> Counterexample | None:
    try:
        trial = try_instance(promise, family, instance)
        truth = family.certify(instance)
    except (FloatingPointError, ValueError):
        return None
    if not isinstance(trial, Trial) or not truth.lower - trial.log_promised > family.tolerance:
        return None
    return Counterexample(instance, trial.log_promised, Truth(truth.lower, truth.upper), certified=True)


def _simplest(promise: Promise, family: Family, best: Trial, clock: Clock) -> Trial:
    """As close as the closest approach to nine digits, in rounder numbers."""
    ends = max(clock.ends, time.time()) + _ROUNDING_SHARE * clock.seconds
    least, tried, progress = best.excess - 1e-9, 0, math.isfinite(best.excess)
    while progress:
        progress = False
        for candidate in family.simplify(best.instance):
            tried += 1
            if tried > _ROUNDING_CANDIDATES or time.time() > ends:
                return best
            try:
                found = try_instance(promise, family, candidate)
            except ValueError:
                continue
            if isinstance(found, Trial) and least <= found.excess <= best.excess + 1e-9:
                best, progress = found, True
                break
    return best


def _broken(tally: Tally, broken: Broken) -> Evidence:
    note = f"{broken.what}, on {broken.instance}"
    return Evidence("search", "invalid", tally.trials, nearest=broken.instance, note=note, kinds=dict(tally.kinds))


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


def _survived(promise: Promise, family: Family, tally: Tally, doubts: int, clock: Clock) -> Evidence:
    best = _simplest(promise, family, tally.best[0], clock) if tally.best else None
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
