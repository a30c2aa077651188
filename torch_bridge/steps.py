"""One noisy step, in the order in which the theorems need it.

    x <- P( x - step_size * (C(gradient) + penalty * x) ) + noise_std * normal

C clips the *batch* gradient to norm `clip`, P projects the whole model on the ball of `radius`; either may be absent.
Norms are over all tensors together. The penalty is outside the clip, the noise comes last, on the parameters and not
multiplied by the step size. With `example_clip`, every example's gradient is clipped before they are summed, and noise
on that sum (DP-SGD) is converted by whoever makes the rule: step_size * multiplier * example_clip * weight.

Gradient and model clipping: Koloskova et al., *Certified Unlearning for Neural Networks* (2025), from its released code.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bounds._checks import array, count, number

Levels = float | Sequence[float]


@dataclass(frozen=True, kw_only=True)
class StepRule:
    """The numbers of one step; `step_size` and `noise_std` may be one per step of a phase.

    Parameters
    ----------
    step_size : >= 0.
    penalty : L2 coefficient, >= 0, outside the clip.
    noise_std : standard deviation of what is added to every parameter, >= 0.
    clip : largest norm of the batch gradient; None leaves it alone.
    example_clip : largest norm of an example's gradient; None leaves them alone.
    radius : of the ball on which the model is projected, before the noise; None for no projection.
    """

    step_size: Levels
    penalty: float = 0.0
    noise_std: Levels = 0.0
    clip: float | None = None
    example_clip: float | None = None
    radius: float | None = None

    def __post_init__(self) -> None:
        for name in ("step_size", "noise_std"):
            values = array(name, getattr(self, name), "[0, inf)")
            if values.ndim > 1:
                raise ValueError(f"{name} has shape {values.shape}: must be a number or one per step")
            object.__setattr__(self, name, float(values) if values.ndim == 0 else tuple(values.tolist()))
        object.__setattr__(self, "penalty", number("penalty", self.penalty, "[0, inf)"))
        for name in ("clip", "example_clip", "radius"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, number(name, getattr(self, name), "(0, inf)"))

    @classmethod
    def langevin(cls, *, step_size: float, temperature: float, penalty: float = 0.0) -> StepRule:
        """The step of Langevin dynamics: what is added has standard deviation sqrt(2 step_size) * temperature."""
        noise = math.sqrt(2 * number("step_size", step_size, "(0, inf)")) * number(
            "temperature", temperature, "[0, inf)"
        )
        return cls(step_size=step_size, penalty=penalty, noise_std=noise)

    def check_steps(self, steps: int) -> None:
        """Refuses a schedule whose length is not the number of steps."""
        for name in ("step_size", "noise_std"):
            values = getattr(self, name)
            if isinstance(values, tuple) and len(values) != steps:
                raise ValueError(f"{name} has {len(values)} values: must be a number or one per step, {steps}")

    def noisy(self, step: int) -> bool:
        """Whether step number `step` adds noise."""
        return _at(self.noise_std, step) > 0

    def move(self, vectors: Tensor, gradients: Tensor, step: int = 0) -> Tensor:
        """The step without its noise: vectors and (already weighted) batch gradients, both (R, d)."""
        if self.clip is not None:
            gradients = project(gradients, self.clip)
        moved = vectors - _at(self.step_size, step) * (gradients + self.penalty * vectors)
        return moved if self.radius is None else project(moved, self.radius)

    def add_noise(self, vectors: Tensor, normal: Tensor, step: int = 0) -> Tensor:
        """The moved vectors with fresh noise; `normal` is standard normal."""
        return vectors + _at(self.noise_std, step) * normal


def project(vectors: Tensor, radius: float) -> Tensor:
    """Every row (R, d) scaled back to norm `radius` where it is longer; never longer than that after rounding."""
    norms = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True, dtype=torch.float64)
    # A rounding of the factor and one of each product: 4 roundings towards the inside are enough.
    factors = torch.where(norms > radius, radius / norms * (1 - 4 * torch.finfo(vectors.dtype).eps), 1.0)
    return vectors * factors.to(vectors.dtype)


def one_cycle(steps: int, peak: float, *, warm_up: float = 0.25) -> tuple[float, ...]:
    """Step sizes that rise linearly to `peak` over the share `warm_up` of the steps, then fall, to 0 after the last."""
    peak, warm_up = number("peak", peak, "(0, inf)"), number("warm_up", warm_up, "[0, 1]")
    rising = min(max(1, round(warm_up * count("steps", steps))), steps)
    falling = steps - rising
    up = (peak * (t + 1) / rising for t in range(rising))
    return (*up, *(peak * (falling - t) / (falling + 1) for t in range(falling)))


def _at(levels: Levels, step: int) -> float:
    return levels if isinstance(levels, float) else float(levels[step])  # type: ignore[index]
