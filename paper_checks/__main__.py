"""``python -m paper_checks``: try the claims, print the verdicts, write the report."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from rich.console import Console

from linear.datasets import load

from . import docket, replay, report, terminal
from .claim import Claim
from .court import BUDGETS, Court, hold
from .registry import select
from .verdict import Verdict

POINTS = {"quick": 2_000, "full": 10_000, "hunt": 100_000}  # exact and certified
FEW = {"quick": 210, "full": 2_000, "hunt": 10_000}  # of them, tried by the claims that take work for each


def parser() -> argparse.ArgumentParser:
    """The command line of the court."""
    top = argparse.ArgumentParser(
        prog="python -m paper_checks",
        description="Put the theorems on trial; `replay FILE` runs a saved counterexample again.",
        epilog="Exit status: 0 every verdict is the expected one, 1 some verdict is not, 2 wrong call.",
    )
    top.add_argument("--list", action="store_true", help="list all claims and stop")
    top.add_argument("--paper", help="only this paper's claims (e.g. benarroch2026)")
    top.add_argument("--statement", help="only claims whose id contains this")
    top.add_argument("--data", default="digits", help="digits (default), mnist, openml-mnist, or a .npz file")
    top.add_argument("--data-dir", type=Path, help="folder of the original MNIST IDX files, for --data mnist")
    top.add_argument("--budget", choices=list(BUDGETS), default="quick", help="how many instances to try")
    top.add_argument("--seed", type=int, default=0)
    top.add_argument("--out", type=Path, default=Path("reports"), help="folder for the report")
    top.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="worker processes")
    return top


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Try the selected claims and report; returns the exit status."""
    started = time.perf_counter()
    claims = select(arguments.paper, arguments.statement)
    if arguments.list:
        for claim in claims:
            console.print(f"{claim.id:55} {claim.expected:9} {claim.source}", highlight=False, soft_wrap=True)
        return 0
    dataset = load(arguments.data, arguments.data_dir)
    with terminal.progress_bar(console) as bar:
        points = bar.add_task("training points, exact and certified", total=None)
        on_file = docket.build(
            dataset,
            POINTS[arguments.budget],
            few=FEW[arguments.budget],
            jobs=arguments.jobs,
            progress=lambda done, total: bar.update(points, completed=done, total=total),
        )
        court = Court(arguments.budget, arguments.seed, docket=on_file)
        task = bar.add_task("claims and their mutants", total=len(claims))
        verdicts: dict[str, Verdict] = {}
        for verdict in hold(claims, court, arguments.jobs):
            verdicts[verdict.claim] = verdict
            bar.advance(task)
    outcomes: list[tuple[Claim, Verdict]] = [(claim, verdicts[claim.id]) for claim in claims]
    report.print_verdicts(console, outcomes)
    report.print_docket(console, on_file)
    paths = report.save(arguments.out, outcomes, court)
    good = sum(verdict.as_expected for _, verdict in outcomes)
    console.print(
        f"{good} of {len(outcomes)} verdicts as expected, in {time.perf_counter() - started:.0f} s; "
        f"report: {paths[2]}, {paths[1]}, {paths[0]}",
        highlight=False,
    )
    return 0 if good == len(outcomes) else 1


def run_replay(arguments: list[str], console: Console) -> int:
    """``replay FILE``: exit status 0 when the counterexample still refutes its promise."""
    top = argparse.ArgumentParser(prog="python -m paper_checks replay", description=replay.__doc__)
    top.add_argument("file", type=Path)
    record = replay.load(top.parse_args(arguments).file)
    again, stands = replay.recompute(record)
    console.print(replay.describe(again, record, stands), highlight=False, markup=False)
    return 0 if stands else 1


def main(arguments: list[str] | None = None) -> int:
    """Entry point; a wrong call ends in exit status 2 with one line saying what is wrong."""
    given = sys.argv[1:] if arguments is None else arguments
    console = terminal.console()
    try:
        if given[:1] == ["replay"]:
            return run_replay(given[1:], console)
        return run(parser().parse_args(given), console)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
