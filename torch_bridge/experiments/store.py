"""Stages that survive an interruption, and result files that say how they were made."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

Arrays = dict[str, NDArray[Any]]
Tick = Callable[[int, int], None]


class Store:
    """The finished stages of one experiment.

    Parameters
    ----------
    folder : where stages are kept, in a subfolder named after `experiment` and a hash of `settings`.
    settings : a dataclass; any change of it starts the experiment anew.
    console : where progress is shown; None for silence.
    """

    def __init__(self, folder: str | Path, experiment: str, settings: Any, console: Console | None = None) -> None:
        text = json.dumps(plain(settings), sort_keys=True)
        self.folder = Path(folder) / f"{experiment}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
        self.console = console
        self.seconds: dict[str, float] = {}

    def stage(self, name: str, compute: Callable[[Tick], Arrays]) -> Arrays:
        """The arrays of a stage: read if it is finished, else computed and kept. `compute` gets a progress callback."""
        path = self.folder / f"{name}.npz"
        if path.is_file():
            try:
                with np.load(path, allow_pickle=False) as archive:
                    arrays = {key: archive[key] for key in archive.files}
            except Exception as error:
                raise ValueError(f"{path}: must be an undamaged stage file; remove it ({error})") from error
            self.seconds[name] = float(arrays.pop("_seconds"))
            return arrays
        started = time.monotonic()
        with self._bar(name) as tick:
            arrays = compute(tick)
        self.seconds[name] = time.monotonic() - started
        write_npz(path, arrays | {"_seconds": np.array(self.seconds[name])})
        return arrays

    @contextmanager
    def _bar(self, name: str) -> Iterator[Tick]:
        if self.console is None:
            yield lambda done, total: None
            return
        columns = (TextColumn("{task.description:28}"), BarColumn(30), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self.console, transient=not self.console.is_terminal) as progress:
            task = progress.add_task(name, total=None)
            yield lambda done, total: progress.update(task, completed=done, total=total)
        if not self.console.is_terminal:
            self.console.print(f"{name}: done")


def save_results(folder: str | Path, name: str, numbers: dict[str, Any], arrays: Arrays) -> tuple[Path, Path]:
    """Writes `name`.json and `name`.npz; float arrays are kept in single precision."""
    small = {key: value.astype(np.float32) if value.dtype == np.float64 else value for key, value in arrays.items()}
    paths = Path(folder) / f"{name}.json", Path(folder) / f"{name}.npz"
    write_npz(paths[1], small)
    described = {key: [str(value.dtype), list(value.shape)] for key, value in small.items()}
    text = json.dumps(plain(numbers | {"arrays": described}), indent=1, allow_nan=False)
    _replace(paths[0], lambda stream: stream.write(text.encode() + b"\n"))
    return paths


def write_npz(path: Path, arrays: Arrays) -> None:
    """A compressed archive, written to a temporary name and renamed."""
    _replace(path, lambda stream: np.savez_compressed(stream, **arrays))  # type: ignore[arg-type]


def plain(value: Any) -> Any:
    """Numbers, text, lists and dictionaries only; infinities as text, NaN as null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else ("inf" if value > 0 else "-inf")
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if value is None or isinstance(value, (str, int, bool)):
        return value
    raise TypeError(f"value = {value!r}: cannot be written to a results file")


def _replace(path: Path, write: Callable[[Any], object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as stream:
            write(stream)
        Path(name).chmod(0o644)  # temporary files are private
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
