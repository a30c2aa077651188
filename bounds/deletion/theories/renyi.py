"""The theories that go by Rényi divergences, each as a question: does it promise the budget of a case?

Every function takes the unlearning noise and the number of unlearning steps and answers true or false.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from bounds import langevin_unlearning, lsi_decay, noisy_sgd, per_instance_unlearning, renyi_dp, renyi_step
from bounds.deletion.facts import Residuals

from .case import Array, Case, merged


def temperature(noise: float, step_size: float) -> float:
    """Langevin temperature of injected noise: noise = sqrt(2 step_size) temperature."""
    return noise / math.sqrt(2 * step_size)


def common_rate(constant: float, contraction: float, noise: float, steps: int) -> float:
    """Total log-Sobolev rate of `steps` common steps from a reference law with this constant."""
    factor, std = merged(contraction, noise, steps)
    if std <= 1e-150:
        return 0.0
    # 2 * (1/2) * std^2 is the injected variance
    return float(lsi_decay.decay_rate(constant=constant, contraction=factor, step_size=0.5, temperature=std))


def langevin(case: Case, noise: float, steps: int) -> bool:
    """Langevin unlearning as published, at the largest gradient of any row."""
    uniform, schedule = case.uniform, case.schedule
    learn = temperature(schedule.learn_noise, case.step_size)
    rate = common_rate(
        lsi_decay.strongly_convex_constant(temperature=learn, strong_convexity=uniform.strong_convexity),
        uniform.contraction,
        noise,
        steps,
    )

    def divergence(order: Array) -> Array:
        learned = langevin_unlearning.learning_bound(
            order=order,
            step_size=case.step_size,
            temperature=learn,
            strong_convexity=uniform.strong_convexity,
            smoothness=uniform.smoothness,
            lipschitz=uniform.gradient,
            size=1,
            learn_steps=schedule.learn_steps,
            cut="exponential",
        )
        return np.asarray(lsi_decay.unlearning_bound(order=order, initial=learned, rate=rate, unlearn_steps=1))

    return langevin_unlearning.epsilon_delta(divergence, delta=case.budget.left) <= case.budget.epsilon


def improved_slope(case: Case) -> tuple[float, float]:
    """(k, C): after learning the divergence is at most k * order, and C the reference law's log-Sobolev constant."""
    uniform, schedule = case.uniform, case.schedule
    return _improved_slope(
        case.step_size, schedule.learn_noise, schedule.learn_steps, uniform.gradient, uniform.contraction
    )


@lru_cache(maxsize=16)
def _improved_slope(
    step_size: float, learn_noise: float, learn_steps: int, gradient: float, contraction: float
) -> tuple[float, float]:
    learn = temperature(learn_noise, step_size)
    constants = lsi_decay.lsi_evolution(
        constant=0.0, contraction=contraction, step_size=step_size, temperature=learn, steps=learn_steps
    )
    at_two = langevin_unlearning.learning_bound_constants(
        order=2.0,
        step_size=step_size,
        temperature=learn,
        lipschitz=gradient / 2,  # that theory's gap is twice the bound, a removed row's is once
        size=1,
        constants=constants[1:],
    )
    return float(at_two) / 2, float(constants[-1])


def langevin_improved(case: Case, noise: float, steps: int) -> bool:
    """The same from a removal, with the true constants and without the 1/order."""
    slope, constant = improved_slope(case)
    rate = common_rate(constant, case.uniform.contraction, noise, steps)
    at_two = lsi_decay.hypercontractive_bound(
        order=2.0, initial=lambda order: slope * order, rate=rate, unlearn_steps=1
    )
    return at_two / 2 <= case.budget.renyi_slope


def per_instance_slope(case: Case) -> float:
    """Per-instance loss over the order: sum of s_k^2 / (2 learn_noise^2), the steps' losses at their largest."""
    losses = per_instance_unlearning.step_loss(
        order=2.0,
        gradient_norm=case.sensitivity / case.step_size,
        step_size=case.step_size,
        temperature=temperature(case.schedule.learn_noise, case.step_size),
        size=1,
    )
    return float(np.sum(losses)) / 2 * (1 + 1e-13)


def own_rate(case: Case, noise: float, steps: int) -> float:
    """Total rate at the constant that the law of retraining without this row really has."""
    _, std = merged(case.facts.contraction, case.schedule.learn_noise, case.schedule.learn_steps)
    return common_rate(std * std * (1 + 1e-11), case.facts.contraction, noise, steps)


def per_instance(case: Case, noise: float, steps: int) -> bool:
    """The per-instance reading with the steps' losses at their largest."""
    slope, rate = per_instance_slope(case), own_rate(case, noise, steps)
    found = langevin_unlearning.epsilon_delta(
        lambda order: np.asarray(
            lsi_decay.unlearning_bound(order=order, initial=order * slope, rate=rate, unlearn_steps=1)
        ),
        delta=case.budget.left,
        conversion="improved",
    )
    return found <= case.budget.epsilon


@lru_cache(maxsize=2)
def moment_losses(case: Case) -> tuple[Array, Array]:
    """Orders and, at each, the loss composed with Gaussian moments of the residual, best over powers; may be inf."""
    centre = 1 + 2 * math.log(1 / case.budget.delta) / case.budget.epsilon
    orders = 1 + (centre - 1) * np.geomspace(1e-3, 10, 33)
    losses = np.maximum(_moments(case, case.facts.learned, orders), _moments(case, case.facts.reference, orders))
    return orders, losses


def _moments(case: Case, residuals: Residuals, orders: Array) -> Array:
    facts = case.facts
    unit = (facts.step_size * facts.row_norm / facts.learn_noise) ** 2
    losses = np.full(orders.shape, np.inf)
    for power in facts.learn_steps * np.array([0.25, 0.5, 1.0, 2.0, 4.0, 16.0]) + 1:
        for position, order in enumerate(orders):
            each = renyi_dp.holder_orders(order=float(order), steps=facts.learn_steps, power=float(power))
            scale = power * (each - 1) * each * unit * (1 + 1e-14)
            moments = renyi_step.log_square_moment(
                scale=scale[:, None], mean=residuals.means, variance=residuals.variances[:, None]
            )
            total = float(np.sum(np.sum(moments, axis=1) / (power * (each - 1))))
            losses[position] = min(losses[position], total * (1 + 1e-12))
    return losses


def per_instance_moments(case: Case, noise: float, steps: int) -> bool:
    """The per-instance reading with Gaussian moments in place of largest losses."""
    orders, losses = moment_losses(case)
    rate = own_rate(case, noise, steps)
    divergence = lsi_decay.unlearning_bound(order=orders, initial=losses, rate=rate, unlearn_steps=1)
    found = renyi_dp.epsilon_improved(order=orders, divergence=divergence, delta=case.budget.delta)
    return bool(np.min(found) <= case.budget.epsilon)


def noisy_sgd_holds(case: Case, noise: float, steps: int) -> bool:
    """Noisy SGD with one batch: learning is a distance that the unlearning noise hides."""
    if noise == 0 or steps == 0:
        return False
    uniform = case.uniform
    convexity, smoothness = uniform.strong_convexity, uniform.smoothness
    distance = noisy_sgd.noisy_sgd_distance(
        step_size=case.step_size,
        strong_convexity=convexity,
        smoothness=smoothness,
        lipschitz=uniform.gradient,
        size=1,
        batch=1,
    )
    at_two = noisy_sgd.noisy_sgd(
        order=2.0,
        distance=distance,
        step_size=case.step_size,
        temperature=temperature(noise, case.step_size),
        strong_convexity=convexity,
        smoothness=smoothness,
        size=1,
        batch=1,
        unlearn_epochs=steps,
    )
    slope = float(at_two) / 2
    found = langevin_unlearning.epsilon_delta(lambda order: order * slope, delta=case.budget.left)
    return found <= case.budget.epsilon
