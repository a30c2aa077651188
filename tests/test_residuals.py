"""Residual moments, of all points at once, against the chain of each point stepped by itself."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linear import residuals
from linear.ridge import RidgeProblem
from linear.schedule import Schedule


def problem_of(seed, *, n=6, p=4, outputs=2, ridge=0.3):
    rng = np.random.default_rng(seed)
    return RidgeProblem(
        rng.normal(size=(n, p)), rng.normal(size=(n, outputs)), ridge=ridge, initial=rng.normal(size=(p, outputs))
    )


def schedule_of(problem, relative_step=1.0, *, learn=15, learn_noise=0.1):
    return Schedule(
        step_size=relative_step / problem.smoothness,
        learn_steps=learn,
        unlearn_steps=2,
        learn_noise=learn_noise,
        unlearn_noise=0.2,
    )


def stepped(problem, schedule, index, keep):
    """Means (T, C) and variances (T,) of point `index`'s residual along the chain on the rows `keep`."""
    x, y = problem.features[keep], problem.targets[keep]
    row, target = problem.features[index], problem.targets[index]
    identity = np.eye(problem.n_features)
    mean, cov = problem.initial, np.zeros_like(identity)
    factor = identity - schedule.step_size * (x.T @ x + problem.ridge * identity)
    means, variances = [], []
    for _ in range(schedule.learn_steps):
        means.append(row @ mean - target)
        variances.append(row @ cov @ row)
        mean = factor @ mean + schedule.step_size * x.T @ y
        cov = factor @ cov @ factor + schedule.learn_noise**2 * identity
    return np.array(means), np.array(variances)


@given(
    seed=st.integers(0, 10**6),
    shape=st.tuples(st.integers(1, 7), st.integers(1, 6), st.integers(1, 3)),
    learn=st.integers(1, 25),
    relative_step=st.floats(0.05, 2.1),
    ridge=st.sampled_from([1e-4, 1.0]),
)
def test_moments_are_those_of_the_stepped_chain(seed, shape, learn, relative_step, ridge):
    n, p, outputs = shape
    problem = problem_of(seed, n=n, p=p, outputs=outputs, ridge=ridge)
    schedule = schedule_of(problem, relative_step, learn=learn)
    for moments, keep_own in (
        (residuals.residual_moments, True),
        (residuals.reference_residual_moments, False),
    ):
        means, variances = moments(problem, schedule)
        assert means.shape == (n, learn, outputs)
        assert variances.shape == (n, learn)
        for index in range(n):
            keep = np.ones(n, dtype=bool)
            keep[index] = keep_own
            true_means, true_variances = stepped(problem, schedule, index, keep)
            np.testing.assert_allclose(means[index], true_means, rtol=0, atol=1e-10 * (1 + np.max(np.abs(true_means))))
            np.testing.assert_allclose(variances[index], true_variances, rtol=1e-10, atol=1e-300)


def test_some_points_in_any_order():
    problem = problem_of(1)
    schedule = schedule_of(problem)
    for moments in (residuals.residual_moments, residuals.reference_residual_moments):
        everything, some = moments(problem, schedule), moments(problem, schedule, [4, 1, 4])
        for whole, part in zip(everything, some, strict=True):
            np.testing.assert_allclose(part, whole[[4, 1, 4]], rtol=1e-12)
        assert moments(problem, schedule, [])[0].shape == (0, 15, 2)


def test_blocks_of_steps_change_nothing(monkeypatch):
    problem = problem_of(2)
    schedule = schedule_of(problem, 1.4)
    for moments in (residuals.residual_moments, residuals.reference_residual_moments):
        whole = moments(problem, schedule)
        monkeypatch.setattr(residuals, "_BLOCK_ENTRIES", 20)  # two steps at a time
        for first, second in zip(whole, moments(problem, schedule), strict=True):
            np.testing.assert_allclose(first, second, rtol=1e-12, atol=1e-15)
        monkeypatch.undo()


def test_the_first_residual_is_certain():
    problem = problem_of(3)
    schedule = schedule_of(problem)
    for moments in (residuals.residual_moments, residuals.reference_residual_moments):
        means, variances = moments(problem, schedule)
        np.testing.assert_allclose(means[:, 0], problem.features @ problem.initial - problem.targets, rtol=1e-12)
        np.testing.assert_array_equal(variances[:, 0], 0.0)


def test_no_learning_and_no_noise():
    problem = problem_of(4)
    for moments in (residuals.residual_moments, residuals.reference_residual_moments):
        means, variances = moments(problem, schedule_of(problem, learn=0))
        assert means.shape == (6, 0, 2)
        assert variances.shape == (6, 0)
        np.testing.assert_array_equal(moments(problem, schedule_of(problem, learn_noise=0.0))[1], 0.0)


def test_long_learning_reaches_the_leave_one_out_residual():
    """The reference residual settles at the leave-one-out residual, 1 / (1 - leverage) times the residual on all."""
    problem = problem_of(5, n=8)
    schedule = schedule_of(problem, learn=600)
    on_all, _ = residuals.residual_moments(problem, schedule)
    on_rest, _ = residuals.reference_residual_moments(problem, schedule)
    left = 1 - problem.leverage()
    np.testing.assert_allclose(on_rest[:, -1], on_all[:, -1] / left[:, None], rtol=1e-9)


def test_refusals():
    problem = problem_of(6)
    with pytest.raises(ValueError, match="indices holds 6: every entry must be at least 0 and below 6"):
        residuals.residual_moments(problem, schedule_of(problem), [6])
    with pytest.raises(FloatingPointError, match=r"step_size \* smoothness = 3 is above 2"):
        residuals.reference_residual_moments(problem, schedule_of(problem, 3.0, learn=1000))
