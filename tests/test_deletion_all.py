"""Certificates of many deletions at once: those of each deletion by itself, and never below the exact divergence."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import linear
from bounds.deletion import (
    METHODS,
    Certificates,
    certificate,
    certify,
    certify_all,
    certify_each,
    certify_requests_each,
    facts,
    methods,
)
from bounds.deletion.facts import DeletionFacts
from linear.datasets import load


def problem_of(seed, n=9, p=4, outputs=2, ridge=0.3, decay=0.6):
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((n, p)) * decay ** np.arange(p) * np.exp(rng.standard_normal((n, 1)))
    return linear.RidgeProblem(features, rng.standard_normal((n, outputs)), ridge=ridge)


def schedule_of(problem, relative=1.0, **changes):
    known = {"learn_steps": 6, "unlearn_steps": 3, "learn_noise": 0.1, "unlearn_noise": 0.2} | changes
    return linear.Schedule(step_size=relative / problem.smoothness, **known)


@pytest.fixture(scope="module")
def digits():
    data = load("digits")
    problem = linear.RidgeProblem(data.train_features, data.train_targets, ridge=1.0)
    schedule = schedule_of(problem, learn_steps=60, unlearn_steps=10, learn_noise=0.01, unlearn_noise=0.01)
    return problem, schedule


# What "adapted" leaves out depends on the points worked on together; tests/test_adapted.py compares it with one alone.
ALIKE = tuple(method for method in METHODS if method != "adapted")


@pytest.mark.parametrize("method", ALIKE)
@settings(max_examples=4)
@given(
    seed=st.integers(0, 2**32 - 1),
    relative=st.sampled_from([0.1, 1.0, 2.3]),
    learn_noise=st.sampled_from([0.0, 0.05, 1.0]),
    learn_steps=st.integers(0, 7),
    unlearn_steps=st.integers(0, 4),
    epsilon=st.sampled_from([0.0, 0.3, 2.0, 20.0]),
)
def test_each_is_that_of_the_point_alone(method, seed, relative, learn_noise, learn_steps, unlearn_steps, epsilon):
    problem = problem_of(seed)
    steps = {"learn_steps": learn_steps, "unlearn_steps": unlearn_steps + (learn_steps == 0)}
    schedule = schedule_of(problem, relative, learn_noise=learn_noise, **steps)
    many = certify_all(problem, schedule, [5, 0, 8], delta_s=1e-4, method=method, chunk=2)
    assert many.indices.tolist() == [5, 0, 8]
    for name, value in (("log_forward", epsilon), ("log_reverse", epsilon), ("log_delta", epsilon), ("delta", epsilon)):
        found = getattr(many, name)(value)
        assert found.shape == (3,)
        for k, index in enumerate(many.indices):
            one = certify(problem, schedule, int(index), delta_s=1e-4, method=method)
            assert found[k] == pytest.approx(getattr(one, name)(value), rel=1e-9, abs=1e-12)
    for k, index in enumerate(many.indices):
        one = certify(problem, schedule, int(index), delta_s=1e-4, method=method)
        assert many.delta_s == one.delta_s
        assert many.mu[k] == pytest.approx(one.mu, rel=1e-9, nan_ok=True)
        alone = one.epsilon(1e-3)
        assert many.epsilon(1e-3)[k] == pytest.approx(alone, rel=1e-2)
        assert many.epsilon(1e-3)[k] >= alone * (1 - 1e-7)
        assert many.holds(epsilon, -3.0)[k] == one.holds(epsilon, -3.0)


@pytest.mark.parametrize("method", ALIKE)
def test_digits_agree_with_single_certificates_and_are_never_below_the_exact_laws(method, digits):
    problem, schedule = digits
    rng = np.random.default_rng(3)
    indices = np.sort(rng.choice(problem.n_points, 150, replace=False))
    many = certify_all(problem, schedule, indices, delta_s=5e-6, method=method)
    forward, reverse, epsilon = many.log_forward(1.0), many.log_reverse(1.0), many.epsilon(1e-5)
    for k in (0, 40, 149):
        one = certify(problem, schedule, int(indices[k]), delta_s=5e-6, method=method)
        for found, alone in ((forward[k], one.log_forward(1.0)), (reverse[k], one.log_reverse(1.0))):
            assert found == pytest.approx(alone, rel=1e-9)
        assert epsilon[k] == pytest.approx(one.epsilon(1e-5), rel=2e-3)
        pair = linear.deletion_pair(problem, schedule, int(indices[k]))
        assert forward[k] >= pair.log_hockey_stick(1.0)
        assert reverse[k] >= pair.log_hockey_stick(1.0, reverse=True)
        assert epsilon[k] >= pair.epsilon(1e-5)


def test_epsilon_of_many_is_where_the_promise_holds(digits):
    problem, schedule = digits
    for method in ALIKE:
        many = certify_all(problem, schedule, np.arange(4), delta_s=5e-6, method=method)
        for k, epsilon in enumerate(many.epsilon(1e-5)):
            assert many.log_delta(float(epsilon))[k] <= math.log(1e-5) * (1 - 1e-9)


def test_the_chunk_changes_nothing_and_progress_is_told(digits):
    problem, schedule = digits
    told = []
    some = certify_all(problem, schedule, np.arange(10), delta_s=5e-6, method="best", chunk=4)
    other = certify_all(
        problem, schedule, np.arange(10), delta_s=5e-6, chunk=100, progress=lambda *now: told.append(now)
    )
    np.testing.assert_allclose(some.log_delta(0.5), other.log_delta(0.5), rtol=1e-10)
    assert told == [(10, 10)] * 2


def test_spaces_that_are_too_small_are_enlarged(digits, monkeypatch):
    problem, schedule = digits
    indices = np.arange(6)
    expected = certify_all(problem, schedule, indices, delta_s=5e-6).log_delta(1.0)
    monkeypatch.setattr(certificate, "FIRST_RANK", 3)
    np.testing.assert_allclose(
        certify_all(problem, schedule, indices, delta_s=5e-6).log_delta(1.0), expected, rtol=1e-9
    )
    # An estimate that sees nothing missing would let the small space pass, and the promise would be another one.
    monkeypatch.setattr(facts, "_missed", lambda space, schedule: np.zeros(len(space.row)))
    assert np.all(np.abs(certify_all(problem, schedule, indices, delta_s=5e-6).log_delta(1.0) / expected - 1) > 1e-6)


def test_small_spaces_that_end_early_and_rows_of_zeros():
    features = np.vstack([np.zeros(3), np.eye(3), [[1.0, 1.0, 0.0]]])
    problem = linear.RidgeProblem(features, np.arange(5.0), ridge=0.5)
    schedule = schedule_of(problem)
    for method in ALIKE:
        many = certify_all(problem, schedule, delta_s=1e-6, method=method)
        assert isinstance(many, Certificates) and len(many) == 5
        assert many.epsilon(1e-5)[0] == 0.0
        for index in range(1, 5):
            exact = linear.deletion_pair(problem, schedule, index)
            assert many.log_forward(0.5)[index] >= exact.log_hockey_stick(0.5) - 1e-9
            assert many.log_reverse(0.5)[index] >= exact.log_hockey_stick(0.5, reverse=True) - 1e-9


def test_without_unlearning_noise_what_unlearning_shrinks_still_tells():
    # One direction is all but forgotten in every step, 1e-8 of it is kept: after K = 30 steps its gap and its standard
    # deviation are both below 1e-200, and their ratio is what counts.
    problem = linear.RidgeProblem(np.diag([1.0, 0.1]), np.array([3.0, 1.0]), ridge=1e-3)
    schedule = linear.Schedule(
        step_size=(1 - 1e-8) / (1.0 + 1e-3), learn_steps=4, unlearn_steps=30, learn_noise=0.3, unlearn_noise=0.0
    )
    exact = linear.deletion_pair(problem, schedule, 1)
    for name in ("hull", "direction_aware"):
        certified = certify(problem, schedule, 1, delta_s=1e-3, method=name)
        assert certified.log_forward(0.1) >= float(exact.log_hockey_stick(0.1))
    problem = linear.RidgeProblem(np.array([[1.0], [1.0]]), np.array([3.0, 1.0]), ridge=1e-3)
    schedule = replace(schedule, step_size=(1 - 1e-8) / (1.0 + 1e-3))
    exact = linear.deletion_pair(problem, schedule, 0)
    assert DeletionFacts.of(problem, schedule, 0).decay[0] ** 2 == 0.0
    for side, reverse in (("log_forward", False), ("log_reverse", True)):
        certified = certify(problem, schedule, 0, delta_s=1e-3, method="direction_aware")
        assert getattr(certified, side)(0.1) >= float(exact.log_hockey_stick(0.1, reverse=reverse)) > -30


@pytest.mark.parametrize("kept", [1e-3, 1e-6, 1e-8, 1e-12])
@pytest.mark.parametrize("noise", [0.0, 1e-200])
def test_without_unlearning_noise_nothing_is_promised_that_is_not_so(kept, noise):
    problem = linear.RidgeProblem(np.array([[1.0], [1.0]]), np.array([3.0, 1.0]), ridge=1e-3)
    schedule = linear.Schedule(
        step_size=(1 - kept) / (1.0 + 1e-3), learn_steps=4, unlearn_steps=30, learn_noise=0.3, unlearn_noise=noise
    )
    exact = linear.deletion_pair(problem, replace(schedule, unlearn_noise=0.0), 0)
    alone = certify_each(problem, schedule, 0, delta_s=1e-3)
    for method, one in (*alone.items(), *certify_requests_each(problem, schedule, [0], delta_s=1e-3).items()):
        if noise > 0 and method != "coupling":
            continue  # this little noise may be a lot where 1e-240 is left
        assert one.log_forward(0.1) >= float(exact.log_hockey_stick(0.1)), method
        assert one.log_reverse(0.1) >= float(exact.log_hockey_stick(0.1, reverse=True)), method


def test_a_method_for_single_deletions_serves_many(digits, monkeypatch):
    problem, schedule = digits
    expected = certify_all(problem, schedule, np.arange(3), delta_s=5e-6, method="hull")
    monkeypatch.setitem(certificate._BUILDERS, "hull", methods.each(methods.Hull))
    lifted = certify_all(problem, schedule, np.arange(3), delta_s=5e-6, method="hull")
    np.testing.assert_allclose(lifted.mu, expected.mu, rtol=1e-9)
    np.testing.assert_allclose(lifted.log_delta(2.0), expected.log_delta(2.0), rtol=1e-9)
    np.testing.assert_allclose(lifted.epsilon(1e-5), expected.epsilon(1e-5), rtol=2e-3)


def test_wrong_calls_name_the_argument_the_value_and_the_rule():
    problem = problem_of(0)
    schedule = schedule_of(problem)
    with pytest.raises(ValueError, match="indices holds 9: must be at least 0 and below 9"):
        certify_all(problem, schedule, [1, 9], delta_s=0.1)
    with pytest.raises(TypeError, match="indices has type float64"):
        certify_all(problem, schedule, [1.0], delta_s=0.1)
    with pytest.raises(ValueError, match="method = 'magic'"):
        certify_all(problem, schedule, delta_s=0.1, method="magic")
    with pytest.raises(ValueError, match=r"delta = 2\.0: must lie strictly"):
        certify_all(problem, schedule, [1], delta_s=0.1).epsilon(2.0)
    assert certify_all(problem, schedule, [], delta_s=0.1).log_delta(1.0).shape == (0,)


def test_all_methods_at_once_are_each_by_itself(digits):
    problem, schedule = digits
    indices = np.arange(0, 1500, 100)
    each = certificate.certify_all_each(problem, schedule, indices, delta_s=5e-6, chunk=7)
    together = certificate.epsilon_each(each, 1e-5)
    own = np.linspace(0.1, 0.6, len(indices))
    for method in ALIKE:
        alone = certify_all(problem, schedule, indices, delta_s=5e-6, method=method)
        np.testing.assert_allclose(together[method], alone.epsilon(1e-5), rtol=1e-6)
        assert each[method].delta_s == alone.delta_s and each[method].method == method
        forward, reverse = each[method].log_forward(own), each[method].log_reverse(own)
        for k in (0, 9):
            one = certify(problem, schedule, int(indices[k]), delta_s=5e-6, method=method)
            assert forward[k] == pytest.approx(one.log_forward(float(own[k])), rel=1e-8)
            assert reverse[k] == pytest.approx(one.log_reverse(float(own[k])), rel=1e-3)
            assert reverse[k] >= one.log_reverse(float(own[k])) * (1 + 1e-8)
    with pytest.raises(ValueError, match=r"epsilon has shape \(2,\): must be one number or have shape \(15,\)"):
        each["hull"].log_delta(np.array([0.1, 0.2]))
