"""Instances of clipped fine-tuning handed to the theory modules, and the settings of the released configurations."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import linear
from bounds import clipping
from linear.solvable_chains import linear_loss

from ..families.clipped_chain import ClippedChain
from ..verdict import Truth


def setting(case: ClippedChain) -> dict[str, Any]:
    """The keywords that `bounds.clipping` calls radius, clip, step_size, penalty and steps."""
    return {
        "radius": case.radius,
        "clip": case.clip,
        "step_size": case.step_size,
        "penalty": case.penalty,
        "steps": case.steps,
    }


def noise(case: ClippedChain, *, mu: float, certifier: clipping.Certifier = "pair") -> float:
    """The noise at which the chain is promised `mu`."""
    return float(clipping.gradient_clipping_noise_for_mu(mu=mu, **setting(case), certifier=certifier))


def gaussian_truth(mu: float, epsilon: float) -> Truth:
    """log E_epsilon of N(mu, 1) from N(0, 1), exact; 1e-9, or 1e-12 relative in deep tails."""
    value = float(linear.GaussianPair([mu], [[1.0]], [0.0], [[1.0]]).log_hockey_stick(epsilon))
    return Truth.of_log(value, max(1e-10, 1e-12 * abs(value)))


def against_noise_only(case: ClippedChain) -> Truth:
    """A linear loss against the data-free chain, the worst case of that certifier: a Gaussian pair, exact."""
    mu = linear_loss(
        radius=case.radius,
        shift=case.shift,
        factor=case.factor,
        steps=case.steps,
        noise_std=case.noise_std,
        against="noise",
    )
    return gaussian_truth(mu, case.epsilon)


@dataclass(frozen=True)
class Released:
    """One setting of the released configurations of gradient clipping."""

    name: str
    step_size: float
    penalty: float
    radius: float
    clip: float

    @property
    def steps(self) -> int:
        """As the released code counts: up to radius / (step_size clip), or until the penalty has halved the start."""
        plain = math.ceil(self.radius / (self.step_size * self.clip) * (1 - 1e-12))
        decayed = math.ceil(
            math.log(2 * self.penalty * self.radius / self.clip) / (self.step_size * self.penalty) * (1 - 1e-12)
        )
        return min(plain, decayed) if decayed > 0 else plain

    def chain(self, noise_std: float = 1.0, epsilon: float = 1.0, steps: int | None = None) -> ClippedChain:
        return ClippedChain(
            self.radius,
            self.clip,
            self.step_size,
            self.penalty,
            self.steps if steps is None else steps,
            noise_std,
            epsilon,
            self.name,
        )


RELEASED = (
    Released("CIFAR, small ball", 1e-4, 50.0, 0.1, 100.0),
    Released("CIFAR, sweep over epsilon", 1e-3, 500.0, 1.0, 100.0),
    Released("CIFAR, large ball", 1e-2, 50.0, 20.0, 10.0),
    Released("MNIST, strong penalty", 1e-4, 750.0, 0.01, 10.0),
    Released("MNIST, one step", 1e-4, 10.0, 0.01, 100.0),
)
