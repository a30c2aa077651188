"""Noisy SGD over cyclic batches: the distance of two coupled runs and the divergence that contraction leaves of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from bounds import noisy_sgd
from linear.gaussian_renyi import OrnsteinUhlenbeck

from ..claim import Claim, Mutant
from ..court import Court
from ..legs import Comparison
from ..verdict import Truth

SOURCE = "Chien et al. 2024 (Noisy SGD)"


@dataclass(frozen=True)
class Cycle:
    """Batches of `batch` out of `size` points in a fixed cycle; factor 1 - step_size m per step."""

    step_size: float
    strong_convexity: float
    lipschitz: float
    size: int
    batch: int
    temperature: float
    unlearn_epochs: int
    order: float
    earlier_epochs: tuple[int, ...] = ()
    slot: int = 0
    kind: str = "last slot"

    @property
    def contraction(self) -> float:
        return 1 - self.step_size * self.strong_convexity

    @property
    def slots(self) -> int:
        return self.size // self.batch

    @property
    def distance(self) -> float:
        """Gap of two runs that have converged, the replaced point standing in the last slot of an epoch."""
        return 2 * self.step_size * self.lipschitz / (self.batch * -math.expm1(self.slots * math.log(self.contraction)))

    def shared(self) -> dict[str, Any]:
        """Keyword arguments of the library's functions; a quadratic has smoothness m."""
        return {
            "step_size": self.step_size,
            "strong_convexity": self.strong_convexity,
            "smoothness": self.strong_convexity,
            "size": self.size,
            "batch": self.batch,
        }


def cycles(court: Court, rng: np.random.Generator) -> Iterator[Cycle]:
    yield Cycle(0.2, 0.3, 1.5, 60, 12, 0.25, 3, 6.0, slot=4)
    for _ in range(80 * court.effort):
        step_size = float(np.exp(rng.normal(-1)))
        product = float(rng.choice([0.01, 0.1, rng.uniform(0.01, 0.6)]))
        slots, batch = int(rng.integers(1, 12)), int(rng.integers(1, 20))
        slot = slots - 1 if rng.random() < 0.5 else int(rng.integers(slots))
        yield Cycle(
            step_size,
            product / step_size,
            float(np.exp(rng.normal())),
            slots * batch,
            batch,
            float(np.exp(rng.normal())),
            int(rng.integers(1, 6)),
            float(1 + np.exp(rng.normal())),
            tuple(int(k) for k in rng.integers(1, 4, int(rng.integers(0, 3)))),
            slot,
            "last slot" if slot == slots - 1 else "another slot",
        )


def exact_divergence(case: Cycle) -> Truth:
    """Two linear chains with the same noise from starts `distance` apart."""
    chain = OrnsteinUhlenbeck(contraction=case.contraction, noise_std=math.sqrt(2 * case.step_size) * case.temperature)
    steps = case.unlearn_epochs * case.slots
    mean, variance = chain.after(case.distance, 0.0, steps)
    return Truth.of(case.order * mean**2 / (2 * variance), 1e-11)


def exact_distance(case: Cycle) -> Truth:
    """Linear chains without noise, step by step: distance from the last target's orbit when unlearning has ended.

    Each request replaces one more point in the same slot, each time with the same change 2M of its gradient; what is
    being unlearned ran on all earlier data in turn, the target has always run on the last.
    """
    settled = math.ceil(40 / (-math.log(case.contraction) * case.slots))
    position = _after_epochs(case, 0.0, 0, settled)
    for request, epochs in enumerate(case.earlier_epochs, start=1):
        position = _after_epochs(case, position, request, epochs)
    target = _after_epochs(case, 0.0, len(case.earlier_epochs) + 1, settled)
    return Truth.of(abs(target - position), 1e-11)


def _after_epochs(case: Cycle, position: float, replaced: int, epochs: int) -> float:
    shift = replaced * 2 * case.step_size * case.lipschitz / case.batch
    for _ in range(epochs):
        for slot in range(case.slots):
            position = case.contraction * position + (shift if slot == case.slot else 0.0)
    return position


def library_distance(case: Cycle) -> float:
    return noisy_sgd.noisy_sgd_distance(**case.shared(), lipschitz=case.lipschitz, earlier_epochs=case.earlier_epochs)


def scaled_distance(factor: Callable[[Cycle], float]) -> Callable[[Cycle], float]:
    return lambda case: library_distance(case) * factor(case)


def library_divergence(form: noisy_sgd.Form) -> Callable[[Cycle], float]:
    def promise(case: Cycle) -> float:
        value = noisy_sgd.noisy_sgd(
            order=case.order,
            distance=case.distance,
            temperature=case.temperature,
            unlearn_epochs=case.unlearn_epochs,
            form=form,
            **case.shared(),
        )
        return float(value)

    return promise


def divergence_form(
    *, eight: float = 4.0, minus: float = 1.0, distance: Callable[[float], float] = lambda z: z * z, steps: float = 2.0
) -> Callable[[Cycle], float]:
    """a Z^2 (1-c^2)/(eight eta sigma^2 (c^{-steps k} - minus)); for the mutants."""

    def promise(case: Cycle) -> float:
        c, k = case.contraction, case.unlearn_epochs * case.slots
        growth = math.exp(-steps * k * math.log(c)) - minus
        scale = eight * case.step_size * case.temperature**2 * growth
        return case.order * distance(case.distance) * (1 - c * c) / scale

    return promise


CLAIMS = (
    Claim(
        id="chien2024.noisy_sgd.distance",
        source=SOURCE + ", distance of coupled runs",
        statement=(
            "Z = 2 eta M/(b (1 - c^{n/b})), Z_{s+1} = c^{K_s n/b} Z_s + Z: two runs that differ in one point are that far apart, "
            "wherever in the cycle it stands."
        ),
        reading="the released code's distance; the worst slot is the last",
        provenance="public code",
        against="the gap of two linear chains followed slot by slot",
        promise=library_distance,
        legs=(Comparison(instances=cycles, truth=exact_distance, relation="tight"),),
        expected="survived",
        why="Attained by a point in the last slot; elsewhere the gap has already contracted by c^{n/b-j-1}.",
        mutants=(
            Mutant(name="M for 2M", promise=scaled_distance(lambda case: 0.5)),
            Mutant(
                name="slot factor of the first slot", promise=scaled_distance(lambda c: c.contraction ** (c.slots - 1))
            ),
            Mutant(
                name="last request only",
                promise=lambda case: noisy_sgd.noisy_sgd_distance(**case.shared(), lipschitz=case.lipschitz),
            ),
        ),
    ),
    Claim(
        id="chien2024.noisy_sgd.published",
        source=SOURCE + ", convergence bound",
        statement="eps(a) = (a Z^2/(2 eta sigma^2)) (1-c^2)/(c^{-2Kn/b} - 1).",
        provenance="public code",
        against="two linear chains of one variance from starts Z apart, exact",
        promise=library_divergence("shifted"),
        legs=(Comparison(instances=cycles, truth=exact_divergence),),
        expected="survived",
        why="Exactly twice the divergence of two linear chains, so a factor 2 can be saved; see the tight form.",
        mutants=(
            Mutant(name="8 eta sigma^2 for 2 eta sigma^2", promise=divergence_form(eight=8.0)),
            Mutant(name="Z for Z^2", promise=divergence_form(eight=2.0, distance=lambda z: z)),
            Mutant(
                name="4 eta sigma^2 for 2 eta sigma^2",
                promise=library_divergence("tight"),
                true_because="it is the tight form, proved by shifts and attained",
            ),
        ),
    ),
    Claim(
        id="chien2024.noisy_sgd.geometric",
        source=SOURCE + ", convergence bound",
        statement="eps(a) = (a Z^2/(2 eta sigma^2)) c^{2Kn/b}.",
        provenance="public code",
        against="two linear chains of one variance from starts Z apart, exact",
        promise=library_divergence("geometric"),
        legs=(Comparison(instances=cycles, truth=exact_divergence),),
        expected="survived",
        why="Twice as large as needed already after one step, where c^{-2} - 1 = (1-c^2)/c^2.",
        mutants=(
            Mutant(
                name="8 eta sigma^2 for 2 eta sigma^2",
                promise=lambda case: library_divergence("geometric")(case) / 4,
            ),
            Mutant(
                name="c^{4Kn/b}",
                promise=lambda case: (
                    library_divergence("geometric")(case) * case.contraction ** (2 * case.unlearn_epochs * case.slots)
                ),
            ),
        ),
    ),
    Claim(
        id="chien2024.noisy_sgd.tight",
        source=SOURCE + "; constant derived here",
        statement="From distance Z, k = Kn/b steps: eps(a) = a Z^2 (1-c^2)/(4 eta sigma^2 (c^{-2k} - 1)), attained.",
        provenance="derived",
        against="two linear chains of one variance from starts Z apart, exact",
        promise=library_divergence("tight"),
        legs=(Comparison(instances=cycles, truth=exact_divergence, relation="equal"),),
        expected="survived",
        mutants=(
            Mutant(name="8 eta sigma^2 for 4 eta sigma^2", promise=divergence_form(eight=8.0)),
            Mutant(name="c^{-2k} for c^{-2k} - 1", promise=divergence_form(minus=0.0)),
            Mutant(name="c^{-k} for c^{-2k}", promise=divergence_form(steps=1.0)),
        ),
    ),
)
