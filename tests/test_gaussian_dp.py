"""Gaussian DP: right values, and never on the wrong side of an Arb enclosure."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import scipy.special
from flint import arb, ctx
from hypothesis import given
from hypothesis import strategies as st

from bounds import _gaussian_curve, gaussian_dp

REFERENCE = json.loads((Path(__file__).parent / "reference" / "gaussian_dp.json").read_text())
POINTS = 10_000


def arb_delta(mu, epsilon, start=192):
    """The textbook formula, with more and more bits until the cancellation leaves 80."""
    mu, epsilon, precision = arb(float(mu)), arb(float(epsilon)), start
    while True:
        with ctx.workprec(precision):
            a, root = mu / 2 - epsilon / mu, arb(2).sqrt()
            value = ((-a / root).erfc() - epsilon.exp() * ((mu - a) / root).erfc()) / 2
            if value.rel_accuracy_bits() > 80:
                return value
        precision *= 2


def arb_log_delta(mu, epsilon):
    """Accurate relative to itself, however close delta is to 1 (down to 1 - delta = 1e-300)."""
    value = arb_delta(mu, epsilon)
    return value.log() if value < 0.9 else arb_delta(mu, epsilon, start=1200).log()


def arb_cdf(x):
    return (-x / arb(2).sqrt()).erfc() / 2


def log_uniform(rng, low, high, size):
    return np.exp(rng.uniform(np.log(low), np.log(high), size))


def deltas(rng, size):
    """From 1e-300 up to just under 1, as thin near 1 as near 0."""
    small = log_uniform(rng, 1e-300, 1.0, size)
    middle = log_uniform(rng, 1e-12, 1.0, size)
    large = 1.0 - log_uniform(rng, 2e-16, 0.5, size)
    return np.choose(rng.integers(3, size=size), [small, middle, large])


def epsilons(rng, size):
    """From 0 to 1e4, tiny ones included."""
    return np.choose(
        rng.choice(4, p=[0.05, 0.25, 0.3, 0.4], size=size),
        [
            np.zeros(size),
            log_uniform(rng, 1e-300, 1.0, size),
            log_uniform(rng, 1e-8, 1e4, size),
            1e4 * rng.random(size),
        ],
    )


def mu_budgets():
    rng = np.random.default_rng(1)
    return epsilons(rng, POINTS), deltas(rng, POINTS)


def epsilon_budgets():
    """Half the deltas are below delta(mu, 0), where the answer is not 0."""
    rng = np.random.default_rng(2)
    mu = log_uniform(rng, 1e-8, 1e3, POINTS)
    below = np.clip(gaussian_dp.delta(mu, 0.0) * log_uniform(rng, 1e-3, 1.0, POINTS), 1e-300, 1.0 - 1e-16)
    return mu, np.where(rng.random(POINTS) < 0.5, deltas(rng, POINTS), below)


@pytest.mark.parametrize(("mu", "epsilon", "expected"), REFERENCE["curve"])
def test_log_delta_is_the_reference_rounded_up(mu, epsilon, expected):
    value = gaussian_dp.log_delta(mu, epsilon)
    with ctx.workprec(150):
        true = arb(expected)
        excess = float(arb(value) - true)
        assert 0.0 <= excess <= 3e-15 * abs(value) + 1.2e-13
        if value > -700.0:
            assert 0.0 <= float(arb(gaussian_dp.delta(mu, epsilon)) / true.exp() - 1) < 2e-12


@pytest.mark.parametrize(("epsilon", "delta", "expected"), REFERENCE["mu"])
def test_mu_is_the_reference_rounded_down(epsilon, delta, expected):
    with ctx.workprec(150):
        assert -1e-9 < float(arb(gaussian_dp.mu(epsilon, float(delta))) / arb(expected) - 1) <= 0.0


@pytest.mark.parametrize(("mu", "delta", "expected"), REFERENCE["epsilon"])
def test_epsilon_is_the_reference_rounded_up(mu, delta, expected):
    with ctx.workprec(150):
        assert 0.0 <= float(arb(gaussian_dp.epsilon(mu, float(delta))) / arb(expected) - 1) < 1e-9


@pytest.mark.parametrize(("mu", "epsilon", "log_delta"), [row for row in REFERENCE["curve"] if row[1] > 0])
def test_inversions_of_log_delta_return_to_the_reference_however_deep(mu, epsilon, log_delta):
    log_delta = float(log_delta)
    assert gaussian_dp.mu_from_log_delta(epsilon, log_delta) == pytest.approx(mu, rel=1e-9)
    assert gaussian_dp.epsilon_from_log_delta(mu, log_delta) == pytest.approx(epsilon, rel=1e-9, abs=1e-11)


@pytest.mark.parametrize(("mu", "alpha", "expected"), REFERENCE["tradeoff"])
def test_tradeoff_is_the_reference_rounded_down(mu, alpha, expected):
    with ctx.workprec(150):
        assert -1e-9 < float(arb(gaussian_dp.tradeoff(mu, alpha)) / arb(expected) - 1) <= 0.0


@pytest.mark.parametrize(("mu", "order", "expected"), REFERENCE["renyi"])
def test_renyi_is_the_integral_rounded_up(mu, order, expected):
    value = gaussian_dp.renyi(mu, order)
    assert value == pytest.approx(float(expected), rel=1e-14)
    with ctx.workprec(150):
        assert arb(value) >= arb(order) * arb(mu) ** 2 / 2


def wrong_mu(epsilon, delta, mu):
    """How many mu exceed what the budget allows, and how many are not proved to be within 1e-9 of it."""
    with ctx.workprec(192):
        unsafe = sum(not arb_delta(m, e) <= arb(float(d)) for e, d, m in zip(epsilon, delta, mu, strict=True))
        loose = sum(
            not arb_delta(m * (1 + 1e-9), e) > arb(float(d)) for e, d, m in zip(epsilon, delta, mu, strict=True)
        )
    return unsafe, loose


def wrong_epsilon(mu, delta, epsilon):
    """How many epsilons do not suffice, and how many are not proved to be within the stated distance of the least."""
    with ctx.workprec(192):
        unsafe = sum(not arb_delta(m, e) <= arb(float(d)) for m, d, e in zip(mu, delta, epsilon, strict=True))
        less = epsilon * (1 - 1e-9) - 1e-12 * np.minimum(mu, 1.0)
        loose = sum(not arb_delta(m, e) > arb(float(d)) for m, d, e in zip(mu, delta, less, strict=True) if e >= 0.0)
    return unsafe, loose


def test_mu_is_never_on_the_wrong_side():
    epsilon, delta = mu_budgets()
    assert wrong_mu(epsilon, delta, gaussian_dp.mu(epsilon, delta)) == (0, 0)


def test_epsilon_is_never_on_the_wrong_side():
    mu, delta = epsilon_budgets()
    epsilon = gaussian_dp.epsilon(mu, delta)
    assert np.count_nonzero(epsilon) > POINTS // 2
    assert wrong_epsilon(mu, delta, epsilon) == (0, 0)


def test_without_the_allowance_for_rounding_both_fall_on_the_wrong_side(monkeypatch):
    monkeypatch.setattr(_gaussian_curve, "_ROUND", 0.0)
    monkeypatch.setattr(gaussian_dp, "_ROUND", 0.0)
    some = slice(0, 500)
    epsilon, delta = (values[some] for values in mu_budgets())
    assert wrong_mu(epsilon, delta, gaussian_dp.mu(epsilon, delta))[0] > 0
    mu, delta = (values[some] for values in epsilon_budgets())
    assert wrong_epsilon(mu, delta, gaussian_dp.epsilon(mu, delta))[0] > 0


def curve_points(rng, size):
    mu = log_uniform(rng, 1e-8, 1e3, size)
    a = np.where(rng.random(size) < 0.7, rng.uniform(-9.0, 9.0, size), rng.uniform(-36.0, 36.0, size))
    return mu, np.maximum(mu * (mu / 2 - a), 0.0)


def test_log_delta_bounds_its_own_error_where_doubles_do_not_resolve_a():
    rng = np.random.default_rng(12)
    mu = log_uniform(rng, 1e15, 1e19, 2000)
    epsilon = mu * mu / 2
    curve = _gaussian_curve.curve(mu, epsilon)
    near = np.flatnonzero(np.abs(curve.a) < 30.0)
    assert near.size > 300 and np.any(curve.error[near] > 1e-12)
    with ctx.workprec(300):
        for i in near:
            m, e = arb(float(mu[i])), arb(float(epsilon[i]))
            a, y = m / 2 - e / m, m / 2 + e / m
            lost = (-a * a / 2).exp() / (2 * arb.pi()).sqrt() * (1 / y + arb(0, 1) / y**3)  # Mills' ratio, y >= 1e15
            delta = arb_cdf(a) - lost
            true = delta.log() if delta < 0.9 else (-(arb_cdf(-a) + lost)).log1p()
            assert abs(arb(float(curve.log[i])) - true) < arb(float(curve.error[i]))


def test_inversions_need_few_evaluations(monkeypatch):
    evaluated: list[int] = []
    curve, budgets = _gaussian_curve.curve, epsilon_budgets()
    monkeypatch.setattr(_gaussian_curve, "curve", lambda mu, epsilon: evaluated.append(mu.size) or curve(mu, epsilon))
    gaussian_dp.mu(*mu_budgets())
    assert sum(evaluated) < 3.6 * POINTS
    evaluated.clear()
    gaussian_dp.epsilon(*budgets)
    assert sum(evaluated) < 4.3 * POINTS


def test_log_delta_bounds_its_own_error():
    """The bound is what every certificate rests on; it is not allowed to be nearly used up either."""
    rng = np.random.default_rng(3)
    mu, epsilon = curve_points(rng, 4000)
    high = log_uniform(rng, 80.0, 1e3, 300)  # where 1 - delta is subnormal
    mu = np.append(mu, high)
    epsilon = np.append(epsilon, high * (high / 2 - rng.uniform(36.5, 38.5, 300)))
    curve = _gaussian_curve.curve(mu, epsilon)
    with ctx.workprec(1200):
        for m, e, log, error in zip(mu, epsilon, curve.log, curve.error, strict=True):
            assert abs(arb(float(log)) - arb_log_delta(m, e)) < 0.6 * arb(float(error)), (m, e)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_delta_is_never_below_the_truth(sign):
    rng = np.random.default_rng(4)
    mu, epsilon = curve_points(rng, 1500)
    epsilon = sign * np.minimum(epsilon, np.where(sign < 0, 30.0, np.inf))
    delta, log_delta = gaussian_dp.delta(mu, epsilon), gaussian_dp.log_delta(mu, epsilon)
    with ctx.workprec(1200):
        for m, e, d, log in zip(mu, epsilon, delta, log_delta, strict=True):
            true = arb_log_delta(m, e)
            assert log == 0.0 or true <= arb(float(log)), (m, e)
            assert true > -1e-300 or arb(float(log)) <= true + 1e-9 * min(1.0, -float(true)), (m, e)
            assert d == 1.0 or true.exp() <= arb(float(d)) <= true.exp() * arb(1 + 1e-9), (m, e)


def test_mu_with_negative_epsilon_is_never_on_the_wrong_side():
    rng = np.random.default_rng(5)
    epsilon = -log_uniform(rng, 1e-6, 20.0, 1000)
    delta = -np.expm1(epsilon) + np.exp(epsilon) * log_uniform(rng, 1e-3, 1.0, 1000) * (1 - 1e-9)
    mu = gaussian_dp.mu(epsilon, delta)
    with ctx.workprec(192):
        for e, d, m in zip(epsilon, delta, mu, strict=True):
            assert arb_delta(m, e) <= arb(float(d)) < arb_delta(m * (1 + 1e-9) + 1e-11, e)


def test_tradeoff_is_never_above_the_truth():
    rng = np.random.default_rng(6)
    alpha = np.concatenate([log_uniform(rng, 1e-300, 1.0, 1500), 1.0 - log_uniform(rng, 2e-16, 1.0, 500)])
    mu = log_uniform(rng, 1e-8, 40.0, alpha.size)
    value = gaussian_dp.tradeoff(mu, alpha)
    with ctx.workprec(160):
        assert arb(gaussian_dp.tradeoff(38.3, 0.5)) < arb_cdf(arb(-38.3)), "subnormal"
        for m, a, beta in zip(mu, alpha, value, strict=True):
            if beta < 1e-300:
                continue
            # beta is right when the threshold that gives it, moved by mu, gives alpha: compare thresholds in Arb.
            z = newton_quantile(beta)
            alpha_of_beta = arb_cdf(-(z + arb(float(m))))
            assert alpha_of_beta >= arb(float(a)), "beta is too large"
            tight = newton_quantile(beta * (1 + 1e-9))
            assert arb_cdf(-(tight + arb(float(m)))) < arb(float(a)) or beta * (1 + 1e-9) >= 1.0


def newton_quantile(p):
    """Phi^-1(p) in Arb to far more than double precision: Newton's method is quadratic from scipy's value."""
    z = arb(float(scipy.special.ndtri(p)))
    for _ in range(3):
        density = (-(z * z) / 2).exp() / (2 * arb.pi()).sqrt()
        z = (z - (arb_cdf(z) - arb(float(p))) / density).mid()
    return z


@pytest.mark.parametrize(
    ("function", "exact", "low", "high", "allowed"),
    [
        (np.exp, lambda x: x.exp(), -700.0, 0.0, 4),
        (np.log, lambda x: x.log(), 1e-300, 1e300, 4),
        (np.log, lambda x: x.log(), 0.5, 1.0, 4),
        (np.log1p, lambda x: x.log1p(), -0.5, -1e-300, 4),
        (np.expm1, lambda x: x.expm1(), -700.0, -1e-300, 4),
        (scipy.special.erfcx, lambda x: (x * x).exp() * x.erfc(), -0.48, 3.0, 16),
        (scipy.special.erfcx, lambda x: (x * x).exp() * x.erfc(), 0.01, 1e6, 16),
    ],
)
def test_the_accuracy_assumed_of_elementary_functions(function, exact, low, high, allowed):
    rng = np.random.default_rng(7)
    sign = np.sign(high) or -1.0
    ends = sorted((abs(low), abs(high))) if low * high > 0 else [1e-16, abs(low) or abs(high)]
    x = np.concatenate([rng.uniform(low, high, 2000), sign * log_uniform(rng, *[max(e, 1e-300) for e in ends], 2000)])
    values = function(x)
    with ctx.workprec(200):
        for point, value in zip(x, values, strict=True):
            true = exact(arb(float(point)))
            assert abs(arb(float(value)) - true) <= allowed * arb(2) ** -53 * abs(true), point


def test_the_accuracy_assumed_of_the_normal_quantile():
    rng = np.random.default_rng(8)
    p = np.concatenate([log_uniform(rng, 1e-300, 1.0, 1000), 1.0 - log_uniform(rng, 2e-16, 0.5, 500)])
    with ctx.workprec(200):
        for point, value in zip(p, scipy.special.ndtri(p), strict=True):
            true = newton_quantile(point)
            assert abs(arb(float(value)) - true) <= 16 * arb(2) ** -53 * abs(true), point


def test_ends_of_the_range():
    inf = np.inf
    assert gaussian_dp.log_delta(0.0, [0.0, 1.0]).tolist() == [-inf, -inf]
    assert gaussian_dp.delta(0.0, [0.0, 5.0]).tolist() == [0.0, 0.0]
    assert gaussian_dp.delta(0.0, -1.0) == pytest.approx(-np.expm1(-1.0), rel=1e-14)
    assert gaussian_dp.delta(inf, [-1.0, 0.0, 1e4]).tolist() == [1.0, 1.0, 1.0]
    assert gaussian_dp.delta(1.0, 1e4) == 5e-324, "the true value underflows, but is not 0"
    assert gaussian_dp.epsilon([0.0, 0.0, 1.0, inf, inf], [0.0, 0.5, 0.0, 0.5, 1.0]).tolist() == [0, 0, inf, inf, 0]
    assert gaussian_dp.mu([0.0, 1.0, 1.0], [0.0, 0.0, 1.0]).tolist() == [0.0, 0.0, inf]
    assert gaussian_dp.mu_from_log_delta(0.0, -1e3) == 0.0, "the true value underflows"
    assert gaussian_dp.tradeoff([0.0, 1.0, 1.0, inf, inf], [0.0, 0.0, 1.0, 0.0, 0.5]).tolist() == [1.0, 1.0, 0, 0, 0]
    assert gaussian_dp.tradeoff(0.0, 0.25) == pytest.approx(0.75, rel=1e-13)
    assert gaussian_dp.renyi([0.0, inf], 2.0).tolist() == [0.0, inf]


def test_wild_arguments_stay_safe_and_silent():
    wild = np.array([5e-324, 1e-300, 1e-150, 1.0, 1e150, 1e300, 1.7e308])
    mu, epsilon = np.meshgrid(wild, wild)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        log = gaussian_dp.log_delta(mu, epsilon)
        assert np.all(log <= 0.0)
        assert np.all(np.diff(log, axis=1) >= 1e-13 * log[:, :-1]) and np.all(np.diff(log, axis=0) <= -1e-13 * log[1:])
        for target in (-1e300, -5e4, -1.0, -1e-300, -5e-324):
            allowed = gaussian_dp.mu_from_log_delta(wild, target)
            assert np.all(gaussian_dp.log_delta(allowed, wild) <= target)
            cost = gaussian_dp.epsilon_from_log_delta(wild, target)
            finite = np.isfinite(cost)
            assert np.all(gaussian_dp.log_delta(wild[finite], cost[finite]) <= target)


def test_the_difference_of_neighbouring_shapes():
    mu, epsilon = np.array([[0.5], [2.0]]), np.array([0.0, 1.0, 3.0])
    table = gaussian_dp.log_delta(mu, epsilon)
    assert table.shape == (2, 3)
    assert table[1, 2] == gaussian_dp.log_delta(2.0, 3.0)
    assert isinstance(gaussian_dp.mu(1, 1e-5), float) and isinstance(gaussian_dp.delta(1, 0), float)
    assert gaussian_dp.epsilon(np.ones((0,)), 0.5).shape == (0,)


@given(st.floats(1e-3, 30.0), st.floats(0.0, 20.0))
def test_delta_is_the_legendre_dual_of_the_tradeoff(mu, epsilon):
    """delta = max of 1 - e^epsilon alpha - tradeoff(alpha), attained where the likelihood ratio is e^epsilon."""
    with ctx.workprec(200):
        m, e = arb(mu), arb(epsilon)
        best = float(arb_cdf(-(e / m + m / 2)))
    delta = gaussian_dp.delta(mu, epsilon)
    alpha = np.append(np.linspace(0.0, 1.0, 101), best)
    gap = 1.0 - np.exp(epsilon) * alpha - gaussian_dp.tradeoff(mu, alpha)
    assert gap.max() == pytest.approx(delta, abs=1e-12 + 1e-15 * np.exp(epsilon))


@given(st.floats(1e-6, 100.0), st.floats(1e-6, 1e3), st.floats(1.001, 3.0))
def test_monotone_in_both_arguments(mu, epsilon, factor):
    log = gaussian_dp.log_delta([mu, mu * factor, mu], [epsilon, epsilon, epsilon * factor])
    assert log[2] <= log[0] <= log[1]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gaussian_dp.delta(-1.0, 0.0), r"mu = -1\.0: must be nonnegative"),
        (lambda: gaussian_dp.delta([1.0, np.nan], 0.0), r"mu\[1\] = nan: must be nonnegative"),
        (lambda: gaussian_dp.log_delta(1.0, np.inf), r"epsilon = inf: must be finite"),
        (lambda: gaussian_dp.mu(1.0, 1.5), r"delta = 1\.5: must lie in \[0, 1\]"),
        (lambda: gaussian_dp.mu_from_log_delta(1.0, 0.5), r"log_delta = 0\.5: must lie in \[-inf, 0\]"),
        (lambda: gaussian_dp.mu(-1.0, 0.3), r"at epsilon = -1\.0: must exceed 1 - e\^epsilon = 0\.632"),
        (lambda: gaussian_dp.tradeoff(1.0, -0.1), r"alpha = -0\.1: must lie in \[0, 1\]"),
        (lambda: gaussian_dp.renyi(1.0, 0.0), r"order = 0\.0: must be positive and finite"),
        (lambda: gaussian_dp.delta(np.ones(2), np.ones(3)), r"mu has shape \(2,\), epsilon \(3,\): must broadcast"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_bad_types_are_named():
    with pytest.raises(TypeError, match="mu = True: must be real numbers"):
        gaussian_dp.delta(True, 0.0)
    with pytest.raises(TypeError, match="epsilon = '1': must be real numbers"):
        gaussian_dp.delta(1.0, "1")
