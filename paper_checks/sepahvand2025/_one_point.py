"""Learning with a point, unlearning without it: one-dimensional Gaussian laws, exact at every step."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from linear.gaussian_renyi import OrnsteinUhlenbeck, scalar_renyi

from ..court import Court
from ..families.gaussian_renyi import INFINITE
from ..verdict import Truth

Law = tuple[float, float]  # mean, variance


def renyi(first: Law, second: Law, order: float) -> float:
    """D_order between two Gaussians on the line."""
    return float(scalar_renyi(*first, *second, order=order))


def after_rounding(divergence: float, order: float) -> Truth:
    """A Gaussian divergence in float64: 1e-10 relative, and what the rounding of nearly equal variances leaves of it.

    A variance off by r moves a divergence D by about r sqrt(a D). Instances keep away from the infinity boundary.
    """
    if divergence == math.inf:
        return INFINITE
    error = 1e-10 * divergence + 1e-15 * math.sqrt(order * divergence) + 1e-30 * order
    lower = math.log(divergence - error) if divergence > error else -math.inf
    return Truth(lower, math.log(divergence + error))


@dataclass(frozen=True)
class Unlearning:
    """`with_point` and `without_point` are the learned laws; steps without the point pull by `contraction` towards N(0, 1).

    N(0, 1) is their stationary law, so every other law is in its units.
    """

    with_point: Law
    without_point: Law
    contraction: float
    steps: int
    order: float
    kind: str = "random"

    @property
    def stationary(self) -> Law:
        return (0.0, 1.0)

    @property
    def rate(self) -> float:
        """True decay rate per step at the stationary law's constant."""
        return -2 * math.log(self.contraction)

    @property
    def chain(self) -> OrnsteinUhlenbeck:
        c = self.contraction
        return OrnsteinUhlenbeck(contraction=c, noise_std=math.sqrt((1 - c) * (1 + c)))

    def loss(self, order: float) -> float:
        """P(x, order), here the exact D_order(with || without)."""
        return renyi(self.with_point, self.without_point, order)

    def away(self, order: float) -> float:
        """D_order(without || stationary)."""
        return renyi(self.without_point, self.stationary, order)

    def back(self, order: float) -> float:
        """D_order(stationary || without)."""
        return renyi(self.stationary, self.without_point, order)

    def unlearned(self, steps: int | None = None) -> Law:
        """The learned law after `steps` unlearning steps."""
        return self.chain.after(*self.with_point, self.steps if steps is None else steps)

    def __str__(self) -> str:
        with_point, without = (
            f"N({mean:.6g}, {variance:.6g})" for mean, variance in (self.with_point, self.without_point)
        )
        return f"with {with_point}, without {without}, c {self.contraction:.6g}, k={self.steps}, order {self.order:.6g}"


def trained(learn_steps: int, steps: int, *, order: float = 4.0) -> Unlearning:
    """Both laws learned from N(0, 1) with m = 0.2, eta = 0.5, sigma = 0.3; the point's gradient is 0.15 everywhere."""
    step_size, noise_std = 0.5, math.sqrt(2 * 0.5) * 0.3
    with_point = OrnsteinUhlenbeck(contraction=0.9, noise_std=noise_std)
    without = OrnsteinUhlenbeck(contraction=0.9, noise_std=noise_std, offset=step_size * 0.15)
    centre, spread = without.stationary()
    laws = [
        ((mean - centre) / math.sqrt(spread), variance / spread)
        for mean, variance in (chain.after(0.0, 1.0, learn_steps) for chain in (with_point, without))
    ]
    return Unlearning(laws[0], laws[1], 0.9, steps, order, f"trained for {learn_steps} steps")


def cases(court: Court, rng: np.random.Generator) -> Iterator[Unlearning]:
    """Attaining, narrow and far, short and long training, then random laws."""
    for order in (2.0, 4.0):
        yield on_a_line(order, 0)
    for order, contraction, steps in ((4.0, 0.99, 5), (4.0, 0.9, 5), (16.0, 0.9, 8), (8.0, 0.999, 300)):
        yield Unlearning((60.0, 0.01), (60.0, 0.01), contraction, steps, order, "narrow and far")
        yield Unlearning((60.0, 0.01), (0.0, 1.0), contraction, steps, order, "narrow and far")
        yield Unlearning((60.0, 0.01), (0.5, 1.01), contraction, steps, order, "narrow and far")
    for learn_steps in (5, 16, 30, 60):
        for steps in (0, 5, 40, 400):
            yield trained(learn_steps, steps)
    for _ in range(100 * court.effort):
        order = float(rng.choice([1.5, 2.0, 4.0, 1 + math.exp(rng.normal())]))
        contraction = float(rng.choice([0.99, 0.9, rng.uniform(0.3, 0.999)]))
        # Variances on which all divergences of the chain stay finite: within 1/(4a) of the one they are compared with.
        room = 1 + 0.9 / (4 * order) * float(rng.uniform(-1, 1))
        without = (float(rng.normal()), room)
        narrow = float(10 ** rng.uniform(-2, 0))
        with_point = (without[0] + float(rng.normal() * np.exp(rng.normal())), room * narrow)
        yield Unlearning(with_point, without, contraction, int(rng.integers(0, 60)), order)


def on_a_line(order: float, steps: int) -> Unlearning:
    """One variance, the law without the point where the weak triangle from the one with it to N(0, 1) is attained."""
    return Unlearning((3.0, 1.0), (3.0 * order / (2 * order - 1), 1.0), 0.9, steps, order, "on a line")
