"""The auditor: limits on the right side of the exact ones, bounds that hold on the null and find what is there."""

import mpmath
import numpy as np
import pytest
from flint import arb, ctx
from scipy import special, stats

from linear.audit import (
    HockeyStickBound,
    LinearScore,
    MuBound,
    clopper_pearson,
    dkw_radius,
    epsilon_lower_bound,
    hockey_stick_lower_bound,
    linear_score,
    mu_lower_bound,
)

FALSE_ALARM = 1e-8


def most_failures(runs: int, rate: float) -> int:
    """Failures that independent runs failing at `rate` or less exceed with probability below FALSE_ALARM."""
    return int(stats.binom.isf(FALSE_ALARM, runs, rate))


# -------------------------------------------------------------------------------------------- Clopper-Pearson


def tail_at_lower(k: int, n: int, p: float) -> arb:
    """Pr[Bin(n, p) >= k] as a certified ball."""
    return arb(p).beta_lower(arb(k), arb(n - k + 1), 1)


def tail_at_upper(k: int, n: int, p: float) -> arb:
    """Pr[Bin(n, p) <= k] as a certified ball."""
    return (1 - arb(p)).beta_lower(arb(n - k), arb(k + 1), 1)


def limits_to_check() -> list[tuple[int, int, float]]:
    rng = np.random.default_rng(5)
    cases = []
    for _ in range(100):
        trials = int(10 ** rng.uniform(0.0, 6.0))
        rare = min(trials, int(10 ** rng.uniform(0.0, np.log10(trials) + 1e-9)))
        successes = (rare, trials - rare, int(rng.integers(trials + 1)))[rng.integers(3)]
        failure = 10 ** rng.uniform(-15.5, -0.01)
        cases.append((successes, trials, 1.0 - failure))
    big = 10**9
    # Near 1 the doubles are coarse: rounding alone moves these tails by more than the margin.
    near_one = [(big - missed, big, level) for missed in range(4) for level in (0.5, 0.9, 0.99, 1 - 1e-7)]
    return [
        *cases,
        *near_one,
        (3, big, 0.99),
        (big // 3, big, 1 - 1e-9),
        (big - 2, big, 0.9),
        (1, 1, 0.5),
        (0, 1, 1e-3),
    ]


def test_limits_are_outside_the_exact_ones_and_hardly_more() -> None:
    precision, ctx.prec = ctx.prec, 200
    try:
        for k, n, confidence in limits_to_check():
            # The failure probability as an exact number: one minus a double is no double when it is below 1/2.
            for failure, lower, upper in (
                (
                    1 - arb(confidence),
                    clopper_pearson(k, n, confidence, "lower"),
                    clopper_pearson(k, n, confidence, "upper"),
                ),
                ((1 - arb(confidence)) / 2, *clopper_pearson(k, n, confidence)),
            ):
                assert (lower == 0.0) == (k == 0)
                assert 0.0 <= lower <= k / n <= upper <= 1.0 or failure > 0.4
                if k > 0:
                    tail = tail_at_lower(k, n, lower)
                    assert tail <= failure
                    # At n = 1e9 neighbouring doubles are up to 1e-7 apart in the tail.
                    assert tail >= failure * (1 - arb(1e-6))
                if k < n and upper < 1.0:
                    tail = tail_at_upper(k, n, upper)
                    assert tail <= failure
                    # Just below 1 the doubles are too coarse for a tail this near to 0.
                    assert tail >= failure * (1 - arb(1e-6)) or upper > 1 - 1e-6
                if k == n:
                    assert upper == 1.0
    finally:
        ctx.prec = precision


@pytest.mark.parametrize("confidence", [0.3, 0.9, 0.999])
@pytest.mark.parametrize("side", ["lower", "upper", "both"])
def test_coverage_is_exact_for_every_probability(confidence: float, side: str) -> None:
    trials = 17
    counts = np.arange(trials + 1)
    lower, upper = np.zeros(trials + 1), np.ones(trials + 1)
    if side == "both":
        lower, upper = clopper_pearson(counts, trials, confidence)
    elif side == "lower":
        lower = clopper_pearson(counts, trials, confidence, "lower")
    else:
        upper = clopper_pearson(counts, trials, confidence, "upper")
    # Coverage jumps where p crosses a limit: look at both sides of each, and in between.
    edges = np.concatenate([lower[1:], upper[:-1]])
    p = np.concatenate([np.linspace(0.0, 1.0, 2001), edges * (1 - 1e-6), np.minimum(1.0, edges * (1 + 1e-6))])
    covered = (lower[:, None] <= p) & (p <= upper[:, None])
    coverage = np.sum(
        special.comb(trials, counts)[:, None] * p ** counts[:, None] * (1 - p) ** (trials - counts)[:, None] * covered,
        axis=0,
    )
    assert coverage.min() >= confidence - 1e-13
    if side != "both":
        assert coverage.min() <= confidence + 1e-4  # attained: no confidence is given away


def test_limits_at_the_ends_have_closed_forms() -> None:
    for trials in (1, 7, 10_000):
        root = 0.02 ** (1.0 / trials)
        assert clopper_pearson(0, trials, 0.98, "lower") == 0.0
        assert clopper_pearson(trials, trials, 0.98, "upper") == 1.0
        np.testing.assert_allclose(clopper_pearson(trials, trials, 0.98, "lower"), root, rtol=1e-7)
        np.testing.assert_allclose(clopper_pearson(0, trials, 0.98, "upper"), 1.0 - root, rtol=1e-7)
    assert clopper_pearson(0, 0, 0.9) == (0.0, 1.0)


def test_limits_broadcast_and_keep_shapes() -> None:
    lower, upper = clopper_pearson(np.arange(3)[:, None], [4, 5], 0.9)
    assert np.shape(lower) == np.shape(upper) == (3, 2)
    assert isinstance(clopper_pearson(1, 4, 0.9, "lower"), float)
    assert lower[1, 0] == clopper_pearson(1, 4, 0.9)[0]
    assert lower[2, 1] != lower[2, 0]


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ((-1, 5, 0.9), "successes = -1"),
        ((6, 5, 0.9), "successes = 6: must be at most trials = 5"),
        ((1, 10**9 + 1, 0.9), "trials = 1000000001"),
        ((1.0, 5, 0.9), "successes = 1.0: must be integers"),
        ((True, 5, 0.9), "successes = True"),
        ((1, 5, 1.0), "confidence = 1.0"),
        ((1, 5, 0.0), "confidence = 0.0"),
        ((1, 5, float("nan")), "confidence = nan"),
        ((1, 5, 0.9, "left"), "side = 'left'"),
    ],
)
def test_limits_refuse(arguments: tuple, rule: str) -> None:
    with pytest.raises((ValueError, TypeError), match=rule):
        clopper_pearson(*arguments)


# -------------------------------------------------------------------------------------------------------- DKW


def test_dkw_radius_is_the_formula_rounded_up() -> None:
    trials = np.array([1, 2, 10, 12345, 10**9])
    for confidence in (1e-3, 0.5, 0.95, 1 - 1e-12):
        with mpmath.workdps(40):
            exact = [mpmath.sqrt(mpmath.log(2 / (1 - mpmath.mpf(confidence))) / (2 * int(n))) for n in trials]
            for radius, value in zip(dkw_radius(trials, confidence), exact, strict=True):
                assert radius == 1.0 if value >= 1 else value <= radius <= value * (1 + mpmath.mpf(1e-14))


@pytest.mark.statistical
def test_dkw_band_covers_as_promised() -> None:
    runs, trials = 2000, 200
    draws = np.sort(np.random.default_rng(11).random((runs, trials)), axis=1)
    steps = np.arange(trials + 1) / trials
    furthest = np.maximum(np.abs(draws - steps[1:]), np.abs(draws - steps[:-1])).max(axis=1)
    missed = np.count_nonzero(furthest > dkw_radius(trials, 0.5))
    assert missed <= most_failures(runs, 0.5)
    # The exact rate is 0.49 in the limit (Kolmogorov), so a radius much too large would be seen as well.
    assert missed >= stats.binom.ppf(FALSE_ALARM, runs, 0.45)


def test_dkw_refuses() -> None:
    with pytest.raises(ValueError, match="trials = 0: must be at least 1"):
        dkw_radius(0, 0.9)
    with pytest.raises(ValueError, match=r"confidence = 1\.5"):
        dkw_radius(5, 1.5)


# ------------------------------------------------------------------------------------------------- the bounds


def gaussian_delta(mu: float, epsilon: float) -> float:
    return float(stats.norm.sf(epsilon / mu - mu / 2) - np.exp(epsilon) * stats.norm.sf(epsilon / mu + mu / 2))


def exact_limit(k: int, n: int, failure: float, side: str) -> mpmath.mpf:
    """The Clopper-Pearson limit by bisection on the regularised incomplete beta function of mpmath."""
    low, high = mpmath.mpf(0), mpmath.mpf(1)
    for _ in range(80):
        p = (low + high) / 2
        inside = (
            mpmath.betainc(k, n - k + 1, 0, p, regularized=True) > failure
            if side == "lower"
            else (mpmath.betainc(k + 1, n - k, p, 1, regularized=True) <= failure)
        )
        low, high = (low, p) if inside else (p, high)
    return low


@pytest.mark.parametrize("seed", range(3))
def test_bounds_are_the_formula_of_their_counts(seed: int) -> None:
    rng = np.random.default_rng(seed)
    p, q = rng.normal(1.7, size=400), rng.normal(size=300)
    confidence = 0.97
    failure = (1 - mpmath.mpf(confidence)) / 2
    with mpmath.workdps(30):
        found = hockey_stick_lower_bound(p, q, 0.4, confidence, rng)
        low = exact_limit(found.hits_p, found.trials_p, failure, "lower")
        high = exact_limit(found.hits_q, found.trials_q, failure, "upper")
        exact = low - mpmath.exp(mpmath.mpf(0.4)) * high
        assert exact * (1 - mpmath.mpf(1e-6)) <= found.delta <= exact
        assert (found.trials_p, found.trials_q) == (200, 150)
        assert (found.epsilon, found.confidence) == (0.4, confidence)

        gdp = mu_lower_bound(p, q, confidence, rng)
        false_positives = exact_limit(gdp.hits_q, gdp.trials_q, failure, "upper")
        false_negatives = exact_limit(gdp.trials_p - gdp.hits_p, gdp.trials_p, failure, "upper")
        exact = -sum(mpmath.sqrt(2) * mpmath.erfinv(2 * x - 1) for x in (false_positives, false_negatives))
        assert exact * (1 - mpmath.mpf(1e-6)) <= gdp.mu <= exact


def test_counts_belong_to_the_second_half_and_the_strict_threshold() -> None:
    rng = np.random.default_rng(2)
    p, q = rng.integers(0, 6, 101).astype(float) + 1.0, rng.integers(0, 6, 80).astype(float)
    for found in (hockey_stick_lower_bound(p, q, 0.1, 0.9), mu_lower_bound(p, q, 0.9)):
        assert (found.hits_p, found.trials_p) == (np.count_nonzero(p[50:] > found.threshold), 51)
        assert (found.hits_q, found.trials_q) == (np.count_nonzero(q[40:] > found.threshold), 40)


@pytest.mark.statistical
@pytest.mark.parametrize("kind", ["hockey stick", "mu"])
def test_null_is_respected_and_the_null_test_can_fail(kind: str) -> None:
    """P = Q: a positive bound is wrong, and the held-out counts must favour P no more often than Q.

    Samples whose second half repeats the first make an auditor that measures where it chose; the counts betray it.
    """
    rng = np.random.default_rng(21)
    runs, confidence = 400, 0.5

    def audit(p: np.ndarray, q: np.ndarray) -> tuple[bool, bool]:
        if kind == "mu":
            mu = mu_lower_bound(p, q, confidence)
            return mu.mu > 0.0, mu.hits_p > mu.hits_q
        stick = hockey_stick_lower_bound(p, q, 0.0, confidence)
        return stick.delta > 0.0, stick.hits_p > stick.hits_q

    honest, cheating = np.zeros(2, int), np.zeros(2, int)
    for _ in range(runs):
        p, q = rng.normal(size=200), rng.normal(size=200)
        honest += audit(p, q)
        cheating += audit(np.tile(p[:100], 2), np.tile(q[:100], 2))
    allowed = most_failures(runs, 0.5)
    assert honest.max() <= allowed
    assert cheating[1] > allowed


@pytest.mark.statistical
@pytest.mark.parametrize(("epsilon", "mu"), [(0.0, 0.5), (1.0, 1.0), (3.0, 2.0)])
def test_hockey_stick_bound_covers_the_known_truth(epsilon: float, mu: float) -> None:
    rng = np.random.default_rng(31)
    runs, truth = 200, gaussian_delta(mu, epsilon)
    bounds = [
        hockey_stick_lower_bound(rng.normal(mu, size=1000), rng.normal(size=1000), epsilon, 0.9, rng).delta
        for _ in range(runs)
    ]
    # Estimates without limits would exceed the truth in about half of the runs.
    assert np.count_nonzero(np.array(bounds) > truth) <= most_failures(runs, 0.1)
    sure = [
        hockey_stick_lower_bound(rng.normal(mu, size=1000), rng.normal(size=1000), epsilon, 1 - FALSE_ALARM / runs)
        for _ in range(runs)
    ]
    assert max(bound.delta for bound in sure) <= truth


@pytest.mark.statistical
@pytest.mark.parametrize("delta", [0.0, 0.05])
def test_epsilon_bound_covers_a_known_truth_and_has_power(delta: float) -> None:
    """Randomised response: P = (delta + (1-delta) 0.8, ...), Q = (0.2, ...): epsilon is log 4 at either delta."""
    rng = np.random.default_rng(34)
    p_yes = delta + (1 - delta) * 0.8
    truth = np.log((p_yes - delta) / (0.2 * (1 - delta)))
    runs = 200
    bounds = [
        epsilon_lower_bound(
            (rng.random(1000) < p_yes).astype(float), (rng.random(1000) < 0.2 * (1 - delta)).astype(float), delta, 0.9
        ).epsilon
        for _ in range(runs)
    ]
    # Without limits half of the runs would exceed the truth.
    assert np.count_nonzero(np.array(bounds) > truth) <= most_failures(runs, 0.1)
    assert np.median(bounds) > 0.8 * truth


def test_epsilon_bound_is_the_formula_of_its_counts_and_refuses() -> None:
    rng = np.random.default_rng(35)
    p, q = rng.normal(2.0, size=400), rng.normal(size=300)
    found = epsilon_lower_bound(p, q, 1e-3, 0.97, rng)
    with mpmath.workdps(30):
        failure = (1 - mpmath.mpf(0.97)) / 2
        low = exact_limit(found.hits_p, found.trials_p, failure, "lower")
        high = exact_limit(found.hits_q, found.trials_q, failure, "upper")
        exact = mpmath.log((low - mpmath.mpf(1e-3)) / high)
        assert exact * (1 - mpmath.mpf(1e-6)) <= found.epsilon <= exact
    assert epsilon_lower_bound(q, p, 0.0, 0.9).epsilon == 0.0
    with pytest.raises(ValueError, match=r"delta = 1\.0: must be below 1"):
        epsilon_lower_bound(p, q, 1.0, 0.9)


@pytest.mark.statistical
def test_mu_bound_covers_the_known_truth() -> None:
    rng = np.random.default_rng(32)
    runs, mu = 200, 1.5
    bounds = [mu_lower_bound(rng.normal(mu, size=1000), rng.normal(size=1000), 0.9, rng).mu for _ in range(runs)]
    assert np.count_nonzero(np.array(bounds) > mu) <= most_failures(runs, 0.1)
    sure = [
        mu_lower_bound(rng.normal(mu, size=1000), rng.normal(size=1000), 1 - FALSE_ALARM / runs) for _ in range(runs)
    ]
    assert max(bound.mu for bound in sure) <= mu


def test_bounds_have_power() -> None:
    rng = np.random.default_rng(33)
    p, q = rng.normal(2.0, size=40_000), rng.normal(size=40_000)
    for epsilon in (0.0, 1.0, 2.0):
        bound = hockey_stick_lower_bound(p, q, epsilon, 0.99)
        truth, best = gaussian_delta(2.0, epsilon), 1.0 + epsilon / 2.0
        spreads = np.array([stats.norm.sf(best - 2.0), stats.norm.sf(best)])
        spreads = np.sqrt(spreads * (1.0 - spreads) / 20_000) * [1.0, np.exp(epsilon)]
        # Each limit is its quantile of 0.995 away from its estimate, and the estimates vary around the truth.
        expected = truth - special.ndtri(0.995) * spreads.sum()
        assert abs(bound.delta - expected) < 4.0 * np.linalg.norm(spreads)
        assert bound.delta > 0.8 * truth
        assert abs(bound.threshold - (1.0 + epsilon / 2.0)) < 0.5  # the likelihood ratio's own threshold
    assert 1.9 < mu_lower_bound(p, q, 0.99).mu < 2.0
    far = mu_lower_bound(p + 30.0, q, 0.99)
    # Separated samples: both rates are limited by 1 - failure^(1/n) only.
    limit = 1.0 - 0.005 ** (1.0 / 20_000)
    assert (far.hits_p, far.hits_q) == (20_000, 0)
    np.testing.assert_allclose(far.mu, -2.0 * special.ndtri(limit), rtol=1e-6)


def test_the_other_direction_is_exchange_and_negation() -> None:
    rng = np.random.default_rng(34)
    # P = {0: 0.5, 1: 0.5}, Q = {0: 0.9, 1: 0.1}: at epsilon 1 forward 0.5 - 0.1 e, reverse 0.
    p, q = (rng.random(40_000) < 0.5).astype(float), (rng.random(40_000) < 0.1).astype(float)
    forward, reverse = 0.5 - 0.1 * np.e, 0.0
    assert forward - 0.03 < hockey_stick_lower_bound(p, q, 1.0, 0.999).delta < forward
    assert hockey_stick_lower_bound(-q, -p, 1.0, 0.999).delta == reverse
    assert 0.4 - 0.03 < hockey_stick_lower_bound(-q, -p, 0.0, 0.999).delta < 0.4
    # Scores the wrong way round find nothing, and claim nothing.
    assert hockey_stick_lower_bound(-p, -q, 0.5, 0.999).delta == 0.0
    assert mu_lower_bound(q, p, 0.999).mu == 0.0


def test_extreme_inputs_give_zero_or_a_valid_bound() -> None:
    rng = np.random.default_rng(35)
    p, q = rng.normal(1.0, size=100), rng.normal(size=100)
    assert hockey_stick_lower_bound(p, q, 1e6, 0.99).delta == 0.0
    assert hockey_stick_lower_bound(p[:2], q[:2], 0.0, 0.99).delta == 0.0
    assert mu_lower_bound(p[:2], q[:2], 0.99).mu == 0.0
    assert mu_lower_bound(np.zeros(9), np.zeros(7), 0.99).mu == 0.0
    found = hockey_stick_lower_bound(np.full(100, np.inf), np.full(100, -np.inf), 0.0, 0.99)
    assert (found.hits_p, found.hits_q) == (50, 0)
    np.testing.assert_allclose(found.delta, 2.0 * 0.005 ** (1.0 / 50) - 1.0, rtol=1e-6)


def test_neighbouring_doubles_are_still_told_apart() -> None:
    lower = np.nextafter(1.0, 2.0)
    upper = np.nextafter(lower, 2.0)
    assert lower / 2.0 + upper / 2.0 == upper  # half way rounds up, onto the higher score
    found = mu_lower_bound(np.full(60, upper), np.full(60, lower), 0.9)
    assert (found.hits_p, found.hits_q) == (30, 0)


def test_coupled_draws_are_never_torn_apart() -> None:
    """With equal samples every half of one is the same half of the other, so the counts agree whatever the halves."""
    scores = np.random.default_rng(36).normal(size=501)
    for seed in range(20):
        found = hockey_stick_lower_bound(scores, scores, 0.0, 0.5, np.random.default_rng(seed))
        assert found.hits_p == found.hits_q
        assert found.delta == 0.0


def test_generator_draws_the_halves_reproducibly() -> None:
    rng = np.random.default_rng(37)
    p, q = np.sort(rng.normal(1.0, size=300)), np.sort(rng.normal(size=250))
    first, again, other = (hockey_stick_lower_bound(p, q, 0.0, 0.9, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    # Sorted scores split in order would set the threshold among the smallest scores only.
    assert first.delta > 0.2
    assert isinstance(first, HockeyStickBound)
    assert isinstance(mu_lower_bound(p, q, 0.9), MuBound)


@pytest.mark.parametrize(
    ("p", "q", "rule"),
    [
        (np.ones(1), np.ones(5), r"scores_p has shape \(1,\)"),
        (np.ones(5), np.ones((5, 1)), r"scores_q has shape \(5, 1\)"),
        (np.ones(5), np.array([1.0, np.nan]), r"scores_q\[1\] is nan"),
        (np.array(["a", "b"]), np.ones(5), "scores_p has type"),
    ],
)
def test_bounds_refuse_scores(p: np.ndarray, q: np.ndarray, rule: str) -> None:
    with pytest.raises((ValueError, TypeError), match=rule):
        hockey_stick_lower_bound(p, q, 0.0, 0.9)
    with pytest.raises((ValueError, TypeError), match=rule):
        mu_lower_bound(p, q, 0.9)


def test_bounds_refuse_parameters() -> None:
    with pytest.raises(ValueError, match=r"epsilon = -0\.1"):
        hockey_stick_lower_bound(np.ones(5), np.ones(5), -0.1, 0.9)
    for confidence in (0.0, 1.0, float("nan")):
        with pytest.raises(ValueError, match="confidence = "):
            hockey_stick_lower_bound(np.ones(5), np.ones(5), 0.1, confidence)
        with pytest.raises(ValueError, match="confidence = "):
            mu_lower_bound(np.ones(5), np.ones(5), confidence)


# ------------------------------------------------------------------------------------------------ the linear score


def test_linear_score_finds_the_likelihood_ratio_of_equal_covariances() -> None:
    rng = np.random.default_rng(41)
    root = np.array([[1.0, 0.0, 0.0], [0.95, 0.3, 0.0], [0.2, 0.1, 0.5]])
    gap = np.array([0.5, 0.1, 0.0])
    p, q = rng.normal(size=(20_000, 3)) @ root.T + gap, rng.normal(size=(20_000, 3)) @ root.T
    best = np.linalg.solve(root @ root.T, gap)
    score = linear_score(p, q)
    cosine = score.direction @ best / np.linalg.norm(best)
    assert cosine > 0.99
    assert abs(np.linalg.norm(score.direction) - 1.0) < 1e-12
    assert gap @ best / np.linalg.norm(best) / np.linalg.norm(gap) < 0.9  # the mean difference would not do
    assert linear_score(q, p).direction @ score.direction < -1 + 1e-9


@pytest.mark.parametrize("draws", [(4, 3), (40, 30)], ids=["fewer draws than numbers", "more"])
def test_linear_score_is_the_regularised_fisher_direction(draws: tuple[int, int]) -> None:
    rng = np.random.default_rng(42)
    p, q = rng.normal(size=(draws[0], 4, 3)) + 0.3, rng.normal(size=(draws[1], 4, 3)) * 2.0
    flat_p, flat_q = p.reshape(-1, 12), q.reshape(-1, 12)
    scatter = np.cov(flat_p.T, ddof=0) * draws[0] + np.cov(flat_q.T, ddof=0) * draws[1]
    wanted = np.linalg.inv(scatter + 0.05 * np.trace(scatter) / 12 * np.eye(12)) @ (flat_p.mean(0) - flat_q.mean(0))
    for factor in (1.0, 1e-80):
        score = linear_score(p * factor, q * factor, shrinkage=0.05)
        np.testing.assert_allclose(score.direction, wanted / np.linalg.norm(wanted), atol=1e-9)
    np.testing.assert_allclose(score(p), flat_p @ score.direction, atol=1e-12)


def test_linear_score_without_spread_or_without_difference() -> None:
    score = linear_score(np.full((3, 2), 5.0), np.tile([2.0, 1.0], (4, 1)))
    np.testing.assert_allclose(score.direction, [0.6, 0.8])
    np.testing.assert_array_equal(linear_score(np.ones((2, 2)), np.ones((2, 2))).direction, [0.0, 0.0])


@pytest.mark.statistical
def test_linear_score_and_bound_find_most_of_a_gaussian_shift() -> None:
    rng = np.random.default_rng(43)
    scales, mu = np.array([1e-3, 1.0, 5.0, 0.2, 2.0]), 1.5
    gap = scales * mu / np.sqrt(5.0)
    p, q = rng.normal(size=(20_000, 5)) * scales + gap, rng.normal(size=(20_000, 5)) * scales
    score = linear_score(p[:5000], q[:5000], shrinkage=1e-9)
    bound = mu_lower_bound(score(p[5000:]), score(q[5000:]), 1 - FALSE_ALARM)
    assert 0.85 * mu < bound.mu <= mu


def test_linear_score_refuses() -> None:
    ones = np.ones((3, 2))
    for p, q, rule in (
        (np.ones(3), ones, "train_p has shape"),
        (ones, np.ones((0, 2)), "train_q has shape"),
        (ones, np.ones((3, 4)), "train_q has 4 numbers per draw: must have 2"),
        (ones, np.full((3, 2), np.inf), r"train_q\[0, 0\] = inf"),
    ):
        with pytest.raises(ValueError, match=rule):
            linear_score(p, q)
    with pytest.raises(ValueError, match=r"shrinkage = 0\.0"):
        linear_score(ones, ones, shrinkage=0.0)
    with pytest.raises(ValueError, match="samples have 3 numbers each: must have 2"):
        LinearScore(np.ones(2))(np.ones((4, 3)))
