"""Certificates of one deletion: never below the exact divergence, and exact where they are known to be."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import linear
from bounds import gaussian_dp
from bounds.deletion import METHODS, calibrate, certify, certify_each
from bounds.deletion.facts import DeletionFacts
from bounds.deletion.methods import DirectionAware, Hull

THREE_ROWS = linear.RidgeProblem(np.array([[1.0, 0], [1, 1], [0, 1]]), np.array([1.0, 2, -1]), ridge=0.5)
SHORT = linear.Schedule(step_size=0.2, learn_steps=3, unlearn_steps=2, learn_noise=0.1, unlearn_noise=0.2)


@st.composite
def deletions(draw):
    """Small problems; leverage from nearly zero to nearly one, noises over decades, steps up to 1/L."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, p, outputs = draw(st.integers(1, 6)), draw(st.integers(1, 4)), draw(st.integers(1, 3))
    features = rng.standard_normal((n, p)) * np.exp(rng.standard_normal((n, 1)))
    targets = rng.standard_normal((n, outputs)) * math.exp(draw(st.floats(-2, 3)))
    initial = rng.standard_normal((p, outputs)) if draw(st.booleans()) else None
    problem = linear.RidgeProblem(features, targets, ridge=math.exp(draw(st.floats(-6, 1))), initial=initial)
    schedule = linear.Schedule(
        step_size=draw(st.floats(0.05, 1.0)) / problem.smoothness,
        learn_steps=draw(st.integers(1, 8)),
        unlearn_steps=draw(st.integers(1, 5)),
        learn_noise=draw(st.sampled_from([0.0, 0.01, 0.3, 2.0])),
        unlearn_noise=math.exp(draw(st.floats(-4, 1))),
    )
    return problem, schedule, draw(st.integers(0, n - 1))


@pytest.mark.parametrize("method", METHODS)
@given(case=deletions(), epsilon=st.sampled_from([0.0, 0.1, 1.0, 4.0, 30.0]), log_delta_s=st.floats(-12, -1))
def test_no_certificate_is_below_the_exact_divergence_in_either_direction(method, case, epsilon, log_delta_s):
    problem, schedule, index = case
    certificate = certify(problem, schedule, index, delta_s=math.exp(log_delta_s), method=method)
    pair = linear.deletion_pair(problem, schedule, index)
    try:
        forward = float(pair.log_hockey_stick(epsilon))
        reverse = float(pair.log_hockey_stick(epsilon, reverse=True))
    except FloatingPointError:
        return
    slack = 1e-9 + 1e-12 * abs(min(forward, reverse, 0.0)) if math.isfinite(min(forward, reverse)) else 1e-9
    assert certificate.log_forward(epsilon) >= forward - slack
    assert certificate.log_reverse(epsilon) >= reverse - slack


def test_reference_values_of_the_three_row_problem():
    # Values written down with the theory, at delta_s = 1e-3 shared by the T-1 random steps; the hull's with the plain
    # factor 1 - eta ridge = 0.9, while the certificate uses the sharper 0.7 that this problem allows.
    facts = DeletionFacts.of(THREE_ROWS, SHORT, 1)
    gap = facts.decay[:, None] * facts.mean_gap
    assert math.sqrt(float(np.sum(gap**2 / facts.reference_variance[:, None]))) == pytest.approx(1.5259217109, abs=1e-9)
    log_delta_s = math.log(1e-3)
    assert DirectionAware(facts, log_delta_s).forward_mu == pytest.approx(2.00196971798, abs=1e-9)
    assert Hull(replace(facts, contraction=0.9), log_delta_s).forward_mu == pytest.approx(3.51374337051, abs=1e-9)
    assert facts.contraction == pytest.approx(0.7, abs=1e-12)
    coupling = certify(THREE_ROWS, SHORT, 1, delta_s=0.0, method="coupling")
    assert coupling.delta(1.0) == pytest.approx(0.351017567344, abs=1e-11)


def test_noiseless_learning_makes_the_unlearning_only_certificate_exact():
    problem = linear.RidgeProblem([[1.0]], [2.0], ridge=1.0)
    schedule = linear.Schedule(step_size=0.25, learn_steps=3, unlearn_steps=2, learn_noise=0.0, unlearn_noise=1.0)
    exact = linear.deletion_pair(problem, schedule, 0)
    for method in METHODS:
        certificate = certify(problem, schedule, 0, delta_s=0.1, method=method)
        assert certificate.delta_s == 0.0
        assert certificate.delta(0.7) == pytest.approx(float(exact.delta(0.7)), rel=1e-9)


def test_parameters_are_ordered_and_best_is_the_smallest_in_each_direction():
    each = certify_each(THREE_ROWS, SHORT, 1, delta_s=1e-3)
    assert each["unlearning_only"].mu >= each["hull"].bound.forward_mu
    for epsilon in (0.0, 0.5, 2.0, 8.0):
        others = [each[m] for m in METHODS if m not in ("best", "adapted")]
        assert each["best"].log_forward(epsilon) == min(c.log_forward(epsilon) for c in others)
        assert each["best"].log_reverse(epsilon) == min(c.log_reverse(epsilon) for c in others)


def test_certify_each_agrees_with_certify():
    each = certify_each(THREE_ROWS, SHORT, 2, delta_s=1e-3)
    for method in METHODS:
        one = certify(THREE_ROWS, SHORT, 2, delta_s=1e-3, method=method)
        assert one.log_delta(1.3) == each[method].log_delta(1.3)


@pytest.mark.parametrize("method", METHODS)
def test_epsilon_is_a_point_where_the_promise_holds_and_hardly_above_the_smallest(method):
    certificate = certify(THREE_ROWS, SHORT, 1, delta_s=1e-6, method=method)
    epsilon = certificate.epsilon(1e-5)
    assert certificate.log_delta(epsilon) <= math.log(1e-5)
    assert certificate.log_delta(epsilon * (1 - 1e-5)) > math.log(1e-5)


def test_epsilon_is_infinite_below_the_failure_budget():
    certificate = certify(THREE_ROWS, SHORT, 1, delta_s=1e-3, method="hull")
    assert certificate.epsilon(1e-4) == math.inf


@pytest.mark.parametrize("method", METHODS)
def test_calibrated_noise_certifies_and_a_little_less_does_not(method):
    target = {"epsilon": 1.0, "delta": 1e-4}
    noise = calibrate(THREE_ROWS, SHORT, 1, method=method, **target)
    assert noise > 0

    def smallest(value):
        schedule = SHORT.with_unlearn_noise(value)
        return min(
            certify(THREE_ROWS, schedule, 1, delta_s=share * 1e-4, method=method).log_delta(1.0)
            for share in (0.02, 0.1, 0.25, 0.5, 0.75, 0.9)
        )

    assert smallest(noise) <= math.log(1e-4)
    assert smallest(noise * (1 - 1e-6)) > math.log(1e-4)
    exact = linear.deletion_pair(THREE_ROWS, SHORT.with_unlearn_noise(noise), 1)
    assert float(exact.delta(1.0)) <= 1e-4


def test_calibration_needs_no_noise_where_learning_noise_suffices():
    problem = linear.RidgeProblem(np.eye(2), [0.1, 0.1], ridge=1.0)
    loud = linear.Schedule(step_size=0.3, learn_steps=20, unlearn_steps=3, learn_noise=5.0, unlearn_noise=0.0)
    assert calibrate(problem, loud, 0, epsilon=30.0, delta=0.01, method="hull") == 0.0
    assert calibrate(problem, loud, 0, epsilon=10.0, delta=0.01, method="hull") > 0.0


def test_the_plain_one_sided_bound_used_for_both_directions_would_be_caught():
    problem = linear.RidgeProblem([[1.0]], [20.0], ridge=1e-3)
    schedule = linear.Schedule(step_size=0.6, learn_steps=2, unlearn_steps=1, learn_noise=1.0, unlearn_noise=0.01)
    hull = certify(problem, schedule, 0, delta_s=1e-6, method="hull")
    reverse = float(linear.deletion_pair(problem, schedule, 0).log_hockey_stick(100.0, reverse=True))
    assert math.exp(reverse) == pytest.approx(0.84356273288, abs=1e-9)
    assert hull.log_forward(100.0) < reverse <= hull.log_reverse(100.0)
    assert math.exp(hull.log_forward(100.0)) == pytest.approx(0.3742794423, abs=1e-8)


def test_the_variant_with_the_smaller_tail_wins_somewhere():
    # Leverage near one and a small epsilon: the reference residual is far larger than the learner's.
    problem = linear.RidgeProblem([[1.0]], [20.0], ridge=1e-3)
    schedule = linear.Schedule(step_size=0.6, learn_steps=6, unlearn_steps=2, learn_noise=1.0, unlearn_noise=3.0)
    bound = certify(problem, schedule, 0, delta_s=1e-6, method="hull").bound
    assert bound.reverse(1.0) < bound.from_reference(1.0)


def test_rescaling_data_and_rotating_features_changes_no_certificate():
    rng = np.random.default_rng(5)
    rotation = np.linalg.qr(rng.standard_normal((2, 2)))[0]
    turned = linear.RidgeProblem(THREE_ROWS.features @ rotation, THREE_ROWS.targets, ridge=0.5)
    scaled = linear.RidgeProblem(THREE_ROWS.features, 3 * THREE_ROWS.targets, ridge=0.5)
    louder = replace(SHORT, learn_noise=0.3, unlearn_noise=0.6)
    permuted = linear.RidgeProblem(THREE_ROWS.features[[2, 1, 0]], THREE_ROWS.targets[[2, 1, 0]], ridge=0.5)
    for method in METHODS:
        value = certify(THREE_ROWS, SHORT, 1, delta_s=1e-3, method=method).log_delta(1.0)
        for problem, schedule in ((turned, SHORT), (scaled, louder), (permuted, SHORT)):
            other = certify(problem, schedule, 1, delta_s=1e-3, method=method).log_delta(1.0)
            assert other == pytest.approx(value, abs=1e-8)


def test_wrong_calls_name_the_argument_the_value_and_the_rule():
    with pytest.raises(ValueError, match="method = 'magic': must be one of"):
        certify(THREE_ROWS, SHORT, 1, delta_s=0.1, method="magic")
    with pytest.raises(ValueError, match=r"delta_s = 1\.5: must lie in"):
        certify(THREE_ROWS, SHORT, 1, delta_s=1.5)
    with pytest.raises(ValueError, match=r"delta_s = 0\.0: must be positive"):
        certify(THREE_ROWS, SHORT, 1, delta_s=0.0, method="hull")
    with pytest.raises(ValueError, match="below 3"):
        certify(THREE_ROWS, SHORT, 3, delta_s=0.1)
    with pytest.raises(ValueError, match="epsilon = -1"):
        calibrate(THREE_ROWS, SHORT, 1, epsilon=-1, delta=0.1)
    with pytest.raises(ValueError, match="delta = 2"):
        calibrate(THREE_ROWS, SHORT, 1, epsilon=1, delta=2)
    with pytest.raises(ValueError, match="unlearn_steps = 0"):
        calibrate(THREE_ROWS, replace(SHORT, unlearn_steps=0), 1, epsilon=1, delta=0.1)


def test_gdp_part_of_the_hull_certificate_is_the_gaussian_curve():
    certificate = certify(THREE_ROWS, SHORT, 1, delta_s=1e-3, method="hull")
    expected = float(gaussian_dp.delta(certificate.bound.forward_mu, 1.0)) + 1e-3
    assert math.exp(certificate.log_forward(1.0)) == pytest.approx(expected, rel=1e-9)


def test_certificates_and_instances_travel_between_processes():
    import pickle

    from paper_checks.families.ridge import RidgeInstance

    certificate = certify(THREE_ROWS, SHORT, 1, delta_s=1e-3)
    assert pickle.loads(pickle.dumps(certificate)).log_delta(1.0) == certificate.log_delta(1.0)
    instance = RidgeInstance(THREE_ROWS, SHORT, 1, 1.0, 1e-3)
    value = instance.certified("best", "forward")
    again = pickle.loads(pickle.dumps(instance))
    assert "certificates" not in again.__dict__ and again.certified("best", "forward") == value


@pytest.mark.parametrize("method", METHODS)
def test_corners_of_the_schedule_and_of_the_data(method):
    rng = np.random.default_rng(1)
    features, targets = rng.standard_normal((6, 3)), rng.standard_normal((6, 2))
    problem = linear.RidgeProblem(features, targets, ridge=0.5)
    with_zero_row = linear.RidgeProblem(np.vstack([np.zeros(3), features]), np.vstack([np.ones(2), targets]), ridge=0.5)
    step = {"step_size": 1 / problem.smoothness, "learn_noise": 0.1, "unlearn_noise": 0.1}
    nothing_learned = linear.Schedule(learn_steps=0, unlearn_steps=5, **step)
    assert certify(problem, nothing_learned, 0, delta_s=1e-6, method=method).epsilon(1e-5) == 0.0
    usual = linear.Schedule(learn_steps=5, unlearn_steps=5, **step)
    assert certify(with_zero_row, usual, 0, delta_s=1e-6, method=method).epsilon(1e-5) == 0.0
    long_steps = replace(usual, step_size=2.5 / problem.smoothness)
    exact = linear.deletion_pair(problem, long_steps, 0).epsilon(1e-5)
    assert exact <= certify(problem, long_steps, 0, delta_s=1e-6, method=method).epsilon(1e-5) < math.inf
    silent = replace(usual, learn_noise=0.0, unlearn_noise=0.0)
    assert certify(problem, silent, 0, delta_s=1e-6, method=method).epsilon(1e-5) == math.inf
