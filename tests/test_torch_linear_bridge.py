"""On a linear model with squared loss, torch and `linear` give the same trajectories, sensitivities, laws, certificates."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

torch = pytest.importorskip("torch")
pytest.importorskip("flint")  # `linear` needs it

from torch_cases import DEVICES, classification, small_network  # noqa: E402

import linear  # noqa: E402
from bounds import interpolation, sensitivity  # noqa: E402
from bounds.deletion import certify  # noqa: E402
from torch_bridge import FullBatch, Phase, Plan, Record, ShuffledBatches, StepRule, gradient_norms, train  # noqa: E402
from torch_bridge.affine import GaussianLaw, affine_path  # noqa: E402
from torch_bridge.estimates import estimate_mu, observed_expansion  # noqa: E402
from torch_bridge.linear_bridge import (  # noqa: E402
    ridge_examples,
    ridge_laws,
    ridge_network,
    ridge_phases,
    ridge_residual_moments,
    ridge_runs,
    ridge_vector,
    ridge_weights,
)
from torch_bridge.randomness import generators, normal  # noqa: E402

INDEX = 3


def case(outputs: int = 2, **changes) -> tuple[linear.RidgeProblem, linear.Schedule]:
    rng = np.random.default_rng(5)
    problem = linear.RidgeProblem(
        rng.standard_normal((14, 4)),
        rng.standard_normal((14, outputs)),
        ridge=0.7,
        initial=rng.standard_normal((4, outputs)),
    )
    numbers = {"learn_steps": 25, "unlearn_steps": 6, "learn_noise": 0.05, "unlearn_noise": 0.08, **changes}
    return problem, linear.Schedule(step_size=1.3 / problem.smoothness, **numbers)


@pytest.mark.parametrize("device", DEVICES)
def test_trajectories_are_those_of_the_same_noise_in_numpy(device) -> None:
    problem, schedule = case()
    network = ridge_network(problem, device=device)
    learn, _ = ridge_phases(problem, schedule)
    run = train(
        network,
        ridge_examples(problem),
        Plan(phases=(learn,)),
        seeds=[4, 9],
        starts=ridge_vector(problem.initial),
        records={"at": Record(lambda v: v.clone())},
    )
    sources = generators([4, 9], "noise", network.device, "continue")
    weights = np.stack([problem.initial] * 2)
    for step in range(schedule.learn_steps):
        np.testing.assert_allclose(ridge_weights(run.records["at"][step], problem), weights, rtol=1e-12, atol=1e-13)
        drawn = ridge_weights(normal(sources, run.vectors), problem)
        residuals = problem.features @ weights - problem.targets
        gradient = np.einsum("np,rnc->rpc", problem.features, residuals) + problem.ridge * weights
        weights = weights - schedule.step_size * gradient + schedule.learn_noise * drawn
    np.testing.assert_allclose(ridge_weights(run.vectors, problem), weights, rtol=1e-12, atol=1e-13)


def test_noiseless_runs_are_those_of_linear() -> None:
    problem, schedule = case(learn_noise=0.0, unlearn_noise=0.0)
    for found, expected in zip(
        ridge_runs(problem, schedule, INDEX, [0]), linear.simulate(problem, schedule, INDEX, 1, 0), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("outputs", [1, 2])
def test_laws_and_exact_epsilon_are_those_of_linear(outputs) -> None:
    problem, schedule = case(outputs)
    found, expected = ridge_laws(problem, schedule, INDEX), linear.exact_laws(problem, schedule, INDEX)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-14)
    ours = linear.GaussianPair(*found).epsilon(1e-5)
    assert ours == pytest.approx(linear.deletion_pair(problem, schedule, INDEX).epsilon(1e-5), rel=1e-9)


def test_sensitivities_and_certificates_are_those_of_linear() -> None:
    problem, schedule = case()
    means, variances = ridge_residual_moments(problem, schedule, INDEX)
    expected_means, expected_variances = linear.residual_moments(problem, schedule, [INDEX])
    np.testing.assert_allclose(means, expected_means[0], rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(variances, expected_variances[0], rtol=1e-10, atol=1e-16)

    delta_s = 1e-6
    found = sensitivity.sensitivities(
        step_size=schedule.step_size,
        row_norm=float(np.linalg.norm(problem.features[INDEX])),
        mean_norms=np.linalg.norm(means, axis=1),
        variances=variances,
        dof=problem.n_outputs,
        log_delta_s=np.log(delta_s),
    )
    mu = interpolation.unlearning_only(
        sensitivity=found,
        contraction=problem.contraction_factor(schedule.step_size, INDEX),
        unlearn_steps=schedule.unlearn_steps,
        unlearn_noise=schedule.unlearn_noise,
    )
    certificate = certify(problem, schedule, INDEX, delta_s=delta_s, method="unlearning_only")
    assert mu == pytest.approx(certificate.mu, rel=1e-9)


def test_gradient_norms_along_a_run_are_the_residuals() -> None:
    """|gradient of point i| = |x_i| |residual|: what a net's sensitivities are measured with."""
    problem, schedule = case(learn_noise=0.0)
    network, examples = ridge_network(problem), ridge_examples(problem)
    learn, _ = ridge_phases(problem, schedule)
    run = train(
        network,
        examples,
        Plan(phases=(learn,)),
        seeds=[0],
        starts=ridge_vector(problem.initial),
        records={"norms": Record(lambda v: gradient_norms(network, v, examples))},
    )
    means, _ = linear.residual_moments(problem, schedule)
    expected = np.linalg.norm(means, axis=2).T * np.linalg.norm(problem.features, axis=1)
    np.testing.assert_allclose(run.records["norms"][:-1, 0].numpy(), expected, rtol=1e-11, atol=1e-13)

    # where nothing is random the estimate is the certificate's parameter
    schedule = replace(schedule, learn_noise=0.0, unlearn_noise=0.08)
    estimate = estimate_mu(
        run.records["norms"][:-1].numpy(),
        step_size=schedule.step_size,
        weight=1.0,
        contraction=problem.contraction_factor(schedule.step_size, INDEX),
        learn_noise=0.0,
        unlearn_steps=schedule.unlearn_steps,
        unlearn_noise=schedule.unlearn_noise,
    )
    assert not estimate.certified
    certificate = certify(problem, schedule, INDEX, delta_s=0.0, method="unlearning_only")
    assert estimate.mu[INDEX] == pytest.approx(certificate.mu, rel=1e-9)


@pytest.mark.statistical
@pytest.mark.parametrize("device", DEVICES)
def test_noisy_runs_have_the_exact_law(device) -> None:
    """2,000 runs: a mean off by 0.15 standard deviations or a variance off by 20 % would be seen, in either law.

    Few and short steps: noise of learning that came back in unlearning would show in the variance.
    """
    problem, schedule = case(learn_steps=4, unlearn_steps=4, learn_noise=0.08)
    schedule = replace(schedule, step_size=0.2 / problem.smoothness)
    runs = 2000
    samples = ridge_runs(problem, schedule, INDEX, range(runs), device=device)
    laws = linear.exact_laws(problem, schedule, INDEX)
    share = 1e-8 / 32
    for found, mean, covariance in ((samples[0], laws.mean_p, laws.cov_p), (samples[1], laws.mean_q, laws.cov_q)):
        root = np.linalg.cholesky(covariance)
        standard = np.stack([np.linalg.solve(root, sample) for sample in found - mean]).reshape(runs, -1)
        assert np.abs(standard.mean(axis=0)).max() * runs**0.5 <= stats.norm.isf(share / 2)
        squares = np.sum(standard**2, axis=0)
        assert np.all((squares >= stats.chi2.ppf(share / 2, runs)) & (squares <= stats.chi2.isf(share / 2, runs)))
    # learning and unlearning, and the two worlds, draw independent noise
    gap = np.corrcoef(
        (samples[0] - laws.mean_p).reshape(runs, -1)[:, 0], (samples[1] - laws.mean_q).reshape(runs, -1)[:, 0]
    )
    assert gap[0, 1] ** 2 <= stats.beta.isf(share, 0.5, (runs - 1) / 2)


def test_steps_that_are_not_affine_are_refused() -> None:
    network, examples = small_network(), classification(5, (4,), seed=1)
    start = GaussianLaw(np.zeros(network.size), np.eye(network.size))
    with pytest.raises(ValueError, match="not affine"):
        affine_path(network, examples, Phase(steps=1, rule=StepRule(step_size=0.1)), start)
    problem, _ = case()
    linear_net, rows = ridge_network(problem), ridge_examples(problem)
    start = GaussianLaw(np.zeros(linear_net.size), np.eye(linear_net.size))
    clipped = Phase(steps=1, rule=StepRule(step_size=0.1, clip=0.5), batches=FullBatch(reduction="sum"))
    with pytest.raises(ValueError, match="not affine"):
        affine_path(linear_net, rows, clipped, start)
    for phase, rule in (
        (Phase(steps=1, rule=StepRule(step_size=0.1), batches=ShuffledBatches(size=2)), "must be FullBatch"),
        (Phase(steps=1, rule=StepRule(step_size=[0.1])), "must be constant"),
    ):
        with pytest.raises(ValueError, match=rule):
            affine_path(linear_net, rows, phase, start)


def test_estimates_of_mu_by_hand() -> None:
    """One step, one unlearning step, no contraction: mu = sensitivity / sqrt(both noises squared)."""
    norms = np.array([[[2.0, 0.0], [3.0, 0.0], [2.5, 0.0]]])  # one step, three runs, two points
    numbers = {"step_size": 0.5, "weight": 0.1, "contraction": 1.0, "learn_noise": 0.3, "unlearn_steps": 1}
    found = estimate_mu(norms, unlearn_noise=0.4, **numbers)
    np.testing.assert_allclose(found.mu, [0.15 / 0.5, 0.0], rtol=1e-12)
    for quantile, expected in ((0.5, 0.125), (0.6, 0.15)):  # between two runs the larger one counts
        part = estimate_mu(norms, unlearn_noise=0.4, quantile=quantile, **numbers)
        np.testing.assert_allclose(part.sensitivities, [[expected, 0.0]])
    assert any("runs" in text for text in found.assumptions)


def test_the_observed_expansion_is_that_of_the_step() -> None:
    """Runs with the same noise on a quadratic: the largest factor seen stays below the Lipschitz factor, and nears it."""
    problem, schedule = case(learn_noise=0.0)
    learn, _ = ridge_phases(problem, schedule)
    rng = np.random.default_rng(0)
    starts = torch.stack([ridge_vector(rng.standard_normal((4, 2))) for _ in range(6)])
    run = train(
        ridge_network(problem),
        ridge_examples(problem),
        Plan(phases=(learn,)),
        seeds=range(6),
        starts=starts,
        records={"at": Record(lambda v: v.clone())},
    )
    seen = observed_expansion(run.records["at"][:20].numpy())
    factor = problem.contraction_factor(schedule.step_size)
    assert 0.95 * factor <= seen <= factor * (1 + 1e-9)
