"""`calibrate_all`, `deletion_noises`, the uniform baseline and the command that puts them side by side."""

import csv
import math
from dataclasses import replace

import numpy as np
import pytest

import linear
from bounds.deletion import METHODS, SHARES, calibrate, calibrate_all, certify, sensitivity_map, solve, uniform_noise
from bounds.sensitivity import sensitivities
from linear import every_noise
from paper_checks import plan_command

EPSILON, DELTA = 0.5, 1e-4


def problem_of(seed=0, n=5, p=4, outputs=2):
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((n, p)) * 0.7 ** np.arange(p) * np.exp(0.5 * rng.standard_normal((n, 1)))
    return linear.RidgeProblem(features, rng.standard_normal((n, outputs)), ridge=0.3)


def schedule_of(problem, **changes):
    known = {"learn_steps": 8, "unlearn_steps": 3, "learn_noise": 0.1, "unlearn_noise": 0.0} | changes
    return linear.Schedule(step_size=1 / problem.smoothness, **known)


PROBLEM = problem_of()
SCHEDULE = schedule_of(PROBLEM)


def exact_excess(noise, index, schedule=SCHEDULE):
    pair = linear.deletion_pair(PROBLEM, schedule.with_unlearn_noise(noise), index)
    return max(float(pair.log_hockey_stick(EPSILON, reverse=reverse)) for reverse in (False, True)) - math.log(DELTA)


@pytest.mark.parametrize("method", METHODS)
def test_noises_certify_a_little_less_does_not_and_each_is_that_of_the_point_alone(method):
    noises = calibrate_all(PROBLEM, SCHEDULE, epsilon=EPSILON, delta=DELTA, method=method, chunk=3)
    shares = (0.5,) if method == "coupling" else SHARES
    for index, noise in enumerate(noises.tolist()):
        alone = calibrate(PROBLEM, SCHEDULE, index, epsilon=EPSILON, delta=DELTA, method=method)
        assert noise == pytest.approx(alone, rel=2e-9)

        def certified(value, index=index):
            schedule = SCHEDULE.with_unlearn_noise(value)
            return any(
                certify(PROBLEM, schedule, index, delta_s=share * DELTA, method=method).holds(EPSILON, math.log(DELTA))
                for share in shares
            )

        assert certified(noise)
        assert noise == 0 or not certified(noise * (1 - 1e-6))
        assert exact_excess(noise, index) <= 0


def test_exact_noises_meet_the_target_and_no_certificate_asks_for_less():
    exact = linear.deletion_noises(PROBLEM, SCHEDULE, epsilon=EPSILON, delta=DELTA)
    for index, noise in enumerate(exact.tolist()):
        assert exact_excess(noise, index) <= 1e-9
        assert exact_excess(noise * (1 - 1e-6), index) > 0
    for method in METHODS:
        assert np.all(calibrate_all(PROBLEM, SCHEDULE, epsilon=EPSILON, delta=DELTA, method=method) >= exact)
    assert np.all(linear.deletion_noises(PROBLEM, SCHEDULE, epsilon=5000.0, delta=0.5) == 0)
    some = linear.deletion_noises(PROBLEM, SCHEDULE, epsilon=EPSILON, delta=DELTA, indices=[3, 1])
    np.testing.assert_allclose(some, exact[[3, 1]], rtol=1e-7)


def test_exact_noise_without_learning_noise_and_by_the_dense_path(monkeypatch):
    silent = schedule_of(PROBLEM, learn_noise=0.0)
    exact = linear.deletion_noises(PROBLEM, silent, epsilon=EPSILON, delta=DELTA)
    for index, noise in enumerate(exact.tolist()):
        assert exact_excess(noise, index, silent) <= 1e-9 < 1e-8 < exact_excess(noise * (1 - 1e-6), index, silent)
    quick = linear.deletion_noises(PROBLEM, SCHEDULE, epsilon=EPSILON, delta=DELTA)
    monkeypatch.setattr(every_noise, "RANKS", ())
    dense = linear.deletion_noises(PROBLEM, SCHEDULE, epsilon=EPSILON, delta=DELTA)
    np.testing.assert_allclose(dense, quick, rtol=3e-8)


def test_the_uniform_noise_does_for_every_point_and_single_sensitivities_for_less():
    noise = uniform_noise(PROBLEM, SCHEDULE, epsilon=EPSILON, delta=DELTA)
    hull = calibrate_all(PROBLEM, SCHEDULE, epsilon=EPSILON, delta=DELTA, method="hull")
    assert 0 < noise < math.inf
    assert np.all(hull < noise)
    assert all(exact_excess(noise, index) <= 0 for index in range(PROBLEM.n_points))
    # The least of both ways and all shares, found again by trying.
    contraction = PROBLEM.contraction_factors(SCHEDULE.step_size).max()

    def holds(value, share, sized_for, learn_noise):
        from bounds import gaussian_dp, interpolation

        tail = share * DELTA * math.exp(-sized_for)
        largest = sensitivity_map(PROBLEM, SCHEDULE, delta_s=tail).max()
        std = np.repeat([learn_noise, value], [SCHEDULE.learn_steps, SCHEDULE.unlearn_steps])
        steps = np.repeat([largest, 0.0], [SCHEDULE.learn_steps, SCHEDULE.unlearn_steps])
        mu = interpolation.optimal_shifts(steps, std, contraction).mu
        return float(gaussian_dp.delta(mu, EPSILON)) + share * DELTA <= DELTA

    ways = [(share, *way) for share in SHARES for way in ((0.0, 0.0), (EPSILON, SCHEDULE.learn_noise))]
    assert any(holds(noise * (1 + 1e-9), *way) for way in ways)
    assert not any(holds(noise * (1 - 1e-6), *way) for way in ways)


def test_sensitivity_map_is_the_sensitivities_of_the_exact_moments():
    found = sensitivity_map(PROBLEM, SCHEDULE, [3, 1], delta_s=1e-4, chunk=1)
    means, variances = linear.residual_moments(PROBLEM, SCHEDULE, [3, 1])
    expected = sensitivities(
        step_size=SCHEDULE.step_size,
        row_norm=np.linalg.norm(PROBLEM.features[[3, 1]], axis=1),
        mean_norms=np.linalg.norm(means, axis=2),
        variances=variances,
        dof=2,
        delta_s=1e-4,
    )
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    norms, _ = linear.residual_norms(PROBLEM, SCHEDULE, chunk=2)
    np.testing.assert_allclose(norms, np.linalg.norm(linear.residual_moments(PROBLEM, SCHEDULE)[0], axis=2), rtol=1e-12)


def test_the_search_is_short_and_returns_what_was_evaluated():
    asked = []

    def excess(x):
        asked.append(x.copy())
        return np.array([5.0, 1e4]) - np.exp(3 * x) * np.array([1.0, 30.0])

    root = np.log([5.0, 1e4 / 30]) / 3
    found = solve.smallest(excess, np.full(2, -3.0), np.full(2, 9.0), relative=0.0, absolute=1e-9)
    assert np.all((found >= root) & (found <= root + 1e-9))
    assert all(any(one == value for value in np.array(asked)[:, k]) for k, one in enumerate(found))
    assert len(asked) < 25
    fixed = solve.smallest(excess, np.array([2.0, -3.0]), np.array([2.0, 9.0]), relative=1e-9)
    assert fixed[0] == 2.0 and fixed[1] == pytest.approx(root[1], abs=1e-8)
    assert solve.inverse_of(lambda e: -e, (), -3.0) == pytest.approx(3.0, rel=1e-7)
    assert solve.inverse_of(lambda e: -4.0 - e, (2,), -3.0).tolist() == [0.0, 0.0]
    assert np.all(np.isinf(solve.inverse_of(lambda e: np.zeros(2), (2,), -3.0)))


def test_wrong_calls():
    with pytest.raises(ValueError, match="unlearn_steps = 0"):
        linear.deletion_noises(PROBLEM, replace(SCHEDULE, unlearn_steps=0), epsilon=1.0, delta=0.1)
    with pytest.raises(ValueError, match=r"delta = 1\.0"):
        linear.deletion_noises(PROBLEM, SCHEDULE, epsilon=1.0, delta=1.0)
    with pytest.raises(ValueError, match="unlearn_steps = 0"):
        uniform_noise(PROBLEM, replace(SCHEDULE, unlearn_steps=0), epsilon=1.0, delta=0.1)
    with pytest.raises(ValueError, match="indices is empty"):
        uniform_noise(PROBLEM, SCHEDULE, epsilon=1.0, delta=0.1, indices=[])
    with pytest.raises(ValueError, match="method = 'magic'"):
        calibrate_all(PROBLEM, SCHEDULE, epsilon=1.0, delta=0.1, method="magic")


def test_the_command_writes_both_files_and_a_table(tmp_path, capsys):
    rng = np.random.default_rng(0)
    data = tmp_path / "data.npz"
    np.savez(data, features=PROBLEM.features, targets=rng.standard_normal((5, 2)))
    out = tmp_path / "here" / "plan.npz"
    words = ["--data", str(data), "--steps", "5", "--unlearn-steps", "3", "--noise", "0.1", "--epsilon", "0.2"]
    assert plan_command.main([*words, "--points", "4", "--chunk", "2", "--workers", "1", "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    assert "median / exact" in shown and "uniform" in shown
    with np.load(out, allow_pickle=False) as saved:
        assert saved["exact"].shape == (4,)
        assert np.all(saved["coupling"] >= saved["exact"])
        assert np.all(saved["best"] <= saved["hull"] * (1 + 1e-8))
        best = saved["best"]
    with out.with_suffix(".csv").open(newline="") as text:
        rows = list(csv.DictReader(text))
    assert [float(row["best"]) for row in rows] == best.tolist()
    assert sorted(path.name for path in out.parent.iterdir()) == ["plan.csv", "plan.npz"]
    assert plan_command.main([*words, "--points", "9"]) == 2
    assert "points = 9: must be at least 1 and at most 5" in capsys.readouterr().err
    assert plan_command.main([*words, "--out", "plan.csv"]) == 2
    assert "must not end in .csv" in capsys.readouterr().err
