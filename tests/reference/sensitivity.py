"""Reference quantiles of Gaussian norms, written to sensitivity.json: python tests/reference/sensitivity.py

P(|R| > r) for R ~ N(m, I_C) with |m| = a, two formulas, neither of which is the contour integral under test:
- a <= 100: the Poisson mixture sum_j Poisson(j; a^2/2) Q(C/2 + j, r^2/2), all terms positive;
- a > 100: quadrature of the density r^(C-1) 2^(1-C/2) / Gamma(C/2) exp(-(r^2 + a^2)/2) 0F1(C/2; a^2 r^2 / 4).
The quantile follows by Newton's method on the logarithm of the tail at 50 digits.
"""

import json
from pathlib import Path

import mpmath as mp

mp.mp.dps = 50
CASES = [
    (dof, mean, tail)
    for dof in (1, 2, 3, 10, 25, 1000)
    for mean in ("0", "0.75", "5", "40")
    for tail in ("1e-6", "0.3", "0.95", "-1000")  # a negative entry is the logarithm of the tail
]
CASES += [(dof, "9", tail) for dof in (1, 4, 7) for tail in ("0.9999999999", "0.5", "1e-12", "1e-300", "-30000")]
CASES += [(dof, mean, tail) for dof in (2, 10, 999) for mean in ("300", "1e4") for tail in ("1e-6", "0.7", "-1000")]


def density(r: mp.mpf, a: mp.mpf, dof: int) -> mp.mpf:
    half = mp.mpf(dof) / 2
    power = r ** (dof - 1) * 2 ** (1 - half) / mp.gamma(half)
    return power * mp.exp(-(r * r + a * a) / 2) * mp.hyp0f1(half, (a * r) ** 2 / 4)


def mixture(r: mp.mpf, a: mp.mpf, dof: int) -> tuple[mp.mpf, mp.mpf]:
    """Both tails: the upper one summed, the lower one by the complement at twice the digits."""
    with mp.workdps(2 * mp.mp.dps):
        x, rate, shape = r * r / 2, a * a / 2, mp.mpf(dof) / 2
        upper = mp.gammainc(shape, x, mp.inf, regularized=True)
        step = x**shape * mp.exp(-x) / mp.gamma(shape + 1)
        weight, total, j = mp.exp(-rate), mp.mpf(0), 0
        while True:
            term = weight * upper
            total += term
            if j > rate and (term <= total * mp.mpf(10) ** -100 or weight == 0):
                return total, 1 - total
            upper += step
            j += 1
            step *= x / (shape + j)
            weight *= rate / j


def quadrature(r: mp.mpf, a: mp.mpf, dof: int) -> tuple[mp.mpf, mp.mpf]:
    gap = 1 / max(mp.mpf(1), abs(r - a))
    upper = [r, r + gap, r + 4 * gap, r + 15 * gap, r + 60 * gap, r + 250 * gap]
    lower = [r - 50, r - 20, r - 8, r - 3, r - 1, r]
    return (
        mp.quad(lambda t: density(t, a, dof), upper),
        mp.quad(lambda t: density(t, a, dof), lower),
    )


def quantile(dof: int, mean: str, tail: str) -> mp.mpf:
    a = mp.mpf(float(mean))
    log_tail = mp.mpf(float(tail)) if float(tail) < 0 else mp.log(mp.mpf(float(tail)))
    upper = log_tail < mp.log(0.5)
    target = log_tail if upper else mp.log(-mp.expm1(log_tail))
    tails = mixture if a <= 100 else quadrature
    r = mp.sqrt(a * a + dof) if not upper else a + mp.sqrt(dof) + mp.sqrt(-2 * log_tail)
    for _ in range(60):
        probability = tails(r, a, dof)[0 if upper else 1]
        excess = mp.log(probability) - target
        move = excess * probability / density(r, a, dof) * (1 if upper else -1)
        r = max(r + move, r / 2)
        if abs(move) < mp.mpf(10) ** -30 * r:
            return r
    raise ArithmeticError(f"no convergence for {dof, mean, tail}")


def main() -> None:
    rows = []
    for dof, mean, tail in CASES:
        value = quantile(dof, mean, tail)
        rows.append({"dof": dof, "mean_norm": mean, "tail": tail, "quantile": mp.nstr(value, 25)})
        print(rows[-1], flush=True)
    text = ",\n".join(json.dumps(row) for row in rows)
    Path(__file__).with_suffix(".json").write_text(f"[\n{text}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
