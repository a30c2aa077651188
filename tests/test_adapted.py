"""Adapted shifts: the theorem as code, plans and budgets, exact laws of a linear plan, the certificate of ridge."""

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy import integrate, stats

import linear
from bounds import adapted, gaussian_dp
from bounds._gaussian_ratio import GaussianRatio, chernoff, chernoff_epsilon, epsilon_for, log_hockey_stick
from bounds.adapted_linear import AffinePair, LinearQuadratic, RiskSensitive
from bounds.adapted_paths import instants, path_laws
from bounds.adapted_plans import AtTheEnd, Contracting, Forecasting, Past, PeekError, Spread, Step, accumulate
from bounds.adapted_tail import BudgetLaw
from bounds.deletion.adapted import Adapted, adapted_epsilons, deletions
from bounds.deletion.facts import DeletionFacts
from linear.audit import clopper_pearson
from linear.datasets import load
from paper_checks import adapted_points
from paper_checks.adapted._pairs import shifts_by_noise

THREE_ROWS = linear.RidgeProblem(np.array([[1.0, 0], [1, 1], [0, 1]]), np.array([1.0, 2, -1]), ridge=0.5)
SHORT = linear.Schedule(step_size=0.2, learn_steps=3, unlearn_steps=2, learn_noise=0.1, unlearn_noise=0.2)


def affine(problem: linear.RidgeProblem, schedule: linear.Schedule, index: int) -> AffinePair:
    """The two chains of a deletion, step by step, from the data alone."""
    eta, rest = schedule.step_size, problem.without(index)
    full = (np.eye(problem.n_features) - eta * problem.hessian, eta * problem.cross)
    less = (np.eye(problem.n_features) - eta * rest.hessian, eta * rest.cross)
    steps = [full] * schedule.learn_steps + [less] * schedule.unlearn_steps
    maps, offsets = (np.stack([step[k] for step in steps]) for k in (0, 1))
    others = np.stack([less[0]] * schedule.horizon), np.stack([less[1]] * schedule.horizon)
    return AffinePair(maps, offsets, *others, schedule.noise_std, problem.initial)


def random_deletion(rng: np.random.Generator) -> tuple[linear.RidgeProblem, linear.Schedule, int]:
    n, p, outputs = int(rng.integers(1, 5)), int(rng.integers(1, 4)), int(rng.integers(1, 3))
    features = rng.standard_normal((n, p)) * np.exp(0.5 * rng.standard_normal((n, 1)))
    problem = linear.RidgeProblem(features, 2 * rng.standard_normal((n, outputs)), ridge=float(rng.uniform(0.05, 1)))
    schedule = linear.Schedule(
        step_size=float(rng.uniform(0.1, 1)) / problem.smoothness,
        learn_steps=int(rng.integers(1, 7)),
        unlearn_steps=int(rng.integers(1, 4)),
        learn_noise=float(rng.uniform(0.1, 1)),
        unlearn_noise=float(rng.uniform(0.1, 1)),
    )
    return problem, schedule, int(rng.integers(n))


# -- the theorem -----------------------------------------------------------------------------------------------------


def test_promise_is_profile_plus_tail_rounded_up():
    assert adapted.delta(1.0, 1e-3, 1.0) == pytest.approx(0.12693673750664 + 1e-3, rel=1e-12)
    assert adapted.log_delta(1.0, math.log(1e-3), 1.0) == pytest.approx(math.log(0.12693673750664 + 1e-3), abs=1e-12)
    epsilon = adapted.epsilon(0.5, 4e-6, 1e-5)
    assert adapted.delta(0.5, 4e-6, epsilon) <= 1e-5
    assert adapted.epsilon(0.5, 1e-5, 1e-5) == math.inf
    with pytest.raises(ValueError, match=r"tail = 1\.5"):
        adapted.delta(1.0, 1.5, 1.0)
    with pytest.raises(ValueError, match=r"log_tail = 0\.1"):
        adapted.log_delta(1.0, 0.1, 1.0)


@pytest.mark.parametrize(("exceeded", "runs"), [(0, 1), (0, 1000), (3, 1000), (999, 1000), (50, 60)])
def test_tail_limit_is_the_auditors_own_limit(exceeded, runs):
    assert adapted.tail_limit(exceeded, runs, 0.99) == pytest.approx(
        clopper_pearson(exceeded, runs, 0.99, "upper"), rel=1e-7
    )
    assert adapted.tail_limit(runs, runs, 0.99) == 1.0


def test_mean_limit_covers_every_coin_exactly():
    # P[limit < p] is at most 1 - confidence for every coin: summed over all outcomes of 50 tosses.
    limits = np.array([adapted.mean_limit((np.arange(50) < k) * 1.0, 0.9) for k in range(51)])
    for p in (0.01, 0.05, 0.2, 0.5, 0.9):
        assert stats.binom.pmf(np.arange(51), 50, p)[limits < p].sum() <= 0.1
    assert adapted.mean_limit(np.zeros(1000), 0.99) == pytest.approx(-math.expm1(math.log(0.01) / 1000), rel=1e-9)


def test_a_single_gap_is_exact():
    # T = K = 1 in one dimension, a known gap g after the first step and the factor a: B = (a g)^2 / (a^2 s^2 + u^2).
    a, g, s, u = 0.7, 1.3, 0.4, 0.9
    maps = np.full((2, 1, 1), a)
    pair = AffinePair(maps, np.array([[[g]], [[0.0]]]), maps, np.zeros((2, 1, 1)), np.array([s, u]), np.zeros((1, 1)))
    law = LinearQuadratic(pair).budget_law()
    assert law.variance == pytest.approx(0, abs=1e-20)
    assert law.mean == pytest.approx((a * g) ** 2 / (a**2 * s**2 + u**2), rel=1e-12)
    assert law.log_delta(0.8) == pytest.approx(float(gaussian_dp.log_delta(math.sqrt(law.mean), 0.8)), rel=1e-12)


# -- plans and budgets -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plan", [Spread(), Contracting(0.8), Forecasting(0.8, 3), AtTheEnd(0.8, 3)])
def test_every_plan_ends_where_the_base_ends_and_its_ratio_has_mean_one(plan):
    pair = affine(THREE_ROWS, SHORT, 1)
    start = np.zeros((20_000, 2, 1))
    found = accumulate(pair.base, pair.reference, SHORT.noise_std, start, plan, np.random.default_rng(3))
    assert np.all(np.isfinite(found.budgets))
    # E_X e^{-L} = 1 whatever the plan, if it does not peek
    assert np.exp(-found.log_ratios).mean() == pytest.approx(1, abs=0.06)
    other = accumulate(
        pair.base, pair.reference, SHORT.noise_std, start, plan, np.random.default_rng(4), under="reference"
    )
    assert np.exp(other.log_ratios).mean() == pytest.approx(1, abs=0.15)
    exact = linear.deletion_pair(THREE_ROWS, SHORT, 1)
    for epsilon in (0.0, 1.0):
        assert adapted.path_delta(found.log_ratios, epsilon, confidence=1 - 1e-8) >= math.exp(
            exact.log_hockey_stick(epsilon)
        )
        assert adapted.path_delta(-other.log_ratios, epsilon, confidence=1 - 1e-8) >= math.exp(
            exact.log_hockey_stick(epsilon, reverse=True)
        )


def test_a_plan_that_peeks_is_told_so():
    class Peeks:
        def shift(self, step):
            return -step.noise_std[step.number] * step.past[step.number]

    pair = affine(THREE_ROWS, SHORT, 1)
    with pytest.raises(PeekError, match="step = 0: a plan at step 0"):
        accumulate(pair.base, pair.reference, SHORT.noise_std, np.zeros((5, 2, 1)), Peeks(), np.random.default_rng(0))


def test_runs_whose_ends_differ_promise_nothing():
    std = np.array([1.0, 0.0])
    found = accumulate(lambda k, x: x + k, lambda k, x: x, std, np.zeros((4, 1)), Spread(), np.random.default_rng(0))
    assert np.all(np.isinf(found.budgets)) and np.all(found.log_ratios == math.inf)
    back = accumulate(
        lambda k, x: x + k, lambda k, x: x, std, np.zeros((4, 1)), Spread(), np.random.default_rng(0), under="reference"
    )
    assert np.all(back.log_ratios == -math.inf)
    assert adapted.path_delta(-back.log_ratios, 5.0) == 1.0


def test_choice_and_count_use_different_runs():
    rng = np.random.default_rng(1)
    first, second = rng.chisquare(3, 4000), rng.chisquare(3, 4000)
    chosen = adapted.truncated_certificate(first, second, delta=0.05)
    moved = adapted.truncated_certificate(first, second + 100, delta=0.05)
    assert chosen.mu == moved.mu and moved.tail == 1.0
    assert stats.chi2.sf(chosen.mu**2, 3) <= chosen.tail
    assert chosen.epsilon(0.05) < math.inf and chosen.delta(chosen.epsilon(0.05)) <= 0.05


def test_path_epsilon_is_infinite_where_the_runs_cannot_tell():
    assert adapted.path_epsilon(np.zeros(100), np.zeros(100), delta=1e-5) == math.inf
    ratios = np.random.default_rng(0).normal(0.5, 1, (2, 20_000))
    found = adapted.path_epsilon(*ratios, delta=0.05)
    assert gaussian_dp.epsilon(1.0, 0.05) <= found <= 1.3 * gaussian_dp.epsilon(1.0, 0.05)


# -- the linear plan -------------------------------------------------------------------------------------------------


def test_linear_plan_closes_the_gap_by_itself_and_has_the_laws_it_says():
    rng = np.random.default_rng(6)
    for _ in range(6):
        problem, schedule, index = random_deletion(rng)
        for pair in (affine(problem, schedule, index), affine(problem, schedule, index).exchanged()):
            plan = LinearQuadratic(pair)
            # its own last shift, without the closing rule
            x, y = np.zeros((50, *pair.start.shape)), np.zeros((50, *pair.start.shape))
            for k, std in enumerate(pair.noise_std):
                gap = plan.predicted(k, x, y)
                w = std**2 * plan.ahead[0][k + 1].T @ np.linalg.solve(plan.variances[k], gap)
                noise = std * rng.standard_normal(x.shape)
                x, y = pair.base(k, x) + noise, pair.reference(k, y) + w + noise
            assert np.abs(x - y).max() < 1e-9 * (1 + np.abs(x).max())
            start = np.zeros((4000, *pair.start.shape))
            found = accumulate(pair.base, pair.reference, pair.noise_std, start, plan, rng)
            law = plan.budget_law()
            error = math.sqrt(law.variance / 4000) * 5.8 + 1e-9 * law.mean
            assert abs(found.budgets.mean() - law.mean) <= error
            # the same laws by the backward recursion
            for theta in (0.3 / (law.mean + 1), -0.2):
                assert plan.log_moment(theta) == pytest.approx(law.log_moment(theta), rel=1e-9, abs=1e-11)
            assert plan.log_moment(-0.5, -1.0) == pytest.approx(0, abs=1e-12)
            ratio = plan.path_ratio()
            assert plan.log_moment(0.2, 0.4) == pytest.approx(float(ratio.log_moment(np.array([0.4]))[0]), rel=1e-8)


def test_tail_by_contour_and_chernoff_against_known_laws():
    # weights equal, no pull: a scaled chi-square; one weight with a pull: a shifted one.
    law = BudgetLaw(np.array([0.3, 0.3]), np.zeros(2), 0.5, 3)
    for budget in (3.0, 6.0, 20.0):
        exact = float(stats.chi2.logsf((budget - 0.5) / 0.3, 6))
        assert 0 <= law.tail(budget) - exact <= 1e-8
        assert law.chernoff_tail(budget) >= exact
    shifted = BudgetLaw(np.array([0.2]), np.array([0.5]), 0.5**2 / 0.2, 1)
    for budget in (4.0, 12.0):
        exact = float(stats.ncx2.logsf(budget / 0.2, 1, 0.5**2 / 0.2**2))
        assert 0 <= shifted.tail(budget) - exact <= 1e-8
    assert law.tail(0.1) == 0.0
    assert BudgetLaw(np.zeros(0), np.zeros(0), 2.0, 1).tail(3.0) == -math.inf


def test_promise_of_a_random_budget_is_reached_by_quadrature():
    law = BudgetLaw(np.array([0.05]), np.zeros(1), 1.0, 1)
    best = min(
        float(gaussian_dp.delta(math.sqrt(b), 2.0)) + float(stats.chi2.sf((b - 1) / 0.05, 1))
        for b in np.linspace(1.01, 4, 3000)
    )
    assert math.exp(law.log_delta(2.0)) == pytest.approx(best, rel=1e-3)
    assert law.log_delta(2.0, guaranteed=True) >= law.log_delta(2.0)


# -- likelihood ratios of two Gaussian laws --------------------------------------------------------------------------


def test_hockey_stick_of_one_coordinate_by_quadrature():
    for shift, excess, epsilon in [(0.5, 0.4, 0.3), (2.0, -0.5, 1.0), (0.0, 1.5, 0.2), (1.0, 0.0, 2.0)]:
        law = GaussianRatio(np.array([[shift]]), np.array([[excess]]), np.zeros(1), 1)
        p, q = stats.norm(math.sqrt(shift), math.sqrt(1 + excess)), stats.norm(0, 1)
        for pair, first, second in ((law, p, q), (law.swapped(), q, p)):
            exact = integrate.quad(
                lambda t, f=first, s=second, e=epsilon: max(f.pdf(t) - math.exp(e) * s.pdf(t), 0.0),
                -15,
                15,
                limit=400,
                points=[-1, 0, 1],
            )[0]
            value = float(np.exp(log_hockey_stick(pair, np.array([epsilon]))[0]))
            assert abs(value - exact) <= 1e-6
            assert float(np.exp(chernoff(pair, np.array([epsilon]))[0])) >= exact - 1e-8


def test_epsilon_for_is_a_root_and_chernoff_never_below_it():
    rng = np.random.default_rng(0)
    law = GaussianRatio(10 ** rng.uniform(-3, 0, (20, 3)), np.expm1(0.3 * rng.standard_normal((20, 3))), np.ones(20), 2)
    target = np.full(20, math.log(1e-5))
    found = epsilon_for(law, target)
    assert np.all(log_hockey_stick(law, found) <= target)
    assert np.all(log_hockey_stick(law, found * (1 - 1e-5)) > target)
    guaranteed = chernoff_epsilon(law, target)
    assert np.all(guaranteed >= found * (1 - 1e-9)) and np.all(guaranteed <= 1.3 * found)
    assert np.all(chernoff(law, guaranteed) <= target + 1e-9)
    far = GaussianRatio(np.zeros((1, 0)), np.zeros((1, 0)), np.array([np.inf]), 1)
    assert epsilon_for(far, np.array([-5.0]))[0] == math.inf and log_hockey_stick(far, np.array([3.0]))[0] == 0.0


# -- ridge -----------------------------------------------------------------------------------------------------------


def test_paths_in_blocks_are_the_dense_plan_when_every_step_is_looked_at():
    rng = np.random.default_rng(8)
    for _ in range(8):
        problem, schedule, index = random_deletion(rng)
        laws = path_laws(deletions(DeletionFacts.of(problem, schedule, index)), blocks=50)
        plan = LinearQuadratic(affine(problem, schedule, index))
        assert laws.budget[0] == pytest.approx(plan.budget_law().mean, rel=1e-8)
        for w in (0.1, 0.7, -1.3):
            exact = plan.log_moment(w / 2, w)
            if math.isfinite(exact):
                assert laws.ratio.log_moment(np.array([w]))[0] == pytest.approx(exact, rel=1e-6, abs=1e-9)


def test_fewer_looks_want_a_little_more_budget_and_promise_a_little_more():
    rng = np.random.default_rng(9)
    problem = linear.RidgeProblem(rng.standard_normal((30, 6)), rng.standard_normal((30, 2)), ridge=1.0)
    schedule = linear.Schedule(
        step_size=1 / problem.smoothness, learn_steps=60, unlearn_steps=8, learn_noise=0.05, unlearn_noise=0.05
    )
    facts = DeletionFacts.of(problem, schedule, 3)
    budgets = [path_laws(deletions(facts), blocks=b).budget[0] for b in (1, 3, 6, 12, 60)]
    assert all(a >= b * (1 - 1e-12) for a, b in pairwise(budgets))
    assert budgets[2] <= 1.02 * budgets[-1]
    assert list(instants(5, 2, 100)) == [0, 1, 2, 3, 4] and list(instants(1, 2, 6)) == [0]
    exact = linear.deletion_pair(problem, schedule, 3)
    bound = Adapted(facts)
    for epsilon in (0.1, 0.3):
        forward, reverse = exact.log_hockey_stick(epsilon), exact.log_hockey_stick(epsilon, reverse=True)
        assert forward <= bound.forward(epsilon) <= bound.chernoff_forward(epsilon) + 1e-6
        assert reverse <= bound.reverse(epsilon) <= bound.chernoff_reverse(epsilon) + 1e-6
        assert bound.forward(epsilon) <= forward + 0.5


@pytest.mark.parametrize(
    "change",
    [
        {"learn_noise": 0.0},
        {"unlearn_noise": 0.0},
        {"learn_steps": 0},
        {"unlearn_steps": 0},
        {"learn_steps": 1},
        {"learn_noise": 0.0, "unlearn_noise": 0.0},
    ],
)
def test_corners_of_the_schedule(change):
    schedule = linear.Schedule(**{**vars(SHORT), **change})
    bound = Adapted(DeletionFacts.of(THREE_ROWS, schedule, 1))
    if schedule.learn_noise == schedule.unlearn_noise == 0:
        assert bound.forward(1.0) == bound.reverse(1.0) == 0.0
        return
    exact = linear.deletion_pair(THREE_ROWS, schedule, 1)
    for epsilon in (0.0, 0.7, 3.0):
        assert bound.forward(epsilon) >= float(exact.log_hockey_stick(epsilon)) - 1e-9
        assert bound.reverse(epsilon) >= float(exact.log_hockey_stick(epsilon, reverse=True)) - 1e-9
    if schedule.learn_steps == 0:
        assert bound.forward(0.5) == -math.inf


def test_many_points_agree_with_one_at_a_time():
    rng = np.random.default_rng(2)
    problem = linear.RidgeProblem(rng.standard_normal((40, 7)), rng.standard_normal((40, 2)), ridge=1.0)
    schedule = linear.Schedule(
        step_size=1 / problem.smoothness, learn_steps=30, unlearn_steps=5, learn_noise=0.1, unlearn_noise=0.1
    )
    calls = []
    found = adapted_epsilons(problem, schedule, delta=1e-4, progress=lambda *done: calls.append(done))
    assert calls == [(40, 40)]
    for index in (0, 17, 39):
        bound = Adapted(DeletionFacts.of(problem, schedule, index))
        at = float(found.epsilon[index])
        assert max(bound.forward(at), bound.reverse(at)) == pytest.approx(math.log(1e-4), abs=1e-4)
        exact = float(linear.deletion_pair(problem, schedule, index).epsilon(1e-4))
        assert exact <= at <= 1.15 * exact
        assert at <= found.guaranteed[index] <= 1.4 * exact


def test_risk_sensitive_plan_has_the_smaller_exponential_moment_and_the_larger_mean():
    rng = np.random.default_rng(3)
    for _ in range(4):
        problem = linear.RidgeProblem(rng.standard_normal((6, 2)), rng.standard_normal(6), ridge=0.3)
        schedule = linear.Schedule(
            step_size=1 / problem.smoothness, learn_steps=6, unlearn_steps=2, learn_noise=0.2, unlearn_noise=0.2
        )
        pair = affine(problem, schedule, 0)
        plain = LinearQuadratic(pair)
        theta = 0.4 * plain.budget_law().threshold
        moments, means = [], []
        for plan in (plain, RiskSensitive(plain, theta)):
            mean, response = shifts_by_noise(pair, plan)
            values, basis = np.linalg.eigh(response.T @ response)
            pulls = np.linalg.norm(basis.T @ response.T @ mean, axis=1)
            law = BudgetLaw(np.maximum(values, 0), pulls, float(np.sum(mean**2)), 1)
            moments.append(law.log_moment(theta))
            means.append(law.mean)
        assert moments[1] < moments[0] and means[1] > means[0]
        with pytest.raises(ValueError, match="theta = "):
            RiskSensitive(plain, 100 * theta).shift(
                Step(0, pair.noise_std, pair.start[None], pair.start[None], None, None, pair.reference, Past([]))
            )


def test_every_point_as_a_command(tmp_path, capsys):
    out = tmp_path / "points.npz"
    arguments = [
        "--points",
        "3",
        "--steps",
        "20",
        "--unlearn-steps",
        "4",
        "--jobs",
        "1",
        "--methods",
        "coupling",
        "--out",
    ]
    assert adapted_points.main([*arguments, str(out)]) == 0
    assert "adapted, Chernoff" in capsys.readouterr().out
    found = np.load(out)
    assert np.all(found["exact"] <= found["adapted"]) and np.all(found["adapted"] <= found["guaranteed"])
    assert np.all(found["adapted"] <= found["coupling"])
    assert adapted_points.main(["--delta", "2"]) == 2


def test_a_point_has_its_epsilon_in_any_company():
    # Innovations that one point cannot tell from rounding are kept for others of its batch: once these were divided by 0.
    data = load("digits")
    problem = linear.RidgeProblem(data.train_features, data.train_targets, ridge=1.0)
    schedule = linear.Schedule(
        step_size=1 / problem.smoothness, learn_steps=300, unlearn_steps=30, learn_noise=0.01, unlearn_noise=0.01
    )
    company = adapted_epsilons(problem, schedule, delta=1e-5, indices=np.arange(100)).epsilon
    alone = adapted_epsilons(problem, schedule, delta=1e-5, indices=np.array([28])).epsilon[0]
    exact = linear.deletion_epsilons(problem, schedule, 1e-5, indices=np.arange(100)).epsilon[:, 0]
    assert np.all((exact <= company) & (company <= 1.2 * exact))
    assert company[28] == pytest.approx(alone, rel=1e-4)
