"""Certified intervals: they hold values found by other formulas, they are narrow, and what they rest on is a bound."""

import json
import math
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from flint import acb, acb_mat, arb, arb_mat, ctx
from mpmath import mp, mpf

from linear import _ball_contour, _ball_hockey_stick, enclosure
from linear._ball_linalg import as_balls, diagonalise
from linear.enclosure import enclose_deletion, enclose_gdp, enclose_pair

REFERENCE = json.loads((Path(__file__).parent / "reference" / "enclosure.json").read_text())


def holds(interval, value, *, known_to=0.0):
    """Whether the interval holds the value (a number or its digits), known to an absolute error."""
    with mp.workdps(60):
        return mpf(interval[0]) - known_to <= mpf(value) <= mpf(interval[1]) + known_to


def assert_holds(interval, value, *, known_to=0.0):
    """The interval holds the value and is as narrow as promised."""
    lower, upper = interval
    assert holds(interval, value, known_to=known_to)
    assert upper - lower <= 1e-12 + 2 * math.ulp(lower)


def assert_overlap(first, second):
    assert max(first[0], second[0]) <= min(first[1], second[1])


def diagonal(mean, variance, columns=1):
    """N(mean, diag(variance)) against N(0, I)."""
    d = len(mean)
    return np.array(mean, dtype=float).reshape(d, columns), np.diag(variance), np.zeros((d, columns)), np.eye(d)


def random_covariance(rng, d):
    root = rng.normal(size=(d, d + 2))
    covariance = root @ root.T / d + 0.1 * np.eye(d)
    return (covariance + covariance.T) / 2


def random_pair(rng, d, columns):
    gap = rng.normal(size=(d, columns)) * 10 ** rng.uniform(-3, 1)
    return gap, random_covariance(rng, d), np.zeros((d, columns)), random_covariance(rng, d)


# Independent formulas -------------------------------------------------------------------------------------------


def one_dimension(mean_p, variance_p, mean_q, variance_q, epsilon):
    """log H between two normal laws: where the quadratic log-ratio exceeds epsilon, by normal tails."""
    with mp.workdps(60):
        m, g, mq, gq, epsilon = (mpf(x) for x in (mean_p, variance_p, mean_q, variance_q, epsilon))
        square = (1 / gq - 1 / g) / 2
        linear = m / g - mq / gq
        constant = mq**2 / (2 * gq) - m**2 / (2 * g) + mp.log(gq / g) / 2 - epsilon

        def above(x):
            tail = [mp.erfc((x - a) / mp.sqrt(2 * v)) / 2 for a, v in ((m, g), (mq, gq))]
            return tail[0] - mp.exp(epsilon) * tail[1]

        def below(x):
            tail = [mp.erfc((a - x) / mp.sqrt(2 * v)) / 2 for a, v in ((m, g), (mq, gq))]
            return tail[0] - mp.exp(epsilon) * tail[1]

        if square == 0:
            return mp.log(above(-constant / linear) if linear > 0 else below(-constant / linear))
        discriminant = linear**2 - 4 * square * constant
        if discriminant <= 0:
            return mp.log(1 - mp.exp(epsilon)) if square > 0 else -mp.inf
        near, far = sorted((-linear + sign * mp.sqrt(discriminant)) / (2 * square) for sign in (-1, 1))
        if square > 0:
            return mp.log(below(near) + above(far))
        return mp.log(above(near) - above(far) if near > m else below(far) - below(near))


def chi_square_tail(dof, noncentrality, x, *, upper):
    """Tail of the noncentral chi-square: a Poisson mixture of incomplete gamma functions, by their recurrence.

    The upper ones grow with the shape and the lower ones fall, so each is summed in the direction it grows.
    """
    half, x, shape = mpf(noncentrality) / 2, mpf(x) / 2, mpf(dof) / 2
    count = 60
    while count < 2 * half or half**count / mp.factorial(count) > mpf(10) ** (-3 * mp.dps):
        count += 20
    weights = [mp.exp(-half)]
    steps = [mp.exp(shape * mp.log(x) - x - mp.loggamma(shape + 1))]
    for j in range(1, count):
        weights.append(weights[-1] * half / j)
        steps.append(steps[-1] * x / (shape + j))
    if upper:
        tails = [mp.gammainc(shape, x, regularized=True)]
        for step in steps[:-1]:
            tails.append(tails[-1] + step)
    else:
        tails = [mp.gammainc(shape + count - 1, 0, x, regularized=True)]
        for step in reversed(steps[:-1]):
            tails.insert(0, tails[0] + step)
    return mp.fdot(weights, tails)


def isotropic(mean, ratio, epsilon):
    """log H between N(mean, ratio I) and N(0, I) in any dimension: the log-ratio is a function of one radius."""
    with mp.workdps(40):
        g, epsilon = mpf(ratio), mpf(epsilon)
        squared = sum((mpf(float(x)) ** 2 for x in np.ravel(mean)), mpf(0))
        dof = np.size(mean)
        square = (1 - 1 / g) / 2
        # log-ratio = square |x - centre|^2 + extreme, centre = mean / (1 - g)
        extreme = squared / (2 * (1 - g)) - dof * mp.log(g) / 2
        radius = (epsilon - extreme) / square
        under_p = chi_square_tail(dof, squared * g / (1 - g) ** 2, radius / g, upper=g > 1)
        under_q = chi_square_tail(dof, squared / (1 - g) ** 2, radius, upper=g > 1)
        return mp.log(under_p - mp.exp(epsilon) * under_q)


def complement(mean_p, cov_p, mean_q, cov_q, epsilon):
    """log H from the other interval of the strip: 1 - H by the plain trapezoid rule on Re z = 1/2, two columns.

    K(z) from determinants and solves with (1 - z) cov_p + z cov_q; with two columns no square root is taken.
    """
    with ctx.workprec(128):
        p, q = (acb_mat(as_balls(cov, "cov")) for cov in (cov_p, cov_q))
        gap = acb_mat(as_balls(mean_p - mean_q, "gap"))
        logs = p.det().real.log(), q.det().real.log()
        total, step, t = arb(0), arb(0.0625), 0
        while True:
            z = acb(arb(0.5), step * t)
            mixed = p * (1 - z) + q * z
            quadratic = (gap.transpose() * mixed.solve(gap)).trace()
            value = (z * (z - 1) * quadratic / 2 + (1 - z) * logs[0] + z * logs[1] - (z - 1) * epsilon).exp()
            value /= mixed.det() * z * (z - 1)
            total += value.real * (1 if t else arb(0.5))
            if abs(value) < 1e-22:
                break
            t += 1
        return (1 + total * step / arb.pi()).log().mid().str(25, radius=False)


# The published check numbers and other formulas -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("mean", "variance", "epsilon", "forward", "reverse"),
    [
        ([0.5, 0.2, 0.3], [1.5, 0.8, 1.1], 1.0, -2.7558981403495, -4.2356935996072),
        ([0.5, 0.2, 0.3], [1.5, 0.8, 1.1], -1.0, -0.45028933540374, -0.42235697275151),
        ([30.0, 2.0], [1.05, 0.9], 1e4, -32972.273520404, -57210.213958586),
    ],
)
def test_check_numbers(mean, variance, epsilon, forward, reverse):
    pair = diagonal(mean, variance)
    digit = 10.0 ** -(14 - len(str(int(abs(forward)))))
    assert_holds(enclose_pair(*pair, epsilon), forward, known_to=digit)
    assert_holds(enclose_pair(*pair, epsilon, reverse=True), reverse, known_to=digit)


@pytest.mark.parametrize("case", REFERENCE, ids=str)
def test_nested_quadrature(case):
    pair = diagonal(case["mean"], case["variance"])
    for side in ("forward", "reverse"):
        interval = enclose_pair(*pair, case["epsilon"], reverse=side == "reverse")
        assert_holds(interval, case[side], known_to=1e-18)


@pytest.mark.parametrize("case", REFERENCE, ids=str)
def test_nested_quadrature_in_another_basis(case):
    """A dyadic change of basis keeps the laws exact in doubles, makes the covariances full, and changes nothing."""
    mean, cov_p, _, _ = diagonal(case["mean"], case["variance"])
    d = len(mean)
    basis = np.tril(np.arange(1.0, d * d + 1).reshape(d, d)) / 4 - 2 * np.eye(d)
    shift = np.full((d, 1), 0.375)
    full = basis @ mean + shift, basis @ cov_p @ basis.T, shift, basis @ basis.T
    for side in ("forward", "reverse"):
        interval = enclose_pair(*full, case["epsilon"], reverse=side == "reverse")
        assert_holds(interval, case[side], known_to=1e-18)


@pytest.mark.parametrize("epsilon", [-5.0, -0.1, 0.0, 1e-6, 0.7, 20.0, 1e4])
@pytest.mark.parametrize(
    ("mean", "variance"),
    [(0.25, 1.5), (0.0, 3.0), (6.0, 4.0), (-2.0, 0.5), (30.0, 1.05), (1e-3, 1.0 + 1e-6), (0.5, 1e-6), (1e-6, 1.0)],
)
def test_one_dimension(mean, variance, epsilon):
    for reverse in (False, True):
        laws = (mean, variance, 0.125, 1.0)
        interval = enclose_pair([mean], [[variance]], [0.125], [[1.0]], epsilon, reverse=reverse)
        exact = one_dimension(*(laws[2:] + laws[:2] if reverse else laws), epsilon)
        if exact == -mp.inf:
            assert interval == (-math.inf, -math.inf)
        elif exact > -1e6:
            assert_holds(interval, exact)


@pytest.mark.parametrize("ratio", [0.25, 0.875, 1.125, 2.0])
@pytest.mark.parametrize(("d", "columns"), [(1, 2), (3, 5), (20, 1), (20, 20)])
def test_isotropic_in_any_dimension(ratio, d, columns):
    """All generalised eigenvalues equal, in a basis where nothing is diagonal."""
    rng = np.random.default_rng(d * columns)
    mean = rng.integers(-8, 9, size=(d, columns)) / (16.0 * math.sqrt(4 ** round(math.log(d * columns, 4))))
    basis = np.tril(rng.integers(-2, 3, size=(d, d)), -1) + 2.0 * np.eye(d)
    cov_q = basis @ basis.T
    for epsilon in (0.0, 0.75, 40.0):
        interval = enclose_pair(basis @ mean, ratio * cov_q, np.zeros((d, columns)), cov_q, epsilon)
        extreme = np.sum(mean**2) / (2 * (1 - ratio)) - d * columns * math.log(ratio) / 2
        if ratio < 1 and epsilon > extreme:
            assert interval == (-math.inf, -math.inf)
        elif epsilon > extreme:
            assert_holds(interval, isotropic(mean, ratio, epsilon))


@pytest.mark.parametrize("d", [12, 20])
def test_other_side_of_the_strip(d):
    pair = random_pair(np.random.default_rng(d), d, 2)
    for epsilon in (-0.5, 2.0):
        assert_holds(enclose_pair(*pair, epsilon), complement(*pair, epsilon), known_to=1e-17)


@pytest.mark.parametrize("d", [1, 4, 9])
def test_negative_epsilon_identity(d):
    """H_t(P || Q) = 1 - t + t H_{1/t}(Q || P)."""
    pair = random_pair(np.random.default_rng(100 + d), d, 3)
    for epsilon in (-1e-3, -1.0, -5.0):
        direct = np.exp(enclose_pair(*pair, epsilon))
        swapped = np.exp(enclose_pair(*pair, -epsilon, reverse=True))
        assert direct == pytest.approx(-math.expm1(epsilon) + math.exp(epsilon) * swapped, rel=1e-12)


# Gaussian shift -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mu", [1e-12, 1e-6, 0.1, 1.0, 30.0, 300.0])
@pytest.mark.parametrize("epsilon", [-5.0, 0.0, 1e-6, 1.0, 1e4])
def test_gaussian_shift(mu, epsilon):
    with mp.workdps(200):
        m, e = mpf(mu), mpf(epsilon)
        exact = mp.log((mp.erfc((e / m - m / 2) / mp.sqrt(2)) - mp.exp(e) * mp.erfc((e / m + m / 2) / mp.sqrt(2))) / 2)
    assert_holds(enclose_gdp(mu, epsilon), exact)
    if exact > -1e6:
        assert_holds(enclose_pair([mu], [[1.0]], [0.0], [[1.0]], epsilon), exact)


def test_gaussian_shift_check_numbers():
    assert_holds(enclose_gdp(1.0, 1.0), mp.log(mpf("0.12693673750664")), known_to=1e-13)
    assert_holds(enclose_gdp(30.0, 1e4), "-50677.189582762", known_to=1e-9)
    assert_holds(enclose_gdp(1e-6, 1e-6), "-16.300631083677", known_to=1e-12)
    assert enclose_gdp(0.0, 0.0) == (-math.inf, -math.inf)
    assert_holds(enclose_gdp(0.0, -1.0), mp.log(-mp.expm1(-1)))


def test_equal_covariances_are_the_limit_of_unequal_ones():
    """The closed form and the contour meet: covariances one part in 2^100 apart, and exactly equal."""
    gap, _, zero, cov = random_pair(np.random.default_rng(3), 5, 2)
    exact = enclose_pair(gap, cov, zero, cov, 1.0)
    with ctx.workprec(256):
        near = as_balls(cov, "cov") * (1 + arb(2) ** -100)
    assert_overlap(enclose_pair(gap, near, zero, cov, 1.0), exact)
    with ctx.workprec(256):
        balls = diagonalise(as_balls(gap, "gap"), as_balls(cov, "cov"), as_balls(cov, "cov"))
        contour = _ball_hockey_stick.log_hockey_stick(balls, arb(1.0))
    assert_overlap([float(end) for end in contour], exact)


# Width and time -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("d", [1, 2, 3, 5, 8, 13, 20])
def test_width(d):
    """No refusal and the promised width, both ways, from near certainty down to exp(-50000)."""
    rng = np.random.default_rng(d)
    for columns, epsilon in ((1, -5.0), (3, 0.0), (20, 30.0), (2, 1e4)):
        pair = random_pair(rng, d, columns)
        for reverse in (False, True):
            lower, upper = enclose_pair(*pair, epsilon, reverse=reverse)
            assert lower == upper == -math.inf or upper - lower <= 1e-12 + 2 * math.ulp(lower)


def test_time():
    """Twenty dimensions in less than 0.2 s of one core; measured 0.1."""
    rng = np.random.default_rng(0)
    pair = random_pair(rng, 20, 1)
    enclose_pair(*pair, 1.0)
    durations = []
    for epsilon in (0.5, 1.0, 30.0):
        start = time.process_time()
        enclose_pair(*pair, epsilon)
        durations.append(time.process_time() - start)
    assert min(durations) < 0.2


@pytest.mark.parametrize(
    ("mean", "variance", "epsilon"),
    [
        ([0.1] * 20, 1 + 10.0 ** -np.arange(20), 1.0),
        ([0.1] * 20, 1 - 0.9 * 10.0 ** -np.arange(20), 0.5),
        ([0.1] * 6, [1.5, 1.5, 1.5, 0.5, 0.5, 1.0], 2.0),
        ([1e-9, 1e-4], [1 + 1e-13, 1 - 1e-13], 1e-3),
        ([0.1, 1e-4], [0.7, 1 - 1e-6], 0.1),
        ([0.3, 0.01], [1.5, 0.6667], -0.1),
        ([1.0, 1.0], [1e12, 1e-12], 5.0),
    ],
)
def test_clusters_and_scales_do_not_matter(mean, variance, epsilon):
    """Rotated, with rounding, against diagonal: equal up to what the rounding of the inputs does."""
    pair = diagonal(mean, variance)
    straight = enclose_pair(*pair, epsilon)
    assert straight[1] - straight[0] <= 1e-12
    permuted = np.random.default_rng(0).permutation(len(mean))
    shuffled = pair[0][permuted], pair[1][np.ix_(permuted, permuted)], pair[2], pair[3]
    assert_overlap(enclose_pair(*shuffled, epsilon), straight)


# Zero -----------------------------------------------------------------------------------------------------------


def test_zero_where_the_log_ratio_stays_below_epsilon():
    """sup log dP/dQ = m^2 / (2 (1 - g)) - log(g) / 2 in one dimension."""
    mean, variance = 0.25, 0.5
    top = mean**2 / (2 * (1 - variance)) - math.log(variance) / 2
    pair = diagonal([mean], [variance])
    assert enclose_pair(*pair, top * (1 + 1e-12)) == (-math.inf, -math.inf)
    assert_holds(enclose_pair(*pair, top * (1 - 1e-6)), one_dimension(mean, variance, 0, 1, top * (1 - 1e-6)))
    assert enclose_pair(*pair, top, reverse=True)[0] > -math.inf


def test_identical_laws():
    cov = random_covariance(np.random.default_rng(1), 4)
    mean = np.ones((4, 2))
    assert enclose_pair(mean, cov, mean, cov, 0.0) == (-math.inf, -math.inf)
    assert_holds(enclose_pair(mean, cov, mean, cov, -2.0), mp.log(-mp.expm1(-2)))
    nothing = np.zeros((0, 0))
    assert_holds(enclose_pair(np.zeros(0), nothing, np.zeros(0), nothing, -2.0), mp.log(-mp.expm1(-2)))


def test_zero_that_balls_cannot_see():
    """The laws agree exactly in one direction, which balls only know up to their width: an upper bound is left."""
    with ctx.workprec(256):
        third = arb(1) / 3
        cov_p = arb_mat([[arb(0.5), arb(0)], [arb(0), third]])
        cov_q = arb_mat([[arb(1), arb(0)], [arb(0), third]])
    mean = arb_mat([[arb(0.1)], [arb(0)]])
    lower, upper = enclose_pair(mean, cov_p, arb_mat(2, 1), cov_q, 1.0)
    assert lower == -math.inf
    assert -math.inf < upper < -1e6


# Refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bad", [np.zeros((2, 2)), np.ones((2, 2)), np.diag([1.0, -1.0]), np.array([[1.0, 2.0], [2.0, 1.0]])]
)
@pytest.mark.parametrize("reverse", [False, True])
def test_refuses_what_is_not_positive_definite(bad, reverse):
    with pytest.raises(FloatingPointError, match="singular"):
        enclose_pair([1.0, 0.0], bad, [0.0, 0.0], np.eye(2), 1.0, reverse=reverse)


def test_refuses_large_dimension_and_wide_balls():
    with pytest.raises(FloatingPointError, match="dimension 65"):
        enclose_pair(np.ones(65), np.eye(65), np.zeros(65), 2 * np.eye(65), 1.0)
    wide = arb_mat([[arb(1, 1e-10)]])
    with pytest.raises(FloatingPointError, match="wider than"):
        enclose_pair(wide, arb_mat([[1]]), arb_mat([[0]]), arb_mat([[2]]), 0.25)
    unknown = arb_mat([[arb(1, 2)]])
    with pytest.raises(FloatingPointError, match="singular"):
        enclose_pair(arb_mat([[1]]), arb_mat([[1]]), arb_mat([[0]]), unknown, 0.25)


def test_refuses_when_zero_is_undecided():
    """epsilon at the largest log-ratio, which is known to 1e-15 only."""
    cov_p = arb_mat([[arb(0.5, 1e-15)]])
    with pytest.raises(FloatingPointError, match="may or may not be zero"):
        enclose_pair(arb_mat([[0]]), cov_p, arb_mat([[0]]), arb_mat([[1]]), math.log(2) / 2)


def test_refuses_laws_that_balls_cannot_tell_apart():
    """The same law twice, known to 1e-70 only: H at epsilon = 0 may be zero or not."""
    with ctx.workprec(256):
        third = arb_mat([[arb(1) / 3]])
    with pytest.raises(FloatingPointError, match="told apart"):
        enclose_pair(third, third, third, third, 0.0)
    lower, upper = enclose_pair(third, third, third, third, 1e-3)
    assert lower == -math.inf
    assert upper < -1e6
    assert_holds(enclose_pair(third, third, third, third, -1.0), mp.log(-mp.expm1(-1)))


def test_refuses_when_quadrature_is_cut_short(monkeypatch):
    monkeypatch.setattr(_ball_contour, "_EVALUATIONS_AT_MOST", 10)
    with pytest.raises(FloatingPointError, match=r"quadrature|wider than"):
        enclose_pair(*diagonal([0.5, 0.2], [1.5, 0.8]), 1.0)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([1.0], np.eye(2), [0.0], np.eye(2), 1.0), ValueError, "cov_p has shape"),
        (([1.0, 0], np.eye(2), [0.0], np.eye(2), 1.0), ValueError, "mean_p, mean_q"),
        (([1.0, 0], [[1, 0.5], [0.4, 1]], [0.0, 0], np.eye(2), 1.0), ValueError, "symmetric"),
        (([1.0, math.nan], np.eye(2), [0.0, 0], np.eye(2), 1.0), ValueError, "mean_p"),
        (([1.0, 0], np.eye(2), [0.0, 0], np.eye(2), math.inf), ValueError, "epsilon"),
        ((["a", "b"], np.eye(2), [0.0, 0], np.eye(2), 1.0), TypeError, "mean_p"),
        ((arb_mat([[arb("nan")]]), [[1.0]], [0.0], [[1.0]], 1.0), ValueError, "mean_p"),
    ],
)
def test_bad_input(arguments, error, message):
    with pytest.raises(error, match=message):
        enclose_pair(*arguments)
    with pytest.raises(ValueError, match="mu"):
        enclose_gdp(-1.0, 1.0)


def test_precision_of_the_caller_is_left_alone():
    before = ctx.prec
    enclose_pair(*diagonal([0.5], [2.0]), 1.0)
    with pytest.raises(FloatingPointError):
        enclose_pair([1.0], [[0.0]], [0.0], [[1.0]], 1.0)
    assert ctx.prec == before
    with ctx.workprec(20):
        low = enclose_pair(*diagonal([0.1], [1.1]), 0.3)
    assert low == enclose_pair(*diagonal([0.1], [1.1]), 0.3)


@pytest.mark.parametrize("value", [-1.0, -1e-300, -0.75, -50000.25])
def test_ends_are_rounded_outward(value):
    """Both ends, moved by far less than a double can show: one stays and the other steps out."""
    with ctx.workprec(4000):
        nudge = arb(2) ** -2000
        assert enclosure._outward((arb(value), arb(value))) == (value, value)
        low = enclosure._outward((arb(value) - nudge, arb(value) - nudge))
        high = enclosure._outward((arb(value) + nudge, arb(value) + nudge))
    assert low == (math.nextafter(value, -math.inf), value)
    assert high == (value, math.nextafter(value, math.inf))
    assert enclosure._outward((arb(-1), arb(1e-20))) == (-1.0, 0.0)


# Deletion -------------------------------------------------------------------------------------------------------


def ridge_deletion(features, targets, ridge, step_size, learn, unlearn):
    features = np.array(features, dtype=float)
    targets = np.array(targets, dtype=float).reshape(len(features), -1)
    initial = np.zeros((features.shape[1], targets.shape[1]))
    problem = SimpleNamespace(features=features, targets=targets, ridge=ridge, initial=initial)
    schedule = SimpleNamespace(
        step_size=step_size,
        learn_steps=learn[0],
        learn_noise=learn[1],
        unlearn_steps=unlearn[0],
        unlearn_noise=unlearn[1],
    )
    return problem, schedule


def test_deletion_check_number():
    problem, schedule = ridge_deletion([[1, 0], [1, 1], [0, 1]], [1, 2, -1], 0.5, 0.2, (3, 0.1), (2, 0.2))
    forward = enclose_deletion(problem, schedule, 1, 1.0)
    reverse = enclose_deletion(problem, schedule, 1, 1.0, reverse=True)
    assert_holds(forward, -1.10496763237, known_to=5e-12)
    assert_holds(reverse, -1.08636892845, known_to=5e-12)


def test_refutation_of_the_one_sided_statement():
    """A single point of leverage one: reference against unlearned exceeds every count's delta_m + delta_s."""
    problem, schedule = ridge_deletion([[1.0]], [20.0], 1e-3, 0.6, (2, 1.0), (1, 0.01))
    reverse = enclose_deletion(problem, schedule, 0, 100.0, reverse=True)
    assert_holds(reverse, mp.log(mpf("0.84356273288")), known_to=1e-11)
    assert math.exp(reverse[0]) > 0.4103263597
    assert_holds(enclose_deletion(problem, schedule, 0, 100.0), mp.log(mpf("1.4672474702e-4")), known_to=1e-10)


def test_milder_refutation():
    """It exceeds the promise for one count of the random steps and not for the next."""
    problem, schedule = ridge_deletion([[1.0]], [12.0], 1e-3, 0.3, (2, 1.0), (1, 0.5))
    schedule.unlearn_noise = 0.5
    reverse = enclose_deletion(problem, schedule, 0, 12.0, reverse=True)
    assert_holds(reverse, mp.log(mpf("0.33213119284")), known_to=1e-10)
    assert 0.32741112009 < math.exp(reverse[0]) < math.exp(reverse[1]) < 0.34389925857


@pytest.mark.parametrize(("outputs", "learn_noise"), [(1, 0.125), (3, 0.0)])
def test_deletion_in_closed_form(outputs, learn_noise):
    """One feature: geometric sums in place of the recursion. Without learning noise the laws are a shift apart."""
    x, y, ridge, eta = (0.75, -1.25), ([1.0, -2.0, 0.25], [0.5, 3.0, -1.0]), 0.25, 0.5
    learn, unlearn, unlearn_noise, epsilon = 6, 4, 0.375, 0.5
    y = [row[:outputs] for row in y]
    problem, schedule = ridge_deletion([[x[0]], [x[1]]], y, ridge, eta, (learn, learn_noise), (unlearn, unlearn_noise))
    with mp.workdps(60):
        full, kept = (1 - mpf(eta) * (square + mpf(ridge)) for square in (x[0] ** 2 + x[1] ** 2, x[1] ** 2))

        def law(factor, drifts):
            early = [d * (1 - factor**learn) / (1 - factor) for d in drifts]
            means = [
                kept**unlearn * e + eta * x[1] * target * (1 - kept**unlearn) / (1 - kept)
                for e, target in zip(early, y[1], strict=True)
            ]
            variance = mpf(learn_noise) ** 2 * (1 - factor ** (2 * learn)) / (1 - factor**2)
            later = mpf(unlearn_noise) ** 2 * (1 - kept ** (2 * unlearn)) / (1 - kept**2)
            return means, kept ** (2 * unlearn) * variance + later

        both = [eta * (x[0] * a + x[1] * b) for a, b in zip(*y, strict=True)]
        (mean_p, variance_p), (mean_q, variance_q) = law(full, both), law(kept, [eta * x[1] * b for b in y[1]])
        if outputs == 1:
            exact = one_dimension(mean_p[0], variance_p, mean_q[0], variance_q, epsilon)
        else:
            mu = mp.sqrt(sum((a - b) ** 2 for a, b in zip(mean_p, mean_q, strict=True)) / variance_q)
            exact = one_dimension(mu, 1, 0, 1, epsilon)
    assert_holds(enclose_deletion(problem, schedule, 0, epsilon), exact)


def test_deletion_over_a_long_horizon():
    """Balls widen at every step; the precision is chosen to outlast them."""
    rng = np.random.default_rng(7)
    features = rng.normal(size=(9, 6))
    step_size = 1 / (np.linalg.norm(features, 2) ** 2 + 1)
    problem, schedule = ridge_deletion(features, rng.normal(size=(9, 3)), 1.0, step_size, (300, 0.01), (30, 0.01))
    for reverse in (False, True):
        lower, upper = enclose_deletion(problem, schedule, 2, 1.0, reverse=reverse)
        assert upper - lower <= 1e-12


def test_deletion_without_effect():
    """No learning steps, or a row of zeros: the same chain twice, even where its law is degenerate."""
    problem, schedule = ridge_deletion([[0.0], [1.0]], [1.0, 2.0], 1.0, 0.25, (3, 0.0), (0, 0.0))
    assert enclose_deletion(problem, schedule, 0, 0.0) == (-math.inf, -math.inf)
    schedule.learn_steps, schedule.unlearn_steps = 0, 2
    assert enclose_deletion(problem, schedule, 1, 0.0) == (-math.inf, -math.inf)


def test_deletion_refusals():
    problem, schedule = ridge_deletion([[1.0], [2.0]], [1.0, 2.0], 1.0, 0.1, (3, 0.0), (2, 0.0))
    with pytest.raises(FloatingPointError, match="singular"):
        enclose_deletion(problem, schedule, 0, 1.0)
    with pytest.raises(ValueError, match="index"):
        enclose_deletion(problem, schedule, 2, 1.0)
    problem, schedule = ridge_deletion([[1.0], [2.0]], [1.0, 2.0], 1.0, 50.0, (3000, 1.0), (2, 1.0))
    with pytest.raises(FloatingPointError, match="bits of precision"):
        enclose_deletion(problem, schedule, 0, 1.0)
    assert enclosure.RELATIVE_WIDTH == 1e-12
