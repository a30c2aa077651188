"""bounds.coupling: E d_nu(epsilon) against Arb, quadrature over the law of nu, simulation and a dense recursion."""

import math
from typing import NamedTuple

import numpy as np
import pytest
from flint import acb, arb, ctx
from scipy.optimize import brentq, minimize_scalar
from scipy.special import ndtr

from bounds import coupling
from bounds.coupling import epsilon_for, log_expected_delta


@pytest.fixture(autouse=True)
def precision():
    before, ctx.prec = ctx.prec, 160
    yield
    ctx.prec = before


class Law(NamedTuple):
    """nu^2 = |Z|^2 for Z (d, columns)."""

    shift: list[float]
    theta: list[float]
    columns: int

    def log_moment(self, s: arb) -> arb:
        """log E exp(s nu^2), real s."""
        total = arb(0)
        for n, t in zip(self.shift, self.theta, strict=True):
            v = 1 - 2 * s * arb(t)
            total += s * arb(n) / v - arb(self.columns) / 2 * v.log()
        return total


def crossing(law: Law, epsilon: float) -> float:
    """A real point right of 1 near the minimum of the integrand."""
    largest = max(law.theta)
    limit = math.sqrt(0.25 + 1 / largest) - 0.5 if largest else math.inf

    def place(x: float) -> float:
        return limit / (1 + math.exp(-x)) if largest else math.exp(x)

    def size(x: float) -> float:
        y = place(x)
        log = -y * epsilon - math.log(y * (1 + y))
        for n, t in zip(law.shift, law.theta, strict=True):
            v = max(1 - y * (1 + y) * t, 1e-300)
            log += 0.5 * y * (1 + y) * n / v - 0.5 * law.columns * math.log(v)
        return log

    return 1 + place(minimize_scalar(size, bounds=(-30, 30), method="bounded").x)


def enclosed_log(law: Law, epsilon: float) -> arb:
    """A ball around log E d_nu(epsilon), epsilon >= 0, by Arb along the rays c + t exp(+- i pi / 3).

    Beyond t = B >= 2c and past the branch points every factor of the integrand decreases in modulus: exp(s n / v) is
    at most exp(n (1 / |v| - 1) / (2 theta)), or exp(n Re s) where theta = 0, and |v| increases; 1 / |z (z-1)| is at
    most 4 / (3 t^2). Hence the part beyond B is at most the other factors at B times 4 / (3 pi B).
    """
    c, eps = arb(crossing(law, epsilon)), arb(epsilon)
    direction = acb(0.5, arb(3).sqrt() / 2)
    log_size = law.log_moment(c * (c - 1) / 2) - (c - 1) * eps - (c * (c - 1)).log()

    def remainder(t: arb) -> arb:
        z = c + t * direction
        log = -(z.real - 1) * eps - log_size
        for n, theta in zip(law.shift, law.theta, strict=True):
            v = 1 - z * (z - 1) * arb(theta)
            shrunk = arb(n) * (1 / abs(v) - 1) / (2 * arb(theta)) if theta else arb(n) * (z * (z - 1)).real / 2
            log += shrunk - arb(law.columns) / 2 * abs(v).log()
        return log.exp() * 4 / (3 * arb.pi() * t)

    end = 2 * c + max([1 / math.sqrt(theta) + 1 for theta in law.theta if theta], default=0)
    while not remainder(end) < 1e-25:
        end *= 1.25

    def integrand(t: acb, analytic: bool) -> acb:
        z = c + direction * t
        s = z * (z - 1) / 2
        exponent = -(z - 1) * eps - log_size
        for n, theta in zip(law.shift, law.theta, strict=True):
            v = 1 - 2 * s * arb(theta)
            exponent += s * arb(n) / v - arb(law.columns) / 2 * v.log(analytic=analytic)
        return direction * exponent.exp() / (z * (z - 1))

    value = acb.integral(integrand, 0, end, rel_tol=2.0**-70, abs_tol=2.0**-100).imag / arb.pi()
    beyond = remainder(end)
    return (value + beyond.union(-beyond)).log() + log_size


def profile(nu: acb, epsilon: arb) -> acb:
    """d_nu(epsilon) from normal distribution functions."""
    root = arb(2).sqrt()
    first, second = (epsilon / nu - nu / 2) / root, (epsilon / nu + nu / 2) / root
    return (first.erfc() - epsilon.exp() * second.erfc()) / 2


def quadrature_log(law: Law, epsilon: float) -> arb:
    """The same by integrating d_nu(epsilon) against the density of nu, d = 1; with an even `columns` any epsilon."""
    shift, theta, eps = arb(law.shift[0]).sqrt(), arb(law.theta[0]), arb(epsilon)
    order = (law.columns - 2) // 2 if law.columns % 2 == 0 else arb(law.columns) / 2 - 1

    def density(nu: acb, analytic: bool) -> acb:
        if analytic and law.columns % 2 and not nu.real > 0:
            return acb("nan")
        gauss = (-((nu - shift) ** 2) / (2 * theta)).exp()
        return nu / theta * (nu / shift) ** order * gauss * (shift * nu / theta).bessel_i(order, scaled=True)

    def integral(function: object, low: arb, high: arb) -> arb:
        return acb.integral(function, low, high, rel_tol=2.0**-70, abs_tol=2.0**-140).real

    # Below `start`, 0 <= d_nu(|epsilon|) <= d_start(|epsilon|); above `end` the law has less than exp(-200).
    start, end = abs(eps) / 40, shift + theta.sqrt() * (arb(law.columns).sqrt() + 20)
    value = integral(lambda nu, analytic: density(nu, analytic) * profile(nu, eps), start, end)
    if epsilon < 0:
        value += -eps.expm1() * integral(density, arb(0), start)
    return (value + profile(acb(start), abs(eps)).real.union(arb(0)) + arb(0, 1e-80)).log()


def random_laws(count: int, seed: int) -> list[tuple[Law, float]]:
    rng = np.random.default_rng(seed)
    cases = []
    for _ in range(count):
        dimension, columns = rng.choice([(1, 1), (1, 2), (1, 10), (2, 1), (3, 2), (4, 1), (6, 3), (2, 100)])
        theta = 10 ** rng.uniform(-4, 2, dimension)
        theta[rng.random(dimension) < 0.15] = 0
        shift = 10 ** rng.uniform(-4, 2, dimension)
        shift[rng.random(dimension) < 0.15] = 0
        if not np.any(shift + theta):
            theta[0] = 1.0
        epsilon = 0.0 if rng.random() < 0.1 else 10 ** rng.uniform(-2, 2.5)
        cases.append((Law(shift.tolist(), theta.tolist(), int(columns)), float(epsilon)))
    return cases


# Nearly all of nu in a row without variance, and a branch point nearby from one that hardly matters: these need the
# finer steps of the contour.
HARD = [
    (Law([2.16361472e-4, 3.21749957e-1], [4.87574917e-1, 5.16445608e-6], 1), 0.0),
    (Law([4.54020605e-1, 1.04677619e-5], [0.0, 2.6297517e-1], 1), 1.8e-3),
    (Law([4.9445421e-1, 1.50608e-3], [0.0, 3.14565e-1], 1), 0.0),
    (Law([2.52322584e2, 1.14496619e-4], [1.6932e-1, 7.58239], 2), 124.95057),
]


def test_never_below_the_truth_and_within_2e_12() -> None:
    for law, epsilon in HARD + random_laws(150, 1):
        value = float(log_expected_delta(*law, epsilon))
        truth = enclosed_log(law, epsilon)
        assert truth.rad() < 1e-15 * (1 + abs(truth)), (law, epsilon)
        assert not arb(value) < truth, (law, epsilon)
        assert arb(value) - truth <= 2e-12 + 1e-14 * abs(truth), (law, epsilon)


@pytest.mark.parametrize(("columns", "sign"), [(1, 1), (2, 1), (3, 1), (4, 1), (2, -1), (4, -1)])
def test_formula_against_quadrature_over_the_law_of_nu(columns: int, sign: int) -> None:
    rng = np.random.default_rng([2, columns])
    for _ in range(6):
        law = Law([float(rng.uniform(0.1, 4))], [float(rng.uniform(0.1, 2))], columns)
        epsilon = sign * float(rng.uniform(0.1, 4))
        truth = quadrature_log(law, epsilon)
        assert truth.rad() < 1e-15
        assert 0 <= float(arb(float(log_expected_delta(*law, epsilon))) - truth) <= 1e-12, (law, epsilon)


@pytest.mark.parametrize(
    ("nu", "epsilon"),
    [
        (1.0, 1.0),
        (30.0, 1e4),
        (1e-6, 1e-6),
        (1e-3, 0.0),
        (5.0, 0.0),
        (40.0, 3.0),
        (1e-2, 1.0),
        (2.0, -1.5),
        (0.3, -8.0),
    ],
)
def test_a_known_distance_gives_the_gaussian_profile(nu: float, epsilon: float) -> None:
    ctx.prec = 400
    value = float(log_expected_delta([nu * nu / 4, nu * nu * 3 / 4], [0.0, 0.0], 1, epsilon))
    exact = profile(acb((arb(nu * nu / 4) + arb(nu * nu * 3 / 4)).sqrt()), arb(epsilon)).real.log()
    assert 0 <= float(arb(value) - exact) <= 1e-12 * (1 + abs(value))


def dense_gap_law() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mean and covariance of X_T - X'_T, and A^K and V_T, step by step for a small deletion problem."""
    rows, targets, step_size, ridge = (
        np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]),
        np.array([1.0, 2.0, -1.0]),
        0.2,
        0.5,
    )
    learn_steps, unlearn_steps, learn_noise, unlearn_noise = 3, 2, 0.1, 0.2
    kept = [0, 2]
    full = np.eye(2) - step_size * (rows.T @ rows + ridge * np.eye(2))
    less = np.eye(2) - step_size * (rows[kept].T @ rows[kept] + ridge * np.eye(2))
    # State (X, X'), driven by one noise while learning
    step = np.block([[full, np.zeros((2, 2))], [np.zeros((2, 2)), less]])
    drift = step_size * np.concatenate([rows.T @ targets, rows[kept].T @ targets[kept]])
    noise = learn_noise**2 * np.tile(np.eye(2), (2, 2))
    mean, covariance = np.zeros(4), np.zeros((4, 4))
    for _ in range(learn_steps):
        mean, covariance = step @ mean + drift, step @ covariance @ step.T + noise
    difference = np.hstack([np.eye(2), -np.eye(2)])
    unlearned, carried = np.zeros((2, 2)), np.eye(2)
    for _ in range(unlearn_steps):
        unlearned = less @ unlearned @ less.T + unlearn_noise**2 * np.eye(2)
        carried = less @ carried
    return difference @ mean, difference @ covariance @ difference.T, carried, unlearned


def test_certificate_of_a_small_deletion() -> None:
    mean, covariance, carried, unlearned = dense_gap_law()
    whiten = np.linalg.inv(np.linalg.cholesky(unlearned)) @ carried
    variances, basis = np.linalg.eigh(whiten @ covariance @ whiten.T)
    shift = (basis.T @ whiten @ mean) ** 2
    value = float(np.exp(log_expected_delta(shift, np.maximum(variances, 0), 1, 1.0)))
    assert value == pytest.approx(0.351017567344, abs=1e-12)
    assert value > max(np.exp(-1.10496763237), np.exp(-1.08636892845))  # the exact divergences, either way


@pytest.mark.statistical
def test_mean_over_simulated_matrices_with_dependent_rows() -> None:
    rng = np.random.default_rng(7)
    factor, means, epsilon, runs = 0.6 * rng.standard_normal((3, 3)), rng.standard_normal((3, 2)), 0.8, 400_000
    gaps = means + np.einsum("ij,rjc->ric", factor, rng.standard_normal((runs, 3, 2)))
    nu = np.linalg.norm(gaps, axis=(1, 2))
    sampled = ndtr(nu / 2 - epsilon / nu) - math.exp(epsilon) * ndtr(-nu / 2 - epsilon / nu)
    variances, basis = np.linalg.eigh(factor @ factor.T)
    value = np.exp(log_expected_delta(((basis.T @ means) ** 2).sum(1), variances, 2, epsilon))
    assert abs(sampled.mean() - value) < 5.8 * sampled.std() / math.sqrt(runs)


def test_rows_and_columns_of_one_variance_are_the_same_thing() -> None:
    for epsilon in (0.0, 0.5, 20.0):
        square = log_expected_delta([1.5, 0.3], [0.7, 0.2], 3, epsilon)
        flat = log_expected_delta([1.0, 0.2, 0.3, 0.0, 0.3, 0.0], [0.7] * 3 + [0.2] * 3, 1, epsilon)
        padded = log_expected_delta([1.5, 0.0, 0.3, 0.0], [0.7, 0.0, 0.2, 0.0], 3, epsilon)
        assert flat == pytest.approx(square, rel=1e-12)
        assert padded == pytest.approx(square, rel=1e-12)


def test_monotone_in_shift_columns_and_epsilon() -> None:
    rng = np.random.default_rng(8)
    shift, theta = 10 ** rng.uniform(-3, 2, (200, 3)), 10 ** rng.uniform(-3, 2, (200, 3))
    epsilon = 10 ** rng.uniform(-2, 3, 200)
    base = log_expected_delta(shift, theta, 2, epsilon)
    slack = 2e-12 * (1 + np.abs(base))
    assert np.all(log_expected_delta(shift * 1.1, theta, 2, epsilon) >= base - slack)
    assert np.all(log_expected_delta(shift, theta, 3, epsilon) >= base - slack)
    assert np.all(log_expected_delta(shift, theta, 2, epsilon * 1.1) <= base + slack)
    step = 1e-5 * epsilon
    slope = coupling._profile(shift, theta, 2, epsilon).slope
    pair = [log_expected_delta(shift, theta, 2, epsilon + sign * step) for sign in (1, -1)]
    assert slope * 2 * step == pytest.approx(pair[0] - pair[1], rel=1e-5, abs=1e-11)


def test_a_larger_variance_can_lower_the_certificate() -> None:
    """d_nu is concave in nu near its limit 1, so that spreading nu around a large mean costs less than it gains."""
    assert log_expected_delta([49.0], [2.0], 1, 1.0) < log_expected_delta([49.0], [0.0], 1, 1.0)
    assert log_expected_delta([1.0], [2.0], 1, 1.0) > log_expected_delta([1.0], [0.0], 1, 1.0)


def test_shapes_and_degenerate_laws() -> None:
    shift, theta = np.full((5, 1, 2), 0.5), np.full((1, 1, 2), 0.1)
    assert log_expected_delta(shift, theta, 2, np.linspace(-1, 1, 7)).shape == (5, 7)
    assert np.ndim(log_expected_delta([0.5], [0.1], 2, 1.0)) == 0
    nothing = log_expected_delta([0.0, 0.0], [0.0, 0.0], 2, [-1.0, 0.0, 1.0])
    assert nothing == pytest.approx([math.log(-math.expm1(-1.0)), -math.inf, -math.inf])
    assert log_expected_delta([], [], 2, 1.0) == -math.inf
    assert log_expected_delta([1e6], [1.0], 1, 2.0) == 0
    assert -1e-300 >= log_expected_delta([1e-60], [1e-62], 1, 1.0) >= -math.inf


@pytest.mark.parametrize(
    ("law", "epsilon"),
    [
        (Law([1e-18], [0.0], 2), 1.0),
        (Law([1e-12], [1e-30], 1), 9.0),
        (Law([1e-30], [0.0], 3), 1e6),
        (Law([0.0], [1e-30], 3), 1e6),
        (Law([0.0], [1e-100], 3), 1.0),
    ],
)
def test_certificates_too_small_for_the_contour_follow_the_leading_exponent(law: Law, epsilon: float) -> None:
    value, truth = float(log_expected_delta(*law, epsilon)), leading_exponent(law, epsilon)
    assert truth < -1e10
    assert truth * (1 + 1e-8) <= value <= truth * (1 - 1e-8)


def leading_exponent(law: Law, epsilon: float) -> float:
    """min over nu of epsilon^2 / (2 nu^2) + (nu - |b|)^2 / (2 theta), the rate at which E d_nu vanishes."""
    mean, theta = math.sqrt(law.shift[0]), law.theta[0]
    if not theta:
        return -((epsilon / mean) ** 2) / 2
    high = 2 * (mean + (theta * epsilon**2) ** 0.25)
    nu = brentq(lambda x: (x - mean) * x**3 / (theta * epsilon**2) - 1, mean, high, xtol=1e-200)
    return -(((epsilon / nu) ** 2) / 2 + (nu - mean) ** 2 / (2 * theta))


def test_epsilon_for_is_the_root_rounded_up() -> None:
    rng = np.random.default_rng(9)
    for law, _ in random_laws(25, 3):
        log_delta = -float(rng.uniform(0.5, 60))
        epsilon = float(epsilon_for(*law, log_delta))
        if epsilon == 0:
            assert enclosed_log(law, 0.0) <= log_delta
            continue
        assert enclosed_log(law, epsilon) <= log_delta, law
        assert enclosed_log(law, max(epsilon * (1 - 1e-9) - 1e-9 * min(1, epsilon), 0)) > log_delta, law


def test_epsilon_for_shapes_and_limits() -> None:
    budgets = np.array([-math.inf, -20.0, -1e-3, 0.0])
    several = epsilon_for([[[0.5, 0.0]], [[0.0, 0.0]]], [[[0.1, 0.2]], [[0.0, 0.0]]], 2, budgets)
    assert several.shape == (2, 4)
    assert several[0, 0] == math.inf and several[0, 1] > 1 and np.all(several[0, 2:] == 0)
    assert np.all(several[1] == 0)
    assert epsilon_for([0.5, 0.0], [0.1, 0.2], 2, -20.0) == pytest.approx(several[0, 1], rel=1e-10)


def test_an_inaccurate_integral_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = coupling.contour
    monkeypatch.setattr(
        coupling, "contour", lambda *places, **rest: honest(*places, **rest)._replace(error=np.full(1, 2e-9))
    )
    with pytest.raises(FloatingPointError, match=r"epsilon = 6\.0: .* not accurate"):
        log_expected_delta([0.5], [0.1], 2, 6.0)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"shift_squared": [-1.0]}, ValueError, r"shift_squared\[0\] = -1.0"),
        ({"variances": [math.nan]}, ValueError, r"variances\[0\] = nan"),
        ({"variances": [1.0, 2.0]}, ValueError, "last axis"),
        ({"variances": 1.0}, ValueError, "last axis"),
        ({"columns": 0}, ValueError, "columns = 0"),
        ({"columns": 1.5}, TypeError, r"columns = 1\.5"),
        ({"epsilon": math.inf}, ValueError, "epsilon = inf"),
    ],
)
def test_bad_arguments(change: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        log_expected_delta(**({"shift_squared": [1.0], "variances": [1.0], "columns": 1, "epsilon": 1.0} | change))


def test_bad_budget() -> None:
    with pytest.raises(ValueError, match=r"log_delta = 0\.1"):
        epsilon_for([1.0], [1.0], 1, 0.1)
