"""Gradient norms of fully connected networks without the gradients: one backward pass for all examples.

The gradient of a linear layer's weight for one example is the outer product of what came back, g, and what came in, a:
its norm is |g| |a|, and that of the bias is |g| (Goodfellow, *Efficient per-example gradient computations*, 2015).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad

from torch_bridge.network import Network


def linear_layers(network: Network) -> list[tuple[nn.Linear, bool, bool]] | None:
    """The linear layers that hold all trainable parameters, and whether weight and bias are trained; else None."""
    found, held = [], set()
    for name, layer in network.own_module.named_modules():
        names = {kind: f"{name}.{kind}" if name else kind for kind, _ in layer.named_parameters(recurse=False)}
        trained = {kind for kind, full in names.items() if full in network.shapes}
        if not trained:
            continue
        if type(layer) is not nn.Linear or layer._forward_hooks or layer._forward_pre_hooks:
            return None
        found.append((layer, "weight" in trained, "bias" in trained))
        held |= {names[kind] for kind in trained}
    return found if held == set(network.shapes) else None


def linear_norms(network: Network, layers: list[tuple[nn.Linear, bool, bool]]) -> Callable[..., Tensor]:
    """The function (vector, inputs, targets) -> norms (n,); it raises NotImplementedError for layers used otherwise.

    Zeros are added to every layer's output; the gradient with respect to them is what comes back.
    """

    def norms(vector: Tensor, inputs: Tensor, targets: Tensor) -> Tensor:
        def loss(probes: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
            arrived: list[Tensor | None] = [None] * len(layers)

            def hook(place: int) -> Callable[..., Tensor]:
                def add(_layer: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> Tensor:
                    if arrived[place] is not None or made.ndim != 2:
                        raise NotImplementedError
                    arrived[place] = given[0]
                    return made + probes[place]

                return add

            hooks = [layer.register_forward_hook(hook(place)) for place, (layer, _, _) in enumerate(layers)]
            try:
                outputs = functional_call(network.own_module, network.split(vector), (inputs,))
            finally:
                for one in hooks:
                    one.remove()
            if any(part is None for part in arrived):
                raise NotImplementedError
            return network.losses_of(outputs, targets).sum(), [part for part in arrived if part is not None]

        zeros = [vector.new_zeros((len(inputs), layer.out_features)) for layer, _, _ in layers]
        backs, arrived = grad(loss, has_aux=True)(zeros)
        squares = torch.zeros(len(inputs), dtype=torch.float64, device=vector.device)
        for (_, weight, bias), back, given in zip(layers, backs, arrived, strict=True):
            size, came = ((part**2).sum(dim=1, dtype=torch.float64) for part in (back, given))
            squares = squares + size * (came * float(weight) + float(bias))
        return torch.sqrt(squares).to(vector.dtype)

    return norms
