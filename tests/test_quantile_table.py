"""The table of residual quantiles: never below, hardly above; and what breaks if its bounds are the wrong way round."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bounds import _quantile_table, sensitivity
from bounds.sensitivity import residual_quantile, residual_quantiles

TAILS = [(1, -18.0), (2, -3.0), (3, -0.2), (10, -18.4), (10, -400.0), (47, -25.0), (128, -20.0)]


def ratios(table, rng, count=400):
    """Random ratios over many decades, and the middles of cells, where the interpolation errs most."""
    middles = 0.5 * (table.node[:-1] + table.node[1:])
    return np.concatenate([np.exp(rng.uniform(-8, 14, count)), rng.choice(middles, count), table.node[:20]])


@pytest.mark.parametrize(("dof", "log_tail"), TAILS)
def test_never_below_and_hardly_above(dof, log_tail):
    table = sensitivity._table(dof, log_tail)
    ratio = ratios(table, np.random.default_rng(1))
    std = np.exp(np.random.default_rng(2).uniform(-5, 5, ratio.size))
    exact = residual_quantile(ratio * std, std, dof, log_tail=log_tail)
    above = table(ratio * std, std) / exact - 1
    assert above.min() >= -1e-15
    assert 0.3 * _quantile_table.ACCURACY < above.max() < 1.02 * _quantile_table.ACCURACY


@settings(max_examples=12)
@given(dof=st.integers(1, 60), log_tail=st.floats(-60, -0.1), seed=st.integers(0, 2**32 - 1))
def test_random_tails(dof, log_tail, seed):
    rng = np.random.default_rng(seed)
    table = _quantile_table.table(dof, log_tail, lambda a: residual_quantile(a, 1.0, dof, log_tail=log_tail))
    mean, std = np.exp(rng.uniform(-6, 6, 50)), np.exp(rng.uniform(-6, 6, 50))
    above = table(mean, std) / residual_quantile(mean, std, dof, log_tail=log_tail) - 1
    assert above.min() >= -1e-15
    assert above.max() <= 1.02 * _quantile_table.ACCURACY


def test_curvature_bounds_the_wrong_way_round_are_seen(monkeypatch):
    honest = _quantile_table._curvature
    monkeypatch.setattr(_quantile_table, "_curvature", lambda *known: (honest(*known)[1], honest(*known)[1]))
    table = _quantile_table.table(10, -18.4, lambda a: residual_quantile(a, 1.0, 10, log_tail=-18.4))
    ratio = ratios(table, np.random.default_rng(1))
    assert (table(ratio, np.ones_like(ratio)) / residual_quantile(ratio, 1.0, 10, log_tail=-18.4) - 1).min() < -1e-7


@pytest.mark.parametrize("dof", [1, 2, 3, 10, 100, 128])
def test_bessel_ratio_is_as_accurate_as_the_bounds_assume(dof):
    t = np.concatenate([np.geomspace(1e-6, 1e5, 40), [4.0 * dof, 4.001 * dof]])
    found = _quantile_table.bessel_ratio(t, dof)
    with mpmath.workdps(50):
        for at, ratio in zip(t.tolist(), found.tolist(), strict=True):
            exact = mpmath.besseli(mpmath.mpf(dof) / 2, at) / mpmath.besseli(mpmath.mpf(dof) / 2 - 1, at)
            slope = 1 - exact**2 - (dof - 1) * exact / at
            assert abs(1 - ratio**2 - (dof - 1) * ratio / at - slope) < 0.25 * _quantile_table._BESSEL
    far = np.array([2.0**27, 1e12])
    assert np.all(_quantile_table.bessel_ratio(far, dof) <= 1 - (dof - 1) / (2 * far))


def test_ends_and_shapes():
    table = sensitivity._table(10, -18.4)
    radius = residual_quantile(0.0, 1.0, 10, log_tail=-18.4)
    mean = np.array([[0.0, 3.0, 5.0], [1e300, 1e-300, 0.0]])
    std = np.array([[2.0, 0.0, 1e-300], [1e-300, 1.0, 0.0]])
    expected = np.array([[2 * radius, 3.0, 5.0], [1e300, radius, 0.0]])
    np.testing.assert_allclose(table(mean, std), expected, rtol=2e-10)
    assert np.all(table(mean, std) >= expected * (1 - 1e-15))
    assert table(np.array(3.0), np.array([[1.0], [2.0]])).shape == (2, 1)


def test_few_and_odd_quantiles_take_the_slow_way(monkeypatch):
    monkeypatch.setattr(sensitivity, "_table", None)
    assert residual_quantiles(1.0, 0.5, 3, log_tail=-9.0) == residual_quantile(1.0, 0.5, 3, log_tail=-9.0)
    many = np.zeros(sensitivity._MANY)
    assert residual_quantiles(many, many, 300, log_tail=-9.0).shape == many.shape
    with pytest.raises(ValueError, match=r"log_tail = 0\.0"):
        residual_quantiles(1.0, 1.0, 3, log_tail=0.0)
    with pytest.raises(TypeError, match=r"dof = 2\.5"):
        residual_quantiles(1.0, 1.0, 2.5, log_tail=-1.0)


def test_sensitivities_of_many_points_use_it_and_are_above():
    rng = np.random.default_rng(3)
    means, variances = rng.uniform(0.1, 2, (60, 300)), rng.uniform(0, 0.5, (60, 300))
    variances[:, 0] = 0
    known = {"step_size": 0.1, "row_norm": np.ones(60), "dof": 4, "delta_s": 1e-5}
    many = sensitivity.sensitivities(mean_norms=means, variances=variances, **known)
    one = sensitivity.sensitivities(mean_norms=means[7], variances=variances[7], **(known | {"row_norm": 1.0}))
    assert np.all(many[7] >= one * (1 - 1e-15))
    np.testing.assert_allclose(many[7], one, rtol=1e-10)
    assert math.isclose(many[3, 0], 0.1 * means[3, 0], rel_tol=1e-14)
