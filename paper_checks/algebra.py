"""Small doors to sympy for the symbolic legs: an identity holds or it does not."""

from __future__ import annotations

from collections.abc import Callable

import sympy


def vanishes(expression: Callable[[], sympy.Expr]) -> Callable[[], bool]:
    """A check that the expression, built when asked for, simplifies to zero."""
    return lambda: bool(sympy.simplify(expression()) == 0)


def positive(names: str) -> tuple[sympy.Symbol, ...]:
    """Positive symbols, by a string of names."""
    found = sympy.symbols(names, positive=True)
    return found if isinstance(found, tuple) else (found,)
