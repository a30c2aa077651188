"""Saved results of the experiments with networks: one JSON of numbers and one .npz of arrays, read and never made here."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .gallery import ROOT, Arrays

FOLDER = "torch_bridge/results"


def files(name: str) -> tuple[str, str]:
    """The two files of one experiment, relative to the top of the project."""
    return f"{FOLDER}/{name}.json", f"{FOLDER}/{name}.npz"


def read(name: str) -> tuple[dict[str, Any], Arrays]:
    """(numbers, arrays). Raises ValueError naming the file when it is damaged."""
    numbers_path, arrays_path = (ROOT.parent / path for path in files(name))
    numbers = json.loads(numbers_path.read_text(encoding="utf-8"))
    try:
        with np.load(arrays_path, allow_pickle=False) as archive:
            return numbers, {key: archive[key] for key in archive.files}
    except Exception as error:  # zipfile, zlib and numpy raise nearly anything on a damaged archive
        raise ValueError(f"{arrays_path}: must be an undamaged .npz archive of plain arrays ({error})") from error


def text(value: Any) -> NDArray[Any]:
    """JSON-ready data as an array of one string, to be kept with a figure's numbers."""
    return np.array(json.dumps(value, sort_keys=True))


def parsed(array: NDArray[Any]) -> Any:
    """What `text` was given."""
    return json.loads(str(array))


def estimate(entry: dict[str, Any]) -> tuple[float, float, float]:
    """Value, lower and upper end of a stored interval; nan where the file has null."""
    value, lower, upper = (
        float("nan") if entry[key] is None else float(entry[key]) for key in ("value", "lower", "upper")
    )
    return value, lower, upper
