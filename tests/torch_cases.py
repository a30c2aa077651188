"""Shared by the tests of torch_bridge: devices, small networks and data, made from seeds."""

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from torch_bridge import Examples, Network, models  # noqa: E402

torch.set_num_threads(1)

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def source(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def classification(count: int, shape: tuple[int, ...], *, seed: int, classes: int = 3, dtype=torch.float64) -> Examples:
    generator = source(seed)
    inputs = torch.randn((count, *shape), generator=generator, dtype=dtype)
    return Examples(inputs, torch.randint(classes, (count,), generator=generator))


def small_network(device: str = "cpu", dtype=torch.float64) -> Network:
    return Network(models.mlp(4, 6, 3), models.cross_entropy, device=device, dtype=dtype)


class Convolutional(nn.Module):
    """Convolution, group norm, an in-place ReLU and two heads that share a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3)
        self.norm = nn.GroupNorm(2, 4)
        self.active = nn.ReLU(inplace=True)
        self.last = nn.Linear(16, 3)

    def forward(self, inputs):
        return self.last(self.active(self.norm(self.first(inputs))).flatten(1))
