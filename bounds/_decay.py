"""Sums of powers of 1 - step_size * penalty, and the least number of steps that is enough."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple

from bounds._checks import count, number
from bounds._outward import up


class Decay(NamedTuple):
    """Powers of rho = 1 - step_size penalty over some steps, from the exact product of the two doubles."""

    product: float  # step_size * penalty
    exponent: float  # -log rho >= 0
    steps: int

    @property
    def last(self) -> float:
        """rho^steps, rounded up.

        The exponent is within 5 * 2^-53 of the truth, relatively; where the power underflows TINY covers it.
        """
        power = math.exp(-self.exponent * self.steps)
        return float(up(power, 4 + 5 * min(self.exponent * self.steps, 800.0)))

    @property
    def sum(self) -> float:
        """1 + rho + ... + rho^(steps-1); a relative error in the exponent is never amplified here."""
        return self.steps if self.product == 0 else -math.expm1(-self.exponent * self.steps) / self.product

    @property
    def square_sum(self) -> float:
        """1 + rho^2 + ... + rho^(2 steps - 2)."""
        if self.product == 0:
            return self.steps
        return -math.expm1(-2 * self.exponent * self.steps) / (self.product * (2 - self.product))


def decay(step_size: float, penalty: float, steps: int) -> Decay:
    """Validate the three and prepare the powers of 1 - step_size penalty."""
    exact = Fraction(number("step_size", step_size, "(0, inf)")) * Fraction(number("penalty", penalty, "[0, inf)"))
    if exact >= 1:
        raise ValueError(
            f"step_size * penalty = {step_size!r} * {penalty!r} = {step_size * penalty!r}: must be below 1"
        )
    steps = count("steps", steps, least=1)
    product = float(exact)
    if product < 1e-290:  # all sums then equal those of rho = 1 to any precision
        return Decay(0.0, 0.0, steps)
    return Decay(product, -math.log1p(-product) if product < 0.5 else -math.log(float(1 - exact)), steps)


def least_steps(enough: Callable[[int], bool], most: int) -> int | None:
    """The least number in 1..most for which a condition holds that stays true once it is; None if there is none."""
    high = 1
    while not enough(high):
        if high >= most:
            return None
        high = min(2 * high, most)
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
