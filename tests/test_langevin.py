"""Exact laws of a deletion against step-by-step recursions at 50 digits, and what must not change them."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from linear import langevin
from linear.ridge import RidgeProblem
from linear.schedule import Schedule

WORKED = RidgeProblem([[1, 0], [1, 1], [0, 1]], [1, 2, -1], ridge=0.5)
WORKED_SCHEDULE = Schedule(step_size=0.2, learn_steps=3, unlearn_steps=2, learn_noise=0.1, unlearn_noise=0.2)


def problem_of(seed, *, n=6, p=3, outputs=2, ridge=0.3, deleted_scale=1.0):
    """Random data; row 0 is the one the tests delete."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, p))
    features[0] *= deleted_scale
    return RidgeProblem(
        features, rng.normal(size=(n, outputs)), ridge=ridge, initial=0.3 * rng.normal(size=(p, outputs))
    )


def schedule_of(problem, relative_step=1.0, *, learn=20, unlearn=4, learn_noise=0.1, unlearn_noise=0.2):
    return Schedule(
        step_size=relative_step / problem.smoothness,
        learn_steps=learn,
        unlearn_steps=unlearn,
        learn_noise=learn_noise,
        unlearn_noise=unlearn_noise,
    )


def precise_laws(problem, schedule, index):
    """(mean, cov) of P and of Q by the step-by-step recursion, in the ambient mpmath precision."""
    x, y = mp.matrix(problem.features.tolist()), mp.matrix(problem.targets.tolist())
    row, target = x[index, :], y[index, :]
    step, identity = mp.mpf(schedule.step_size), mp.eye(problem.n_features)
    everything = (x.T * x + mp.mpf(problem.ridge) * identity, x.T * y)
    remaining = (everything[0] - row.T * row, everything[1] - row.T * target)
    learn = (schedule.learn_steps, schedule.learn_noise)
    unlearn = (schedule.unlearn_steps, schedule.unlearn_noise)

    def law(phases):
        mean, cov = mp.matrix(problem.initial.tolist()), mp.zeros(problem.n_features)
        for (hessian, cross), (steps, noise) in phases:
            factor = identity - step * hessian
            for _ in range(steps):
                mean = factor * mean + step * cross
                cov = factor * cov * factor + mp.mpf(noise) ** 2 * identity
        return mean, cov

    return law([(everything, learn), (remaining, unlearn)]), law([(remaining, learn), (remaining, unlearn)])


def precise_whitened(problem, schedule, index):
    """Ascending excesses and the squared shifts that belong to them, at 50 digits."""
    (mean_p, cov_p), (mean_q, cov_q) = precise_laws(problem, schedule, index)
    inverse = mp.cholesky(cov_q) ** -1
    excess, directions = mp.eigsy(inverse * (cov_p - cov_q) * inverse.T)
    shift = directions.T * inverse * (mean_p - mean_q)
    return list(excess), [mp.fsum(entry**2 for entry in shift[j, :]) for j in range(len(excess))]


def assert_whitened_is_exact(problem, schedule, index=0, *, digits=12, ratio_digits=12, largest_error=1e-11):
    """Every excess to `digits` of the largest, every ratio of itself, shifts in total and weighted by excess.

    And the errors that come with them bound the true ones, without being so large as to say nothing.
    """
    found = langevin.whitened_gap(problem, schedule, index)
    order = np.argsort(found.excess)
    found_excess, ratio, found_shift, excess_error = (
        [mp.mpf(float(value)) for value in array[order]]
        for array in (found.excess, found.ratio, found.shift_squared, found.errors[1])
    )
    with mp.workdps(50):
        excess, shift = precise_whitened(problem, schedule, index)
        largest = max(map(abs, excess))
        for j, true in enumerate(excess):
            assert abs(found_excess[j] - true) <= mp.mpf(10) ** -digits * largest
            assert abs(found_excess[j] - true) <= excess_error[j]
            assert abs(ratio[j] - (1 + true)) <= mp.mpf(10) ** -ratio_digits * (1 + true)
        for power in (0, 1, 2):
            expected = mp.fsum(n * e**power for n, e in zip(shift, excess, strict=True))
            total = mp.fsum(n * e**power for n, e in zip(found_shift, found_excess, strict=True))
            size = mp.fsum(n * abs(e) ** power for n, e in zip(shift, excess, strict=True))
            assert abs(total - expected) <= mp.mpf(10) ** -digits * size
        assert abs(mp.fsum(found_shift) - mp.fsum(shift)) <= float(np.sum(found.errors[0]))
    assert found.columns == problem.n_outputs
    assert np.all(found.errors[1] <= largest_error * np.max(np.abs(found.excess)))
    assert np.sum(found.errors[0]) <= largest_error * np.sum(found.shift_squared)


def invariants(problem, schedule, index):
    """What a choice of coordinates cannot change: excesses, and moments of the shift in their spectrum."""
    whitened = langevin.deletion_pair(problem, schedule, index).whitened
    weights = whitened.excess[None, :] ** np.arange(3)[:, None]
    return np.sort(whitened.excess), weights @ whitened.shift_squared


def assert_same_pair(first, second):
    np.testing.assert_allclose(first[0], second[0], rtol=0, atol=1e-12 * np.max(np.abs(first[0])))
    np.testing.assert_allclose(first[1], second[1], rtol=1e-11)


def test_a_worked_example():
    mean_p, cov_p, mean_q, cov_q = langevin.exact_laws(WORKED, WORKED_SCHEDULE, 1)
    np.testing.assert_allclose(mean_p, [[0.82706], [-0.28218]], rtol=1e-13)
    np.testing.assert_allclose(mean_q, [[0.55462], [-0.55462]], rtol=1e-13)
    off, on = -0.000758716, 0.0629952541
    np.testing.assert_allclose(cov_p, [[on, off], [off, on]], atol=1e-10)
    np.testing.assert_allclose(cov_q, 0.0637539701 * np.eye(2), atol=1e-10)
    whitened = langevin.deletion_pair(WORKED, WORKED_SCHEDULE, 1).whitened
    assert np.sqrt(np.sum(whitened.shift_squared)) == pytest.approx(1.5259217109, rel=1e-10)
    np.testing.assert_allclose(np.sort(whitened.ratio), [0.976198627354, 1.0], rtol=1e-12)


def test_the_divergences_of_the_worked_example():
    pair = langevin.deletion_pair(WORKED, WORKED_SCHEDULE, 1)
    assert pair.log_hockey_stick(1.0) == pytest.approx(-1.10496763237, rel=1e-11)
    assert pair.log_hockey_stick(1.0, reverse=True) == pytest.approx(-1.08636892845, rel=1e-11)


@pytest.mark.parametrize("relative_step", [0.4, 1.0, 1.5, 1.95, 2.2])
@pytest.mark.parametrize(("learn", "unlearn"), [(20, 4), (7, 0), (1, 3), (0, 5), (33, 1)])
def test_laws_are_the_recursion(relative_step, learn, unlearn):
    problem = problem_of(4)
    schedule = schedule_of(problem, relative_step, learn=learn, unlearn=unlearn)
    mean_p, cov_p, mean_q, cov_q = langevin.exact_laws(problem, schedule, 0)
    with mp.workdps(50):
        expected = precise_laws(problem, schedule, 0)
    for found, exact in zip(((mean_p, cov_p), (mean_q, cov_q)), expected, strict=True):
        for value, true in zip(found, exact, strict=True):
            true = np.array(true.tolist(), dtype=float)
            assert np.linalg.norm(value - true) <= 1e-12 * np.linalg.norm(true)


@pytest.mark.parametrize("deleted_scale", [1.0, 1e-3, 1e-9])
@pytest.mark.parametrize("relative_step", [0.4, 1.0, 1.5, 1.95, 2.2])
def test_the_gap_keeps_its_digits_however_small(relative_step, deleted_scale):
    problem = problem_of(5, deleted_scale=deleted_scale)
    assert_whitened_is_exact(problem, schedule_of(problem, relative_step))


@given(
    seed=st.integers(0, 10**6),
    size=st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, 3)),
    phases=st.tuples(st.integers(0, 12), st.integers(1, 6)),
    relative_step=st.floats(0.05, 2.1),
    scales=st.tuples(st.sampled_from([1e-4, 1.0, 30.0]), st.sampled_from([1e-4, 1.0, 30.0])),
)
def test_the_gap_is_exact_for_any_problem(seed, size, phases, relative_step, scales):
    (n, p, outputs), (learn, unlearn) = size, phases
    problem = problem_of(seed, n=n, p=p, outputs=outputs, ridge=scales[0], deleted_scale=scales[1])
    schedule = schedule_of(problem, relative_step, learn=learn, unlearn=unlearn)
    # A direction that a single step all but wipes out is known to fewer digits: a test of its own.
    assume(np.min(np.abs(1.0 - schedule.step_size * problem.without(0).eigenvalues)) > 0.05)
    assert_whitened_is_exact(problem, schedule)


@pytest.mark.parametrize(("ridge", "scale"), [(1e-4, 1e-4), (30.0, 1.0), (1.0, 1e-3)])
@pytest.mark.parametrize("unlearn", [1, 3])
def test_a_direction_almost_wiped_out_is_known_as_well_as_it_says(ridge, scale, unlearn):
    """One direction, of reference rate near 1: what is left of it after a step is mostly the rounding of the rate."""
    shares = []
    for seed in range(12):
        problem = problem_of(seed, n=1, p=1, outputs=1, ridge=ridge, deleted_scale=scale)
        schedule = schedule_of(problem, learn=2, unlearn=unlearn)
        found = langevin.whitened_gap(problem, schedule, 0)
        with mp.workdps(150):  # the reference subtracts, and what is left is of the order of (1 - rate)^(2 unlearn)
            (excess,), (shift,) = precise_whitened(problem, schedule, 0)
            for value, true, error in (
                (found.shift_squared[0], shift, found.errors[0][0]),
                (found.excess[0], excess, found.errors[1][0]),
            ):
                shares.append(float(abs(mp.mpf(float(value)) - true) / mp.mpf(float(error))))
    assert 0.005 < max(shares) <= 1.0


@pytest.mark.parametrize(
    ("learn", "unlearn", "learn_noise", "unlearn_noise"),
    [(20, 0, 0.1, 0.0), (20, 3, 0.1, 0.0), (20, 3, 1e-8, 0.5), (20, 3, 0.5, 1e-8), (1, 0, 0.1, 0.2), (2, 1, 0.1, 0.2)],
)
def test_phases_and_noises_at_their_limits(learn, unlearn, learn_noise, unlearn_noise):
    problem = problem_of(6, deleted_scale=0.1)
    schedule = schedule_of(
        problem, 0.9, learn=learn, unlearn=unlearn, learn_noise=learn_noise, unlearn_noise=unlearn_noise
    )
    if learn == 1:  # one step from a point: the same noise enters both chains
        whitened = langevin.deletion_pair(problem, schedule, 0).whitened
        np.testing.assert_array_equal(whitened.excess, 0.0)
    else:
        assert_whitened_is_exact(problem, schedule)


def test_a_shrinking_phase_too_long_for_doubles():
    """Without unlearning noise the unlearning phase is invertible: the gap is that of learning, though a^K is 0."""
    problem = problem_of(7)
    short = schedule_of(problem, 0.9, unlearn=0, unlearn_noise=0.0)
    long = schedule_of(problem, 0.9, unlearn=3000, unlearn_noise=0.0)
    for_short = langevin.deletion_pair(problem, short, 0).whitened
    for_long = langevin.deletion_pair(problem, long, 0).whitened
    np.testing.assert_array_equal(for_long.excess, for_short.excess)
    np.testing.assert_allclose(for_long.shift_squared, for_short.shift_squared, rtol=1e-12)


def test_leverage_near_one_keeps_the_small_ratio():
    """A row alone in its direction: learning with it forgets what learning without it keeps, so the ratio is 1e-3."""
    features = [[1.0, 0.0, 0.0], [0.0, 1e-3, 2e-3], [0.0, 2e-3, 0.0]]
    problem = RidgeProblem(features, [20.0, 1.0, 1.0], ridge=1e-6)
    schedule = schedule_of(problem, 0.9999, learn=900, unlearn=0)
    with mp.workdps(50):
        assert min(precise_whitened(problem, schedule, 0)[0]) < -0.998
    assert_whitened_is_exact(problem, schedule, digits=13, ratio_digits=13, largest_error=1e-9)


def test_nothing_learned_or_nothing_noisy_leaves_the_covariances_equal():
    problem = problem_of(8)
    untouched = langevin.deletion_pair(problem, schedule_of(problem, learn=0), 0).whitened
    np.testing.assert_array_equal(untouched.shift_squared, 0.0)
    np.testing.assert_array_equal(untouched.excess, 0.0)
    quiet = langevin.deletion_pair(problem, schedule_of(problem, learn_noise=0.0), 0).whitened
    np.testing.assert_array_equal(quiet.excess, 0.0)
    assert np.sum(quiet.shift_squared) > 0


def test_deleting_the_only_point():
    """Means 16.78 and 0, variances 1.158 and 1.997: a leverage of one and no data left."""
    problem = RidgeProblem([[1.0]], [20.0], ridge=1e-3)
    schedule = Schedule(step_size=0.6, learn_steps=2, unlearn_steps=1, learn_noise=1.0, unlearn_noise=0.01)
    mean_p, cov_p, mean_q, cov_q = langevin.exact_laws(problem, schedule, 0)
    assert mean_p[0, 0] == pytest.approx(16.78272432, rel=1e-13)
    assert mean_q[0, 0] == 0.0
    assert cov_p[0, 0] == pytest.approx(1.1582293530, rel=1e-9)
    assert cov_q[0, 0] == pytest.approx(1.9965025191, rel=1e-9)
    assert_whitened_is_exact(problem, schedule)


def test_rotated_features_give_the_same_pair():
    problem, rng = problem_of(9, n=8, p=5), np.random.default_rng(0)
    schedule = schedule_of(problem, 1.2)
    rotation = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    rotated = RidgeProblem(
        problem.features @ rotation, problem.targets, ridge=problem.ridge, initial=rotation.T @ problem.initial
    )
    assert_same_pair(invariants(problem, schedule, 0), invariants(rotated, schedule, 0))


def test_the_order_of_the_rows_does_not_matter():
    problem = problem_of(10)
    schedule, order = schedule_of(problem), np.array([3, 5, 0, 2, 1, 4])
    shuffled = RidgeProblem(
        problem.features[order], problem.targets[order], ridge=problem.ridge, initial=problem.initial
    )
    assert_same_pair(invariants(problem, schedule, 0), invariants(shuffled, schedule, 2))


def test_two_copies_of_a_row_are_one_row_of_twice_the_weight():
    problem = problem_of(11)
    twice = RidgeProblem(
        np.vstack([problem.features, problem.features[3]]),
        np.vstack([problem.targets, problem.targets[3]]),
        ridge=problem.ridge,
        initial=problem.initial,
    )
    features, targets = problem.features.copy(), problem.targets.copy()
    features[3] *= np.sqrt(2)
    targets[3] *= np.sqrt(2)
    heavy = RidgeProblem(features, targets, ridge=problem.ridge, initial=problem.initial)
    schedule = schedule_of(twice)
    assert_same_pair(invariants(twice, schedule, 0), invariants(heavy, schedule, 0))


def test_units_do_not_matter():
    """Data and penalty in other units with the step to match, and weights with their noise in other units."""
    problem = problem_of(12)
    schedule = schedule_of(problem, 0.8)
    expected = invariants(problem, schedule, 0)
    scaled = RidgeProblem(
        30 * problem.features, 30 * problem.targets, ridge=900 * problem.ridge, initial=problem.initial
    )
    assert_same_pair(expected, invariants(scaled, schedule_of(scaled, 0.8), 0))
    louder = RidgeProblem(problem.features, 1e3 * problem.targets, ridge=0.3, initial=1e3 * problem.initial)
    assert_same_pair(expected, invariants(louder, schedule_of(louder, 0.8, learn_noise=100.0, unlearn_noise=200.0), 0))


def test_the_exact_law_map_takes_the_learned_law_to_the_reference():
    problem = problem_of(13, p=4)
    schedule = schedule_of(problem, 1.3)
    matrix, offset = langevin.exact_law_map(problem, schedule, 0)
    hessian, cov, mean = problem.hessian, np.zeros((4, 4)), problem.initial
    for _ in range(schedule.learn_steps):
        mean = mean - schedule.step_size * (hessian @ mean - problem.cross)
        factor = np.eye(4) - schedule.step_size * hessian
        cov = factor @ cov @ factor + schedule.learn_noise**2 * np.eye(4)
    with mp.workdps(50):
        _, reference = precise_laws(problem, schedule, 0)
    target_mean, target_cov = (np.array(value.tolist(), dtype=float) for value in reference)
    np.testing.assert_allclose(matrix @ mean + offset, target_mean, rtol=1e-11)
    np.testing.assert_allclose(matrix @ cov @ matrix.T, target_cov, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(matrix, sqrtm(target_cov) @ np.linalg.inv(sqrtm(cov)), rtol=1e-9, atol=1e-12)


def test_the_exact_law_map_needs_a_learned_law_with_noise():
    for change in ({"learn": 0}, {"learn_noise": 0.0}):
        with pytest.raises(ValueError, match="the learned law is a point"):
            langevin.exact_law_map(WORKED, schedule_of(WORKED, **change), 0)


def test_degenerate_references_are_refused():
    silent = schedule_of(WORKED, learn_noise=0.0, unlearn_noise=0.0)
    with pytest.raises(ValueError, match=r"learn_noise = 0.0 in 20 steps, unlearn_noise = 0.0 in 4: no noise is ever"):
        langevin.deletion_pair(WORKED, silent, 1)
    # Without row 1 the Hessian is 1.5 I, and a step of 2/3 forgets everything.
    wiped = Schedule(step_size=2 / 3, learn_steps=3, unlearn_steps=1, learn_noise=0.1, unlearn_noise=0.0)
    with pytest.raises(ValueError, match=r"unlearn_noise = 0 and step_size = 0.666\d+: .* wipes out that direction"):
        langevin.deletion_pair(WORKED, wiped, 1)
    # The laws themselves exist all the same, and noise in the unlearning phase is all it takes.
    np.testing.assert_allclose(langevin.exact_laws(WORKED, wiped, 1).cov_q, 0.0, atol=1e-30)
    assert langevin.deletion_pair(WORKED, wiped.with_unlearn_noise(0.1), 1).whitened.columns == 1


def test_divergence_is_refused():
    langevin.deletion_pair(WORKED, schedule_of(WORKED, 2.7, learn=26), 1)
    with pytest.raises(FloatingPointError, match=r"step_size \* smoothness = 3 is above 2: the chain grows beyond"):
        langevin.deletion_pair(WORKED, schedule_of(WORKED, 3.0, learn=2000), 1)
    with pytest.raises(FloatingPointError, match=r"variance ratio .* is too long to resolve the other directions"):
        langevin.deletion_pair(WORKED, schedule_of(WORKED, 2.7, learn=34), 1)


@pytest.mark.parametrize(("deleted_scale", "refused"), [(1.0, False), (1e6, True)])
def test_a_row_that_outweighs_all_others_by_far_is_refused(deleted_scale, refused):
    """One step fits such a row; what its residuals do later is below the rounding of its target."""
    rng = np.random.default_rng(14)
    features = rng.normal(size=(5, 6)) * np.logspace(0, -4, 6) @ np.linalg.qr(rng.normal(size=(6, 6)))[0]
    features[0] *= deleted_scale
    problem = RidgeProblem(features, rng.normal(size=5), ridge=1e-6)
    schedule = schedule_of(problem, 1.5, learn=1500, learn_noise=0.0)
    if refused:
        with pytest.raises(FloatingPointError, match=r"index = 0: .* known to fewer than six digits"):
            langevin.deletion_pair(problem, schedule, 0)
        gap = langevin.whitened_gap(problem, schedule, 0)  # which says how much it knows
        assert np.sum(gap.errors[0]) > 1e-6 * np.sum(gap.shift_squared)
    else:
        langevin.deletion_pair(problem, schedule, 0)


def test_the_pair_carries_the_numbers_of_the_gap():
    problem = problem_of(15)
    schedule = schedule_of(problem)
    gap, pair = langevin.whitened_gap(problem, schedule, 0), langevin.deletion_pair(problem, schedule, 0)
    for name in ("shift_squared", "excess", "ratio"):
        np.testing.assert_array_equal(getattr(pair.whitened, name), getattr(gap, name))
    for name, law in langevin.exact_laws(problem, schedule, 0)._asdict().items():
        np.testing.assert_array_equal(getattr(pair, name), law)


def test_divergences_of_a_tiny_gap_are_finite_far_into_the_tail():
    problem = problem_of(16, deleted_scale=1e-3)
    pair = langevin.deletion_pair(problem, schedule_of(problem), 0)
    logs = [pair.log_hockey_stick(epsilon, reverse=reverse) for epsilon in (0.01, 0.1) for reverse in (False, True)]
    assert all(-1e6 < log < -10 for log in logs)


def test_indices_are_checked():
    with pytest.raises(ValueError, match="index = 3: must be below 3"):
        langevin.deletion_pair(WORKED, WORKED_SCHEDULE, 3)
    with pytest.raises(TypeError, match="index = True: must be an integer, not a bool"):
        langevin.exact_laws(WORKED, WORKED_SCHEDULE, True)
