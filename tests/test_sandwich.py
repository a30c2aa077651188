"""The sandwich of a network: couples runs, picks a plan on pilots, and says how well it sees."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch_bridge.experiments import sandwich  # noqa: E402
from torch_bridge.experiments.problem import load_problem  # noqa: E402
from torch_bridge.experiments.store import Store  # noqa: E402

TINY = sandwich.Settings(
    hidden=2, rows=12, test_rows=5, seeds=1, learn_steps=3, unlearn_steps=2, runs=100, pilots=8, delta=0.5, noise=0.05
)


def test_maps_differ_by_the_points_gradient_while_learning_and_not_after():
    problem = load_problem("digits", None, net="mlp", hidden=2, rows=12, test_rows=5)
    states = np.tile(problem.network.initial(0).numpy().astype(float), (3, 1))
    for algorithm in sandwich.ALGORITHMS:
        base, reference = sandwich.maps(problem, TINY, algorithm, 4)
        gap = np.linalg.norm((base(0, states) - reference(0, states)), axis=1)
        assert np.all(gap > 1e-6)
        if algorithm == "clipped":
            assert np.all(gap <= TINY.step_size * TINY.clip / 12 * (1 + 1e-4))
        assert np.array_equal(base(3, states), reference(3, states))


def test_a_smallest_experiment_runs_resumes_and_summarises(tmp_path):
    numbers, arrays = sandwich.run(TINY, None, Store(tmp_path, "sandwich", TINY))
    assert [row["algorithm"] for row in numbers["points"]] == ["sgld", "clipped"]
    for row in numbers["points"]:
        assert 0 <= row["lower"] <= row["upper"]
        assert row["plan"] == min(row["pilot_root_mean_budget"], key=row["pilot_root_mean_budget"].get)
    assert arrays["forward_log_ratios"].shape == (2, 100)
    again, _ = sandwich.run(TINY, None, Store(tmp_path, "sandwich", TINY))
    assert again["points"][0]["upper"] == numbers["points"][0]["upper"]
    assert any("resolution" in line for line in sandwich.summary(numbers))
    assert math.isfinite(numbers["resolution"])
