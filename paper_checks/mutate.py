"""``unlearncheck mutate``: automatic mutants of every claim that is expected to hold, each tried by the claim's own check.

A mutant is killed when the claim's exact comparison refutes it or it gives no bound at all. A survivor is explained by
machine: it changes nothing on any instance; or it is nowhere smaller than the claimed bound, so it holds if that does; or
it is smaller only where the bound is not attained, with the closest that truth and mutant came. The last kind says where
the check has no teeth, because the bound has slack; everything else would be a hole and is reported as open.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed

from . import terminal
from .claim import Claim, Promise
from .court import Court
from .legs import Comparison
from .mutation import KINDS, AutoMutant, fresh, of_formula, of_numbers
from .registry import all_claims, select
from .report import package_version, write_text
from .verdict import Counterexample, InvalidPromise, Truth, log_promise

# Mutants of one claim's formula that change something, tries to find them, and instances of one leg, at most.
_MOST_MUTANTS, _MOST_TRIES, _MOST_INSTANCES = 16, 40, 60
# A survivor in the slack is tried on as many instances again, drawn with this many other seeds.
_MORE_SEEDS = 3
# Instances on which it is seen what of the formula runs at all.
_TRACED = 12
# Seconds for one promise: an altered loop may never end.
_PATIENCE = 5.0

OUTCOMES = ("killed", "no bound", "same", "looser", "slack", "open")
EXPLANATIONS = {
    "same": "changes nothing that can be told on any instance tried",
    "looser": "nowhere below the claimed bound, so true if that is",
    "slack": "below the claimed bound only where that is not attained",
    "open": "not explained",
}


@dataclass(frozen=True)
class Fate:
    """What became of one mutant: outcome, and for survivors the largest truth/mutant and the largest bound/mutant."""

    claim: str
    kind: str
    where: str
    outcome: str
    closest: float | None = None
    below_by: float | None = None


@dataclass(frozen=True)
class _Case:
    leg: Comparison
    instance: Any
    truth: Truth
    log_promised: float


def _cases(claim: Claim, seed: int) -> list[_Case]:
    """Instances of the claim's exact legs, with the truth and the claim's own promise."""
    court = Court("quick", seed)
    cases = []
    for leg in claim.legs:
        if not isinstance(leg, Comparison):
            continue
        found = list(leg.instances(court, court.rng(claim.id, leg.name)))
        if len(found) > _MOST_INSTANCES:
            # The first ones are the edge cases; the rest evenly spread.
            half = _MOST_INSTANCES // 2
            rest = np.linspace(half, len(found) - 1, _MOST_INSTANCES - half).round().astype(int)
            found = found[:half] + [found[k] for k in rest]
        for instance in found:
            assert claim.promise is not None
            promised = _promised(claim.promise, instance)
            if promised is not None:
                cases.append(_Case(leg, instance, leg.truth(instance), promised))
    return cases


class _TooLong(Exception):
    """An altered loop that may never end."""


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """Raise _TooLong after so many seconds; without effect outside the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(number: int, frame: Any) -> None:
        raise _TooLong

    kept = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, kept)


def _promised(promise: Promise, instance: Any) -> float | None:
    """The logarithm of what is promised; None where that is no bound, or takes too long to come."""
    try:
        with np.errstate(all="ignore"), _at_most(_PATIENCE):
            return log_promise(promise(instance))
    except (InvalidPromise, Exception):
        return None


def _fate(claim: Claim, mutant: AutoMutant, cases: list[_Case]) -> Fate:
    closest = below = -math.inf
    attained_below, differs, lower = -math.inf, False, False
    with mutant.alive() as promise:
        for case in cases:
            value = _promised(promise, fresh(case.instance))
            if value is None:
                return Fate(claim.id, mutant.kind, mutant.where[:160], "no bound")
            found = case.leg._violation(case.instance, case.truth, value)
            if found is not None and _confirmed(case, found):
                return Fate(claim.id, mutant.kind, mutant.where[:160], "killed")
            if value == case.log_promised:
                continue
            gap = case.log_promised - value
            # What the comparison cannot tell apart is the same.
            blind = case.leg._allowed(value) + (
                case.truth.upper - case.truth.lower if case.truth.lower > -math.inf else 0.0
            )
            differs |= not abs(gap) <= blind
            if gap > blind:
                lower = True
                below = max(below, gap)
                if math.isfinite(case.truth.lower):
                    closest = max(closest, case.truth.lower - value)
                    attained_below = max(attained_below, case.truth.upper - case.log_promised + blind)
    if not differs:
        return Fate(claim.id, mutant.kind, mutant.where[:160], "same")
    if not lower:
        return Fate(claim.id, mutant.kind, mutant.where[:160], "looser")
    # Smaller than the bound, above the truth: possible only where the bound is not attained.
    outcome = "slack" if attained_below < 0 else "open"
    return Fate(claim.id, mutant.kind, mutant.where[:160], outcome, _exp(closest), _exp(below))


def _exp(log: float) -> float | None:
    return float(f"{math.exp(min(log, 700.0)):.6g}") if math.isfinite(log) else None


def _confirmed(case: _Case, found: Counterexample) -> bool:
    return case.leg._certified(found) is not None


def tried(claim: Claim) -> bool:
    """Whether automatic mutants of a claim mean something: it is expected to hold, and compared exactly."""
    return (
        claim.promise is not None
        and claim.expected == "survived"
        and any(isinstance(leg, Comparison) for leg in claim.legs)
    )


def fates(claim_id: str, seed: int = 0, most: int = _MOST_MUTANTS) -> list[Fate]:
    """What becomes of every automatic mutant of a claim."""
    claim = all_claims()[claim_id]
    assert claim.promise is not None
    cases = _cases(claim, seed)
    if not cases:
        return []
    found: list[Fate] = []
    changing = 0
    some = [case.instance for case in cases[:: max(1, len(cases) // _TRACED)]]
    for mutant in islice(of_formula(claim.promise, some), _MOST_TRIES):
        if changing == most:
            break
        found.append(_tried_again(claim, mutant, _fate(claim, mutant, cases), seed))
        changing += found[-1].outcome != "same"
    numbers = [
        _tried_again(claim, mutant, _fate(claim, mutant, cases), seed)
        for mutant in of_numbers(claim.promise, cases[0].instance)
    ]
    # What changes nothing when read otherwise is not read.
    return found + [fate for fate in numbers if fate.outcome != "same"]


def _tried_again(claim: Claim, mutant: AutoMutant, fate: Fate, seed: int) -> Fate:
    """The same fate, unless it was to live in the slack and other instances refute it."""
    if fate.outcome != "slack":
        return fate
    for other in range(1, _MORE_SEEDS + 1):
        again = _fate(claim, mutant, _cases(claim, seed + other))
        if again.outcome in ("killed", "no bound", "open"):
            return again
        if (again.closest or 0.0) > (fate.closest or 0.0):
            fate = again if again.outcome == "slack" else fate
    return fate


def record(found: list[Fate], seed: int) -> dict[str, Any]:
    """The matrix claim x kind as JSON-ready data: counts of every outcome, and every survivor with its explanation."""
    claims: dict[str, Any] = {}
    order = {claim: k for k, claim in enumerate(all_claims())}
    for fate in sorted(found, key=lambda fate: order.get(fate.claim, -1)):
        entry = claims.setdefault(fate.claim, {"kinds": {}, "survivors": []})
        counts = entry["kinds"].setdefault(fate.kind, {})
        counts[fate.outcome] = counts.get(fate.outcome, 0) + 1
        if fate.outcome not in ("killed", "no bound"):
            survivor = {key: value for key, value in asdict(fate).items() if key != "claim" and value not in (None, "")}
            entry["survivors"].append(survivor)
    return {
        "version": package_version(),
        "seed": seed,
        "kinds": [kind for kind in KINDS if any(kind in entry["kinds"] for entry in claims.values())],
        "explanations": EXPLANATIONS,
        "total": {name: sum(fate.outcome == name for fate in found) for name in OUTCOMES},
        "claims": claims,
    }


def parser() -> argparse.ArgumentParser:
    """The command line of `mutate`."""
    top = argparse.ArgumentParser(
        prog="unlearncheck mutate",
        description="Alter every claim's formula in one place at a time, and see whether its own check notices.",
        epilog="Exit status: 0 every survivor is explained, 1 some is not, 2 wrong call.",
    )
    top.add_argument("--paper", help="only this paper's claims")
    top.add_argument("--statement", help="only claims whose id contains this")
    top.add_argument("--most", type=int, default=_MOST_MUTANTS, help="mutants of one claim's formula, at most")
    top.add_argument("--seed", type=int, default=0)
    top.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="worker processes")
    top.add_argument("--out", type=Path, default=Path("automatic_mutants.json"), help="where the matrix is saved")
    return top


def main(arguments: list[str] | None = None) -> int:
    """Entry point."""
    options = parser().parse_args(arguments)
    console = terminal.console()
    try:
        claims = [claim for claim in select(options.paper, options.statement) if tried(claim)]
        if not claims:
            raise ValueError("no claim that fits is expected to hold and compared exactly")
        if options.most < 2 or options.jobs < 1:
            raise ValueError(f"most = {options.most!r}, jobs = {options.jobs!r}: at least 2 and 1")
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    found: list[Fate] = []
    with terminal.progress_bar(console) as bar:
        task = bar.add_task("claims, mutants tried", total=len(claims))
        work = (delayed(fates)(claim.id, options.seed, options.most) for claim in claims)
        for part in Parallel(n_jobs=options.jobs, return_as="generator_unordered", pre_dispatch="n_jobs", batch_size=1)(
            work
        ):
            found += part
            # What is finished is kept, whatever stops the rest.
            result = record(found, options.seed)
            write_text(options.out, json.dumps(result, separators=(",", ":")) + "\n")
            bar.advance(task)
    _print(console, result)
    console.print(f"saved in {options.out}", highlight=False)
    return 1 if result["total"]["open"] else 0


def _print(console: Any, result: dict[str, Any]) -> None:
    shown = terminal.plain_table("Automatic mutants by kind")
    for column in ("kind", "killed", "of", *EXPLANATIONS):
        shown.add_column(column, justify="left" if column == "kind" else "right")
    for kind in result["kinds"]:
        entries = [entry["kinds"].get(kind, {}) for entry in result["claims"].values()]
        counts = {name: sum(entry.get(name, 0) for entry in entries) for name in OUTCOMES}
        killed = counts["killed"] + counts["no bound"]
        shown.add_row(kind, str(killed), str(sum(counts.values())), *(str(counts[name]) for name in EXPLANATIONS))
    console.print(shown)
    for name, text in EXPLANATIONS.items():
        console.print(f"{name}: {text}", highlight=False)
    for claim, entry in result["claims"].items():
        for survivor in entry["survivors"]:
            if survivor["outcome"] == "open":
                console.print(f"[red]open[/] {claim}: {survivor['kind']}, {survivor['where']}", highlight=False)


if __name__ == "__main__":
    sys.exit(main())
