"""Training, fine-tuning and unlearning: many runs at once, each a row with a seed of its own.

A `Plan` says where a run starts and which phases of noisy steps it makes; `train` carries it out. Every step of every
run draws fresh noise from the run's own `torch.Generator`, and a run's numbers do not depend on the runs beside it
(beyond rounding: matrix products of other shapes may round otherwise).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from bounds._checks import choice, count, number
from torch_bridge import checkpoints, randomness
from torch_bridge.batches import Batch, BatchRule, FullBatch
from torch_bridge.gradients import clipped_sum
from torch_bridge.network import Examples, Network
from torch_bridge.steps import StepRule, project

Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Start:
    """Where a run begins: a vector that is `given` (as `starts`), a `fresh` initialisation, or `zero`.

    It is projected on the ball of `radius`, if any, and then N(0, noise_std^2) is added to every parameter.
    """

    kind: Literal["given", "fresh", "zero"] = "given"
    radius: float | None = None
    noise_std: float = 0.0

    def __post_init__(self) -> None:
        choice("kind", self.kind, ("given", "fresh", "zero"))
        number("noise_std", self.noise_std, "[0, inf)")
        if self.radius is not None:
            number("radius", self.radius, "(0, inf)")


@dataclass(frozen=True, kw_only=True)
class Phase:
    """`steps` steps of one rule on batches of one kind."""

    steps: int
    rule: StepRule
    batches: BatchRule = field(default_factory=FullBatch)

    def __post_init__(self) -> None:
        count("steps", self.steps)
        self.rule.check_steps(self.steps)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A start and the phases that follow."""

    phases: tuple[Phase, ...]
    start: Start = field(default_factory=Start)

    @property
    def steps(self) -> int:
        """Steps of all phases together."""
        return sum(phase.steps for phase in self.phases)


@dataclass(frozen=True)
class Record:
    """Something measured along the runs: `measure(vectors)` (R, ...) before steps 0, every, 2 every, ..., and at the end
    if the number of steps is a multiple of `every`."""

    measure: Callable[[Tensor], Tensor]
    every: int = 1


@dataclass(frozen=True, eq=False)
class Run:
    """What `train` returns: the final vectors (R, d), and per record the steps (S,) and the values (S, R, ...)."""

    vectors: Tensor
    records: dict[str, Tensor]
    record_steps: dict[str, Tensor]
    seeds: tuple[int, ...]


def train(
    network: Network,
    examples: Examples,
    plan: Plan,
    *,
    seeds: Sequence[int],
    starts: Tensor | None = None,
    members: Tensor | None = None,
    stage: str | None = None,
    records: dict[str, Record] | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: int = 1000,
    progress: Progress | None = None,
) -> Run:
    """Carries out a plan once per seed, all runs side by side.

    Parameters
    ----------
    examples : the training examples; moved to the network's device.
    seeds : (R,) whole numbers: each fixes a run's initialisation, batches and noise, by streams of their own.
    starts : (R, d), or (d,) for all runs; needed where the plan starts from what is given.
    members : which examples a run uses, a mask (n,) or (R, n); all by default.
    stage : a word that tells calls with the same seeds apart: their batches and noise then share nothing. By default
        "continue" where the runs start from what is given and "begin" where they do not, so that learning and unlearning
        with one seed are independent. Whoever continues twice with one seed must name the stages.
    records : what to measure along the way, by name.
    checkpoint : file to resume from, if it is there, and to write every `checkpoint_every` steps and at the end. A file
        of another plan, other seeds, starts or examples is refused.
    progress : called with (steps done, steps in all).

    On the CPU the result depends on the arguments alone. Raises FloatingPointError when a run leaves the finite numbers.
    """
    seeds = tuple(count("seeds", seed) for seed in seeds)
    if not seeds:
        raise ValueError("seeds = (): must hold at least one")
    examples = _on_device(network, examples)
    masks = _members(members, len(seeds), len(examples.inputs))
    if stage is None:
        stage = "continue" if plan.start.kind == "given" else "begin"
    vectors = _started(network, plan.start, seeds, starts, stage)
    noise = randomness.generators(seeds, "noise", network.device, stage)
    batches = randomness.generators(seeds, "batches", stage=stage)
    records = records or {}
    seen: dict[str, list[Tensor]] = {name: [] for name in records}
    at: dict[str, list[int]] = {name: [] for name in records}

    stamp = None
    saved: dict | None = None
    if checkpoint is not None:
        stamp = checkpoints.fingerprint(
            repr(network),
            network.shapes,
            plan,
            seeds,
            stage,
            vectors,
            masks,
            tuple(examples),
            {n: r.every for n, r in records.items()},
        )
        saved = checkpoints.read(checkpoint, stamp)
    done = 0
    if saved is not None:
        vectors, done = saved["vectors"].to(network.device), saved["done"]
        for sources, states in ((noise, saved["noise"]), (batches, saved["batches"])):
            for source, state in zip(sources, states, strict=True):
                source.set_state(state)
        for name in records:
            at[name], seen[name] = list(saved["at"][name]), list(saved["seen"][name])

    def measure(step: int) -> None:
        for name, record in records.items():
            if step % count("every", record.every, least=1) == 0 and step not in at[name][-1:]:
                at[name].append(step)
                seen[name].append(record.measure(vectors).detach().cpu())

    def save(sampler_state: dict[str, Tensor]) -> None:
        if checkpoint is not None:
            content = {
                "vectors": vectors,
                "done": done,
                "noise": [source.get_state() for source in noise],
                "batches": [source.get_state() for source in batches],
                "sampler": sampler_state,
                "at": at,
                "seen": seen,
            }
            checkpoints.write(checkpoint, stamp, content)

    first = 0
    sampler_state: dict[str, Tensor] = {}
    for phase in plan.phases:
        if done >= first + phase.steps:
            first += phase.steps
            continue
        sampler = phase.batches.sampler(examples, masks, batches)
        if done > first and saved is not None:
            sampler.restore(saved["sampler"])
        for step in range(done - first, phase.steps):
            measure(done)
            vectors = one_step(network, phase, vectors, sampler.draw(), step, noise)
            done += 1
            if done % checkpoint_every == 0:
                sampler_state = sampler.state()
                save(sampler_state)
            if progress is not None:
                progress(done, plan.steps)
        first += phase.steps
    measure(done)
    if not bool(torch.isfinite(vectors).all()):
        raise FloatingPointError("a run left the finite numbers: take smaller steps, or clip the gradients")
    save(sampler_state)
    return Run(
        vectors,
        {name: torch.stack(values) for name, values in seen.items()},
        {name: torch.tensor(steps) for name, steps in at.items()},
        seeds,
    )


def one_step(
    network: Network,
    phase: Phase,
    vectors: Tensor,
    batch: Batch,
    step: int,
    sources: Sequence[torch.Generator],
) -> Tensor:
    """Step number `step` of a phase, for all runs (R, d)."""
    examples, batched = batch.examples, batch.batched
    weights = batch.weights.to(vectors.dtype)
    rule = phase.rule
    if rule.example_clip is None:
        gradients = network.gradients(vectors, examples, weights, batched=batched)
    else:
        gradients = clipped_sum(network, vectors, examples, weights, rule.example_clip, batched=batched)
    vectors = rule.move(vectors, gradients, step)
    if rule.noisy(step):
        vectors = rule.add_noise(vectors, randomness.normal(sources, vectors), step)
    return vectors


def _started(network: Network, start: Start, seeds: Sequence[int], starts: Tensor | None, stage: str) -> Tensor:
    if (starts is None) != (start.kind != "given"):
        rule = "needs starts" if start.kind == "given" else "takes no starts"
        raise ValueError(f"start.kind = {start.kind!r}: {rule}")
    if start.kind == "fresh":
        vectors = torch.stack([network.initial(seed) for seed in seeds])
    elif starts is None:
        vectors = torch.zeros((len(seeds), network.size), dtype=network.dtype, device=network.device)
    else:
        vectors = torch.as_tensor(starts).to(network.device, network.dtype)
        vectors = vectors.expand(len(seeds), -1).clone() if vectors.ndim == 1 else vectors.clone()
        if vectors.shape != (len(seeds), network.size):
            raise ValueError(f"starts have shape {tuple(starts.shape)}: must be {(len(seeds), network.size)}")
    if start.radius is not None:
        vectors = project(vectors, start.radius)
    if start.noise_std > 0:
        sources = randomness.generators(seeds, "start", network.device, stage)
        vectors = vectors + start.noise_std * randomness.normal(sources, vectors)
    return vectors


def _on_device(network: Network, examples: Examples) -> Examples:
    inputs, targets = examples
    if len(inputs) != len(targets) or len(inputs) == 0:
        raise ValueError(f"examples: {len(inputs)} inputs and {len(targets)} targets: must be equally many, not none")
    if inputs.is_floating_point() and inputs.dtype != network.dtype:
        raise ValueError(f"examples.inputs are {inputs.dtype}: must be {network.dtype}, as the network")
    return examples.to(network.device)


def _members(members: Tensor | None, runs: int, total: int) -> Tensor:
    if members is None:
        return torch.ones((runs, total), dtype=torch.bool)
    masks = torch.as_tensor(members)
    if masks.dtype != torch.bool or masks.shape not in ((total,), (runs, total)):
        raise ValueError(
            f"members have type {masks.dtype} and shape {tuple(masks.shape)}: must be a mask of shape "
            f"({total},) or ({runs}, {total})"
        )
    masks = masks.cpu().expand(runs, total)
    if not bool(masks.any(dim=1).all()):
        raise ValueError("members: every run must have at least one example")
    return masks
