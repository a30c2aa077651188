"""The Krylov coordinates of training points against dense eigenbases and against what the chain itself does."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linear import RidgeProblem, krylov_coordinates

SHAPES = {  # points, features, decay of the features' scales
    "wide": (4, 9, 1.0),
    "tall": (30, 6, 1.0),
    "graded": (40, 12, 0.4),
}


def problem_of(seed, shape="tall", ridge=0.5, scale=1.0):
    points, features, decay = SHAPES[shape]
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(points, features)) * decay ** np.arange(features)
    rows[0] *= scale
    return RidgeProblem(rows, rng.normal(size=(points, 2)), ridge=ridge)


def powers_on_row(problem, index, step_size, steps):
    """A^n x for n = 0..steps, by stepping."""
    x = problem.features[index]
    rest = np.delete(problem.features, index, axis=0)
    found = [x]
    for _ in range(steps):
        before = found[-1]
        found.append(before - step_size * (rest.T @ (rest @ before) + problem.ridge * before))
    return np.array(found)


@pytest.mark.parametrize("shape", SHAPES)
@given(st.integers(0, 10**6), st.sampled_from([1e-6, 0.5, 20.0]), st.sampled_from([1e-3, 1.0, 1e3]))
def test_moments_of_both_hessians_are_the_rows_own(shape, seed, ridge, scale):
    """x'f(H)x and x'f(H_)x for f a power or a resolvent, in all p coordinates: the space misses nothing."""
    problem = problem_of(seed, shape, ridge, scale)
    found = krylov_coordinates(problem, rank=problem.n_features)
    reference_row = found.row
    full_row = np.einsum("mjk,mj->mk", found.overlap, found.row)
    for index in range(problem.n_points):
        x = problem.features[index]
        without = problem.without(index).hessian
        for hessian, row, curvature in (
            (problem.hessian, full_row[index], found.curvature[index]),
            (without, reference_row[index], found.reference_curvature[index]),
        ):
            # Curvatures are known to a few eps of the largest, that of a step 1 / smoothness.
            for shift in (0.01 * problem.smoothness, problem.smoothness):
                expected = x @ np.linalg.solve(hessian + shift * np.eye(len(x)), x)
                assert row**2 @ (1 / (curvature + shift)) == pytest.approx(expected, rel=1e-11)
            assert row**2 @ curvature == pytest.approx(x @ hessian @ x, abs=1e-13 * problem.smoothness * (x @ x))


@pytest.mark.parametrize("shape", SHAPES)
def test_one_space_two_eigenbases(shape):
    problem = problem_of(3, shape)
    found = krylov_coordinates(problem, rank=5)
    for k in range(problem.n_points):
        overlap = found.overlap[k]
        np.testing.assert_allclose(overlap @ overlap.T, np.eye(found.rank), atol=1e-12)
        other = (overlap * found.curvature[k]) @ overlap.T - np.outer(found.row[k], found.row[k])
        np.testing.assert_allclose(other, np.diag(found.reference_curvature[k]), atol=1e-11 * problem.smoothness)
        assert np.linalg.norm(found.row[k]) == pytest.approx(np.linalg.norm(problem.features[k]))
    assert (found.reference_curvature >= problem.ridge).all()
    # A compression of H_ <= H has eigenvalues between.
    assert (found.reference_curvature <= found.curvature + 1e-12 * problem.smoothness).all()


@pytest.mark.parametrize("rank", [1, 2, 4])
def test_what_was_missed_is_bounded(rank):
    """Against A^n x by stepping, and the same on the space spanned by a basis from a plain QR."""
    problem = problem_of(5, "graded", ridge=1e-2, scale=3.0)
    step_size, steps = 1.9 / problem.smoothness, 40
    bound = krylov_coordinates(problem, rank=rank).missed(step_size, steps)
    for index in range(problem.n_points):
        exact = powers_on_row(problem, index, step_size, steps)
        basis = np.linalg.qr(powers_on_row(problem, index, step_size, rank - 1).T)[0]
        rest = problem.without(index).hessian
        inside, off = basis.T @ exact[0], []
        for one in exact:
            off.append(np.linalg.norm(one - basis @ inside))
            inside = inside - step_size * (basis.T @ (rest @ (basis @ inside)))
        worst = max(off) / np.linalg.norm(exact[0])
        assert worst <= bound[index] + 1e-13
        assert bound[index] <= 30 * worst


def test_what_was_missed_vanishes_with_the_rank():
    problem = problem_of(5, "graded")
    missed = [krylov_coordinates(problem, rank=rank).missed(1 / problem.smoothness, 30).max() for rank in (2, 5, 8, 12)]
    assert missed[0] > 1e3 * missed[1] > 1e6 * missed[2]
    assert missed[3] < 1e-13


def test_no_direction_is_found_twice():
    """Plain Lanczos finds a dominant eigenvalue again as soon as it has converged to it."""
    rng = np.random.default_rng(7)
    rows = rng.normal(size=(300, 60)) + 3.0
    problem = RidgeProblem(rows, np.zeros(300), ridge=1.0)
    found = krylov_coordinates(problem, range(5), rank=40)
    top = found.curvature > 0.5 * problem.smoothness
    np.testing.assert_array_equal(top.sum(axis=1), 1)
    np.testing.assert_allclose(found.curvature[top], problem.smoothness, rtol=1e-12)


def test_exhausted_spaces_are_padded():
    """A zero row, a row along an eigenvector, two rows in one plane: spaces of 0, 1 and 2 dimensions."""
    rows = np.zeros((4, 6))
    rows[1, 2], rows[2, 3:5], rows[3, 3:5] = 2.0, (1.0, 0.5), (0.2, -0.3)
    problem = RidgeProblem(rows, np.ones(4), ridge=0.25)
    found = krylov_coordinates(problem, rank=5)
    np.testing.assert_allclose(np.sum(found.row != 0.0, axis=1)[:2], [0, 1])
    assert (np.sort(np.abs(found.row[2:]), axis=1)[:, :3] < 1e-14).all()
    np.testing.assert_allclose(found.leak, 0.0, atol=1e-14)
    np.testing.assert_allclose(found.missed(0.1, 50), 0.0, atol=1e-13)
    np.testing.assert_allclose(found.reference_curvature[0], 0.25)
    np.testing.assert_allclose(found.curvature[1], [0.25] * 4 + [4.25])
    np.testing.assert_allclose(found.reference_curvature[1], 0.25)


def test_blocks_do_not_show(monkeypatch):
    problem = problem_of(11, "tall")
    whole = krylov_coordinates(problem, [4, 0, 9, 4], rank=4)
    monkeypatch.setattr("linear.krylov._BLOCK_BYTES", 1)
    pieces = krylov_coordinates(problem, [4, 0, 9, 4], rank=4)
    np.testing.assert_array_equal(whole.indices, [4, 0, 9, 4])
    np.testing.assert_allclose(pieces.curvature, whole.curvature, rtol=1e-13)
    np.testing.assert_allclose(np.abs(pieces.row), np.abs(whole.row), rtol=1e-10, atol=1e-13)


def test_a_rank_is_at_least_one_and_at_most_the_features():
    problem = problem_of(0, "tall")
    assert krylov_coordinates(problem, rank=100).rank == 6
    assert krylov_coordinates(problem, [], rank=3).row.shape == (0, 3)
    with pytest.raises(ValueError, match="rank = 0"):
        krylov_coordinates(problem, rank=0)
    with pytest.raises(ValueError, match="indices"):
        krylov_coordinates(problem, [30])
