"""Which examples enter a step, and with which weight: all, shuffled mini-batches, or Poisson sampling.

The rule never looks at the model or at its noise, as the theorems ask: it has a stream of random numbers of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from bounds._checks import choice, count, number
from torch_bridge.network import Examples

Reduction = Literal["mean", "sum"]


class Batch(NamedTuple):
    """Examples of one step and their weights (R, b); `batched` when every run has examples of its own."""

    examples: Examples
    weights: Tensor
    batched: bool


class Sampler(Protocol):
    """Draws the batches of a phase for R runs; `state` and `restore` let a run be resumed."""

    def draw(self) -> Batch: ...

    def state(self) -> dict[str, Tensor]: ...

    def restore(self, state: dict[str, Tensor]) -> None: ...


class BatchRule(Protocol):
    """How the batches of a phase are made."""

    def sampler(self, examples: Examples, members: Tensor, sources: Sequence[torch.Generator]) -> Sampler: ...


@dataclass(frozen=True, kw_only=True)
class FullBatch:
    """All of a run's examples in every step; their gradients are averaged, or with "sum" added up."""

    reduction: Reduction = "mean"

    def __post_init__(self) -> None:
        choice("reduction", self.reduction, ("mean", "sum"))

    def sampler(self, examples: Examples, members: Tensor, sources: Sequence[torch.Generator]) -> Sampler:
        return _Full(self, examples, members)


@dataclass(frozen=True, kw_only=True)
class ShuffledBatches:
    """Epochs in fresh random order, `size` examples a step; the last batch of an epoch may be shorter.

    Gradients are averaged over the batch; "sum" multiplies that by the number of the run's examples.
    """

    size: int
    reduction: Reduction = "mean"

    def __post_init__(self) -> None:
        count("size", self.size, least=1)
        choice("reduction", self.reduction, ("mean", "sum"))

    def sampler(self, examples: Examples, members: Tensor, sources: Sequence[torch.Generator]) -> Sampler:
        return _Shuffled(self, examples, members, sources)


@dataclass(frozen=True, kw_only=True)
class PoissonBatches:
    """Every example enters with probability `rate`, on its own.

    The sum is divided by the *expected* size, rate times the number of the run's examples, which does not depend on
    what was drawn; "sum" divides by the rate alone. An empty batch has gradient zero. Where the number of examples is
    itself to be protected (adding or removing one, as in DP-SGD), a public `divisor` takes the place of both.
    """

    rate: float
    reduction: Reduction = "mean"
    divisor: float | None = None

    def __post_init__(self) -> None:
        number("rate", self.rate, "(0, 1]")
        if self.divisor is not None:
            number("divisor", self.divisor, "(0, inf)")
        choice("reduction", self.reduction, ("mean", "sum"))

    def sampler(self, examples: Examples, members: Tensor, sources: Sequence[torch.Generator]) -> Sampler:
        return _Poisson(self, examples, members, sources)


class _Full:
    def __init__(self, rule: FullBatch, examples: Examples, members: Tensor) -> None:
        used = members.any(dim=0)
        weights = members[:, used].to(torch.float64)
        if rule.reduction == "mean":
            weights /= weights.sum(dim=1, keepdim=True)
        device = examples.inputs.device
        self._batch = Batch(examples.take(used.to(device)), weights.to(device), False)

    def draw(self) -> Batch:
        return self._batch

    def state(self) -> dict[str, Tensor]:
        return {}

    def restore(self, state: dict[str, Tensor]) -> None:
        pass


class _Shuffled:
    def __init__(
        self, rule: ShuffledBatches, examples: Examples, members: Tensor, sources: Sequence[torch.Generator]
    ) -> None:
        sizes = members.sum(dim=1)
        if len(sizes.unique()) > 1:
            raise ValueError(
                f"members: the runs have from {int(sizes.min())} to {int(sizes.max())} examples: shuffled batches need "
                "equally many; train the others in a call of their own"
            )
        self._rule, self._examples, self._sources = rule, examples, sources
        self._own = torch.stack([row.nonzero()[:, 0] for row in members])
        self._order = self._own
        self._taken = self._own.shape[1]

    def draw(self) -> Batch:
        total = self._own.shape[1]
        if self._taken >= total:
            orders = [torch.randperm(total, generator=source) for source in self._sources]
            self._order = torch.stack([own[order] for own, order in zip(self._own, orders, strict=True)])
            self._taken = 0
        chosen = self._order[:, self._taken : self._taken + self._rule.size]
        self._taken += chosen.shape[1]
        weight = (total if self._rule.reduction == "sum" else 1.0) / chosen.shape[1]
        return _gathered(self._examples, chosen, torch.full(chosen.shape, weight, dtype=torch.float64))

    def state(self) -> dict[str, Tensor]:
        return {"order": self._order, "taken": torch.tensor(self._taken)}

    def restore(self, state: dict[str, Tensor]) -> None:
        self._order, self._taken = state["order"], int(state["taken"])


class _Poisson:
    def __init__(
        self, rule: PoissonBatches, examples: Examples, members: Tensor, sources: Sequence[torch.Generator]
    ) -> None:
        self._rule, self._examples, self._sources = rule, examples, sources
        self._own = [row.nonzero()[:, 0] for row in members]

    def draw(self) -> Batch:
        pairs = zip(self._own, self._sources, strict=True)
        drawn = [own[torch.rand(len(own), generator=source) < self._rule.rate] for own, source in pairs]
        width = max(1, max(len(row) for row in drawn))
        chosen = torch.zeros((len(drawn), width), dtype=torch.long)
        weights = torch.zeros((len(drawn), width), dtype=torch.float64)
        for r, row in enumerate(drawn):
            chosen[r, : len(row)] = row
            expected = self._rule.rate * (len(self._own[r]) if self._rule.reduction == "mean" else 1.0)
            weights[r, : len(row)] = 1.0 / (self._rule.divisor or expected)
        return _gathered(self._examples, chosen, weights)

    def state(self) -> dict[str, Tensor]:
        return {}

    def restore(self, state: dict[str, Tensor]) -> None:
        pass


def _gathered(examples: Examples, chosen: Tensor, weights: Tensor) -> Batch:
    device = examples.inputs.device
    return Batch(examples.take(chosen.to(device)), weights.to(device), True)
