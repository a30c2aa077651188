"""``unlearncheck plan``: the noise that deleting each training point needs, by method, as a file and a summary."""

from __future__ import annotations

import argparse
import csv
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray
from rich.console import Console

import linear
from bounds.__main__ import add_problem_options, add_schedule_options, inputs_hash, problem_of, schedule_of
from bounds.deletion import METHODS, calibrate_all, uniform_noise

from .terminal import console, plain_table, progress_bar

Array = NDArray[np.float64]
EXACT, UNIFORM = "exact", "uniform"
DEFAULT_METHODS = ("unlearning_only", "hull", "coupling", "best")
QUANTILES = (0.0, 0.1, 0.5, 0.9, 1.0)


def parser() -> argparse.ArgumentParser:
    """The command line of `plan`."""
    top = argparse.ArgumentParser(
        prog="unlearncheck plan",
        description="The unlearning noise that certifies (epsilon, delta) for deleting each training point by itself, "
        "by every method, beside what the exact laws need and the one noise that would do for every point.",
    )
    add_problem_options(top)
    add_schedule_options(top)
    add = top.add_argument
    add("--epsilon", type=float, default=1.0)
    add("--delta", type=float, default=1e-5)
    add("--methods", nargs="+", choices=METHODS, default=DEFAULT_METHODS, help="certificates that are calibrated")
    add("--points", type=int, help="only the first so many training points")
    add("--workers", type=int, default=os.cpu_count(), help="processes (default: all cores)")
    add("--chunk", type=int, default=128, help="points worked on together (default 128)")
    add("--out", type=Path, default=Path("plan.npz"), help="where the arrays go; a .csv is written beside it")
    return top


def plan(
    problem: linear.RidgeProblem,
    schedule: linear.Schedule,
    *,
    epsilon: float,
    delta: float,
    methods: tuple[str, ...] = DEFAULT_METHODS,
    points: int | None = None,
    chunk: int = 128,
    workers: int | None = 1,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Array]:
    """Noises (m,) by name: the methods', "exact", and "uniform", the same for all; progress(done, total) by chunks."""
    count = problem.n_points if points is None else points
    if not 0 < count <= problem.n_points:
        raise ValueError(f"points = {count}: must be at least 1 and at most {problem.n_points}, the training points")
    indices = np.arange(count)
    found = {UNIFORM: np.full(count, uniform_noise(problem, schedule, epsilon=epsilon, delta=delta, indices=indices))}
    _ = problem.minimiser  # so that every worker is given it
    pieces = [indices[begin : begin + chunk] for begin in range(0, count, chunk)]
    work = [(name, piece) for piece in pieces for name in (EXACT, *methods)]
    parallel = joblib.Parallel(n_jobs=workers, return_as="generator")
    results = parallel(joblib.delayed(_noises)(problem, schedule, epsilon, delta, name, piece) for name, piece in work)
    for done, ((name, piece), noises) in enumerate(zip(work, results, strict=True), start=1):
        found.setdefault(name, np.empty(count))[piece] = noises
        if progress is not None:
            progress(done, len(work))
    return found


def _noises(
    problem: linear.RidgeProblem,
    schedule: linear.Schedule,
    epsilon: float,
    delta: float,
    name: str,
    indices: NDArray[np.intp],
) -> Array:
    if name == EXACT:
        return linear.deletion_noises(problem, schedule, epsilon=epsilon, delta=delta, indices=indices)
    return calibrate_all(problem, schedule, indices, epsilon=epsilon, delta=delta, method=name, chunk=len(indices))


def write(path: Path, noises: dict[str, Array], about: dict[str, Any]) -> Path:
    """The arrays as .npz at `path` and as .csv beside it, each whole or not at all; returns the path of the .csv."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = path.with_suffix(".csv")
    count = len(noises[EXACT])
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    arrays: dict[str, Any] = {**about, **noises, "indices": np.arange(count)}
    with temporary.open("wb") as file:
        np.savez(file, **arrays)
    os.replace(temporary, path)
    temporary = table.with_name(f".{os.getpid()}.{table.name}")
    with temporary.open("w", encoding="utf-8", newline="") as text:
        writer = csv.writer(text)
        writer.writerow(["index", *noises])
        writer.writerows([k, *(repr(float(values[k])) for values in noises.values())] for k in range(count))
    os.replace(temporary, table)
    return table


def show(screen: Console, noises: dict[str, Array]) -> None:
    """Quantiles of the noise by method, how many need none, and the ratio to the exact need where there is one."""
    exact = noises[EXACT]
    table = plain_table(f"unlearning noise per step (injected), over {len(exact):,} training points")
    names = {0.0: "least", 0.5: "median", 1.0: "largest"}
    for name in ("method", *(names.get(q, f"{q:.0%}") for q in QUANTILES), "needing none", "median / exact"):
        table.add_column(name, justify="left" if name == "method" else "right")
    needed = exact > 0
    for name in sorted(noises, key=lambda name: (name != EXACT, name == UNIFORM)):
        values = noises[name]
        # An infinite value has its place among the others, but nothing lies between it and them.
        cells = [f"{value:.4g}" for value in np.quantile(values, QUANTILES, method="nearest")]
        ratio = f"{np.median(values[needed] / exact[needed]):.3g}" if needed.any() else ""
        table.add_row(name, *cells, f"{np.mean(values == 0):.1%}", ratio)
    screen.print(table)


def run(options: argparse.Namespace) -> int:
    """Plan, save and show; returns the exit status."""
    began = time.perf_counter()
    if options.out.suffix == ".csv":
        raise ValueError(f"out = {str(options.out)!r}: must not end in .csv, which is written beside it")
    dataset, problem = problem_of(options)
    schedule = schedule_of(options, problem, 0.0)
    print(f"data          {dataset.name}, {problem.n_points} points, {problem.n_features} features")
    print(f"target        epsilon {options.epsilon:g} at delta {options.delta:g}, both directions")
    print(
        f"schedule      T={schedule.learn_steps}, K={schedule.unlearn_steps}, step size {schedule.step_size:.6g}, "
        f"learning noise {schedule.learn_noise:.9g} per step (injected)",
        flush=True,
    )
    methods = tuple(dict.fromkeys(options.methods))
    with progress_bar(Console(stderr=True)) as bar:
        task = bar.add_task("noises")

        def progress(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        noises = plan(
            problem,
            schedule,
            epsilon=options.epsilon,
            delta=options.delta,
            methods=methods,
            points=options.points,
            chunk=options.chunk,
            workers=options.workers,
            progress=progress,
        )
    about = {
        "inputs_sha256": inputs_hash(problem),
        "epsilon": options.epsilon,
        "delta": options.delta,
        **{name: value for name, value in asdict(schedule).items() if name != "unlearn_noise"},
    }
    table = write(options.out, noises, about)
    show(console(), noises)
    seconds = time.perf_counter() - began
    print(f"time          {seconds:.1f} s, {1e3 * seconds / len(noises[EXACT]):.3g} ms a point")
    print(f"written       {options.out} and {table}")
    print("Each noise depends on the data: publishing it tells something of the deleted point.")
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Entry point; exit status 2 for a wrong call, 130 when interrupted."""
    options = parser().parse_args(arguments)
    try:
        return run(options)
    except KeyboardInterrupt:
        print("interrupted: nothing was written", file=sys.stderr)
        return 130
    except (ValueError, FileNotFoundError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
