"""Random numbers of a run: independent streams made of its one seed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch

from bounds._checks import count

Stream = Literal["initial", "batches", "noise", "start"]
_STREAMS: tuple[Stream, ...] = ("initial", "batches", "noise", "start")


def stream_seed(seed: int, stream: Stream, stage: str = "") -> int:
    """The torch seed of one stream of a run; different streams, stages and runs share nothing."""
    named = int.from_bytes(hashlib.sha256(stage.encode()).digest()[:8], "little") if stage else 0
    entropy = [count("seed", seed), _STREAMS.index(stream), named]
    words = np.random.SeedSequence(entropy).generate_state(2, np.uint32)
    return int(words[0]) << 31 | int(words[1]) >> 1


def generators(
    seeds: Sequence[int], stream: Stream, device: torch.device | str = "cpu", stage: str = ""
) -> list[torch.Generator]:
    """One generator per run."""
    return [torch.Generator(device=device).manual_seed(stream_seed(seed, stream, stage)) for seed in seeds]


def normal(sources: Sequence[torch.Generator], like: torch.Tensor) -> torch.Tensor:
    """Fresh standard normal numbers of the shape, type and device of `like` (R, d); row r comes from source r."""
    noise = torch.empty_like(like)
    for row, source in zip(noise, sources, strict=True):
        row.normal_(generator=source)
    return noise
