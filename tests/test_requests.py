"""Several rows deleted, together and one after another: exact laws against the recursion at 50 digits."""

import math
from dataclasses import replace

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_simulation import FALSE_ALARM, p_value

import linear
from linear._deletion import Deletion
from linear._gap import whitened_gap
from linear.enclosure import enclose_deletion, enclose_requests
from linear.ridge import RidgeProblem
from linear.schedule import Schedule


def problem_of(seed, *, n=7, p=3, outputs=2, ridge=0.3, deleted_scale=1.0, deleted=3):
    """Random data; the tests delete among the first `deleted` rows."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, p))
    features[:deleted] *= deleted_scale
    return RidgeProblem(
        features, rng.normal(size=(n, outputs)), ridge=ridge, initial=0.3 * rng.normal(size=(p, outputs))
    )


def schedule_of(problem, relative_step=1.0, *, learn=12, unlearn=3, learn_noise=0.1, unlearn_noise=0.2):
    return Schedule(
        step_size=relative_step / problem.smoothness,
        learn_steps=learn,
        unlearn_steps=unlearn,
        learn_noise=learn_noise,
        unlearn_noise=unlearn_noise,
    )


def precise_whitened(problem, schedule, requests, noises):
    """Ascending excesses and the squared shifts that belong to them, step by step in the ambient precision."""
    x, y = mp.matrix(problem.features.tolist()), mp.matrix(problem.targets.tolist())
    step, identity = mp.mpf(schedule.step_size), mp.eye(problem.n_features)
    left = list(range(problem.n_points))
    sets, plan = [list(left)], [(schedule.learn_steps, schedule.learn_noise)]
    for group, noise in zip(requests, noises, strict=True):
        left = [row for row in left if row not in group]
        sets.append(list(left))
        plan.append((schedule.unlearn_steps, noise))

    def law(row_sets):
        mean, cov = mp.matrix(problem.initial.tolist()), mp.zeros(problem.n_features)
        for rows, (steps, noise) in zip(row_sets, plan, strict=True):
            hessian, cross = mp.mpf(problem.ridge) * identity, mp.zeros(problem.n_features, problem.n_outputs)
            for row in rows:
                hessian += x[row, :].T * x[row, :]
                cross += x[row, :].T * y[row, :]
            factor = identity - step * hessian
            for _ in range(steps):
                mean = factor * mean + step * cross
                cov = factor * cov * factor + mp.mpf(noise) ** 2 * identity
        return mean, cov

    (mean_p, cov_p), (mean_q, cov_q) = law(sets), law([left] * len(sets))
    inverse = mp.cholesky(cov_q) ** -1
    excess, directions = mp.eigsy(inverse * (cov_p - cov_q) * inverse.T)
    shift = directions.T * inverse * (mean_p - mean_q)
    return list(excess), [mp.fsum(entry**2 for entry in shift[j, :]) for j in range(len(excess))]


def assert_gap_is_exact(problem, schedule, requests, noises=None, *, digits=12, largest_error=1e-11):
    """Excesses to `digits` of the largest, ratios of themselves, the shift in total and weighted by excess.

    And the errors that come with them bound the true ones, without being so large as to say nothing.
    """
    noises = [schedule.unlearn_noise] * len(requests) if noises is None else noises
    found = whitened_gap(Deletion.of_requests(problem, schedule, requests, noises))
    order = np.argsort(found.excess)
    found_excess, ratio, found_shift, excess_error = (
        [mp.mpf(float(value)) for value in array[order]]
        for array in (found.excess, found.ratio, found.shift_squared, found.errors[1])
    )
    with mp.workdps(50):
        excess, shift = precise_whitened(problem, schedule, requests, noises)
        largest = max(map(abs, excess))
        for j, true in enumerate(excess):
            assert abs(found_excess[j] - true) <= mp.mpf(10) ** -digits * largest
            assert abs(found_excess[j] - true) <= excess_error[j]
            assert abs(ratio[j] - (1 + true)) <= mp.mpf(10) ** -digits * (1 + true)
        for power in (0, 1, 2):
            expected = mp.fsum(n * e**power for n, e in zip(shift, excess, strict=True))
            total = mp.fsum(n * e**power for n, e in zip(found_shift, found_excess, strict=True))
            size = mp.fsum(n * abs(e) ** power for n, e in zip(shift, excess, strict=True))
            assert abs(total - expected) <= mp.mpf(10) ** -digits * size
        assert abs(mp.fsum(found_shift) - mp.fsum(shift)) <= float(np.sum(found.errors[0]))
    assert np.all(found.errors[1] <= largest_error * np.max(np.abs(found.excess)))
    assert np.sum(found.errors[0]) <= largest_error * np.sum(found.shift_squared)


@pytest.mark.parametrize("deleted_scale", [1.0, 1e-3, 1e-9])
@pytest.mark.parametrize("requests", [[[0, 1, 2]], [[0], [1], [2]], [[2, 0], [1]]], ids=str)
def test_the_gap_keeps_its_digits_however_small(requests, deleted_scale):
    problem = problem_of(5, deleted_scale=deleted_scale)
    assert_gap_is_exact(problem, schedule_of(problem), requests)


@settings(max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    size=st.tuples(st.integers(4, 6), st.integers(2, 3), st.integers(1, 2)),
    phases=st.tuples(st.integers(0, 7), st.integers(1, 4)),
    relative_step=st.floats(0.05, 2.05),
    scale=st.sampled_from([1e-4, 1.0, 10.0]),
    requests=st.sampled_from([[[0, 1]], [[1], [0]], [[0, 1, 2]], [[2], [0, 1]], [[0], [1], [2]]]),
)
def test_the_gap_is_exact_for_any_problem(seed, size, phases, relative_step, scale, requests):
    (n, p, outputs), (learn, unlearn) = size, phases
    problem = problem_of(seed, n=n, p=p, outputs=outputs, deleted_scale=scale)
    schedule = schedule_of(problem, relative_step, learn=learn, unlearn=unlearn)
    # Three rows of ten times the size of the only other one: the account of errors is that of the worst.
    noises = 0.05 * 3.0 ** np.arange(len(requests))
    assert_gap_is_exact(problem, schedule, requests, noises, largest_error=1e-10)


def test_one_row_is_the_deletion_of_one_row():
    problem = problem_of(2)
    schedule = schedule_of(problem, learn=40)
    one = linear.deletion_pair(problem, schedule, 1)
    for other in (
        linear.batch_deletion_pair(problem, schedule, [1]),
        linear.sequential_deletion_pair(problem, schedule, [1]),
        linear.sequential_deletion_pair(problem, schedule, [[1]], unlearn_noise=0.2),
    ):
        for epsilon in (0.0, 0.5, 2.0, 20.0):
            for reverse in (False, True):
                expected = one.log_hockey_stick(epsilon, reverse)
                assert other.log_hockey_stick(epsilon, reverse) == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_a_row_of_zeros_changes_nothing():
    problem = problem_of(3)
    features = problem.features.copy()
    features[2] = 0.0
    problem = RidgeProblem(features, problem.targets, ridge=0.3)
    schedule = schedule_of(problem)
    alone = linear.deletion_pair(problem, schedule, 0)
    both = linear.batch_deletion_pair(problem, schedule, [2, 0])
    assert both.log_hockey_stick(0.7) == pytest.approx(alone.log_hockey_stick(0.7), rel=1e-12)


def test_order_within_a_request_does_not_matter_and_between_requests_does():
    problem = problem_of(4)
    schedule = schedule_of(problem)
    batch = linear.batch_deletion_pair(problem, schedule, [0, 1, 2])
    again = linear.batch_deletion_pair(problem, schedule, [2, 0, 1])
    assert again.log_hockey_stick(1.0) == pytest.approx(batch.log_hockey_stick(1.0), rel=1e-12)
    first = linear.sequential_deletion_pair(problem, schedule, [0, 1])
    second = linear.sequential_deletion_pair(problem, schedule, [1, 0])
    assert abs(first.log_hockey_stick(1.0) - second.log_hockey_stick(1.0)) > 1e-3


def test_two_copies_deleted_together_are_one_row_of_twice_the_weight():
    rng = np.random.default_rng(0)
    features, targets = rng.normal(size=(6, 3)), rng.normal(size=(6, 1))
    features[1], targets[1] = features[0], targets[0]
    copies = RidgeProblem(features, targets, ridge=0.2)
    weighted_x, weighted_y = features[1:].copy(), targets[1:].copy()
    weighted_x[0] *= math.sqrt(2)
    weighted_y[0] *= math.sqrt(2)
    weighted = RidgeProblem(weighted_x, weighted_y, ridge=0.2)
    schedule = schedule_of(copies)
    both = linear.batch_deletion_pair(copies, schedule, [0, 1])
    heavy = linear.deletion_pair(weighted, schedule, 0)
    for epsilon in (0.0, 1.0, 5.0):
        assert both.log_hockey_stick(epsilon) == pytest.approx(heavy.log_hockey_stick(epsilon), rel=1e-11)


def test_later_steps_hide_more():
    """The promise to those deleted so far never decays: a last request for a row of zeros only adds common steps."""
    problem = problem_of(6)
    features = problem.features.copy()
    features[2] = 0.0
    problem = RidgeProblem(features, problem.targets, ridge=0.3)
    schedule = schedule_of(problem)
    before = linear.sequential_deletion_pair(problem, schedule, [0, 1])
    after = linear.sequential_deletion_pair(problem, schedule, [0, 1, 2])
    for epsilon in (0.0, 0.5, 2.0):
        for reverse in (False, True):
            assert after.log_hockey_stick(epsilon, reverse) < before.log_hockey_stick(epsilon, reverse)


@pytest.mark.parametrize("requests", [[[0, 2]], [[1], [0, 2]]], ids=str)
@pytest.mark.parametrize("reverse", [False, True])
def test_certified_intervals_hold_the_exact_value(requests, reverse):
    problem = problem_of(7, n=5, p=2)
    schedule = schedule_of(problem, learn=4, unlearn=2)
    noises = 0.1 + 0.2 * np.arange(len(requests))
    lower, upper = enclose_requests(problem, schedule, requests, 0.8, unlearn_noise=noises, reverse=reverse)
    pair = linear.sequential_deletion_pair(problem, schedule, requests, unlearn_noise=noises)
    assert upper - lower < 1e-11
    assert lower - 1e-10 <= pair.log_hockey_stick(0.8, reverse) <= upper + 1e-10
    single = enclose_deletion(problem, schedule, 0, 0.8, reverse=reverse)
    assert single == enclose_requests(problem, schedule, [[0]], 0.8, reverse=reverse)


@pytest.mark.statistical
def test_the_chain_that_serves_two_requests_has_the_exact_laws():
    """20000 runs: a variance off by 5 % or a mean off by 0.04 deviations is certain to be seen."""
    problem = problem_of(8, n=4, p=2)
    schedule = schedule_of(problem, learn=4, unlearn=3, learn_noise=0.4)
    noises = [0.3, 0.5]
    laws = linear.sequential_deletion_pair(problem, schedule, [1, 0], unlearn_noise=noises)
    unlearned, reference = linear.simulate_requests(problem, schedule, [1, 0], 20_000, 3, unlearn_noise=noises)
    first, whitened = p_value(unlearned, laws.mean_p, laws.cov_p)
    second, _ = p_value(reference, laws.mean_q, laws.cov_q, partner=whitened)
    assert first > FALSE_ALARM / 2
    assert second > FALSE_ALARM / 2
    wrong, _ = linear.simulate_requests(problem, schedule, [0, 1], 20_000, 3, unlearn_noise=noises)
    assert p_value(wrong, laws.mean_p, laws.cov_p)[0] < FALSE_ALARM


def test_a_last_request_without_noise_leaves_the_divergence_of_before():
    """The last steps are one invertible map for both chains."""
    problem = problem_of(9)
    schedule = schedule_of(problem, 0.7)
    silent = linear.sequential_deletion_pair(problem, schedule, [0, 1], unlearn_noise=[0.2, 0.0])
    skipped = linear.sequential_deletion_pair(
        problem, replace(schedule, unlearn_steps=3), [0, 1], unlearn_noise=[0.2, 1e-9]
    )
    assert silent.log_hockey_stick(0.5) == pytest.approx(skipped.log_hockey_stick(0.5), rel=1e-9)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda p, s: linear.batch_deletion_pair(p, s, []), ValueError, r"indices\[0\] is empty: every request"),
        (lambda p, s: linear.batch_deletion_pair(p, s, [0, 0]), ValueError, "indices names point 0 twice"),
        (lambda p, s: linear.sequential_deletion_pair(p, s, []), ValueError, "requests is empty: there must be"),
        (lambda p, s: linear.sequential_deletion_pair(p, s, [[0], [1, 0]]), ValueError, "names point 0 twice"),
        (lambda p, s: linear.sequential_deletion_pair(p, s, [0, 9]), ValueError, r"requests\[1\] = 9: must be below 7"),
        (lambda p, s: linear.sequential_deletion_pair(p, s, "01"), TypeError, "requests = '01': must be a sequence"),
        (
            lambda p, s: linear.sequential_deletion_pair(p, s, [0, 1], unlearn_noise=[0.1]),
            ValueError,
            "unlearn_noise has 1 entries: must have one per request, 2",
        ),
        (
            lambda p, s: linear.sequential_deletion_pair(p, s, [0, 1], unlearn_noise=[0.1, -0.1]),
            ValueError,
            "unlearn_noise holds -0.1: no entry may be negative",
        ),
        (
            lambda p, s: linear.sequential_deletion_pair(p, replace(s, learn_noise=0), [0, 1], unlearn_noise=0),
            ValueError,
            "no noise is ever added, the laws are points",
        ),
    ],
)
def test_errors_say_what_is_wrong(call, error, message):
    problem = problem_of(1)
    with pytest.raises(error, match=message):
        call(problem, schedule_of(problem))
