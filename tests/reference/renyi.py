"""Writes renyi.json: Rényi divergences by direct quadrature of p^a q^(1-a), with none of the closed forms under test.

Run from the repository root: python tests/reference/renyi.py
"""

import itertools
import json
from pathlib import Path

import mpmath as mp
import numpy as np

mp.mp.dps = 30

SAMPLED_STEPS = [  # order, noise_std, rate, gradient_norm
    (2, 1.0, 0.1, 1.0),
    (8, 1.0, 0.01, 0.5),
    (5, 0.8, 0.3, 1.1),
    (2.5, 1.0, 0.1, 1.0),
    (7.3, 1.3, 0.02, 0.9),
    (1.4, 0.7, 0.25, 0.6),
]
MEAN_STEP = {"gradients": [-0.6, 0.1, 0.5], "point": 0.9, "rate": 0.4, "noise_std": 0.7, "order": 3}
BENT_PATHS = [(2, 2), (3, 3), (4, 4)]  # steps, order: drift 0.8 y, gap 0.6 / (1 + e^(-2y)), unit noise, start 0


def density(y, mean, std):
    return mp.exp(-(((y - mean) / std) ** 2) / 2) / (std * mp.sqrt(2 * mp.pi))


def divergence(p, q, order, low, high):
    nodes = mp.linspace(low, high, 41)
    return float(mp.log(mp.quad(lambda y: p(y) ** order * q(y) ** (1 - order), nodes)) / (order - 1))


def sampled_step(order, std, rate, norm):
    order, std, rate, norm = map(mp.mpf, (order, std, rate, norm))

    def without(y):
        return density(y, 0, std)

    def with_point(y):
        return (1 - rate) * density(y, 0, std) + rate * density(y, norm, std)

    # The tilted density sits near order * norm at the furthest.
    low, high = -12 * std - (order + 1) * norm, 12 * std + (order + 1) * norm
    return {
        "arguments": [float(v) for v in (order, std, rate, norm)],
        "forward": divergence(with_point, without, order, low, high),
        "reverse": divergence(without, with_point, order, low, high),
    }


def batch_means(gradients, rate):
    law = []
    for chosen in itertools.product([False, True], repeat=len(gradients)):
        batch = [g for g, taken in zip(gradients, chosen, strict=True) if taken]
        law.append((float(np.mean(batch)) if batch else 0.0, float(np.prod(np.where(chosen, rate, 1 - rate)))))
    return law


def mean_step(gradients, point, rate, noise_std, order):
    laws = batch_means([*gradients, point], rate), batch_means(gradients, rate)

    def mixture(law):
        return lambda y: mp.fsum(weight * density(y, mean, noise_std) for mean, weight in law)

    p, q = map(mixture, laws)
    return {"forward": divergence(p, q, order, -9, 9), "reverse": divergence(q, p, order, -9, 9)}


def bent_path(steps, order):
    """The product of raw kernels p^a q^(1-a) on one wide grid, in doubles."""
    grid, spacing = np.linspace(-14.0, 40.0, 2701, retstep=True)

    def log_kernel(source):
        source = np.atleast_1d(source)[:, None]
        mean = 0.8 * source
        gap = 0.6 / (1 + np.exp(-2 * source))
        log_q, log_p = -((grid - mean) ** 2) / 2, -((grid - mean - gap) ** 2) / 2
        return order * log_p + (1 - order) * log_q - np.log(2 * np.pi) / 2

    log_weight = log_kernel(0.0)[0]
    for _ in range(steps - 1):
        top = (log_weight[:, None] + log_kernel(grid)).max(axis=0)
        log_weight = top + np.log(np.exp(log_weight[:, None] + log_kernel(grid) - top).sum(axis=0) * spacing)
    top = log_weight.max()
    return float((top + np.log(np.exp(log_weight - top).sum() * spacing)) / (order - 1))


if __name__ == "__main__":
    answers = {
        "sampled_steps": [sampled_step(*case) for case in SAMPLED_STEPS],
        "mean_step": MEAN_STEP | mean_step(**MEAN_STEP),
        "bent_paths": [{"steps": n, "order": a, "value": bent_path(n, a)} for n, a in BENT_PATHS],
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(answers, indent=1) + "\n")
