"""Langevin unlearning bounds against exact Gaussian chains, and the published numbers."""

import math

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bounds import _outward
from bounds.langevin_unlearning import (
    ball_constant,
    decay_rate,
    epsilon_delta,
    finite_after,
    hypercontractive_bound,
    learning_bound,
    learning_bound_constants,
    learning_composition,
    lsi_evolution,
    noisy_sgd,
    noisy_sgd_distance,
    sequential,
    smallest_k,
    smallest_sigma,
    step_contraction,
    step_loss,
    steps_for,
    strongly_convex_constant,
    strongly_convex_rate,
    to_retrain_and_continue,
    to_retraining,
    to_stationarity,
    unlearning_bound,
)
from linear.gaussian_renyi import OrnsteinUhlenbeck, scalar_renyi

ROOM = 1 + 1e-9  # rounding of the exact side of a comparison


# Learning

QUADRATIC = {"step_size": 1 / 0.35, "strong_convexity": 0.1, "smoothness": 0.35}
SMALL = {"temperature": 0.05, "lipschitz": 1.0, "size": 1000}


def exact_learning(order, learn_steps, replaced=1):
    """Two chains from one point whose gradients differ by 2 S M / n: an Ornstein-Uhlenbeck pair of one variance."""
    contraction = 1 - QUADRATIC["step_size"] * QUADRATIC["strong_convexity"]
    noise_std = math.sqrt(2 * QUADRATIC["step_size"]) * SMALL["temperature"]
    shift = QUADRATIC["step_size"] * 2 * replaced * SMALL["lipschitz"] / SMALL["size"]
    moved = OrnsteinUhlenbeck(contraction=contraction, noise_std=noise_std, offset=shift)
    still = OrnsteinUhlenbeck(contraction=contraction, noise_std=noise_std)
    return float(scalar_renyi(*moved.after(0, 0, learn_steps), *still.after(0, 0, learn_steps), order=order))


def test_learning_bound_of_the_published_setting():
    bound = learning_bound(order=8, **QUADRATIC, **SMALL)
    exact = exact_learning(8, 10_000)
    assert (bound, exact) == pytest.approx((0.128, 0.0548571), abs=5e-8)
    x = QUADRATIC["step_size"] * QUADRATIC["strong_convexity"]
    assert bound / exact == pytest.approx(4 / (2 - x), rel=1e-9)


@pytest.mark.parametrize("replaced", [1, 7])
def test_learning_bounds_in_finite_time(replaced):
    for learn_steps in (1, 2, 5, 30, 400):
        exact = exact_learning(8, learn_steps, replaced)
        arguments = {"order": 8, **SMALL, "replaced": replaced}
        by_sum = learning_bound(**arguments, **QUADRATIC, learn_steps=learn_steps)
        by_rate = learning_bound(**arguments, **QUADRATIC, learn_steps=learn_steps, cut="exponential")
        composed = learning_composition(**arguments, step_size=QUADRATIC["step_size"], learn_steps=learn_steps)
        assert exact <= by_sum <= by_rate
        assert exact <= composed * ROOM
        if learn_steps == 1:
            assert exact == pytest.approx(composed, rel=1e-12)
        constant = strongly_convex_constant(temperature=0.05, strong_convexity=0.1)
        by_constants = learning_bound_constants(
            **arguments, step_size=QUADRATIC["step_size"], constants=np.full(learn_steps, constant)
        )
        assert by_constants == pytest.approx(by_sum, rel=1e-11)
        contraction = step_contraction(**QUADRATIC)
        constants = lsi_evolution(
            constant=0.0,
            contraction=contraction,
            step_size=QUADRATIC["step_size"],
            temperature=0.05,
            steps=learn_steps,
        )[1:]
        sharper = learning_bound_constants(**arguments, step_size=QUADRATIC["step_size"], constants=constants)
        assert exact <= sharper <= by_constants
    assert learning_bound(**arguments, **QUADRATIC, learn_steps=0) == 0


def test_constants_per_step_are_taken_in_time_order():
    # x -> (x + gap) / (1 + step_size temperature^2 / C_t), the latest step last.
    common = {"order": 3.0, "step_size": 0.3, **SMALL}
    gap, constants = 2 * learning_composition(**common, learn_steps=1), [1e-4, 0.02, 7.0]
    bound = 0.0
    for constant in constants:
        bound = (bound + gap) / (1 + 0.3 * 0.05**2 / constant)
    assert learning_bound_constants(**common, constants=constants) == pytest.approx(bound, rel=1e-12)


def test_nothing_known_doubles_the_composition():
    common = {"order": [2.0, 5.0], "step_size": 0.3, **SMALL}
    unknown = learning_bound_constants(**common, constants=np.full(9, math.inf))
    assert unknown == pytest.approx(2 * np.asarray(learning_composition(**common, learn_steps=9)), rel=1e-13)


# Log-Sobolev constants and decay


def test_gaussian_constants_are_variances():
    chain = OrnsteinUhlenbeck(contraction=0.8, noise_std=math.sqrt(2 * 0.3) * 0.5)
    constants = lsi_evolution(constant=4.0, contraction=0.8, step_size=0.3, temperature=0.5, steps=30)
    assert constants == pytest.approx([chain.after(0, 4.0, k)[1] for k in range(31)], rel=1e-12)
    rates = decay_rate(constant=constants[:-1], contraction=0.8, step_size=0.3, temperature=0.5)
    # e^-R is the factor by which the variance forgets its start: c^2 C_k / C_(k+1).
    assert np.exp(-rates) == pytest.approx(0.64 * constants[:-1] / constants[1:], rel=1e-12)


@given(st.floats(0.01, 1.0), st.floats(0.01, 100))
def test_strongly_convex_constant_is_kept(product, strong_convexity):
    step_size, temperature = product / strong_convexity, 0.3
    constant = strongly_convex_constant(temperature=temperature, strong_convexity=strong_convexity)
    after = lsi_evolution(
        constant=constant, contraction=1 - product, step_size=step_size, temperature=temperature, steps=1
    )[1]
    assert after <= constant * (1 + 1e-13)
    rate = decay_rate(constant=constant, contraction=1 - product, step_size=step_size, temperature=temperature)
    published = strongly_convex_rate(
        step_size=step_size, strong_convexity=strong_convexity, smoothness=strong_convexity
    )
    assert published == pytest.approx(product, rel=1e-13)
    assert published <= rate


def test_constant_is_not_kept_past_the_minimum():
    constant = strongly_convex_constant(temperature=0.3, strong_convexity=1.0)
    after = lsi_evolution(constant=constant, contraction=0.1, step_size=1.1, temperature=0.3, steps=1)[1]
    assert after > 1.01 * constant


def test_contractions():
    assert step_contraction(step_size=0.5, smoothness=1.0, strong_convexity=0.4) == pytest.approx(0.8, rel=1e-14)
    assert step_contraction(step_size=1.9, smoothness=1.0, strong_convexity=0.4) == pytest.approx(0.9, rel=1e-14)
    assert step_contraction(step_size=1.5, smoothness=1.0) == 1.0
    assert step_contraction(step_size=3.0, smoothness=1.0) == pytest.approx(2.0, rel=1e-14)
    assert step_contraction(step_size=0.5, smoothness=1.0, convex=False) == pytest.approx(1.5, rel=1e-14)


def test_ball_constant():
    # r = 1 + 0.5 * 2 = 2, t = 2 * 0.5 * 9 = 9
    expected = 6 * (4 * 4 + 9) * math.exp(16 / 9)
    assert ball_constant(radius=1.0, step_size=0.5, temperature=3.0, lipschitz=2.0) == pytest.approx(
        expected, rel=1e-13
    )
    lost = ball_constant(radius=1.0, step_size=0.5, temperature=0.01, lipschitz=2.0)
    assert lost == math.inf
    rate = decay_rate(constant=lost, contraction=1.5, step_size=0.5, temperature=0.01)
    assert rate == 0
    assert unlearning_bound(order=4, initial=2.0, rate=rate, unlearn_steps=100) == pytest.approx(2.0, rel=1e-14)


starts = st.tuples(st.floats(-5, 5), st.floats(-4, 4))


@given(starts, starts, st.floats(0.05, 1.05), st.floats(1.05, 20), st.integers(1, 12))
def test_decay_bounds_hold_between_gaussian_chains(start_p, start_q, contraction, order, steps):
    p, q = ((mean, math.exp(log_variance)) for mean, log_variance in (start_p, start_q))
    chain = OrnsteinUhlenbeck(contraction=contraction, noise_std=math.sqrt(2 * 0.5) * 0.8)
    exact = chain.divergences(p, q, order=order, steps=steps)
    constants = lsi_evolution(constant=q[1], contraction=contraction, step_size=0.5, temperature=0.8, steps=steps)
    rates = decay_rate(constant=constants[:-1], contraction=contraction, step_size=0.5, temperature=0.8)
    simple = unlearning_bound(order=order, initial=exact[0], rate=rates, unlearn_steps=steps)
    sharper = hypercontractive_bound(
        order=order, initial=lambda b: float(scalar_renyi(*p, *q, order=b)), rate=rates, unlearn_steps=steps
    )
    floor = 1e-13
    assert exact[steps] <= simple * ROOM + floor
    assert exact[steps] <= sharper * ROOM + floor
    # Never worse: D_b <= D_a, and a e^-R <= b e^(-R/a) is the weighted inequality of means.
    assert sharper <= simple * ROOM + floor


def test_narrow_and_far_is_where_the_order_matters():
    p, q, order, steps = (60.0, 0.01), (0.0, 1.0), 4, 5
    chain = OrnsteinUhlenbeck(contraction=0.99, noise_std=math.sqrt(1 - 0.99**2))
    exact = chain.divergences(p, q, order=order, steps=steps)
    rate = -2 * math.log(0.99)
    bound = unlearning_bound(order=order, initial=exact[0], rate=rate, unlearn_steps=steps)
    assert (exact[5] / exact[0], bound / exact[0]) == pytest.approx((0.97344906, 0.97518719), abs=5e-9)
    assert math.exp(-rate * steps) * exact[0] < exact[5]  # without the 1/order: false
    assert math.exp(-2 * rate * steps / order) * exact[0] < exact[5]  # with 2/order: false
    sharper = hypercontractive_bound(
        order=order, initial=lambda b: float(scalar_renyi(*p, *q, order=b)), rate=rate, unlearn_steps=steps
    )
    assert exact[5] < sharper < bound
    assert sharper == pytest.approx(exact[5], rel=1e-3)


def test_equal_variances_attain_the_hypercontractive_bound():
    chain = OrnsteinUhlenbeck(contraction=0.8, noise_std=0.6)
    exact = chain.divergences((3.0, 1.0), (0.0, 1.0), order=6, steps=10)
    rate = decay_rate(constant=1.0, contraction=0.8, step_size=0.5, temperature=0.6)
    assert rate == pytest.approx(-2 * math.log(0.8), rel=1e-13)
    for steps in (1, 4, 10):
        bound = hypercontractive_bound(order=6, initial=lambda b: b * 9 / 2, rate=rate, unlearn_steps=steps)
        assert bound == pytest.approx(exact[steps], rel=1e-12)
        assert bound >= exact[steps] * (1 - 1e-14)


def test_decay_bounds_hold_away_from_gaussians():
    # A two-humped law against N(0, 1), both smoothed; divergences by the trapezoid rule.
    grid, spacing = np.linspace(-14, 14, 8001, retstep=True)

    def log_normal(mean, variance):
        return -((grid - mean) ** 2) / (2 * variance) - math.log(2 * math.pi * variance) / 2

    def divergence(order, noise):
        log_p = np.logaddexp(log_normal(-2.5, 0.05 + noise), log_normal(2.0, 0.4 + noise)) - math.log(2)
        log_q = log_normal(0.0, 1 + noise)
        return math.log(np.exp(order * log_p + (1 - order) * log_q).sum() * spacing) / (order - 1)

    for order in (1.3, 3.0, 9.0):
        for noise in (0.02, 0.5, 3.0):
            exact, rate = divergence(order, noise), math.log1p(noise)
            simple = unlearning_bound(order=order, initial=divergence(order, 0.0), rate=rate, unlearn_steps=1)
            sharper = hypercontractive_bound(
                order=order, initial=lambda b: divergence(b, 0.0), rate=rate, unlearn_steps=1
            )
            assert exact < sharper < simple


def test_published_decay_of_the_whole_bound():
    # Same setting as the learning bound, K = 5, times the exact divergence at the start.
    exact = exact_learning(8, 10_000)
    contraction = 1 - QUADRATIC["step_size"] * QUADRATIC["strong_convexity"]
    variance = 2 * QUADRATIC["step_size"] * 0.05**2 / (1 - contraction**2)
    true_rate = decay_rate(
        constant=variance, contraction=contraction, step_size=QUADRATIC["step_size"], temperature=0.05
    )
    published = strongly_convex_rate(**QUADRATIC)
    found = [unlearning_bound(order=8, initial=exact, rate=r, unlearn_steps=5) for r in (true_rate, published)]
    assert exact * contraction**10 == pytest.approx(0.00189650, abs=5e-9)
    assert found == pytest.approx([0.0360224, 0.0458860], abs=5e-8)


def test_decay_edges():
    assert unlearning_bound(order=2, initial=math.inf, rate=math.inf, unlearn_steps=3) == math.inf
    assert unlearning_bound(order=2, initial=0.0, rate=0.1, unlearn_steps=3) == 0
    assert 0 < unlearning_bound(order=2, initial=1.0, rate=1.0, unlearn_steps=10**6) < 1e-300
    assert unlearning_bound(order=2, initial=3.0, rate=0.5, unlearn_steps=0) == pytest.approx(3.0, rel=1e-14)
    assert (
        decay_rate(constant=[0.0, math.inf], contraction=0.0, step_size=1.0, temperature=1.0).tolist() == [math.inf] * 2
    )
    assert hypercontractive_bound(order=3, initial=lambda b: math.inf, rate=1.0, unlearn_steps=2) == math.inf
    assert hypercontractive_bound(order=3, initial=lambda b: 0.0, rate=1.0, unlearn_steps=2) == 0
    assert hypercontractive_bound(order=3, initial=lambda b: b, rate=1.0, unlearn_steps=10**6) < 1e-300
    per_step = [0.1, 0.2, 0.4]
    bounds = unlearning_bound(order=[2.0, 7.0], initial=1.5, rate=per_step, unlearn_steps=3)
    assert bounds == pytest.approx(1.5 * np.exp(-0.7 / np.array([2.0, 7.0])), rel=1e-13)


# Rounding


def exact_numbers(order, step_size, strong_convexity, temperature, steps):
    """learning_bound, decay rate, unlearning_bound of it, and noisy_sgd, all in 50 digits from the same doubles."""
    with mp.workdps(50):
        a, eta, m, sigma = map(mp.mpf, (order, step_size, strong_convexity, temperature))
        x = eta * m
        learned = 4 * a / (m * sigma**2 * 1000**2) * (1 - (1 + x / 2) ** -steps)
        rate = mp.log(1 + 2 * eta * sigma**2 / (mp.mpf(0.75) ** 2 * mp.mpf(0.3)))
        unlearned = learned * mp.exp(-steps * x / a)
        one = 2 * eta / (10 * (1 - (1 - x) ** 100))
        distance = (1 - x) ** (100 * steps) * one + one
        shifted = a * one**2 / (2 * eta * sigma**2) * (1 - (1 - x) ** 2) / ((1 - x) ** (-200 * steps) - 1)
        return [learned, -rate, unlearned, distance, shifted]


def promised_numbers(order, step_size, strong_convexity, temperature, steps):
    problem = {"step_size": step_size, "strong_convexity": strong_convexity, "smoothness": 1.0}
    cycle = {**problem, "size": 1000, "batch": 10}
    learned = learning_bound(
        order=order, **problem, temperature=temperature, lipschitz=1.0, size=1000, learn_steps=steps
    )
    return [
        learned,
        -decay_rate(constant=0.3, contraction=0.75, step_size=step_size, temperature=temperature),
        unlearning_bound(order=order, initial=learned, rate=strongly_convex_rate(**problem), unlearn_steps=steps),
        noisy_sgd_distance(**cycle, lipschitz=1.0, earlier_epochs=[steps]),
        noisy_sgd(
            order=order,
            distance=noisy_sgd_distance(**cycle, lipschitz=1.0),
            temperature=temperature,
            unlearn_epochs=steps,
            **cycle,
        ),
    ]


SETTINGS = [
    (order, step_size, strong_convexity, temperature, steps)
    for order in (1.7, 23.0)
    for step_size in (0.013, 0.9)
    for strong_convexity in (1e-7, 0.0031, 0.77)
    for temperature in (0.0017, 3.1)
    for steps in (1, 7, 300)
]


def test_promises_are_never_below_the_truth_and_close():
    for setting in SETTINGS:
        for exact, promised in zip(exact_numbers(*setting), promised_numbers(*setting), strict=True):
            if exact > 1e-290 or exact < 0:
                assert exact <= promised <= exact + abs(exact) * mp.mpf("1e-11")
            else:
                assert exact <= promised < 1e-280


def test_without_their_allowance_promises_fall_below(monkeypatch):
    monkeypatch.setattr(_outward, "_ROUND", 0.0)
    below = [
        [promised < exact for exact, promised in zip(exact_numbers(*s), promised_numbers(*s), strict=True)]
        for s in SETTINGS
    ]
    assert np.any(below, axis=0).all()


# From divergence to steps and noise


def released(size):
    """Unit rows, ridge 1e-6 per point, step 1/L: the released experiments of Chien et al."""
    strong_convexity = 1e-6 * size
    smoothness = 0.25 + strong_convexity
    return {"step_size": 1 / smoothness, "strong_convexity": strong_convexity, "smoothness": smoothness}


def released_bound(size, order, temperature, steps, replaced=1):
    problem = released(size)
    learned = learning_bound(
        order=order, **problem, temperature=temperature, lipschitz=1.0, size=size, replaced=replaced
    )
    return unlearning_bound(order=order, initial=learned, rate=strongly_convex_rate(**problem), unlearn_steps=steps)


def released_epsilon(size, temperature, steps):
    return epsilon_delta(lambda order: released_bound(size, order, temperature, steps), delta=1 / size, lowest_order=2)


SIGMA_TABLE = {
    11982: {0.05: 0.1872, 0.1: 0.094, 0.5: 0.019, 1: 0.0096, 2: 0.0049, 5: 0.0021},
    10000: {0.05: 0.2431, 0.1: 0.122, 0.5: 0.025, 1: 0.0125, 2: 0.0064, 5: 0.0028},
}


@pytest.mark.parametrize("size", SIGMA_TABLE)
def test_released_sigma_table_for_one_step(size):
    for epsilon, sigma in SIGMA_TABLE[size].items():
        assert released_epsilon(size, sigma, 1) <= epsilon * (1 + 2e-5)
        needed = smallest_sigma(
            lambda order, temperature: released_bound(size, order, temperature, 1),
            epsilon=epsilon,
            delta=1 / size,
            lowest_order=2,
        )
        assert released_epsilon(size, needed, 1) <= epsilon
        assert released_epsilon(size, needed * (1 - 1e-9), 1) > epsilon
        assert needed == pytest.approx(sigma, rel=0.04)
    assert released_epsilon(11982, 0.1872, 1) == pytest.approx(0.0499885, abs=5e-8)
    assert released_epsilon(10000, 0.0125, 1) == pytest.approx(0.9957697, abs=5e-8)


@pytest.mark.parametrize(
    ("size", "epsilon", "steps", "stored", "actual", "times_hundred"),
    [
        (11982, 0.5, 2, 1.8915e-4, 133.6, 0.50001),
        (11982, 0.5, 5, 1.8869e-4, 125.9, 0.50035),
        (10000, 1.0, 2, 1.2433e-4, 507.2, 1.00028),
        (10000, 1.0, 5, 1.2378e-4, 483.5, 1.00184),
    ],
)
def test_stored_entries_that_miss_their_target(size, epsilon, steps, stored, actual, times_hundred):
    assert released_epsilon(size, stored, steps) == pytest.approx(actual, rel=5e-4)
    repaired = released_epsilon(size, 100 * stored, steps)
    assert repaired == pytest.approx(times_hundred, abs=6e-6)
    assert repaired <= epsilon * 1.01


@pytest.mark.parametrize(
    ("size", "epsilon", "stored", "steps"), [(11982, 0.5, 1.8915e-4, 4896), (10000, 1, 1.2433e-4, 3000)]
)
def test_steps_that_the_stored_sigma_really_needs(size, epsilon, stored, steps):
    found = smallest_k(
        lambda order, k: released_bound(size, order, stored, k), epsilon=epsilon, delta=1 / size, lowest_order=2
    )
    assert found == steps


@pytest.mark.parametrize(("size", "published"), [(11982, [1163, 1386, 1405]), (10000, [1522, 1772, 1788])])
def test_published_sequential_steps(size, published):
    problem, found = released(size), []
    rate = strongly_convex_rate(**problem)

    def initial(order):
        return learning_bound(order=order, **problem, temperature=0.03, lipschitz=1.0, size=size, replaced=20)

    for _ in range(3):
        found.append(
            smallest_k(
                lambda order, k: sequential(order=order, unlearn_steps=[*found, k], initial=initial, rate=rate),
                epsilon=1.0,
                delta=1 / size,
                lowest_order=2,
            )
        )
    assert found == published
    # The learning bound is proportional to the order, so the 1/order in the rate is not needed there.
    sharper = smallest_k(
        lambda order, k: np.asarray(initial(order)) * math.exp(-rate * k), epsilon=1.0, delta=1 / size, lowest_order=2
    )
    assert sharper < published[0] / 10


def test_the_uniform_bound_without_the_order_in_its_rate_is_still_a_bound():
    problem = {**QUADRATIC}
    rate = strongly_convex_rate(**problem)
    contraction = 1 - problem["step_size"] * problem["strong_convexity"]
    for steps in (1, 5, 20):
        bound = hypercontractive_bound(
            order=8,
            initial=lambda b: float(learning_bound(order=b, **problem, **SMALL)),
            rate=rate,
            unlearn_steps=steps,
        )
        published = unlearning_bound(
            order=8, initial=learning_bound(order=8, **problem, **SMALL), rate=rate, unlearn_steps=steps
        )
        assert exact_learning(8, 10_000) * contraction ** (2 * steps) <= bound < published
        assert bound == pytest.approx(learning_bound(order=8, **problem, **SMALL) * math.exp(-rate * steps), rel=1e-11)


def test_sequential_by_hand():
    def initial(order):
        return 0.3 * np.asarray(order)

    def factor(order):
        return (order - 0.5) / (order - 1)

    first = math.exp(-0.1 * 4 / 12) * 0.3 * 12
    second = math.exp(-0.1 * 5 / 6) * factor(6) * (0.3 * 12 + first)
    third = math.exp(-0.1 * 6 / 3) * factor(3) * (0.3 * 6 + second)
    assert sequential(order=3, unlearn_steps=[4, 5, 6], initial=initial, rate=0.1) == pytest.approx(third, rel=1e-12)


def test_sequential_holds_for_shifted_chains():
    # Targets 0, 1, 2, ... apart with one variance; the first law is the first stationary one.
    chain = OrnsteinUhlenbeck(contraction=0.9, noise_std=math.sqrt(1 - 0.81))
    rate, mean, steps = -2 * math.log(0.9), 0.0, [3, 5, 2, 9]
    for request, k in enumerate(steps, start=1):
        mean = request * 0.7 + 0.9**k * (mean - request * 0.7)
        exact = scalar_renyi(mean, 1.0, request * 0.7, 1.0, order=3)
        bound = sequential(
            order=3, unlearn_steps=steps[:request], initial=lambda a: np.asarray(a) * 0.49 / 2, rate=rate
        )
        assert exact <= bound
    assert chain.after(0.0, 1.0, 5)[1] == pytest.approx(1.0)


def test_epsilon_delta_finds_the_best_order():
    def gaussian(order):
        return order / 2

    assert epsilon_delta(gaussian, delta=1e-5) == pytest.approx(0.5 + math.sqrt(2 * math.log(1e5)), rel=1e-9)
    assert epsilon_delta(gaussian, delta=1e-5, conversion="improved") == pytest.approx(4.728387, abs=5e-7)
    assert epsilon_delta(gaussian, delta=1e-5, lowest_order=50) == pytest.approx(25 + math.log(1e5) / 49, rel=1e-12)
    assert epsilon_delta(lambda order: 1e-12 * order, delta=1e-5) == pytest.approx(
        2e-6 * math.sqrt(math.log(1e5)), rel=1e-5
    )
    assert epsilon_delta(lambda order: np.full_like(order, math.inf), delta=1e-5) == math.inf


def test_searches_know_their_limits():
    def steady(order, k):
        return np.full_like(order, 5.0)

    assert smallest_k(steady, epsilon=1.0, delta=1e-5) == math.inf
    assert smallest_k(steady, epsilon=6.0, delta=1e-5) == 0
    assert smallest_sigma(steady, epsilon=1.0, delta=1e-5) == math.inf
    assert smallest_sigma(steady, epsilon=6.0, delta=1e-5) == 0.0


# Noisy SGD

CYCLE = {"step_size": 0.2, "strong_convexity": 0.3, "smoothness": 2.0, "size": 60, "batch": 12}


def test_distance_is_the_worst_slot_of_a_cycle():
    contraction, gap, distance = 1 - 0.2 * 0.3, 2 * 0.2 * 1.5 / 12, 0.0
    worst = []
    for slot in range(5):
        distance = 0.0
        for _ in range(400):
            for step in range(5):
                distance = contraction * distance + (gap if step == slot else 0.0)
        worst.append(distance)
    assert noisy_sgd_distance(**CYCLE, lipschitz=1.5) == pytest.approx(max(worst), rel=1e-12)
    assert np.argmax(worst) == 4
    one = max(worst)
    unconverged = one + 2 * 3.0 * contraction ** (5 * 7)
    later = (unconverged * contraction ** (5 * 2) + one) * contraction ** (5 * 4) + one
    found = noisy_sgd_distance(**CYCLE, lipschitz=1.5, earlier_epochs=[2, 4], radius=3.0, learn_epochs=7)
    assert found == pytest.approx(later, rel=1e-12)


@pytest.mark.parametrize("epochs", [1, 3, 40])
def test_tight_form_is_the_linear_chain_and_the_published_one_twice_that(epochs):
    distance, temperature = 0.4, 0.25
    chain = OrnsteinUhlenbeck(contraction=0.94, noise_std=math.sqrt(2 * 0.2) * temperature)
    exact = float(chain.divergences((distance, 0.0), (0.0, 0.0), order=6, steps=5 * epochs)[-1])
    forms = {
        form: noisy_sgd(order=6, distance=distance, temperature=temperature, unlearn_epochs=epochs, form=form, **CYCLE)
        for form in ("tight", "shifted", "geometric")
    }
    assert forms["tight"] == pytest.approx(exact, rel=1e-12)
    assert forms["tight"] >= exact * (1 - 1e-15)
    assert forms["shifted"] == pytest.approx(2 * exact, rel=1e-12)
    assert forms["geometric"] == pytest.approx(
        6 * distance**2 / (2 * 0.2 * temperature**2) * 0.94 ** (10 * epochs), rel=1e-12
    )
    assert forms["shifted"] <= forms["geometric"]


def test_noisy_sgd_before_the_first_epoch():
    zero = {"temperature": 0.3, "unlearn_epochs": 0, **CYCLE}
    assert noisy_sgd(order=[2.0, 3.0], distance=1.0, **zero).tolist() == [math.inf, math.inf]
    assert noisy_sgd(order=2, distance=0.0, **zero) == 0


# Per-instance unlearning


def test_step_loss_is_the_gaussian_step():
    gap = 0.1 * 7.0 / 500  # step_size |g| / n
    exact = scalar_renyi(gap, 2 * 0.1 * 0.3**2, 0.0, 2 * 0.1 * 0.3**2, order=5)
    assert step_loss(order=5, gradient_norm=7.0, step_size=0.1, temperature=0.3, size=500) == pytest.approx(
        exact, rel=1e-12
    )
    assert step_loss(order=5, gradient_norm=[0.0, 1e200], step_size=0.1, temperature=1e-9, size=1).tolist() == [
        0,
        math.inf,
    ]


class Whole:
    """m = 0.2, step 0.5, temperature 0.3, gradient gap 0.15, order 4, start N(0, 1)."""

    order, published_rate, true_rate = 4, 0.1, -2 * math.log(0.9)

    def __init__(self, learn_steps):
        noise_std = math.sqrt(2 * 0.5) * 0.3
        self.without = OrnsteinUhlenbeck(contraction=0.9, noise_std=noise_std, offset=0.5 * 0.15)
        self.learned = OrnsteinUhlenbeck(contraction=0.9, noise_std=noise_std).after(0.0, 1.0, learn_steps)
        self.retrained = self.without.after(0.0, 1.0, learn_steps)
        self.stationary = self.without.stationary()
        self.learn_steps = learn_steps

    def loss(self, order):
        each = step_loss(order=order, gradient_norm=0.15, step_size=0.5, temperature=0.3, size=1)
        return self.learn_steps * each

    def unlearned(self, steps):
        return self.without.after(*self.learned, steps)

    def distances(self):
        return {
            "retrained_to_stationary": float(scalar_renyi(*self.retrained, *self.stationary, order=15)),
            "stationary_to_retrained": float(scalar_renyi(*self.stationary, *self.retrained, order=7)),
        }


def test_whole_chain_to_retraining():
    whole = Whole(60)
    assert whole.loss(16) == pytest.approx(30.0, rel=1e-12)
    table = {0: (2.36646, 37.5, 37.5), 40: (4.0037e-4, 13.0755, 22.7449), 160: (7.67e-6, 0.554297, 5.07509)}
    for steps, (exact, by_true_rate, by_published_rate) in table.items():
        truth = float(scalar_renyi(*whole.unlearned(steps), *whole.retrained, order=4))
        bounds = [
            to_retraining(order=4, loss=whole.loss(16), rate=rate, unlearn_steps=steps, **whole.distances())
            for rate in (whole.true_rate, whole.published_rate)
        ]
        assert truth == pytest.approx(exact, rel=5e-4)
        assert bounds == pytest.approx([by_true_rate, by_published_rate], rel=5e-6)
        assert truth <= bounds[0] <= bounds[1]
    for rate, steps in ((whole.true_rate, 226), (whole.published_rate, 475)):
        found = steps_for(epsilon=0.1, order=4, loss=whole.loss(16), rate=rate, **whole.distances())
        assert found == steps


def test_short_training_leaves_a_floor():
    whole = Whole(5)
    distances = whole.distances()
    assert distances["retrained_to_stationary"] == math.inf
    assert distances["stationary_to_retrained"] == pytest.approx(0.4721, abs=5e-5)
    assert to_retraining(order=4, loss=1.0, rate=0.1, unlearn_steps=10, **distances) == math.inf
    assert steps_for(epsilon=1.0, order=4, loss=1.0, rate=0.1, **distances) == math.inf
    # Its links hold with exact divergences, and the floor cannot be dropped.
    far = float(scalar_renyi(*whole.unlearned(400), *whole.retrained, order=4))
    assert far > 0.38
    reached = to_retraining(
        order=4,
        loss=whole.loss(16),
        rate=whole.true_rate,
        unlearn_steps=400,
        retrained_to_stationary=1.0,
        stationary_to_retrained=distances["stationary_to_retrained"],
    )
    assert far <= reached
    assert far > reached - distances["stationary_to_retrained"]


@pytest.mark.parametrize("learn_steps", [14, 30, 60])
def test_every_target_holds_with_exact_divergences(learn_steps):
    whole = Whole(learn_steps)

    def renyi(p, q, order):
        return float(scalar_renyi(*p, *q, order=order))

    for steps in (0, 1, 7, 40):
        rho = whole.unlearned(steps)
        bound = to_stationarity(
            order=4,
            loss=renyi(whole.learned, whole.retrained, 8),
            retrained_to_stationary=renyi(whole.retrained, whole.stationary, 7),
            rate=whole.true_rate,
            unlearn_steps=steps,
        )
        assert renyi(rho, whole.stationary, 4) <= bound
        bound = to_retraining(
            order=4,
            loss=renyi(whole.learned, whole.retrained, 16),
            rate=whole.true_rate,
            unlearn_steps=steps,
            **whole.distances(),
        )
        assert renyi(rho, whole.retrained, 4) <= bound
        constants = lsi_evolution(
            constant=whole.retrained[1], contraction=0.9, step_size=0.5, temperature=0.3, steps=steps
        )
        rates = decay_rate(constant=constants[:-1], contraction=0.9, step_size=0.5, temperature=0.3)
        bound = to_retrain_and_continue(
            order=4, loss=renyi(whole.learned, whole.retrained, 4), rate=rates, unlearn_steps=steps
        )
        assert renyi(rho, whole.without.after(*whole.retrained, steps), 4) <= bound * ROOM


def test_formulas_of_the_targets():
    arguments = {"order": 3, "loss": 2.0, "rate": 0.2, "unlearn_steps": 9}
    assert to_stationarity(**arguments, retrained_to_stationary=0.7) == pytest.approx(
        math.exp(-0.6) * (2.5 / 2 * 2 + 0.7), rel=1e-12
    )
    assert to_retraining(**arguments, retrained_to_stationary=0.7, stationary_to_retrained=0.1) == pytest.approx(
        2.5 / 2 * math.exp(-0.3) * (11 / 10 * 2 + 0.7) + 0.1, rel=1e-12
    )
    assert to_retrain_and_continue(**arguments) == pytest.approx(2 * math.exp(-0.6), rel=1e-12)


@given(
    st.sampled_from(["retraining", "stationarity", "continue"]),
    st.floats(-8, 6),
    st.floats(0, 4),
    st.floats(1.1, 30),
    st.floats(-7, 0.5),
)
def test_log_law_inverts_the_bounds(target, log_loss, floor, order, log_rate):
    loss, rate = math.exp(log_loss), math.exp(log_rate)
    distances = {"retrained_to_stationary": 0.3, "stationary_to_retrained": floor}
    epsilon = 0.01 * loss + (floor if target == "retraining" else 0.0)
    found = steps_for(epsilon=epsilon, order=order, loss=loss, rate=rate, target=target, **distances)

    def bound(steps):
        arguments = {"order": order, "loss": loss, "rate": rate, "unlearn_steps": steps}
        if target == "continue":
            return to_retrain_and_continue(**arguments)
        if target == "stationarity":
            return to_stationarity(**arguments, retrained_to_stationary=0.3)
        return to_retraining(**arguments, **distances)

    assert isinstance(found, int)
    assert bound(found) <= epsilon
    assert found == 0 or bound(max(found - 2, 0)) > epsilon * (1 - 1e-12)


def test_steps_for_edges():
    common = {"order": 3, "loss": 2.0, "rate": 0.2}
    assert steps_for(epsilon=0.1, **common, stationary_to_retrained=0.1) == math.inf
    assert steps_for(epsilon=0.1, **common, stationary_to_retrained=0.2) == math.inf
    assert steps_for(epsilon=0.1, order=3, loss=2.0, rate=0.0) == math.inf
    assert steps_for(epsilon=0.1, order=3, loss=2.0, rate=1e-300) == math.inf
    assert steps_for(epsilon=0.1, order=3, loss=2.0, rate=math.inf) == 1
    assert steps_for(epsilon=0.1, order=3, loss=math.inf, rate=1.0) == math.inf
    assert steps_for(epsilon=9.0, **common, target="continue") == 0
    assert steps_for(epsilon=0.1, order=3, loss=0.0, rate=0.1) == 0


@pytest.mark.parametrize("order", [1.5, 7.0, 15.0, 40.0])
@pytest.mark.parametrize("start", [0.2, 1.0, 1.9, 30.0])
def test_finite_after_is_when_the_exact_divergence_is_finite(order, start):
    chain = OrnsteinUhlenbeck(contraction=0.9, noise_std=math.sqrt(1 - 0.81))
    steps = finite_after(order=order, variance_ratio=start, contraction=0.9)
    finite = [math.isfinite(scalar_renyi(*chain.after(0, start, k), 0, 1.0, order=order)) for k in range(steps + 3)]
    assert finite == [False] * steps + [True] * 3


def test_finite_after_on_the_boundary():
    assert finite_after(order=5, variance_ratio=1.25, contraction=0.9) == 1  # 1.25 = 5/4 exactly: still infinite
    assert finite_after(order=15, variance_ratio=1 / 0.4736842105263157, contraction=0.9) == 14
    assert finite_after(order=5, variance_ratio=9.0, contraction=0.0) == 1


# Wrong arguments


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: strongly_convex_rate(step_size=2.0, strong_convexity=0.5, smoothness=1.0), "no contraction"),
        (lambda: strongly_convex_rate(step_size=1.0, strong_convexity=0.0, smoothness=1.0), "strong_convexity = 0"),
        (lambda: strongly_convex_rate(step_size=1.0, strong_convexity=2.0, smoothness=1.0), "must not exceed"),
        (lambda: step_contraction(step_size=1.0, strong_convexity=2.0, smoothness=1.0), "must not exceed"),
        (lambda: learning_bound(order=1, **QUADRATIC, **SMALL), "order = 1"),
        (lambda: learning_bound(order=2, **QUADRATIC, **SMALL, replaced=1001), "replaced = 1001"),
        (lambda: learning_bound(order=2, **QUADRATIC, **SMALL, learn_steps=-1), "learn_steps = -1"),
        (lambda: learning_bound(order=2, **QUADRATIC, **SMALL, cut="none"), "cut = 'none'"),
        (lambda: learning_bound(order=2, **QUADRATIC, temperature=0, lipschitz=1, size=9), "temperature = 0"),
        (lambda: unlearning_bound(order=0.5, initial=1, rate=1, unlearn_steps=1), "order = 0.5"),
        (lambda: unlearning_bound(order=2, initial=-1, rate=1, unlearn_steps=1), "initial = -1"),
        (lambda: unlearning_bound(order=2, initial=1, rate=[1, 2], unlearn_steps=3), "rate has shape"),
        (lambda: unlearning_bound(order=2, initial=1, rate=-1, unlearn_steps=3), "rate = -1"),
        (lambda: hypercontractive_bound(order=2, initial=lambda b: -1, rate=1, unlearn_steps=3), "initial = -1"),
        (lambda: lsi_evolution(constant=-1, contraction=1, step_size=1, temperature=1, steps=1), "constant = -1"),
        (lambda: decay_rate(constant=1, contraction=1, step_size=1, temperature=1e-200), "temperature = 1e-200"),
        (lambda: sequential(order=2, unlearn_steps=[], initial=lambda a: a, rate=1), "unlearn_steps is empty"),
        (lambda: epsilon_delta(lambda a: a, delta=2), "delta = 2"),
        (lambda: epsilon_delta(lambda a: a, delta=0.1, lowest_order=0.5), "lowest_order = 0.5"),
        (lambda: epsilon_delta(lambda a: a, delta=0.1, conversion="best"), "conversion = 'best'"),
        (lambda: smallest_k(lambda a, k: a, epsilon=0, delta=0.1), "epsilon = 0"),
        (lambda: noisy_sgd_distance(**{**CYCLE, "batch": 7}, lipschitz=1), "batch = 7"),
        (lambda: noisy_sgd(order=2, distance=1, temperature=1, unlearn_epochs=1, form="x", **CYCLE), "form = 'x'"),
        (lambda: steps_for(epsilon=0, order=2, loss=1, rate=1), "epsilon = 0"),
        (lambda: steps_for(epsilon=1, order=2, loss=1, rate=1, target="x"), "target = 'x'"),
        (lambda: to_stationarity(order=2, loss=-1, retrained_to_stationary=0, rate=1, unlearn_steps=1), "loss = -1"),
        (lambda: finite_after(order=2, variance_ratio=1, contraction=1.0), "contraction = 1.0"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
