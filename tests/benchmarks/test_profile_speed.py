"""Every training point of MNIST (8,000 of 784 pixels, 10 outputs, T=300, K=30): wanted in under 60 s on two cores, and
at least 500 times faster per point than one dense deletion after another. Run with --benchmark-enable.
"""

import os
import resource
import time
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from joblib.externals.loky import get_reusable_executor

import linear
from linear.datasets import load

MNIST = Path(
    os.environ.get("UNLEARNCHECK_MNIST", Path(__file__).resolve().parents[3] / "shared" / "data" / "mnist"),
)
SECONDS, GIBIBYTES, TIMES, CORES = 60.0, 3.0, 500.0, 2


def dense(problem: linear.RidgeProblem, schedule: linear.Schedule, index: int) -> list[float]:
    pair = linear.deletion_pair(problem, schedule, index)
    return [float(pair.log_hockey_stick(1.0, reverse)) for reverse in (False, True)]


@pytest.mark.skipif(not MNIST.is_dir(), reason="no MNIST beside the checkout")
def test_every_point_of_mnist(benchmark: Any) -> None:
    """Two workers of one thread each, already started, for the profile and for the dense path."""
    data = load("mnist", MNIST)
    count = data.train_features.shape[0] if benchmark.enabled else 20
    problem = linear.RidgeProblem(data.train_features, data.train_targets, ridge=1.0)
    schedule = linear.Schedule(
        step_size=1 / problem.smoothness, learn_steps=300, unlearn_steps=30, learn_noise=0.01, unlearn_noise=0.01
    )
    _ = problem.minimiser
    settings = {"epsilon": 1.0, "indices": range(count), "chunk": 500}
    with joblib.parallel_config(n_jobs=CORES if benchmark.enabled else 1):
        linear.deletion_profile(problem, schedule, 1.0, range(2 * CORES), chunk=1)
        profile = benchmark.pedantic(linear.deletion_profile, (problem, schedule), settings, rounds=1)
    assert np.isfinite(profile.error).all()
    if not benchmark.enabled:
        return
    seconds = benchmark.stats.stats.max
    sample = np.random.default_rng(0).choice(count, 3 * CORES, replace=False)
    start = time.perf_counter()
    found = joblib.Parallel(n_jobs=CORES)(joblib.delayed(dense)(problem, schedule, int(index)) for index in sample)
    ratio = (time.perf_counter() - start) / len(sample) / (seconds / count)
    expected = np.array(found)
    np.testing.assert_allclose(profile.log_forward[sample, 0], expected[:, 0], rtol=1e-11, atol=1e-8)
    np.testing.assert_allclose(profile.log_reverse[sample, 0], expected[:, 1], rtol=1e-11, atol=1e-8)
    get_reusable_executor().shutdown(wait=True)  # what the workers used is known when they have ended
    # The largest of the workers, in kilobytes, for each of them.
    kilobytes = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    gibibytes = (kilobytes[0] + CORES * kilobytes[1]) / 2**20
    benchmark.extra_info |= {"times the dense path": ratio, "GiB at most": gibibytes}
    print(f"\n{seconds:.1f} s, {ratio:.0f} times the dense path, at most {gibibytes:.2f} GiB")
    assert seconds < SECONDS and gibibytes < GIBIBYTES and ratio > TIMES
