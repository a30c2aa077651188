"""Exact divergences of Gaussian pairs against other formulas, other precisions, samples, and their own symmetries."""

import json
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import multivariate_normal, norm

from linear import gaussian_pair as module
from linear.contour import UPPER_P, UPPER_Q, Estimate, integral
from linear.cumulant import Cumulant, log1p_minus
from linear.divergences import Divergences
from linear.gaussian_pair import GaussianPair
from linear.normal_shift import _mills_gap
from linear.whitened import Whitened, whiten, whiten_again

REFERENCE = json.loads((Path(__file__).parent / "reference" / "gaussian_pair.json").read_text())
FALSE_ALARM = 1e-8
# One law is bounded in the other, and the bound is epsilon itself to 24 digits.
ON_THE_EDGE = (1e-12, -1e-12, 1e-12)


def from_whitened(shift_squared, excess, columns=1):
    """A pair with exactly these whitened numbers (the ratio 1 + excess could not carry an excess of 1e-12)."""
    excess = np.asarray(excess, dtype=float)
    whitened = Whitened(shift_squared, excess, 1.0 + excess, columns)
    zeros = np.zeros((len(excess), columns))
    return GaussianPair.from_whitened(whitened, zeros, np.diag(1.0 + excess), zeros, np.eye(len(excess)))


def random_pair(rng, size, columns, spread, shift, condition=10.0):
    """Means and covariances, in no particular basis."""
    root = np.linalg.qr(rng.standard_normal((size, size)))[0] * condition ** rng.uniform(-0.5, 0.5, size)
    turn = root @ np.linalg.qr(rng.standard_normal((size, size)))[0]
    change = turn * np.expm1(spread * rng.standard_normal(size)) @ turn.T
    cov_q = root @ root.T
    cov_p = cov_q + 0.5 * (change + change.T)
    mean_q = rng.standard_normal((size, columns))
    return mean_q + shift * root @ rng.standard_normal((size, columns)), cov_p, mean_q, cov_q


def assert_log_close(found, expected, absolute=2e-11, relative=2e-14):
    """Far inside the promise of 1e-9, or 1e-12 relative."""
    np.testing.assert_allclose(found, expected, rtol=relative, atol=absolute)


# Values


def test_worked_examples():
    pair = GaussianPair([0.5, 0.2, 0.3], np.diag([1.5, 0.8, 1.1]), np.zeros(3), np.eye(3))
    assert_log_close(pair.log_hockey_stick([1.0, -1.0]), [-2.7558981403495, -0.45028933540374], 1e-12)
    assert_log_close(pair.log_hockey_stick([1.0, -1.0], reverse=True), [-4.2356935996072, -0.42235697275151], 1e-12)
    far = GaussianPair([30.0, 2.0], np.diag([1.05, 0.9]), [0.0, 0.0], np.eye(2))
    assert far.log_hockey_stick(1e4) == pytest.approx(-32972.273520404, abs=1e-8)
    assert far.log_hockey_stick(1e4, reverse=True) == pytest.approx(-57210.213958586, abs=1e-8)
    assert GaussianPair([1e-6], [[1.0]], [0.0], [[1.0]]).log_hockey_stick(1e-6) == pytest.approx(-16.300631083677)
    assert GaussianPair([30.0], [[1.0]], [0.0], [[1.0]]).log_hockey_stick(1e4) == pytest.approx(-50677.189582762)
    assert GaussianPair([1.0], [[1.0]], [0.0], [[1.0]]).delta(1.0) == pytest.approx(0.12693673750664, abs=1e-14)


@pytest.mark.parametrize("reverse", [False, True])
def test_one_dimension_by_roots(reverse):
    for case in REFERENCE["line"]:
        if (case["d"], case["excess"], case["epsilon"]) == ON_THE_EDGE:
            continue
        shift, excess = case["d"] ** 2, case["excess"]
        if reverse:  # the same divergence, from the pair the other way round
            shift, excess = shift / (1.0 + excess), -excess / (1.0 + excess)
        pair = from_whitened([shift], [excess])
        # A swapped excess is rounded, which moves H by up to the strip's end over it.
        assert_log_close(
            pair.log_hockey_stick(case["epsilon"], reverse=reverse), float(case["log"]), relative=1e-13, absolute=1e-10
        )


def test_flat_direction_beside_a_curved_one():
    for d1, d2, excess, epsilon, log in REFERENCE["plane"]:
        pair = GaussianPair([d1, d2], np.diag([1.0, 1.0 + excess]), [0.0, 0.0], np.eye(2))
        assert_log_close(pair.log_hockey_stick(epsilon), float(log), absolute=1e-12)


def test_isotropic_by_noncentral_chi_square():
    for size, columns, d, excess, epsilon, log in REFERENCE["ball"]:
        shift = np.zeros(size)
        shift[0] = d * d
        assert_log_close(from_whitened(shift, np.full(size, excess), columns).log_hockey_stick(epsilon), float(log))


def test_many_directions():
    for case in REFERENCE["many"]:
        pair = from_whitened(case["shift_squared"], case["excess"], case["columns"])
        assert_log_close(pair.log_hockey_stick(case["epsilon"]), [float(log) for log in case["log"]])


def test_full_matrices_near_and_ill_conditioned():
    for case in REFERENCE["matrix"]:
        assert_log_close(GaussianPair(*case["laws"]).log_hockey_stick(case["epsilon"]), float(case["log"]))


@pytest.mark.parametrize(
    ("spread", "shift", "epsilon"),
    [(1e-9, 1e-9, 2e-9), (0.1, 0.3, 1.0), (1.0, 1.0, 0.0), (1.0, 2.0, 80.0), (4.0, 1.0, 7.0), (0.1, 3.0, -2.5)],
)
@pytest.mark.parametrize("reverse", [False, True])
def test_inside_certified_intervals(spread, shift, epsilon, reverse):
    rng = np.random.default_rng(11)
    for size, columns in ((2, 3), (5, 1)):
        pair = GaussianPair(*random_pair(rng, size, columns, spread, shift, condition=100.0))
        lower, upper = pair.enclosure(epsilon, reverse)
        found = pair.log_hockey_stick(epsilon, reverse)
        assert lower - 1e-9 <= found <= upper + 1e-9
        assert found == pytest.approx(0.5 * (lower + upper), rel=1e-13, abs=2e-11)


# The account of errors


def test_error_estimate_covers_the_error():
    margins = []
    for case in REFERENCE["line"]:
        if np.isinf(float(case["log"])):
            continue
        pair = from_whitened([case["d"] ** 2], [case["excess"]])
        estimate = pair._divergences.log_hockey_stick(np.array([case["epsilon"]]), False)
        margins.append(abs(estimate.value[0] - float(case["log"])) / max(estimate.error[0], 1e-16))
    for case in REFERENCE["many"]:
        pair = from_whitened(case["shift_squared"], case["excess"], case["columns"])
        estimate = pair._divergences.log_hockey_stick(np.array(case["epsilon"]), False)
        margins.extend(np.abs(estimate.value - [float(log) for log in case["log"]]) / estimate.error)
    assert max(margins) < 1.0


@pytest.mark.parametrize("kind", ["nearly equal", "wide"])
def test_errors_of_whitening_are_covered(kind):
    """What whitening says of its errors, against a second one in multiprecision, where it loses seven digits."""
    rng = np.random.default_rng(5)
    lost = []
    for _ in range(8):
        if kind == "wide":
            laws = random_pair(rng, 4, 2, 2.0, 1.0, condition=1e7)
        else:
            laws = random_pair(rng, 4, 2, 1e-6, 1e-6, condition=1e7)
        whitened, transform = whiten(*laws)
        better = whiten_again(transform, *laws)
        # Symmetric functions, so that the order and the choice of eigenvectors play no role.
        for first, second, error in (
            (whitened.excess, better.excess, whitened.errors[1]),
            (whitened.shift_squared, better.shift_squared, np.linalg.norm(whitened.errors[0])),
        ):
            if first is whitened.shift_squared:
                assert abs(first.sum() - second.sum()) <= error
                lost.append(abs(first.sum() / second.sum() - 1))
            else:
                order, other = np.argsort(first), np.argsort(second)
                assert (np.abs(first[order] - second[other]) <= error[order]).all()
    assert max(lost) > 1e-12


def test_second_whitening_is_used_where_the_first_is_not_enough():
    laws = REFERENCE["matrix"][3]["laws"]
    pair = GaussianPair(*laws)
    estimate = pair._divergences.log_hockey_stick(np.array([20.0]), False)
    assert estimate.error[0] > 1e-9
    before = pair.whitened
    pair.log_hockey_stick(20.0)
    assert pair.whitened is not before


def test_refuses_what_it_does_not_know():
    d, excess, epsilon = ON_THE_EDGE
    with pytest.raises(FloatingPointError, match=r"epsilon = 1e-12: found .* may be off by"):
        from_whitened([d * d], [excess]).log_hockey_stick(epsilon)
    vague = Whitened([1.0], [0.5], [1.5], 1, shift_error=[1e-7], excess_error=[1e-7])
    pair = GaussianPair.from_whitened(vague, [1.0], [[1.5]], [0.0], [[1.0]])
    for refused in (
        lambda: pair.log_hockey_stick(1.0),
        lambda: pair.delta(1.0),
        lambda: pair.epsilon(1e-3),
        lambda: pair.tradeoff(0.1),
        lambda: pair.renyi(2.0),
        lambda: pair.kl(),
    ):
        with pytest.raises(FloatingPointError, match="may be off by"):
            refused()
    # An excess of zero, or hardly more, that may be off: to second order where it has no shift.
    for whitened in (
        Whitened([1.0, 0.0], [0.0, 0.0], [1.0, 1.0], 1, excess_error=[1e-5, 0.0]),
        Whitened([1.0, 0.0], [0.0, 1e-12], [1.0, 1.0], 1, excess_error=[0.0, 1e-3]),
    ):
        hardly = GaussianPair.from_whitened(whitened, [1.0, 0.0], np.eye(2), [0.0, 0.0], np.eye(2))
        with pytest.raises(FloatingPointError, match="may be off by"):
            hardly.log_hockey_stick(1.0)
    with pytest.raises(FloatingPointError, match="rounding"):  # the moment of order 3 may or may not exist
        pair.renyi(3.0)


def test_what_hangs_on_rounding_does_not_spoil_what_does_not():
    """Two directions agree, but for rounding: whether log dP/dQ is bounded is unknown, delta is not."""
    turn = np.linalg.qr(np.random.default_rng(2).standard_normal((3, 3)))[0]
    cov_p = turn * np.array([0.5, 1.0, 1.0]) @ turn.T
    pair = GaussianPair(np.zeros(3), 0.5 * (cov_p + cov_p.T), np.zeros(3), np.eye(3))
    line = GaussianPair([0.0], [[0.5]], [0.0], [[1.0]])
    assert line.log_hockey_stick(3.0) == -np.inf
    with pytest.raises(FloatingPointError):
        pair.log_hockey_stick(3.0)
    # Close to the bound in one direction, where a digit of epsilon is worth many of the logarithm.
    edge = 0.5 * np.log(2.0) - 1e-9
    with pytest.raises(FloatingPointError):
        line.log_hockey_stick(edge)
    assert line.delta(edge) == np.exp(line.log_hockey_stick(edge, reverse=True))
    bound = 0.5 * np.log(2.0) + 1e-12
    with pytest.raises(FloatingPointError):
        pair.log_hockey_stick(bound)
    assert pair.delta(bound) == pytest.approx(line.delta(edge), rel=1e-8, abs=0.0)
    assert pair.delta(3.0) == pytest.approx(line.delta(3.0), rel=1e-11, abs=0.0)
    assert pair.epsilon(1e-4) == pytest.approx(line.epsilon(1e-4), rel=1e-11, abs=0.0)


@pytest.mark.parametrize(
    ("forward", "reverse", "value", "error"),
    [
        ((-2.0, 1e-12), (-3.0, 1e-12), -2.0, 1e-12),
        ((-3.0, 0.5), (-2.0, 1e-12), -2.0, 1e-12),
        ((-2.0, 1e-12), (-2.25, 0.5), -2.0, 0.25),
        ((-2.0, 1e-12), (-5.0, np.inf), -2.0, np.inf),
        ((np.nan, np.inf), (-2.0, 1e-12), -2.0, np.inf),
        ((-np.inf, 0.0), (-np.inf, 0.0), -np.inf, 0.0),
    ],
)
def test_delta_accounts_for_both_directions(monkeypatch, forward, reverse, value, error):
    def given_numbers(self, epsilon, backward, floor):
        found = reverse if backward else forward
        return Estimate(np.full(epsilon.shape, found[0]), np.full(epsilon.shape, found[1]))

    monkeypatch.setattr(Divergences, "log_hockey_stick", given_numbers)
    larger = from_whitened([1.0], [0.5])._divergences.log_delta(np.ones(2))
    np.testing.assert_allclose(larger.value, [value, value], rtol=1e-15)
    np.testing.assert_allclose(larger.error, [error, error], rtol=1e-3)


# Symmetries


@pytest.mark.parametrize("spread", [1e-7, 0.5, 3.0])
def test_exchanging_the_laws_is_the_reverse(spread):
    rng = np.random.default_rng(3)
    mean_p, cov_p, mean_q, cov_q = random_pair(rng, 4, 2, spread, spread)
    pair, swapped = GaussianPair(mean_p, cov_p, mean_q, cov_q), GaussianPair(mean_q, cov_q, mean_p, cov_p)
    epsilon = spread * np.array([-3.0, 0.0, 0.5, 4.0, 20.0])
    assert_log_close(pair.log_hockey_stick(epsilon, reverse=True), swapped.log_hockey_stick(epsilon), relative=1e-12)
    np.testing.assert_allclose(pair.delta(epsilon), swapped.delta(epsilon), rtol=1e-9)
    alpha = np.array([1e-9, 0.3, 0.9])
    np.testing.assert_allclose(pair.tradeoff(alpha, reverse=True), swapped.tradeoff(alpha), rtol=1e-10)
    np.testing.assert_allclose(pair.renyi(0.7, reverse=True), swapped.renyi(0.7), rtol=1e-9)


@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.integers(1, 5),
    spread=st.floats(0.001, 2.0),
    shift=st.floats(0.0, 2.0),
    scale=st.integers(-30, 30),
)
def test_common_maps_and_common_directions_change_nothing(seed, size, spread, shift, scale):
    rng = np.random.default_rng(seed)
    mean_p, cov_p, mean_q, cov_q = random_pair(rng, size, 1, spread, shift)
    epsilon = np.array([0.0, 0.3, 2.0])
    expected = GaussianPair(mean_p, cov_p, mean_q, cov_q)
    # One more coordinate, the same and independent in both laws, then a map that mixes all of them.
    joined = np.zeros((2, size + 1, size + 1))
    joined[:, :size, :size] = cov_p, cov_q
    joined[:, size, size] = 7.0
    mixing = 10.0**scale * (np.eye(size + 1) + 0.3 * rng.standard_normal((size + 1, size + 1)))
    joined = mixing @ joined @ mixing.T
    joined = 0.5 * (joined + joined.transpose(0, 2, 1))
    means = [mixing @ np.append(mean[:, 0], 1.0) + 5.0 * 10.0**scale for mean in (mean_p, mean_q)]
    found = GaussianPair(means[0], joined[0], means[1], joined[1])
    np.testing.assert_allclose(found.delta(epsilon), expected.delta(epsilon), rtol=1e-7, atol=1e-300)


def test_columns_are_independent_copies():
    rng = np.random.default_rng(8)
    mean_p, cov_p, mean_q, cov_q = random_pair(rng, 3, 4, 0.5, 0.5)
    blocks = [np.kron(np.eye(4), cov) for cov in (cov_p, cov_q)]
    stacked = GaussianPair(mean_p.T.ravel(), blocks[0], mean_q.T.ravel(), blocks[1])
    pair = GaussianPair(mean_p, cov_p, mean_q, cov_q)
    epsilon = np.linspace(-2.0, 30.0, 9)
    assert_log_close(pair.log_hockey_stick(epsilon), stacked.log_hockey_stick(epsilon))
    assert pair.kl() == pytest.approx(stacked.kl(), rel=1e-13)


@given(seed=st.integers(0, 2**32 - 1), spread=st.floats(1e-9, 3.0), shift=st.floats(0.0, 3.0))
def test_decreasing_and_convex_in_the_threshold(seed, spread, shift):
    pair = GaussianPair(*random_pair(np.random.default_rng(seed), 3, 1, spread, shift))
    threshold = np.linspace(0.05, 3.0, 60)
    values = np.exp(pair.log_hockey_stick(np.log(threshold)))
    assert (np.diff(values) <= 1e-12).all()
    assert (np.diff(values, 2) >= -1e-12).all()
    assert (values >= np.maximum(0.0, 1.0 - threshold) - 1e-12).all()


def test_nearly_singular_epsilon_grid_is_smooth():
    """No jump where one contour or formula hands over to another."""
    pair = GaussianPair(*random_pair(np.random.default_rng(4), 4, 3, 1.0, 2.0))
    epsilon = np.linspace(0.0, 60.0, 601)
    log = pair.log_hockey_stick(epsilon)
    assert np.abs(np.diff(log, 4)).max() < 1e-3 * np.abs(np.diff(log)).max()
    np.testing.assert_array_equal(pair.log_hockey_stick(epsilon.reshape(-1, 1))[:, 0], log)
    each = [pair.log_hockey_stick(float(e)) for e in epsilon[::100]]
    assert_log_close(each, log[::100], absolute=1e-11)


# Other quantities


def test_slopes():
    """What steers the inversions."""
    laws = [([1.0, 0.5], [0.4, -0.3]), ([25.0], [0.1]), ([0.25], [0.0])]
    for shift, excess in laws:
        divergences = from_whitened(shift, excess)._divergences
        epsilon = np.array([0.1, 1.0, 5.0, 30.0])
        below, above = (divergences.hockey_stick(epsilon + step, False).value for step in (-1e-5, 1e-5))
        slope = divergences.hockey_stick(epsilon, False).slope
        np.testing.assert_allclose(slope, (above - below) / 2e-5, rtol=1e-5, atol=2e-8)


def test_tails_are_probabilities_of_the_likelihood_ratio():
    """One direction with a shift: L > t is an interval or its complement."""
    for d, g in ((1.0, 2.5), (0.3, 0.4), (0.0, 3.0), (2.0, 1.0)):
        law = Cumulant(Whitened([d * d], [g - 1.0], [g], 1))
        threshold = np.array([-0.5, 0.2, 0.9])
        if g < 1.0:
            threshold = threshold[threshold < law.supremum()[0]]
        y = np.linspace(-60.0, 60.0, 1_200_001)
        log_p, log_q = norm.logpdf(y, d, np.sqrt(g)), norm.logpdf(y)
        for kernel, density, factor in ((UPPER_P, log_p, 0.0), (UPPER_Q, log_q, threshold)):
            log = integral(law, kernel, threshold).value - factor
            direct = [np.sum(np.exp(density) * (log_p - log_q > t)) * (y[1] - y[0]) for t in threshold]
            np.testing.assert_allclose(np.exp(log), direct, atol=2e-4)


def test_tradeoff_in_one_dimension():
    """Thresholds on L are intervals here: both errors by the normal distribution function."""
    for d, g in ((1.0, 2.0), (1.0, 0.5), (0.25, 1.0625), (0.0, 4.0), (3.0, 0.99), (1e-3, 1.0 - 1e-6)):
        pair = GaussianPair([d], [[g]], [0.0], [[1.0]])
        # L(y) grows with the distance from the centre (falls, if g < 1).
        centre, reach = d / (1.0 - g), np.array([0.02, 0.5, 1.0, 2.0, 4.0]) * max(1.0, abs(d / (1.0 - g)))
        errors = {}
        for name, mean, std in (("p", d, np.sqrt(g)), ("q", 0.0, 1.0)):
            inside = norm.cdf(centre + reach, mean, std) - norm.cdf(centre - reach, mean, std)
            outside = norm.sf(centre + reach, mean, std) + norm.cdf(centre - reach, mean, std)
            errors[name] = (inside, outside) if g > 1 else (outside, inside)
        alpha, beta = errors["p"][0], errors["q"][1]
        proper = (alpha > 1e-13) & (alpha < 1.0) & (beta > 1e-13)
        assert proper.any()
        # norm.cdf differences carry 1e-16 of 1.
        np.testing.assert_allclose(pair.tradeoff(alpha[proper]), beta[proper], rtol=1e-9, atol=2e-14)
        np.testing.assert_allclose(pair.tradeoff(beta[proper], reverse=True), alpha[proper], rtol=1e-6, atol=2e-12)


def test_tradeoff_is_the_dual_of_the_hockey_stick():
    """T(P, Q)(alpha) = max over t of 1 - t alpha - H_t(Q || P)."""
    pair = GaussianPair(*random_pair(np.random.default_rng(6), 4, 2, 0.6, 0.4))
    alpha = np.array([1e-6, 0.01, 0.2, 0.5, 0.51, 0.8, 0.99])
    log_t = np.linspace(-12.0, 12.0, 4001)
    h = np.exp(pair.log_hockey_stick(log_t, reverse=True))
    dual = np.max(1.0 - np.exp(log_t) * alpha[:, None] - h, axis=1)
    found = pair.tradeoff(alpha)
    assert (dual <= found + 1e-12).all()
    np.testing.assert_allclose(found, dual, atol=1e-5)


def test_tradeoff_of_a_shift_and_its_ends():
    exact = NormalDist()
    pair = GaussianPair([0.7, 0.0], np.eye(2), [0.0, 0.0], np.eye(2))
    for alpha in (1e-12, 0.05, 0.5, 0.95):
        beta = exact.cdf(-exact.inv_cdf(alpha) - 0.7)
        assert pair.tradeoff(alpha) == pytest.approx(beta, rel=1e-12, abs=0.0)
    for any_pair in (pair, GaussianPair([0.7, 0.0], np.diag([2.0, 0.5]), [0.0, 0.0], np.eye(2))):
        np.testing.assert_array_equal(any_pair.tradeoff([0.0, 1.0]), [1.0, 0.0])
        beta = any_pair.tradeoff(np.array([1e-300, 1e-14, 1.0 - 1e-14]))
        assert (np.diff(beta) < 0.0).any() and (np.diff(beta) <= 0.0).all()
        assert beta[0] <= 1.0 and beta[-1] < 1e-11


def test_tradeoff_at_the_end_of_a_bounded_ratio():
    """Where the threshold is the supremum to the last digit: Q(L < t) = alpha e^-t there."""
    pair = GaussianPair([0.0], [[2.0]], [0.0], [[1.0]])
    assert 1.0 - pair.tradeoff(1e-9) == pytest.approx(np.sqrt(2.0) * 1e-9, rel=1e-6, abs=0.0)
    narrow = GaussianPair([0.0], [[0.5]], [0.0], [[1.0]])
    assert narrow.tradeoff(1.0 - 1e-12) == pytest.approx((1.0 - (1.0 - 1e-12)) / np.sqrt(2.0), rel=1e-8, abs=0.0)


def test_epsilon_inverts_delta_from_above():
    pairs = [
        GaussianPair([1.0], [[1.0]], [0.0], [[1.0]]),
        GaussianPair([0.5, 0.2, 0.3], np.diag([1.5, 0.8, 1.1]), np.zeros(3), np.eye(3)),
        GaussianPair(*random_pair(np.random.default_rng(9), 3, 2, 1e-6, 1e-6)),
        GaussianPair([0.0], [[0.5]], [0.0], [[1.0]]),
        GaussianPair([40.0], [[3.0]], [0.0], [[1.0]]),
    ]
    for pair in pairs:
        for delta in (1e-300, 1e-30, 1e-5 * pair.delta(0.0), 0.9 * pair.delta(0.0)):
            epsilon = pair.epsilon(delta)
            assert epsilon > 0.0
            assert pair.delta(epsilon) <= delta
            assert pair.delta(epsilon * (1.0 - 1e-9)) > delta
        np.testing.assert_array_equal(
            pair.epsilon([0.0, min(1.0, pair.delta(0.0) * (1 + 1e-9)), 1.0]), [np.inf, 0.0, 0.0]
        )


def renyi_by_determinants(mean_p, cov_p, mean_q, cov_q, order):
    """Gil, Alajaji, Linder 2013, with order cov_q + (1 - order) cov_p in the middle."""
    middle = order * cov_q + (1.0 - order) * cov_p
    if np.linalg.eigvalsh(middle).min() <= 0.0:
        return np.inf
    gap = mean_p - mean_q
    logs = [np.linalg.slogdet(cov)[1] for cov in (middle, cov_p, cov_q)]
    spread = logs[0] - (1.0 - order) * logs[1] - order * logs[2]
    return 0.5 * order * np.sum(gap * np.linalg.solve(middle, gap)) - gap.shape[1] * spread / (2.0 * (order - 1.0))


def test_renyi_by_determinants():
    rng = np.random.default_rng(12)
    infinite = 0
    for spread in (0.1, 0.7, 2.0):
        laws = random_pair(rng, 4, 3, spread, 1.0)
        pair = GaussianPair(*laws)
        for order in (0.2, 0.999, 1.5, 2.0, 8.0, 60.0):
            for reverse in (False, True):
                p, q = (laws[:2], laws[2:]) if not reverse else (laws[2:], laws[:2])
                expected = renyi_by_determinants(*p, *q, order)
                infinite += np.isinf(expected)
                assert pair.renyi(order, reverse) == pytest.approx(expected, rel=1e-9)
    assert 0 < infinite < 36


def test_renyi_limits():
    laws = random_pair(np.random.default_rng(13), 4, 3, 0.5, 1.0)
    pair = GaussianPair(*laws)
    mean_p, cov_p, mean_q, cov_q = laws
    trace = np.trace(np.linalg.solve(cov_q, cov_p)) - 4 - np.linalg.slogdet(cov_p)[1] + np.linalg.slogdet(cov_q)[1]
    gap = mean_p - mean_q
    assert pair.kl() == pytest.approx(0.5 * (3 * trace + np.sum(gap * np.linalg.solve(cov_q, gap))), rel=1e-11)
    np.testing.assert_allclose(pair.renyi([1.0 - 1e-8, 1.0, 1.0 + 1e-8]), pair.kl(), rtol=1e-6)
    # Exactly on the edge of existence, told apart from just inside it.
    for g, order in ((2.0, 2.0), (1.5, 3.0), (1.25, 5.0)):
        edge = GaussianPair([0.0], [[g]], [0.0], [[1.0]])
        swapped = GaussianPair([0.0], [[4.0]], [0.0], [[4.0 * g]])
        for value in (edge.renyi(order), swapped.renyi(order, reverse=True)):
            assert value == np.inf
        assert np.isfinite(edge.renyi(order * (1.0 - 1e-9)))
    narrow = GaussianPair([1.0], [[0.25]], [0.0], [[1.0]])
    # sup over y of log 2 - (y - 1)^2 / 0.5 + y^2 / 2, at y = 4/3
    assert narrow.renyi(np.inf) == pytest.approx(np.log(2.0) + 2.0 / 3.0, rel=1e-14)
    assert narrow.renyi(np.inf, reverse=True) == np.inf
    assert narrow.renyi(1e6) == pytest.approx(np.log(2.0) + 2.0 / 3.0, abs=1e-4)


def test_bounded_ratio_has_a_last_epsilon():
    pair = GaussianPair([1.0], [[0.25]], [0.0], [[1.0]])
    last = np.log(2.0) + 2.0 / 3.0
    log = pair.log_hockey_stick([last - 1e-2, last - 1e-4, last + 1e-9, 5.0])
    assert np.isfinite(log[:2]).all() and (log[2:] == -np.inf).all()
    # Near the end H is like (last - epsilon)^(3/2).
    assert (log[0] - log[1]) / np.log(1e2) == pytest.approx(1.5, abs=0.01)
    assert np.isfinite(pair.log_hockey_stick(5.0, reverse=True))


@pytest.mark.statistical
def test_samples_follow_the_laws_and_the_divergence_is_theirs():
    """H = E_P (1 - e^(eps - L))_+ by samples, with scipy's densities; Hoeffding's bound for a mean of [0, 1]."""
    rng = np.random.default_rng(14)
    mean_p, cov_p, mean_q, cov_q = random_pair(rng, 3, 2, 0.8, 0.5)
    pair = GaussianPair(mean_p, cov_p, mean_q, cov_q)
    runs = 200_000
    radius = np.sqrt(np.log(2.0 * 4 / FALSE_ALARM) / (2.0 * runs))
    draws = pair.sample(runs, rng)
    for reverse, sample in enumerate(draws):
        assert sample.shape == (runs, 3, 2)
        ratio = sum(
            multivariate_normal.logpdf(sample[:, :, c], mean_p[:, c], cov_p)
            - multivariate_normal.logpdf(sample[:, :, c], mean_q[:, c], cov_q)
            for c in range(2)
        )
        ratio = -ratio if reverse else ratio
        for epsilon in (-0.5, 0.7):
            value = np.mean(np.maximum(0.0, -np.expm1(epsilon - ratio)))
            assert value == pytest.approx(np.exp(pair.log_hockey_stick(epsilon, bool(reverse))), abs=radius)
    assert np.exp(pair.log_hockey_stick(0.7)) > 10 * radius  # or this could not fail


# Ends of the domain


def test_one_law():
    cov = np.array([[2.0, 0.3], [0.3, 1.0]])
    pair = GaussianPair([1.0, 2.0], cov, [1.0, 2.0], cov)
    np.testing.assert_array_equal(pair.log_hockey_stick([0.0, 3.0]), [-np.inf, -np.inf])
    np.testing.assert_allclose(np.exp(pair.log_hockey_stick([-1.0, -1e-9])), -np.expm1([-1.0, -1e-9]), rtol=1e-14)
    np.testing.assert_array_equal(pair.delta([0.0, 1.0]), [0.0, 0.0])
    np.testing.assert_array_equal(pair.epsilon([0.0, 0.5, 1.0]), [0.0, 0.0, 0.0])
    np.testing.assert_allclose(pair.tradeoff([0.0, 0.25, 1.0]), [1.0, 0.75, 0.0], rtol=1e-15)
    np.testing.assert_array_equal(pair.renyi([0.5, 1.0, 2.0, np.inf]), np.zeros(4))


def test_mutually_singular_laws():
    for cov_p in (np.diag([0.0, 1.0]), np.zeros((2, 2))):
        pair = GaussianPair([0.0, 0.0], cov_p, [0.0, 0.0], np.eye(2))
        for reverse in (False, True):
            np.testing.assert_array_equal(pair.log_hockey_stick([0.0, 50.0, -1.0], reverse), np.zeros(3))
            np.testing.assert_array_equal(pair.tradeoff([0.0, 0.5], reverse), [0.0, 0.0])
            assert pair.renyi(2.0, reverse) == np.inf
        np.testing.assert_array_equal(pair.epsilon([0.0, 0.5, 1.0]), [np.inf, np.inf, 0.0])
        sample, _ = pair.sample(10, np.random.default_rng(0))
        np.testing.assert_array_equal(sample[:, 0], np.zeros(10))
        with pytest.raises(ValueError, match="cov_p has a zero"):
            pair.whitened  # noqa: B018


def test_shapes_and_types():
    pair = GaussianPair([0.5], [[1.5]], [0.0], [[1]])
    assert np.ndim(pair.log_hockey_stick(1)) == 0 and isinstance(pair.kl(), float)
    assert pair.delta(np.ones((2, 3))).shape == (2, 3)
    assert pair.epsilon([[0.1]]).shape == (1, 1) and pair.tradeoff(np.zeros((0,))).shape == (0,)
    assert pair.delta([]).shape == (0,) and pair.renyi([]).shape == (0,)
    assert pair.mean_p.tolist() == [0.5] and pair.cov_q.tolist() == [[1.0]]
    assert [s.shape for s in pair.sample(4, np.random.default_rng(0))] == [(4, 1), (4, 1)]


EYE = np.eye(2)


@pytest.mark.parametrize(
    ("laws", "message"),
    [
        (([0.0, 0.0], EYE, [0.0, 0.0, 0.0], EYE), "mean_q has shape"),
        (([0.0, 0.0], EYE, [[0.0], [0.0]], EYE), "mean_q has shape"),
        (([0.0, 0.0], np.eye(3), [0.0, 0.0], EYE), "cov_p has shape"),
        (([0.0, np.nan], EYE, [0.0, 0.0], EYE), "mean_p"),
        (([0.0, 0.0], EYE, [0.0, 0.0], [[np.inf, 0.0], [0.0, 1.0]]), "cov_q"),
        (([0.0, 0.0], [[1.0, 0.5], [0.4, 1.0]], [0.0, 0.0], EYE), "cov_p must be symmetric"),
        (([0.0, 0.0], EYE, [0.0, 0.0], [[1.0, 1.0], [1.0, 1.0]]), "cov_q is singular or indefinite"),
        (([0.0, 0.0], EYE, [0.0, 0.0], [[1.0, 2.0], [2.0, 1.0]]), "cov_q is singular or indefinite"),
        (([0.0, 0.0], EYE, [0.0, 0.0], np.diag([1.0, 0.0])), "cov_q has 0.0 on its diagonal"),
        (([0.0, 0.0], np.diag([0.0, 1.0]), [0.0, 0.0], np.diag([1.0, 0.0])), "cov_q is singular or indefinite"),
        (([0.0, 0.0], [[1.0, 2.0], [2.0, 1.0]], [0.0, 0.0], EYE), "cov_p is singular or indefinite"),
        (([0.0, 0.0], np.diag([1.0, -1.0]), [0.0, 0.0], EYE), "cov_p has -1.0 on its diagonal"),
        (([0.0, 0.0], [[0.0, 1.0], [1.0, 1.0]], [0.0, 0.0], EYE), "cov_p"),
        (([], np.zeros((0, 0)), [], np.zeros((0, 0))), "mean_p has shape"),
    ],
)
def test_bad_laws(laws, message):
    with pytest.raises(ValueError, match=message):
        GaussianPair(*laws)


def test_bad_arguments():
    pair = GaussianPair([0.5], [[1.5]], [0.0], [[1.0]])
    for call, message in (
        (lambda: pair.log_hockey_stick(np.nan), "epsilon"),
        (lambda: pair.delta(np.inf), "epsilon"),
        (lambda: pair.epsilon(-0.1), "delta = -0.1: must lie between 0 and 1"),
        (lambda: pair.epsilon([0.5, 1.5]), "delta = 1.5"),
        (lambda: pair.tradeoff(1.1), "alpha = 1.1"),
        (lambda: pair.renyi(0.0), "order = 0.0: must be positive"),
        (lambda: pair.renyi(-np.inf), "order"),
        (lambda: pair.sample(0, np.random.default_rng(0)), "size = 0"),
        (lambda: Whitened([1.0], [0.0], [0.0], 1), "ratio"),
        (lambda: Whitened([1.0], [0.0, 0.0], [1.0], 1), "excess has shape"),
        (lambda: Whitened([-1.0], [0.0], [1.0], 1), "shift_squared"),
        (lambda: Whitened([1.0], [0.0], [1.0], 0), "columns = 0"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(TypeError, match="epsilon"):
        pair.delta("1")
    whitened = Whitened([0.25], [0.5], [1.5], 2)
    with pytest.raises(ValueError, match=r"whitened.columns = 2: must be 1"):
        GaussianPair.from_whitened(whitened, [0.5], [[1.5]], [0.0], [[1.0]])


def test_log1p_minus():
    x = np.array([-0.999, -0.4, -0.1, -1e-9, 1e-300, 1e-5, 0.39, 0.41, 20.0])
    exact = [float(v) for v in _series_log1p_minus(x)]
    np.testing.assert_allclose(log1p_minus(x), exact, rtol=2e-15)


def test_mills_gap():
    """1 - s m(s), m the ratio of the normal tail to its density."""
    from mpmath import erfc, exp, mp, mpf, pi, sqrt

    s = [0.0, 0.5, 5.0, 19.9, 20.1, 700.0, 1e6]
    with mp.workdps(60):
        exact = [float(1 - mpf(v) * sqrt(pi / 2) * exp(mpf(v) ** 2 / 2) * erfc(mpf(v) / sqrt(2))) for v in s]
    np.testing.assert_allclose(_mills_gap(np.array(s)), exact, rtol=1e-12)


def _series_log1p_minus(x):
    from mpmath import log, mp, mpf

    with mp.workdps(700):
        return [log(1 + mpf(float(v))) - mpf(float(v)) for v in x]


def test_tolerances_are_the_documented_ones():
    assert module.within_tolerance(np.array([-1.0]), np.array([1e-9])).all()
    assert not module.within_tolerance(np.array([-1.0]), np.array([1.1e-9])).any()
    assert module.within_tolerance(np.array([-1e5]), np.array([1e-7])).all()
    assert not module.within_tolerance(np.array([-1e5, np.inf]), np.array([1.1e-7, np.inf])).any()


@pytest.mark.parametrize("gap", [5.0, 12.0, 30.0, 300.0])
@pytest.mark.parametrize("ratio", [1.0, 1.2, 1e-3, 1e3])
def test_epsilon_is_found_for_laws_far_apart(gap, ratio):
    """At epsilon = 0 H is 1 but for rounding, so its slope there says nothing of where the target lies."""
    pair = GaussianPair([gap], [[ratio]], [0.0], [[1.0]])
    for delta in (1e-5, 1e-2, 0.5):
        epsilon = pair.epsilon(delta)
        assert pair.delta(epsilon) <= delta * (1 + 1e-9)
        assert pair.delta(epsilon * (1 - 1e-8)) > delta
