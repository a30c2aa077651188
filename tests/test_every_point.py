"""The profile of every training point against the path of one deletion at a time, its fall-backs and its resuming."""

from pathlib import Path

import joblib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import linear
from linear import every_point
from linear.datasets import load

MNIST = Path(__file__).parents[2] / "shared" / "data" / "mnist"


def problem_of(seed=0, points=12, features=7, outputs=2, *, ridge=0.5, scale=1.0, start=0.0, decay=0.7):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(points, features)) * decay ** np.arange(features)
    rows[0] *= scale
    initial = start * rng.normal(size=(features, outputs))
    return linear.RidgeProblem(rows, rng.normal(size=(points, outputs)), ridge=ridge, initial=initial)


def schedule_of(problem, step=1.0, learn=40, unlearn=6, learn_noise=0.05, unlearn_noise=0.05):
    return linear.Schedule(
        step_size=step / problem.smoothness,
        learn_steps=learn,
        unlearn_steps=unlearn,
        learn_noise=learn_noise,
        unlearn_noise=unlearn_noise,
    )


def dense(problem, schedule, indices, epsilons):
    """Forward and reverse, each (m, E), one pair at a time."""
    pairs = [linear.deletion_pair(problem, schedule, int(index)) for index in indices]
    return tuple(np.array([pair.log_hockey_stick(epsilons, reverse) for pair in pairs]) for reverse in (False, True))


def assert_agrees(profile, problem, schedule, positions=None):
    """To 1e-8 in the logarithm (1e-11 of it where that is more), and to what the profile says of itself."""
    chosen = np.arange(len(profile.indices)) if positions is None else np.asarray(positions)
    expected = dense(problem, schedule, profile.indices[chosen], profile.epsilon)
    for found, true in zip((profile.log_forward[chosen], profile.log_reverse[chosen]), expected, strict=True):
        np.testing.assert_array_equal(np.isneginf(found), np.isneginf(true))
        off = np.abs(np.where(np.isneginf(true), 0.0, found) - np.where(np.isneginf(true), 0.0, true))
        size = np.where(np.isneginf(true), 0.0, np.abs(true))
        assert (off <= 1e-8 + 1e-11 * size).all()
        assert (off <= profile.error[chosen, None] + 1e-9 + 1e-12 * size).all()


@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"points": 4, "features": 9},
        {"outputs": 1, "start": 1.0},
        {"scale": 100.0, "ridge": 1e-2},
        {"ridge": 1e-6, "start": 2.0},
        {"points": 60, "features": 45, "decay": 0.9},
    ],
    ids=["plain", "wide", "one output", "leverage near one", "hardly a penalty", "more features than the first rank"],
)
@pytest.mark.parametrize(
    "steps",
    [
        {},
        {"step": 1.9},
        {"learn": 1, "unlearn": 1},
        {"unlearn": 0},
        {"learn": 0, "unlearn": 3},
        {"step": 0.3, "unlearn_noise": 0.0},
        {"learn_noise": 0.0},
        {"learn_noise": 1e-6, "unlearn_noise": 1.0},
    ],
    ids=["plain", "long", "one each", "K=0", "T=0", "no unlearning noise", "no learning noise", "noises apart"],
)
def test_agrees_with_one_deletion_at_a_time(shape, steps):
    problem = problem_of(3, **shape)
    schedule = schedule_of(problem, **steps)
    profile = linear.deletion_profile(problem, schedule, [-0.2, 0.0, 0.7, 3.0], range(min(4, problem.n_points)))
    assert (profile.rank > every_point.REFUSED).all()
    assert_agrees(profile, problem, schedule)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    size=st.tuples(st.integers(1, 9), st.integers(1, 8), st.integers(1, 3)),
    phases=st.tuples(st.integers(0, 30), st.integers(0, 6)),
    step=st.floats(0.05, 2.05),
    scales=st.tuples(st.sampled_from([1e-4, 1.0, 30.0]), st.sampled_from([1e-4, 1.0, 30.0])),
    epsilon=st.floats(-2.0, 20.0),
)
def test_agrees_on_any_problem(seed, size, phases, step, scales, epsilon):
    points, features, outputs = size
    problem = problem_of(seed, points, features, outputs, ridge=scales[0], scale=scales[1], start=0.3)
    learn, unlearn = phases
    if learn + unlearn == 0:
        learn = 1
    schedule = schedule_of(problem, step, learn, unlearn)
    if unlearn == 0 and learn == 0:
        return
    profile = linear.deletion_profile(problem, schedule, epsilon)
    known = np.flatnonzero(profile.rank > every_point.REFUSED)
    for position in known:
        try:
            assert_agrees(profile, problem, schedule, [position])
        except FloatingPointError:  # the single path refuses the point; the profile may not be better by much
            assert profile.error[position] > 1e-12


def test_all_of_digits_and_a_sample_one_by_one():
    data = load("digits")
    problem = linear.RidgeProblem(data.train_features, data.train_targets, ridge=1.0)
    schedule = schedule_of(problem, learn=300, unlearn=30, learn_noise=0.01, unlearn_noise=0.01)
    profile = linear.deletion_profile(problem, schedule, [0.1, 1.0])
    assert profile.log_forward.shape == profile.log_reverse.shape == (1500, 2)
    assert (profile.rank == every_point.RANKS[0]).all()
    assert_agrees(profile, problem, schedule, np.random.default_rng(0).choice(1500, 12, replace=False))
    # Easier to hide at the larger epsilon, every one of them.
    assert (profile.log_delta[:, 1] < profile.log_delta[:, 0]).all()


@pytest.mark.skipif(not MNIST.is_dir(), reason="no MNIST beside the checkout")
def test_a_sample_of_mnist_one_by_one():
    data = load("mnist", MNIST)
    problem = linear.RidgeProblem(data.train_features, data.train_targets, ridge=1.0)
    schedule = schedule_of(problem, learn=300, unlearn=30, learn_noise=0.01, unlearn_noise=0.01)
    chosen = np.random.default_rng(1).choice(problem.n_points, 40, replace=False)
    profile = linear.deletion_profile(problem, schedule, 1.0, chosen)
    assert_agrees(profile, problem, schedule, range(2))


def graded(points=60, features=40):
    rng = np.random.default_rng(8)
    rows = rng.normal(size=(points, features)) * 0.8 ** np.arange(features)
    return linear.RidgeProblem(rows, rng.normal(size=(points, 3)), ridge=1e-2)


def test_what_the_rank_leaves_out_is_in_the_error(monkeypatch):
    """With far too few dimensions and any error allowed, the error that is reported covers the true one."""
    monkeypatch.setattr(every_point, "_ABSOLUTE", np.inf)
    monkeypatch.setattr(every_point, "_MISSED", np.inf)
    problem = graded()
    schedule = schedule_of(problem, 1.5, learn=120, unlearn=5)
    expected = dense(problem, schedule, range(30), [0.5])
    worst = []
    for rank in (8, 10, 12, 16, 20):
        monkeypatch.setattr(every_point, "RANKS", (rank,))
        profile = linear.deletion_profile(problem, schedule, 0.5, range(30))
        off = np.maximum(np.abs(profile.log_forward - expected[0]), np.abs(profile.log_reverse - expected[1]))[:, 0]
        worst.append(off.max())
        assert (off <= profile.error).all()
    assert worst[0] > 1e-3 > worst[2] > worst[-1]


def test_points_take_the_longer_path_they_need(monkeypatch):
    """Spaces of 14 dimensions do for no point, of 17 for some, of 24 for all; one of 6 leaves only the dense path."""
    problem = graded()
    schedule = schedule_of(problem, learn=60, unlearn=5)
    monkeypatch.setattr(every_point, "RANKS", (14, 17, 24))
    profile = linear.deletion_profile(problem, schedule, 0.5)
    np.testing.assert_array_equal(np.unique(profile.rank), [17, 24])
    assert_agrees(profile, problem, schedule, range(12))
    monkeypatch.setattr(every_point, "RANKS", (6,))
    profile = linear.deletion_profile(problem, schedule, 0.5, range(3))
    np.testing.assert_array_equal(profile.rank, every_point.DENSE)
    assert_agrees(profile, problem, schedule)


def test_a_result_that_moves_is_sent_on(monkeypatch):
    """Even if nothing were known of what the space misses."""
    monkeypatch.setattr(every_point, "_MISSED", np.inf)
    monkeypatch.setattr(every_point, "RANKS", (10, 24))
    problem = graded()
    schedule = schedule_of(problem, learn=60, unlearn=5)
    profile = linear.deletion_profile(problem, schedule, 0.5, range(12))
    np.testing.assert_array_equal(profile.rank, 24)
    assert_agrees(profile, problem, schedule)


def test_a_point_that_nothing_resolves_is_refused_alone():
    """Row 0 outweighs the others by 1e16: its own pair is refused, theirs are not."""
    rows = np.array([[1e8, 0.0], [0.3, 0.2], [0.1, -0.5]])
    problem = linear.RidgeProblem(rows, np.ones(3), ridge=1e-8)
    schedule = schedule_of(problem, 2.4, learn=100, unlearn=2)
    with pytest.raises(FloatingPointError):
        linear.deletion_pair(problem, schedule, 0)
    profile = linear.deletion_profile(problem, schedule, 0.5)
    assert profile.rank[0] == every_point.REFUSED
    assert np.isnan(profile.log_forward[0]).all() and profile.error[0] == np.inf
    assert np.isnan(linear.deletion_epsilons(problem, schedule, 1e-5, [0]).epsilon).all()


def test_a_row_of_zeros_leaves_nothing():
    problem = linear.RidgeProblem([[0.0, 0.0], [1.0, 2.0], [0.5, 1.0]], np.ones(3), ridge=1.0)
    profile = linear.deletion_profile(problem, schedule_of(problem, 0.5), [0.0, 1.0], [0])
    assert np.isneginf(profile.log_forward).all() and np.isneginf(profile.log_reverse).all()
    np.testing.assert_array_equal(linear.deletion_epsilons(problem, schedule_of(problem, 0.5), 0.1, [0]).epsilon, 0.0)


def test_epsilons_are_the_single_ones_rounded_up():
    problem = problem_of(5, 20, 9)
    schedule = schedule_of(problem)
    found = linear.deletion_epsilons(problem, schedule, [1e-9, 1e-4, 0.3, 1.0], range(6))
    for k in range(6):
        expected = linear.deletion_pair(problem, schedule, k).epsilon(found.delta)
        np.testing.assert_allclose(found.epsilon[k], expected, rtol=1e-8)
        assert (linear.deletion_pair(problem, schedule, k).delta(found.epsilon[k]) <= found.delta).all()


def test_epsilons_cover_what_the_rank_leaves_out(monkeypatch):
    monkeypatch.setattr(every_point, "_EPSILON_TOLERANCE", 10.0)
    monkeypatch.setattr(every_point, "_MISSED", np.inf)
    problem = graded()
    schedule = schedule_of(problem, 1.5, learn=120, unlearn=5)
    monkeypatch.setattr(every_point, "RANKS", (10,))
    found = linear.deletion_epsilons(problem, schedule, 1e-5, range(20))
    for k in range(20):
        assert found.epsilon[k, 0] >= linear.deletion_pair(problem, schedule, k).epsilon(1e-5)


class Interrupted(every_point._Run):
    """Stops at the third chunk, as Ctrl-C would."""

    chunks = 0

    def chunk(self, chosen):
        Interrupted.chunks += 1
        if Interrupted.chunks == 3:
            raise KeyboardInterrupt
        return super().chunk(chosen)


def counting(monkeypatch):
    """The numbers of points that chunks are computed for from here on."""
    seen, original = [], every_point._Run.chunk
    monkeypatch.setattr(
        every_point._Run, "chunk", lambda self, chosen: (seen.append(len(chosen)), original(self, chosen))[1]
    )
    return seen


def same(first, second):
    for name in ("indices", "log_forward", "log_reverse", "error", "rank"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def test_an_interrupted_profile_resumes(monkeypatch, tmp_path):
    problem = problem_of(2, 20)
    schedule = schedule_of(problem)
    arguments = (problem, schedule, [0.3, 1.0])
    whole = linear.deletion_profile(*arguments, chunk=4)
    with monkeypatch.context() as patch:
        Interrupted.chunks = 0
        patch.setattr(every_point, "_Run", Interrupted)
        with pytest.raises(KeyboardInterrupt):
            linear.deletion_profile(*arguments, chunk=4, checkpoint=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    seen, steps = counting(monkeypatch), []
    same(linear.deletion_profile(*arguments, chunk=4, checkpoint=tmp_path, progress=steps.append), whole)
    assert seen == [4, 4, 4] and steps == [4] * 5
    same(linear.deletion_profile(*arguments, chunk=4, checkpoint=tmp_path), whole)
    assert len(seen) == 3


def test_what_is_kept_answers_only_its_own_question(monkeypatch, tmp_path):
    problem = problem_of(2, 8)
    schedule = schedule_of(problem)
    linear.deletion_profile(problem, schedule, 0.3, checkpoint=tmp_path)
    seen = counting(monkeypatch)
    targets = problem.targets.copy()
    targets[0] += 1e-12
    other = linear.RidgeProblem(problem.features, targets, ridge=problem.ridge)
    linear.deletion_profile(other, schedule, 0.3, checkpoint=tmp_path)
    linear.deletion_profile(problem, schedule.with_unlearn_noise(0.06), 0.3, checkpoint=tmp_path)
    linear.deletion_profile(problem, schedule, 0.4, checkpoint=tmp_path)
    linear.deletion_profile(problem, schedule, 0.3, range(7), checkpoint=tmp_path)
    linear.deletion_epsilons(problem, schedule, 0.3, checkpoint=tmp_path)
    assert seen == [8, 8, 8, 7, 8]


def test_a_damaged_piece_is_computed_again(monkeypatch, tmp_path):
    problem = problem_of(2, 8)
    schedule = schedule_of(problem)
    whole = linear.deletion_profile(problem, schedule, 0.3, chunk=4, checkpoint=tmp_path)
    first, second = sorted(tmp_path.iterdir())
    first.write_bytes(first.read_bytes()[:100])
    second.write_bytes(b"")
    seen = counting(monkeypatch)
    same(linear.deletion_profile(problem, schedule, 0.3, chunk=4, checkpoint=tmp_path), whole)
    assert seen == [4, 4]


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_workers_do_not_show(backend):
    problem = problem_of(4, 30)
    schedule = schedule_of(problem)
    alone = linear.deletion_profile(problem, schedule, 0.3, chunk=8)
    with joblib.parallel_config(backend=backend, n_jobs=2):
        same(linear.deletion_profile(problem, schedule, 0.3, chunk=8), alone)


def test_chunks_spread_by_dask():
    distributed = pytest.importorskip("distributed")
    problem = problem_of(4, 30)
    schedule = schedule_of(problem)
    alone = linear.deletion_profile(problem, schedule, 0.3, chunk=8)
    with (
        distributed.Client(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None),
        joblib.parallel_config(backend="dask"),
    ):
        same(linear.deletion_profile(problem, schedule, 0.3, chunk=8), alone)


def test_no_points_and_no_epsilons():
    problem = problem_of()
    schedule = schedule_of(problem)
    assert linear.deletion_profile(problem, schedule, 1.0, []).log_forward.shape == (0, 1)
    assert linear.deletion_profile(problem, schedule, [], [1, 2]).log_forward.shape == (2, 0)
    assert linear.deletion_epsilons(problem, schedule, [0.1, 0.2], []).epsilon.shape == (0, 2)


def test_bad_arguments_are_named():
    problem = problem_of()
    schedule = schedule_of(problem)
    with pytest.raises(ValueError, match="indices"):
        linear.deletion_profile(problem, schedule, 1.0, [12])
    with pytest.raises(ValueError, match="chunk = 0"):
        linear.deletion_profile(problem, schedule, 1.0, chunk=0)
    with pytest.raises(ValueError, match="delta = 2"):
        linear.deletion_epsilons(problem, schedule, 2.0)
    with pytest.raises(ValueError, match="epsilon"):
        linear.deletion_profile(problem, schedule, np.nan)
    with pytest.raises(ValueError, match="no noise is ever added"):
        linear.deletion_profile(problem, schedule_of(problem, learn_noise=0.0, unlearn=0), 1.0)
    with pytest.raises(FloatingPointError, match="beyond the range"):
        linear.deletion_profile(problem, schedule_of(problem, 8.0, learn=900), 1.0)


def test_each_point_around_its_own_epsilon():
    """Epsilon as `deletion_epsilons` finds it, and the divergences there as the pair of that point has them."""
    problem = problem_of(points=10)
    schedule = schedule_of(problem)
    found = every_point.deletion_neighbourhoods(problem, schedule, 1e-4, [0.5, 1.0, 1.25], [7, 0, 3], chunk=2)
    expected = every_point.deletion_epsilons(problem, schedule, 1e-4, [7, 0, 3])
    np.testing.assert_allclose(found.epsilon, expected.epsilon[:, 0], rtol=1e-9)
    for place, index in enumerate(found.indices):
        pair = linear.deletion_pair(problem, schedule, int(index))
        for share in range(3):
            at = float(found.epsilons[place, share])
            for values, reverse in ((found.log_forward, False), (found.log_reverse, True)):
                assert values[place, share] == pytest.approx(
                    float(pair.log_hockey_stick(at, reverse)), rel=1e-10, abs=1e-8
                )
    largest = np.maximum(found.log_forward, found.log_reverse)[:, 1]
    np.testing.assert_allclose(largest, np.log(1e-4), atol=1e-6)
    with pytest.raises(ValueError, match=r"delta = 1\.0: must lie strictly between 0 and 1"):
        every_point.deletion_neighbourhoods(problem, schedule, 1.0, [1.0])
    with pytest.raises(ValueError, match=r"share holds 0\.0: every entry must be positive"):
        every_point.deletion_neighbourhoods(problem, schedule, 0.1, [1.0, 0.0])
