"""Speed of the clipping wing; run with --benchmark-enable, OMP_NUM_THREADS=1."""

from typing import Any

from bounds.clipping import gradient_clipping_noise, model_clipping_noise
from linear.scalar_chain import threshold_policy_value

BUDGET = {"epsilon": 1.0, "delta": 1e-5}


def test_noise_of_gradient_clipping(benchmark: Any) -> None:
    """Wanted: below a millisecond."""
    known = {"radius": 20.0, "clip": 10.0, "step_size": 0.01, "penalty": 50.0, "steps": 11}
    assert benchmark(gradient_clipping_noise, **BUDGET, **known) > 1.35


def test_noise_of_model_clipping(benchmark: Any) -> None:
    assert benchmark(model_clipping_noise, **BUDGET, radius=1.0, steps=5) > 1.05


def test_exact_chain_of_a_hundred_steps(benchmark: Any) -> None:
    """Wanted: below a second."""
    known = {"radius": 1.0, "shift": 0.1, "factor": 1.0, "steps": 100, "epsilon": 1.0}
    value = benchmark(threshold_policy_value, **known, noise_std=1.0)
    assert value.relative_error < 1e-8
