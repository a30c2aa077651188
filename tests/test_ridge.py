"""The ridge problem against direct solves, exact fractions and 50 digits."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linear.ridge import RidgeProblem

FEATURES, TARGETS = [[1, 0], [1, 1], [0, 1]], [1, 2, -1]


def problem_of(seed, n=7, p=4, outputs=2, ridge=0.3):
    rng = np.random.default_rng(seed)
    return RidgeProblem(rng.normal(size=(n, p)), rng.normal(size=(n, outputs)), ridge=ridge)


def direct_minimiser(problem, keep):
    x, y = problem.features[keep], problem.targets[keep]
    return np.linalg.solve(x.T @ x + problem.ridge * np.eye(problem.n_features), x.T @ y)


def precise_minimiser(features, targets, ridge):
    with mp.workdps(50):
        x, y = mp.matrix(features.tolist()), mp.matrix(targets.tolist())
        solution = (x.T * x + mp.mpf(ridge) * mp.eye(x.cols)) ** -1 * (x.T * y)
        return np.array(solution.tolist(), dtype=float)


def test_a_worked_example_in_fractions():
    problem = RidgeProblem(FEATURES, TARGETS, ridge=0.5)
    np.testing.assert_allclose(problem.minimiser, [[26 / 21], [-2 / 21]], rtol=1e-14)
    assert problem.leverage([1])[0] == pytest.approx(4 / 7, rel=1e-14)
    np.testing.assert_allclose(problem.leave_one_out_minimiser(1), [[2 / 3], [-2 / 3]], rtol=1e-14)
    np.testing.assert_allclose(problem.eigenvalues, [1.5, 3.5], rtol=1e-14)
    assert problem.smoothness == pytest.approx(3.5, rel=1e-14)
    np.testing.assert_array_equal(problem.hessian, [[2.5, 1.0], [1.0, 2.5]])
    np.testing.assert_array_equal(problem.cross, [[3.0], [1.0]])
    assert (problem.n_points, problem.n_features, problem.n_outputs) == (3, 2, 1)


@given(st.integers(0, 10**6), st.integers(2, 9), st.integers(1, 6), st.sampled_from([1e-3, 1.0, 50.0]))
def test_leave_one_out_is_the_direct_solve(seed, n, p, ridge):
    problem = problem_of(seed, n, p, ridge=ridge)
    index = seed % n
    expected = direct_minimiser(problem, np.arange(n) != index)
    np.testing.assert_allclose(problem.leave_one_out_minimiser(index), expected, rtol=0, atol=1e-9)
    np.testing.assert_allclose(problem.without(index).minimiser, expected, rtol=0, atol=1e-9)


def test_leave_one_out_at_leverage_near_one():
    """Where 1 - leverage is 1e-9, the quotient of Sherman and Morrison would keep 7 digits."""
    features = np.array([[1.0, 0.5, 0.0], [0.0, 1e-3, 2e-3], [0.0, 3e-3, 1e-3], [0.0, 1e-3, 1e-3]])
    targets = np.array([[20.0], [1.0], [2.0], [3.0]])
    problem = RidgeProblem(features, targets, ridge=1e-9)
    assert 1 - problem.leverage([0])[0] < 1e-8
    expected = precise_minimiser(features[1:], targets[1:], 1e-9)
    found = problem.leave_one_out_minimiser(0)
    assert np.linalg.norm(found - expected) < 1e-10 * np.linalg.norm(expected)


def test_the_minimiser_of_an_ill_conditioned_problem():
    """At a condition number of 1e10 the rounding of X'Y alone would cost 1e-11; the refinement sees the residuals."""
    for seed in range(4):
        rng = np.random.default_rng(seed)
        axes = np.linalg.qr(rng.normal(size=(6, 6)))[0] * np.logspace(2, -3, 6)
        features = rng.normal(size=(40, 6)) @ axes
        targets = features @ rng.normal(size=(6, 2))
        problem = RidgeProblem(features, targets, ridge=1e-8)
        expected = precise_minimiser(features, targets, 1e-8)
        assert np.linalg.norm(problem.minimiser - expected) < 3e-12 * np.linalg.norm(expected)


def test_leverage_is_the_diagonal_of_the_hat_matrix():
    problem = problem_of(1, n=9, p=5)
    hat = problem.features @ np.linalg.solve(problem.hessian, problem.features.T)
    np.testing.assert_allclose(problem.leverage(), np.diag(hat), rtol=1e-12)
    np.testing.assert_allclose(problem.leverage([6, 0]), np.diag(hat)[[6, 0]], rtol=1e-12)
    assert problem.leverage([]).shape == (0,)


def test_no_eigenvalue_is_below_the_ridge():
    problem = problem_of(2, n=3, p=8, ridge=1e-12)
    np.testing.assert_array_equal(problem.eigenvalues[:5], 1e-12)  # exactly: rank 3 in dimension 8
    vectors = problem.eigenvectors
    np.testing.assert_allclose(vectors * problem.eigenvalues @ vectors.T, problem.hessian, atol=1e-13)


def test_no_eigenvalue_is_below_the_ridge_where_columns_repeat():
    for seed in range(5):
        columns = np.random.default_rng(seed).normal(size=(9, 2))
        problem = RidgeProblem(columns[:, [0, 1, 0, 1]], np.ones(9), ridge=1e-12)
        assert problem.eigenvalues[0] >= 1e-12


def precise_spectral_norm(problem, step_size, keep):
    """max |1 - step_size * eigenvalue| at 40 digits."""
    with mp.workdps(40):
        x = mp.matrix(problem.features[keep].tolist()) if np.any(keep) else mp.zeros(1, problem.n_features)
        hessian = x.T * x + mp.mpf(problem.ridge) * mp.eye(problem.n_features)
        return max(abs(1 - mp.mpf(step_size) * value) for value in mp.eigsy(hessian, eigvals_only=True))


@pytest.mark.parametrize("relative_step", [0.3, 1.0, 1.6, 2.5])
@pytest.mark.parametrize("n", [2, 3, 9])
def test_one_contraction_factor_serves_both_maps(n, relative_step):
    problem = problem_of(n, n, p=3)
    step = relative_step / problem.smoothness
    everything = np.ones(n, dtype=bool)
    full = precise_spectral_norm(problem, step, everything)
    factor = problem.contraction_factor(step)
    assert full <= factor <= full + 1e-11
    for index in range(n):
        exact = max(full, precise_spectral_norm(problem, step, np.arange(n) != index))
        factor = problem.contraction_factor(step, index)
        assert exact <= factor <= exact + 1e-11


def test_contraction_is_rounded_up_where_the_smallest_eigenvalue_is_all_rounding():
    """The smallest eigenvalue is 1e-6 of the largest: its rounding is far above that of the last subtraction."""
    for seed in range(16):
        rng = np.random.default_rng(seed)
        scaled = rng.normal(size=(40, 4)) * np.logspace(0, -3, 4)
        problem = RidgeProblem(scaled @ np.linalg.qr(rng.normal(size=(4, 4)))[0], np.zeros(40), ridge=1e-12)
        step, keep = 1 / problem.smoothness, np.ones(40, dtype=bool)
        assert precise_spectral_norm(problem, step, keep) <= problem.contraction_factor(step)
        keep[0] = False
        assert precise_spectral_norm(problem, step, keep) <= problem.contraction_factor(step, 0)


def test_contraction_where_the_deleted_row_carries_a_direction():
    """Removing the only row in a direction leaves `ridge` there; a row orthogonal to it changes nothing there."""
    problem = RidgeProblem([[2.0, 0.0], [0.0, 1.0]], [1.0, 1.0], ridge=0.25)
    assert problem.contraction_factor(0.1, 1) == pytest.approx(1 - 0.1 * 0.25, rel=1e-13)
    assert problem.contraction_factor(0.1, 0) == pytest.approx(1 - 0.1 * 0.25, rel=1e-13)
    assert problem.contraction_factor(0.1) == pytest.approx(1 - 0.1 * 1.25, rel=1e-13)
    twice = RidgeProblem([[2.0, 0.0], [0.0, 1.0], [3.0, 0.0]], [1.0, 1.0, 0.0], ridge=0.25)
    assert twice.contraction_factor(0.05, 0) == pytest.approx(1 - 0.05 * 1.25, rel=1e-13)


def test_arrays_are_read_only_copies():
    features, targets = np.ones((3, 2)), np.ones(3)
    problem = RidgeProblem(features, targets, ridge=1.0)
    features[0, 0] = targets[0] = 7.0
    assert problem.features[0, 0] == problem.targets[0, 0] == 1.0
    held = (problem.features, problem.targets, problem.initial, problem.hessian, problem.cross)
    for array in (*held, problem.eigenvalues, problem.eigenvectors, problem.minimiser):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0.0
    with pytest.raises(AttributeError):
        problem.ridge = 2.0


def test_initial_weights():
    assert RidgeProblem(FEATURES, TARGETS, ridge=1.0, initial=[1, 2]).initial.tolist() == [[1.0], [2.0]]
    assert RidgeProblem(FEATURES, TARGETS, ridge=1.0).initial.tolist() == [[0.0], [0.0]]
    with pytest.raises(ValueError, match=r"initial has shape \(3, 1\): must be \(features, outputs\) = \(2, 1\)"):
        RidgeProblem(FEATURES, TARGETS, ridge=1.0, initial=[1, 2, 3])


def test_without_keeps_the_rest_and_may_leave_nothing():
    problem = RidgeProblem(FEATURES, TARGETS, ridge=1.0, initial=[3, 4])
    smaller = problem.without(1)
    assert smaller.features.tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert smaller.targets.tolist() == [[1.0], [-1.0]]
    assert smaller.ridge == 1.0
    assert smaller.initial.tolist() == [[3.0], [4.0]]
    nothing = smaller.without(0).without(0)
    assert nothing.n_points == 0
    assert nothing.minimiser.tolist() == [[0.0], [0.0]]
    assert nothing.eigenvalues.tolist() == [1.0, 1.0]


def test_the_printed_form_is_short():
    assert repr(problem_of(0)) == "RidgeProblem(n_points=7, n_features=4, n_outputs=2, ridge=0.3)"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"ridge": 0.0}, ValueError, "ridge = 0.0: must be positive"),
        ({"ridge": True}, TypeError, "ridge = True: must be a real number"),
        ({"features": [1, 2, 3]}, ValueError, r"features has shape \(3,\): must have 2 axes"),
        ({"features": [[1, 0], [1, float("nan")], [0, 1]]}, ValueError, r"features\[1, 1\] = nan: every entry"),
        ({"features": [[1j, 0], [1, 1], [0, 1]]}, TypeError, "features has dtype complex128: must hold real numbers"),
        ({"features": np.zeros((3, 0))}, ValueError, r"features \(3, 0\), targets \(3, 1\): need at least one column"),
        ({"targets": [1, 2]}, ValueError, "targets has 2 rows: must have one per row of features, 3"),
        ({"targets": np.zeros((3, 1, 1))}, ValueError, r"targets has shape \(3, 1, 1\): must have 1 or 2 axes"),
    ],
)
def test_refusals_name_the_argument_and_the_rule(arguments, error, message):
    with pytest.raises(error, match=message):
        RidgeProblem(**{"features": FEATURES, "targets": TARGETS, "ridge": 1.0, **arguments})


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda problem: problem.without(3), ValueError, "index = 3: must be below 3, the number of points"),
        (lambda problem: problem.without(-1), ValueError, "index = -1: must be at least 0"),
        (lambda problem: problem.leave_one_out_minimiser(1.0), TypeError, "index = 1.0: must be an integer"),
        (lambda problem: problem.leverage([0, 5]), ValueError, "indices holds 5: every entry must be at least 0 and"),
        (lambda problem: problem.leverage([0.5]), TypeError, r"indices = \[0.5\]: must be a vector of integers"),
        (lambda problem: problem.contraction_factor(0.0), ValueError, "step_size = 0.0: must be positive"),
    ],
)
def test_refusals_of_the_methods(call, error, message):
    with pytest.raises(error, match=message):
        call(RidgeProblem(FEATURES, TARGETS, ridge=1.0))
