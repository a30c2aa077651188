"""Validation shared by the ground floor: every message names the argument, its value and the rule it breaks."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def finite(name: str, value: float) -> float:
    """`value` as a finite float; bools, arrays and text are refused."""
    if isinstance(value, (bool, np.bool_, str, bytes)) or np.ndim(value) != 0:
        raise TypeError(f"{name} = {value!r}: must be a real number")
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} = {value!r}: must be a real number") from error
    if not np.isfinite(number):
        raise ValueError(f"{name} = {value!r}: must be finite")
    return number


def positive(name: str, value: float) -> float:
    """`value` as a positive finite float."""
    number = finite(name, value)
    if number <= 0:
        raise ValueError(f"{name} = {value!r}: must be positive")
    return number


def nonnegative(name: str, value: float) -> float:
    """`value` as a nonnegative finite float."""
    number = finite(name, value)
    if number < 0:
        raise ValueError(f"{name} = {value!r}: must not be negative")
    return number


def integer(name: str, value: int, *, minimum: int) -> int:
    """`value` as an int of at least `minimum`; bools and floats are refused, numpy integers are not."""
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} = {value!r}: must be an integer, not a bool")
    try:
        number = operator.index(value)
    except TypeError as error:
        raise TypeError(f"{name} = {value!r}: must be an integer") from error
    if number < minimum:
        raise ValueError(f"{name} = {number}: must be at least {minimum}")
    return number


def one_of(name: str, value: str, allowed: Sequence[str]) -> str:
    """`value`, which must be one of `allowed`."""
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name} = {value!r}: must be one of {', '.join(map(repr, allowed))}")
    return value


def position(name: str, value: int, size: int) -> int:
    """`value` as a position in a list of `size` items, counted from 0 (no negative positions)."""
    number = integer(name, value, minimum=0)
    if number >= size:
        raise ValueError(f"{name} = {number}: must be below {size}, the number of points")
    return number


def positions(name: str, values: Sequence[int] | NDArray[np.integer] | None, size: int) -> NDArray[np.intp]:
    """`values` as a vector of positions in a list of `size` items; None means all of them, in order."""
    if values is None:
        return np.arange(size)
    array = np.asarray(values)
    if array.size == 0:
        array = array.astype(np.intp)
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        raise TypeError(f"{name} = {values!r}: must be a vector of integers")
    outside = (array < 0) | (array >= size)
    if outside.any():
        worst = int(array[outside][0])
        raise ValueError(f"{name} holds {worst}: every entry must be at least 0 and below {size}, the points")
    return array.astype(np.intp)


def requests(name: str, values: Sequence[int | Sequence[int]], size: int) -> tuple[tuple[int, ...], ...]:
    """`values` as groups of positions in a list of `size` items: each entry one position or several, none twice."""
    if isinstance(values, (str, bytes)) or not isinstance(values, (Sequence, np.ndarray)):
        raise TypeError(f"{name} = {values!r}: must be a sequence of positions or of groups of positions")
    groups: list[tuple[int, ...]] = []
    for place, entry in enumerate(values):
        several = isinstance(entry, (Sequence, np.ndarray)) and not isinstance(entry, (str, bytes))
        group: list[Any] = list(entry) if several else [entry]  # type: ignore[arg-type]
        groups.append(tuple(position(f"{name}[{place}]", one, size) for one in group))
        if not groups[-1]:
            raise ValueError(f"{name}[{place}] is empty: every request must name at least one point")
    if not groups:
        raise ValueError(f"{name} is empty: there must be at least one request")
    named = [one for group in groups for one in group]
    twice = [one for one in named if named.count(one) > 1]
    if twice:
        raise ValueError(f"{name} names point {twice[0]} twice: a point is deleted once")
    return tuple(groups)


def real_array(name: str, value: ArrayLike, *, dimensions: tuple[int, ...]) -> NDArray[np.float64]:
    """A read-only float64 copy of `value`: real, finite, with a number of axes in `dimensions`."""
    array = np.asarray(value)
    if array.dtype.kind not in "buif":
        raise TypeError(f"{name} has dtype {array.dtype}: must hold real numbers")
    if array.ndim not in dimensions:
        allowed = " or ".join(map(str, dimensions))
        raise ValueError(f"{name} has shape {array.shape}: must have {allowed} axes")
    copy = np.array(array, dtype=np.float64, order="C")
    finite_entries = np.isfinite(copy)
    if not finite_entries.all():
        where = tuple(int(axis) for axis in np.argwhere(~finite_entries)[0])
        raise ValueError(f"{name}[{', '.join(map(str, where))}] = {copy[where]}: every entry must be finite")
    copy.flags.writeable = False
    return copy


def frozen(array: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same array, made read-only (for results that are cached and handed out)."""
    array.flags.writeable = False
    return array
