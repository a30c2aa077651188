"""Reference values for the one-dimensional clipped chain: `python tests/reference/scalar_chain.py` writes the JSON.

An independent route, in 30 digits: after two steps both densities are closed forms (a normal density times a normal
cdf, one term for each side of the threshold), so two steps take one integral, and three steps one nested integral.
"""

import json
from pathlib import Path

import mpmath as mp

CASES = [
    {"radius": 1.0, "shift": 0.3, "factor": 0.9, "noise_std": [1.0, 1.0], "epsilon": 1.0},
    {"radius": 1.0, "shift": 0.3, "factor": 0.9, "noise_std": [1.0, 1.0], "epsilon": 0.0},
    {"radius": 0.5, "shift": 1.0, "factor": 0.5, "noise_std": [1.0, 0.4], "epsilon": -1.5},
    {"radius": 1.0, "shift": 0.1, "factor": 1.0, "noise_std": [8.0, 8.0], "epsilon": 2.0},
    {"radius": 3.0, "shift": 0.5, "factor": 0.25, "noise_std": [0.125, 1.0], "epsilon": 4.0},
    {"radius": 1.0, "shift": 0.3, "factor": 0.9, "noise_std": [1.0, 1.0, 1.0], "epsilon": 1.0},
    {"radius": 0.25, "shift": 1.0, "factor": 0.75, "noise_std": [0.8, 0.8, 0.8], "epsilon": 0.5},
    {"radius": 1.0, "shift": 0.2, "factor": 1.0, "noise_std": [6.0, 5.0, 4.0], "epsilon": 2.0},
    {"radius": 1.0, "shift": 0.4, "factor": 0.8, "noise_std": [0.5, 1.0, 2.0], "epsilon": -0.7},
]


def normal(x, mean, variance):
    return mp.exp(-((x - mean) ** 2) / (2 * variance)) / mp.sqrt(2 * mp.pi * variance)


def after_two(y, mean, theta, shift, factor, first, second):
    """Density after a step from `mean` with noise `first`, the drift that jumps at theta, and noise `second`."""
    total = 0
    for side in (-1, 1):
        precision = 1 / first**2 + factor**2 / second**2
        centre = (mean / first**2 + factor * (y - side * shift) / second**2) / precision
        inside = mp.ncdf(side * (centre - theta) * mp.sqrt(precision))
        total += normal(y, factor * mean + side * shift, factor**2 * first**2 + second**2) * inside
    return total


def value(radius, shift, factor, noise_std, epsilon):
    radius, shift, factor, epsilon = (mp.mpf(v) for v in (radius, shift, factor, epsilon))
    noise = [mp.mpf(v) for v in noise_std]
    weight = mp.exp(epsilon)
    mean = factor * radius + shift
    theta = epsilon * noise[0] ** 2 / (2 * mean)

    def p(y):
        return after_two(y, mean, theta, shift, factor, noise[0], noise[1])

    def q(y):
        return after_two(y, -mean, theta, shift, factor, noise[0], noise[1])

    def root(log_ratio, scale):
        low, high = -scale, scale
        while log_ratio(low) > epsilon:
            low *= 2
        while log_ratio(high) < epsilon:
            high *= 2
        return mp.findroot(lambda y: log_ratio(y) - epsilon, (low, high), solver="anderson", tol=1e-28, verify=False)

    std = mp.sqrt(factor**2 * noise[0] ** 2 + noise[1] ** 2)
    middle = root(lambda y: mp.log(p(y) / q(y)), 4 * std)
    if len(noise) == 2:
        return mp.quad(lambda y: p(y) - weight * q(y), [middle + k * std for k in (0, 1, 2, 4, 8, 16, 32)])

    def step(y):
        return factor * y + (shift if y > middle else -shift)

    pieces = sorted({*(middle + k * std for k in range(-24, 25, 4)), *(k * std for k in range(-24, 25, 4))})

    def log_ratio(z):
        three = [mp.quad(lambda y, d=d: d(y) * normal(z, step(y), noise[2] ** 2), pieces) for d in (p, q)]
        return mp.log(three[0] / three[1])

    with mp.workdps(18):  # the value is stationary here
        last = root(log_ratio, 4 * mp.sqrt(factor**2 * std**2 + noise[2] ** 2))
    return mp.quad(lambda y: (p(y) - weight * q(y)) * mp.ncdf((step(y) - last) / noise[2]), pieces)


def main():
    mp.mp.dps = 30
    rows = [case | {"log_delta": mp.nstr(mp.log(value(**case)), 20)} for case in CASES]
    Path(__file__).with_suffix(".json").write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
