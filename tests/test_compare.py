"""Every theory on tiny ridge problems: none asks for less than the exact laws, and nothing is ever nan."""

import csv
import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

import linear
from bounds import log_law
from bounds.deletion import certify
from bounds.deletion.facts import DeletionFacts
from bounds.deletion.theories import case as compare_case
from bounds.deletion.theories import comparison
from bounds.deletion.theories.catalogue import EXACT, THEORIES
from bounds.deletion.theories.renyi import moment_losses
from figures.ours import every_theory
from linear.gaussian_path import LinearStep, linear_path_renyi
from linear.langevin import exact_laws
from paper_checks import cli, compare, sigma_table, slack

BUDGET = compare_case.Budget(0.3, 1e-4, 5e-5)
BY_NAME = {theory.name: theory for theory in THEORIES}


def tiny(ridge=0.5, outputs=2, seed=3, n=5, p=3):
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((n, p)) / math.sqrt(p)
    features[0] *= 3.0
    return linear.RidgeProblem(features, rng.standard_normal((n, outputs)), ridge=ridge)


def schedule_of(problem, **changes):
    given = {"learn_steps": 12, "unlearn_steps": 4, "learn_noise": 0.3, "unlearn_noise": 0.3}
    return comparison.default_schedule(problem, **{**given, **changes})


def cases(problem, schedule, budget=BUDGET):
    uniform = compare_case.uniform_facts(problem, schedule, budget)
    return [
        compare_case.build(problem, schedule, index, budget=budget, uniform=uniform)
        for index in range(problem.n_points)
    ]


SETTINGS = {
    "plain": (tiny(), {}),
    "little contraction": (tiny(ridge=0.01), {}),
    "much contraction": (tiny(ridge=20.0), {"learn_steps": 40}),
    "one learning step": (tiny(outputs=1), {"learn_steps": 1}),
    "more features than rows": (tiny(n=3, p=6), {}),
    "loud learning": (tiny(), {"learn_noise": 3.0, "unlearn_noise": 0.2}),
}


@pytest.fixture(params=SETTINGS, scope="module")
def answered(request):
    """Every row's case with each theory's (noise, steps)."""
    problem, changes = SETTINGS[request.param]
    return [
        (case, {name: (theory.noise(case), theory.steps(case)) for name, theory in BY_NAME.items()})
        for case in cases(problem, schedule_of(problem, **changes))
    ]


def test_no_theory_asks_for_less_than_the_exact_laws(answered):
    for case, asked in answered:
        for noise, steps in asked.values():
            assert noise >= asked["exact"][0] * (1 - 3e-5)
            assert steps >= asked["exact"][1]
            if math.isfinite(noise):
                assert EXACT.holds(case, noise, case.schedule.unlearn_steps)


def test_answers_are_the_least_that_hold(answered):
    for case, asked in answered[:2]:
        for name, (noise, steps) in asked.items():
            theory, given = BY_NAME[name], case.schedule
            if noise < math.inf:
                assert theory.holds(case, noise, given.unlearn_steps)
                assert noise == 0 or not theory.holds(case, noise * (1 - 3e-5), given.unlearn_steps)
            if steps < math.inf:
                assert theory.holds(case, given.unlearn_noise, int(steps))
                assert steps == 0 or not theory.holds(case, given.unlearn_noise, int(steps) - 1)


def test_order_of_the_theories_where_one_implies_the_other(answered):
    for _, asked in answered:
        for better, worse in (
            ("hull", "unlearning_only"),
            ("hull", "gdp_uniform"),
            ("gdp_uniform", "langevin_improved"),
            ("langevin_improved", "langevin"),
            ("hull", "per_instance_renyi"),
            ("coupling", "unlearning_only"),
        ):
            for first, second in zip(asked[better], asked[worse], strict=True):
                assert first <= second * (1 + 3e-5)


@pytest.mark.parametrize("name", ["langevin", "langevin_improved", "gdp_uniform", "noisy_sgd"])
def test_uniform_theories_answer_alike_for_every_row(name):
    problem = tiny()
    several = cases(problem, schedule_of(problem))
    assert len({BY_NAME[name].noise(case) for case in several}) == 1
    assert len({BY_NAME[name].steps(case) for case in several}) == 1


def test_vacuous_is_infinite_and_nothing_is_nan():
    problem = tiny(ridge=0.01)
    schedule = schedule_of(problem, learn_noise=1e-3)
    budget = compare_case.Budget(1e-3, 1e-12, 5e-13)
    result = comparison.compare(problem, schedule, budget=budget, points=3, data="tiny")
    assert np.isinf(result.column("noise", "langevin")).all()
    assert np.isinf(result.column("noise", "per_instance_moments")).all()
    for values in (result.noise, result.steps, result.losses, *(result.ratios("noise", name) for name in BY_NAME)):
        assert not np.isnan(values).any()
    assert np.isfinite(result.column("noise", "exact")).all()


def test_interrupted_comparison_keeps_what_is_finished():
    problem = tiny()

    def interrupt(done, total):
        if done < total:
            raise KeyboardInterrupt

    result = comparison.compare(
        problem, schedule_of(problem), budget=BUDGET, points=None, data="tiny", progress=interrupt
    )
    assert result.settings["interrupted"] == 1
    assert result.indices.tolist() == [0, 1]
    assert result.noise.shape == (2, len(THEORIES))


def test_reduced_problem_has_the_same_exact_laws():
    problem = tiny(n=30)
    schedule = schedule_of(problem)
    for index in (0, 7, 29):
        full, small = (
            exact_laws(problem, schedule, index),
            exact_laws(compare_case.reduced(problem, index), schedule, 0),
        )
        for one, other in zip(full, small, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)


def test_facts_at_other_steps_are_those_gathered_afresh():
    problem = tiny()
    schedule = schedule_of(problem)
    case = cases(problem, schedule)[0]
    for steps in (0, 1, 7, 200):
        fresh = DeletionFacts.of(case.problem, replace(schedule, unlearn_steps=steps, unlearn_noise=0.7), 0)
        quick = case.at(0.7, steps)
        for name in ("decay", "unlearn_variance", "mean_gap", "reference_variance"):
            np.testing.assert_allclose(getattr(quick, name), getattr(fresh, name), rtol=1e-11)


def test_merged_steps_are_the_steps_one_by_one():
    for contraction, steps in ((0.9, 5), (0.5, 1), (1.0, 7), (0.999, 400)):
        factor, variance = 1.0, 0.0
        for _ in range(steps):
            factor, variance = factor * contraction, contraction**2 * variance + 0.49
        merged = compare_case.merged(contraction, 0.7, steps)
        assert merged == pytest.approx((factor, math.sqrt(variance)), rel=1e-11)
        assert merged[0] >= factor * (1 - 1e-15)
        assert merged[1] <= math.sqrt(variance)
    assert compare_case.merged(0.9, 0.7, 0) == (1.0, 0.0)


def test_certificates_of_the_library_agree():
    """The library sizes both directions by their own chains, this comparison by one; they differ by little."""
    problem = tiny()
    schedule = schedule_of(problem)
    for case in cases(problem, schedule)[:3]:
        for name in ("unlearning_only", "hull", "direction_aware", "coupling"):
            noise = BY_NAME[name].noise(case)
            if noise == 0:
                continue
            asked = replace(schedule, unlearn_noise=noise)
            certificate = certify(problem, asked, case.index, delta_s=BUDGET.delta_s, method=name)
            assert certificate.epsilon(BUDGET.delta) == pytest.approx(BUDGET.epsilon, rel=0.1)


def test_largest_gradient_is_that_of_the_row_that_has_it():
    problem = tiny(n=40)
    schedule = schedule_of(problem)
    several = cases(problem, schedule)
    largest = max(float(case.sensitivity.max()) for case in several) / schedule.step_size
    assert several[0].uniform.gradient == pytest.approx(largest, rel=1e-9)
    assert several[0].uniform.gradient >= largest


def test_path_divergence_is_that_of_the_step_by_step_recursion():
    problem = tiny(outputs=2)
    schedule = schedule_of(problem, learn_steps=5, learn_noise=0.8)
    x, y = problem.features[3], problem.targets[3]
    rest = problem.without(3)
    eta = schedule.step_size
    seen = []
    for order, reverse in itertools.product((1.5, 3.0, 60.0), (False, True)):
        expected = 0.0
        for column in range(2):
            step = LinearStep(
                transition=np.eye(3) - eta * rest.hessian,
                gap_slope=-eta * np.outer(x, x),
                noise_cov=0.64 * np.eye(3),
                offset=eta * rest.cross[:, column],
                gap_offset=eta * y[column] * x,
            )
            expected += linear_path_renyi(
                [step] * 5, order=order, start_mean=np.zeros(3), start_cov=np.zeros((3, 3)), reverse=reverse
            )
        found = slack.path_divergence(problem, schedule, 3, order, reverse=reverse)
        assert found == pytest.approx(expected, rel=1e-9)
        seen.append(expected)
    assert math.isinf(seen[-1])
    assert math.isfinite(seen[0])


@pytest.mark.parametrize("order", [1.5, 6.0])
def test_slack_never_shrinks_where_a_link_only_gives_away(order):
    problem, seen_finite = tiny(n=40), 0
    for case in cases(problem, schedule_of(problem, learn_noise=1.0, unlearn_noise=1.0))[1:4]:
        links, steps, terms = slack.chains(case, order=order)
        assert steps == EXACT.steps(case)
        for link in links:
            assert link.value >= links[0].value * (1 - 1e-9)
            assert not math.isnan(link.factor)
        values = {(link.chain, link.what): link.value for link in links}
        uniform = [value for (chain, _), value in values.items() if chain == "Langevin unlearning"]
        for before, after in itertools.pairwise(uniform):
            assert after >= before * (1 - 1e-9) or math.isinf(before)
        own = [value for (chain, _), value in values.items() if chain == "per-instance reading"]
        for before, after in itertools.pairwise(own):
            assert after >= before * (1 - 1e-9) or math.isinf(before)
        seen_finite += math.isfinite(own[2])
        assert terms.away >= 0
    assert seen_finite


def test_irreducible_term_is_finite_exactly_from_the_stated_number_of_steps():
    problem = tiny(ridge=2.0)
    schedule = schedule_of(problem)
    needed = int(slack.stationarity(cases(problem, schedule)[1], 4.0).learn_steps_needed)
    assert needed > 2
    for steps, finite in ((needed - 1, False), (needed, True)):
        case = cases(problem, replace(schedule, learn_steps=steps))[1]
        assert math.isfinite(slack.stationarity(case, 4.0).back) is finite


def test_moment_losses_are_never_below_the_exact_divergence_of_learning():
    problem = tiny(n=20)
    case = cases(problem, schedule_of(problem, learn_noise=2.0))[3]
    orders, losses = moment_losses(case)
    pair = linear.deletion_pair(case.problem, replace(case.schedule, unlearn_steps=0), 0)
    assert np.isfinite(losses).any()
    for order, loss in zip(orders, losses, strict=True):
        assert loss >= pair.renyi(order) * (1 - 1e-12)
        assert loss >= pair.renyi(order, reverse=True) * (1 - 1e-12)


def test_logarithm_is_recovered_and_beats_a_line():
    losses = np.geomspace(0.1, 50, 30)
    law = log_law.fit(losses, 7.0 * np.log(3.0 * losses + 2.0))
    assert law.rms < 0.03 * law.linear_rms
    assert law.scale == pytest.approx(7.0, rel=0.02)
    assert law.shift == pytest.approx(2.0 / 3.0, rel=0.1)
    np.testing.assert_allclose(law.predict(losses), 7.0 * np.log(3.0 * losses + 2.0), atol=0.2)
    assert law.bends
    assert not log_law.fit(losses, 5.0 * losses + 1.0).bends
    flat = log_law.fit(losses, np.full(30, 4.0))
    assert flat.explained == 1.0
    np.testing.assert_allclose(flat.predict(losses), 4.0)


def test_law_leaves_out_what_is_infinite_and_refuses_too_few():
    losses, steps = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 2.0, np.inf, 3.0])
    assert len(log_law.fit(losses, steps).residuals) == 3
    with pytest.raises(ValueError, match="at least 3"):
        log_law.fit(losses, np.full(4, np.inf))


def test_released_noises_that_miss_their_target_are_these_four():
    missed = [(one.size, one.target, one.steps) for one in sigma_table.entries() if not one.meets]
    assert missed == [(11982, 0.5, 2), (11982, 0.5, 5), (10000, 1.0, 2), (10000, 1.0, 5)]
    for one in sigma_table.entries():
        assert sigma_table.reached(one.size, one.steps, one.needed) <= one.target
        if not one.meets:
            assert one.hundredfold <= 1.01 * one.target


def test_ratio_and_quartiles_keep_infinities():
    inf = math.inf
    found = comparison.ratio(np.array([0.0, 1.0, inf, inf, 6.0]), np.array([0.0, 0.0, 2.0, inf, 2.0]))
    assert found.tolist() == [1.0, inf, inf, inf, 3.0]
    assert comparison.quartiles(np.array([1.0, 2.0, inf, inf])) == (1.0, 2.0, inf)


def test_command_prints_saves_and_draws(tmp_path, capsys):
    data = tmp_path / "rows.npz"
    problem = tiny(n=12)
    np.savez(data, features=problem.features, targets=problem.targets)
    out = tmp_path / "out"
    given = ["compare", "--data", str(data), "--points", "4", "--noise", "0.3", "--learn-steps", "10", "--jobs", "1"]
    assert cli.main([*given, "--epsilon", "0.3", "--slack", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    for word in ("Unlearning noise at 30", "coupling", "Where the slack goes", "Released noise table", "irreducible"):
        assert word in printed
    stem = out / "compare-rows"
    saved = comparison.load(stem.with_suffix(".npz"))
    assert saved.noise.shape == (4, len(THEORIES))
    rows = list(csv.DictReader(stem.with_suffix(".csv").read_text().splitlines()))
    assert [float(row["steps:exact"]) for row in rows] == saved.column("steps", "exact").tolist()
    assert all(math.isfinite(float(row["residual:exact"])) for row in rows)
    assert "Adjacency" in stem.with_suffix(".md").read_text()
    svg = stem.with_suffix(".svg").read_text()
    assert "direction-aware" in svg
    before = stem.with_suffix(".svg").read_bytes()
    assert every_theory.main([str(stem.with_suffix(".npz"))]) == 0
    assert stem.with_suffix(".svg").read_bytes() == before


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--points", "none"], "points = 'none'"),
        (["--points", "0"], "points = '0'"),
        (["--epsilon", "0"], "epsilon = 0.0"),
        (["--delta", "2"], "delta = 2.0"),
        (["--noise", "0"], "learn_noise = 0.0"),
        (["--slack", "--order", "1", "--points", "1", "--learn-steps", "3", "--jobs", "1"], "order = 1.0"),
        (["--data", "nowhere.npz"], "nowhere.npz"),
    ],
)
def test_wrong_calls_end_in_status_2(given, said, tmp_path, capsys):
    assert compare.main([*given, "--out", str(tmp_path)]) == 2
    assert said in capsys.readouterr().err


def test_figure_command_refuses_other_files(tmp_path, capsys):
    other = tmp_path / "other.npz"
    np.savez(other, noise=np.zeros(3))
    assert every_theory.main([str(other)]) == 2
    assert "must be the .npz of a comparison" in capsys.readouterr().err
    assert every_theory.main([]) == 2
