"""One deletion: the two dynamics, in their eigenbases, that every exact law here is made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from linear import _checks, _powers
from linear.ridge import RidgeProblem
from linear.schedule import Schedule

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Deletion:
    """M = I - eta H on all the rows and A = I - eta H_ without row `index`; H = U diag U', H_ = V diag V'."""

    problem: RidgeProblem
    reference: RidgeProblem
    schedule: Schedule
    index: int

    @classmethod
    def of(cls, problem: RidgeProblem, schedule: Schedule, index: int) -> Deletion:
        index = _checks.position("index", index, problem.n_points)
        deletion = cls(problem, problem.without(index), schedule, index)
        _powers.refuse_overflow(deletion.rate, schedule.horizon)
        return deletion

    @property
    def rate(self) -> Array:
        """eta times the eigenvalues of H: M is 1 - rate along U."""
        return self.schedule.step_size * self.problem.eigenvalues

    @property
    def reference_rate(self) -> Array:
        """eta times the eigenvalues of H_: A is 1 - reference_rate along V."""
        return self.schedule.step_size * self.reference.eigenvalues

    @property
    def reference_std(self) -> Array:
        """Standard deviations of Q along the columns of V."""
        schedule, rate = self.schedule, self.reference_rate
        kept = np.abs(_powers.power(rate, schedule.unlearn_steps)) * np.sqrt(
            _powers.noise_gain(rate, schedule.learn_steps)
        )
        added = np.sqrt(_powers.noise_gain(rate, schedule.unlearn_steps))
        return np.hypot(schedule.learn_noise * kept, schedule.unlearn_noise * added)
