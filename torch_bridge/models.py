"""The networks of the experiments, and the two losses, per example."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of every example, (n,)."""
    return functional.cross_entropy(outputs, targets, reduction="none")


def half_squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Half the squared error of every example, (n,): the loss whose gradient `linear` uses."""
    return 0.5 * ((outputs - targets) ** 2).flatten(1).sum(dim=1)


def mlp(*widths: int) -> nn.Module:
    """Fully connected layers with ReLU between them, on flattened inputs; `mlp(64, 32, 10)` is the digits net."""
    layers: list[nn.Module] = [nn.Flatten()]
    for given, made in itertools.pairwise(widths):
        layers += [nn.Linear(given, made), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def mnist_net() -> nn.Module:
    """784-5-10, 3,985 parameters (Koloskova et al. 2025, released code)."""
    return mlp(784, 5, 10)


def cifar_net(classes: int = 10) -> nn.Module:
    """conv32-pool-conv64-pool-mean-dense, 20,042 parameters for ten classes (Koloskova et al. 2025, released code).

    Inputs (n, 3, height, width).
    """
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, classes),
    )


def head(features: int, classes: int, hidden: int = 32) -> nn.Module:
    """The head on frozen features: features-32-32-classes (Koloskova et al. 2025, released code)."""
    return mlp(features, hidden, hidden, classes)


def linear_model(features: int, outputs: int) -> nn.Module:
    """A linear map without bias: with `half_squared_error` the ridge problem of `linear`."""
    return nn.Linear(features, outputs, bias=False)


class RandomFeatures(nn.Module):
    """Fixed random ReLU features, in place of a pretrained backbone where there is none."""

    weight: Tensor

    def __init__(self, inputs: int, features: int, seed: int = 0) -> None:
        super().__init__()
        source = torch.Generator().manual_seed(seed)
        self.register_buffer("weight", torch.randn((features, inputs), generator=source) * (2.0 / inputs) ** 0.5)

    def forward(self, inputs: Tensor) -> Tensor:
        return functional.relu(functional.linear(inputs.flatten(1), self.weight)) / self.weight.shape[0] ** 0.5
