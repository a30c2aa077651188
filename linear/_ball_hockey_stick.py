"""The hockey-stick of two Gaussians with diagonal covariances, in balls.

With Q = N(0, I), P = N(m, diag(1 + x_j)) in each of C columns, n_j the squares of m_j summed over columns and
L = log dP/dQ, the cumulant K(z) = log E_Q e^(zL) is

    K(z) = sum_j z (z - 1) n_j / (2 v_j) - (C/2) [log v_j - (1 - z) log(1 + x_j)],     v_j = 1 + (1 - z) x_j,

and for any c > 1 with all v_j(c) > 0, by Fubini from (e^L - t)_+ = (1 / 2 pi i) int e^(zL) t^(1 - z) / (z (z - 1)) dz,

    H_t(P || Q) = (1 / 2 pi i) int_(Re z = c) exp(K(z) - (z - 1) log t) / (z (z - 1)) dz.

At the saddle c of the integrand and with z = c + w s, the integrand over its value at c is the f of `_ball_contour`,

    b_j = w x_j / v_j(c),   a_j = w^2 n_j (1 + x_j) / (2 v_j(c)^3),   p_0 = c / w,   p_1 = (c - 1) / w,

an identity, since z (z - 1) / v is linear plus a multiple of 1 / v. The width w makes the second derivative of log f
one. So H = (value at c) (w / pi) Im int f over the upper half plane. All this holds for every choice of the numbers in
their balls, and an eigenvalue of exactly one (x = 0) needs no separate treatment.
"""

from __future__ import annotations

from dataclasses import dataclass

from flint import arb

from linear._ball_contour import Integrand
from linear._ball_linalg import DiagonalPair

# Where balls cannot tell H = 0 from a value below exp of this, the answer is (-inf, that bound).
LOG_NEGLIGIBLE = -1e6

Interval = tuple[arb, arb]


@dataclass(frozen=True)
class _Cumulant:
    """K(z) - (z - 1) log t on the real axis, at z = 1 + u."""

    excess: list[arb]
    gap: list[arb]
    columns: int
    epsilon: arb

    @property
    def half(self) -> arb:
        return arb(self.columns) / 2

    @property
    def log_determinant(self) -> arb:
        return sum((x.log1p() for x in self.excess), arb(0))

    def midpoints(self) -> _Cumulant:
        return _Cumulant([x.mid() for x in self.excess], [n.mid() for n in self.gap], self.columns, self.epsilon.mid())

    def factors(self, u: arb) -> list[arb]:
        """v_j, certified positive."""
        factors = [1 - u * x for x in self.excess]
        if not all(v > 0 for v in factors):
            raise FloatingPointError("the saddle is not certified to lie inside the strip of convergence")
        return factors

    def value(self, u: arb) -> arb:
        total = -self.half * u * self.log_determinant - u * self.epsilon
        for n, v in zip(self.gap, self.factors(u), strict=True):
            total += u * (1 + u) * n / (2 * v) - self.half * v.log()
        return total

    def slope_without_determinants(self, u: arb, factors: list[arb], constant: arb) -> arb:
        """Derivative in z of K(z) - (z - 1) log t + (C/2) sum log v_j; `constant` is its part free of the gaps."""
        total = constant
        for x, n, v in zip(self.excess, self.gap, factors, strict=True):
            total += n / (2 * v) * (1 + 2 * u + u * (1 + u) * x / v)
        return total

    @property
    def constant(self) -> arb:
        return -self.half * self.log_determinant - self.epsilon


def log_hockey_stick(pair: DiagonalPair, epsilon: arb) -> Interval:
    """Bounds on log H_t(P || Q), log t = `epsilon`, for the pair that `pair` brackets.

    Both are -inf where L <= log t everywhere, for certain. The lower one alone is -inf where H is below exp(-1e6) and
    the balls leave open whether it is zero.

    Raises
    ------
    FloatingPointError
        If the balls are too wide to decide, or the integral too hard.
    """
    cumulant = _Cumulant(pair.excess, pair.gap, pair.columns, epsilon + 2 * pair.slack)
    if _never_exceeds(cumulant):
        return arb.neg_inf(), arb.neg_inf()
    limit = _limit(cumulant)
    u = _saddle(cumulant.midpoints(), limit)
    if u is None:
        return arb.neg_inf(), _chernoff(cumulant, limit) + pair.slack
    ball = _at_saddle(cumulant, u) + pair.slack
    if not ball.is_finite():
        raise FloatingPointError("the certified quadrature did not converge")
    return ball.lower(), ball.upper()


def _never_exceeds(cumulant: _Cumulant) -> bool:
    """Whether sup L <= log t for certain; sup L is finite iff every x_j < 0 (or x_j = 0 = n_j), attained at v_j' = 0.

    For x < 0 a coordinate's part of L is a concave quadratic with maximum n / (-2 x) - (C/2) log(1 + x).
    """
    excess = cumulant.constant
    for x, n in zip(cumulant.excess, cumulant.gap, strict=True):
        if x < 0:
            excess += n / (-2 * x)
        elif not (x == 0 and n == 0):
            return False
    if excess <= 0:
        return True
    if not excess > 0:
        raise FloatingPointError("the largest log-ratio cannot be told from epsilon: H may or may not be zero")
    return False


def _limit(cumulant: _Cumulant) -> arb | None:
    """The certified end of the strip, as a bound on u = c - 1; None where it has no end."""
    ends = [(1 / x.upper()).lower() for x in cumulant.excess if not x <= 0]
    limit = None
    for end in ends:
        limit = end if limit is None else limit.min(end).lower()
    return limit


def _saddle(cumulant: _Cumulant, limit: arb | None) -> arb | None:
    """u = c - 1 near the minimum of the integrand, exact; None if it falls all the way to the end of the strip.

    Bisection in y, u = e^y or limit / (1 + e^-y): the log of the integrand is convex in c. The result need not be
    accurate, only inside the strip.
    """
    constant, half = cumulant.constant.mid(), cumulant.half

    def point(y: float) -> arb:
        growth = arb(y).exp()
        return (growth if limit is None else limit * growth / (1 + growth)).mid()

    def rises(y: float) -> bool:
        u = point(y)
        factors = [1 - u * x for x in cumulant.excess]
        slope = cumulant.slope_without_determinants(u, factors, constant) - 1 / u - 1 / (1 + u)
        for x, v in zip(cumulant.excess, factors, strict=True):
            slope += half * x / v
        return bool(slope.mid() > 0)

    low, high = -800.0, 800.0 if limit is None else 100.0
    if not rises(high):
        return None
    for _ in range(64):
        middle = (low + high) / 2
        low, high = (low, middle) if rises(middle) else (middle, high)
    return point(low)


def _chernoff(cumulant: _Cumulant, limit: arb | None) -> arb:
    """An upper bound on log H far inside a strip that ends only because balls around zero are not zero.

    From (e^L - t)_+ <= (c - 1)^(c - 1) c^-c e^(cL) t^(1 - c), with c - 1 half the certified end.
    """
    if limit is None:
        raise FloatingPointError("no saddle, though the largest log-ratio exceeds epsilon")
    u = (limit / 2).mid()
    bound = (cumulant.value(u) + u * u.log() - (1 + u) * (1 + u).log()).upper()
    if not bound < LOG_NEGLIGIBLE:
        raise FloatingPointError("the two laws cannot be told apart well enough to say whether H is zero")
    return bound


def _at_saddle(cumulant: _Cumulant, u: arb) -> arb:
    """log H from the contour through c = 1 + u."""
    half, c = cumulant.half, 1 + u
    factors = cumulant.factors(u)
    bends = [x / v for x, v in zip(cumulant.excess, factors, strict=True)]
    curvatures = [n * (1 + x) / (2 * v * v * v) for n, x, v in zip(cumulant.gap, cumulant.excess, factors, strict=True)]
    second = 1 / (c * c) + 1 / (u * u)
    for a, b in zip(curvatures, bends, strict=True):
        second += 2 * a + half * b * b
    width = second.rsqrt().mid()
    integrand = Integrand(
        slope=width * cumulant.slope_without_determinants(u, factors, cumulant.constant),
        bends=[width * b for b in bends],
        curvatures=[width * width * a for a in curvatures],
        poles=(c / width, u / width),
        columns=cumulant.columns,
    )
    return cumulant.value(u) + (width / (arb.pi() * c * u) * integrand.integral()).log()
