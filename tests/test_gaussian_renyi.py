"""Rényi divergences between Gaussians and the exact decay of linear chains."""

import math

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linear.gaussian_renyi import OrnsteinUhlenbeck, gaussian_renyi, scalar_renyi

orders = st.floats(1.05, 30.0)


def by_quadrature(mean_p, var_p, mean_q, var_q, order):
    with mp.workdps(30):
        m_p, v_p, m_q, v_q, a = map(mp.mpf, (mean_p, var_p, mean_q, var_q, order))

        def density(y, mean, variance):
            return mp.exp(-((y - mean) ** 2) / (2 * variance)) / mp.sqrt(2 * mp.pi * variance)

        # p^a q^(1-a) is a Gaussian bump: find where, then integrate 14 deviations each way.
        precision = a / v_p + (1 - a) / v_q
        centre, width = (a * m_p / v_p + (1 - a) * m_q / v_q) / precision, 1 / mp.sqrt(precision)
        moment = mp.quad(
            lambda y: density(y, m_p, v_p) ** a * density(y, m_q, v_q) ** (1 - a),
            mp.linspace(centre - 14 * width, centre + 14 * width, 15),
        )
        return float(mp.log(moment) / (a - 1))


@pytest.mark.parametrize(
    "laws",
    [
        (0.0, 1.2, 0.5, 1.0, 3.0),
        (0.0, 0.01, 60.0, 1.0, 4.0),
        (1.0, 3.0, -2.0, 0.9 * 3.0, 8.5),
        (0.0, 1.0, 0.0, 1.0 + 1e-9, 2.0),
        (1e-7, 1.0, 0.0, 1.0 - 1e-7, 25.0),
    ],
)
def test_one_dimension_is_the_integral(laws):
    *pair, order = laws
    expected = by_quadrature(*pair, order)
    if abs(expected) > 1e-12:  # 30 digits leave the quadrature 1e-28 absolute
        assert scalar_renyi(*pair, order=order) == pytest.approx(expected, rel=1e-12)
        assert gaussian_renyi(*pair, order=order) == pytest.approx(expected, rel=1e-12)
    else:
        assert scalar_renyi(*pair, order=order) == pytest.approx(expected, rel=1e-6)


def test_published_example_and_the_boundary():
    assert scalar_renyi(0.0, 1.2, 0.5, 1.0, order=3) == pytest.approx(0.6615456275, abs=5e-11)
    assert scalar_renyi(0.0, 1.2, 0.5, 1.0, order=6) == math.inf  # 1.2 = 6/5: the boundary belongs to infinity
    assert scalar_renyi(0.0, 1.25, 0.5, 1.0, order=5) == math.inf
    assert gaussian_renyi(0.0, 1.25, 0.5, 1.0, order=5) == math.inf
    assert math.isfinite(scalar_renyi(0.0, 1.25, 0.5, 1.0, order=4.999))
    assert math.isfinite(scalar_renyi(0.0, 1.0, 0.5, 1.25, order=50))


def test_one_bad_direction_makes_it_infinite():
    rotation = np.array([[0.6, -0.8], [0.8, 0.6]])
    wide = rotation @ np.diag([2.5, 0.1]) @ rotation.T
    assert gaussian_renyi([0, 0], wide, [0, 0], np.eye(2), order=2) == math.inf
    assert math.isfinite(gaussian_renyi([0, 0], wide, [0, 0], np.eye(2), order=1.6))
    singular = rotation @ np.diag([1.0, 0.0]) @ rotation.T
    assert gaussian_renyi([0, 0], singular, [0, 0], np.eye(2), order=2) == math.inf


@given(st.integers(1, 4), st.integers(0, 10**6), orders)
def test_several_dimensions_are_independent_ones_in_other_coordinates(size, seed, order):
    rng = np.random.default_rng(seed)
    v_q, gains = rng.uniform(0.5, 2, size), rng.uniform(0.2, 1 + 0.9 / (order - 1), size)
    m_p, m_q = rng.normal(size=(2, size))
    change = rng.normal(size=(size, size)) + 3 * np.eye(size)
    whole = gaussian_renyi(
        change @ m_p,
        change @ np.diag(gains * v_q) @ change.T,
        change @ m_q,
        change @ np.diag(v_q) @ change.T,
        order=order,
    )
    assert whole == pytest.approx(scalar_renyi(m_p, gains * v_q, m_q, v_q, order=order).sum(), rel=1e-7)


def test_nearly_equal_covariances_keep_their_digits():
    excess, order = 2.0**-30, 7.0
    found = scalar_renyi(0.0, 1.0 + excess, 0.0, 1.0, order=order)
    with mp.workdps(50):
        g, a = mp.mpf(excess), mp.mpf(order)
        expected = (mp.log1p((1 - a) * g) - (1 - a) * mp.log1p(g)) / (2 * (1 - a))
    assert found == pytest.approx(float(expected), rel=1e-14)


def test_order_towards_one_is_the_kullback_leibler_divergence():
    kl = (1.7 + 0.49 - 1 - math.log(1.7)) / 2
    assert scalar_renyi(0.7, 1.7, 0.0, 1.0, order=1 + 1e-9) == pytest.approx(kl, rel=1e-7)


@given(orders, orders)
def test_never_decreases_in_the_order(first, second):
    low, high = sorted((first, second))
    laws = ([0.3, -1.0], [[1.0, 0.2], [0.2, 0.7]], [0.0, 0.5], [[1.1, 0.0], [0.0, 0.9]])
    assert gaussian_renyi(*laws, order=low) <= gaussian_renyi(*laws, order=high) * (1 + 1e-14)


def test_point_masses():
    assert scalar_renyi(1.0, 0.0, 1.0, 0.0, order=2) == 0
    assert scalar_renyi(1.0, 0.0, 2.0, 0.0, order=2) == math.inf
    assert scalar_renyi(1.0, 0.0, 1.0, 1.0, order=2) == math.inf
    assert scalar_renyi(1.0, 1.0, 1.0, 0.0, order=2) == math.inf


@pytest.mark.parametrize("contraction", [0.9, -0.4, 0.0, 1.0, 1.1, 1 - 1e-12, -1.0])
def test_chain_is_its_recursion(contraction):
    chain = OrnsteinUhlenbeck(contraction=contraction, noise_std=0.3, offset=0.2)
    mean, variance = -1.5, 2.0
    for step in range(40):
        assert chain.after(-1.5, 2.0, step) == pytest.approx((mean, variance), rel=1e-13)
        mean, variance = contraction * mean + 0.2, contraction**2 * variance + 0.09


def test_stationary_law_stays():
    chain = OrnsteinUhlenbeck(contraction=0.93, noise_std=0.3, offset=-0.7)
    assert chain.after(*chain.stationary(), 1000) == pytest.approx(chain.stationary(), rel=1e-13)
    with pytest.raises(ValueError, match="contraction = 1"):
        OrnsteinUhlenbeck(contraction=1.0, noise_std=0.3).stationary()


def test_equal_variances_decay_by_the_squared_contraction():
    chain = OrnsteinUhlenbeck(contraction=0.8, noise_std=0.5)
    stationary = chain.stationary()[1]
    decay = chain.divergences((3.0, stationary), (0.0, stationary), order=5, steps=60)
    assert decay == pytest.approx(decay[0] * 0.8 ** (2 * np.arange(61)), rel=1e-13)


def test_narrow_and_far_decays_slowly():
    chain = OrnsteinUhlenbeck(contraction=0.99, noise_std=math.sqrt(1 - 0.99**2))
    decay = chain.divergences((60.0, 0.01), (0.0, 1.0), order=4, steps=5)
    assert decay[5] / decay[0] == pytest.approx(0.97344906, abs=5e-9)


@given(st.floats(-0.95, 1.05), st.integers(0, 10**6))
def test_divergences_are_those_of_the_laws(contraction, seed):
    rng = np.random.default_rng(seed)
    chain = OrnsteinUhlenbeck(contraction=contraction, noise_std=0.4, offset=0.1)
    p, q = (rng.normal(), rng.uniform(0, 1)), (rng.normal(), rng.uniform(0.9, 2))
    laws = [(*chain.after(*p, k), *chain.after(*q, k)) for k in range(9)]
    expected = [float(scalar_renyi(*law, order=1.7)) for law in laws]
    assert chain.divergences(p, q, order=1.7, steps=8) == pytest.approx(expected, rel=1e-6, abs=1e-14)


def test_the_whole_learn_and_unlearn_chain():
    # m = 0.2, step 0.5, temperature 0.3, gradient gap 0.15, start N(0, 1): with the point the minimiser is 0.
    noise_std = math.sqrt(2 * 0.5) * 0.3
    with_point = OrnsteinUhlenbeck(contraction=0.9, noise_std=noise_std)
    without = OrnsteinUhlenbeck(contraction=0.9, noise_std=noise_std, offset=0.5 * 0.15)

    def against_retraining(steps_learned, order, *steps):
        learned, retrained = (chain.after(0.0, 1.0, steps_learned) for chain in (with_point, without))
        return [float(scalar_renyi(*without.after(*learned, k), *retrained, order=order)) for k in steps]

    stationary = without.stationary()
    assert against_retraining(60, 16, 0)[0] == pytest.approx(9.46585, abs=5e-6)
    assert against_retraining(60, 4, 0, 40, 160) == pytest.approx([2.36646, 4.0037e-4, 7.67e-6], rel=5e-4)
    assert against_retraining(60, 4, 14)[0] > 0.1 > against_retraining(60, 4, 15)[0]
    assert scalar_renyi(*stationary, *without.after(0.0, 1.0, 60), order=7) == pytest.approx(1.342e-5, abs=5e-9)
    # After only 5 steps of training the divergence first falls and then rises towards the irreducible floor.
    assert scalar_renyi(*without.after(0.0, 1.0, 5), *stationary, order=15) == math.inf
    floor = float(scalar_renyi(*stationary, *without.after(0.0, 1.0, 5), order=7))
    at_five, at_last = against_retraining(5, 4, 5, 400)
    assert (at_five, at_last, floor) == pytest.approx((0.0278, 0.3871, 0.4721), abs=5e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0, 1.0, 0.0, 1.0, 1.0), "order = 1.0"),
        ((0.0, 1.0, 0.0, 1.0, math.nan), "order"),
        ((0.0, 1.0, 0.0, 0.0, 2.0), "cov_q"),
        ((0.0, -1.0, 0.0, 1.0, 2.0), "cov_p"),
        (([0.0, 1.0], np.eye(2), [0.0], np.eye(2), 2.0), "mean_q"),
        (([0.0, 1.0], [[1.0, 0.5], [0.2, 1.0]], [0.0, 0.0], np.eye(2), 2.0), "cov_p"),
        (([0.0, 1.0], np.eye(3), [0.0, 0.0], np.eye(2), 2.0), "cov_p"),
        (([math.inf], [[1.0]], [0.0], [[1.0]], 2.0), "mean_p"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        gaussian_renyi(*arguments[:4], order=arguments[4])


def test_wrong_scalar_and_chain_arguments_are_named():
    with pytest.raises(ValueError, match="variance_p"):
        scalar_renyi(0.0, -1.0, 0.0, 1.0, order=2)
    with pytest.raises(ValueError, match="noise_std"):
        OrnsteinUhlenbeck(contraction=0.5, noise_std=-1.0)
    with pytest.raises(ValueError, match="steps"):
        OrnsteinUhlenbeck(contraction=0.5, noise_std=1.0).after(0.0, 1.0, -1)
