"""Certificates of several deletions: never below the exact divergence, and that of one row where there is one."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import linear
from bounds.batch_sensitivity import norm_law, norm_quantile
from bounds.deletion import (
    METHODS,
    REQUEST_METHODS,
    calibrate,
    calibrate_requests,
    certify,
    certify_requests,
    certify_requests_each,
)
from bounds.deletion.facts import DeletionFacts
from bounds.deletion.request_facts import RequestFacts
from bounds.interpolation import optimal_shifts
from bounds.sensitivity import residual_quantile
from linear.request_residuals import request_residuals
from linear.residuals import reference_residual_moments, residual_moments

FALSE_ALARM = 1e-8


def problem_of(seed, *, n=6, p=3, outputs=2, ridge=0.3, initial=True):
    rng = np.random.default_rng(seed)
    start = 0.3 * rng.normal(size=(p, outputs)) if initial else None
    return linear.RidgeProblem(rng.normal(size=(n, p)), rng.normal(size=(n, outputs)), ridge=ridge, initial=start)


def schedule_of(problem, relative_step=0.9, **changes):
    values = {"learn_steps": 12, "unlearn_steps": 3, "learn_noise": 0.1, "unlearn_noise": 0.2, **changes}
    return linear.Schedule(step_size=relative_step / problem.smoothness, **values)


# The quantile of a sum of noncentral chi-squares ------------------------------------------------------------------


@pytest.mark.parametrize("dof", [1, 2, 10])
@pytest.mark.parametrize("mean", [0.0, 0.9, 5.0, 300.0])
@pytest.mark.parametrize("tail", [0.4, 1e-3, 1e-9, 1e-200])
def test_one_variance_is_the_noncentral_chi(dof, mean, tail):
    expected = residual_quantile(mean, 1.0, dof, log_tail=math.log(tail))
    found = norm_quantile([mean**2], [1.0], dof, math.log(tail))
    assert expected * (1 - 1e-12) <= found <= expected * (1 + 1e-6)
    # Equal variances are more degrees of freedom.
    if dof % 2 == 0:
        split = norm_quantile([0.3 * mean**2, 0.7 * mean**2], [1.0, 1.0], dof // 2, math.log(tail))
        assert expected * (1 - 1e-12) <= split <= expected * (1 + 1e-6)


def test_two_variances_are_an_exponential_mixture():
    """Two columns each and no mean: Q = 2 (t1 E1 + t2 E2), so P(Q > q) = (t1 e^(-q/2t1) - t2 e^(-q/2t2)) / (t1 - t2)."""
    one, two = 1.0, 0.4
    for log_tail in (-1.0, -10.0, -60.0):
        square = float(norm_quantile([0.0, 0.0], [one, two], 2, log_tail)) ** 2
        true = (one * math.exp(-square / (2 * one)) - two * math.exp(-square / (2 * two))) / (one - two)
        assert log_tail - 1e-5 * abs(log_tail) <= math.log(true) <= log_tail + 1e-12


@pytest.mark.statistical
def test_the_quantile_against_samples():
    """A million draws: a tail of 0.001 is seen to 20 %."""
    rng = np.random.default_rng(3)
    shift, theta, columns, runs = np.array([1.5, 0.0, 0.2]), np.array([1.0, 0.3, 0.01]), 3, 1_000_000
    radius = float(norm_quantile(shift, theta, columns, math.log(1e-3)))
    means = np.zeros((3, columns))
    means[:, 0] = np.sqrt(shift)
    draws = means + np.sqrt(theta)[:, None] * rng.standard_normal((runs, 3, columns))
    beyond = int(np.sum(np.sum(draws**2, axis=(1, 2)) > radius**2))
    assert stats.binom.cdf(beyond, runs, 1e-3) > FALSE_ALARM / 2
    assert stats.binom.sf(beyond - 1, runs, 1e-3) > FALSE_ALARM / 2


def test_nothing_random_and_corners():
    assert norm_quantile([9.0, 16.0], [0.0, 0.0], 2, -5.0) == pytest.approx(5.0, rel=1e-14)
    assert norm_quantile([0.0], [1.0], 1, math.log(0.9)) == norm_quantile([0.0], [1.0], 1, math.log(0.5))
    scaled = norm_quantile([1e200, 0.0], [1e200, 1e190], 2, -20.0)
    assert scaled == pytest.approx(1e100 * float(norm_quantile([1.0, 0.0], [1.0, 1e-10], 2, -20.0)), rel=1e-7)
    with pytest.raises(ValueError, match="need a last axis of one length"):
        norm_quantile([1.0], [1.0, 2.0], 1, -5.0)


def test_the_law_of_the_norm_is_that_of_the_sum():
    """Mean and variance of |X_S'R|^2 by formula and from (n, theta, rest)."""
    rng = np.random.default_rng(5)
    rows, mean = rng.normal(size=(2, 4)), rng.normal(size=(1, 2, 3))
    root = rng.normal(size=(2, 2))
    covariance = (root @ root.T)[None]
    shift, theta, rest = norm_law(rows, mean, covariance)
    gram = rows @ rows.T
    expected = float(np.einsum("nic,ij,njc->n", mean, gram, mean)[0]) + 3 * float(np.trace(gram @ covariance[0]))
    assert float(shift.sum() + 3 * theta.sum() + rest.sum()) == pytest.approx(expected, rel=1e-12)
    spread = gram @ covariance[0]
    twice = 4 * float(np.einsum("nic,ij,njc->n", mean, gram @ covariance[0] @ gram, mean)[0])
    assert float((2 * 3 * theta**2 + 4 * shift * theta).sum()) == pytest.approx(
        2 * 3 * float(np.trace(spread @ spread)) + twice, rel=1e-12
    )


# Residuals --------------------------------------------------------------------------------------------------------


def test_residuals_of_one_row_are_those_of_one_deletion():
    problem = problem_of(0)
    schedule = schedule_of(problem)
    for reference, moments in ((False, residual_moments), (True, reference_residual_moments)):
        (found,) = request_residuals(problem, schedule, [2], reference=reference)
        means, variances = moments(problem, schedule, [2])
        np.testing.assert_allclose(found.means[:, 0], means[0], rtol=1e-10, atol=1e-13)
        np.testing.assert_allclose(found.covariances[:, 0, 0], variances[0], rtol=1e-10, atol=1e-16)


@pytest.mark.parametrize("reference", [False, True])
def test_residuals_follow_the_recursion(reference):
    problem = problem_of(1)
    schedule = schedule_of(problem, learn_steps=4)
    requests, noises = [[3, 0], [1], [5]], np.array([0.3, 0.1, 0.2])
    found = request_residuals(problem, schedule, requests, unlearn_noise=noises, reference=reference)
    mean, cov = problem.initial.copy(), np.zeros((3, 3))
    gone, named = set(), {3, 0, 1, 5}
    for phase, steps, noise, newly in zip(found, (4, 3, 3), (0.1, 0.3, 0.1), ([], [3, 0], [1]), strict=True):
        gone |= set(newly)
        rows = [row for row in (3, 0, 1, 5) if row not in gone]
        assert phase.rows == tuple(rows)
        used = [row for row in range(6) if row not in (named if reference else gone)]
        x, y = problem.features[used], problem.targets[used]
        hessian = x.T @ x + problem.ridge * np.eye(3)
        step = np.eye(3) - schedule.step_size * hessian
        for k in range(steps):
            own = problem.features[rows]
            np.testing.assert_allclose(phase.means[k], own @ mean - problem.targets[rows], rtol=1e-10, atol=1e-12)
            np.testing.assert_allclose(phase.covariances[k], own @ cov @ own.T, rtol=1e-10, atol=1e-15)
            mean = step @ mean + schedule.step_size * x.T @ y
            cov = step @ cov @ step + noise**2 * np.eye(3)


# Certificates -----------------------------------------------------------------------------------------------------


def test_one_row_is_certified_as_by_certify():
    problem = problem_of(2)
    schedule = schedule_of(problem)
    each = certify_requests_each(problem, schedule, [1], delta_s=1e-6)
    for method in ("unlearning_only", "hull", "coupling"):
        one = certify(problem, schedule, 1, delta_s=1e-6, method=method)
        for epsilon in (0.0, 0.5, 3.0):
            assert each[method].log_forward(epsilon) == pytest.approx(one.log_forward(epsilon), rel=1e-9)
    aware = certify(problem, schedule, 1, delta_s=1e-6, method="direction_aware")
    assert each["direction_aware"].mu == pytest.approx(aware.bound.forward_mu, rel=1e-10)
    facts, single = RequestFacts.of(problem, schedule, [1]), DeletionFacts.of(problem, schedule, 1)
    assert facts.contraction == pytest.approx(single.contraction, rel=1e-12)


def test_the_coupled_gap_is_that_of_the_recursion():
    """Mean and covariance of X - X' before the last request, both chains with the same noise, column by column."""
    problem = problem_of(3)
    schedule = schedule_of(problem, learn_steps=5)
    requests, noises = [[0, 4], [2], [1]], np.array([0.3, 0.2, 0.7])
    facts = RequestFacts.of(problem, schedule, requests, noises)
    plan, gone = [], set()
    for steps, noise, newly in ((5, 0.1, []), (3, 0.3, [0, 4]), (3, 0.2, [2])):
        gone |= set(newly)
        plan.append((steps, noise, [row for row in range(6) if row not in gone]))
    left = [row for row in range(6) if row not in {0, 4, 2, 1}]

    def step(rows):
        x = problem.features[rows]
        return np.eye(3) - schedule.step_size * (x.T @ x + 0.3 * np.eye(3)), schedule.step_size * x.T @ problem.targets[
            rows
        ]

    mean = np.vstack([problem.initial, problem.initial])
    joint = np.zeros((6, 6))
    both = np.kron(np.ones((2, 2)), np.eye(3))
    for steps, noise, rows in plan:
        (first, pull), (second, other) = step(rows), step(left)
        move = np.block([[first, np.zeros((3, 3))], [np.zeros((3, 3)), second]])
        for _ in range(steps):
            mean = move @ mean + np.vstack([pull, other])
            joint = move @ joint @ move.T + noise**2 * both
    minus = np.hstack([np.eye(3), -np.eye(3)])
    vectors = facts.deletion.reference.eigenvectors
    found_mean, found = facts.coupled_gap
    np.testing.assert_allclose(vectors @ found_mean, minus @ mean, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(vectors @ found @ vectors.T, minus @ joint @ minus.T, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("method", REQUEST_METHODS)
@given(
    seed=st.integers(0, 10**6),
    requests=st.sampled_from([((0, 1),), ((0,), (1,)), ((1, 2), (0,)), ((2,), (1,), (0,)), ((0,),)]),
    epsilon=st.sampled_from([0.0, 0.5, 2.0, 20.0]),
    learn_noise=st.sampled_from([0.0, 0.05, 1.0]),
    relative_step=st.floats(0.1, 1.0),
)
def test_no_certificate_is_below_the_exact_divergence(method, seed, requests, epsilon, learn_noise, relative_step):
    problem = problem_of(seed, n=3 + seed % 3, p=1 + seed % 3, outputs=1 + seed % 2)
    schedule = schedule_of(problem, relative_step, learn_steps=1 + seed % 6, learn_noise=learn_noise)
    noises = 0.05 * 3.0 ** np.arange(len(requests))
    certificate = certify_requests(problem, schedule, requests, delta_s=1e-3, method=method, unlearn_noise=noises)
    pair = linear.sequential_deletion_pair(problem, schedule, requests, unlearn_noise=noises)
    try:
        forward, reverse = (float(pair.log_hockey_stick(epsilon, side)) for side in (False, True))
    except FloatingPointError:
        return
    for promised, true in ((certificate.log_forward(epsilon), forward), (certificate.log_reverse(epsilon), reverse)):
        assert promised >= true - 1e-9 - 1e-11 * abs(true if math.isfinite(true) else 0.0)


def test_shifts_of_a_sum_cost_at_most_the_sum():
    """Why the whole history is accounted for at once: mu is subadditive in the sensitivities."""
    rng = np.random.default_rng(0)
    strict = 0
    for _ in range(200):
        steps = int(rng.integers(1, 12))
        first, second = rng.exponential(size=(2, steps)) * (rng.random((2, steps)) < 0.6)
        noise, contraction = rng.exponential(size=steps) + 0.01, rng.uniform(0.3, 1.0, steps)
        joint = optimal_shifts(first + second, noise, contraction).mu
        apart = optimal_shifts(first, noise, contraction).mu + optimal_shifts(second, noise, contraction).mu
        assert joint <= apart * (1 + 1e-12)
        strict += joint < apart * (1 - 1e-3)
    assert strict > 20


def test_calibrated_noise_certifies_and_a_little_less_does_not():
    problem = problem_of(4)
    schedule = schedule_of(problem)
    noise, certificate = calibrate_requests(problem, schedule, [0, 1], epsilon=1.0, delta=1e-4, earlier_noise=[0.2])
    assert certificate.holds(1.0, math.log(1e-4))
    exact = linear.sequential_deletion_pair(problem, schedule, [0, 1], unlearn_noise=[0.2, noise])
    assert float(exact.delta(1.0)) <= 1e-4
    less = min(
        certify_requests(
            problem, schedule, [0, 1], delta_s=share * 1e-4, unlearn_noise=[0.2, noise * (1 - 1e-6)]
        ).log_delta(1.0)
        for share in (0.02, 0.1, 0.25, 0.5, 0.75, 0.9)
    )
    assert less > math.log(1e-4)
    alone, _ = calibrate_requests(problem, schedule, [3], epsilon=1.0, delta=1e-4, method="coupling")
    assert alone == pytest.approx(calibrate(problem, schedule, 3, epsilon=1.0, delta=1e-4, method="coupling"), rel=1e-7)


def test_no_noise_is_needed_where_the_noise_before_suffices():
    problem = linear.RidgeProblem(0.05 * np.eye(3), [0.1, 0.1, 0.1], ridge=1.0)
    schedule = schedule_of(problem, learn_noise=5.0, learn_steps=20)
    noise, certificate = calibrate_requests(problem, schedule, [[0, 1]], epsilon=5.0, delta=0.01)
    assert noise == 0.0
    assert certificate.holds(5.0, math.log(0.01))


def test_bad_calls_are_refused():
    problem = problem_of(6)
    schedule = schedule_of(problem)
    with pytest.raises(ValueError, match="method = 'whole': must be one of unlearning_only, hull"):
        certify_requests(problem, schedule, [0], delta_s=0.1, method="whole")
    with pytest.raises(ValueError, match="delta_s = 0: must be positive"):
        certify_requests(problem, schedule, [0], delta_s=0)
    with pytest.raises(ValueError, match="delta_s = 1: must lie in"):
        certify_requests(problem, schedule, [0], delta_s=1)
    with pytest.raises(ValueError, match="unlearn_steps = 0"):
        calibrate_requests(problem, replace(schedule, unlearn_steps=0), [0], epsilon=1.0, delta=0.1)
    with pytest.raises(ValueError, match="unlearn_noise has 1 entries: must have one per request, 2"):
        calibrate_requests(problem, schedule, [0, 1], epsilon=1.0, delta=0.1)
    assert "whole_horizon" in METHODS


def test_the_reverse_direction_pays_for_its_tail():
    """A row that outweighs all: the bound of the forward direction is below the exact divergence of the reverse one."""
    problem = linear.RidgeProblem([[1.0], [0.001]], [20.0, 0.0], ridge=1e-3)
    schedule = linear.Schedule(step_size=0.3, learn_steps=3, unlearn_steps=1, learn_noise=1.0, unlearn_noise=0.1)
    exact = float(linear.batch_deletion_pair(problem, schedule, [0, 1]).log_hockey_stick(100.0, reverse=True))
    for method in ("direction_aware", "best"):
        certificate = certify_requests(problem, schedule, [[0, 1]], delta_s=1e-6, method=method)
        assert certificate.log_forward(100.0) < exact - 0.1
        assert certificate.log_reverse(100.0) >= exact
