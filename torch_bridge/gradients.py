"""Per-example gradients and their norms, by `torch.func`, in pieces that fit a memory limit."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.func import grad, vmap

from torch_bridge import network as _network
from torch_bridge._linear_norms import linear_layers, linear_norms
from torch_bridge.network import Examples, Network

_TRIED = 8  # examples on which the short cut to the norms is compared with the long way


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


def gradient_norms(
    network: Network, vectors: Tensor, examples: Examples, *, batched: bool = False, memory: int | None = None
) -> Tensor:
    """The norm of every example's gradient over all parameters together, (R, n); a vector (d,) gives (n,).

    Fully connected networks take one backward pass for all examples together, once that was seen to give what the
    gradients one by one give; `memory` is for the others.
    """
    if vectors.ndim == 1:
        return gradient_norms(network, vectors[None], examples, memory=memory)[0]
    fast = _fast(network, vectors, examples, batched)
    if fast is None:
        return _norms_one_by_one(network, vectors, examples, memory, batched=batched)
    pieces = []
    for piece in network.pieces(vectors, examples.inputs, batched):
        inputs, targets = (part[:, piece] if batched else part[piece] for part in examples)
        pieces.append(_network.over_runs(fast, vectors, (inputs, targets), batched))
    return torch.cat(pieces, dim=1)


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
    if _fast(network, vectors, examples, batched) is not None:
        factors = _clip_factors(gradient_norms(network, vectors, examples, batched=batched), clip, vectors.dtype)
        return network.gradients(vectors, examples, weights * factors, batched=batched)
    total = torch.zeros_like(vectors)
    for piece, gradients in _pieces(network, vectors, examples, memory, batched=batched):
        norms = torch.linalg.vector_norm(gradients, dim=2, dtype=torch.float64)
        factors = _clip_factors(norms, clip, vectors.dtype)
        total += torch.einsum("rn,rnd->rd", weights[:, piece] * factors, gradients)
    return total


def _clip_factors(norms: Tensor, clip: float, dtype: torch.dtype) -> Tensor:
    """min(1, clip / norm), a few roundings towards the inside where it bites."""
    shrink = 1 - 8 * torch.finfo(dtype).eps
    return torch.where(norms > clip, shrink * clip / norms.double(), 1.0).to(dtype)


def _fast(network: Network, vectors: Tensor, examples: Examples, batched: bool) -> Callable[..., Tensor] | None:
    """The short cut, where there is one and it was seen to agree on a few examples."""
    first = Examples(*(part[0] for part in examples)) if batched else examples
    if network.fast_norms is False or len(first.inputs) == 0:
        return None
    layers = linear_layers(network)
    if layers is None:
        network.fast_norms = False
        return None
    function = linear_norms(network, layers)
    if network.fast_norms is None:
        few = Examples(*(part[:_TRIED] for part in first))
        expected = _norms_one_by_one(network, vectors[:1], few, None)[0]
        try:
            found = function(vectors[0], *few)
        except NotImplementedError:
            network.fast_norms = False
            return None
        relative = 1e-9 if network.dtype == torch.float64 else 1e-3
        agree = torch.allclose(found, expected, rtol=relative, atol=relative * float(expected.max()))
        # Gradients of zero show nothing: this time the long way, and another try the next time.
        network.fast_norms = None if agree and not bool(expected.any()) else agree
        if network.fast_norms is not True:
            return None
    return function


def _norms_one_by_one(
    network: Network, vectors: Tensor, examples: Examples, memory: int | None, *, batched: bool = False
) -> Tensor:
    norms = vectors.new_empty((len(vectors), examples.inputs.shape[1 if batched else 0]))
    for piece, gradients in _pieces(network, vectors, examples, memory, batched=batched):
        norms[:, piece] = torch.linalg.vector_norm(gradients, dim=2)
    return norms


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
