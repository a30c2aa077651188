"""Per-instance privacy losses of a whole training set: 8,000 points, 300 steps, wanted in under 5 seconds."""

import math

import numpy as np
import pytest

from bounds.renyi_dp import plain_sum

SECONDS = 5.0


@pytest.mark.parametrize("power", [math.inf, 900.0], ids=["one-order", "growing-orders"])
@pytest.mark.parametrize(("order", "rate"), [(8, 0.01), (32, 0.01), (8, 1.0)])
def test_losses_of_every_point(benchmark, order, rate, power):
    norms = np.random.default_rng(0).exponential(size=(300, 8000))
    losses = benchmark.pedantic(
        plain_sum,
        kwargs={"gradient_norm": norms, "order": order, "noise_std": 2.0, "rate": rate, "power": power},
        rounds=1,
    )
    assert losses.shape == (8000,)
    assert np.isfinite(losses).all()
    if benchmark.enabled:
        assert benchmark.stats.stats.max < SECONDS
