"""Saved measurements, as `unlearncheck deep` left them in `torch_bridge/results`; reading them needs no torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FOLDER = Path(__file__).parent / "results"


@dataclass(frozen=True, eq=False)
class Saved:
    """One experiment's numbers (from its JSON file) and arrays (from its .npz file)."""

    name: str
    numbers: dict[str, Any]
    arrays: dict[str, NDArray[Any]]

    @property
    def command(self) -> str:
        """What made it."""
        return str(self.numbers["command"])


def names() -> list[str]:
    """Results that are there: difficulty_cpu, clipping_cpu, ..."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


@cache
def load(name: str) -> Saved:
    """One result by name; read without pickle.

    Raises FileNotFoundError naming what there is, ValueError where a file is damaged or the two do not belong together.
    """
    if name not in names():
        raise FileNotFoundError(f"name = {name!r}: torch_bridge/results holds {', '.join(names()) or 'nothing'}")
    numbers = json.loads((FOLDER / f"{name}.json").read_text())
    with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as archive:
        arrays = {key: archive[key] for key in archive.files}
    described = {key: [str(value.dtype), list(value.shape)] for key, value in arrays.items()}
    if described != numbers.get("arrays"):
        raise ValueError(f"{name}: the .npz is not the one its .json describes")
    return Saved(name, numbers, arrays)
