"""The data-free certifier: half the distance, equality for a linear loss, and the noise-only control."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import log_ndtr

from bounds import clipping, gaussian_dp
from linear.audit import hockey_stick_lower_bound

from ..claim import Claim, Mutant
from ..court import Court
from ..families import clipped_chain
from ..families.clipped_chain import ClippedChain
from ..legs import Comparison, Sample, Sampled
from ..verdict import Log, Truth
from ._settings import against_noise_only, setting

SOURCE = "Koloskova et al. 2025, gradient clipping; the certifier that sees no data, derived here"


@dataclass(frozen=True)
class Jump:
    """Two steps from +radius whose drift is +-step_size clip, jumping at `threshold` before the second."""

    chain: ClippedChain
    threshold: float
    kind: str = "drift that jumps"


def chain_of(case: ClippedChain | Jump) -> ClippedChain:
    return case.chain if isinstance(case, Jump) else case


def half_mu(case: ClippedChain) -> float:
    """mu = (radius rho^T + step_size clip S_T) / (noise_std sqrt(V_T))."""
    return clipping.gradient_clipping(**setting(case), noise_std=case.noise_std, certifier="noise_only")


def without_drift(case: ClippedChain) -> float:
    return half_mu(replace(case, clip=0.0))


def curve(mu: Callable[[ClippedChain], float], scale: float = 1.0) -> Callable[[ClippedChain | Jump], Log]:
    """log delta at the instance's epsilon, of a multiple of mu."""

    def promise(case: ClippedChain | Jump) -> Log:
        chain = chain_of(case)
        return Log(float(gaussian_dp.log_delta(scale * mu(chain), chain.epsilon)))

    return promise


def total_variation(case: ClippedChain | Jump) -> float:
    chain = chain_of(case)
    return clipping.gradient_clipping_total_variation(**setting(chain), noise_std=chain.noise_std)


def linear_chains(court: Court, rng: np.random.Generator) -> Iterator[ClippedChain]:
    yield ClippedChain(1.0, 1.0, 0.1, 0.0, 10, 4.7189172, 0.5, "linear loss")
    for case in clipped_chain.edge_cases():
        yield replace(case, kind="linear loss")
    for _ in range(120 * court.effort):
        yield replace(clipped_chain.sample(rng, 40), kind="linear loss")


def linear_chains_at_zero(court: Court, rng: np.random.Generator) -> Iterator[ClippedChain]:
    for case in linear_chains(court, rng):
        yield replace(case, epsilon=0.0)


def jumps(court: Court, rng: np.random.Generator) -> Iterator[Jump]:
    for _ in range(30 * court.effort):
        factor, drift, noise = rng.uniform(0.3, 1.0), rng.uniform(0.3, 1.5), rng.uniform(0.7, 3.0)
        epsilon = float(rng.choice([0.0, 0.2, 0.5]))
        chain = ClippedChain(1.0, drift, 1.0, 1 - factor, 2, noise, epsilon, "two steps")
        yield Jump(chain, factor + drift + noise * float(rng.uniform(-1.0, 1.0)))


def jumps_at_zero(court: Court, rng: np.random.Generator) -> Iterator[Jump]:
    for case in jumps(court, rng):
        yield replace(case, chain=replace(case.chain, epsilon=0.0))


def jump_truth(case: Jump) -> Truth:
    """Both directions of E_epsilon, by the midpoint rule on the closed-form density of the last point.

    With y the first point and x the last, each side of the jump contributes N(x; rho m +- c, (1 + rho^2) sigma^2)
    times the normal probability that y lay on that side. Kinks cost the rule at most step^2 times the slope there.
    """
    chain, cells = case.chain, 40_000
    rho, drift, noise, weight = chain.factor, chain.shift, chain.noise_std, math.exp(chain.epsilon)
    mean, std = rho * chain.radius + drift, noise * math.sqrt(1 + rho * rho)
    far = rho * mean + drift + 12 * std
    x, step = np.linspace(-far, far, cells, endpoint=False, retstep=True)
    x = x + 0.5 * step

    def side(sign: float) -> np.ndarray:
        off = x - rho * mean - sign * drift
        centre = mean + rho / (1 + rho * rho) * off
        inside = log_ndtr(sign * (centre - case.threshold) * math.sqrt(1 + rho * rho) / noise)
        return np.exp(inside - 0.5 * (off / std) ** 2) / (std * math.sqrt(2 * math.pi))

    run = side(1.0) + side(-1.0)
    free = np.exp(-0.5 * (x / std) ** 2) / (std * math.sqrt(2 * math.pi))
    ways = (np.maximum(run - weight * free, 0).sum(), np.maximum(free - weight * run, 0).sum())
    value = step * float(max(ways))
    return Truth.of(value, min(4 * weight * (step / std) ** 2 / value, 0.5))


def sampled_at(epsilon: float) -> Callable[[Court, np.random.Generator, float], tuple[ClippedChain, Sample]]:
    """The algorithm itself under a linear loss, and the data-free chain: a lower limit from samples alone."""

    def draw(court: Court, rng: np.random.Generator, false_alarm: float) -> tuple[ClippedChain, Sample]:
        case = ClippedChain(2.0, 1.0, 0.5, 0.4, 4, 1.0, epsilon, "linear loss")
        runs = 100_000 * court.effort
        x, y = np.full(runs, case.radius), np.zeros(runs)
        for _ in range(case.steps):
            x = x - case.step_size * (-case.clip + case.penalty * x) + case.noise_std * rng.standard_normal(runs)
            y = y - case.step_size * case.penalty * y + case.noise_std * rng.standard_normal(runs)
        lower = hockey_stick_lower_bound(x, y, epsilon, confidence=1 - false_alarm).delta
        exact = math.exp(against_noise_only(case).lower)
        return case, Sample(math.log(lower) if lower > 0 else -math.inf, 0.0, runs, exact / max(lower, 1e-300) - 1)

    return draw


def pairs_at_zero(court: Court, rng: np.random.Generator) -> Iterator[ClippedChain]:
    for case in clipped_chain.edge_cases():
        if case.steps == 1:
            yield replace(case, epsilon=0.0)


CLAIMS = (
    Claim(
        id="koloskova2025.noise_only.bound",
        source=SOURCE,
        statement=(
            "Against the chain y <- rho y + sigma xi from 0, a run is mu-GDP with mu = (C0 rho^T + g C1 S_T) / "
            "(sigma sqrt(V_T)), half that of two starts; a linear loss attains it."
        ),
        reading="certifier: the data-free chain",
        provenance="derived",
        against="linear losses (Gaussian, exact), two steps with a drift that jumps (density in closed form), samples",
        promise=curve(half_mu),
        legs=(
            Comparison(instances=linear_chains, truth=against_noise_only, relation="equal"),
            # The midpoint rule is good to 1e-6 of a density's height.
            Comparison(instances=jumps, truth=jump_truth, tolerance=1e-4, name="drift that jumps"),
            Sampled(draw=sampled_at(1.0)),
        ),
        expected="survived",
        why="Equality for every linear loss. The price: the noisy phase is nearly independent of all data.",
        mutants=(
            Mutant(name="half of it again (mu/4 of the pair)", promise=curve(half_mu, 0.5)),
            Mutant(name="drift forgotten (s = 0)", promise=curve(without_drift)),
            Mutant(name="the pair's mu called exact", promise=curve(half_mu, 2.0)),
        ),
    ),
    Claim(
        id="koloskova2025.noise_only.total_variation",
        source=SOURCE,
        statement=(
            "The model after the noisy steps is within total variation 2 Phi(mu/4) - 1 of N(0, sigma^2 V_T I), mu of "
            "two starts; so are the expected accuracies of both after any fine-tuning."
        ),
        provenance="derived",
        against="linear losses (exact), two steps with a drift that jumps (density in closed form), samples",
        promise=total_variation,
        legs=(
            Comparison(instances=linear_chains_at_zero, truth=against_noise_only, relation="equal"),
            Comparison(instances=jumps_at_zero, truth=jump_truth, tolerance=1e-4, name="drift that jumps"),
            Sampled(draw=sampled_at(0.0)),
        ),
        expected="survived",
        why="A correctly certified run cannot beat the noise-only control by more: the control belongs in every plot.",
        mutants=(
            Mutant(
                name="mu/8 for mu/4", promise=lambda case: float(gaussian_dp.delta(0.5 * half_mu(chain_of(case)), 0.0))
            ),
            Mutant(
                name="the same bound between two starts",
                leg=Comparison(instances=pairs_at_zero, truth=clipped_chain.truth),
            ),
        ),
    ),
)
