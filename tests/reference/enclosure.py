"""Hockey-sticks of diagonal Gaussians in two and three dimensions, by nested quadrature. Writes enclosure.json.

H_t(P || Q) = E[delta(log t - l_1(x_1) - ... )] over x_1, ... ~ P_1, ..., where l_j = log dP_j/dQ_j and delta(s) is the
closed form of the last coordinate alone at log t = s. No cumulant, no contour, no eigenvalues. Each layer of quadrature
is split where delta, or the layer inside, is not smooth: where the largest or smallest log-ratio is just reached.

    python tests/reference/enclosure.py      (about five minutes)
"""

import json
from pathlib import Path

from mpmath import mp, mpf

mp.dps = 24

# Dyadic numbers, exact in doubles. Coordinates (m, g): P = N(m, g), Q = N(0, 1).
CASES = [
    {"mean": [0.5, 0.25], "variance": [0.5, 0.75], "epsilon": 0.375},
    {"mean": [0.25, 1.5], "variance": [2.0, 0.25], "epsilon": 3.0},
    {"mean": [2.0, 0.5], "variance": [1.0, 1.5], "epsilon": -1.0},
    {"mean": [0.5, 0.25, 0.375], "variance": [1.5, 0.75, 1.125], "epsilon": 1.0},
    {"mean": [0.5, 0.25, 0.375], "variance": [0.75, 0.75, 0.75], "epsilon": 0.25},
]


def log_ratio(mean, variance, x):
    return -((x - mean) ** 2) / (2 * variance) + x**2 / 2 - mp.log(variance) / 2


def extreme(mean, variance):
    """The largest (variance < 1) or smallest (variance > 1) log-ratio; None if there is neither."""
    return None if variance == 1 else log_ratio(mean, variance, mean / (1 - variance))


def level(mean, variance, s):
    """Where the log-ratio equals s."""
    if variance == 1:
        return [(s + mean**2 / 2) / mean]
    centre = mean / (1 - variance)
    curvature = (1 - 1 / variance) / 2
    square = (s - extreme(mean, variance)) / curvature
    return [centre - mp.sqrt(square), centre + mp.sqrt(square)] if square > 0 else []


def single(mean, variance, s):
    """H_{e^s} in one dimension."""
    roots = level(mean, variance, s)
    t = mp.exp(s)
    width = mp.sqrt(variance)

    def above(x):
        return mp.ncdf((mean - x) / width) - t * mp.ncdf(-x)

    def below(x):
        return mp.ncdf((x - mean) / width) - t * mp.ncdf(x)

    if variance == 1:
        return above(roots[0]) if mean > 0 else below(roots[0])
    if variance > 1:
        return below(roots[0]) + above(roots[1]) if roots else 1 - t
    return above(roots[0]) - above(roots[1]) if roots else mpf(0)


def hockey_stick(coordinates, s):
    (mean, variance), rest = coordinates[0], coordinates[1:]
    if not rest:
        return single(mean, variance, s)
    reach = 11 * mp.sqrt(variance)
    ends = {mean - reach, mean + reach, mean}
    extremes = [extreme(*pair) for pair in rest]
    if None not in extremes:
        ends.update(x for x in level(mean, variance, s - sum(extremes)) if abs(x - mean) < reach)

    def integrand(x):
        density = mp.exp(-((x - mean) ** 2) / (2 * variance)) / mp.sqrt(2 * mp.pi * variance)
        return density * hockey_stick(rest, s - log_ratio(mean, variance, x))

    return mp.quad(integrand, sorted(ends))


def swapped(coordinates):
    """Q against P, as the same kind of pair: x -> (m - x) / sqrt(g)."""
    return [(m / mp.sqrt(g), 1 / g) for m, g in coordinates]


def main():
    values = []
    for case in CASES:
        coordinates = [(mpf(m), mpf(g)) for m, g in zip(case["mean"], case["variance"], strict=True)]
        epsilon = mpf(case["epsilon"])
        logs = {
            "forward": mp.nstr(mp.log(hockey_stick(coordinates, epsilon)), 19),
            "reverse": mp.nstr(mp.log(hockey_stick(swapped(coordinates), epsilon)), 19),
        }
        values.append({**case, **logs})
        print(values[-1], flush=True)
    Path(__file__).with_suffix(".json").write_text(json.dumps(values, indent=1) + "\n")


if __name__ == "__main__":
    main()
