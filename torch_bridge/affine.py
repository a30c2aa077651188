"""The exact law of a network whose steps are affine, read off the training step itself.

The step is applied to the origin and to every basis vector, as runs side by side, which gives its matrix and its offset.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from torch_bridge.batches import FullBatch
from torch_bridge.network import Examples, Network
from torch_bridge.training import Phase, Plan, train

Array = NDArray[np.float64]
_AFFINE = 1e-9  # relative, how well a step must be affine


@dataclass(frozen=True, eq=False)
class GaussianLaw:
    """A normal law of the parameters: mean (d,), covariance (d, d)."""

    mean: Array
    covariance: Array


def affine_path(
    network: Network, examples: Examples, phase: Phase, start: GaussianLaw, *, members: Tensor | None = None
) -> list[GaussianLaw]:
    """The exact laws before the first step of a phase, after it, ..., after the last: a list of steps + 1.

    Raises ValueError where the steps are not affine (a network, a clip that bites), change over time, or draw batches.
    """
    if not isinstance(phase.batches, FullBatch):
        raise ValueError(f"phase.batches = {phase.batches!r}: must be FullBatch, for the step to be one map")
    if isinstance(phase.rule.step_size, tuple) or isinstance(phase.rule.noise_std, tuple):
        raise ValueError("phase.rule: step size and noise must be constant")
    matrix, offset = affine_step(network, examples, phase, members=members)
    path = [start]
    for _ in range(phase.steps):
        mean, covariance = path[-1].mean, path[-1].covariance
        covariance = matrix @ covariance @ matrix.T + phase.rule.noise_std**2 * np.eye(len(mean))  # type: ignore[operator]
        path.append(GaussianLaw(matrix @ mean + offset, covariance))
    return path


def affine_step(
    network: Network, examples: Examples, phase: Phase, *, members: Tensor | None = None
) -> tuple[Array, Array]:
    """The step without noise as vector -> matrix @ vector + offset, (d, d) and (d,); ValueError where it is not one."""
    quiet = Phase(steps=1, rule=replace(phase.rule, noise_std=0.0), batches=phase.batches)
    size = network.size
    source = torch.Generator().manual_seed(0)
    tried = torch.randn((3, size), generator=source, dtype=torch.float64) * 10.0
    starts = torch.cat([torch.zeros((1, size), dtype=torch.float64), torch.eye(size, dtype=torch.float64), tried])
    moved = (
        train(
            network,
            examples,
            Plan(phases=(quiet,)),
            seeds=range(len(starts)),
            starts=starts.to(network.dtype),
            members=members,
        )
        .vectors.double()
        .cpu()
        .numpy()
    )
    offset, matrix = moved[0], (moved[1 : size + 1] - moved[0]).T
    expected = tried.numpy() @ matrix.T + offset
    off = np.linalg.norm(moved[size + 1 :] - expected) / np.linalg.norm(expected)
    if not off <= _AFFINE:
        raise ValueError(f"the step is not affine: off by {off:.2g}, relatively, at random points")
    return matrix, offset
