"""What is deleted, phase by phase: the two dynamics, in their eigenbases, that every exact law here is made of.

A chain learns on all the rows and then serves requests, each a set of rows to be forgotten: after a request it steps on
what is left. Its reference makes as many steps with the same noise, all on what is left at the very end. Deleting one
row is one request of one row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from linear import _checks, _powers
from linear.ridge import RidgeProblem
from linear.schedule import Schedule

Array = NDArray[np.float64]
Requests = Sequence[int | Sequence[int]]


@dataclass(frozen=True)
class Phase:
    """`steps` steps with injected noise `noise` on `problem`, whose rows `rows` (positions in the original problem,
    there may be none) the reference never sees: their features are `features` (s, p), their targets `targets` (s, C).
    """

    problem: RidgeProblem
    rows: tuple[int, ...]
    features: Array
    targets: Array
    steps: int
    noise: float


@dataclass(frozen=True)
class Deletion:
    """Learning, then one phase per request; M = I - eta H on all the rows, A = I - eta H_ without the deleted ones.

    H = U diag U', H_ = V diag V'. The last phase is on the reference's own rows, so that A serves both chains there.
    """

    problem: RidgeProblem
    reference: RidgeProblem
    schedule: Schedule
    phases: tuple[Phase, ...]

    @classmethod
    def of(cls, problem: RidgeProblem, schedule: Schedule, index: int) -> Deletion:
        """One row, deleted."""
        return cls.of_requests(problem, schedule, [_checks.position("index", index, problem.n_points)])

    @classmethod
    def of_requests(
        cls, problem: RidgeProblem, schedule: Schedule, requests: Requests, unlearn_noise: ArrayLike | None = None
    ) -> Deletion:
        """Requests served one after another, each by `schedule.unlearn_steps` steps.

        unlearn_noise: injected noise of each request (or one for all); by default the schedule's.
        """
        groups = _checks.requests("requests", requests, problem.n_points)
        noises = noise_of_requests(schedule, len(groups), unlearn_noise)
        present = [row for group in groups for row in group]
        phases, left = [], problem
        for group, steps, noise in zip(
            ((), *groups),
            (schedule.learn_steps, *[schedule.unlearn_steps] * len(groups)),
            (schedule.learn_noise, *noises),
            strict=True,
        ):
            if group:
                present = [row for row in present if row not in group]
                left = problem.without_rows(sorted({row for each in groups for row in each} - set(present)))
            rows = np.array(present, dtype=np.intp)
            phases.append(
                Phase(left, tuple(present), problem.features[rows], problem.targets[rows], steps, float(noise))
            )
        deletion = cls(problem, left, schedule, tuple(phases))
        _powers.refuse_overflow(deletion.rate, deletion.horizon)
        return deletion

    @property
    def rows(self) -> tuple[int, ...]:
        """All the rows deleted, in the order of the requests."""
        return self.phases[0].rows

    @property
    def horizon(self) -> int:
        """Number of steps of all phases together."""
        return sum(phase.steps for phase in self.phases)

    @property
    def rate(self) -> Array:
        """eta times the eigenvalues of H: M is 1 - rate along U."""
        return self.schedule.step_size * self.problem.eigenvalues

    @cached_property
    def reference_rate(self) -> Array:
        """eta times the eigenvalues of H_: A is 1 - reference_rate along V."""
        return self.schedule.step_size * self.reference.eigenvalues

    @property
    def reference_std(self) -> Array:
        """Standard deviations of Q along the columns of V."""
        return self.reference_std_after(len(self.phases))

    def reference_std_after(self, phases: int) -> Array:
        """The same after the first phases only."""
        rate = self.reference_rate
        std = np.zeros_like(rate)
        for phase in self.phases[:phases]:
            kept = np.abs(_powers.power(rate, phase.steps)) * std
            std = np.hypot(kept, phase.noise * np.sqrt(_powers.noise_gain(rate, phase.steps)))
        return std


def noise_of_requests(schedule: Schedule, count: int, unlearn_noise: ArrayLike | None) -> Array:
    """The injected noise of each of `count` requests: a read-only vector."""
    if unlearn_noise is None:
        unlearn_noise = schedule.unlearn_noise
    noises = _checks.real_array("unlearn_noise", unlearn_noise, dimensions=(0, 1))
    if noises.ndim == 1 and len(noises) != count:
        raise ValueError(f"unlearn_noise has {len(noises)} entries: must have one per request, {count}")
    if (noises < 0).any():
        raise ValueError(f"unlearn_noise holds {noises.min()}: no entry may be negative")
    return np.broadcast_to(noises, (count,))
