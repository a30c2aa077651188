"""Joint-path and end-point divergences of state-dependent chains, on grids and by the exact linear recursion."""

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from linear.gaussian_path import LinearStep, linear_path_renyi
from linear.gaussian_renyi import gaussian_renyi, scalar_renyi
from linear.scalar_path import ScalarPath, end_point_renyi, joint_path_renyi, path_log_moment

REFERENCE = json.loads((Path(__file__).parent / "reference" / "renyi.json").read_text())


def bent(steps):
    """Drift 0.8 y and a gap that switches on to the right: not Gaussian after the first step."""
    return ScalarPath(
        drift=lambda step, y: 0.8 * y, gap=lambda step, y: 0.6 / (1 + np.exp(-2 * y)), noise_std=1.0, steps=steps
    )


def two_steps(second_slope=0.1):
    """A constant gap of 2, then a gap proportional to the position."""
    return ScalarPath(
        drift=lambda step, y: 0.0,
        gap=lambda step, y: 2.0 if step == 0 else second_slope * y,
        noise_std=1.0,
        steps=2,
    )


def linear(steps, slope):
    return ScalarPath(
        drift=lambda step, y: 0.8 * y + 0.1,
        gap=lambda step, y: slope * y + 0.2,
        noise_std=0.7,
        steps=steps,
        start_mean=0.4,
        start_std=0.3,
    )


def stacked_renyi(steps, order, start_mean, start_cov, reverse):
    """The joint path as one Gaussian vector per law."""
    size, laws = len(start_mean), []
    for with_gap in (True, False):
        mean, cov = np.array(start_mean, dtype=float), np.array(start_cov, dtype=float)
        for step in steps:
            move = step.transition + with_gap * step.gap_slope
            shift = step.offset + with_gap * step.gap_offset
            across = cov[:, -size:] @ move.T
            corner = move @ cov[-size:, -size:] @ move.T + step.noise_cov
            mean = np.concatenate([mean, move @ mean[-size:] + shift])
            cov = np.block([[cov, across], [across.T, corner]])
        laws.append((mean, cov))
    p, q = laws[::-1] if reverse else laws
    return gaussian_renyi(*p, *q, order=order)


@pytest.mark.parametrize("case", REFERENCE["bent_paths"])
def test_bent_chain_is_the_product_of_raw_kernels(case):
    found = joint_path_renyi(bent(case["steps"]), order=case["order"])
    assert found.value == pytest.approx(case["value"], abs=1e-10)
    assert found.error < 1e-9


def test_published_bent_chains():
    assert joint_path_renyi(bent(2), order=2).value == pytest.approx(0.2914626, abs=5e-8)
    assert joint_path_renyi(bent(4), order=4).value == pytest.approx(2.1703611, abs=5e-8)


def test_published_two_step_chain():
    # (a-1) D = a (a-1) g^2 / 2 + log E exp(s z^2 / 2), z ~ N(a g, 1), s = a (a-1) slope^2
    expected = 2 * 4 / 2 - math.log(1 - 0.02) / 2 + 0.02 * 16 / (2 * 0.98)
    assert expected == pytest.approx(4.17336666, abs=5e-9)
    found = joint_path_renyi(two_steps(), order=2)
    assert abs(found.value - expected) <= found.error < 1e-9


@pytest.mark.parametrize("order", [1.3, 1.7, 2.0])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("slope", [-0.2, 0.05, 0.15])
def test_linear_chain_three_ways(order, reverse, slope):
    steps = [LinearStep(0.8, slope, 0.49, 0.1, 0.2)] * 5
    exact = linear_path_renyi(steps, order=order, start_mean=0.4, start_cov=0.09, reverse=reverse)
    matrices = [LinearStep(*(np.full((1, 1), v) for v in (0.8, slope, 0.49)), np.array([0.1]), np.array([0.2]))] * 5
    assert exact == pytest.approx(stacked_renyi(matrices, order, [0.4], [[0.09]], reverse), rel=1e-10)
    found = joint_path_renyi(linear(5, slope), order=order, reverse=reverse)
    assert abs(found.value - exact) <= found.error + 1e-14
    assert found.error < 1e-9


@pytest.mark.parametrize("reverse", [False, True])
def test_end_point_of_a_linear_chain_is_gaussian(reverse):
    laws = []
    for slope, offset in ((0.95, 0.3), (0.8, 0.1)):
        mean, variance = 0.4, 0.09
        for _ in range(5):
            mean, variance = slope * mean + offset, slope**2 * variance + 0.49
        laws.append((mean, variance))
    p, q = laws[::-1] if reverse else laws
    found = end_point_renyi(linear(5, 0.15), order=1.8, reverse=reverse)
    assert abs(found.value - scalar_renyi(*p, *q, order=1.8)) <= found.error < 1e-9


@pytest.mark.parametrize("reverse", [False, True])
def test_end_point_knows_less_than_the_path(reverse):
    for steps, order in ((1, 3.0), (3, 2.0), (6, 4.0)):
        end = end_point_renyi(bent(steps), order=order, reverse=reverse)
        joint = joint_path_renyi(bent(steps), order=order, reverse=reverse)
        if steps == 1:
            assert end.value == pytest.approx(joint.value, abs=1e-11)
        else:
            assert end.value < joint.value - 1e-3


def test_infinite_paths_are_refused_by_the_grid_and_infinite_in_closed_form():
    # 1 - 2 A w <= 0 at the last recursion: a (a-1) slope^2 >= 1.
    def exact(slope):
        steps = [LinearStep(0.0, 0.0, 1.0, 0.0, 2.0), LinearStep(0.0, slope, 1.0)]
        return linear_path_renyi(steps, order=2, start_mean=0.0, start_cov=0.0)

    threshold = 1 / math.sqrt(2)
    assert exact(threshold * 1.0000001) == math.inf
    assert math.isfinite(exact(threshold * 0.9999999))
    with pytest.raises(FloatingPointError, match="infinite"):
        joint_path_renyi(two_steps(threshold * 1.01), order=2)
    with pytest.raises(FloatingPointError, match="infinite"):
        end_point_renyi(linear(5, 0.15), order=6)
    with pytest.raises(FloatingPointError, match="infinite"):
        path_log_moment(two_steps(), step=1, exponent=lambda y: 0.51 * y**2)


def test_a_start_that_is_spread_can_make_it_infinite():
    step = [LinearStep(0.5, 0.3, 1.0)]

    def exact(variance):
        return linear_path_renyi(step, order=2, start_mean=0.0, start_cov=variance)

    assert exact(0.0) == 0.0  # at the start point the gap is 0
    assert exact(1.0) == pytest.approx(-math.log(1 - 2 * 0.09) / 2, rel=1e-13)
    assert exact(1 / 0.18) == math.inf


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("reverse", [False, True])
def test_matrix_recursion_is_the_stacked_gaussian(size, reverse):
    rng = np.random.default_rng(size)
    outcomes = []
    for scale in (0.01, 0.05, 0.2, 0.6):
        steps = []
        for _ in range(4):
            root = rng.normal(size=(size, size))
            noise = root @ root.T + 0.3 * np.eye(size)
            move, slope = 0.5 * rng.normal(size=(size, size)), scale * rng.normal(size=(size, size))
            steps.append(LinearStep(move, slope, noise, rng.normal(size=size), scale * rng.normal(size=size)))
        root, mean = rng.normal(size=(size, size)), rng.normal(size=size)
        start = root @ root.T + 0.1 * np.eye(size)
        for order in (1.2, 2.0, 4.0):
            found = linear_path_renyi(steps, order=order, start_mean=mean, start_cov=start, reverse=reverse)
            expected = stacked_renyi(steps, order, mean, start, reverse)
            outcomes.append(math.isinf(found))
            assert found == pytest.approx(expected, rel=1e-8)
    assert True in outcomes
    assert False in outcomes


def test_moments_along_the_chain():
    path = linear(3, 0.15)
    for law, (slope, offset) in {"p": (0.95, 0.3), "q": (0.8, 0.1)}.items():
        mean, variance = 0.4, 0.09
        for step in range(4):
            s = 0.8 / (1 + 2 * variance)
            expected = -math.log(1 - s * variance) / 2 + s * mean**2 / (2 * (1 - s * variance))
            found = path_log_moment(path, step=step, exponent=lambda y, s=s: s * y**2 / 2, law=law)
            assert abs(found.value - expected) <= found.error < 1e-9
            mean, variance = slope * mean + offset, slope**2 * variance + 0.49


def test_kinks_are_answered_with_an_honest_error():
    threshold, clip, order = 0.3, 1.0, 3
    path = ScalarPath(
        drift=lambda step, y: 0.5 * y,
        gap=lambda step, y: 0.0 if step == 0 else np.clip(y - threshold, -clip, clip),
        noise_std=1.0,
        steps=2,
        start_mean=0.2,
    )

    def tilted(z):
        return norm.pdf(z, 0.1) * math.exp(order * (order - 1) * np.clip(z - threshold, -clip, clip) ** 2 / 2)

    kinks = (-12, threshold - clip, threshold, threshold + clip, 12)
    moment = sum(quad(tilted, low, high, epsabs=1e-13)[0] for low, high in itertools.pairwise(kinks))
    found = joint_path_renyi(path, order=order)
    assert abs(found.value - math.log(moment) / (order - 1)) <= found.error < 1e-3


def test_weight_far_from_the_chain_is_followed():
    # Tilted to order 9, the path ends 9 gaps of 3 away.
    path = ScalarPath(drift=lambda step, y: y, gap=lambda step, y: 3.0, noise_std=1.0, steps=6)
    assert joint_path_renyi(path, order=9).value == pytest.approx(6 * 9 * 9 / 2, rel=1e-12)
    assert end_point_renyi(path, order=2).value == pytest.approx(2 * 18**2 / (2 * 6), rel=1e-10)


def test_no_gap_no_divergence():
    path = ScalarPath(drift=lambda step, y: np.sin(y), gap=lambda step, y: 0.0, noise_std=0.5, steps=4)
    assert joint_path_renyi(path, order=3).value < 1e-12
    assert end_point_renyi(path, order=3).value < 1e-12


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="noise_std = 0"):
        ScalarPath(drift=lambda t, y: y, gap=lambda t, y: y, noise_std=0.0, steps=2)
    with pytest.raises(ValueError, match="steps = 0"):
        ScalarPath(drift=lambda t, y: y, gap=lambda t, y: y, noise_std=1.0, steps=0)
    with pytest.raises(ValueError, match="order = 1"):
        joint_path_renyi(bent(2), order=1)
    with pytest.raises(ValueError, match="law = 'r'"):
        path_log_moment(bent(2), step=1, exponent=lambda y: y, law="r")
    with pytest.raises(ValueError, match="step = 3"):
        path_log_moment(bent(2), step=3, exponent=lambda y: y)
    broken = ScalarPath(drift=lambda t, y: y * math.nan, gap=lambda t, y: y, noise_std=1.0, steps=2)
    with pytest.raises(ValueError, match="drift: must be finite"):
        joint_path_renyi(broken, order=2)
    with pytest.raises(ValueError, match="noise_cov"):
        linear_path_renyi([LinearStep(1.0, 0.0, 0.0)], order=2, start_mean=0.0, start_cov=0.0)
    with pytest.raises(ValueError, match="transition has shape"):
        linear_path_renyi([LinearStep(np.eye(2), 0.0, 1.0)], order=2, start_mean=0.0, start_cov=0.0)
    with pytest.raises(ValueError, match="start_cov"):
        linear_path_renyi([LinearStep(1.0, 0.0, 1.0)], order=2, start_mean=0.0, start_cov=-1.0)
