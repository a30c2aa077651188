"""Writes gaussian_pair.json: log hockey-sticks of Gaussian pairs by other formulas than the library's (mpmath).

line       one dimension, by the roots of the quadratic log-likelihood ratio and erfc (with digits to burn)
plane      a direction of equal variances beside one of unequal ones: quadrature over the second of the first's formula
ball       one variance ratio in every direction and column: the ratio is a function of a distance, so two noncentral
           chi-square laws, summed as Poisson mixtures of incomplete gamma functions
many       many different directions: characteristic function on a straight line (never bent), trapezoid rule in mpmath
matrix     full covariances: mpmath whitens what the doubles in the file say, then as `many`

The ratio L = log dP/dQ of whitened laws: shift d and variance ratio g = 1 + excess per direction, `columns` copies.
"""

import json
from pathlib import Path

import numpy as np
from mpmath import (
    cholesky,
    eigsy,
    erfc,
    exp,
    eye,
    gammainc,
    inf,
    log,
    matrix,
    mp,
    mpc,
    mpf,
    pi,
    quad,
    sqrt,
)  # fmt: skip

LINES = [
    *((d, x, e) for d in (0.0, 0.5, 3.0) for x in (0.5, -0.5, 1e6 - 1, 1e-6 - 1) for e in (-5.0, -0.25, 0.0, 0.3, 2.0)),
    *((d, x, e) for d in (0.0, 1e-12, 1e-11) for x in (1e-12, -1e-12, 3e-12) for e in (0.0, 1e-12, -1e-12, 2e-11)),
    *((d, x, e) for d in (1e-3, 1e-6) for x in (1e-9, -1e-9, 1e-4) for e in (0.0, 1e-6, 1e-3)),
    *((d, x, e) for d in (0.0, 2.0, 30.0) for x in (0.05, 4.0, 1e6 - 1) for e in (10.0, 500.0, 1e4)),
    *((d, x, e) for d in (2.0, 30.0) for x in (-1e-3, -0.02) for e in (10.0, 500.0)),
    *((d, 0.0, e) for d in (1e-9, 1e-3, 1.0, 30.0) for e in (0.0, 1e-9, 2e-3, 1.0, 1e4, -1e-3, -4.0)),
]  # fmt: skip
STEP = mpf(1) / 12
PLANES = [(1.0, 0.5, 1.25, 1.0), (0.25, 0.0, -0.75, 0.5), (2.0, 3.0, 0.125, 12.0), (0.5, 1.0, 2.0, -0.5)]
BALLS = [
    (800, 20, 4.0, 0.0625, 20.0), (800, 20, 4.0, 0.0625, 60.0), (800, 20, 1.0, -0.03125, 5.0), (12, 3, 2.0, 0.75, 30.0),
    (1, 20, 0.5, -0.5, 1.0), (40, 2, 0.0, 1e-6, 0.0), (40, 2, 0.0, -1e-6, 2e-5), (7, 1, 9.0, 3.0, 400.0),
]  # fmt: skip


def upper(x):
    return erfc(x / sqrt(mpf(2))) / 2


def mass(low, high, mean, std):
    """Of an interval under a normal law, without cancellation in either tail."""
    a, b = (low - mean) / std, (high - mean) / std
    return upper(a) - upper(b) if a > 0 else upper(-b) - upper(-a)


def one_dimension(d, excess, epsilon):
    """H and the region {L > epsilon}, as intervals."""
    d, x, epsilon = mpf(d), mpf(excess), mpf(epsilon)
    g = 1 + x
    # L = -log(g)/2 + y^2/2 - (y - d)^2/(2 g) > epsilon, times 2 g:  x y^2 + 2 d y - d^2 - g log g - 2 g epsilon > 0
    constant = -d * d - g * log(g) - 2 * g * epsilon
    if x == 0:
        if d == 0:
            return max(mpf(0), 1 - exp(epsilon))
        region = [(-constant / (2 * d), mpf(inf))]
    else:
        discriminant = d * d - x * constant
        if discriminant <= 0:
            region = [(-mpf(inf), mpf(inf))] if x > 0 else []
        else:
            roots = sorted([(-d - sqrt(discriminant)) / x, (-d + sqrt(discriminant)) / x])
            region = [(-mpf(inf), roots[0]), (roots[1], mpf(inf))] if x > 0 else [tuple(roots)]
    return sum((mass(a, b, d, sqrt(g)) - exp(epsilon) * mass(a, b, 0, 1) for a, b in region), mpf(0))


def plane(d1, d2, excess, epsilon):
    """Direction 1: a shift alone. Direction 2: shift and excess. H = E_Q(y) e^L2(y) d_{d1}(epsilon - L2(y))."""
    d1, d2, x, epsilon = mpf(d1), mpf(d2), mpf(excess), mpf(epsilon)
    g = 1 + x

    def integrand(y):
        p = exp(-((y - d2) ** 2) / (2 * g)) / sqrt(2 * pi * g)
        q = exp(-y * y / 2) / sqrt(2 * pi)
        rest = epsilon - log(p / q)
        a = rest / d1 - d1 / 2
        return p * upper(a) - exp(epsilon) * q * upper(a + d1)

    return quad(integrand, [mpf(k) / 2 for k in range(-120, 121)])


def noncentral_upper(order, noncentrality, x):
    """P(chi'^2 > x): Poisson weights on Q(N/2 + k, x/2), by Q(a + 1, y) = Q(a, y) + y^a e^-y / Gamma(a + 1)."""
    half, shape, y = mpf(noncentrality) / 2, mpf(order) / 2, mpf(x) / 2
    tail = gammainc(shape, y, regularized=True)
    rise = exp(shape * log(y) - y - mp.loggamma(shape + 1))
    weight, total = exp(-half), mpf(0)
    for k in range(int(half + 60 * sqrt(half)) + 300):
        total += weight * tail
        tail, rise, weight = tail + rise, rise * y / (shape + k + 1), weight * half / (k + 1)
    return total


def ball(dimension, columns, d, excess, epsilon):
    """L = -N/2 log g - |d|^2/(2 x) + x |y + d/x|^2 / (2 g), N = dimension * columns."""
    order, d, x, epsilon = dimension * columns, mpf(d), mpf(excess), mpf(epsilon)
    g = 1 + x
    edge = (epsilon + order * log(g) / 2 + d * d / (2 * x)) * 2 * g / x
    if edge <= 0:
        return mpf(0) if x < 0 else 1 - exp(epsilon)
    p = noncentral_upper(order, d * d * g / x**2, edge / g)
    q = noncentral_upper(order, d * d / x**2, edge)
    return p - exp(epsilon) * q if x > 0 else (1 - p) - exp(epsilon) * (1 - q)


def straight_line(shift_squared, excess, columns, epsilon, step=STEP, digits=34):
    """log H by the trapezoid rule along Re z = c, c near the saddle."""
    n2, x = [mpf(v) for v in shift_squared], [mpf(v) for v in excess]
    logs = [log(1 + v) for v in x]
    epsilon = mpf(epsilon)

    def exponent(w):
        terms = (
            (1 + w) * w * n / (2 * (1 - w * v)) - mpf(columns) / 2 * (log(1 - w * v) + w * g)
            for n, v, g in zip(n2, x, logs, strict=True)
        )
        return mp.fsum(terms) - w * epsilon - log(w) - log(1 + w)

    top = 1 / max(x) if max(x) > 0 else mpf(inf)
    low, high = mpf(0), min(top, mpf(2) ** 60)
    with mp.workdps(20):
        for _ in range(200):
            middle = (low + high) / 2 if low else high / 4
            h = min(middle, top - middle) / 10**5
            if exponent(middle + h) < exponent(middle - h):
                low = middle
            else:
                high = middle
            if low and high / low < 1.001:
                break
        w = (low + high) / 2
        h = min(w, top - w) / 10**3
        width = 1 / sqrt((exponent(w + h) + exponent(w - h) - 2 * exponent(w)) / h**2)
    centre = exponent(w)
    total, k = mpf(1) / 2, 1
    while True:
        term = exp(exponent(mpc(w, k * step * width)) - centre)
        total += term.real
        if abs(term) < mpf(10) ** -digits:
            return centre + log(total * step * width / pi)
        k += 1


def whitened(mean_p, cov_p, mean_q, cov_q):
    gap, p, q = (matrix(v) for v in (mean_p, cov_p, cov_q))
    gap = gap - matrix(mean_q)
    inverse = cholesky(q) ** -1
    values, vectors = eigsy(inverse * p * inverse.T - eye(len(cov_q)))
    shift = vectors.T * inverse * gap
    squares = [mp.fsum(shift[i, c] ** 2 for c in range(shift.cols)) for i in range(shift.rows)]
    return squares, list(values), shift.cols


def many_cases():
    rng = np.random.default_rng(20260215)
    for dimension, columns, scale, epsilons in ((800, 20, 0.02, (30.0, 100.0)), (300, 1, 0.2, (2.0, 40.0))):
        excess = np.round(np.expm1(scale * rng.standard_normal(dimension)), 5)
        shift_squared = np.round(0.02 * rng.exponential(size=dimension), 5)
        yield shift_squared.tolist(), excess.tolist(), columns, epsilons


def matrix_cases():
    rng = np.random.default_rng(7)
    for size, relative, condition, epsilon in (
        (3, 1e-12, 1.0, 1e-10), (3, 1e-12, 1e7, 3e-10), (4, 1e-6, 1e9, 2e-4),
        (5, 0.05, 1e10, 20.0), (12, 0.02, 1e4, 6.0), (4, 0.02, 1e13, 8.0),
    ):  # fmt: skip
        rotation, _ = np.linalg.qr(rng.standard_normal((size, size)))
        cov_q = rotation * condition ** -np.linspace(0, 1, size) @ rotation.T
        cov_q = 0.5 * (cov_q + cov_q.T)
        root = np.linalg.cholesky(cov_q)
        change = rng.standard_normal((size, size))
        cov_p = cov_q + relative / size * root @ (change + change.T) @ root.T
        cov_p = 0.5 * (cov_p + cov_p.T)
        mean_q = rng.standard_normal((size, 2))
        # Far more shift than excess: its Gaussian factor makes the straight line converge.
        mean_p = mean_q + 20.0 * relative * root @ rng.standard_normal((size, 2))
        yield mean_p, cov_p, mean_q, cov_q, epsilon


def text(value):
    return mp.nstr(value, 25)


def main():
    mp.dps = 90
    answer = {}
    answer["line"] = []
    for d, x, epsilon in LINES:
        h = one_dimension(d, x, epsilon)
        answer["line"].append({"d": d, "excess": x, "epsilon": epsilon, "log": text(log(h)) if h > 0 else "-inf"})
    mp.dps = 30
    answer["plane"] = [[*case, text(log(plane(*case)))] for case in PLANES]
    mp.dps = 60
    answer["ball"] = [[*case, text(log(ball(*case)))] for case in BALLS]
    mp.dps = 40
    answer["many"] = [
        {"shift_squared": n2, "excess": x, "columns": c, "epsilon": epsilons,
         "log": [text(straight_line(n2, x, c, e)) for e in epsilons]}
        for n2, x, c, epsilons in many_cases()
    ]  # fmt: skip
    mp.dps = 60
    answer["matrix"] = []
    for mean_p, cov_p, mean_q, cov_q, epsilon in matrix_cases():
        laws = [v.tolist() for v in (mean_p, cov_p, mean_q, cov_q)]
        result = straight_line(*whitened(*laws), epsilon)
        answer["matrix"].append({"laws": laws, "epsilon": epsilon, "log": text(result)})
    path = Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
