"""The closed forms "9" and "72" quoted by the released code, and "18": where they hold, and where they do not."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from bounds import clipping_quoted
from bounds.clipping_quoted import Form

from ..claim import Claim, Mutant
from ..court import Court
from ..families import clipped_chain
from ..families.clipped_chain import ClippedChain
from ..legs import Comparison
from ..verdict import Log
from ._settings import against_noise_only, setting

SOURCE = "Koloskova et al. 2025, noise for gradient clipping, as quoted by the released code"
AGAINST = "the largest attained hockey-stick divergence at the quoted noise, certified where it is Gaussian"
Instances = Callable[[Court, np.random.Generator], Iterator[ClippedChain]]

# Largest epsilon (rounded down) at which "9" is enough for two starts, delta by delta: where its sqrt(L) 3/epsilon,
# over the displacement, meets 1/mu(epsilon, delta) of the exact Gaussian curve.
NINE_HOLDS_UP_TO = {1e-5: 10.984, 1e-3: 8.900}


def quoted_delta(form: Form) -> Callable[[ClippedChain], float]:
    """The delta for which the form asks exactly for the instance's noise."""
    return lambda case: clipping_quoted.quoted_delta(
        epsilon=case.epsilon, **setting(case), noise_std=case.noise_std, form=form
    )


def other_constant(form: Form, constant: float) -> Callable[[ClippedChain], Log]:
    """The same with another constant: the logarithm of its delta is in inverse proportion to it."""
    return lambda case: Log(math.log(quoted_delta(form)(case)) * float(form) / constant)


def quoted(form: Form, epsilon: float, delta: float, kind: str = "random", **chain: Any) -> ClippedChain:
    """The chain with the noise the form asks for."""
    noise = clipping_quoted.quoted_noise(epsilon=epsilon, delta=delta, form=form, **chain)
    return ClippedChain(noise_std=noise, epsilon=epsilon, kind=kind, **chain)


def plain(form: Form, *, largest: float, count: int = 60, least: float = 0.0) -> Instances:
    """Chains without a penalty, epsilon up to `largest` (and from `least` on) times log(1/delta)."""

    def instances(court: Court, rng: np.random.Generator) -> Iterator[ClippedChain]:
        unit = {"radius": 1.0, "clip": 1.0, "step_size": 1.0, "penalty": 0.0}
        for delta in (1e-5, 10**-2.5, 1e-3, 1e-10):
            top = -largest * math.log(delta)
            for epsilon in (1.0, 0.5 * top, top):
                if epsilon >= -least * math.log(delta):
                    yield quoted(form, epsilon, delta, "one step", steps=1, **unit)
        for _ in range(count * court.effort):
            delta = float(10 ** rng.uniform(-8, -1))
            epsilon = -float(rng.uniform(max(least, 0.02 * largest), largest)) * math.log(delta)
            clip, step_size = float(np.exp(rng.normal(-1.0, 1.5))), float(rng.choice([1.0, 0.1]))
            steps = int(rng.integers(1, 5))
            case = quoted(form, epsilon, delta, radius=1.0, clip=clip, step_size=step_size, penalty=0.0, steps=steps)
            if _had(case):
                yield case

    return instances


def nine_in_its_range(court: Court, rng: np.random.Generator) -> Iterator[ClippedChain]:
    unit = {"radius": 1.0, "clip": 1.0, "step_size": 1.0, "penalty": 0.0}
    yield quoted("9", 1.0, 10**-2.5, "one step", steps=1, **unit)
    for delta, limit in NINE_HOLDS_UP_TO.items():
        yield quoted("9", limit, delta, "largest epsilon", steps=1, **unit)
        for _ in range(40 * court.effort):
            epsilon = float(rng.uniform(0.1, limit))
            yield quoted("9", epsilon, delta, "one step", steps=1, **unit | {"clip": float(rng.uniform(0, 3))})


def nine_at(epsilon: float, delta: float) -> Instances:
    def instances(court: Court, rng: np.random.Generator) -> Iterator[ClippedChain]:
        yield quoted("9", epsilon, delta, radius=1.0, clip=1.0, step_size=1.0, penalty=0.0, steps=1)

    return instances


def penalised(court: Court, rng: np.random.Generator) -> Iterator[ClippedChain]:
    """rho^(2T) <= 1/2; no drift, small and large."""
    for product, steps in ((0.1, 10), (0.5, 1), (0.5, 11), (0.3, 1), (0.9, 1)):
        for clip in (0.0, 1e-3, 1.0):
            case = quoted("72", 1.0, 1e-5, radius=1.0, clip=clip, step_size=1.0, penalty=product, steps=steps)
            if case.sums[0] ** 2 <= 0.5 and _had(case):
                yield case
    for _ in range(60 * court.effort):
        product, delta = float(rng.uniform(0.02, 0.95)), float(10 ** rng.uniform(-8, -1))
        least = max(1, math.ceil(-math.log(2) / (2 * math.log1p(-product))))
        epsilon = -float(rng.uniform(0.05, 3.0)) * math.log(delta)
        clip = float(np.exp(rng.normal(-2.0, 1.5))) * float(rng.random() < 0.7)
        steps = least + int(rng.integers(0, 3))
        case = quoted("72", epsilon, delta, radius=1.0, clip=clip, step_size=1.0, penalty=product, steps=steps)
        if _had(case):
            yield case


def barely_penalised(court: Court, rng: np.random.Generator) -> Iterator[ClippedChain]:
    yield quoted("72", 1.0, 1e-5, radius=1.0, clip=1e-4, step_size=1.0, penalty=1e-3, steps=1)


def _had(case: ClippedChain) -> bool:
    """Whether the quadrature gives the truth: it refuses values that are far too small to matter here."""
    try:
        clipped_chain.truth(case)
    except FloatingPointError:
        return False
    return True


def _pair(instances: Instances) -> Comparison:
    return Comparison(instances=instances, truth=clipped_chain.truth, certify=clipped_chain.certify)


def _alone(instances: Instances) -> Comparison:
    return Comparison(instances=instances, truth=against_noise_only)


CLAIMS = (
    Claim(
        id="koloskova2025.quoted_forms.nine_pair",
        source=SOURCE,
        statement="l = 0, eps <= 3 L: sigma^2 = 9 L (C0 + C1 g T)^2 / (eps^2 T) is enough, L = log(1/delta).",
        reading="certifier: the same steps from any other start in the ball",
        provenance="public code",
        against=AGAINST,
        promise=quoted_delta("9"),
        legs=(_pair(plain("9", largest=3.0)),),
        expected="refuted",
        why="Mironov's conversion gives 18 for two starts; 9 is too small for large epsilon.",
        repair="koloskova2025.quoted_forms.eighteen_pair",
    ),
    Claim(
        id="koloskova2025.quoted_forms.nine_pair_small_epsilon",
        source=SOURCE + " (range derived here)",
        statement="l = 0: form 9 is enough for two starts up to eps = 10.984 (delta = 1e-5), 8.900 (delta = 1e-3).",
        reading="certifier: the same steps from any other start in the ball; epsilon limited",
        provenance="derived",
        against=AGAINST,
        promise=quoted_delta("9"),
        legs=(_pair(nine_in_its_range),),
        expected="survived",
        mutants=(
            Mutant(name="4.5 for 9", promise=other_constant("9", 4.5)),
            Mutant(name="one limit for every delta", leg=_pair(nine_at(10.98, 1e-3))),
            Mutant(name="limit 10.99 at delta = 1e-5", leg=_pair(nine_at(10.99, 1e-5))),
        ),
    ),
    Claim(
        id="koloskova2025.quoted_forms.nine_noise_only",
        source=SOURCE,
        statement="l = 0, eps <= 3 L: form 9 is enough against the data-free chain.",
        reading="certifier: the data-free chain",
        provenance="derived",
        against="a linear loss against the data-free chain, a Gaussian pair, exact",
        promise=quoted_delta("9"),
        legs=(_alone(plain("9", largest=3.0)),),
        expected="survived",
        mutants=(
            Mutant(name="1 for 9", promise=other_constant("9", 1.0)),
            Mutant(name="no limit on epsilon (12 L)", leg=_alone(plain("9", largest=12.0, least=11.9))),
        ),
    ),
    Claim(
        id="koloskova2025.quoted_forms.eighteen_pair",
        source=SOURCE + " (constant reconstructed)",
        statement="l = 0, eps <= 3 L: sigma^2 = 18 L (C0 + C1 g T)^2 / (eps^2 T) is enough for two starts.",
        reading="certifier: the same steps from any other start in the ball",
        provenance="reconstructed",
        against=AGAINST,
        promise=quoted_delta("18"),
        legs=(_pair(plain("18", largest=3.0)),),
        expected="survived",
        mutants=(
            Mutant(name="no limit on epsilon (40 L)", leg=_pair(plain("18", largest=40.0, least=39.9, count=0))),
            Mutant(name="3 for 18", promise=other_constant("18", 3.0)),
        ),
    ),
    Claim(
        id="koloskova2025.quoted_forms.seventy_two",
        source=SOURCE,
        statement=(
            "l > 0, rho^{2T} <= 1/2, eps <= 3 L: sigma^2 = 72 g l L (C0 rho^T + C1/l)^2 / eps^2 is enough (two starts)."
        ),
        reading="the condition rho^{2T} <= 1/2 for the quoted g l in (1/2, 1), which implies it",
        provenance="public code",
        against=AGAINST,
        promise=quoted_delta("72"),
        legs=(_pair(penalised),),
        expected="survived",
        why="Far too large where C1/l dominates; without the condition too small.",
        mutants=(
            Mutant(name="condition dropped", leg=_pair(barely_penalised)),
            Mutant(name="7.2 for 72", promise=other_constant("72", 7.2)),
        ),
    ),
)
