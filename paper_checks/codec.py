"""Instances to and from JSON without losing a bit: dataclasses of numbers, arrays and ridge problems."""

from __future__ import annotations

import dataclasses
import importlib
from typing import Any

import numpy as np

# Only types that live in these packages are ever built from a file.
_HOUSES = ("linear", "paper_checks")


def encode(value: Any) -> Any:
    """A JSON-ready copy of `value`; floats keep every bit (JSON's shortest repr round-trips).

    Raises TypeError for anything that is no number, string, array, sequence or dataclass.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float | np.floating):
        number = float(value)
        return number if np.isfinite(number) else {"float": repr(number)}
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, np.ndarray):
        return {"array": encode(value.tolist())}
    if isinstance(value, list | tuple):
        return [encode(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        kind = f"{type(value).__module__}:{type(value).__name__}"
        fields = {item.name: encode(getattr(value, item.name)) for item in dataclasses.fields(value) if item.init}
        return {"type": kind, "fields": fields}
    raise TypeError(f"value = {value!r}: cannot be saved as an instance")


def decode(value: Any) -> Any:
    """The inverse of `encode`. Raises ValueError for a type outside the project's own packages."""
    if isinstance(value, list):
        return [decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "float" in value:
        return float(value["float"])
    if "array" in value:
        return np.array(decode(value["array"]))
    module, _, name = value.get("type", "").partition(":")
    if module.split(".")[0] not in _HOUSES:
        raise ValueError(f"type = {value.get('type')!r}: instances hold only types of {', '.join(_HOUSES)}")
    kind = getattr(importlib.import_module(module), name, None)
    if not dataclasses.is_dataclass(kind):
        raise ValueError(f"type = {value['type']!r}: is no instance type")
    return kind(**{key: decode(item) for key, item in value["fields"].items()})  # type: ignore[operator]
