"""From one record to a group and back.

If E_a is the hockey-stick divergence at epsilon = a, E_(a+b)(P || R) <= E_a(P || Q) + e^a E_b(Q || R). Chaining `size`
times, (epsilon, delta) for one record gives (size epsilon, delta (1 + e^epsilon + ... + e^((size-1) epsilon))) for
`size` records. This "tight" form is attained by the Bernoulli laws p_0 = 0, p_(i+1) = delta + e^epsilon p_i; the "weak"
one of the textbooks replaces the sum by size e^((size-1) epsilon).
"""

from __future__ import annotations

import math
from typing import Literal

from bounds._checks import choice, count, number
from bounds._outward import down, up

Form = Literal["tight", "weak"]


def group_privacy(*, epsilon: float, delta: float, size: int, form: Form = "tight") -> tuple[float, float]:
    """(epsilon, delta) for groups of `size` records, given it for one; both rounded up, delta at most 1.

    Parameters
    ----------
    epsilon : per record, >= 0.
    delta : per record, in [0, 1].
    """
    delta = number("delta", delta, "[0, 1]")
    log_factor, error = _log_factor(number("epsilon", epsilon, "[0, inf)"), count("size", size, least=1), form)
    if delta == 0.0:
        return float(up(size * epsilon, 1)), 0.0
    exponent = min(math.log(delta) + log_factor, 0.0)
    grown = float(up(math.exp(exponent), 4 + error - 4 * math.log(delta)))
    return float(up(size * epsilon, 1)), min(grown, 1.0)


def record_privacy(*, epsilon: float, delta: float, size: int, form: Form = "tight") -> tuple[float, float]:
    """(epsilon, delta) to demand per record so that groups of `size` get the given one; both rounded down.

    Delta is often astronomically small: `record_log_delta` has it in logs.
    """
    own, log_delta = record_log_delta(epsilon=epsilon, delta=delta, size=size, form=form)
    return own, float(down(math.exp(log_delta), 4))


def record_log_delta(*, epsilon: float, delta: float, size: int, form: Form = "tight") -> tuple[float, float]:
    """As `record_privacy`, with the natural log of delta. `epsilon` >= 0, `delta` in (0, 1)."""
    own = float(down(number("epsilon", epsilon, "[0, inf)") / count("size", size, least=1), 1))
    log_factor, error = _log_factor(own, size, form)
    log_delta = math.log(number("delta", delta, "(0, 1)"))
    return own, log_delta - log_factor - 2.0**-52 * (error - 4 * log_delta + 4)


def _log_factor(epsilon: float, size: int, form: Form) -> tuple[float, float]:
    """log of delta's growth and, in units of 2^-52, a bound on its error.

    (e^(k epsilon) - 1) / (e^epsilon - 1) is e^((k-1) epsilon) times a ratio of 1 - e^-x, good to a few roundings.
    """
    growth = (size - 1) * epsilon
    if choice("form", form, ("tight", "weak")) == "weak" or epsilon == 0.0:
        log_factor = growth + math.log(size)
    else:
        log_factor = growth + math.log(math.expm1(-size * epsilon) / math.expm1(-epsilon))
    return log_factor, 16.0 + 4 * log_factor
