"""What is measured on runs: estimates that find what is planted, say what they are, and refuse what they cannot tell."""

import math

import numpy as np
import pytest

from bounds.renyi_dp import compose, holder_orders, plain_sum, sum_rule
from torch_bridge import barriers, difficulty, membership
from torch_bridge.privacy_loss import privacy_loss
from torch_bridge.statistics import compare_laws, mean_difference, rank_correlation, t_interval
from torch_bridge.unlearning_steps import steps_to_unlearn

RNG = np.random.default_rng(0)

# ------------------------------------------------------------------------------------------------ privacy loss


def test_privacy_loss_of_every_step_is_the_library_sum() -> None:
    norms = RNG.exponential(size=(7, 5))
    found = privacy_loss(norms, order=4, step_weight=0.1, noise_std=0.3, rate=0.2)
    expected = plain_sum(gradient_norm=0.1 * norms, order=4, noise_std=0.3, rate=0.2)
    np.testing.assert_allclose(found.values, expected, rtol=1e-12)
    assert (found.steps, found.thinning, found.runs) == (7, 1.0, 1)
    assert "biased low" in found.bias
    assert "removed" in found.adjacency
    assert found.as_json()["power"] == "inf"
    powered = privacy_loss(norms, order=4, step_weight=0.1, noise_std=0.3, rate=0.2, power=21.0)
    expected = plain_sum(gradient_norm=0.1 * norms, order=4, noise_std=0.3, rate=0.2, power=21.0)
    np.testing.assert_allclose(powered.values, expected, rtol=1e-12)
    assert (powered.values > found.values).all()


def test_one_full_batch_langevin_step_is_the_closed_form() -> None:
    """b eta |g|^2 / (4 sigma^2 n^2): order 3, eta .5, temperature .2, n 10."""
    found = privacy_loss([[2.0]], order=3, step_weight=0.5 / 10, noise_std=math.sqrt(2 * 0.5) * 0.2)
    assert found.values[0] == pytest.approx(3 * 0.5 * 4.0 / (4 * 0.2**2 * 100), rel=1e-12)


def test_thinned_norms_stand_for_their_stretch_at_its_largest_order() -> None:
    norms = RNG.exponential(size=(2, 3, 4))
    even = privacy_loss(norms, order=2, step_weight=1.0, noise_std=2.0, steps=12)
    full = privacy_loss(np.repeat(norms, 4, axis=1), order=2, step_weight=1.0, noise_std=2.0)
    np.testing.assert_allclose(even.values, full.values, rtol=1e-12)
    assert even.thinning == 4.0
    uneven = privacy_loss(norms, order=2, step_weight=1.0, noise_std=2.0, recorded=[0, 1, 6], steps=7)
    full = privacy_loss(np.repeat(norms, [1, 5, 1], axis=1), order=2, step_weight=1.0, noise_std=2.0)
    np.testing.assert_allclose(uneven.values, full.values, rtol=1e-12)
    thinned = privacy_loss(norms[0], order=2, step_weight=1.0, noise_std=2.0, steps=12, power=36.0)
    exact = privacy_loss(np.repeat(norms[0], 4, axis=0), order=2, step_weight=1.0, noise_std=2.0, power=36.0)
    assert (thinned.values >= exact.values).all()
    assert (thinned.values <= exact.values * 1.1).all()


def test_moment_estimator_is_the_composition_with_means_over_runs() -> None:
    norms = RNG.exponential(size=(6, 4, 3)) * 0.5
    power = 12.0
    found = privacy_loss(norms, order=3, step_weight=0.5, noise_std=1.0, power=power, estimator="moment")
    orders = holder_orders(order=3, steps=4, power=power)

    def log_moment(step: int, order: float, exponent: float) -> np.ndarray:
        loss = np.asarray(sum_rule(order=order, gradient_norm=0.5 * norms[:, step], noise_std=1.0))
        return np.log(np.mean(np.exp(exponent * loss), axis=0))

    np.testing.assert_allclose(found.values, compose(log_moment, order=3, steps=4, power=power), rtol=1e-10)
    one = privacy_loss(norms[:1], order=3, step_weight=0.5, noise_std=1.0, power=power, estimator="moment")
    plain = privacy_loss(norms[:1], order=3, step_weight=0.5, noise_std=1.0, power=power)
    np.testing.assert_allclose(one.values, plain.values, rtol=1e-9)
    # Jensen: the moment over runs is never below the mean of their plain sums.
    several = privacy_loss(norms, order=3, step_weight=0.5, noise_std=1.0, power=power)
    assert (found.values >= several.values).all()
    assert orders[0] > orders[-1]


def test_privacy_loss_refuses() -> None:
    norms = np.ones((2, 3))
    for change, rule in (
        ({"recorded": [0, 2]}, "steps = None"),
        ({"recorded": [1, 2], "steps": 4}, "must increase from 0"),
        ({"recorded": [0, 4], "steps": 4}, "stay below 4"),
        ({"steps": 1}, "steps = 1: must be at least 2"),
        ({"noise_std": 0.0}, r"noise_std = 0\.0"),
        ({"estimator": "moment"}, "power = inf: the moment estimator"),
        ({"order": 1.0}, "order"),
    ):
        with pytest.raises(ValueError, match=rule):
            privacy_loss(norms, **({"order": 2, "step_weight": 1.0, "noise_std": 1.0} | change))
    with pytest.raises(ValueError, match="norms has shape"):
        privacy_loss(np.ones(3), order=2, step_weight=1.0, noise_std=1.0)


# -------------------------------------------------------------------------------------------------- difficulty


def test_difficulty_scores_by_hand() -> None:
    norms = np.array([[[1.0, 2.0], [3.0, 0.0]], [[1.0, 0.0], [5.0, 2.0]]])
    np.testing.assert_allclose(difficulty.average_gradient_norm(norms), [2.5, 1.0])
    np.testing.assert_allclose(difficulty.gradient_norm_early(norms, step=1), [4.0, 1.0])
    probabilities = np.array([[[0.6, 0.4], [0.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]]])
    np.testing.assert_allclose(difficulty.error_norm(probabilities, np.array([0, 0])), [0.4 * 2**0.5 / 2, 2**0.5])
    correct = np.array([[[True, False], [True, False], [True, True], [True, False]]])
    np.testing.assert_allclose(difficulty.learning_slowness(correct), [0.0, 0.75])
    with pytest.raises(ValueError, match="every row must sum to 1"):
        difficulty.error_norm(probabilities * 0.9, np.array([0, 0]))
    with pytest.raises(ValueError, match="from 0 to 1"):
        difficulty.error_norm(probabilities, np.array([0, 2]))
    with pytest.raises(ValueError, match="step = 2"):
        difficulty.gradient_norm_early(norms, step=2)


def test_groups_have_one_size_and_reach_both_ends() -> None:
    score = RNG.normal(size=100)
    groups = difficulty.equal_groups(score, size=20, groups=5)
    np.testing.assert_array_equal(np.sort(groups.ravel()), np.arange(100))
    means = score[groups].mean(axis=1)
    assert (np.diff(means) > 0).all()
    assert set(groups[-1]) == set(np.argsort(score)[-20:])
    wide = difficulty.equal_groups(score, size=10, groups=3)
    assert set(wide[0]) == set(np.argsort(score)[:10])
    crowded = difficulty.equal_groups(np.arange(100.0), size=10, groups=4, crowding=2.0)
    np.testing.assert_array_equal(crowded[:, 0], [0, 50, 80, 90])
    with pytest.raises(ValueError, match=r"crowding = 0\.5"):
        difficulty.equal_groups(score, size=5, groups=3, crowding=0.5)
    for arguments, rule in (((0, 3), "size = 0"), ((101, 3), "size = 101"), ((5, 1), "groups = 1")):
        with pytest.raises(ValueError, match=rule):
            difficulty.equal_groups(score, size=arguments[0], groups=arguments[1])


# ---------------------------------------------------------------------------------------------------- barriers


def test_both_barriers_of_known_lines() -> None:
    share = barriers.shares()
    hill = 3.0 * share * (1 - share) * 4 + share * 2.0  # chord from 0 to 2, hill of height 3 above it
    valley = -hill
    found = barriers.barrier(np.stack([hill, valley, 2.0 * share], axis=1))
    np.testing.assert_allclose(found.above_chord, [3.0, 0.0, 0.0], atol=1e-12)
    top = np.max(np.abs(hill - 2.0))
    np.testing.assert_allclose(found.change, [top, top, 2.0])
    # The readings differ whenever the ends differ: no barrier, yet a change.
    assert found.above_chord[2] == 0.0 < found.change[2]


def test_line_goes_from_the_second_model_to_the_first() -> None:
    losses = barriers.line_losses(lambda w: [float(w @ w), float(w[0])], np.array([1.0, 0.0]), np.array([-1.0, 2.0]))
    assert losses.shape == (21, 2)
    np.testing.assert_allclose(losses[[0, 10, -1], 1], [-1.0, 0.0, 1.0], atol=1e-12)
    np.testing.assert_allclose(losses[[0, 10, -1], 0], [5.0, 1.0, 1.0])
    with pytest.raises(ValueError, match="points = 20"):
        barriers.shares(20)
    with pytest.raises(ValueError, match="at least 21 points"):
        barriers.barrier(np.ones(20))


# ------------------------------------------------------------------------------------------------------- steps


def test_steps_must_arrive_and_stay() -> None:
    steps = np.array([0.0, 1.0, 2.0, 5.0])
    curves = np.array(
        [[9.0, 1.0, 9.0, 1.0], [9.0, 1.4, 1.0, 0.6], [9.0, 9.0, 9.0, 9.0], [1.0] * 4, [1.0, 1.0, 1.0, 2.0]]
    )
    found = steps_to_unlearn(curves, steps, [0.9, 1.1, 1.0, 0.9, 1.1], margin=0.5)
    np.testing.assert_array_equal(found.steps, [5.0, 1.0, np.inf, 0.0, np.inf])
    assert (found.censored, found.median, found.mean, found.budget) == (2, 5.0, np.inf, 5.0)
    assert found.target == pytest.approx(1.0)
    assert steps_to_unlearn(curves[:, :3], steps[:3], [1.0] * 5, margin=0.5).censored == 2


def test_steps_refuse_what_cannot_be_told() -> None:
    curves, steps = np.ones((5, 3)), np.arange(3.0)
    for values, grid, retrained, margin, rule in (
        (curves[:4], steps, [1.0] * 5, 0.1, "at least 5 of each"),
        (curves, steps, [1.0] * 4, 0.1, "at least 5 of each"),
        (curves, steps, [0.0, 2.0, 1.0, 0.0, 2.0], 0.1, "at least twice the standard error"),
        (curves, steps[::-1].copy(), [1.0] * 5, 0.1, "must increase"),
        (curves, steps[:2], [1.0] * 5, 0.1, "must increase and have 3"),
        (curves, steps, [1.0] * 5, 0.0, "margin"),
    ):
        with pytest.raises(ValueError, match=rule):
            steps_to_unlearn(values, grid, retrained, margin=margin)


# -------------------------------------------------------------------------------------------------- membership


def test_attack_finds_members_and_nothing_where_there_is_nothing() -> None:
    rng = np.random.default_rng(1)
    members, others = rng.exponential(0.2, (10, 40)), rng.exponential(1.0, (10, 60))
    found = membership.loss_threshold(members, others)
    # P(member below other) of exponentials of rates 5 and 1 is 5/6
    assert found.auc == pytest.approx(5 / 6, abs=0.05)
    assert 0.65 < found.balanced_accuracy < 0.85
    assert found.member_rate.shape == (40,)
    null = membership.loss_threshold(rng.exponential(1.0, (10, 40)), others)
    assert abs(null.auc - 0.5) < 0.08
    assert abs(null.balanced_accuracy - 0.5) < 0.05
    one_point = members.copy()
    one_point[:, 3] = 9.0
    assert membership.loss_threshold(one_point, others).member_rate[3] == 0.0


def test_threshold_is_never_measured_on_the_runs_it_was_chosen_on() -> None:
    """Losses that carry the run's number: a threshold tuned on the same run would separate them perfectly."""
    runs = np.arange(2)[:, None] * 10.0
    members, others = runs + 1.0 + np.zeros((2, 5)), runs + 2.0 + np.zeros((2, 5))
    assert membership.loss_threshold(members, others).balanced_accuracy == 0.5
    assert membership.loss_threshold(members, others).auc == 1.0  # within a model they are separated


def test_auc_counts_pairs() -> None:
    members, others = np.array([1.0, 2.0, 2.0]), np.array([2.0, 3.0])
    pairs = [(m < o) + 0.5 * (m == o) for m in members for o in others]
    assert membership.auc(members, others) == pytest.approx(np.mean(pairs))
    assert membership.best_threshold([0.1, 0.2], [0.5, 0.9]) == pytest.approx(0.35)
    areas = membership.per_point_auc(np.array([[0.0, 5.0], [1.0, 5.0]]), np.array([[2.0, 5.0], [3.0, 5.0]]))
    np.testing.assert_allclose(areas, [1.0, 0.5])
    with pytest.raises(ValueError, match="at least 2"):
        membership.loss_threshold(np.ones((1, 3)), np.ones((1, 3)))


# -------------------------------------------------------------------------------------------------- statistics


def test_rank_correlation_is_spearmans_and_covers_it() -> None:
    from scipy import stats

    rng = np.random.default_rng(2)
    x, y = rng.integers(0, 5, 30).astype(float), rng.normal(size=30)
    assert rank_correlation(x, y).value == pytest.approx(stats.spearmanr(x, y).statistic)
    assert rank_correlation(x, np.exp(x)).value == pytest.approx(1.0)
    assert rank_correlation([1.0, 2.0, np.inf, np.inf], [0.0, 1.0, 2.0, 2.0]).value == pytest.approx(1.0)
    # Bivariate normal with Pearson correlation r: Spearman's is 6/pi asin(r/2).
    covered, truth = 0, 6 / np.pi * np.arcsin(0.3)
    for seed in range(100):
        rng = np.random.default_rng([3, seed])
        x = rng.normal(size=40)
        y = 0.6 * x + 0.8 * rng.normal(size=40)
        found = rank_correlation(x, y, confidence=0.9, resamples=300)
        covered += found.lower <= truth <= found.upper
    assert 80 <= covered <= 97
    assert np.isnan(rank_correlation([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]).value)
    assert rank_correlation([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]).as_json()["value"] is None
    with pytest.raises(ValueError, match="one length, at least 3"):
        rank_correlation([1.0, 2.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="nan"):
        rank_correlation([1.0, np.nan, 2.0], [1.0, 2.0, 3.0])


def test_t_intervals() -> None:
    found = t_interval([1.0, 2.0, 3.0, 4.0])
    half = 3.182446305284263 * np.std([1, 2, 3, 4], ddof=1) / 2
    assert found.value == 2.5
    assert found.upper == pytest.approx(2.5 + half, rel=1e-9)
    paired = mean_difference([1.0, 2.0, 3.0], [0.5, 1.5, 2.5])
    assert (paired.lower, paired.value, paired.upper) == (0.5, 0.5, 0.5)
    with pytest.raises(ValueError, match="at least two runs"):
        t_interval([1.0])


def test_left_out_errors_of_a_line_are_the_closed_form() -> None:
    """Residual / (1 - leverage): every point is predicted by a line that has not seen it."""
    rng = np.random.default_rng(5)
    x = np.sort(rng.exponential(size=12))
    k = 3 * x + rng.normal(size=12)
    design = np.stack([np.ones(12), x], axis=1)
    hat = design @ np.linalg.solve(design.T @ design, design.T)
    expected = np.sqrt(np.mean(((k - hat @ k) / (1 - np.diag(hat))) ** 2))
    assert compare_laws(x, k).line == pytest.approx(expected, rel=1e-9)


def test_laws_are_told_apart_where_they_can_be() -> None:
    rng = np.random.default_rng(4)
    x = np.geomspace(0.01, 30, 40)
    noise = rng.normal(size=40)
    log = compare_laws(x, 20 * np.log(3 * x + 1.5) + noise)
    assert log.log_over_line.upper < 1
    assert log.log_over_power.upper < 1
    line = compare_laws(x, 5 * x + 2 + noise)
    # A line is the logarithm's limit: it is then neither better nor clearly worse.
    assert line.log_over_line.upper > 1
    power = compare_laws(x, 2 * x**1.7 + noise)
    assert power.log_over_power.lower > 1
    shuffled = compare_laws(x, rng.permutation(20 * np.log(3 * x + 1.5)))
    assert shuffled.explained < 0.3
    assert shuffled.log_over_line.upper > 1
    censored = compare_laws(x, np.where(x > 20, np.inf, 20 * np.log(3 * x + 1.5)))
    assert (censored.points, censored.left_out) == (int((x <= 20).sum()), int((x > 20).sum()))
    assert set(log.as_json()) >= {"loo_rms", "log_over_line", "left_out"}
    with pytest.raises(ValueError, match="at least 4"):
        compare_laws(x[:4], x[:4])


# ---------------------------------------------------------------------------------------------- saved measurements


def test_saved_measurements_belong_together_and_are_small() -> None:
    from torch_bridge import saved

    assert {"difficulty_smoke", "clipping_smoke", "audit_smoke"} <= set(saved.names())
    for name in saved.names():
        found = saved.load(name)
        assert found.command.startswith("unlearncheck deep ")
        assert found.numbers["arrays"].keys() == found.arrays.keys()
    assert sum(path.stat().st_size for path in saved.FOLDER.iterdir()) < 3_000_000
    with pytest.raises(FileNotFoundError, match=r"name = 'nothing': .* holds audit"):
        saved.load("nothing")


def test_saved_arrays_of_another_run_are_refused(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch_bridge import saved

    monkeypatch.setattr(saved, "FOLDER", tmp_path)
    (tmp_path / "x.json").write_text('{"command": "", "arrays": {"a": ["float64", [2]]}}')
    np.savez(tmp_path / "x.npz", a=np.zeros(3))
    with pytest.raises(ValueError, match=r"the \.npz is not the one"):
        saved.load("x")
