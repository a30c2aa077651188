"""Rényi bounds: triangles, conversions, one step, composition. Truths come from `linear` and from quadrature."""

import functools
import itertools
import json
import math
from pathlib import Path

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bounds import _outward
from bounds.renyi_dp import (
    compose,
    epsilon_improved,
    epsilon_simple,
    holder_orders,
    log_square_moment,
    mean_rule,
    plain_sum,
    sum_rule,
    symmetric_triangle,
    triangle_orders,
    weak_triangle,
)
from linear.gaussian_renyi import scalar_renyi
from linear.scalar_path import ScalarPath, joint_path_renyi, path_log_moment

REFERENCE = json.loads((Path(__file__).parent / "reference" / "renyi.json").read_text())


# Triangles


def gaussians(rng):
    return rng.normal(scale=2), math.exp(rng.normal(scale=0.3))


@given(st.integers(0, 10**6), st.floats(1.1, 6), st.floats(1.1, 6))
def test_weak_triangle_holds_between_gaussians(seed, order, split):
    rng = np.random.default_rng(seed)
    p, q, r = gaussians(rng), gaussians(rng), gaussians(rng)
    first_order, second_order = triangle_orders(order=order, split=split)
    first, second = scalar_renyi(*p, *r, order=first_order), scalar_renyi(*r, *q, order=second_order)
    truth = scalar_renyi(*p, *q, order=order)
    assert truth <= weak_triangle(order=order, first=first, second=second, split=split)
    first, second = scalar_renyi(*p, *r, order=2 * order), scalar_renyi(*r, *q, order=2 * order)
    assert truth <= symmetric_triangle(order=order, first=first, second=second)


@pytest.mark.parametrize(("order", "split"), [(2.0, 2.0), (1.3, 2.0), (7.0, 2.0), (2.0, 1.5), (4.0, 5.0)])
def test_weak_triangle_is_tight(order, split):
    # Equal variances: both sides are quadratic in R's mean; the minimum of the right side meets the left.
    first_order, second_order = triangle_orders(order=order, split=split)
    gap = 3.0
    weight = (order - 1 / split) / (order - 1) * first_order
    where = gap * second_order / (weight + second_order)  # distance of R from P
    if split == 2:
        assert where == pytest.approx(gap * (order - 1) / (2 * order - 1), rel=1e-12)
    bound = weak_triangle(
        order=order, first=first_order * where**2 / 2, second=second_order * (gap - where) ** 2 / 2, split=split
    )
    assert bound == pytest.approx(order * gap**2 / 2, rel=1e-12)


def test_triangle_numbers_and_infinities():
    assert triangle_orders(order=2) == pytest.approx((4, 3), rel=1e-14)
    assert weak_triangle(order=2, first=2.0, second=6.0) == pytest.approx(9.0, rel=1e-14)
    assert symmetric_triangle(order=2, first=2.0, second=6.0) == pytest.approx(12.0, rel=1e-14)
    assert weak_triangle(order=2, first=math.inf, second=0.0) == math.inf
    assert weak_triangle(order=np.array([2.0, 4.0]), first=1.0, second=[0.0, math.inf])[1] == math.inf


# Conversions


def test_published_conversions_of_a_gaussian():
    orders, delta = np.linspace(1.5, 15, 200_001), 1e-5
    simple = epsilon_simple(order=orders, divergence=orders / 2, delta=delta)
    improved = epsilon_improved(order=orders, divergence=orders / 2, delta=delta)
    assert simple.min() == pytest.approx(5.298526, abs=5e-7)
    assert improved.min() == pytest.approx(4.728387, abs=5e-7)


@given(st.floats(-14, -0.1), st.floats(0.01, 20), st.floats(1.05, 40))
def test_conversions_hold_on_two_points(log_q, log_ratio, order):
    q = math.exp(log_q)
    p = min(q * math.exp(log_ratio), 1 - 1e-9)
    moment = p**order * q ** (1 - order) + (1 - p) ** order * (1 - q) ** (1 - order)
    divergence = math.log(moment) / (order - 1)
    for epsilon in (0.3 * math.log(p / q), 0.9 * math.log(p / q)):
        delta = p - math.exp(epsilon) * q
        if delta > 1e-12:
            promised = epsilon_improved(order=order, divergence=max(divergence, 0.0), delta=delta)
            assert epsilon * (1 - 1e-9) <= promised
            assert promised <= epsilon_simple(order=order, divergence=max(divergence, 0.0), delta=delta)


@pytest.mark.parametrize("epsilon", [10.0, 15.0])
def test_improved_conversion_is_tight_on_two_points(epsilon):
    order, delta = 4, 1e-5
    p = order * delta  # with p/q = e^epsilon a/(a-1) exactly p/a of the mass lies above e^epsilon
    q = p * math.exp(-epsilon) * (order - 1) / order
    divergence = math.log(p**order * q ** (1 - order) + (1 - p) ** order * (1 - q) ** (1 - order)) / (order - 1)
    assert epsilon_improved(order=order, divergence=divergence, delta=delta) == pytest.approx(epsilon, abs=1e-8)


def test_conversion_edges():
    assert epsilon_simple(order=2, divergence=1.0, delta=0.0) == math.inf
    assert epsilon_improved(order=2, divergence=1.0, delta=0.0) == math.inf
    assert epsilon_improved(order=2, divergence=0.0, delta=0.9) == 0.0
    assert epsilon_improved(order=2, divergence=math.inf, delta=0.1) == math.inf


NEAR_AND_FAR = list(
    itertools.product(
        [1 + 1e-12, 1 + 3e-7, 1.3, 57.1, 1e12], [1 + 1e-9, 1.7, 1e6], [0.0031, 1.3, 71.0], [1e-300, 0.013, 0.97]
    )
)


def promised_and_exact(order, split, divergence, delta):
    promised = [
        weak_triangle(order=order, first=divergence, second=0.7, split=split),
        symmetric_triangle(order=order, first=divergence, second=0.7),
        epsilon_simple(order=order, divergence=divergence, delta=delta),
        epsilon_improved(order=order, divergence=divergence, delta=delta),
    ]
    with mp.workdps(50):
        a, u, d, rest, log_delta = (*map(mp.mpf, (order, split, divergence, 0.7)), mp.log(mp.mpf(delta)))
        exact = [
            (a - 1 / u) / (a - 1) * d + rest,
            (a - mp.mpf(1) / 2) / (a - 1) * (d + rest),
            d - log_delta / (a - 1),
            max(d + mp.log((a - 1) / a) - (log_delta + mp.log(a)) / (a - 1), mp.mpf(0)),
        ]
    return promised, exact


def test_triangles_and_conversions_are_never_below_the_truth_and_close():
    for case in NEAR_AND_FAR:
        for promised, exact in zip(*promised_and_exact(*case), strict=True):
            assert exact <= promised <= exact * (1 + mp.mpf("1e-13")) + mp.mpf("1e-12")


def test_without_their_allowance_they_fall_below(monkeypatch):
    monkeypatch.setattr(_outward, "_ROUND", 0.0)
    below = [
        [promised < exact for promised, exact in zip(*promised_and_exact(*case), strict=True)] for case in NEAR_AND_FAR
    ]
    assert np.any(below, axis=0).all()


# One step


@pytest.mark.parametrize("case", REFERENCE["sampled_steps"], ids=lambda case: str(case["arguments"]))
def test_sum_rule_against_quadrature(case):
    order, noise_std, rate, norm = case["arguments"]
    bound = sum_rule(order=order, gradient_norm=norm, noise_std=noise_std, rate=rate)
    if order == int(order):
        assert bound == pytest.approx(case["forward"], rel=1e-12)
    else:
        rounded = sum_rule(order=math.ceil(order), gradient_norm=norm, noise_std=noise_std, rate=rate)
        # Between integers the log moment is bounded by its chord: above the truth, and below the next integer's value
        # (equal to it below order 2).
        assert case["forward"] < bound <= rounded * (1 + 1e-13)
        assert bound < rounded or order < 2
    assert case["reverse"] < case["forward"]


def test_published_sum_rules():
    assert sum_rule(order=2, gradient_norm=1, noise_std=1, rate=0.1) == pytest.approx(0.01703686324, abs=5e-12)
    bound = sum_rule(order=8, gradient_norm=0.5, noise_std=1, rate=0.01)
    assert bound == pytest.approx(1.157561e-4, abs=5e-11)
    # The small-rate approximation is below the exact value: not a bound.
    approximation = 8 * 0.01**2 * math.expm1(0.25) / 2
    assert approximation == pytest.approx(1.1361e-4, abs=5e-9)
    assert approximation < bound


def exact_sum_rule(order, norm, std, rate):
    with mp.workdps(60):
        s, q = (mp.mpf(norm) / mp.mpf(std)) ** 2 / 2, mp.mpf(rate)
        terms = (
            mp.binomial(order, k) * (1 - q) ** (order - k) * q**k * mp.expm1(s * k * (k - 1)) for k in range(order + 1)
        )
        return mp.log1p(mp.fsum(terms)) / (order - 1)


STEPS = list(
    itertools.product([2, 3, 17, 200], [1e-9, 0.013, 0.31, 1.7, 40.0], [0.37, 1.0, 3.3], [1e-12, 0.003, 0.21, 0.93])
)


def test_sum_rule_is_never_below_the_truth_and_close():
    for order, norm, std, rate in STEPS:
        bound = sum_rule(order=order, gradient_norm=norm, noise_std=std, rate=rate)
        truth = exact_sum_rule(order, norm, std, rate)
        assert truth <= bound <= truth * (1 + mp.mpf("1e-9"))


def test_without_its_allowance_sum_rule_falls_below(monkeypatch):
    monkeypatch.setattr(_outward, "_ROUND", 0.0)
    below = [
        sum_rule(order=order, gradient_norm=norm, noise_std=std, rate=rate) < exact_sum_rule(order, norm, std, rate)
        for order, norm, std, rate in STEPS
    ]
    assert any(below)


def test_sum_rule_edges():
    norms = np.array([[0.0, 1e-200, 1.0], [1e9, 1e200, 1e308]])
    for rate in (0.01, 0.5, 1.0):
        for order in (2, 2.5, 9):
            bound = sum_rule(order=order, gradient_norm=norms, noise_std=1.0, rate=rate)
            assert bound.shape == norms.shape
            assert bound[0, 0] == 0
            assert (bound.ravel()[1:] >= bound.ravel()[:-1]).all()
            assert bound[1, 2] == math.inf
    assert sum_rule(order=3, gradient_norm=2.0, noise_std=1.0, rate=0.0) == 0
    assert sum_rule(order=3.7, gradient_norm=2.0, noise_std=0.5) == pytest.approx(3.7 * 8, rel=1e-14)
    nearly_always = sum_rule(order=5, gradient_norm=0.9, noise_std=1.0, rate=1 - 1e-15)
    assert nearly_always == pytest.approx(5 * 0.81 / 2, rel=1e-10)


def batch_law(gradients, rate):
    means, weights = [], []
    for chosen in itertools.product([0, 1], repeat=len(gradients)):
        batch = [g for g, taken in zip(gradients, chosen, strict=True) if taken]
        means.append(np.mean(batch) if batch else 0.0)
        weights.append(math.prod(rate if taken else 1 - rate for taken in chosen))
    return means, weights


def mean_rule_by_its_published_form(first, second, noise_std, order):
    """All ordered tuples, exponent |V|^2 - sum |U_i|^2 + (a-1) |U|^2 with V = sum U_i - (a-1) U."""
    with mp.workdps(40):
        precise = [[tuple(map(mp.mpf, pair)) for pair in zip(*law, strict=True)] for law in (first, second)]
        scale, total = 2 * mp.mpf(noise_std) ** 2, mp.mpf(0)
        for u, weight in precise[1]:
            inner = mp.mpf(0)
            for draw in itertools.product(precise[0], repeat=order):
                v = sum(mean for mean, _ in draw) - (order - 1) * u
                square = v**2 - sum(mean**2 for mean, _ in draw) + (order - 1) * u**2
                inner += math.prod(chance for _, chance in draw) * mp.exp(square / scale)
            total += weight * mp.log(inner) / (order - 1)
        return total


def test_mean_rule_against_quadrature_and_its_published_form():
    case = REFERENCE["mean_step"]
    without = batch_law(case["gradients"], case["rate"])
    with_point = batch_law([*case["gradients"], case["point"]], case["rate"])
    for (first, second), truth, published in (
        ((with_point, without), case["forward"], 0.99034936),
        ((without, with_point), case["reverse"], 1.0377462),
    ):
        bound = mean_rule(
            order=case["order"],
            first=first[0],
            first_weights=first[1],
            second=second[0],
            second_weights=second[1],
            noise_std=case["noise_std"],
        )
        assert truth < bound
        assert bound == pytest.approx(published, abs=5e-8)
        expected = mean_rule_by_its_published_form(first, second, case["noise_std"], case["order"])
        assert expected <= bound <= expected * (1 + mp.mpf("1e-10"))
    assert (case["forward"], case["reverse"]) == pytest.approx((0.12539919, 0.0815876), abs=5e-8)


def test_mean_rule_of_one_batch_each_is_the_gaussian_step():
    bound = mean_rule(order=4, first=[[1.0, 2.0]], second=[[0.0, 0.5]], noise_std=2.0)
    assert bound == pytest.approx(4 * 3.25 / 8, rel=1e-12)
    assert mean_rule(order=2, first=[1e200], second=[-1e200], noise_std=1.0) == math.inf


# Moments of Gaussian residuals


@given(st.floats(0.001, 3), st.floats(-3, 3), st.floats(0, 0.3))
def test_square_moment_is_the_integral(scale, mean, variance):
    bound = log_square_moment(scale=scale, mean=mean, variance=variance)
    with mp.workdps(40):
        s, m, v = map(mp.mpf, (scale, mean, variance))
        expected = -mp.log1p(-s * v) / 2 + s * m**2 / (2 * (1 - s * v))
    assert expected <= bound <= expected * (1 + mp.mpf("1e-13")) + mp.mpf("1e-300")


def test_square_moment_by_nodes_and_at_the_boundary():
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    residuals = 0.7 + 0.6 * nodes
    expected = math.log((weights * np.exp(0.9 * residuals**2 / 2)).sum() / weights.sum())
    assert log_square_moment(scale=0.9, mean=0.7, variance=0.36) == pytest.approx(expected, rel=1e-12)
    assert log_square_moment(scale=2.0, mean=0.0, variance=0.5) == math.inf
    assert math.isfinite(log_square_moment(scale=2.0, mean=0.0, variance=0.5 - 1e-12))
    assert log_square_moment(scale=0.0, mean=1e200, variance=1e300) == 0.0
    assert log_square_moment(scale=1e300, mean=1e300, variance=1e300) == math.inf


# Composition


def test_orders_follow_the_recursions():
    found = holder_orders(order=3.0, steps=6, power=4.0)
    released = holder_orders(order=3.0, steps=6, power=4.0, order_map="released")
    expected, expected_released = [3.0], [3.0]
    for _ in range(5):
        expected.append(1 + (expected[-1] - 1) * 4 / 3)
        expected_released.append(4 / 3 * expected_released[-1] - 1 / 4)
    assert found[::-1] == pytest.approx(expected, rel=1e-13)
    assert released[::-1] == pytest.approx(expected_released, rel=1e-13)
    assert (released >= found).all()
    assert (holder_orders(order=3.0, steps=6, power=4.0, placement="start") == found[::-1]).all()
    assert (holder_orders(order=3.0, steps=6, power=4.0, rounded=True) == np.ceil(found)).all()
    assert (holder_orders(order=3.0, steps=6, power=math.inf) == 3.0).all()
    assert (np.array(holder_orders(order=2.0, steps=300, power=900.0)) < 2.4).all()


def gaussian_steps(gap_of_step):
    """Steps whose gap does not depend on the position: the moment is that of a constant."""
    return lambda step, order, exponent: exponent * order * gap_of_step(step) ** 2 / 2


@pytest.mark.parametrize("power", [1.3, 4.0, 30.0])
def test_constant_gaps_add_up_at_their_orders(power):
    gaps = np.array([0.3, 1.0, 0.2, 0.7])
    orders = holder_orders(order=3.0, steps=4, power=power)
    bound = compose(gaussian_steps(gaps.__getitem__), order=3.0, steps=4, power=power)
    assert bound == pytest.approx((orders * gaps**2 / 2).sum(), rel=1e-12)
    assert bound > 3 * (gaps**2).sum() / 2  # the exact joint divergence
    with mp.workdps(40):
        growth = mp.mpf(power) / (mp.mpf(power) - 1)
        exact = sum((1 + 2 * growth ** (3 - t)) * mp.mpf(gap) ** 2 / 2 for t, gap in enumerate(gaps))
        assert exact <= bound <= exact * (1 + mp.mpf("1e-12"))
    summed = plain_sum(gradient_norm=gaps[:, None], order=3.0, noise_std=1.0, power=power)
    assert summed == pytest.approx([bound], rel=1e-12)


def kappa_moments(first_gap, slope):
    """Unit noise from 0: a constant gap, then slope * position, whose law under P is N(first_gap, 1)."""

    def log_moment(step, order, exponent):
        if step == 0:
            return exponent * order * first_gap**2 / 2
        return log_square_moment(scale=exponent * order * slope**2, mean=first_gap, variance=1.0)

    return log_moment


def test_released_placement_is_below_the_truth():
    gap, slope, order, power = 2.0, 0.1, 2, 3.0
    s = order * (order - 1) * slope**2
    exact = order * gap**2 / 2 - math.log1p(-s) / 2 + s * (order * gap) ** 2 / (2 * (1 - s))
    assert exact == pytest.approx(4.17336666, abs=5e-9)
    bound = functools.partial(compose, kappa_moments(gap, slope), order=order, steps=2, power=power)
    assert bound() == pytest.approx(5.05286576, abs=5e-9)
    assert bound(order_map="released") == pytest.approx(5.97879168, abs=5e-9)
    refuted = [
        bound(placement="start"),
        bound(placement="start", order_map="released"),
        bound(placement="start", order_map="released", rounded=True),
    ]
    assert refuted == pytest.approx([4.06959878, 4.08427616, 4.11961108], abs=5e-9)
    assert max(refuted) < exact < bound() < bound(order_map="released")
    # Nor is the average over runs of plain sums at the order itself: 2 gap^2/2 + E 2 (slope z)^2/2, z ~ N(gap, 1).
    rng = np.random.default_rng(5)
    positions = gap + rng.standard_normal(200_000)
    losses = plain_sum(
        gradient_norm=np.stack([np.full_like(positions, gap), np.abs(slope * positions)]), order=2, noise_std=1.0
    )
    assert losses.mean() == pytest.approx(4.05, abs=1e-3)
    assert losses.mean() < exact


@pytest.mark.parametrize(
    ("steps", "order", "exact", "published"), [(2, 2, 0.2914626, 0.3015591), (4, 4, 2.1703611, 2.3593776)]
)
def test_published_bent_chains(steps, order, exact, published):
    def gap(y):
        return 0.6 / (1 + np.exp(-2 * y))

    path = ScalarPath(drift=lambda step, y: 0.8 * y, gap=lambda step, y: gap(y), noise_std=1.0, steps=steps)

    def log_moment(step, step_order, exponent):
        return path_log_moment(path, step=step, exponent=lambda y: exponent * step_order * gap(y) ** 2 / 2).value

    bound = compose(log_moment, order=order, steps=steps, power=3 * steps)
    assert bound == pytest.approx(published, abs=5e-8)
    truth = joint_path_renyi(path, order=order)
    assert truth.value == pytest.approx(exact, abs=5e-8)
    for power in (1.5, 3.0, 8.0, 100.0):
        assert truth.value + truth.error < compose(log_moment, order=order, steps=steps, power=power)


@given(st.floats(-0.35, 0.35), st.floats(0, 2), st.floats(1.1, 5), st.floats(1.2, 60))
def test_composition_holds_for_the_two_step_chain(slope, gap, order, power):
    s = order * (order - 1) * slope**2
    exact = math.inf
    if s < 1:
        exact = order * gap**2 / 2 + (-math.log1p(-s) / 2 + s * (order * gap) ** 2 / (2 * (1 - s))) / (order - 1)
    bound = compose(kappa_moments(gap, slope), order=order, steps=2, power=power)
    assert exact <= bound * (1 + 1e-12) + 1e-15  # equality without a second gap, up to rounding of `exact`


def test_composition_infinities_and_shapes():
    moments = {0: [0.0, 1.0, math.inf], 1: [0.0, math.inf, math.inf], 2: [-1e-12, 2.0, 3.0]}
    bound = compose(lambda step, order, exponent: moments[step], order=2, steps=3, power=1.001)
    assert bound[0] <= 1e-300
    assert (bound[1:] == math.inf).all()
    infinite_early = compose(lambda t, order, c: math.inf if t == 0 else 0.0, order=2, steps=90, power=1.001)
    assert infinite_early == math.inf  # its weight underflows


def test_plain_sum_is_the_sum_of_its_steps():
    rng = np.random.default_rng(0)
    norms, std = rng.exponential(size=(5, 3)), np.array([1.0, 1.1, 0.9, 2.0, 1.0])
    orders = holder_orders(order=4, steps=5, power=15.0)
    found = plain_sum(gradient_norm=norms, order=4, noise_std=std, rate=0.2, power=15.0)
    for point in range(3):
        expected = sum(
            sum_rule(order=orders[t], gradient_norm=norms[t, point], noise_std=std[t], rate=0.2) for t in range(5)
        )
        assert found[point] == pytest.approx(expected, rel=1e-13)
    reverse_time = plain_sum(gradient_norm=norms, order=4, noise_std=std, rate=0.2, power=15.0, placement="start")
    assert not np.allclose(reverse_time, found, rtol=1e-3)
    assert plain_sum(gradient_norm=np.zeros((4, 2)), order=3, noise_std=1.0).tolist() == [0.0, 0.0]
    assert plain_sum(gradient_norm=[3.0, 4.0], order=2, noise_std=1.0) == pytest.approx(25.0, rel=1e-14)


def test_small_rate_ranking_is_free_of_order_and_noise():
    # At a small rate and |g| << noise the loss is (a q^2 / (2 noise^2)) sum |g|^2.
    rng = np.random.default_rng(1)
    norms = 0.01 * rng.exponential(size=(40, 200))
    squares = (norms**2).sum(axis=0)
    for order, noise_std in ((2, 1.0), (6, 1.0), (3, 4.0)):
        loss = plain_sum(gradient_norm=norms, order=order, noise_std=noise_std, rate=0.01)
        assert loss == pytest.approx(order * 1e-4 / (2 * noise_std**2) * squares, rel=2e-2)


# Wrong arguments


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: weak_triangle(order=1.0, first=1, second=1), "order = 1.0"),
        (lambda: weak_triangle(order=2.0, first=-1, second=1), "first = -1.0"),
        (lambda: weak_triangle(order=2.0, first=1, second=math.nan), "second = nan"),
        (lambda: weak_triangle(order=2.0, first=1, second=1, split=1.0), "split = 1.0"),
        (lambda: epsilon_simple(order=math.inf, divergence=1, delta=0.1), "order = inf"),
        (lambda: epsilon_simple(order=2, divergence=1, delta=1.1), "delta = 1.1"),
        (lambda: epsilon_improved(order=2, divergence=-0.1, delta=0.1), "divergence = -0.1"),
        (lambda: sum_rule(order=1, gradient_norm=1, noise_std=1), "order = 1"),
        (lambda: sum_rule(order=2, gradient_norm=-1, noise_std=1), "gradient_norm = -1"),
        (lambda: sum_rule(order=2, gradient_norm=1, noise_std=0), "noise_std = 0"),
        (lambda: sum_rule(order=2, gradient_norm=1, noise_std=1, rate=1.5), "rate = 1.5"),
        (lambda: mean_rule(order=1, first=[1], second=[1], noise_std=1), "order = 1"),
        (lambda: mean_rule(order=2, first=[1], second=[[1, 2]], noise_std=1), "second has 2 coordinates"),
        (lambda: mean_rule(order=2, first=[1, 2], first_weights=[1, 1], second=[1], noise_std=1), "first_weights"),
        (lambda: mean_rule(order=40, first=np.arange(50.0), second=[1], noise_std=1), "too many"),
        (lambda: holder_orders(order=2, steps=3, power=1.0), "power = 1.0"),
        (lambda: holder_orders(order=2, steps=0, power=2.0), "steps = 0"),
        (lambda: holder_orders(order=2, steps=3000, power=1.01), "power = 1.01"),
        (lambda: holder_orders(order=2, steps=3, power=2.0, placement="middle"), "placement = 'middle'"),
        (lambda: compose(lambda *_: math.nan, order=2, steps=1, power=2), "log_moment = nan"),
        (lambda: compose(lambda *_: -1.0, order=2, steps=1, power=2), "log_moment = -1.0"),
        (lambda: compose(lambda *_: 0.0, order=2, steps=1, power=math.inf), "power = inf"),
        (lambda: plain_sum(gradient_norm=1.0, order=2, noise_std=1), "gradient_norm has shape"),
        (lambda: plain_sum(gradient_norm=np.ones((3, 2)), order=2, noise_std=[1, 2]), "noise_std has shape"),
        (lambda: log_square_moment(scale=-1, mean=0, variance=1), "scale = -1"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
