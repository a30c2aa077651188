"""The bridge proper: a ridge problem of `linear` as a network.

Its laws are not computed from the problem: they are read off the training step itself (`affine`), so that what is
compared with `linear` is what the trainer does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import linear
from torch_bridge import models
from torch_bridge.affine import GaussianLaw, affine_path
from torch_bridge.batches import FullBatch
from torch_bridge.network import Examples, Network
from torch_bridge.steps import StepRule
from torch_bridge.training import Phase, Plan, train

Array = NDArray[np.float64]


def ridge_network(problem: linear.RidgeProblem, *, device: torch.device | str | None = None) -> Network:
    """A linear map with half the squared error, in float64; the penalty belongs to the step (`ridge_phases`)."""
    model = models.linear_model(problem.n_features, problem.n_outputs)
    return Network(model, models.half_squared_error, device=device, dtype=torch.float64)


def ridge_examples(problem: linear.RidgeProblem) -> Examples:
    """Features and targets of the problem."""
    return Examples(torch.tensor(problem.features), torch.tensor(problem.targets))


def ridge_phases(problem: linear.RidgeProblem, schedule: linear.Schedule) -> tuple[Phase, Phase]:
    """Learning and unlearning as `linear` means them: full batch, gradients summed, penalty not divided by n."""
    rule = StepRule(step_size=schedule.step_size, penalty=problem.ridge)
    return (
        Phase(
            steps=schedule.learn_steps,
            rule=replace(rule, noise_std=schedule.learn_noise),
            batches=FullBatch(reduction="sum"),
        ),
        Phase(
            steps=schedule.unlearn_steps,
            rule=replace(rule, noise_std=schedule.unlearn_noise),
            batches=FullBatch(reduction="sum"),
        ),
    )


def ridge_vector(weights: Array) -> Tensor:
    """Weights (p, C) as a parameter vector: `torch.nn.Linear` stores their transpose."""
    return torch.tensor(np.ascontiguousarray(np.asarray(weights).T).reshape(-1))


def ridge_weights(vectors: Tensor, problem: linear.RidgeProblem) -> Array:
    """Parameter vectors (R, d) as weights (R, p, C)."""
    stored = vectors.detach().cpu().numpy().reshape(len(vectors), problem.n_outputs, problem.n_features)
    return np.ascontiguousarray(stored.transpose(0, 2, 1))


def ridge_runs(
    problem: linear.RidgeProblem,
    schedule: linear.Schedule,
    index: int,
    seeds: Sequence[int],
    *,
    device: torch.device | str | None = None,
) -> tuple[Array, Array]:
    """Unlearned and reference weights, each (runs, p, C): `linear.simulate` with this floor's trainer."""
    network, examples = ridge_network(problem, device=device), ridge_examples(problem)
    learn, unlearn = ridge_phases(problem, schedule)
    without = torch.arange(problem.n_points) != index
    found = []
    for name, members in (("unlearned", None), ("reference", without)):
        vectors = train(
            network,
            examples,
            Plan(phases=(learn,)),
            seeds=seeds,
            starts=ridge_vector(problem.initial),
            members=members,
            stage=f"{name}, learning",
        ).vectors
        vectors = train(
            network,
            examples,
            Plan(phases=(unlearn,)),
            seeds=seeds,
            starts=vectors,
            members=without,
            stage=f"{name}, unlearning",
        ).vectors
        found.append(ridge_weights(vectors, problem))
    return found[0], found[1]


def ridge_laws(problem: linear.RidgeProblem, schedule: linear.Schedule, index: int) -> linear.ExactLaws:
    """The laws that `linear.exact_laws` gives, read off the training step of this floor."""
    network, examples = ridge_network(problem), ridge_examples(problem)
    learn, unlearn = ridge_phases(problem, schedule)
    without = torch.arange(problem.n_points) != index
    start = GaussianLaw(ridge_vector(problem.initial).numpy(), np.zeros((network.size, network.size)))
    laws = []
    for members in (None, without):
        learned = affine_path(network, examples, learn, start, members=members)[-1]
        laws.append(affine_path(network, examples, unlearn, learned, members=without)[-1])
    shape = (problem.n_outputs, problem.n_features)
    # The columns of the weights are independent and have one covariance: the first block is all there is.
    blocks = [law.covariance[: shape[1], : shape[1]] for law in laws]
    means = [law.mean.reshape(shape).T for law in laws]
    return linear.ExactLaws(means[0], blocks[0], means[1], blocks[1])


def ridge_residual_moments(problem: linear.RidgeProblem, schedule: linear.Schedule, index: int) -> tuple[Array, Array]:
    """The deleted point's residual before each learning step: means (T, C) and variances (T,), from the path of laws."""
    network, examples = ridge_network(problem), ridge_examples(problem)
    learn, _ = ridge_phases(problem, schedule)
    start = GaussianLaw(ridge_vector(problem.initial).numpy(), np.zeros((network.size, network.size)))
    path = affine_path(network, examples, learn, start)[:-1]
    row, p = problem.features[index], problem.n_features
    means = [law.mean.reshape(problem.n_outputs, p) @ row - problem.targets[index] for law in path]
    return np.array(means), np.array([row @ law.covariance[:p, :p] @ row for law in path])
