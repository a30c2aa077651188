"""``unlearncheck profile``: the exact privacy of deleting each training point of a data set, as a file and a summary."""

from __future__ import annotations

import argparse
import math
import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

import linear
from bounds.__main__ import add_problem_options, add_schedule_options, inputs_hash, problem_of, schedule_of
from linear.every_point import DENSE, REFUSED

from .terminal import console, plain_table, progress_bar

Array = NDArray[Any]
QUANTILES = (0.0, 0.1, 0.5, 0.9, 1.0)
EXTREMES = 5  # hardest and easiest points that are shown


def parser() -> argparse.ArgumentParser:
    """The command line of `profile`."""
    top = argparse.ArgumentParser(
        prog="unlearncheck profile",
        description="Exact hockey-stick divergences, both directions, of deleting each training point of ridge "
        "regression trained by Langevin dynamics. Interrupted, it keeps what is finished; the same command goes on.",
    )
    add_problem_options(top)
    add_schedule_options(top)
    add = top.add_argument
    add("--unlearn-noise", type=float, help="unlearning noise per step (read by --convention); default: --noise")
    add("--epsilon", type=float, nargs="+", default=[1.0], help="one or several (default 1)")
    add("--delta", type=float, nargs="+", default=[], help="also the exact epsilon of every point at these delta")
    add("--points", type=int, help="only the first so many training points")
    add("--workers", type=int, default=os.cpu_count(), help="processes (default: all cores)")
    add("--chunk", type=int, default=500, help="points worked on and kept together (default 500)")
    add("--out", type=Path, default=Path("profile.npz"), help="where the arrays go; finished chunks lie beside it")
    return top


def save(path: Path, arrays: dict[str, Any]) -> None:
    """An .npz, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    with temporary.open("wb") as file:
        np.savez(file, **arrays)
    os.replace(temporary, path)


def show(
    screen: Console, profile: linear.DeletionProfile, exact: linear.DeletionEpsilons | None, seconds: float
) -> None:
    """Quantiles over the points, the hardest and the easiest, the paths they took and the worst error."""
    known = profile.rank != REFUSED
    if known.any():
        table = plain_table(f"log10 delta of the divergences, over {known.sum():,} training points")
        for name in ("epsilon", "direction", *(_quantile(q) for q in QUANTILES)):
            table.add_column(name, justify="right")
        for k, epsilon in enumerate(profile.epsilon):
            for name, logs in (("forward", profile.log_forward), ("reverse", profile.log_reverse)):
                table.add_row(f"{epsilon:g}", name, *_cells(logs[known, k] / math.log(10)))
        screen.print(table)
        _show_extremes(screen, profile, known)
    if exact is not None and (exact.rank != REFUSED).any():
        table = plain_table("exact epsilon, both directions")
        for name in ("delta", *(_quantile(q) for q in QUANTILES)):
            table.add_column(name, justify="right")
        for k, delta in enumerate(exact.delta):
            table.add_row(f"{delta:g}", *_cells(exact.epsilon[exact.rank != REFUSED, k]))
        screen.print(table)
    ways = [f"{count:,} {_way(rank)}" for rank, count in zip(*np.unique(profile.rank, return_counts=True), strict=True)]
    print(f"paths         {', '.join(ways)}")
    if known.any():
        print(f"worst error   {profile.error[known].max():.2g} in a natural logarithm (estimated)")
    print(f"time          {seconds:.1f} s, {1e3 * seconds / max(len(profile.indices), 1):.3g} ms a point")


def _show_extremes(screen: Console, profile: linear.DeletionProfile, known: Array) -> None:
    order = np.flatnonzero(known)[np.argsort(-profile.log_delta[known, 0], kind="stable")]
    table = plain_table(f"hardest and easiest, epsilon {profile.epsilon[0]:g}")
    for name in ("point", "log10 delta, forward", "reverse"):
        table.add_column(name, justify="right")
    count = min(EXTREMES, (len(order) + 1) // 2)
    for places in (order[:count], order[max(count, len(order) - count) :]):
        for place in places:
            sides = (profile.log_forward[place, 0], profile.log_reverse[place, 0])
            table.add_row(str(profile.indices[place]), *(f"{side / math.log(10):.5g}" for side in sides))
        table.add_section()
    screen.print(table)


def _quantile(share: float) -> str:
    return {0.0: "least", 0.5: "median", 1.0: "largest"}.get(share, f"{share:.0%}")


def _cells(values: Array) -> list[str]:
    # An infinite value has its place among the others, but nothing lies between it and them.
    return [f"{value:.4g}" for value in np.quantile(values, QUANTILES, method="nearest")]


def _way(rank: int) -> str:
    return {DENSE: "dense", REFUSED: "refused"}.get(rank, f"in {rank} dimensions")


def run(options: argparse.Namespace) -> int:
    """Profile, save and show; returns the exit status."""
    began = time.perf_counter()
    dataset, problem = problem_of(options)
    noise = options.noise if options.unlearn_noise is None else options.unlearn_noise
    schedule = schedule_of(options, problem, noise)
    count = problem.n_points if options.points is None else options.points
    if not 0 < count <= problem.n_points:
        raise ValueError(f"points = {count}: must be at least 1 and at most {problem.n_points}, the training points")
    parts = options.out.with_name(options.out.name + ".parts")
    settings: dict[str, Any] = {"chunk": options.chunk, "workers": options.workers, "checkpoint": parts}
    screen, exact = console(), None
    print(f"data          {dataset.name}, {problem.n_points} points, {problem.n_features} features")
    print(
        f"schedule      T={schedule.learn_steps}, K={schedule.unlearn_steps}, step size {schedule.step_size:.6g}, ",
        end="",
    )
    print(f"noise {schedule.learn_noise:.9g} and {schedule.unlearn_noise:.9g} per step (injected)", flush=True)
    with progress_bar(Console(stderr=True)) as bar:

        def counting(what: str) -> Callable[[int], None]:
            task = bar.add_task(what, total=count)
            return lambda done: bar.advance(task, done)

        profile = linear.deletion_profile(
            problem, schedule, options.epsilon, range(count), progress=counting("divergences"), **settings
        )
        if options.delta:
            exact = linear.deletion_epsilons(
                problem, schedule, options.delta, range(count), progress=counting("epsilons"), **settings
            )
    arrays: dict[str, Any] = {
        "inputs_sha256": inputs_hash(problem),
        **asdict(schedule),
        **vars(profile),
    }
    if exact is not None:
        arrays |= {"delta": exact.delta, "exact_epsilon": exact.epsilon}
    save(options.out, arrays)
    shutil.rmtree(parts, ignore_errors=True)
    show(screen, profile, exact, time.perf_counter() - began)
    print(f"written       {options.out}")
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Entry point; exit status 2 for a wrong call, 130 when interrupted."""
    options = parser().parse_args(arguments)
    try:
        return run(options)
    except KeyboardInterrupt:
        print(f"interrupted: finished chunks are in {options.out}.parts; the same command goes on", file=sys.stderr)
        return 130
    except (ValueError, FileNotFoundError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
