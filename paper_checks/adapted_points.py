"""``unlearncheck adapted``: every training point's epsilon by the adapted-shift certificate, beside the exact one.

The certificate comes twice: by the contour integral (sharp; its error is estimated and added) and by Chernoff's inequality
alone (guaranteed up to float rounding). Other methods are added where `--methods` names them.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray

import linear
from bounds.__main__ import add_problem_options, add_schedule_options, problem_of, schedule_of
from bounds.deletion import METHODS, certify_all
from bounds.deletion.adapted import AdaptedEpsilons, adapted_epsilons

from .profile_command import save
from .terminal import console, plain_table, progress_bar

Array = NDArray[np.float64]
_PART = 250  # points handed to a worker at once


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    top = argparse.ArgumentParser(prog="unlearncheck adapted", description=__doc__.split("\n")[0].split(": ", 1)[1])
    add_problem_options(top)
    add_schedule_options(top)
    top.add_argument("--unlearn-noise", type=float, help="unlearning noise per step (default: the learning noise)")
    top.add_argument("--delta", type=float, default=1e-5, help="failure probability (default 1e-5)")
    top.add_argument("--points", type=int, help="so many points, evenly spread over the rows (default: all)")
    others = [name for name in METHODS if name not in ("adapted", "best")]
    top.add_argument("--methods", nargs="*", choices=others, default=[], help="certificates to set beside it")
    top.add_argument("--jobs", type=int, default=2, help="worker processes (default 2)")
    top.add_argument("--out", type=Path, help=".npz with indices, exact, adapted, guaranteed and the other methods")
    return top


def _certified(
    problem: linear.RidgeProblem, schedule: linear.Schedule, delta: float, part: NDArray[np.intp], methods: list[str]
) -> tuple[AdaptedEpsilons, dict[str, Array]]:
    found = {}
    for name in methods:
        found[name] = certify_all(problem, schedule, part, delta_s=delta / 2, method=name).epsilon(delta)
    return adapted_epsilons(problem, schedule, delta=delta, indices=part), found


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; exit status 2 for what cannot be run."""
    given = parser().parse_args(arguments)
    screen = console()
    try:
        _, problem = problem_of(given)
        unlearn_noise = given.noise if given.unlearn_noise is None else given.unlearn_noise
        schedule = schedule_of(given, problem, unlearn_noise)
        if not 0 < given.delta < 1:
            raise ValueError(f"delta = {given.delta!r}: must lie strictly between 0 and 1")
        count = problem.n_points if given.points is None else min(given.points, problem.n_points)
        indices = np.unique(np.linspace(0, problem.n_points - 1, count).astype(int))
        started = time.perf_counter()
        parts = np.array_split(indices, max(1, len(indices) // _PART))
        work = (delayed(_certified)(problem, schedule, given.delta, part, given.methods) for part in parts)
        results = []
        with progress_bar(screen) as bar:
            task = bar.add_task("certificates", total=len(indices))
            for part, result in zip(parts, Parallel(n_jobs=given.jobs, return_as="generator")(work), strict=True):
                results.append(result)
                bar.advance(task, len(part))
        certified = time.perf_counter() - started
        exact = linear.deletion_epsilons(problem, schedule, given.delta, indices, workers=given.jobs).epsilon[:, 0]
    except (ValueError, TypeError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    columns = {
        "adapted": np.concatenate([part.epsilon for part, _ in results]),
        "adapted, Chernoff": np.concatenate([part.guaranteed for part, _ in results]),
        **{name: np.concatenate([others[name] for _, others in results]) for name in given.methods},
    }
    table = plain_table(
        f"certified / exact epsilon at delta {given.delta:g}, {len(indices)} points, {certified:.0f} s for the certificates"
    )
    for column in ("method", "least", "median", "largest", "median epsilon"):
        table.add_column(column, justify="left" if column == "method" else "right")
    known = exact > 0
    for name, values in columns.items():
        ratio = values[known] / exact[known]
        cells = [ratio.min(), np.median(ratio), ratio.max(), np.median(values)]
        table.add_row(name, *(f"{cell:.4g}" for cell in cells))
    table.add_row("exact", "1", "1", "1", f"{np.median(exact):.4g}")
    screen.print(table)
    if given.out is not None:
        columns["guaranteed"] = columns.pop("adapted, Chernoff")
        save(given.out, {"indices": indices, "delta": np.array(given.delta), "exact": exact, **columns})
        screen.print(f"written: {given.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
