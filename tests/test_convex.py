"""Convex models: gradients and Hessians, the plan around a path, certificates against exact quadrature."""

import json
import math

import numpy as np
import pytest
from scipy.special import ndtr

import linear
from bounds import adapted
from bounds.adapted_paths import path_laws
from bounds.adapted_plans import Contracting, Linearised, accumulate
from bounds.deletion.adapted import deletions
from bounds.deletion.facts import DeletionFacts
from linear.convex import ConvexProblem, deletion_maps, simulate_convex
from paper_checks import adapted_convex

RNG = np.random.default_rng(0)
ROWS = RNG.standard_normal((12, 3))


def problem(kind: str) -> ConvexProblem:
    if kind == "logistic":
        return ConvexProblem(ROWS, np.where(ROWS[:, :1] > 0.2, 1.0, -1.0), 0.5, "logistic")
    if kind == "softmax":
        return ConvexProblem(ROWS, np.eye(4)[np.arange(12) % 4], 0.5, "softmax")
    return ConvexProblem(ROWS, RNG.standard_normal((12, 2)), 0.5, "huber", width=0.7)


def loss(p: ConvexProblem, w: np.ndarray) -> float:
    out = p.features @ w
    if p.kind == "logistic":
        value = np.logaddexp(0, -p.targets * out).sum()
    elif p.kind == "softmax":
        value = (np.log(np.exp(out).sum(1)) - (p.targets * out).sum(1)).sum()
    else:
        size = np.linalg.norm(out - p.targets, axis=1)
        value = np.where(size <= p.width, size**2 / 2, p.width * (size - p.width / 2)).sum()
    return float(value + p.penalty / 2 * np.sum(w**2))


@pytest.mark.parametrize("kind", ["logistic", "softmax", "huber"])
def test_gradients_and_hessians_are_the_derivatives_of_the_loss(kind):
    p = problem(kind)
    w = 0.3 * RNG.standard_normal((5, *p.shape))
    gradient, step = p.gradient(w), 1e-5
    for which in np.ndindex(p.shape):
        moved = np.zeros(p.shape)
        moved[which] = step
        slope = (loss(p, w[2] + moved) - loss(p, w[2] - moved)) / (2 * step)
        assert slope == pytest.approx(gradient[2][which], abs=1e-6)
        bend = (p.gradient((w[2] + moved)[None]) - p.gradient((w[2] - moved)[None])).ravel() / (2 * step)
        assert bend == pytest.approx(p.hessian(w[2])[np.ravel_multi_index(which, p.shape)], abs=1e-4)
    assert np.linalg.eigvalsh(p.hessian(w[0])).max() <= p.smoothness
    assert p.without(3).gradient(w) + p.row_pull(3, w) == pytest.approx(gradient, abs=1e-12)
    assert np.all(np.linalg.norm(p.row_pull(3, 50 * w), axis=(1, 2)) <= p.row_gradient[3])


def test_bad_problems_are_refused():
    with pytest.raises(ValueError, match=r"\+1 and -1"):
        ConvexProblem(ROWS, np.ones((12, 1)) * 2, 1.0)
    with pytest.raises(ValueError, match="one-hot"):
        ConvexProblem(ROWS, np.ones((12, 2)), 1.0, "softmax")
    with pytest.raises(ValueError, match="penalty"):
        ConvexProblem(ROWS, np.ones((12, 1)), 0.0)


def divergence(p: np.ndarray, q: np.ndarray, epsilon: float) -> float:
    t = math.exp(epsilon)
    return max(float(np.maximum(p - t * q, 0).sum()), float(np.maximum(q - t * p, 0).sum()))


@pytest.mark.statistical
def test_certificate_of_a_scalar_logistic_chain_against_quadrature():
    p = ConvexProblem(np.array([[1.0], [0.7], [-1.2]]), np.array([[1.0], [-1.0], [1.0]]), 0.3)
    schedule = linear.Schedule(step_size=0.5, learn_steps=4, unlearn_steps=2, learn_noise=0.3, unlearn_noise=0.3)
    full, less = deletion_maps(p, schedule, 2)
    grid = np.linspace(-4, 4, 1201)
    edges = np.append(grid, grid[-1] + (grid[1] - grid[0])) - 0.5 * (grid[1] - grid[0])
    laws = []
    for step in (full, less):
        law = np.zeros(len(grid))
        law[600] = 1.0
        for k, std in enumerate(schedule.noise_std):
            landed = step(k, grid[:, None, None])[:, 0, 0]
            law = law @ np.diff(ndtr((edges[None, :] - landed[:, None]) / std), axis=1)
        laws.append(law)
    start = np.zeros((20_000, 1, 1))
    for plan in (Contracting(0.7), adapted_convex.linearised(p, schedule, 2)):
        forward = accumulate(full, less, schedule.noise_std, start, plan, np.random.default_rng(1))
        back = accumulate(full, less, schedule.noise_std, start, plan, np.random.default_rng(2), under="reference")
        for epsilon in (0.0, 0.5, 1.5):
            promised = max(
                adapted.path_delta(forward.log_ratios, epsilon, confidence=1 - 5e-9),
                adapted.path_delta(-back.log_ratios, epsilon, confidence=1 - 5e-9),
            )
            exact = divergence(*laws, epsilon)
            assert exact - 1e-4 <= promised <= 1.35 * exact + 0.02
    # two other laws of the same chain: runs of the real algorithm
    ends = simulate_convex(p, schedule, 2, 20_000, np.random.default_rng(3))
    for sample, law in zip(ends, laws, strict=True):
        assert abs(sample.mean() - grid @ law) < 5.8 * sample.std() / math.sqrt(20_000)


@pytest.mark.statistical
def test_certificate_of_a_planar_huber_chain_against_quadrature():
    rows, targets = np.array([[1.0, 0.2], [0.3, -0.8], [-0.5, 0.6]]), np.array([[1.5], [-0.5], [0.2]])
    p = ConvexProblem(rows, targets, 0.2, "huber", width=0.4)
    schedule = linear.Schedule(step_size=0.5, learn_steps=2, unlearn_steps=0, learn_noise=0.4, unlearn_noise=0.4)
    full, less = deletion_maps(p, schedule, 0)
    nodes, weights = np.polynomial.hermite_e.hermegauss(24)
    weights = weights / weights.sum()
    pairs = np.stack(np.meshgrid(nodes, nodes, indexing="ij"), axis=-1).reshape(-1, 2)
    mass = np.outer(weights, weights).ravel()
    axis = np.linspace(-2.6, 2.6, 131)
    edges = np.append(axis, axis[-1] + (axis[1] - axis[0])) - 0.5 * (axis[1] - axis[0])
    laws = []
    for step in (full, less):
        first = step(0, np.zeros((1, 2, 1)))[0, :, 0] + 0.4 * pairs
        landed = step(1, first[:, :, None])[:, :, 0]
        cells = [np.diff(ndtr((edges[None, :] - landed[:, i, None]) / 0.4), axis=1) for i in (0, 1)]
        laws.append(np.einsum("n,ni,nj->ij", mass, *cells))
    start = np.zeros((20_000, 2, 1))
    plan = Contracting(0.8)
    forward = accumulate(full, less, schedule.noise_std, start, plan, np.random.default_rng(1))
    back = accumulate(full, less, schedule.noise_std, start, plan, np.random.default_rng(2), under="reference")
    for epsilon in (0.0, 0.5):
        promised = max(
            adapted.path_delta(forward.log_ratios, epsilon, confidence=1 - 5e-9),
            adapted.path_delta(-back.log_ratios, epsilon, confidence=1 - 5e-9),
        )
        exact = divergence(*laws, epsilon)
        assert exact - 2e-3 <= promised <= 1.35 * exact + 0.02


def test_plan_around_the_path_is_the_linear_plan_for_ridge():
    # Huber with a wide quadratic part is ridge; then the linearised plan is nearly the cheapest.
    p = ConvexProblem(ROWS, RNG.standard_normal((12, 1)), 0.5, "huber", width=1e6)
    ridge = linear.RidgeProblem(p.features, p.targets, ridge=0.5)
    schedule = linear.Schedule(
        step_size=1 / ridge.smoothness, learn_steps=8, unlearn_steps=3, learn_noise=0.2, unlearn_noise=0.2
    )
    full, less = deletion_maps(p, schedule, 5)
    plan = adapted_convex.linearised(p, schedule, 5)
    assert isinstance(plan, Linearised)
    found = accumulate(full, less, schedule.noise_std, np.zeros((4000, 3, 1)), plan, np.random.default_rng(0))
    laws = path_laws(deletions(DeletionFacts.of(ridge, schedule, 5)), blocks=20)
    assert found.budgets.mean() == pytest.approx(laws.budget[0], rel=0.1)


def test_the_experiment_runs_and_writes_what_it_found(tmp_path, capsys):
    out = tmp_path / "found.json"
    arguments = "--rows 200 --components 4 --runs 60 --points 1 --learn-steps 10 --unlearn-steps 3 --delta 0.3"
    assert adapted_convex.main([*arguments.split(), "--noise", "0.02", "--out", str(out)]) == 0
    assert "upper bounds" in capsys.readouterr().out
    [point] = json.loads(out.read_text())["points"]
    assert 0 <= point["audit"] <= point["paths"]
    assert point["truncated"] <= point["unlearning_only"]
