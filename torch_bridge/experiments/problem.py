"""Data and network of an experiment by name, as the trainer wants them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from linear import datasets
from torch_bridge import models
from torch_bridge.network import Examples, Network

NETS = ("mlp", "mnist", "cifar", "head")


@dataclass(frozen=True, eq=False)
class Problem:
    """A network with its training and test examples; `labels` (n,) of the training examples as numpy."""

    network: Network
    train: Examples
    test: Examples
    labels: NDArray[np.int64]
    description: str

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(self.labels.max()) + 1


class ProblemSettings(Protocol):
    """What an experiment's settings say of its data and network; the arguments of `load_problem`."""

    @property
    def data(self) -> str: ...
    @property
    def net(self) -> str: ...
    @property
    def hidden(self) -> int: ...
    @property
    def rows(self) -> int | None: ...
    @property
    def test_rows(self) -> int | None: ...
    @property
    def device(self) -> str: ...


def problem_of(settings: ProblemSettings, data_dir: str | Path | None) -> Problem:
    """The data set and network that the settings name."""
    return load_problem(
        settings.data,
        data_dir,
        net=settings.net,
        hidden=settings.hidden,
        rows=settings.rows,
        test_rows=settings.test_rows,
        device=settings.device,
    )


def load_problem(
    data: str,
    data_dir: str | Path | None,
    *,
    net: str,
    hidden: int = 32,
    rows: int | None = None,
    test_rows: int | None = None,
    random_features: int | None = None,
    device: str = "cpu",
) -> Problem:
    """A data set and a network for it.

    Parameters
    ----------
    data, data_dir : as `linear.datasets.load` takes them.
    net : "mlp" (one hidden layer of `hidden` units), "mnist" (784-5-10), "cifar" (two convolutions), or "head"
        (features-32-32-classes).
    rows, test_rows : the first so many training and test rows; all by default.
    random_features : that many fixed random ReLU features in place of the inputs (of a pretrained backbone, which is
        not at hand): for net "head".
    """
    if net not in NETS:
        raise ValueError(f"net = {net!r}: must be one of {', '.join(NETS)}")
    loaded = datasets.load(data, data_dir)
    if loaded.classes is None:
        raise ValueError(f"data = {data!r}: must have integer labels")
    classes = loaded.classes
    parts = []
    for features, labels, most in (
        (loaded.train_features, loaded.train_labels, rows),
        (loaded.test_features, loaded.test_labels, test_rows),
    ):
        inputs = torch.tensor(np.asarray(features[:most]), dtype=torch.float32)
        numbers = torch.tensor(np.searchsorted(classes, labels[:most]), dtype=torch.long)
        parts.append(Examples(inputs, numbers))
    train, test = parts
    width = train.inputs.shape[1]
    description = f"{loaded.description}; {len(train.inputs):,} and {len(test.inputs):,} used"
    if random_features is not None:
        made = models.RandomFeatures(width, random_features)
        # As long as the inputs on average, so that the same step sizes suit both.
        scale = train.inputs.norm(dim=1).mean() / made(train.inputs).norm(dim=1).mean()
        train, test = (Examples(scale * made(part.inputs), part.targets) for part in (train, test))
        width, description = random_features, f"{description}; {random_features} fixed random ReLU features"
    module: nn.Module
    if net == "mlp":
        module = models.mlp(width, hidden, len(classes))
    elif net == "mnist":
        module = models.mlp(width, 5, len(classes))
    elif net == "head":
        module = models.head(width, len(classes))
    else:
        if width != 3 * 32 * 32:
            raise ValueError(f"net = 'cifar': needs rows of 3 x 32 x 32 pixels, {data!r} has {width}")
        train, test = (Examples(part.inputs.reshape(-1, 3, 32, 32), part.targets) for part in (train, test))
        module = models.cifar_net(len(classes))
    network = Network(module, models.cross_entropy, device=device)
    labels = train.targets.numpy().astype(np.int64)
    return Problem(network, train.to(device), test.to(device), labels, f"{description}; {network!r}")


def label_probabilities(network: Network, vectors: Tensor, examples: Examples) -> Tensor:
    """Probability that each model gives each example's own label, (R, n)."""
    outputs = network.outputs(vectors, examples.inputs)
    picked = examples.targets.expand(len(vectors), -1)[..., None]
    return torch.log_softmax(outputs, dim=2).gather(2, picked)[..., 0].exp()


def accuracy(network: Network, vectors: Tensor, examples: Examples) -> Tensor:
    """Share of right answers of each model, (R,)."""
    return (network.outputs(vectors, examples.inputs).argmax(dim=2) == examples.targets).to(torch.float32).mean(dim=1)


def mask_without(total: int, groups: NDArray[np.integer]) -> Tensor:
    """Members masks (G, n) of everything but each group (G, size)."""
    masks = torch.ones((len(groups), total), dtype=torch.bool)
    for row, group in zip(masks, groups, strict=True):
        row[torch.as_tensor(np.asarray(group))] = False
    return masks
