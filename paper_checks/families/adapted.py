"""Adapted shifts: a plan of your own on affine chains, against the exact divergence of their ends.

An instance holds two chains of one variable, X (base) and X' (reference), with the same noise levels and start, and
epsilon. A plan is an object with `shift(step)` (or a function of one step); what a step lets a plan know stands in
`bounds.adapted_plans.Step`. Two calls run it, many runs side by side, always with the same seed:

    instance.promise(plan)    the delta that the path theorem promises in both directions, at confidence 1 - 1e-9
    instance.budgets(plan)    the budgets B of runs from X, to make a promise of one's own

The noise of a step is drawn after its shift, and asking `step.past` for it is an error that says so: a plan that peeks is
reported as invalid. The truth is the larger exact hockey-stick of the two Gaussian laws at the end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bounds import adapted
from bounds.adapted_plans import Accumulated, Plan, Step, accumulate
from linear import GaussianPair

from ..verdict import Truth
from .base import Family, register
from .contractive import rounder_numbers

Array = NDArray[np.float64]
Rule = Callable[[Step], Array]

_RUNS = 4000
_CONFIDENCE = 1 - 1e-9


@dataclass(frozen=True)
class _Ruled:
    """A function of a step as a plan."""

    rule: Rule

    def shift(self, step: Step) -> Array:
        return self.rule(step)


@dataclass(frozen=True, eq=False)
class AdaptedInstance:
    """`base_factors`, `base_offsets`, `reference_factors`, `reference_offsets`, `noise_std`: (N,); `epsilon`.

    X_{k+1} = base_factors_k X_k + base_offsets_k + noise_std_k xi_k from 0, X' likewise.
    """

    base_factors: Array
    base_offsets: Array
    reference_factors: Array
    reference_offsets: Array
    noise_std: Array
    epsilon: float
    kind: str = "random"

    @property
    def steps(self) -> int:
        return len(self.noise_std)

    def base(self, k: int, states: Array) -> Array:
        """phi_k on states (runs, 1)."""
        return self.base_factors[k] * states + self.base_offsets[k]

    def reference(self, k: int, states: Array) -> Array:
        """phi'_k on states (runs, 1)."""
        return self.reference_factors[k] * states + self.reference_offsets[k]

    def _run(self, plan: Plan | Rule, under: str) -> Accumulated:
        chosen = plan if hasattr(plan, "shift") else _Ruled(plan)
        rng = np.random.default_rng([7, under == "base"])
        return accumulate(
            self.base,
            self.reference,
            self.noise_std,
            np.zeros((_RUNS, 1)),
            chosen,
            rng,
            under=under,  # type: ignore[arg-type]
        )

    def promise(self, plan: Plan | Rule) -> float:
        """The two-sided delta that the plan delivers."""
        forward = adapted.path_delta(self._run(plan, "base").log_ratios, self.epsilon, confidence=_CONFIDENCE)
        backward = self._run(plan, "reference").log_ratios
        return max(forward, adapted.path_delta(-backward, self.epsilon, confidence=_CONFIDENCE))

    def budgets(self, plan: Plan | Rule) -> Array:
        """B of runs from X, (4000,)."""
        return self._run(plan, "base").budgets

    @cached_property
    def pair(self) -> GaussianPair:
        """Exact laws at the end."""
        laws = []
        for factors, offsets in (
            (self.base_factors, self.base_offsets),
            (self.reference_factors, self.reference_offsets),
        ):
            mean, variance = 0.0, 0.0
            for factor, offset, std in zip(factors, offsets, self.noise_std, strict=True):
                mean, variance = factor * mean + offset, factor**2 * variance + std**2
            laws += [np.array([mean]), np.array([[variance]])]
        return GaussianPair(*laws)

    def __str__(self) -> str:
        def row(values: Array) -> str:
            return "(" + ", ".join(f"{value:.6g}" for value in values) + ")"

        return (
            f"N={self.steps}, X: {row(self.base_factors)} x + {row(self.base_offsets)}, X': "
            f"{row(self.reference_factors)} x + {row(self.reference_offsets)}, noise {row(self.noise_std)}, "
            f"epsilon {self.epsilon:.6g}"
        )


def _of(rows: list[tuple[float, float, float, float, float]], epsilon: float, kind: str) -> AdaptedInstance:
    base, base_offset, reference, reference_offset, std = np.array(rows, dtype=float).T
    return AdaptedInstance(base, base_offset, reference, reference_offset, std, epsilon, kind)


class Adapted(Family):
    """Two affine chains on the line with common noise; the claim returns a two-sided delta, by a plan or otherwise."""

    name = "adapted"
    holds = "base_factors, base_offsets, reference_factors, reference_offsets, noise_std (N,); epsilon; promise(plan), "
    holds += "budgets(plan)"
    returns = "the delta promised at that epsilon, in both directions; instance.promise(plan) makes one of a plan"
    truth_is = "the exact hockey-stick of the two Gaussian laws at the end, larger direction; certified in balls"
    tight_on = "chains whose maps differ by known offsets only"
    tolerance = 1e-8

    def edge_cases(self) -> list[AdaptedInstance]:
        return [
            _of([(1, 1, 1, 0, 1)], 0.5, "one step"),
            _of([(0.5, 1, 0.5, 0, 1), (0.5, 0, 0.5, 0, 1)], 0.5, "known gap"),
            _of([(1, 0, 1, 0, 1), (0.2, 0, 1, 0, 0.1)], 0.2, "random gap"),
            _of([(1, 0, 1, 0, 1), (0.2, 0, 1, 0, 0.1)], 3.0, "random gap"),
            _of([(1, 0, 1, 0, 1), (1, 0, 0.2, 0, 0.1)], 3.0, "random gap"),
        ]

    def sample(self, rng: np.random.Generator) -> AdaptedInstance:
        steps = int(rng.integers(1, 5))
        reference = rng.uniform(0, 1, steps)
        base = np.where(rng.random(steps) < 0.6, reference * rng.uniform(0.3, 1.2, steps), reference)
        offsets = rng.standard_normal((2, steps)) * rng.choice([0.0, 0.3, 1.0])
        std = np.exp(rng.uniform(-1.5, 0.5, steps))
        return AdaptedInstance(base, offsets[0], reference, offsets[1], std, float(rng.choice([0.0, 0.2, 1.0, 3.0])))

    def truth(self, instance: AdaptedInstance) -> Truth:
        both = [float(instance.pair.log_hockey_stick(instance.epsilon, reverse=side)) for side in (False, True)]
        value = max(both)
        return Truth(value, value) if math.isinf(value) else Truth.of_log(value, 1e-9 * (1 + abs(value)))

    def certify(self, instance: AdaptedInstance) -> Truth:
        found = [instance.pair.enclosure(instance.epsilon, reverse=side) for side in (False, True)]
        return Truth(max(lower for lower, _ in found), max(upper for _, upper in found))

    def simplify(self, instance: AdaptedInstance) -> Iterator[AdaptedInstance]:
        names = ("base_factors", "base_offsets", "reference_factors", "reference_offsets", "noise_std")
        for k in range(instance.steps if instance.steps > 1 else 0):
            yield replace(instance, **{name: np.delete(getattr(instance, name), k) for name in names})  # type: ignore[arg-type]
        for name in names:
            values = getattr(instance, name)
            for k, value in enumerate(values):
                for rounder in rounder_numbers(float(value)):
                    if name != "noise_std" or rounder > 0:
                        changed = values.copy()
                        changed[k] = rounder
                        yield replace(instance, **{name: changed})
        for rounder in rounder_numbers(instance.epsilon):
            yield replace(instance, epsilon=rounder)


register(Adapted())
