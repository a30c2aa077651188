"""A contour integral with a certified error: what is left of a Gaussian hockey-stick once it is scaled at its saddle.

With every number of order one, and a path from 0 to infinity through the upper half plane, the integral of

    f(s) = exp(l s + sum_j a_j s^2 / (1 - b_j s)) prod_j (1 - b_j s)^(-C/2) / ((1 + s / p_0) (1 + s / p_1)).

f is analytic off the real axis, and on it between -min(p_0, p_1) and the nearest 1 / b_j > 0, so the path is free.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from flint import acb, arb, ctx

from linear._ball_path import Landscape, descend

_BITS = 128
_TOLERANCE_BITS = 50
_EVALUATIONS_AT_MOST = 5000


@dataclass(frozen=True)
class Integrand:
    """The balls l (`slope`), b (`bends`), a (`curvatures`, nonnegative), p (`poles`, positive), and C (`columns`)."""

    slope: arb
    bends: list[arb]
    curvatures: list[arb]
    poles: tuple[arb, arb]
    columns: int

    @cached_property
    def landscape(self) -> Landscape:
        """The midpoints, in floats."""
        return Landscape(
            slope=float(self.slope.mid()),
            bends=np.array([float(b.mid()) for b in self.bends]),
            curvatures=np.array([float(a.mid()) for a in self.curvatures]),
            poles=(float(self.poles[0].mid()), float(self.poles[1].mid())),
            columns=self.columns,
        )

    @cached_property
    def _strip(self) -> tuple[arb, arb]:
        """Certified ends of the interval of the real axis where f is analytic (infinite where there is none)."""
        right = arb.pos_inf()
        for b in self.bends:
            if not b <= 0:
                right = right.min((1 / b.upper()).lower())
        return -self.poles[0].min(self.poles[1]).lower(), right

    def numerator(self, s: acb) -> acb:
        """f without its poles. The branch: every factor 1 - b s has its principal root, and avoids the cut."""
        product, roots, quadratic = acb(1), acb(1), acb(0)
        odd = self.columns % 2
        for a, b in zip(self.curvatures, self.bends, strict=True):
            factor = 1 - b * s
            quadratic += a / factor
            product *= factor
            if odd:
                roots *= factor.sqrt()
        power = roots * product ** (self.columns // 2)
        return (s * (self.slope + s * quadratic)).exp() / power

    def value(self, s: acb) -> acb:
        """f itself, direct: good on narrow balls."""
        return self.numerator(s) / ((1 + s / self.poles[0]) * (1 + s / self.poles[1]))

    def log_derivative(self, s: acb) -> acb:
        """f'/f, arranged so that large terms cancel between midpoints and not between wide balls.

        Near 0 the linear terms of the logarithms cancel `slope` (0 is the saddle); far out a / (1 - b s) does. Each
        coordinate is written for the side of its scale 1 / |b| that s is on.
        """
        distance = abs(complex(s.mid()))
        half = arb(self.columns) / 2
        constant, varying = self.slope, acb(0)
        for p, scale in zip(self.poles, self.landscape.poles, strict=True):
            if distance < scale:
                constant -= 1 / p
                varying += s / (p * (p + s))
            else:
                varying -= 1 / (p + s)
        for a, b, bend in zip(self.curvatures, self.bends, self.landscape.bends, strict=True):
            inverse = 1 / (1 - b * s)
            if distance * abs(bend) < 1:
                constant += half * b
                varying += s * inverse * (a * (1 + inverse) + half * b * b)
            else:
                constant -= a / b
                varying += inverse * (a / b * inverse + half * b)
        return constant + varying

    def enclosure(self, s: acb, _analytic: bool) -> acb:
        """Values of f on the ball s; not finite if f may fail to be analytic there.

        Wide balls by the mean value form f(m) exp((f'/f)(s) (s - m)): the exponent is a sum of large terms that cancel.
        """
        if not s.imag > 0:
            left, right = self._strip
            if not (left < s.real < right):
                return acb("nan")
        centre = s.mid()
        radius = float(s.real.rad()) + float(s.imag.rad())
        if radius < 1e-25 * (1 + abs(complex(centre))):
            return self.value(s)
        return self.value(centre) * (self.log_derivative(s) * (s - centre)).exp()

    def straight_up(self, start: complex) -> arb:
        """A bound on the integral of |f| along start + i y, y >= 0.

        With u = Re(1 - b s), constant there, the real part of a s^2 / (1 - b s) is
        (a / b^2) (u / |1 - b s|^2 - 1 - b Re s): it falls with y where u >= 0, and where u < 0 it rises, by at most
        (a / b^2) |u| / |1 - b start|^2. All |1 - b s| grow. The poles leave p_0 p_1 times an integral of
        1 / (q^2 + y^2), q the distance of the line from the nearer pole.
        """
        s = acb(start)
        rise = arb(0)
        for a, b in zip(self.curvatures, self.bends, strict=True):
            factor = 1 - b * s
            if not factor.real >= 0:
                rise += a * abs(factor.real) / (b * b * abs(factor) * abs(factor))
        p0, p1 = self.poles
        nearest = arb((p0 + s.real).abs_lower()).min((p1 + s.real).abs_lower())
        length = (1 / s.imag).min(arb.pi() / (2 * nearest))
        return (abs(self.numerator(s)) * rise.exp() * p0 * p1 * length).upper()

    def integral(self) -> arb:
        """Im of the integral of f from 0 to infinity through the upper half plane, certified."""
        with ctx.workprec(_BITS):
            corners = descend(self.landscape)
            goal = arb(2) ** -_TOLERANCE_BITS
            total = acb(0)
            for start, end in pairwise(corners):
                total += acb.integral(
                    self.enclosure,
                    acb(start),
                    acb(end),
                    rel_tol=goal,
                    abs_tol=goal,
                    eval_limit=_EVALUATIONS_AT_MOST,
                )
            return total.imag + arb(0, self.straight_up(corners[-1]))
