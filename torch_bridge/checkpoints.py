"""Files from which a run resumes: written to a temporary name and renamed, read without pickle's powers."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

_FORMAT = 1


def fingerprint(*parts: Any) -> str:
    """SHA-256 of everything that a run depends on: text by its representation, tensors by their bytes."""
    digest = hashlib.sha256()
    _feed(digest, parts)
    return digest.hexdigest()


def _feed(digest: Any, part: Any) -> None:
    if isinstance(part, Tensor):
        digest.update(f"{part.dtype}{tuple(part.shape)}".encode())
        digest.update(part.detach().cpu().contiguous().numpy().tobytes())
    elif isinstance(part, tuple):
        digest.update(f"tuple{len(part)}".encode())
        for item in part:
            _feed(digest, item)
    else:
        digest.update(repr(part).encode())


def write(path: str | Path, stamp: str | None, content: dict[str, Any]) -> None:
    """Saves a checkpoint; a reader sees the old file or the new one, never half of it."""
    path = Path(path)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as stream:
            torch.save({"format": _FORMAT, "stamp": stamp, **content}, stream)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read(path: str | Path, stamp: str) -> dict[str, Any] | None:
    """The content of a checkpoint, all on the CPU, or None if there is no file.

    Raises ValueError for a file that is damaged or belongs to another run.
    """
    path = Path(path)
    if not path.exists():
        return None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged archive raises nearly anything
        raise ValueError(f"{path}: must be an undamaged checkpoint ({error})") from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise ValueError(f"{path}: must be a checkpoint of format {_FORMAT}")
    if content.get("stamp") != stamp:
        raise ValueError(f"{path}: belongs to another run (other plan, seeds, starts, examples or records)")
    return content
