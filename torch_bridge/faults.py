"""A plain training loop, tensor by tensor with autograd, and the same loop with one fault planted in it.

It shares nothing with `StepRule` and `Network.gradients` but the model, so the right loop tries the checks' own
arithmetic, and the faulty ones try whether `check_implementation` can fail. Each fault was seen in released code or is
a natural slip. Use `training_loop` as a template for handing over a loop of one's own.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from torch_bridge.implementation import Step, StepFunction
from torch_bridge.network import Network
from torch_bridge.steps import StepRule

# fault -> the check that must detect it
FAULTS: dict[str, str] = {
    "noise_reused": "noise_fresh",  # one noise vector in every step
    "noise_reseeded": "noise_fresh",  # the generator starts again every epoch
    "noise_same_in_runs": "noise_per_run",  # the seed of the run is ignored
    "noise_unseeded": "deterministic",  # drawn from the global generator
    "noise_times_step_size": "noise_size",  # inside the gradient
    "noise_langevin": "noise_size",  # the deviation taken for a temperature
    "noise_variance": "noise_size",  # the variance used as a standard deviation
    "noise_skips_bias": "noise_every_tensor",  # none on vectors
    "noise_reseeded_per_tensor": "noise_across_tensors",  # every tensor gets the same numbers
    "noise_uniform": "noise_normal",  # of the right variance, with bounded support
    "noise_before_projection": "noise_after_projection",  # projected away
    "clip_per_tensor": "clip",  # instead of over all tensors together
    "clip_per_example": "clip",  # instead of the batch's gradient
    "no_clip": "clip",
    "penalty_in_clip": "penalty",  # clipped with the gradient
    "no_penalty": "penalty",
    "project_per_tensor": "projection",
    "project_to_sphere": "projection",  # also from inside
    "momentum": "memory",  # outside the accounting
    "sum_for_mean": "reduction",
    "wrong_step_size": "gradient",
}

_EPOCH = 7
_MOMENTUM = 0.9


def training_loop(
    network: Network, fault: str | None = None, *, reduction: Literal["mean", "sum"] = "mean"
) -> StepFunction:
    """The loop as `check_implementation` takes it, right or with one of `FAULTS`.

    Raises ValueError for a fault that is not in the list.
    """
    if fault is not None and fault not in FAULTS:
        raise ValueError(f"fault = {fault!r}: must be None or one of {', '.join(FAULTS)}")

    def begin(rule: StepRule, seed: int) -> Step:
        return _Loop(network, rule, seed, fault, reduction)

    return begin


class _Loop:
    """The state of one run."""

    def __init__(self, network: Network, rule: StepRule, seed: int, fault: str | None, reduction: str) -> None:
        self.network, self.rule, self.fault, self.reduction = network, rule, fault, reduction
        self.seed = 12345 if fault == "noise_same_in_runs" else seed
        self.source = self._source()
        self.made = 0
        self.velocity: list[Tensor] | None = None
        self.kept: list[Tensor] | None = None

    def __call__(self, vector: Tensor, inputs: Tensor, targets: Tensor) -> Tensor:
        rule, fault = self.rule, self.fault
        module = self.network.module(vector)
        tensors: list[Tensor] = [value for value in module.parameters() if value.requires_grad]
        step_size = float(rule.step_size) * (1.01 if fault == "wrong_step_size" else 1.0)  # type: ignore[arg-type]

        gradients = self._gradients(module, tensors, inputs, targets)
        penalty = 0.0 if fault == "no_penalty" else rule.penalty
        if fault == "penalty_in_clip":
            gradients = [g + penalty * x.detach() for g, x in zip(gradients, tensors, strict=True)]
            penalty = 0.0
        if rule.clip is not None and fault not in ("no_clip", "clip_per_example"):
            gradients = self._shortened(gradients, rule.clip, per_tensor=fault == "clip_per_tensor")
        if fault == "momentum":
            before = self.velocity or [torch.zeros_like(g) for g in gradients]
            gradients = [_MOMENTUM * v + g for v, g in zip(before, gradients, strict=True)]
            self.velocity = gradients
        with torch.no_grad():
            moved = [x - step_size * (g + penalty * x) for x, g in zip(tensors, gradients, strict=True)]
            noise = self._noise(moved)
            if fault == "noise_before_projection":
                moved = self._projected([x + n for x, n in zip(moved, noise, strict=True)])
            else:
                moved = [x + n for x, n in zip(self._projected(moved), noise, strict=True)]
        self.made += 1
        return torch.cat([x.reshape(-1) for x in moved])

    def _gradients(
        self, module: torch.nn.Module, tensors: list[Tensor], inputs: Tensor, targets: Tensor
    ) -> list[Tensor]:
        clip = self.rule.clip if self.fault == "clip_per_example" else self.rule.example_clip
        total = [torch.zeros_like(x) for x in tensors]
        for one_input, target in zip(inputs, targets, strict=True):
            loss = self.network.loss(module(one_input[None]), target[None]).sum()
            own = list(torch.autograd.grad(loss, tensors))
            if clip is not None and self.fault != "no_clip":
                own = self._shortened(own, clip, per_tensor=self.fault == "clip_per_tensor")
            total = [a + b for a, b in zip(total, own, strict=True)]
        averaged = (self.reduction == "mean") != (self.fault == "sum_for_mean")
        return [g / len(inputs) for g in total] if averaged else total

    def _shortened(self, parts: list[Tensor], radius: float, *, per_tensor: bool) -> list[Tensor]:
        if per_tensor:
            return [self._shortened([part], radius, per_tensor=False)[0] for part in parts]
        norm = sum(float((part.double() ** 2).sum()) for part in parts) ** 0.5
        return [part * (radius / norm) for part in parts] if norm > radius else parts

    def _projected(self, parts: list[Tensor]) -> list[Tensor]:
        if self.rule.radius is None:
            return parts
        if self.fault == "project_to_sphere":
            norm = sum(float((part.double() ** 2).sum()) for part in parts) ** 0.5
            return [part * (self.rule.radius / norm) for part in parts]
        return self._shortened(parts, self.rule.radius, per_tensor=self.fault == "project_per_tensor")

    def _noise(self, like: list[Tensor]) -> list[Tensor]:
        rule, fault = self.rule, self.fault
        std = float(rule.noise_std)  # type: ignore[arg-type]
        step_size = float(rule.step_size)  # type: ignore[arg-type]
        if fault == "noise_times_step_size":
            std *= step_size
        if fault == "noise_langevin":
            std *= (2 * step_size) ** 0.5
        if fault == "noise_variance":
            std **= 2
        if fault == "noise_reseeded" and self.made % _EPOCH == 0:
            self.source = self._source()
        if fault == "noise_reused" and self.kept is not None:
            return self.kept
        drawn = []
        for part in like:
            if fault == "noise_reseeded_per_tensor":
                self.source = self._source(self.made)
            source = None if fault == "noise_unseeded" else self.source
            noise = torch.empty_like(part)
            if fault == "noise_uniform":
                noise.uniform_(-(3**0.5), 3**0.5, generator=source)
            else:
                noise.normal_(generator=source)
            if fault == "noise_skips_bias" and part.ndim == 1:
                noise.zero_()
            drawn.append(std * noise)
        self.kept = drawn
        return drawn

    def _source(self, more: int = 0) -> torch.Generator:
        return torch.Generator(device=self.network.device).manual_seed(1_000_003 * self.seed + more)
