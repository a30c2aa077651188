"""Per-example gradients and their norms, by `torch.func`, in pieces that fit a memory limit."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.func import grad, vmap

from torch_bridge import network as _network
from torch_bridge.network import Examples, Network


def example_gradients(network: Network, vectors: Tensor, examples: Examples, *, memory: int | None = None) -> Tensor:
    """The gradient of every example's loss, (R, n, d); a single vector (d,) gives (n, d).

    The result itself is held in full; `memory` (bytes) limits what is needed on the way.
    """
    if vectors.ndim == 1:
        return example_gradients(network, vectors[None], examples, memory=memory)[0]
    pieces = list(_pieces(network, vectors, examples, memory))
    return (
        torch.cat([gradients for _, gradients in pieces], dim=1)
        if pieces
        else vectors.new_zeros((len(vectors), 0, network.size))
    )


def gradient_norms(network: Network, vectors: Tensor, examples: Examples, *, memory: int | None = None) -> Tensor:
    """The norm of every example's gradient over all parameters together, (R, n); a vector (d,) gives (n,)."""
    if vectors.ndim == 1:
        return gradient_norms(network, vectors[None], examples, memory=memory)[0]
    norms = vectors.new_empty((len(vectors), len(examples.inputs)))
    for piece, gradients in _pieces(network, vectors, examples, memory):
        norms[:, piece] = torch.linalg.vector_norm(gradients, dim=2)
    return norms


def clipped_sum(
    network: Network,
    vectors: Tensor,
    examples: Examples,
    weights: Tensor,
    clip: float,
    *,
    batched: bool = False,
    memory: int | None = None,
) -> Tensor:
    """Weighted sums (R, d) of the examples' gradients, each clipped to norm `clip` first; `weights` (R, n)."""
    total = torch.zeros_like(vectors)
    for piece, gradients in _pieces(network, vectors, examples, memory, batched=batched):
        norms = torch.linalg.vector_norm(gradients, dim=2, dtype=torch.float64)
        factors = torch.clamp(clip / norms, max=1.0).nan_to_num(1.0).to(vectors.dtype)
        total += torch.einsum("rn,rnd->rd", weights[:, piece] * factors, gradients)
    return total


def _pieces(
    network: Network, vectors: Tensor, examples: Examples, memory: int | None, *, batched: bool = False
) -> Iterator[tuple[slice, Tensor]]:
    network.check(vectors[0], examples, batched=batched)
    limit = _network.MEMORY if memory is None else memory
    total = examples.inputs.shape[1] if batched else examples.inputs.shape[0]
    needed = vectors.element_size() * len(vectors) * (2 * network.size + 4 * network.activations)
    step = max(1, limit // needed)
    over_examples: Callable[..., Tensor] = vmap(grad(network.example_loss), in_dims=(None, 0, 0))
    for start in range(0, total, step):
        piece = slice(start, min(start + step, total))
        inputs, targets = (part[:, piece] if batched else part[piece] for part in examples)
        yield piece, _network.over_runs(over_examples, vectors, (inputs, targets), batched)
