"""Checks of arguments: every error names the argument, the value and the rule it breaks.

Rules are intervals in the usual notation, as strings: ``"(0, inf)"`` is positive and finite, ``"[0, inf]"``
lets infinity in, ``"[0, 1)"`` needs no words. NaN lies in no interval.
"""

import reprlib
from collections.abc import Iterable
from functools import cache
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Option = TypeVar("Option", bound=str)

_WORDS = {
    "(0, inf)": "must be positive and finite",
    "(0, inf]": "must be positive",
    "[0, inf)": "must be nonnegative and finite",
    "[0, inf]": "must be nonnegative",
    "(-inf, inf)": "must be finite",
    "[-inf, inf]": "must not be NaN",
}


class _Interval(NamedTuple):
    low: float
    high: float
    low_closed: bool
    high_closed: bool
    rule: str

    def holds(self, value: float) -> bool:
        above = self.low <= value if self.low_closed else self.low < value
        return above and (value <= self.high if self.high_closed else value < self.high)

    def fails(self, values: FloatArray) -> NDArray[np.bool_]:
        above = values >= self.low if self.low_closed else values > self.low
        below = values <= self.high if self.high_closed else values < self.high
        return ~(above & below)


@cache
def _interval(text: str) -> _Interval:
    low, high = text[1:-1].split(",")
    rule = _WORDS.get(text, f"must lie in {text}")
    return _Interval(float(low), float(high), text[0] == "[", text[-1] == "]", rule)


def number(name: str, value: object, interval: str) -> float:
    """One real number in ``interval``, as a float."""
    if type(value) is not float:
        value = float(_real(name, value, ndim=0))
    rule = _interval(interval)
    if not rule.holds(value):
        raise ValueError(f"{name} = {value!r}: {rule.rule}")
    return value


def array(
    name: str,
    value: object,
    interval: str,
    *,
    ndim: int | None = None,
    length: int | None = None,
) -> FloatArray:
    """Real numbers in ``interval``, as float64.

    With ``ndim``, exactly that many axes and no empty one. With ``length``, a vector of that length; a scalar
    is repeated (a read-only view).
    """
    values = _real(name, value, ndim=ndim)
    rule = _interval(interval)
    bad = rule.fails(values)
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        place = f"[{', '.join(map(str, where))}]" if where else ""
        raise ValueError(f"{name}{place} = {float(values[where])!r}: {rule.rule}")
    if length is not None:
        if values.ndim == 0:
            return np.broadcast_to(values, (length,))
        if values.shape != (length,):
            raise ValueError(f"{name} has shape {values.shape}: must be a scalar or have shape ({length},)")
    return values


def count(name: str, value: object, *, least: int = 0) -> int:
    """A whole number, at least ``least``."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} = {value!r}: must be an integer")
    if value < least:
        raise ValueError(f"{name} = {value!r}: must be at least {least}")
    return int(value)


def choice(name: str, value: object, options: Iterable[Option]) -> Option:
    """One of the words in ``options``."""
    options = tuple(options)
    for option in options:
        if isinstance(value, str) and value == option:
            return option
    raise ValueError(f"{name} = {value!r}: must be one of {', '.join(map(repr, options))}")


def _real(name: str, value: object, *, ndim: int | None) -> FloatArray:
    try:
        values = np.asarray(value)
    except ValueError:  # a ragged nested list
        raise TypeError(f"{name} = {reprlib.repr(value)}: must be an array of real numbers") from None
    if values.dtype.kind not in "iuf":
        raise TypeError(f"{name} = {reprlib.repr(value)}: must be {'a real number' if ndim == 0 else 'real numbers'}")
    if ndim is not None and values.ndim != ndim:
        rule = "be a single number" if ndim == 0 else f"have {ndim} {'axis' if ndim == 1 else 'axes'}"
        raise ValueError(f"{name} has shape {values.shape}: must {rule}")
    if ndim is not None and values.size == 0:
        raise ValueError(f"{name} has shape {values.shape}: must not be empty")
    return values.astype(np.float64, copy=False)
