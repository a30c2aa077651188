"""Writes gaussian_dp.json: Gaussian-DP numbers from the textbook formula with 60 digits to spare (mpmath).

delta = Phi(a) - e^epsilon Phi(a - mu) is evaluated as it stands, with as many digits as the cancellation eats; the
inversions bisect it; the Renyi divergence integrates p^order q^(1 - order).
"""

import json
from pathlib import Path

from mpmath import erfc, exp, inf, log, mp, mpf, pi, quad, sqrt

CURVE = [
    (1, 1), (30, 10_000), (1e-8, 0), (1e-8, 1e-8), (1e-8, 3e-7), (1e-6, 1e-6), (1e-3, 0.01), (0.1, 0.5), (0.5, 0.125),
    (1, 0), (1, 3), (1, 40), (2.5, 4), (3, 1e-12), (5, 0.1), (5, 12.5), (5, 80), (40, 700), (40, 900), (100, 5000),
    (1000, 500_000), (1000, 510_000), (0.03, 9), (0.2, 60), (1, -1), (0.01, -1e-3), (1e-8, -2), (4, -0.5), (0.1, -8),
    (1e-5, -1e-9), (20, -3),
]  # fmt: skip
BUDGETS = [
    (1, "1e-5"), (0, "1e-5"), (0, "0.3"), (0, "1e-300"), (1e-9, "1e-12"), (0.01, "1e-8"), (0.5, "1e-300"), (2, "0.25"),
    (8, "1e-6"), (100, "0.9"), (100, "0.9999999999"), (10_000, "1e-300"), (10_000, "0.5"), (-0.5, "0.4"), (-3, "0.96"),
]  # fmt: skip
COSTS = [
    (1, "1e-5"), (1, "0.38"), (1e-8, "1e-9"), (1e-8, "1e-300"), (1e-3, "1e-12"), (0.3, "1e-100"), (4, "0.9"),
    (30, "0.999999"), (30, "1e-20"), (1000, "0.5"), (1000, "1e-300"),
]  # fmt: skip
TRADEOFFS = [(1, 0.05), (0.01, 1e-300), (3, 0.9999), (60, 1e-200), (1e-8, 0.5), (7, 0.3)]
ORDERS = [(1, 2), (0.3, 1.5), (2.5, 8)]


def cdf(x):
    return erfc(-x / sqrt(2)) / 2


def delta(mu, epsilon):
    a = mu / 2 - epsilon / mu
    return cdf(a) - exp(epsilon) * cdf(a - mu)


def root(function, low, high):
    """Bisection of an increasing function to 40 digits."""
    while high - low > mpf(10) ** -40 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if function(middle) > 0 else (middle, high)
    return low


def digits(value):
    return mp.nstr(value, 30)


def renyi(mu, order):
    def density(x, mean):
        return exp(-((x - mean) ** 2) / 2) / sqrt(2 * pi)

    def integrand(x):
        return density(x, mu) ** order * density(x, 0) ** (1 - order)

    return log(quad(integrand, [-inf, 0, order * mu, inf])) / (order - 1)


def main():
    mp.dps = 400
    table = {
        "curve": [[mu, e, digits(log(delta(mpf(mu), mpf(e))))] for mu, e in CURVE],
        "mu": [
            [e, d, digits(root(lambda m, e=e, d=d: delta(m, mpf(e)) - mpf(float(d)), mpf(10) ** -305, mpf(1000)))]
            for e, d in BUDGETS
        ],
        "epsilon": [
            [mu, d, digits(root(lambda e, mu=mu, d=d: mpf(float(d)) - delta(mpf(mu), e), mpf(0), mpf(10**6)))]
            for mu, d in COSTS
        ],
    }
    table["tradeoff"] = []
    for mu, alpha in TRADEOFFS:
        shifted = root(lambda x, alpha=alpha: cdf(x - 60) - mpf(alpha), mpf(0), mpf(120))
        table["tradeoff"].append([mu, alpha, digits(cdf(60 - shifted - mpf(mu)))])
    mp.dps = 40
    table["renyi"] = [[mu, order, digits(renyi(mpf(mu), mpf(order)))] for mu, order in ORDERS]
    path = Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
