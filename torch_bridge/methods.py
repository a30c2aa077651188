"""The unlearning methods that the papers compare, each as a `Plan` with the noise that its promise needs.

All of them may end with the same noiseless, unclipped fine-tuning on the retained data (`finish`), which no promise
depends on. `noise_only` is the control every comparison needs: a draw that has seen no data, then the same finish.

The promises are those of `bounds`, for the algorithm in exact arithmetic and with ideal normal numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bounds import clipping, renyi_dp
from bounds._checks import array, count, number
from bounds.model_clipping import model_clipping_start
from torch_bridge.batches import BatchRule, PoissonBatches, ShuffledBatches
from torch_bridge.steps import StepRule, one_cycle
from torch_bridge.training import Phase, Plan, Start

Certifier = Literal["pair", "noise_only"]
# Orders tried: every bound holds at every order, a denser list would only sharpen it by a little.
_ORDERS = sorted({*range(2, 17), *np.geomspace(17, 2000, 18).astype(int).tolist()})


@dataclass(frozen=True, kw_only=True)
class Method:
    """A plan, and what it promises: (epsilon, delta) against a certifying algorithm, or nothing (`epsilon` None).

    `epsilon` 0 means that the result is exactly what it would have been without the forgotten examples.
    `noise_std` is per noisy step, `noisy_steps` how many there are, `mu` the Gaussian-DP parameter where there is one.
    """

    name: str
    plan: Plan
    noise_std: float = 0.0
    noisy_steps: int = 0
    mu: float | None = None
    epsilon: float | None = None
    delta: float | None = None
    certifier: str | None = None


def finish(
    *, steps: int, peak: float = 0.1, penalty: float = 5e-4, batches: BatchRule | None = None, warm_up: float = 0.25
) -> Phase:
    """Noiseless fine-tuning whose step size rises linearly to `peak` and falls linearly to 0 (one cycle)."""
    rule = StepRule(step_size=one_cycle(steps, peak, warm_up=warm_up), penalty=penalty)
    return Phase(steps=steps, rule=rule, batches=batches or ShuffledBatches(size=128))


def gradient_clipping(
    *,
    epsilon: float,
    delta: float,
    radius: float,
    clip: float,
    step_size: float,
    penalty: float,
    steps: int,
    batches: BatchRule,
    certifier: Certifier = "pair",
    after: Phase | None = None,
) -> Method:
    """Gradient clipping: projection on the ball of `radius`, then `steps` noisy steps with the batch gradient clipped."""
    noise = float(
        clipping.gradient_clipping_noise(
            epsilon=epsilon,
            delta=delta,
            radius=radius,
            clip=clip,
            step_size=step_size,
            penalty=penalty,
            steps=steps,
            certifier=certifier,
        )
    )
    mu = clipping.gradient_clipping(
        radius=radius,
        clip=clip,
        step_size=step_size,
        penalty=penalty,
        steps=steps,
        noise_std=noise,
        certifier=certifier,
    )
    rule = StepRule(step_size=step_size, penalty=penalty, noise_std=noise, clip=clip)
    plan = _plan(Start(radius=radius), Phase(steps=steps, rule=rule, batches=batches), after)
    return Method(
        name="gradient_clipping",
        plan=plan,
        noise_std=noise,
        noisy_steps=steps,
        mu=mu,
        epsilon=epsilon,
        delta=delta,
        certifier=certifier,
    )


def model_clipping(
    *,
    epsilon: float,
    delta: float,
    radius: float,
    step_size: float,
    penalty: float,
    steps: int | None = None,
    noise_std: float | None = None,
    batches: BatchRule,
    initial_radius: float | None = None,
    initial_noise_std: float = 0.0,
    after: Phase | None = None,
) -> Method:
    """Model clipping: noisy steps, each projecting the whole model on the ball of `radius` before the noise.

    Give `steps`, and the noise is calibrated, or `noise_std`, and the number of steps is. Noise at the start is
    optional; with it (and `initial_radius`) the two starts are less far apart, and fewer steps or less noise do.
    """
    if (steps is None) == (noise_std is None):
        raise ValueError(f"steps = {steps!r}, noise_std = {noise_std!r}: give exactly one of them")
    start = 1.0
    if number("initial_noise_std", initial_noise_std, "[0, inf)") > 0:
        if initial_radius is None:
            raise ValueError("initial_radius = None: noise at the start needs a projection before it")
        start = model_clipping_start(
            epsilon=epsilon, initial_radius=initial_radius, initial_noise_std=initial_noise_std
        )
    if noise_std is not None:
        steps = clipping.model_clipping_steps(
            epsilon=epsilon, delta=delta, radius=radius, noise_std=noise_std, initial_delta=start
        )
    else:
        steps = count("steps", steps, least=1)
        noise_std = clipping.model_clipping_noise(
            epsilon=epsilon, delta=delta, radius=radius, steps=steps, initial_delta=start
        )
    rule = StepRule(step_size=step_size, penalty=penalty, noise_std=noise_std, radius=radius)
    plan = _plan(
        Start(radius=initial_radius, noise_std=initial_noise_std), Phase(steps=steps, rule=rule, batches=batches), after
    )
    return Method(
        name="model_clipping",
        plan=plan,
        noise_std=noise_std,
        noisy_steps=steps,
        epsilon=epsilon,
        delta=delta,
        certifier="pair",
    )


def output_perturbation(
    *, epsilon: float, delta: float, radius: float, certifier: Certifier = "pair", after: Phase | None = None
) -> Method:
    """The trained model projected on the ball of `radius`, with noise once."""
    noise = clipping.output_perturbation_noise(epsilon=epsilon, delta=delta, radius=radius, certifier=certifier)
    return Method(
        name="output_perturbation",
        plan=_plan(Start(radius=radius, noise_std=noise), None, after),
        noise_std=noise,
        noisy_steps=1,
        mu=clipping.output_perturbation(radius=radius, noise_std=noise, certifier=certifier),
        epsilon=epsilon,
        delta=delta,
        certifier=certifier,
    )


def noise_only(method: Method) -> Method:
    """The data-free control of gradient clipping or output perturbation: its noise without its data, then its finish.

    N(0, noise_std^2 (1 + rho^2 + ... + rho^(2 (T-1)))) per parameter, rho = 1 - step_size penalty; exact unlearning.
    `bounds.clipping.gradient_clipping_total_variation` bounds what the method can gain over it.
    """
    if method.name == "output_perturbation":
        return Method(
            name="noise_only",
            plan=Plan(start=Start(kind="zero", noise_std=method.noise_std), phases=method.plan.phases),
            epsilon=0.0,
            delta=0.0,
        )
    if method.name != "gradient_clipping":
        raise ValueError(f"method = {method.name!r}: must be 'gradient_clipping' or 'output_perturbation'")
    rule = method.plan.phases[0].rule
    rho = 1.0 - float(rule.step_size) * rule.penalty  # type: ignore[arg-type]
    total = float(np.sum(rho ** (2.0 * np.arange(method.noisy_steps))))
    start = Start(kind="zero", noise_std=method.noise_std * math.sqrt(total))
    return Method(name="noise_only", plan=Plan(start=start, phases=method.plan.phases[1:]), epsilon=0.0, delta=0.0)


def retrain(*phases: Phase) -> Method:
    """A fresh initialisation, trained on the retained data: the reference, exact by definition."""
    return Method(name="retrain", plan=Plan(start=Start(kind="fresh"), phases=phases), epsilon=0.0, delta=0.0)


def fine_tune(*phases: Phase) -> Method:
    """The trained model, trained further on the retained data; nothing is promised."""
    return Method(name="fine_tune", plan=Plan(phases=phases))


def langevin(
    *,
    steps: int,
    step_size: float,
    temperature: float,
    penalty: float = 0.0,
    batches: BatchRule,
    after: Phase | None = None,
) -> Method:
    """Noisy fine-tuning (SGLD) of the trained model; nothing is promised without further assumptions."""
    rule = StepRule.langevin(step_size=step_size, temperature=temperature, penalty=penalty)
    noise = float(rule.noise_std)  # type: ignore[arg-type]
    plan = _plan(Start(), Phase(steps=steps, rule=rule, batches=batches), after)
    return Method(name="langevin", plan=plan, noise_std=noise, noisy_steps=steps)


def dp_training(
    *,
    epsilon: float,
    delta: float,
    group: int,
    examples: int,
    clip: float,
    step_size: float,
    steps: int,
    rate: float,
    penalty: float = 0.0,
) -> Method:
    """DP-SGD from a fresh initialisation, (epsilon, delta)-DP for groups of `group` examples added or removed.

    Unlearning a group is then fine-tuning alone (`fine_tune`). Every example's gradient is clipped to `clip`, noise of
    multiplier z times `clip` is added to the Poisson-sampled sum, and that is divided by the public number
    rate * `examples`. The multiplier is calibrated by the Renyi divergence of a step (`bounds.renyi_dp.sum_rule`),
    added over the steps, and group privacy (tight form); `noise_std` is what it adds to the parameters per step.
    """
    own_epsilon, own_delta = clipping.record_privacy(epsilon=epsilon, delta=delta, size=group)
    multiplier = dp_noise_multiplier(epsilon=own_epsilon, delta=own_delta, rate=rate, steps=steps)
    divisor = rate * count("examples", examples, least=1)
    noise = step_size * multiplier * clip / divisor
    rule = StepRule(step_size=step_size, penalty=penalty, noise_std=noise, example_clip=clip)
    phase = Phase(steps=steps, rule=rule, batches=PoissonBatches(rate=rate, divisor=divisor))
    return Method(
        name="dp_sgd",
        plan=Plan(start=Start(kind="fresh"), phases=(phase,)),
        noise_std=noise,
        noisy_steps=steps,
        epsilon=epsilon,
        delta=delta,
        certifier="trained without the group",
    )


def dp_epsilon(*, multiplier: ArrayLike, rate: float, steps: int, delta: float) -> NDArray[np.float64] | float:
    """The epsilon of `steps` steps of DP-SGD for one example added or removed, rounded up; the best of many orders.

    `multiplier`, the noise in multiples of the clip, may have any shape.
    """
    number("delta", delta, "(0, 1)")
    noise = array("multiplier", multiplier, "(0, inf)")
    best = np.full(noise.shape, np.inf)
    for order in _ORDERS:
        divergence = steps * np.asarray(renyi_dp.sum_rule(order=order, gradient_norm=1.0, noise_std=noise, rate=rate))
        known = np.isfinite(divergence)
        epsilon = renyi_dp.epsilon_improved(order=order, divergence=np.where(known, divergence, 0.0), delta=delta)
        best = np.where(known, np.minimum(best, epsilon), best)
    return best[()]


def dp_noise_multiplier(*, epsilon: float, delta: float, rate: float, steps: int) -> float:
    """The noise, in multiples of the clip, at which `dp_epsilon` is at most `epsilon`; the least up to 1e-4."""
    number("epsilon", epsilon, "(0, inf)")
    low, high = 1e-3, 1e9
    for _ in range(3):  # steps of the grid, in logs: 0.28, 0.0028, 0.00003
        grid = np.geomspace(low, high, 100)
        enough = np.asarray(dp_epsilon(multiplier=grid, rate=rate, steps=steps, delta=delta)) <= epsilon
        if not enough.any():
            raise ValueError(f"epsilon = {epsilon!r}, delta = {delta!r}: no noise up to 1e9 clips is enough")
        first = int(np.argmax(enough))
        low, high = grid[max(first - 1, 0)], grid[first]
    return float(high)


def _plan(start: Start, noisy: Phase | None, after: Phase | None) -> Plan:
    return Plan(start=start, phases=tuple(phase for phase in (noisy, after) if phase is not None))
