"""The audit of unlearned models: silent on the null, below the truth where the truth is exact, and not far below."""

import numpy as np
import pytest
from scipy import special, stats

import linear
from bounds import gaussian_dp
from torch_bridge.audit import audit_samples

FALSE_ALARM = 1e-8


def most_failures(runs: int, rate: float) -> int:
    return int(stats.binom.isf(FALSE_ALARM, runs, rate))


@pytest.mark.statistical
def test_null_is_respected() -> None:
    """Two samples of one law: a positive bound is wrong, and may come only as often as the confidence says."""
    rng = np.random.default_rng(1)
    trials, confidence = 200, 0.5
    wrong = sum(
        max(found.mu, found.delta, found.epsilon) > 0
        for found in (
            audit_samples(rng.normal(size=(60, 3, 4)), rng.normal(size=(60, 3, 4)), epsilon=0.0, confidence=confidence)
            for _ in range(trials)
        )
    )
    assert wrong <= most_failures(trials, 1 - confidence)


def test_an_audit_that_measures_where_it_fits_would_fail_the_null() -> None:
    """The split matters: a score fitted on the very runs it is measured on separates noise from noise."""
    from linear import audit as limits

    rng = np.random.default_rng(2)
    found = []
    for _ in range(20):
        p, q = rng.normal(size=(60, 40)), rng.normal(size=(60, 40))
        score = limits.linear_score(p, q)
        found.append(limits.mu_lower_bound(score(p), score(q), 0.9).mu)
        assert audit_samples(p, q, confidence=0.999).mu == 0.0
    assert np.count_nonzero(found) >= 15


@pytest.mark.statistical
@pytest.mark.parametrize("mu", [0.5, 2.0])
def test_bounds_are_below_the_gaussian_truth_and_near_it(mu: float) -> None:
    rng = np.random.default_rng(3)
    direction = rng.normal(size=6)
    shift = mu * direction / np.linalg.norm(direction)
    p, q = rng.normal(size=(6000, 6)) + shift, rng.normal(size=(6000, 6))
    found = audit_samples(p, q, epsilon=0.1, delta=0.01, confidence=1 - FALSE_ALARM)
    assert 0 < found.mu <= mu
    assert found.delta <= gaussian_dp.delta(mu, 0.1)
    assert found.epsilon <= gaussian_dp.epsilon(mu, 0.01)
    assert found.estimated_mu == pytest.approx(mu, rel=0.15)
    usual = audit_samples(p, q, epsilon=0.1, delta=0.01)
    assert usual.delta > 0.3 * gaussian_dp.delta(mu, 0.1)
    assert 0.6 * mu < usual.mu < usual.most_mu


@pytest.mark.statistical
def test_audit_of_ridge_models_is_below_the_exact_law() -> None:
    """The whole chain on a net whose truth is known: a linear model with squared loss under Langevin dynamics."""
    rng = np.random.default_rng(4)
    features = rng.normal(size=(20, 3)) * [1.0, 0.7, 0.4]
    features[0] *= 2.5
    problem = linear.RidgeProblem(features, rng.normal(size=(20, 2)) + 1.0, ridge=1.0)
    schedule = linear.Schedule(
        step_size=1 / problem.smoothness, learn_steps=30, unlearn_steps=4, learn_noise=0.1, unlearn_noise=0.1
    )
    unlearned, reference = linear.simulate(problem, schedule, 0, 4000, rng)
    probes = np.vstack([features[0], rng.normal(size=(3, 3))])
    outputs = [np.einsum("kp,rpc->rkc", probes, weights) for weights in (unlearned, reference)]
    pair = linear.deletion_pair(problem, schedule, 0)
    # The least mu for which the pair is mu-GDP: the largest gap between the trade-off curve and that of equality.
    levels = stats.norm.cdf(np.linspace(-5, 5, 201))
    curves = [np.array([pair.tradeoff(a, reverse=r) for a in levels]) for r in (False, True)]
    truth = max(float(np.max(special.ndtri(1 - levels) - special.ndtri(np.clip(c, 1e-300, 1)))) for c in curves)
    found = audit_samples(*outputs, epsilon=0.2, delta=1e-3, confidence=1 - FALSE_ALARM)
    assert 0.5 < found.mu <= truth
    assert 0.0 < found.delta <= pair.delta(0.2)
    assert 0.0 < found.epsilon <= pair.epsilon(1e-3)
    assert audit_samples(*outputs).mu > 0.75 * truth
    # exchanged laws, another seed of the split: still below
    assert audit_samples(outputs[1], outputs[0], seed=7, confidence=1 - FALSE_ALARM).mu <= truth


def test_perfect_separation_is_reported_as_the_limit_of_the_runs() -> None:
    rng = np.random.default_rng(5)
    p, q = rng.normal(size=(90, 2)) + 50.0, rng.normal(size=(90, 2))
    found = audit_samples(p, q)
    assert found.mu == pytest.approx(found.most_mu, rel=1e-6)
    # 30 of 30 and 0 of 30: 0.05 shared by five bounds, each of two limits.
    limit = 1 - (0.05 / 5 / 2) ** (1 / 30)
    assert found.mu == pytest.approx(-2 * special.ndtri(limit), rel=1e-6)
    assert found.runs == (90, 90)
    assert found.measured == (30, 30)
    more = audit_samples(rng.normal(size=(900, 2)) + 50.0, rng.normal(size=(900, 2)))
    assert more.most_mu > found.most_mu
    assert set(found.as_json()) >= {"mu", "most_mu", "confidence", "measured"}
    assert "direction" not in found.as_json()


def test_coupled_runs_stay_together() -> None:
    """Equal samples: every part of one is the same part of the other, so the scores agree and nothing is found."""
    samples = np.random.default_rng(6).normal(size=(101, 3))
    found = audit_samples(samples, samples, epsilon=0.0, confidence=0.5)
    assert (found.mu, found.delta, found.estimated_mu) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"unlearned": np.ones((11, 2))}, r"unlearned has shape \(11, 2\)"),
        ({"unlearned": np.ones(20)}, r"unlearned has shape \(20,\)"),
        ({"reference": np.ones((20, 3))}, "reference has 3 numbers per model: must have 2"),
        ({"reference": np.full((20, 2), np.nan)}, "reference"),
        ({"fit_share": 0.9}, r"fit_share = 0\.9: leaves"),
        ({"delta": 1.0}, r"delta = 1\.0"),
        ({"confidence": 1.0}, r"confidence = 1\.0"),
    ],
)
def test_audit_refuses(change: dict, rule: str) -> None:
    arguments = {"unlearned": np.ones((20, 2)), "reference": np.zeros((20, 2))} | change
    with pytest.raises(ValueError, match=rule):
        audit_samples(**arguments)
