"""Many pairs abreast against one pair at a time, against closed forms and against quadrature."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from linear.gaussian_pair import GaussianPair
from linear.many_pairs import ManyPairs
from linear.whitened import Whitened


def random_rows(seed, pairs=12, size=5):
    """Pairs of very different gaps and excesses; some directions void, some pairs without excess or without any gap."""
    rng = np.random.default_rng(seed)
    scale = 10.0 ** rng.uniform(-4, 0.5, size=(pairs, 1))
    shift = (scale * rng.normal(size=(pairs, size))) ** 2
    bend = 0.3 * scale * rng.normal(size=(pairs, size))
    bend[2], bend[3] = -np.abs(bend[2]), np.abs(bend[3])
    excess = np.expm1(bend)
    shift[0], excess[0] = 0.0, 0.0
    excess[1] = 0.0
    shift[4] = 0.0
    shift[5, 2:], excess[5, 2:] = 0.0, 0.0
    zero = np.zeros_like(excess)
    return Whitened(shift, excess, 1.0 + excess, 1, zero, zero)


def single(rows, k):
    shift, ratio = rows.shift_squared[k], rows.ratio[k]
    size = len(shift)
    whitened = Whitened(shift, rows.excess[k], ratio, 1, np.zeros(size), np.zeros(size))
    return GaussianPair.from_whitened(whitened, np.sqrt(shift), np.diag(ratio), np.zeros(size), np.eye(size))


@pytest.mark.parametrize("epsilon", [-3.0, -0.1, 0.0, 0.01, 0.5, 2.0, 40.0])
@settings(max_examples=6)
@given(st.integers(0, 10**6))
def test_each_pair_as_if_alone(epsilon, seed):
    rows = random_rows(seed)
    pairs = ManyPairs(rows)
    for reverse in (False, True):
        found = pairs.log_hockey_stick(epsilon, reverse)
        for k in range(len(pairs)):
            expected = single(rows, k).log_hockey_stick(epsilon, reverse)
            if np.isneginf(expected):
                assert np.isneginf(found.value[k])
            else:
                assert abs(found.value[k] - expected) <= 2e-9 + 1e-11 * abs(expected)
            assert found.error[k] <= 2e-9 + 1e-11 * abs(expected)


def test_one_direction_by_quadrature():
    """sup of P - e^epsilon Q over sets is the integral of its positive part."""
    shifts, ratios = np.array([0.3, 1.0, 2.0, 0.0]), np.array([1.4, 0.7, 1.0, 0.25])
    pairs = ManyPairs(Whitened((shifts**2)[:, None], (ratios - 1.0)[:, None], ratios[:, None], 1))
    for epsilon in (0.2, 1.0):
        for reverse in (False, True):
            found = np.exp(pairs.log_hockey_stick(epsilon, reverse).value)
            for k in range(4):
                p, q = stats.norm(shifts[k], np.sqrt(ratios[k])), stats.norm()
                if reverse:
                    p, q = q, p
                grid = np.linspace(-12, 12, 400_001)
                positive = np.maximum(p.pdf(grid) - np.exp(epsilon) * q.pdf(grid), 0.0)
                assert found[k] == pytest.approx(integrate.simpson(positive, x=grid), rel=1e-6, abs=1e-12)


@settings(max_examples=3)
@given(st.integers(0, 10**6), st.sampled_from([1e-12, 1e-5, 0.01, 0.5]))
def test_epsilon_is_the_inverse_and_safe(seed, delta):
    rows = random_rows(seed)
    pairs = ManyPairs(rows)
    found = pairs.epsilon(delta)
    for k in range(len(pairs)):
        assert found[k] == pytest.approx(single(rows, k).epsilon(delta), rel=1e-9)
        assert single(rows, k).delta(found[k]) <= delta
        if found[k] > 0.0:
            assert single(rows, k).delta(found[k] * (1 - 1e-6)) > delta


def test_epsilon_at_the_ends_of_delta():
    pairs = ManyPairs(random_rows(1))
    np.testing.assert_array_equal(pairs.epsilon(1.0), 0.0)
    np.testing.assert_array_equal(pairs.epsilon(0.0), [0.0] + [np.inf] * (len(pairs) - 1))


def test_errors_of_the_pairs_are_passed_on():
    """Where the numbers are off by what they say, the logarithm is off by no more than it says."""
    rows = random_rows(2)
    rng = np.random.default_rng(0)
    off = 1e-9 * rows.shift_squared, 1e-9 * np.abs(rows.excess)
    known = Whitened(rows.shift_squared, rows.excess, rows.ratio, 1, *off)
    found = ManyPairs(known).log_hockey_stick(1.0)
    moved = 0.0
    for _ in range(20):
        excess = rows.excess + off[1] * rng.uniform(-1, 1, size=rows.excess.shape)
        shift = rows.shift_squared + off[0] * rng.uniform(-1, 1, size=excess.shape)
        other = ManyPairs(Whitened(shift, excess, 1.0 + excess, 1)).log_hockey_stick(1.0)
        finite = np.isfinite(found.value)
        change = np.abs(other.value[finite] - found.value[finite])
        assert (change <= found.error[finite] + other.error[finite]).all()
        moved = max(moved, float(np.max(change / found.error[finite])))
    assert moved > 0.01


def test_one_axis_is_refused():
    with pytest.raises(ValueError, match=r"\(pairs, directions\)"):
        ManyPairs(Whitened([1.0], [0.1], [1.1], 1))
