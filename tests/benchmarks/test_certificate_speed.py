"""Speed of what is certified for whole data sets; ratios within one run. Run with --benchmark-enable on two cores.

Wanted: quantiles at one tail 20 times faster than scipy's, sensitivities of 8,000 points x 300 steps x 10 outputs in less
than twice the time of the matrix product in them, and certificates of many points far cheaper than one by one.
"""

import time
from typing import Any

import numpy as np
import pytest
from scipy.stats import ncx2

import linear
from bounds import sensitivity
from bounds.deletion import certify, certify_all, sensitivity_map

POINTS, FEATURES, OUTPUTS, STEPS = 8000, 784, 10, 300
TAIL = 5e-6 / (STEPS - 1)


def seconds(call: Any, rounds: int = 1) -> float:
    best = np.inf
    for _ in range(rounds):
        began = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - began)
    return best


def like_mnist(points: int) -> tuple[linear.RidgeProblem, linear.Schedule]:
    """As many rows and columns as MNIST, nonnegative, of about its norm and fall of the spectrum."""
    rng = np.random.default_rng(0)
    mixing = np.abs(rng.standard_normal((60, FEATURES))) * (1.0 + np.arange(60))[:, None] ** -0.7
    rows = np.maximum(rng.standard_normal((points, 60)) @ mixing, 0.0)
    rows *= 9.0 / np.linalg.norm(rows, axis=1).mean()
    problem = linear.RidgeProblem(rows, np.eye(OUTPUTS)[rng.integers(0, OUTPUTS, points)], ridge=1.0)
    schedule = linear.Schedule(
        step_size=1 / problem.smoothness, learn_steps=STEPS, unlearn_steps=30, learn_noise=0.01, unlearn_noise=0.01
    )
    _ = problem.minimiser
    return problem, schedule


def test_quantiles_against_scipy(benchmark: Any) -> None:
    size = 1_000_000 if benchmark.enabled else 20_000
    rng = np.random.default_rng(0)
    mean, std = rng.uniform(0.1, 2, size), rng.uniform(0.01, 0.5, size)
    sensitivity._table.cache_clear()
    found = benchmark.pedantic(
        sensitivity.residual_quantiles, args=(mean, std, OUTPUTS), kwargs={"log_tail": np.log(TAIL)}, rounds=1
    )
    some = slice(0, 200)
    slow = seconds(lambda: ncx2.isf(TAIL, OUTPUTS, (mean[some] / std[some]) ** 2)) / 200 * size
    expected = std[some] * np.sqrt(ncx2.isf(TAIL, OUTPUTS, (mean[some] / std[some]) ** 2))
    np.testing.assert_allclose(found[some], expected, rtol=1e-9)
    if benchmark.enabled:
        benchmark.extra_info["times faster, table built"] = slow / benchmark.stats.stats.max
        assert slow > 20 * benchmark.stats.stats.max


def test_sensitivities_against_the_matrix_product(benchmark: Any) -> None:
    points = POINTS if benchmark.enabled else 64
    problem, schedule = like_mnist(points)
    known = {"delta_s": 5e-6}
    found = benchmark.pedantic(sensitivity_map, args=(problem, schedule), kwargs=known, rounds=3 if points > 64 else 1)
    assert found.shape == (points, STEPS)
    if benchmark.enabled:
        left, right = problem.features[:512], np.ones((FEATURES, OUTPUTS * STEPS))
        product = seconds(lambda: left @ right, rounds=8) / 512 * points
        benchmark.extra_info["share of the product's speed"] = product / benchmark.stats.stats.min
        assert benchmark.stats.stats.max < 10.0
        assert benchmark.stats.stats.min < 2.0 * product


@pytest.mark.parametrize("method", ["unlearning_only", "hull", "direction_aware", "coupling", "best"])
def test_many_certificates_against_one_by_one(benchmark: Any, method: str) -> None:
    many, few = (256, 4) if benchmark.enabled else (8, 1)
    problem, schedule = like_mnist(1000 if benchmark.enabled else 40)

    def together() -> Any:
        return certify_all(problem, schedule, np.arange(many), delta_s=5e-6, method=method).log_delta(1.0)

    def one_by_one() -> list[float]:
        return [certify(problem, schedule, k, delta_s=5e-6, method=method).log_delta(1.0) for k in range(few)]

    found = benchmark.pedantic(together, rounds=1)
    np.testing.assert_allclose(found[:few], one_by_one(), rtol=1e-9)
    if benchmark.enabled:
        each = benchmark.stats.stats.max / many
        benchmark.extra_info["milliseconds a point"] = 1e3 * each
        benchmark.extra_info["times faster a point"] = seconds(one_by_one) / few / each
