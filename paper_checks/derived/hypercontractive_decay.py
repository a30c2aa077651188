"""A decay of Rényi divergences that loses no 1/a in its rate: the order is lowered along the way."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import sympy

from bounds import lsi_decay

from ..algebra import positive, vanishes
from ..chien2024._common_steps import Case, CommonSteps, after_smoothing, after_steps, any_contraction, double_wells
from ..chien2024.decay import AGAINST, by_constants
from ..claim import Claim, Mutant
from ..legs import Comparison, Symbolic
from ..verdict import Truth

SOURCE = "derived here: the order-derivative kept in the decay of Rényi divergences"


def library(case: Case) -> float:
    """The library's bound, fed with exact divergences and constants."""
    return lsi_decay.hypercontractive_bound(
        order=case.order, initial=case.initial, rate=case.rates(), unlearn_steps=case.steps
    )


def form(
    *,
    share: Callable[[float, float], float] = lambda a, b: a / b,
    lowered: Callable[[float, float], float] = lambda a, left: 1 + (a - 1) * left,
    left: Callable[[Any], float] = lambda case: math.exp(-float(case.rates().sum())),
) -> Callable[[Any], float]:
    """share(a, b) e^-R D_b(0) with b = lowered(a, e^-R); for the mutants."""

    def promise(case: Any) -> float:
        decay = left(case)
        order = max(lowered(case.order, decay), 1 + 1e-9)
        return share(case.order, order) * decay * max(case.initial(order), 0.0)

    return promise


def _first_law(case: Any) -> float:
    rates = case.rates(case.first) if isinstance(case, CommonSteps) else case.rates()
    return math.exp(-float(rates.sum()))


def sharper(case: CommonSteps) -> Truth:
    return Truth.of(library(case), 1e-12)


def simple(case: CommonSteps) -> Truth:
    return Truth.of(by_constants(case), 1e-12)


def _order(at: sympy.Expr, a: sympy.Expr, end: sympy.Expr) -> sympy.Expr:
    """b as a function of tau = log(C + t), a at the end."""
    return 1 + (a - 1) * sympy.exp(at - end)


def _order_flow() -> sympy.Expr:
    """b' = (b-1)/(C+t): moving the order like this cancels the order-derivative of D."""
    a, tau, end = positive("a tau end")
    return sympy.diff(_order(tau, a, end), tau) - (_order(tau, a, end) - 1)


def _speed() -> sympy.Expr:
    """Then log D falls at least at the speed 1/(b (C+t)), the derivative of tau - log b by t."""
    a, tau, end = positive("a tau end")
    return sympy.diff(tau - sympy.log(_order(tau, a, end)), tau) - 1 / _order(tau, a, end)


def _total_fall() -> sympy.Expr:
    """In all by R - log(a/b)."""
    a, end, total = positive("a end R")
    fall = end - sympy.log(_order(end, a, end)) - (end - total - sympy.log(_order(end - total, a, end)))
    return fall - (total - sympy.log(a) + sympy.log(1 + (a - 1) * sympy.exp(-total)))


CLAIMS = (
    Claim(
        id="derived.hypercontractive_decay",
        source=SOURCE,
        statement=(
            "D_a after k common steps <= (a/b) e^{-R} D_b before, b = 1 + (a-1) e^{-R}, R = sum_j log(1 + 2 eta sigma^2/(l^2 "
            "C_j)) at the constants of the reference law."
        ),
        provenance="derived",
        against=AGAINST + "; laws with two wells by quadrature",
        promise=library,
        legs=(
            Comparison(instances=any_contraction, truth=after_steps, relation="tight", name="Gaussian chains"),
            Comparison(
                instances=double_wells, truth=after_smoothing, tolerance=1e-8, name="double wells by quadrature"
            ),
            Symbolic(
                identities=(
                    ("flow of the order", vanishes(_order_flow)),
                    ("speed along it", vanishes(_speed)),
                    ("total fall", vanishes(_total_fall)),
                )
            ),
        ),
        expected="survived",
        why="Attained by Gaussians of one variance, for which D_b is proportional to b.",
        mutants=(
            Mutant(name="a/b dropped", promise=form(share=lambda a, b: 1.0)),
            Mutant(name="order not lowered", promise=form(lowered=lambda a, left: a)),
            Mutant(name="e^{-2R} in the order", promise=form(lowered=lambda a, left: 1 + (a - 1) * left**2)),
            Mutant(name="constants of the first law", promise=form(left=_first_law)),
            Mutant(name="a e^{-R} for b", promise=form(lowered=lambda a, left: a * left)),
        ),
    ),
    Claim(
        id="derived.hypercontractive_decay.sharper",
        source=SOURCE,
        statement="(a/b) e^{-R} D_b <= e^{-R/a} D_a: never worse than the decay with 1/a in its rate.",
        provenance="derived",
        against="both bounds from the same exact divergences",
        promise=by_constants,
        legs=(Comparison(instances=any_contraction, truth=sharper),),
        expected="survived",
        why="D_b <= D_a, and 1/a + (1 - 1/a) e^{-R} >= e^{-R (1 - 1/a)} by the inequality of weighted means.",
        mutants=(
            Mutant(
                name="the other way round", promise=library, leg=Comparison(instances=any_contraction, truth=simple)
            ),
        ),
    ),
)
