"""Shifted interpolation: the optimum from every side, its closed forms, and the safe side of each."""

import math
import warnings
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.isotonic import isotonic_regression

from bounds import _bok_su_altschuler, _hull, interpolation
from bounds.interpolation import feasible_mu, is_one_segment, optimal_shifts

positive = st.floats(0.05, 2.0)
factor = st.floats(0.05, 1.3)


@st.composite
def instances(draw, least=1, most=9, factors=factor):
    steps = draw(st.integers(least, most))
    columns = [
        draw(st.lists(values, min_size=steps, max_size=steps))
        for values in (st.one_of(st.just(0.0), positive), positive, factors)
    ]
    return tuple(np.array(column) for column in columns)


def random_instance(rng, steps, kind="mixed"):
    s, noise, c = rng.random(steps), 0.1 + rng.random(steps), rng.uniform(0.9, 1.0, steps)
    if kind == "walk":
        s, c = np.exp(np.cumsum(0.05 * rng.normal(size=steps))), np.ones(steps)
    elif kind == "increasing, then 0":
        s, c = np.append(np.arange(1.0, steps), 0.0) / steps, np.ones(steps)
        noise = np.append(np.ones(steps - 1), 30.0)
    elif kind == "idle steps":
        noise[rng.random(steps) < 0.4] = 0.0
        noise[-1] = 0.5
        s[rng.random(steps) < 0.4] = 0.0
    elif kind == "expanding":
        c = rng.uniform(0.95, 1.1, steps)
    return s, noise, c


def plain_stack(s, noise, c, number=float):
    """The minorant as a textbook stack, in any arithmetic: parameter squared, and the number of segments."""
    stack = []
    for p, q, r in zip(map(number, s), (number(x) ** 2 for x in noise), map(number, c), strict=True):
        while stack and (stack[-1][1] == 0 or stack[-1][0] * q >= p * stack[-1][1] * r):
            p1, q1, r1 = stack.pop()
            p, q, r = p1 * r + p, q1 * r * r + q, r1 * r
        stack.append((p, q, r))
    return sum(p * p / q for p, q, _ in stack if p), len(stack)


def linear_pair(s, noise, factors):
    """Parameter of X' = c X' + noise against X = c X + s + noise: mean over standard deviation, at 60 digits."""
    with mpmath.workdps(60):
        mean = variance = mpmath.mpf(0)
        for difference, std, c in zip(s, noise, factors, strict=True):
            mean = mpmath.mpf(c) * mean + mpmath.mpf(difference)
            variance = mpmath.mpf(c) ** 2 * variance + mpmath.mpf(std) ** 2
        return mean / mpmath.sqrt(variance)


def test_the_two_rows_of_the_theory():
    plan = optimal_shifts([0.1, 0.2, 1.0, 0.0], [1.0, 1.0, 1.0, 0.5], [1.0, 0.9, 0.9, 0.9])
    assert plan.mu == pytest.approx(0.90230313276428, abs=1e-14)
    assert plan.lower == pytest.approx(0.75701377905847, abs=1e-14)
    plan = optimal_shifts([1, 1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 2, 2], 0.8)
    assert plan.mu == pytest.approx(0.78165877897402, abs=1e-14)
    assert plan.lower == pytest.approx(0.78165877897402, abs=1e-14)


@given(instances())
def test_the_optimum_is_the_isotonic_regression(instance):
    s, noise, c = instance
    after = np.append(np.cumprod(c[:0:-1])[::-1], 1.0)
    u, tau = after * s, (after * noise) ** 2
    slopes = isotonic_regression(u / tau, sample_weight=tau)
    assert optimal_shifts(s, noise, c).mu == pytest.approx(np.sqrt(np.sum(tau * slopes**2)), rel=1e-12)


@pytest.mark.parametrize("seed", range(12))
def test_the_optimum_solves_the_quadratic_program(seed):
    s, noise, c = random_instance(np.random.default_rng(seed), 6)

    def distances(a):
        z = [0.0]
        for factor, difference, shift in zip(c, s, a, strict=True):
            z.append(factor * z[-1] + difference - shift)
        return np.array(z[1:])

    program = minimize(
        lambda a: np.sum((a / noise) ** 2),
        s,
        jac=lambda a: 2 * a / noise**2,
        bounds=[(0.0, None)] * 6,
        constraints=[
            {"type": "ineq", "fun": lambda a: distances(a)[:-1]},
            {"type": "eq", "fun": lambda a: distances(a)[-1]},
        ],
        method="SLSQP",
        options={"ftol": 1e-15, "maxiter": 500},
    )
    assert optimal_shifts(s, noise, c).mu == pytest.approx(np.sqrt(program.fun), rel=1e-7)


@given(instances())
def test_a_linear_pair_within_the_contractions_attains_the_optimum(instance):
    """So the optimum is the exact worst case: this pair's two laws are Gaussians with known means and variance."""
    s, noise, c = instance
    plan = optimal_shifts(s, noise, c)
    pull = plan.shifts / noise**2
    factors = np.divide(np.append(0.0, pull[:-1]), pull, out=np.zeros_like(pull), where=pull > 0.0)
    assert np.all(factors <= c * (1 + 1e-13))
    assert float(linear_pair(s, noise, factors)) == pytest.approx(plan.mu, rel=1e-12, abs=1e-300)


@given(instances())
def test_lower_is_the_linear_pair_with_the_contractions_themselves(instance):
    plan = optimal_shifts(*instance)
    true = linear_pair(*instance)
    assert plan.lower <= true
    assert plan.lower == pytest.approx(float(true), rel=1e-12)
    assert plan.lower <= plan.mu


@given(instances())
def test_the_shifts_are_feasible_and_prove_mu(instance):
    s, noise, c = instance
    plan = optimal_shifts(s, noise, c)
    z = 0.0
    for k in range(s.size):
        z = c[k] * z + s[k] - plan.shifts[k]
        assert z >= -1e-14 and z == pytest.approx(plan.distances[k], abs=1e-14)
    assert abs(z) < 1e-14 and np.all(plan.shifts >= 0.0)
    assert plan.distances[-1] == 0.0 and np.all(plan.distances >= 0.0)
    assert np.sqrt(np.sum((plan.shifts / noise) ** 2)) == pytest.approx(plan.mu, rel=1e-13)
    assert plan.check() == pytest.approx(plan.mu, rel=1e-12)


@pytest.mark.parametrize("kind", ["mixed", "walk", "increasing, then 0", "idle steps", "expanding"])
@pytest.mark.parametrize("steps", [63, 64, 3000])
def test_merging_in_rounds_equals_the_plain_stack(kind, steps):
    s, noise, c = random_instance(np.random.default_rng(steps), steps, kind)
    plan = optimal_shifts(s, noise, c)
    assert plan.mu == pytest.approx(math.sqrt(plain_stack(s, noise, c)[0]), rel=1e-11)
    assert plan.check() == pytest.approx(plan.mu, rel=1e-11)


@pytest.mark.parametrize("kind", ["mixed", "idle steps", "expanding"])
def test_mu_is_never_below_the_exact_optimum_nor_lower_above_the_exact_chord(kind):
    for seed in range(60):
        s, noise, c = random_instance(np.random.default_rng(seed), 12, kind)
        exact, _ = plain_stack(s, noise, c, Fraction)
        plan = optimal_shifts(s, noise, c)
        assert exact <= Fraction(plan.mu) ** 2 <= exact * (1 + Fraction(1, 10**13))
        assert plan.lower <= linear_pair(s, noise, c)
        assert Fraction(plan.check()) ** 2 >= exact


@pytest.mark.parametrize("c", [1.0, 1.0 - 2.0**-30, 0.75])
def test_mu_is_never_below_the_optimum_when_every_comparison_is_a_tie(c):
    """Sensitivities s_k = c^-k make all slopes equal in exact arithmetic, so rounding decides what is merged."""
    steps = 1500
    with np.errstate(over="ignore"):
        s = np.power(c, -np.arange(float(steps))) * np.power(c, 400.0)
    s, noise = s[s < 1e250], 0.7
    plan = optimal_shifts(s, noise, c)
    with mpmath.workdps(300):
        exact, _ = plain_stack(s, np.full(s.size, noise), np.full(s.size, c), mpmath.mpf)
        assert mpmath.sqrt(exact) <= plan.mu <= mpmath.sqrt(exact) * (1 + mpmath.mpf(2e-12))


@pytest.mark.parametrize("c", [1.0 - 2.0**-30, 0.75, 0.3])
def test_rounding_never_merges_away_a_segment(c):
    s = np.power(c, -np.arange(40.0))
    s = np.round(s / s[-1] * 2.0**40) * 2.0**-40 + 2.0**-60
    noise, factors = np.full(40, 0.7), np.full(40, c)
    sums = [(Fraction(0), Fraction(0))]
    after = Fraction(c) ** 39
    for difference in s:
        u, t = sums[-1]
        sums.append((u + after * Fraction(difference), t + (after * Fraction(0.7)) ** 2))
        after /= Fraction(c)
    corners, k = [], 0
    while k < 40:  # the next corner is the farthest point on the flattest line from this one
        lines = [((u - sums[k][0]) / (t - sums[k][1]), -j) for j, (u, t) in enumerate(sums) if j > k]
        corners.append(k)
        k = -min(lines)[1]
    assert set(corners) <= set(_hull.segments(s, noise, factors).starts.tolist())


def test_without_the_allowance_for_rounding_mu_falls_below_the_optimum(monkeypatch):
    monkeypatch.setattr(_hull, "_ROUND", 0.0)
    low = high = 0
    for seed in range(30):
        s, noise, c = random_instance(np.random.default_rng(seed), 12)
        exact, _ = plain_stack(s, noise, c, Fraction)
        plan = optimal_shifts(s, noise, c)
        low += Fraction(plan.mu) ** 2 < exact
        high += plan.lower > linear_pair(s, noise, c)
    assert low > 0 and high > 0


@given(instances(factors=st.floats(0.05, 1.0)), st.integers(1, 8), positive)
def test_learn_only_shifts_cost_most_and_the_chord_least(instance, unlearn, unlearn_noise):
    s, _, factors = instance
    c, learn_noise = float(factors[0]), 0.3
    noise = np.append(np.full(s.size, learn_noise), np.full(unlearn, unlearn_noise))
    plan = optimal_shifts(np.append(s, np.zeros(unlearn)), noise, c)
    known = {"sensitivity": s, "contraction": c, "unlearn_steps": unlearn, "unlearn_noise": unlearn_noise}
    first, second = (
        interpolation.unlearning_only(**known),
        interpolation.whole_horizon(**known, learn_noise=learn_noise),
    )
    assert first * (1 + 1e-12) >= plan.mu >= plan.lower
    assert second == pytest.approx(plan.lower, rel=1e-12)
    if is_one_segment(np.append(s, np.zeros(unlearn)), noise, c):
        assert second == pytest.approx(plan.mu, rel=1e-9)


@given(instances(least=2), st.data())
def test_splitting_a_step_changes_nothing(instance, data):
    """c_k then the identity, the noise and the difference coming with either half."""
    s, noise, c = instance
    k = data.draw(st.integers(0, s.size - 1))
    whole = optimal_shifts(s, noise, c)
    idle_first = optimal_shifts(np.insert(s, k, 0.0), np.insert(noise, k, 0.0), np.insert(c, k + 1, 1.0))
    assert idle_first.mu == pytest.approx(whole.mu, rel=1e-12)
    assert idle_first.lower == pytest.approx(whole.lower, rel=1e-12)
    two = np.insert(noise, k, 0.6 * noise[k])
    two[k + 1] = 0.8 * noise[k]
    after = optimal_shifts(np.insert(s, k + 1, 0.0), two, np.insert(c, k + 1, 1.0))
    assert after.mu == pytest.approx(whole.mu, rel=1e-12), "noise split 0.6 : 0.8 adds up to the same variance"


@given(instances(), st.floats(1e-100, 1e100))
def test_only_ratios_of_sensitivity_to_noise_matter(instance, scale):
    s, noise, c = instance
    plan, scaled = optimal_shifts(s, noise, c), optimal_shifts(scale * s, scale * noise, c)
    assert scaled.mu == pytest.approx(plan.mu, rel=1e-12)
    assert scaled.shifts == pytest.approx(scale * plan.shifts, rel=1e-12)


@given(instances(), st.data())
def test_monotone_in_every_argument(instance, data):
    s, noise, c = (values.copy() for values in instance)
    before = optimal_shifts(s, noise, c).mu
    k = data.draw(st.integers(0, s.size - 1))
    s[k] += data.draw(st.floats(0.0, 1.0))
    noise[k] *= data.draw(st.floats(0.1, 1.0))
    c[k] += data.draw(st.floats(0.0, 0.5))
    assert optimal_shifts(s, noise, c).mu >= before * (1 - 1e-12)


@given(instances())
def test_one_segment_is_told_from_the_slopes(instance):
    s, noise, c = instance
    _, segments = plain_stack(s, noise, c, Fraction)
    plan = optimal_shifts(s, noise, c)
    if is_one_segment(s, noise, c):
        assert plan.mu == pytest.approx(plan.lower, rel=1e-12)
    else:
        assert segments > 1 and linear_pair(s, noise, c) < plan.mu


@pytest.mark.parametrize(
    ("s", "noise", "c", "mu", "shifts"),
    [
        ([3.0], [2.0], 0.5, 1.5, [3.0]),
        ([0.0], [0.0], 1.0, 0.0, [0.0]),
        ([0.0, 0.0], 1.0, 0.5, 0.0, [0.0, 0.0]),
        ([1.0, 1.0], [0.0, 1.0], [1.0, 0.5], 1.5, [0.0, 1.5]),  # forced to wait for noise
        ([1.0, 1.0], [1.0, 0.0], 1.0, np.inf, None),  # the last difference is never hidden
        ([1.0, 0.0], [1.0, 0.0], [1.0, 0.5], 1.0, [1.0, 0.0]),  # an idle step after the noise
        ([1.0, 0.0, 0.0], 1.0, [1.0, 0.0, 1.0], 0.0, [0.0, 0.0, 0.0]),  # forgotten
        ([5.0, 1.0], [0.0, 2.0], [1.0, 0.0], 0.5, [0.0, 1.0]),  # the past is forgotten
        ([1.0, 0.0], [1.0, 0.0], [1.0, 0.0], 0.0, [0.0, 0.0]),
        ([1.0, 1.0], 1.0, [1.0, 4.0], np.sqrt(2.0), [1.0, 1.0]),  # expansion: shift at once
        ([1.0, 0.0], 0.0, 1.0, np.inf, None),
    ],
)
def test_edges(s, noise, c, mu, shifts):
    plan = optimal_shifts(s, noise, c)
    assert plan.mu == pytest.approx(mu, rel=1e-14) and (mu != 0.0 or plan.mu == 0.0)
    assert plan.check() == pytest.approx(mu, rel=1e-12)
    assert plan.lower <= plan.mu
    if shifts is not None:
        assert plan.shifts == pytest.approx(shifts, rel=1e-14)


@pytest.mark.parametrize("c", [0.5, 1.0 - 1e-9])
def test_a_million_steps_in_silence(c):
    steps, unlearn = 1_000_000, 500
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plan = optimal_shifts(np.append(np.ones(steps - unlearn), np.zeros(unlearn)), 0.25, c)
    with mpmath.workdps(50):
        c, learn = mpmath.mpf(c), steps - unlearn
        true = c**unlearn * (1 - c**learn) / (1 - c) / mpmath.sqrt((1 - c ** (2 * steps)) / (1 - c * c)) / 0.25
        assert true <= plan.mu <= true * (1 + mpmath.mpf(1e-9))
        assert true * (1 - mpmath.mpf(1e-9)) <= plan.lower <= true


def test_expansion_for_ever_is_accounted_for_step_by_step():
    steps = 20_000
    plan = optimal_shifts(np.full(steps, 1e-3), 1.0, 1.05)
    assert plan.mu == pytest.approx(1e-3 * np.sqrt(steps), rel=1e-10)
    assert plan.distances == pytest.approx(np.zeros(steps), abs=0.0), "no rounding error is left to expand"
    assert plan.check() == pytest.approx(plan.mu, rel=1e-8)


def test_what_underflows_is_rounded_up_not_lost():
    plan = optimal_shifts(np.append(1.0, np.zeros(3000)), 1.0, 0.5)
    assert 0.0 < plan.mu < 1e-290 and plan.lower == 0.0
    assert (
        0.0
        < interpolation.unlearning_only(sensitivity=[1.0], contraction=0.5, unlearn_steps=3000, unlearn_noise=1.0)
        < 1e-290
    )

    known = {"sensitivity": [1e5], "contraction": 0.5, "unlearn_steps": 1022, "unlearn_noise": 10.0}
    spread = 1e4 * 2.0**-1022 / math.sqrt(4 / 3)
    assert spread <= interpolation.whole_horizon(**known, learn_noise=0.0) <= spread * (1 + 1e-12)


@pytest.mark.parametrize("difference", [0.1, 0.3, 0.7, 1.1])
def test_errors_of_a_long_recursion_are_on_the_safe_side(difference):
    steps = 100_000
    value = feasible_mu(np.zeros(steps), sensitivity=np.full(steps, difference), noise_std=1.0, contraction=1.0)
    assert steps * Fraction(difference) <= Fraction(value) <= steps * Fraction(difference) * (1 + Fraction(1, 10**10))


def test_bad_shifts_prove_less_and_good_ones_are_not_touched():
    s, noise, c = [1.0, 0.5, 0.0], [1.0, 2.0, 1.0], 0.9
    known = {"sensitivity": s, "noise_std": noise, "contraction": c}
    best = optimal_shifts(s, noise, c)
    assert feasible_mu([1.0, 0.5, 0.0], **known) == pytest.approx(np.hypot(1.0, 0.25), rel=1e-13)
    late = feasible_mu([0.0, 0.0, 0.0], **known)
    assert late == pytest.approx(0.81 + 0.45, rel=1e-13), "everything is left to the last step"
    assert feasible_mu([9.0, 9.0, 9.0], **known) == pytest.approx(np.hypot(1.0, 0.25), rel=1e-13), "shifted at once"
    for k in range(3):
        for change in (0.9, 1.1):
            other = best.shifts.copy()
            other[k] *= change
            assert feasible_mu(other, **known) > best.mu


readings = {
    "sensitivity": [0.2] * 10,
    "contraction": 0.9,
    "unlearn_steps": 3,
}


def test_the_readings_at_the_point_of_the_theory():
    assert interpolation.unlearning_only(**readings, unlearn_noise=0.5) == pytest.approx(1.2094213539267, abs=1e-13)
    assert interpolation.whole_horizon(**readings, learn_noise=0.1, unlearn_noise=0.5) == pytest.approx(
        1.1860193651989, abs=1e-13
    )


def exact_readings(s, c, unlearn, learn_noise, unlearn_noise):
    """Both readings at 60 digits, sums written out."""
    with mpmath.workdps(60):
        c, sl, su = mpmath.mpf(c), mpmath.mpf(learn_noise), mpmath.mpf(unlearn_noise)
        steps = len(s)
        z = mpmath.fsum(c ** (steps - 1 - k) * mpmath.mpf(s[k]) for k in range(steps))
        g_learn = mpmath.fsum(c ** (2 * k) for k in range(steps))
        g_unlearn = mpmath.fsum(c ** (2 * k) for k in range(unlearn))
        first = c**unlearn * z / (su * mpmath.sqrt(g_unlearn))
        second = c**unlearn * z / mpmath.sqrt(sl**2 * c ** (2 * unlearn) * g_learn + su**2 * g_unlearn)
        return first, second


def reading_instances():
    rng = np.random.default_rng(9)
    for k in range(60):
        c = [1.0, 1.0 - 1e-12, 0.999, 0.9, 0.3, rng.random()][k % 6]
        s = rng.random(int(rng.integers(1, 40))) * (rng.random() < 0.95)
        yield s, float(c), int(rng.integers(1, 20)), float(rng.random() < 0.8) * rng.random(), 0.01 + rng.random()


def wrong_readings():
    """How often a promise is below the truth, and how often a calibrated noise is too small."""
    low = small = 0
    for s, c, unlearn, learn_noise, unlearn_noise in reading_instances():
        known = {"sensitivity": s, "contraction": c, "unlearn_steps": unlearn}
        first, second = exact_readings(s, c, unlearn, learn_noise, unlearn_noise)
        one = interpolation.unlearning_only(**known, unlearn_noise=unlearn_noise)
        two = interpolation.whole_horizon(**known, learn_noise=learn_noise, unlearn_noise=unlearn_noise)
        assert one == pytest.approx(float(first), rel=1e-12) and two == pytest.approx(float(second), rel=1e-12)
        low += (one < first) + (two < second)
        for mu in (0.3, 2.0):
            noise = interpolation.unlearning_only_noise(**known, mu=mu)
            if noise > 0.0:
                small += exact_readings(s, c, unlearn, learn_noise, noise)[0] > mu
                assert interpolation.unlearning_only(**known, unlearn_noise=noise) == pytest.approx(mu, rel=1e-12)
            noise = interpolation.whole_horizon_noise(**known, learn_noise=learn_noise, mu=mu)
            reached = interpolation.whole_horizon(**known, learn_noise=learn_noise, unlearn_noise=noise)
            if noise > 0.0:
                small += exact_readings(s, c, unlearn, learn_noise, noise)[1] > mu
                assert reached == pytest.approx(mu, rel=1e-12)
            assert reached <= mu * (1 + 1e-13)
    return low, small


def test_the_readings_and_their_inversions_are_on_the_safe_side():
    assert wrong_readings() == (0, 0)


def test_without_the_allowance_the_readings_fall_on_the_wrong_side(monkeypatch):
    monkeypatch.setattr(interpolation, "_ROUND", 0.0)
    low, small = wrong_readings()
    assert low > 0 and small > 0


def test_calibrated_noise_reaches_its_budget_as_computed_too():
    for s, c, unlearn, learn_noise, _ in reading_instances():
        known = {"sensitivity": s, "contraction": c, "unlearn_steps": unlearn}
        noise = interpolation.unlearning_only_noise(**known, mu=0.7)
        assert not noise or interpolation.unlearning_only(**known, unlearn_noise=noise) <= 0.7
        noise = interpolation.whole_horizon_noise(**known, learn_noise=learn_noise, mu=0.7)
        assert interpolation.whole_horizon(**known, learn_noise=learn_noise, unlearn_noise=noise) <= 0.7


@pytest.mark.parametrize(
    ("contraction", "unlearn", "unlearn_noise", "first", "second"),
    [
        (0.9, 0, 0.5, np.inf, 1.9 / np.sqrt(1.81)),
        (0.9, 2, 0.0, np.inf, 1.9 / np.sqrt(1.81)),
        (0.0, 2, 0.5, 0.0, 0.0),
        (0.0, 2, 0.0, 0.0, 0.0),
        (0.0, 0, 0.5, np.inf, 1.0),
        (1.0, 4, 0.5, 2.0, 2.0 / np.sqrt(3.0)),
    ],
)
def test_ends_of_the_readings(contraction, unlearn, unlearn_noise, first, second):
    known = {"sensitivity": [1.0, 1.0], "contraction": contraction, "unlearn_steps": unlearn}
    one = interpolation.unlearning_only(**known, unlearn_noise=unlearn_noise)
    two = interpolation.whole_horizon(**known, learn_noise=1.0, unlearn_noise=unlearn_noise)
    assert (one, two) == (pytest.approx(first, rel=1e-13), pytest.approx(second, rel=1e-13))


def test_ends_of_the_calibrations():
    known = {"sensitivity": [1.0, 1.0], "contraction": 0.9}
    first, second = interpolation.unlearning_only_noise, interpolation.whole_horizon_noise
    assert first(**known, unlearn_steps=0, mu=1.0) == np.inf
    assert first(**known, unlearn_steps=2, mu=0.0) == np.inf
    assert first(**known, unlearn_steps=2, mu=np.inf) == 0.0
    assert second(**known, unlearn_steps=2, learn_noise=1.0, mu=5.0) == 0.0, "the learning noise is enough"
    assert second(**known, unlearn_steps=0, learn_noise=1.0, mu=5.0) == 0.0
    assert second(**known, unlearn_steps=0, learn_noise=1.0, mu=0.1) == np.inf
    assert second(**known, unlearn_steps=2, learn_noise=0.0, mu=1.0) == pytest.approx(
        first(**known, unlearn_steps=2, mu=1.0), rel=1e-13
    )
    for function, extra in ((first, {}), (second, {"learn_noise": 0.0})):
        assert function(sensitivity=[0.0], contraction=1.0, unlearn_steps=0, mu=0.0, **extra) == 0.0


def test_a_long_horizon_of_the_readings():
    c, learn = 1.0 - 1e-7, 1_000_000
    value = interpolation.whole_horizon(
        sensitivity=np.ones(learn), contraction=c, unlearn_steps=10_000, learn_noise=0.1, unlearn_noise=0.5
    )
    with mpmath.workdps(50):
        c = mpmath.mpf(c)
        g = [(1 - c ** (2 * n)) / (1 - c * c) for n in (learn, 10_000)]
        z = c**10_000 * (1 - c**learn) / (1 - c)
        true = z / mpmath.sqrt(mpmath.mpf(0.1) ** 2 * c**20_000 * g[0] + mpmath.mpf(0.5) ** 2 * g[1])
        assert true <= value <= true * (1 + mpmath.mpf(1e-12))


def test_closed_forms_at_the_points_of_the_theory():
    assert interpolation.strongly_convex(
        contraction=0.99, steps=100, lipschitz=1.0, size=100, noise=0.05
    ) == pytest.approx(1.9220274892924, abs=1e-12)
    assert interpolation.cyclic_batches(
        contraction=0.99, batches=20, epochs=50, lipschitz=1.0, batch_size=1, noise=1.0
    ) == pytest.approx(1.1872649231744, abs=1e-12)
    assert interpolation.exponential_mechanism(
        inverse_temperature=2.0, strong_convexity=0.5, lipschitz=1.0
    ) == pytest.approx(2.0, abs=1e-12)


@given(st.sampled_from([0.0, 0.4, 0.97, 1.0 - 1e-9, 1.0]), st.integers(1, 30))
def test_strongly_convex_is_the_optimum(c, steps):
    value = interpolation.strongly_convex(contraction=c, steps=steps, lipschitz=2.0, size=8, noise=0.5)
    assert value == pytest.approx(optimal_shifts(np.full(steps, 0.25), 0.5, c).mu, rel=1e-12)


@given(st.sampled_from([0.0, 0.4, 0.97, 1.0 - 1e-9, 1.0]), st.integers(1, 6), st.integers(1, 6))
def test_cyclic_batches_is_the_optimum_for_the_worst_place_of_the_batch(c, batches, epochs):
    value = interpolation.cyclic_batches(
        contraction=c, batches=batches, epochs=epochs, lipschitz=2.0, batch_size=8, noise=0.5
    )
    places = 0.25 * np.tile(np.eye(batches), epochs)
    costs = [optimal_shifts(place, 0.5, c).mu for place in places]
    assert value == pytest.approx(costs[-1], rel=1e-12)
    assert value == pytest.approx(max(costs), rel=1e-12)


def constrained_by_start(eta, diameter, lipschitz, size, noise, steps):
    """Least optimum over the step after which the distance is bounded by the diameter and nothing older counts."""
    s = eta * lipschitz / size
    everything = optimal_shifts(np.full(steps, s), eta * noise, 1.0).mu
    late = [
        optimal_shifts(np.append(diameter + s, np.full(left - 1, s)), eta * noise, 1.0).mu for left in range(1, steps)
    ]
    return min([everything, *late])


@pytest.mark.parametrize("crossing", [1, 4, 16])
def test_constrained_is_the_optimum_over_the_start_when_the_crossing_is_a_whole_number(crossing):
    known = {"step_size": 0.5, "diameter": crossing / 8, "lipschitz": 0.5, "size": 2, "noise": 0.75}
    for steps in (1, crossing, 3 * crossing, 6 * crossing):
        value = interpolation.constrained(**known, steps=steps)
        assert value == pytest.approx(constrained_by_start(*known.values(), steps), rel=1e-12)
    assert value == pytest.approx(math.sqrt(4 * 0.5 * crossing / 8 / (0.5 * 2)) / 0.75, rel=1e-12)


def test_constrained_never_promises_less_than_the_optimum_over_the_start():
    rng = np.random.default_rng(10)
    for _ in range(40):
        known = dict(zip(("step_size", "diameter", "lipschitz"), rng.uniform(0.1, 1.0, 3), strict=True))
        known |= {"size": int(rng.integers(1, 4)), "noise": 0.3}
        steps = int(rng.integers(1, 40))
        value = interpolation.constrained(**known, steps=steps)
        assert value >= constrained_by_start(*known.values(), steps) * (1 - 1e-12)


def test_constrained_takes_the_exact_ceiling():
    """0.3 is a little less than 3/10 in binary, so 3 / 0.3 is a little more than 10 although it rounds to 10."""
    value = interpolation.constrained(step_size=0.3, diameter=3.0, lipschitz=1.0, size=1, noise=1.0, steps=1000)
    assert value == pytest.approx(math.sqrt(30 + 11), rel=1e-13)


def test_exponential_mechanism_is_the_limit_of_long_chains_with_small_steps():
    beta, m, lipschitz, eta = 3.0, 0.5, 0.7, 1e-5
    chain = _bok_su_altschuler.strongly_convex(
        contraction=1 - eta * m, steps=10**8, lipschitz=eta * lipschitz, size=1, noise=math.sqrt(2 * eta / beta)
    )
    assert interpolation.exponential_mechanism(
        inverse_temperature=beta, strong_convexity=m, lipschitz=lipschitz
    ) == pytest.approx(chain, rel=1e-5)


def test_closed_forms_are_never_below_the_truth(monkeypatch):
    def low():
        rng, count = np.random.default_rng(11), 0
        for _ in range(200):
            c, steps, batches = float(rng.uniform(0.5, 1.0)), int(rng.integers(1, 50)), int(rng.integers(2, 9))
            with mpmath.workdps(50):
                x = mpmath.mpf(c)
                first = mpmath.sqrt((1 - x**steps) / (1 + x**steps) * (1 + x) / (1 - x)) / 3
                late = x ** (batches * (steps - 1))
                second = (1 - x * x) * x ** (2 * batches - 2) / (1 - x**batches) ** 2
                second = mpmath.sqrt(1 + second * (1 - late) / (1 + late)) / 3
            values = (
                interpolation.strongly_convex(contraction=c, steps=steps, lipschitz=1.0, size=3, noise=1.0),
                interpolation.cyclic_batches(
                    contraction=c, batches=batches, epochs=steps, lipschitz=1.0, batch_size=3, noise=1.0
                ),
            )
            count += (values[0] < first) + (values[1] < second)
        return count

    assert low() == 0
    monkeypatch.setattr(_bok_su_altschuler, "_UP", 1.0)
    assert low() > 0


good = {"sensitivity": [1.0], "contraction": 0.5, "unlearn_steps": 1}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: optimal_shifts([1.0, -1.0], 1.0, 0.5), r"sensitivity\[1\] = -1\.0: must be nonnegative and finite"),
        (lambda: optimal_shifts([], 1.0, 0.5), r"sensitivity has shape \(0,\): must not be empty"),
        (lambda: optimal_shifts(1.0, 1.0, 0.5), r"sensitivity has shape \(\): must have 1 axis"),
        (lambda: optimal_shifts([1.0], [1.0, 2.0], 0.5), r"noise_std has shape \(2,\): must be a scalar or"),
        (lambda: optimal_shifts([1.0], 1.0, np.nan), r"contraction = nan: must be nonnegative"),
        (lambda: optimal_shifts([1.0], 1.0, [np.inf]), r"contraction\[0\] = inf: must be nonnegative and finite"),
        (
            lambda: feasible_mu([-1.0], sensitivity=[1.0], noise_std=1.0, contraction=1.0),
            r"shifts\[0\] = -1\.0: must be nonnegative",
        ),
        (
            lambda: interpolation.unlearning_only(**good | {"contraction": 1.5}, unlearn_noise=1.0),
            r"contraction = 1\.5: must lie in \[0, 1\]",
        ),
        (
            lambda: interpolation.unlearning_only(**good | {"unlearn_steps": -1}, unlearn_noise=1.0),
            r"unlearn_steps = -1: must be at least 0",
        ),
        (
            lambda: interpolation.whole_horizon(**good, learn_noise=-1.0, unlearn_noise=1.0),
            r"learn_noise = -1\.0: must be nonnegative",
        ),
        (lambda: interpolation.unlearning_only_noise(**good, mu=-1.0), r"mu = -1\.0: must be nonnegative"),
        (
            lambda: interpolation.strongly_convex(contraction=0.5, steps=0, lipschitz=1.0, size=1, noise=1.0),
            r"steps = 0: must be at least 1",
        ),
        (
            lambda: interpolation.strongly_convex(contraction=0.5, steps=1, lipschitz=1.0, size=1, noise=0.0),
            r"noise = 0\.0: must be positive and finite",
        ),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_bad_types_are_named():
    with pytest.raises(TypeError, match=r"unlearn_steps = 1\.0: must be an integer"):
        interpolation.unlearning_only(**good | {"unlearn_steps": 1.0}, unlearn_noise=1.0)


@pytest.mark.parametrize(
    ("noise", "c", "message"),
    [
        ([1.0, 1e-200, 1.0], 1.0, "noise_std: positive values span more than"),
        (1.0, [1.0, 1e-200, 1e200], "contraction: with values above 1, no product of others may fall"),
        ([1.0, 0.0, 1.0], [1.0, 1e200, 1e200], "contraction: products above 1 leave the range"),
    ],
)
def test_what_doubles_cannot_account_for_is_refused(noise, c, message):
    with pytest.raises(FloatingPointError, match=message):
        optimal_shifts([1.0, 0.0, 0.0], noise, c)


@pytest.mark.parametrize("c", [1.0, 0.75])
def test_equal_slopes_are_one_segment(c):
    s = 0.3 * c ** -np.arange(40.0)
    assert is_one_segment(s, 0.7, c)
    s[-1] *= 1.0 + 1e-9
    assert not is_one_segment(s, 0.7, c), "a last step that is steeper by 1e-9 is a segment of its own"


def test_distances_are_not_negative_where_slopes_nearly_tie():
    rng = np.random.default_rng(0)
    for _ in range(150):
        noise = 0.1 + rng.random(300)
        slopes = np.sort(1.0 + rng.random(300) * 10.0 ** rng.uniform(-13.0, -9.0))[::-1]
        plan = optimal_shifts(slopes * noise**2, noise, 1.0)
        assert np.all(plan.distances >= 0.0)


@given(seed=st.integers(0, 2**32 - 1), many=st.integers(1, 12), steps=st.integers(1, 40), kind=st.integers(0, 3))
def test_many_chains_at_once_are_each_chain_by_itself(seed: int, many: int, steps: int, kind: int) -> None:
    rng = np.random.default_rng(seed)
    s = rng.uniform(0, 1, (many, steps)) * (rng.random((many, steps)) < rng.choice([0.3, 1.0]))
    s *= np.exp(rng.normal(0, 3, (many, 1)))
    noise = rng.uniform(0, 1, (many, steps)) * (rng.random((many, steps)) < rng.choice([0.7, 1.0]))
    c = rng.uniform(0, 1.2, (many, 1)) if kind else rng.uniform(0.8, 1, (many, steps))
    if kind == 3:
        c = np.where(rng.random((many, steps)) < 0.1, 0.0, c)
    mu = interpolation.optimal_mu(s, noise, c)
    c = np.broadcast_to(c, s.shape)
    for k in range(many):
        one = interpolation.optimal_shifts(s[k], noise[k], c[k]).mu
        assert mu[k] == one or mu[k] == pytest.approx(one, rel=1e-13)


def test_readings_broadcast() -> None:
    rng = np.random.default_rng(0)
    s, c, noise = rng.uniform(0, 1, (5, 7)), rng.uniform(0.5, 1, 5), rng.uniform(0.1, 1, 5)
    first = interpolation.unlearning_only(sensitivity=s, contraction=c, unlearn_steps=3, unlearn_noise=noise)
    second = interpolation.whole_horizon(
        sensitivity=s, contraction=c, unlearn_steps=3, learn_noise=0.2, unlearn_noise=noise
    )
    for k in range(5):
        known = {"sensitivity": s[k], "contraction": c[k], "unlearn_steps": 3, "unlearn_noise": noise[k]}
        assert first[k] == pytest.approx(interpolation.unlearning_only(**known), rel=1e-14)
        assert second[k] == pytest.approx(interpolation.whole_horizon(learn_noise=0.2, **known), rel=1e-14)
    with pytest.raises(ValueError, match="need at least one step"):
        interpolation.optimal_mu(1.0, 1.0, 1.0)
