"""When a chain steps, how far, and with how much noise."""

from __future__ import annotations

import math
from dataclasses import InitVar, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from linear import _checks

CONVENTIONS = ("injected", "langevin", "gradient")


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """A learning phase followed by an unlearning phase of noisy gradient steps.

    Step k is W -> W - step_size * gradient + noise; the gradient is that of the sum (not the mean) of the losses.

    Parameters
    ----------
    step_size : positive.
    learn_steps, unlearn_steps : phase lengths, not both zero.
    learn_noise, unlearn_noise : noise level of each phase, read according to `convention`.
    convention : what the two noises mean. "injected": the standard deviation added to every parameter;
        "langevin": sqrt(2 * step_size) * value is added; "gradient": the noise sits inside the gradient, so that
        step_size * value is added.

    The attributes always hold the *injected* standard deviations, so `dataclasses.replace` never converts twice:
    what it is given is read as injected unless it is given a `convention` of its own, and then it needs both noises.
    """

    step_size: float
    learn_steps: int
    unlearn_steps: int
    learn_noise: float
    unlearn_noise: float
    convention: InitVar[str] = "injected"

    def __post_init__(self, convention: str) -> None:
        step_size = _checks.positive("step_size", self.step_size)
        scale = {"injected": 1.0, "langevin": math.sqrt(2.0 * step_size), "gradient": step_size}[
            _checks.one_of("convention", convention, CONVENTIONS)
        ]
        learn_steps = _checks.integer("learn_steps", self.learn_steps, minimum=0)
        unlearn_steps = _checks.integer("unlearn_steps", self.unlearn_steps, minimum=0)
        if learn_steps == unlearn_steps == 0:
            raise ValueError("learn_steps = unlearn_steps = 0: at least one step is needed")
        values = {
            "step_size": step_size,
            "learn_steps": learn_steps,
            "unlearn_steps": unlearn_steps,
            "learn_noise": scale * _checks.nonnegative("learn_noise", self.learn_noise),
            "unlearn_noise": scale * _checks.nonnegative("unlearn_noise", self.unlearn_noise),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @property
    def horizon(self) -> int:
        """Number of steps of both phases together."""
        return self.learn_steps + self.unlearn_steps

    @property
    def noise_std(self) -> NDArray[np.float64]:
        """Injected standard deviation of every step, (horizon,)."""
        return np.repeat([self.learn_noise, self.unlearn_noise], [self.learn_steps, self.unlearn_steps])

    def with_unlearn_noise(self, unlearn_noise: float) -> Schedule:
        """The same schedule with another injected unlearning noise."""
        return replace(self, unlearn_noise=unlearn_noise)
