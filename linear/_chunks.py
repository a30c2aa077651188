"""Long work in pieces: spread over workers, each finished piece kept on disk, so that what was interrupted resumes."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]


def digest(*parts: Any) -> str:
    """SHA-256 of arrays and of what has an exact representation."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            total.update(f"{part.dtype.str}{part.shape}".encode())
            total.update(np.ascontiguousarray(part).tobytes())
        else:
            total.update(repr(part).encode())
        total.update(b";")
    return total.hexdigest()


def in_chunks(
    work: Callable[[Any], Arrays],
    pieces: Sequence[Any],
    names: Sequence[str],
    *,
    folder: Path | None,
    workers: int | None,
    finished: Callable[[int], None],
) -> list[Arrays]:
    """`work` of every piece, in order; joblib spreads them (`workers` None: as its context says).

    With a folder, the result of a piece is kept there under its name and is not computed again; the names must tell
    apart whatever the results depend on. `finished` is told the position of every piece that is done.
    """
    results: dict[int, Arrays] = {}
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        for position, name in enumerate(names):
            kept = _read(folder / f"{name}.npz")
            if kept is not None:
                results[position] = kept
                finished(position)
    missing = [position for position in range(len(pieces)) if position not in results]
    parallel = joblib.Parallel(n_jobs=workers, return_as="generator")
    found = parallel(joblib.delayed(work)(pieces[position]) for position in missing)
    for position, result in zip(missing, found, strict=True):
        if folder is not None:
            write_arrays(folder / f"{names[position]}.npz", result)
        results[position] = result
        finished(position)
    return [results[position] for position in range(len(pieces))]


def write_arrays(path: Path, arrays: Arrays) -> None:
    """An .npz under a temporary name in the same folder, then renamed."""
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        with temporary.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _read(path: Path) -> Arrays | None:
    """The arrays of a file; None where there is none, or a damaged one, which is as good as none."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            return {name: kept[name] for name in kept.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError, KeyError):
        return None
