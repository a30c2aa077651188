"""``unlearncheck power``: how often a wrong bound is refuted, how fast, and that no right one is.

Every bound of `power_bounds` is searched like a user's own. ``--endurance SECONDS`` searches the right ones only, in turn
and with a new seed each time, until all workers together have searched that long; the count of refutations must be 0.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed

from . import terminal
from .codec import encode
from .falsify import falsify
from .power_bounds import BOUNDS, SIZES, Bound
from .report import package_version, write_text

# A slice of a long search: long enough that starting it costs nothing, short enough to stop soon.
_SLICE = 20.0
_SHORTEST = 0.5


@dataclass(frozen=True)
class Outcome:
    """What one search of one bound came to."""

    family: str
    name: str
    size: str
    status: str
    trials: int
    seconds: float
    closest: float | None
    seed: int
    counterexample: str = ""


def _search(place: int, seconds: float, seed: int, deadline: float = float("inf")) -> Outcome | None:
    """Search one bound; None when the deadline (a time of day) leaves no time for it."""
    bound = BOUNDS[place]
    seconds = min(seconds, deadline - time.time())
    if seconds < _SHORTEST:
        return None
    verdict = falsify(bound, family=bound.family, seconds=seconds, seed=seed)
    found = "" if verdict.counterexample is None else str(verdict.counterexample)
    return Outcome(
        bound.family,
        bound.name,
        bound.size,
        verdict.status,
        verdict.trials,
        verdict.seconds,
        verdict.closest,
        seed,
        found,
    )


def _places(right: bool) -> list[int]:
    return [place for place, bound in enumerate(BOUNDS) if (bound.size == "right") == right]


def measure(
    *, seconds: float, right_seconds: float, seed: int, jobs: int, progress: Any = lambda outcomes, total: None
) -> list[Outcome]:
    """One search of every bound: wrong ones for at most `seconds`, right ones for `right_seconds`.

    progress(outcomes so far, how many there will be) is called after each.
    """
    plan = [(place, seconds) for place in _places(False)] + [(place, right_seconds) for place in _places(True)]
    work = (delayed(_search)(place, budget, seed) for place, budget in plan)
    order = {(bound.family, bound.name): k for k, bound in enumerate(BOUNDS)}
    outcomes: list[Outcome] = []
    for found in Parallel(n_jobs=jobs, return_as="generator_unordered")(work):
        assert found is not None
        outcomes.append(found)
        outcomes.sort(key=lambda outcome: order[outcome.family, outcome.name])
        progress(outcomes, len(plan))
    return outcomes


def table(outcomes: list[Outcome]) -> list[dict[str, Any]]:
    """Rows by family and by size of error: how many, how many refuted, median and longest seconds to do so."""
    wrong = [outcome for outcome in outcomes if outcome.size != "right"]
    groups = [("family", family) for family in sorted({outcome.family for outcome in wrong})]
    groups += [("size", size) for size in SIZES] + [("size", "all")]
    rows = []
    for kind, value in groups:
        members = [o for o in wrong if value in ("all", getattr(o, kind))]
        times = [o.seconds for o in members if o.status == "refuted"]
        rows.append(
            {
                "by": kind,
                "of": value,
                "wrong": len(members),
                "refuted": len(times),
                "median_seconds": round(statistics.median(times), 3) if times else None,
                "longest_seconds": round(max(times), 3) if times else None,
            }
        )
    return rows


def record(outcomes: list[Outcome], *, seconds: float, right_seconds: float, seed: int) -> dict[str, Any]:
    """The benchmark as JSON-ready data."""
    right = [outcome for outcome in outcomes if outcome.size == "right"]
    return {
        "version": package_version(),
        "seconds": seconds,
        "right_seconds": right_seconds,
        "seed": seed,
        "rows": table(outcomes),
        "right": {
            "bounds": len(right),
            "refuted": sum(outcome.status == "refuted" for outcome in right),
            "trials": sum(outcome.trials for outcome in right),
            "seconds": round(sum(outcome.seconds for outcome in right), 1),
        },
        "outcomes": [
            {key: encode(value) for key, value in {**asdict(o), "seconds": round(o.seconds, 3)}.items()}
            for o in outcomes
        ],
    }


def endure(
    total: float, *, jobs: int, wall: float, seed: int, out: Path, slice_seconds: float = _SLICE, progress: Any = None
) -> dict[str, Any]:
    """Search the right bounds for `total` seconds, added over all workers, or until `wall` seconds have passed.

    After every slice the results so far are written to `out`; an interruption (Ctrl-C) loses nothing that is finished.
    """
    started = time.time()
    deadline = started + wall
    places = _places(True)
    spent = promised = 0.0
    outcomes: list[Outcome] = []

    def work() -> Iterator[Any]:
        nonlocal promised
        number = 0
        # What is under way counts as spent; what ended early is made up for.
        while promised < total and time.time() + _SHORTEST < deadline:
            promised += slice_seconds
            yield delayed(_search)(
                places[number % len(places)], slice_seconds, 1000 * seed + number // len(places), deadline
            )
            number += 1

    try:
        while spent < total and time.time() + _SHORTEST < deadline:
            promised = spent
            pool = Parallel(n_jobs=jobs, return_as="generator_unordered", pre_dispatch="n_jobs", batch_size=1)
            for found in pool(work()):
                if found is None:
                    continue
                outcomes.append(found)
                spent += found.seconds
                promised += found.seconds - slice_seconds
                write_text(out, json.dumps(_endurance(outcomes, spent, total, jobs, started, seed), indent=1) + "\n")
                if progress is not None:
                    progress(spent, sum(outcome.status == "refuted" for outcome in outcomes))
    except KeyboardInterrupt:
        print(f"interrupted; what is finished is in {out}", file=sys.stderr)
    result = _endurance(outcomes, spent, total, jobs, started, seed)
    write_text(out, json.dumps(result, indent=1) + "\n")
    return result


def _endurance(
    outcomes: list[Outcome], spent: float, total: float, jobs: int, started: float, seed: int
) -> dict[str, Any]:
    bounds = []
    for place in _places(True):
        bound = BOUNDS[place]
        own = [o for o in outcomes if (o.family, o.name) == (bound.family, bound.name)]
        closest = [o.closest for o in own if o.closest is not None]
        bounds.append(
            {
                "family": bound.family,
                "name": bound.name,
                "why": bound.why,
                "searches": len(own),
                "seconds": round(sum(o.seconds for o in own), 1),
                "trials": sum(o.trials for o in own),
                "closest": max(closest, default=None),
                "refuted": sum(o.status == "refuted" for o in own),
                "other": sorted({o.status for o in own} - {"survived", "refuted"}),
                "counterexamples": [o.counterexample for o in own if o.counterexample][:3],
            }
        )
    return {
        "version": package_version(),
        "asked_seconds": total,
        "searched_seconds": round(spent, 1),
        "wall_seconds": round(time.time() - started, 1),
        "jobs": jobs,
        "first_seed": seed,
        "trials": sum(o.trials for o in outcomes),
        "refuted": sum(o.status == "refuted" for o in outcomes),
        "bounds": bounds,
    }


def parser() -> argparse.ArgumentParser:
    """The command line of `power`."""
    wrong = sum(bound.size != "right" for bound in BOUNDS)
    top = argparse.ArgumentParser(
        prog="unlearncheck power",
        description=f"Search {wrong} deliberately wrong and {len(BOUNDS) - wrong} right bounds for counterexamples.",
        epilog="Exit status: 0 every wrong bound refuted and no right one, 1 otherwise, 2 wrong call.",
    )
    top.add_argument("--seconds", type=float, default=30.0, help="for each wrong bound, at most (default 30)")
    top.add_argument("--right-seconds", type=float, default=5.0, help="for each right bound (default 5)")
    top.add_argument(
        "--endurance", type=float, metavar="SECONDS", help="search the right bounds only, that long in total"
    )
    top.add_argument(
        "--wall", type=float, default=float("inf"), help="with --endurance: stop after so many seconds by the clock"
    )
    top.add_argument("--merge", type=Path, nargs="+", metavar="FILE", help="put long searches made apart into one file")
    top.add_argument("--seed", type=int, default=0)
    top.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="worker processes")
    top.add_argument("--out", type=Path, help="where the results are saved (default: power.json or endurance.json)")
    return top


def main(arguments: list[str] | None = None) -> int:
    """Entry point."""
    options = parser().parse_args(arguments)
    for name in ("seconds", "right_seconds", "endurance", "wall", "jobs"):
        value = getattr(options, name)
        if value is not None and not value > 0:
            print(f"error: {name} = {value!r}: must be positive", file=sys.stderr)
            return 2
    console = terminal.console()
    if options.merge:
        return _run_merge(options, console)
    if options.endurance is not None:
        return _run_endurance(options, console)
    out = options.out or Path("power.json")
    budget = {"seconds": options.seconds, "right_seconds": options.right_seconds, "seed": options.seed}

    with terminal.progress_bar(console) as bar:
        task = bar.add_task("bounds searched", total=len(BOUNDS))

        def keep(outcomes: list[Outcome], total: int) -> None:
            write_text(out, json.dumps(record(outcomes, **budget), indent=1) + "\n")
            bar.update(task, completed=len(outcomes), total=total)

        outcomes = measure(**budget, jobs=options.jobs, progress=keep)
    found = record(outcomes, **budget)
    _print(console, found)
    missed = [o for o in outcomes if (o.status == "refuted") == (o.size == "right")]
    for outcome in missed:
        console.print(
            f"[red]not as it should be[/] {outcome.family}, {outcome.name} ({outcome.size}): {outcome.status}"
        )
    console.print(f"saved in {out}", highlight=False)
    return 1 if missed else 0


def _print(console: Any, found: dict[str, Any]) -> None:
    shown = terminal.plain_table("Wrong bounds refuted, and how soon")
    for column in ("", "wrong", "refuted", "median s", "longest s"):
        shown.add_column(column, justify="right" if column else "left")
    for row in found["rows"]:
        name = {"family": row["of"], "size": f"error {row['of']}"}[row["by"]]
        times = ["" if row[key] is None else f"{row[key]:.2f}" for key in ("median_seconds", "longest_seconds")]
        shown.add_row(name, str(row["wrong"]), str(row["refuted"]), *times)
    console.print(shown)
    right = found["right"]
    console.print(
        f"{right['refuted']} of {right['bounds']} right bounds refuted, in {right['seconds']:.0f} s and "
        f"{right['trials']} instances",
        highlight=False,
    )


def merge(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Long searches made apart (with seeds of their own) as one. Raises ValueError where two share their seeds."""
    seeds = [part["first_seed"] for part in parts]
    if len(set(seeds)) != len(seeds):
        raise ValueError(f"first_seed = {seeds}: searches with the same seeds are one search twice")
    bounds: dict[tuple[str, str], dict[str, Any]] = {}
    for part in parts:
        for bound in part["bounds"]:
            key = bound["family"], bound["name"]
            if key not in bounds:
                bounds[key] = dict(bound)
                continue
            kept = bounds[key]
            for count in ("searches", "seconds", "trials", "refuted"):
                kept[count] = round(kept[count] + bound[count], 1)
            kept["closest"] = max((c for c in (kept["closest"], bound["closest"]) if c is not None), default=None)
            kept["other"] = sorted({*kept["other"], *bound["other"]})
            kept["counterexamples"] = [*kept["counterexamples"], *bound["counterexamples"]][:3]
    added = {
        key: round(sum(part[key] for part in parts), 1)
        for key in ("asked_seconds", "searched_seconds", "wall_seconds", "trials", "refuted")
    }
    return {
        "version": parts[0]["version"],
        **added,
        "jobs": max(part["jobs"] for part in parts),
        "first_seed": min(seeds),
        "bounds": list(bounds.values()),
    }


def _run_merge(options: argparse.Namespace, console: Any) -> int:
    out = options.out or Path("endurance.json")
    try:
        found = merge([json.loads(path.read_text(encoding="utf-8")) for path in options.merge])
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"error: merge = {[str(path) for path in options.merge]}: {error}", file=sys.stderr)
        return 2
    write_text(out, json.dumps(found, indent=1) + "\n")
    console.print(
        f"{found['refuted']} false refutations in {found['searched_seconds']:.0f} s of search; saved in {out}"
    )
    return 1 if found["refuted"] else 0


def _run_endurance(options: argparse.Namespace, console: Any) -> int:
    out = options.out or Path("endurance.json")
    with terminal.progress_bar(console) as bar:
        task = bar.add_task("seconds searched, right bounds", total=int(options.endurance))
        found = endure(
            options.endurance,
            jobs=options.jobs,
            wall=options.wall,
            seed=options.seed,
            out=out,
            progress=lambda spent, refuted: bar.update(task, completed=int(spent)),
        )
    console.print(
        f"{found['refuted']} false refutations in {found['searched_seconds']:.0f} s of search ({found['trials']} instances, "
        f"{len(found['bounds'])} right bounds, {found['wall_seconds']:.0f} s by the clock); saved in {out}",
        highlight=False,
    )
    return 1 if found["refuted"] or found["searched_seconds"] < options.endurance else 0


__all__ = ["Bound", "Outcome", "endure", "main", "measure"]


if __name__ == "__main__":
    sys.exit(main())
