"""What the profile of every training point costs as the data grow; writes the numbers that the gallery draws.

    python tests/benchmarks/profile_scaling.py --data-dir DIR --out figures/ours/data/profile_scaling.json --large

Rows beyond the 8,000 of MNIST are the same rows jittered: each pixel moved by N(0, 0.02^2). The large problem has
60,000 such rows behind 2,048 random rectified features and a constant one; a part of its points is profiled.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
from joblib.externals.loky import get_reusable_executor

import linear
from linear.datasets import load
from linear.every_point import DENSE, REFUSED

SIZES = (1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000)
JITTER = 0.02
COMMAND = (
    "python tests/benchmarks/profile_scaling.py --data-dir DIR --out figures/ours/data/profile_scaling.json --large"
)
LARGE = {"points": 60_000, "features": 2_049, "profiled": 2_000}


def rows_of(features: np.ndarray, targets: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first rows, then jittered copies of all of them."""
    chosen = np.arange(count) % len(features)
    rows = features[chosen]
    rng = np.random.default_rng(count)
    for begin in range(len(features), count, 8_000):
        part = rows[begin : begin + 8_000]
        part += JITTER * rng.standard_normal(part.shape)
    return rows, targets[chosen]


def processor_seconds() -> float:
    """Of this process and of its workers that have ended, in all threads."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def measured(features: np.ndarray, targets: np.ndarray, workers: int, count: int) -> dict[str, Any]:
    """Seconds for what the points share and for the profile of the first `count` of them; a load beyond zero before it
    says that the processor was shared, and then the processor's seconds are what compares.
    """
    problem = linear.RidgeProblem(features, targets, ridge=1.0)
    start = time.perf_counter()
    schedule = linear.Schedule(
        step_size=1 / problem.smoothness, learn_steps=300, unlearn_steps=30, learn_noise=0.01, unlearn_noise=0.01
    )
    _ = problem.minimiser
    shared = time.perf_counter() - start
    load, start, busy = os.getloadavg()[0], time.perf_counter(), processor_seconds()
    profile = linear.deletion_profile(problem, schedule, 1.0, range(count), chunk=500, workers=workers)
    seconds = time.perf_counter() - start
    get_reusable_executor().shutdown(wait=True)  # what the workers used is known when they have ended
    busy = processor_seconds() - busy
    ranks, counts = np.unique(profile.rank, return_counts=True)
    known = profile.rank != REFUSED
    return {
        "points": problem.n_points,
        "features": problem.n_features,
        "outputs": problem.n_outputs,
        "profiled": count,
        "shared_seconds": round(shared, 2),
        "profile_seconds": round(seconds, 2),
        "processor_seconds": round(busy, 2),
        "load_before": round(load, 1),
        "worst_error": float(profile.error[known].max()),
        "paths": {
            {DENSE: "dense", REFUSED: "refused"}.get(int(rank), f"rank {rank}"): int(many)
            for rank, many in zip(ranks, counts, strict=True)
        },
    }


def write(path: Path, known: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def main() -> None:
    top = argparse.ArgumentParser(description=__doc__)
    top.add_argument("--data-dir", type=Path, required=True)
    top.add_argument("--out", type=Path, required=True)
    top.add_argument("--workers", type=int, default=os.cpu_count())
    top.add_argument("--sizes", type=int, nargs="*", default=SIZES, help="what to measure again; the rest is kept")
    top.add_argument("--large", action="store_true", help="also the large problem")
    options = top.parse_args()
    data = load("mnist", options.data_dir)
    known = json.loads(options.out.read_text()) if options.out.exists() else {}
    known |= {
        "command": COMMAND,
        "setting": "MNIST, ridge 1, T=300, K=30, step 1/L, noise 0.01, one epsilon, both directions",
        "workers": options.workers,
        "processor": platform.processor() or platform.machine(),
        "numpy": np.__version__,
    }
    scaling = {entry["points"]: entry for entry in known.get("scaling", [])}
    for count in options.sizes:
        rows = rows_of(data.train_features, data.train_targets, count)
        scaling[count] = measured(*rows, options.workers, count)
        print(scaling[count], flush=True)
        write(options.out, known | {"scaling": [scaling[points] for points in sorted(scaling)]})
    known["scaling"] = [scaling[points] for points in sorted(scaling)]
    if options.large:
        rows, targets = rows_of(data.train_features, data.train_targets, LARGE["points"])
        rng = np.random.default_rng(0)
        mixed = rng.standard_normal((rows.shape[1], LARGE["features"] - 1)) / np.sqrt(rows.shape[1])
        features = np.ones((LARGE["points"], LARGE["features"]))
        np.maximum(rows @ mixed, 0.0, out=features[:, 1:])
        known["large"] = measured(features, targets, options.workers, LARGE["profiled"])
        print(known["large"], flush=True)
        write(options.out, known)


if __name__ == "__main__":
    main()
