"""Many runs in pieces that fit: `torch_bridge.train` on some rows at a time, results put together again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from torch_bridge.experiments.store import Tick
from torch_bridge.network import Examples, Network
from torch_bridge.training import Plan, Record, train


@dataclass(frozen=True, eq=False)
class Rows:
    """vectors (R, d); records by name (S, R, ...) at the steps (S,)."""

    vectors: Tensor
    records: dict[str, NDArray[np.float64]]
    steps: dict[str, NDArray[np.int64]]


def train_rows(
    network: Network,
    examples: Examples,
    plan: Plan,
    *,
    seeds: Sequence[int],
    tick: Tick,
    starts: Tensor | None = None,
    members: Tensor | None = None,
    records: Callable[[slice], dict[str, Record]] | None = None,
    at_once: int = 256,
) -> Rows:
    """Trains one run per seed, `at_once` rows side by side.

    Parameters
    ----------
    starts : (R, d); members : (R, n) masks.
    records : given the rows of a piece, what to measure on them.
    """
    pieces = [slice(first, min(first + at_once, len(seeds))) for first in range(0, len(seeds), at_once)]
    vectors: list[Tensor] = []
    values: list[dict[str, Tensor]] = []
    steps: dict[str, NDArray[np.int64]] = {}
    for number, piece in enumerate(pieces):

        def report(done: int, total: int, before: int = number) -> None:
            tick(before * total + done, len(pieces) * total)

        run = train(
            network,
            examples,
            plan,
            seeds=list(seeds)[piece],
            starts=None if starts is None else starts[piece],
            members=None if members is None else members[piece],
            records=None if records is None else records(piece),
            progress=report,
        )
        vectors.append(run.vectors)
        values.append(run.records)
        steps = {name: at.numpy() for name, at in run.record_steps.items()}
    joined = {name: torch.cat([part[name] for part in values], dim=1).cpu().numpy().astype(float) for name in steps}
    return Rows(torch.cat(vectors), joined, steps)
