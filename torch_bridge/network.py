"""A model and its loss as functions of one flat parameter vector, for one run or for many runs at once."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from torch_bridge.randomness import stream_seed

Loss = Callable[[Tensor, Tensor], Tensor]

MEMORY = 1 << 29  # bytes that one call may take for intermediate results, roughly
_PROBED = 8  # examples on which loss and layers are tried before they are trusted


class Examples(NamedTuple):
    """Inputs (n, ...) and targets (n, ...)."""

    inputs: Tensor
    targets: Tensor

    def to(self, device: torch.device | str) -> Examples:
        """The same examples on a device."""
        return Examples(self.inputs.to(device), self.targets.to(device))

    def take(self, which: Tensor) -> Examples:
        """The examples at some positions, or where a mask is true."""
        return Examples(self.inputs[which], self.targets[which])


class Network:
    """A module and a sum-reduced loss, seen as functions of the vector of all trainable parameters.

    Parameters
    ----------
    module : any `torch.nn.Module` that treats examples one by one. Batch normalisation and dropout in training mode
        are refused. Parameters with ``requires_grad=False`` are constants. The module is copied, never changed.
    loss : function of (outputs, targets) for a batch: the sum over its examples, or one number per example (n,). A
        mean over the batch is refused (its per-example gradients would depend on the batch size).
    device, dtype : where and in which precision to compute; those of the module by default.

    `vectors` below is (R, d): one row of parameters per run. `inputs` are (n, ...), shared by the runs, or with
    `batched=True` (R, n, ...), and so are `targets`.

    Raises
    ------
    ValueError : a layer that couples examples or draws its own random numbers; a mean-reduced loss (at first use).
    """

    def __init__(
        self,
        module: nn.Module,
        loss: Loss,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        _refuse_coupled(module)
        if getattr(loss, "reduction", "sum") == "mean":
            raise ValueError(f"loss = {loss!r}: must be sum-reduced or per example (reduction='sum' or 'none')")
        self.own_module = copy.deepcopy(module).to(device=device, dtype=dtype)
        self.loss = loss
        trained = {name: value for name, value in self.own_module.named_parameters() if value.requires_grad}
        if not trained:
            raise ValueError(f"module = {type(module).__name__}: must have a parameter that requires a gradient")
        kinds = {(value.dtype, value.device) for value in trained.values()}
        if len(kinds) > 1 or not next(iter(kinds))[0].is_floating_point:
            raise ValueError(f"module has parameters of kinds {kinds}: must have one floating type and one device")
        self.dtype, self.device = next(iter(kinds))
        self.shapes = {name: value.shape for name, value in trained.items()}
        self.size = sum(value.numel() for value in trained.values())
        self._per_example = False
        self._checked = False
        self.activations = 0
        self.fast_norms: bool | None = None  # whether gradients._fast may be used; None before it was tried

    def __repr__(self) -> str:
        kind = type(self.own_module).__name__
        return f"Network({kind}, {self.size:,} parameters, {self.dtype}, {self.device})"

    # ------------------------------------------------------------------------------------------------ parameters

    def parameters(self) -> Tensor:
        """The module's own parameters, (d,)."""
        own = dict(self.own_module.named_parameters())
        return torch.cat([own[name].detach().reshape(-1) for name in self.shapes])

    def split(self, vector: Tensor) -> dict[str, Tensor]:
        """Views of a vector (d,) as the named tensors it consists of."""
        parts = vector.split([math.prod(shape) for shape in self.shapes.values()])
        return {name: part.view(shape) for (name, shape), part in zip(self.shapes.items(), parts, strict=True)}

    def slices(self) -> Iterator[tuple[str, slice]]:
        """Which stretch of the vector each named tensor is."""
        start = 0
        for name, shape in self.shapes.items():
            yield name, slice(start, start + math.prod(shape))
            start += math.prod(shape)

    def initial(self, seed: int) -> Tensor:
        """Fresh random parameters (d,) by the layers' own `reset_parameters`; the same on every device."""
        fresh = copy.deepcopy(self.own_module).cpu()
        state = torch.get_rng_state()
        try:
            torch.default_generator.manual_seed(stream_seed(seed, "initial"))
            for name, layer in fresh.named_modules():
                if not any(value.requires_grad for value in layer.parameters(recurse=False)):
                    continue
                if not callable(getattr(layer, "reset_parameters", None)):
                    raise TypeError(
                        f"layer {name!r} ({type(layer).__name__}) has no reset_parameters: give it one, or pass starts"
                    )
                layer.reset_parameters()  # type: ignore[operator]
        finally:
            torch.set_rng_state(state)
        own = dict(fresh.named_parameters())
        return torch.cat([own[name].detach().reshape(-1) for name in self.shapes]).to(self.device)

    def module(self, vector: Tensor) -> nn.Module:
        """A copy of the module that carries the parameters of a vector (d,)."""
        made = copy.deepcopy(self.own_module)
        own = dict(made.named_parameters())
        with torch.no_grad():
            for name, value in self.split(vector).items():
                own[name].copy_(value)
        return made

    # ----------------------------------------------------------------------------------------- values and gradients

    def outputs(self, vectors: Tensor, inputs: Tensor, *, batched: bool = False) -> Tensor:
        """What the model says, (R, n, ...); a single vector (d,) gives (n, ...)."""
        if vectors.ndim == 1:
            return self.outputs(vectors[None], inputs)[0]
        with torch.no_grad():
            pieces = []
            for piece in self.pieces(vectors, inputs, batched):
                part = inputs[:, piece] if batched else inputs[piece]
                pieces.append(over_runs(self._forward, vectors, (part,), batched))
            return torch.cat(pieces, dim=1)

    def losses(self, vectors: Tensor, examples: Examples, *, batched: bool = False) -> Tensor:
        """The loss of every example, (R, n); a single vector (d,) gives (n,)."""
        if vectors.ndim == 1:
            return self.losses(vectors[None], examples)[0]
        self.check(vectors[0], examples, batched=batched)
        outputs = self.outputs(vectors, examples.inputs, batched=batched)
        with torch.no_grad():
            return torch.stack(
                [
                    self.losses_of(row, examples.targets[r] if batched else examples.targets)
                    for r, row in enumerate(outputs)
                ]
            )

    def gradients(self, vectors: Tensor, examples: Examples, weights: Tensor, *, batched: bool = False) -> Tensor:
        """Gradients (R, d) of the weighted sums of losses; `weights` (R, n)."""
        self.check(vectors[0], examples, batched=batched)
        function = grad(self._weighted_loss)
        total = torch.zeros_like(vectors)
        for piece in self.pieces(vectors, examples.inputs, batched):
            inputs, targets = (part[:, piece] if batched else part[piece] for part in examples)
            if len(vectors) == 1:
                own = (inputs[0], targets[0]) if batched else (inputs, targets)
                total += function(vectors[0], *own, weights[0, piece])[None]
            else:
                share = 0 if batched else None
                total += vmap(function, in_dims=(0, share, share, 0))(vectors, inputs, targets, weights[:, piece])
        return total

    def check(self, vector: Tensor, examples: Examples, *, batched: bool = False) -> None:
        """Refuses, before first use, a loss that is no sum over examples and a model that mixes examples."""
        if self._checked:
            return
        inputs, targets = (part[0, :_PROBED] if batched else part[:_PROBED] for part in examples)
        if len(inputs) == 1:  # twice the same example shows a mean as well
            inputs, targets = torch.cat([inputs, inputs]), torch.cat([targets, targets])
        with torch.no_grad():
            together = self._forward(vector, inputs)
            alone = torch.cat([self._forward(vector, row[None]) for row in inputs])
            value = self.loss(together, targets)
            parts = torch.stack([self.loss(together[i : i + 1], targets[i : i + 1]).sum() for i in range(len(inputs))])
        scale = 1e-9 if self.dtype == torch.float64 else 1e-3
        if not torch.allclose(together, alone, rtol=scale, atol=scale * float(together.abs().max())):
            raise ValueError("module: its output for an example depends on the rest of the batch; it must not")
        if value.ndim > 1 or (value.ndim == 1 and len(value) != len(inputs)):
            raise ValueError(f"loss returns shape {tuple(value.shape)}: must be a sum or one number per example")
        total, expected = float(value.sum()), float(parts.sum())
        if abs(total - expected) > scale * float(parts.abs().sum()):
            raise ValueError(
                f"loss of {len(inputs)} examples is {total:.6g}, their sum {expected:.6g}: must be sum-reduced or "
                "per example (reduction='sum' or 'none'), never a mean"
            )
        self._per_example = value.ndim == 1
        self._checked = bool(parts.any())  # losses of zero show nothing; look again
        self.activations = self._count_activations(vector, inputs[:1])

    def _forward(self, vector: Tensor, inputs: Tensor) -> Tensor:
        return functional_call(self.own_module, self.split(vector), (inputs,))

    def losses_of(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss of every example (n,), from outputs (n, ...) and targets."""
        if self._per_example:
            return self.loss(outputs, targets)
        return vmap(lambda output, target: self.loss(output[None], target[None]).sum())(outputs, targets)

    def _weighted_loss(self, vector: Tensor, inputs: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        return torch.sum(weights * self.losses_of(self._forward(vector, inputs), targets))

    def example_loss(self, vector: Tensor, inputs: Tensor, targets: Tensor) -> Tensor:
        return self.loss(self._forward(vector, inputs[None]), targets[None]).sum()

    def pieces(self, vectors: Tensor, inputs: Tensor, batched: bool) -> Iterator[slice]:
        """Stretches of the examples whose intermediate results fit into the memory limit."""
        total = inputs.shape[1] if batched else inputs.shape[0]
        first = inputs[0, :1] if batched else inputs[:1]
        if not self.activations and total:
            self.activations = self._count_activations(vectors[0], first)
        needed = 4 * vectors.element_size() * len(vectors) * max(self.activations, 1)
        step = max(1, MEMORY // needed)
        return (slice(start, min(start + step, total)) for start in range(0, total, step))

    def _count_activations(self, vector: Tensor, inputs: Tensor) -> int:
        """Numbers that the layers put out for one example."""
        sizes = [inputs.numel()]
        hooks = [
            layer.register_forward_hook(lambda _layer, _given, out: sizes.append(getattr(out, "numel", int)()))
            for layer in self.own_module.modules()
        ]
        try:
            with torch.no_grad():
                self._forward(vector, inputs)
        finally:
            for hook in hooks:
                hook.remove()
        return sum(sizes)


def over_runs(function: Callable[..., Tensor], vectors: Tensor, shared: tuple[Tensor, ...], batched: bool) -> Tensor:
    """`function` of every vector; the other arguments are shared, or with `batched` one row per run."""
    if len(vectors) == 1:
        return function(vectors[0], *(part[0] if batched else part for part in shared))[None]
    return vmap(function, in_dims=(0, *(0 if batched else None for _ in shared)))(vectors, *shared)


def _refuse_coupled(module: nn.Module) -> None:
    if not isinstance(module, nn.Module):
        raise TypeError(f"module = {module!r}: must be a torch.nn.Module")
    for name, layer in module.named_modules():
        kind = type(layer).__name__
        if isinstance(layer, nn.modules.batchnorm._BatchNorm) and (layer.training or layer.running_mean is None):
            raise ValueError(
                f"layer {name!r} is {kind} in training mode: the examples of a batch share its statistics, so no "
                "example has a gradient of its own; use GroupNorm, or call eval() on it to freeze its statistics"
            )
        if isinstance(layer, nn.modules.instancenorm._InstanceNorm) and layer.training and layer.track_running_stats:
            raise ValueError(f"layer {name!r} is {kind} with running statistics: set track_running_stats=False")
        dropped = isinstance(layer, nn.modules.dropout._DropoutNd) and layer.p > 0
        dropped = dropped or (isinstance(layer, (nn.RNNBase, nn.MultiheadAttention)) and float(layer.dropout) > 0)
        if dropped and layer.training:
            raise ValueError(
                f"layer {name!r} is {kind} with dropout in training mode: its random numbers are outside the run's "
                "seed; set p=0, or call eval() on it"
            )
