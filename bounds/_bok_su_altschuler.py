"""Closed forms of Bok, Su, Altschuler, *Shifted Interpolation for Differential Privacy*.

Full or mini-batch gradient descent with Gaussian noise of standard deviation ``noise`` added to the averaged gradient,
so that a step moves by step_size * noise, and one changed record moves it by step_size * lipschitz / size. Each is an
instance of the optimal shifts (`bounds.interpolation.optimal_shifts`, against which the tests check it), rounded up.
"""

import math
from fractions import Fraction

import numpy as np

from bounds._checks import count, number

# Every formula has nonnegative terms only and fewer than fifty roundings of 2^-53 (4u for log, expm1, exp and pow).
_UP = 1.0 + 2.0**-46


def strongly_convex(*, contraction: float, steps: int, lipschitz: float, size: int, noise: float) -> float:
    """mu of noisy gradient descent on strongly convex losses.

    sqrt((1 - c^t) / (1 + c^t) * (1 + c) / (1 - c)) L / (n sigma); its limit sqrt(t) L / (n sigma) at c = 1.

    Parameters
    ----------
    contraction : c in [0, 1], of one gradient step.
    steps : t >= 1.
    lipschitz, size, noise : L > 0 of one record's loss (its gradients differ by at most L), n >= 1, sigma > 0.
    """
    c = number("contraction", contraction, "[0, 1]")
    t = count("steps", steps, least=1)
    return _scaled(math.sqrt(_every_step(c, t)), lipschitz, "size", size, noise)


def cyclic_batches(
    *, contraction: float, batches: int, epochs: int, lipschitz: float, batch_size: int, noise: float
) -> float:
    """mu of noisy gradient descent that cycles through disjoint batches in a fixed order, strongly convex losses.

    sqrt(1 + c^(2l-2) (1 - c^2) / (1 - c^l)^2 * (1 - c^(l(E-1))) / (1 + c^(l(E-1)))) L / (b sigma): the batch with the
    changed record comes last in every epoch, its worst place. For a single batch, l = 1, where this formula is valid
    but not the best, the result is that of `strongly_convex` (derived here).

    Parameters
    ----------
    contraction : c in [0, 1], of one gradient step.
    batches, epochs : l >= 1 and E >= 1; l E steps in all.
    lipschitz, batch_size, noise : L > 0, b >= 1, sigma > 0 (of the gradient averaged over the batch).
    """
    c = number("contraction", contraction, "[0, 1]")
    length, epochs = count("batches", batches, least=1), count("epochs", epochs, least=1)
    if length == 1:
        total = _every_step(c, epochs)
    elif c == 1.0:
        total = 1.0 + (epochs - 1) / length
    else:
        spread = c ** (2 * length - 2) * (1.0 - c) * (1.0 + c) / _fall(c, length) ** 2
        total = 1.0 + spread * _tanh(c, length * (epochs - 1))
    return _scaled(math.sqrt(total), lipschitz, "batch_size", batch_size, noise)


def constrained(*, step_size: float, diameter: float, lipschitz: float, size: int, noise: float, steps: int) -> float:
    """mu of projected noisy gradient descent on convex losses over a set of bounded diameter, for any number of steps.

    sqrt(3 L D / (eta n) + (L / n)^2 ceil(D n / (eta L))) / sigma once steps >= D n / (eta L), and never more than
    sqrt(steps) L / (n sigma).

    Parameters
    ----------
    step_size, diameter, lipschitz, noise : eta, D, L, sigma > 0, with eta at most 2 / smoothness (not checked).
    size, steps : n >= 1, t >= 1.
    """
    eta, width = number("step_size", step_size, "(0, inf)"), number("diameter", diameter, "(0, inf)")
    slope = number("lipschitz", lipschitz, "(0, inf)")
    n, t = count("size", size, least=1), count("steps", steps, least=1)
    # In units of (L / n)^2; exact, because rounding could move the ceiling by 1.
    crossing = Fraction(width) * n / (Fraction(eta) * Fraction(slope))
    total = min(3 * crossing + math.ceil(crossing), Fraction(t))
    return _scaled(math.sqrt(total), lipschitz, "size", size, noise)


def exponential_mechanism(*, inverse_temperature: float, strong_convexity: float, lipschitz: float) -> float:
    """mu between the densities proportional to exp(-beta f) and exp(-beta f'): G sqrt(beta / m).

    Parameters
    ----------
    inverse_temperature, strong_convexity, lipschitz : beta > 0, m > 0 of f and f', and G >= 0 of f - f'.
    """
    beta = number("inverse_temperature", inverse_temperature, "(0, inf)")
    m = number("strong_convexity", strong_convexity, "(0, inf)")
    return number("lipschitz", lipschitz, "[0, inf)") * (math.sqrt(beta) / math.sqrt(m)) * _UP


def _every_step(c: float, steps: int) -> float:
    """(1 - c^t) / (1 + c^t) * (1 + c) / (1 - c) for t steps."""
    return float(steps) if c == 1.0 else _tanh(c, steps) * (1.0 + c) / (1.0 - c)


def _fall(c: float, steps: int) -> float:
    """1 - c^steps for c < 1."""
    return -math.expm1(steps * math.log(c)) if c and steps else float(steps > 0)


def _tanh(c: float, steps: int) -> float:
    """(1 - c^steps) / (1 + c^steps) for c < 1."""
    return _fall(c, steps) / (1.0 + c**steps)


def _scaled(root: float, lipschitz: float, size_name: str, size: int, noise: float) -> float:
    ratio = number("lipschitz", lipschitz, "(0, inf)") / number("noise", noise, "(0, inf)")
    return float(np.nextafter(root * ratio / count(size_name, size, least=1) * _UP, np.inf))
