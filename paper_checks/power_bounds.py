"""Bounds written for `power`: deliberately wrong ones, from gross mistakes to 1% in a corner, and truly right ones.

A right bound says why it holds. A wrong one says how large its error is where it is largest, on instances on which the
right bound is attained: in mu for `contractive`, `ridge` and `clipped_chain`, in the divergence for the others. Gross
mistakes are natural ones (a lost factor, a forgotten step) whose size depends on the instance.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bounds import clipping, clipping_quoted, gaussian_dp, interpolation, renyi_dp, renyi_route
from bounds.deletion import certify

from .benarroch2026 import theorem_4_3
from .benarroch2026._readings import hull_mu, p2_mu
from .families.adapted import AdaptedInstance
from .families.clipped_chain import ClippedChain, displacement
from .families.contractive import ContractiveInstance
from .families.gaussian_renyi import GaussianTriple
from .families.path import PathInstance
from .families.ridge import RidgeInstance
from .koloskova2025 import gradient_clipping
from .mironov2017.weak_triangle import even_split, triangle
from .thudi2024 import composition
from .verdict import Log

Array = NDArray[np.float64]
Size = Literal["right", "gross", "20%", "5%", "2%", "1%"]
SIZES: tuple[Size, ...] = ("gross", "20%", "5%", "2%", "1%")
_SCALES: dict[Size, float] = {"20%": 0.8, "5%": 0.95, "2%": 0.98, "1%": 0.99}

# Room for the rounding of bounds written here without outward rounding.
_UP = 1 + 1e-10


@dataclass(frozen=True)
class Bound:
    """A bound of one family: `size` of its error, and why it is right or what is wrong with it."""

    name: str
    family: str
    size: Size
    promise: Callable[[Any], float | Log]
    why: str

    def __call__(self, instance: Any) -> float | Log:
        """What it promises; nothing (+inf) where its arithmetic gives out."""
        try:
            return self.promise(instance)
        except (ArithmeticError, np.linalg.LinAlgError):
            return math.inf


# --- contractive chains: a mu


def hull(chain: ContractiveInstance) -> float:
    return interpolation.optimal_shifts(chain.sensitivity, chain.noise_std, chain.contraction).mu


def _chain(chain: ContractiveInstance, **changes: Array) -> ContractiveInstance:
    return replace(chain, **changes)  # type: ignore[arg-type]


def _over(gap: float, noise: float) -> float:
    return 0.0 if gap == 0 else (gap / noise if noise > 0 else math.inf)


def all_paid_last(chain: ContractiveInstance) -> float:
    gap = 0.0
    for s, c in zip(chain.sensitivity, chain.contraction, strict=True):
        gap = c * gap + s
    return _over(float(gap), float(chain.noise_std[-1])) * _UP


def paid_at_once(chain: ContractiveInstance, power: float = 2.0) -> float:
    prices = [_over(float(s), float(n)) for s, n in zip(chain.sensitivity, chain.noise_std, strict=True)]
    return sum(price**power for price in prices) ** (1 / power) * _UP


def by_isotonic_fit(chain: ContractiveInstance) -> float:
    """The least sum over nondecreasing fits, by pooling from the left: written again, with plain loops."""
    if np.any(chain.noise_std == 0) or np.any(chain.contraction == 0):
        return math.inf
    reach = np.concatenate([np.cumprod(chain.contraction[:0:-1])[::-1], [1.0]])
    blocks: list[list[float]] = []
    for u, t in zip(reach * chain.sensitivity, (reach * chain.noise_std) ** 2, strict=True):
        blocks.append([float(u), float(t)])
        while len(blocks) > 1 and blocks[-2][0] * blocks[-1][1] >= blocks[-1][0] * blocks[-2][1]:
            last = blocks.pop()
            blocks[-1][0] += last[0]
            blocks[-1][1] += last[1]
    return math.sqrt(sum(u * u / t for u, t in blocks)) * _UP


def _where(condition: Callable[[Any], bool], scale: float, bound: Callable[[Any], float]) -> Callable[[Any], float]:
    """`bound`, too low by `scale` on some instances only."""
    return lambda instance: bound(instance) * (scale if condition(instance) else 1.0)


def _ratio_of_noises(chain: ContractiveInstance) -> float:
    least = float(chain.noise_std.min())
    return float(chain.noise_std.max()) / least if least > 0 else math.inf


CONTRACTIVE = [
    Bound("optimal shifts", "contractive", "right", hull, "the hull is the exact worst case"),
    Bound(
        "optimal shifts, by hand",
        "contractive",
        "right",
        by_isotonic_fit,
        "the same least-squares problem, solved otherwise",
    ),
    Bound("all shifts in the last step", "contractive", "right", all_paid_last, "one allowed choice of shifts"),
    Bound("every gap paid at once", "contractive", "right", paid_at_once, "one allowed choice of shifts"),
    Bound(
        "sum of the steps' mu",
        "contractive",
        "right",
        lambda i: paid_at_once(i, 1.0),
        "a sum exceeds the root of squares",
    ),
    Bound(
        "the better of two schedules",
        "contractive",
        "right",
        lambda i: min(paid_at_once(i), all_paid_last(i)),
        "both are allowed",
    ),
    Bound(
        "no contraction",
        "contractive",
        "right",
        lambda i: hull(_chain(i, contraction=np.maximum(i.contraction, 1.0))),
        "the worst case grows with the factors",
    ),
    Bound(
        "least noise everywhere",
        "contractive",
        "right",
        lambda i: hull(_chain(i, noise_std=np.full(i.steps, i.noise_std.min()))),
        "the worst case falls with the noise",
    ),
    *(
        Bound(f"optimal shifts, {size} low", "contractive", size, _where(lambda i: True, scale, hull), "scaled")
        for size, scale in _SCALES.items()
    ),
    Bound(
        "one shift over the whole horizon",
        "contractive",
        "gross",
        lambda i: interpolation.optimal_shifts(i.sensitivity, i.noise_std, i.contraction).lower,
        "the chord for the hull",
    ),
    Bound(
        "sum over largest noise",
        "contractive",
        "gross",
        lambda i: float(i.sensitivity.sum()) / float(i.noise_std.max()),
        "noise of another step",
    ),
    Bound(
        "factors of the step before",
        "contractive",
        "gross",
        lambda i: hull(_chain(i, contraction=np.concatenate([[1.0], i.contraction[:-1]]))),
        "off by one",
    ),
    Bound(
        "variance for deviation",
        "contractive",
        "gross",
        lambda i: hull(_chain(i, noise_std=i.noise_std**2)),
        "std for variance",
    ),
    Bound(
        "last gap forgotten",
        "contractive",
        "gross",
        lambda i: hull(_chain(i, sensitivity=np.concatenate([i.sensitivity[:-1], [0.0]]))),
        "range one too short",
    ),
    Bound(
        "factors squared",
        "contractive",
        "gross",
        lambda i: hull(_chain(i, contraction=i.contraction**2)),
        "squared for plain",
    ),
    Bound("5% low from four steps on", "contractive", "5%", _where(lambda i: i.steps >= 4, 0.95, hull), "in a corner"),
    Bound(
        "5% low under strong contraction",
        "contractive",
        "5%",
        _where(lambda i: bool(np.all(i.contraction < 0.5)), 0.95, hull),
        "in a corner",
    ),
    Bound(
        "2% low at noises a hundredfold apart",
        "contractive",
        "2%",
        _where(lambda i: 100 < _ratio_of_noises(i) < math.inf, 0.98, hull),
        "in a corner",
    ),
    Bound("1% low above mu = 30", "contractive", "1%", _where(lambda i: hull(i) > 30, 0.99, hull), "in a corner"),
]


# --- ridge deletions: a two-sided delta


def _privacy(mu: float, epsilon: float) -> float:
    return float(gaussian_dp.log_delta(mu, epsilon))


def _certified(method: str) -> Callable[[RidgeInstance], Log]:
    return lambda i: Log(certify(i.problem, i.schedule, i.index, delta_s=i.delta_s, method=method).log_delta(i.epsilon))


def _laws(instance: RidgeInstance) -> tuple[Array, Array, Array, Array]:
    """Means and covariances of both chains, by plain recursion."""
    x, y, s = instance.problem.features, instance.problem.targets, instance.schedule
    kept = np.arange(len(x)) != instance.index
    eye = np.eye(x.shape[1])
    rest = (eye - s.step_size * (x[kept].T @ x[kept] + instance.problem.ridge * eye), s.step_size * x[kept].T @ y[kept])
    full = (eye - s.step_size * (x.T @ x + instance.problem.ridge * eye), s.step_size * x.T @ y)
    laws: list[Array] = []
    for first in (full, rest):
        mean, cov = np.array(instance.problem.initial), np.zeros_like(eye)
        for (step, drift), noise, count in (
            (first, s.learn_noise, s.learn_steps),
            (rest, s.unlearn_noise, s.unlearn_steps),
        ):
            for _ in range(count):
                mean, cov = step @ mean + drift, step @ cov @ step + noise**2 * eye
        laws += [mean, cov]
    return laws[0], laws[1], laws[2], laws[3]


def pinsker(instance: RidgeInstance) -> float:
    """The square root of half the smaller Kullback-Leibler divergence, which bounds the total variation."""
    mean_p, cov_p, mean_q, cov_q = _laws(instance)
    least = math.inf
    for m, s, t in ((mean_p - mean_q, cov_p, cov_q), (mean_q - mean_p, cov_q, cov_p)):
        inverse = np.linalg.inv(t)
        ratio = inverse @ s
        logs = np.linalg.slogdet(t)[1] - np.linalg.slogdet(s)[1]
        columns = m.shape[1]
        twice = float(np.sum(m * (inverse @ m))) + columns * float(np.trace(ratio) - len(s) + logs)
        least = min(least, max(twice, 0.0) / 2 + 1e-12 * (1 + float(np.abs(ratio).sum()) + abs(float(logs))))
    return min(1.0, math.sqrt(least / 2) * _UP)


def _p1_of(scale: Callable[[RidgeInstance], float]) -> Callable[[RidgeInstance], Log]:
    """(1 - delta_s) d_mu + delta_s with P1's mu scaled."""

    def promise(i: RidgeInstance) -> Log:
        gaps = theorem_4_3.sensitivities(i)
        mu = scale(i) * theorem_4_3.p1_mu(i, gaps)
        return Log(theorem_4_3.log_sum(_privacy(mu, i.epsilon) + math.log1p(-i.delta_s), i.delta_s))

    return promise


def _other_noise(i: RidgeInstance) -> Log:
    schedule = replace(
        i.schedule, learn_noise=i.schedule.unlearn_noise, unlearn_noise=max(i.schedule.learn_noise, 1e-9)
    )
    return theorem_4_3.p1()(replace(i, schedule=schedule))


RIDGE = [
    *(
        Bound(f"certificate {method}", "ridge", "right", _certified(method), "proved two-sided; see bounds.deletion")
        for method in ("unlearning_only", "whole_horizon", "hull", "direction_aware", "coupling")
    ),
    Bound("P1 spelled out", "ridge", "right", theorem_4_3.p1(), "coupled learning, independent unlearning noise"),
    Bound("Pinsker", "ridge", "right", pinsker, "a hockey-stick at epsilon >= 0 is at most the total variation"),
    *(
        Bound(f"P1, mu {size} low", "ridge", size, _p1_of(lambda i, scale=scale: scale), "scaled")  # type: ignore[misc]
        for size, scale in _SCALES.items()
    ),
    Bound("P2 two-sided", "ridge", "gross", theorem_4_3.through_clipping(p2_mu), "one side for both"),
    Bound("optimal shifts two-sided", "ridge", "gross", theorem_4_3.through_clipping(hull_mu), "one side for both"),
    Bound(
        "the forward direction for both",
        "ridge",
        "gross",
        lambda i: Log(i.log_hockey_stick("forward") + 1e-8),
        "one side for both",
    ),
    Bound("delta_s not spent", "ridge", "gross", theorem_4_3.through_clipping(spend=lambda i: 0.0), "a lost term"),
    Bound("one unlearning step too many", "ridge", "gross", theorem_4_3.p1(unlearn=1), "off by one"),
    Bound("last learning step not counted", "ridge", "gross", theorem_4_3.p1(learn=1), "off by one"),
    Bound("unlearning variance for deviation", "ridge", "gross", theorem_4_3.p1_noise(2.0), "std for variance"),
    Bound("noises exchanged", "ridge", "gross", _other_noise, "the wrong phase's noise"),
    Bound("mu halved", "ridge", "gross", _p1_of(lambda i: 0.5), "a lost factor 2"),
    Bound(
        "mu 5% low from three unlearning steps on",
        "ridge",
        "5%",
        _p1_of(lambda i: 0.95 if i.schedule.unlearn_steps >= 3 else 1.0),
        "in a corner",
    ),
    Bound(
        "mu 2% low above epsilon 2",
        "ridge",
        "2%",
        _p1_of(lambda i: 0.98 if i.epsilon > 2 else 1.0),
        "in a corner",
    ),
    Bound(
        "mu 1% low for small steps",
        "ridge",
        "1%",
        _p1_of(lambda i: 0.99 if i.schedule.step_size * i.problem.smoothness < 0.3 else 1.0),
        "in a corner",
    ),
]


# --- Gaussian triples: a Rényi divergence


def exact_renyi(instance: GaussianTriple) -> float:
    """The Gaussian integral, written with eigenvalues; +inf already close to where the integral diverges."""
    p, q, a = instance.p, instance.q, instance.order
    root = np.linalg.cholesky(q.cov)
    half = np.linalg.solve(root, p.cov)
    ratio = np.linalg.solve(root, half.T)
    values, axes = np.linalg.eigh((ratio + ratio.T) / 2)
    mixed = a + (1 - a) * values
    if np.any(mixed < 1e-7 * a) or np.any(values < 1e-12):
        return math.inf
    gap = axes.T @ np.linalg.solve(root, p.mean - q.mean)
    terms = a * gap**2 / mixed + (np.log(mixed) - (1 - a) * np.log(values)) / (1 - a)
    return max(float(terms.sum()) / 2, 0.0) * (1 + 1e-6) + 1e-9 * a


def _unbounded_ignored(instance: GaussianTriple) -> float:
    """The same formula where the integral diverges, as if it did not."""
    p, q, a = instance.p, instance.q, instance.order
    mixed = (1 - a) * p.cov + a * q.cov
    gap = p.mean - q.mean
    shape = (np.linalg.slogdet(mixed)[1] - (1 - a) * np.linalg.slogdet(p.cov)[1] - a * np.linalg.slogdet(q.cov)[1]) / (
        1 - a
    )
    return abs(float(a * gap @ np.linalg.solve(mixed, gap) + shape)) / 2 + 1e-9


def _of_another_order(order: Callable[[float], float]) -> Callable[[GaussianTriple], float]:
    return lambda i: i.p.renyi(i.q, order(i.order)) * _UP + 1e-12


def _near(instance: GaussianTriple) -> bool:
    return float(np.linalg.norm(instance.p.mean - instance.q.mean)) < 1


GAUSSIAN_RENYI = [
    Bound("weak triangle", "gaussian_renyi", "right", lambda i: even_split(i) * _UP + 1e-12, "Hölder's inequality"),
    Bound("triangle at u = 3", "gaussian_renyi", "right", lambda i: _split(i, 3.0), "Hölder's inequality"),
    Bound("triangle at u = 1.2", "gaussian_renyi", "right", lambda i: _split(i, 1.2), "Hölder's inequality"),
    Bound("the integral itself", "gaussian_renyi", "right", exact_renyi, "exact, with room for rounding"),
    Bound(
        "twice the order",
        "gaussian_renyi",
        "right",
        _of_another_order(lambda a: 2 * a),
        "divergences grow with the order",
    ),
    *(
        Bound(f"weak triangle, {size} low", "gaussian_renyi", size, _where(lambda i: True, scale, even_split), "scaled")
        for size, scale in _SCALES.items()
    ),
    Bound("triangle with factor 1", "gaussian_renyi", "gross", triangle(factor=lambda a: 1.0), "a lost factor"),
    Bound("first term at order a", "gaussian_renyi", "gross", triangle(first=lambda a: a), "a dropped order"),
    Bound("second term at order a", "gaussian_renyi", "gross", triangle(second=lambda a: a), "a dropped order"),
    Bound("second term at order 2a-2", "gaussian_renyi", "gross", triangle(second=lambda a: 2 * a - 2), "off by one"),
    Bound("factor (a-1/2)/a", "gaussian_renyi", "gross", triangle(factor=lambda a: (a - 0.5) / a), "off by one"),
    Bound(
        "plain triangle inequality",
        "gaussian_renyi",
        "gross",
        lambda i: i.p.renyi(i.r, i.order) + i.r.renyi(i.q, i.order),
        "no divergence obeys it",
    ),
    Bound(
        "the other direction",
        "gaussian_renyi",
        "gross",
        lambda i: i.q.renyi(i.p, i.order) * _UP + 1e-12,
        "one side for both",
    ),
    Bound(
        "the order less one", "gaussian_renyi", "gross", _of_another_order(lambda a: max(a - 1, 1.001)), "off by one"
    ),
    Bound("infinite cases ignored", "gaussian_renyi", "gross", _unbounded_ignored, "a formula outside its domain"),
    Bound(
        "2% low above order 8", "gaussian_renyi", "2%", _where(lambda i: i.order > 8, 0.98, exact_renyi), "in a corner"
    ),
    Bound(
        "1% low in three dimensions",
        "gaussian_renyi",
        "1%",
        _where(lambda i: len(i.p.mean) == 3, 0.99, exact_renyi),
        "in a corner",
    ),
    Bound("5% low for means closer than 1", "gaussian_renyi", "5%", _where(_near, 0.95, exact_renyi), "in a corner"),
]


def _split(instance: GaussianTriple, split: float) -> float:
    a = instance.order
    first = instance.p.renyi(instance.r, split * a)
    second = instance.r.renyi(instance.q, split / (split - 1) * (a - 1) + 1)
    return float(renyi_dp.weak_triangle(order=a, first=first, second=second, split=split)) * _UP + 1e-12


# --- clipped fine-tuning: a delta


def _clipped(mu: Callable[[ClippedChain], float]) -> Callable[[ClippedChain], Log]:
    return lambda i: Log(_privacy(mu(i), i.epsilon))


def _all_last(i: ClippedChain) -> float:
    last, total, _ = i.sums
    return 2 * (i.radius * last + i.shift * total) / i.noise_std * _UP


def _by_orders(i: ClippedChain) -> Log:
    """The best of many Rényi orders."""
    mu = displacement(i) * _UP
    return Log(renyi_route.renyi_log_delta(mu=mu, epsilon=i.epsilon) if i.epsilon > 0 else 0.0)


def _variation(i: ClippedChain) -> float:
    return math.erf(displacement(i) / math.sqrt(8)) * _UP


def _quoted_nine(i: ClippedChain) -> float:
    return clipping_quoted.quoted_delta(
        epsilon=max(i.epsilon, 1e-9),
        radius=i.radius,
        clip=i.clip,
        step_size=i.step_size,
        penalty=0.0,
        steps=i.steps,
        noise_std=i.noise_std,
        form="9",
    )


def _scaled_pair(scale: Callable[[ClippedChain], float]) -> Callable[[ClippedChain], Log]:
    return _clipped(lambda i: scale(i) * displacement(i) * _UP)


CLIPPED_CHAIN = [
    Bound(
        "pair of starts",
        "clipped_chain",
        "right",
        gradient_clipping.promised(gradient_clipping.pair_mu),
        "optimal shifts",
    ),
    Bound(
        "displacement over deviation", "clipped_chain", "right", _scaled_pair(lambda i: 1.0), "the same, written out"
    ),
    Bound("all shifts in the last step", "clipped_chain", "right", _clipped(_all_last), "one allowed choice of shifts"),
    Bound(
        "equal shifts",
        "clipped_chain",
        "right",
        _clipped(lambda i: gradient_clipping.equal_shifts(i) * _UP),
        "dearer than the optimal ones",
    ),
    Bound("total variation", "clipped_chain", "right", _variation, "a hockey-stick at epsilon >= 0 is at most that"),
    Bound("through Rényi orders", "clipped_chain", "right", _by_orders, "a conversion that never undercuts the curve"),
    *(
        Bound(f"pair, mu {size} low", "clipped_chain", size, _scaled_pair(lambda i, scale=scale: scale), "scaled")  # type: ignore[misc]
        for size, scale in _SCALES.items()
    ),
    Bound("one start for two", "clipped_chain", "gross", _scaled_pair(lambda i: 0.5), "a lost factor 2"),
    Bound(
        "T for the sum of squares",
        "clipped_chain",
        "gross",
        gradient_clipping.promised(gradient_clipping.form(squares=lambda i: i.steps)),
        "weights forgotten",
    ),
    Bound(
        "one decay too many for the start",
        "clipped_chain",
        "gross",
        gradient_clipping.promised(gradient_clipping.form(start=1)),
        "off by one",
    ),
    Bound(
        "drift decays as the start does",
        "clipped_chain",
        "gross",
        gradient_clipping.promised(gradient_clipping.form(drift=1)),
        "off by one",
    ),
    Bound(
        "variance for deviation",
        "clipped_chain",
        "gross",
        _clipped(lambda i: displacement(i) / i.noise_std),
        "std for variance",
    ),
    Bound(
        "drift forgotten",
        "clipped_chain",
        "gross",
        _clipped(lambda i: displacement(replace(i, clip=0.0))),
        "a lost term",
    ),
    Bound(
        "certified against noise alone",
        "clipped_chain",
        "gross",
        lambda i: clipping.gradient_clipping_delta(
            epsilon=i.epsilon,
            radius=i.radius,
            clip=i.clip,
            step_size=i.step_size,
            penalty=i.penalty,
            steps=i.steps,
            noise_std=i.noise_std,
            certifier="noise_only",
        ),
        "another certifier's promise",
    ),
    Bound("the quoted 9, for every epsilon", "clipped_chain", "gross", _quoted_nine, "a condition dropped"),
    Bound(
        "mu 5% low from two steps on",
        "clipped_chain",
        "5%",
        _scaled_pair(lambda i: 0.95 if i.steps >= 2 else 1.0),
        "in a corner",
    ),
    Bound(
        "mu 2% low above epsilon 3",
        "clipped_chain",
        "2%",
        _scaled_pair(lambda i: 0.98 if i.epsilon > 3 else 1.0),
        "in a corner",
    ),
    Bound(
        "mu 1% low below noise 1/10",
        "clipped_chain",
        "1%",
        _scaled_pair(lambda i: 0.99 if i.noise_std < 0.1 else 1.0),
        "in a corner",
    ),
]


# --- paths: a Rényi divergence of the whole path


def _suprema(instance: PathInstance) -> float:
    return composition.suprema()(instance) * _UP


def _composed(**options: Any) -> Callable[[PathInstance], float]:
    promise = composition.composed(**options)
    return lambda i: promise(i) * _UP + 1e-12


def _largest_step_only(instance: PathInstance) -> float:
    gaps = [instance.largest_gap(step) for step in range(instance.steps)]
    return instance.order * max((gap / instance.noise_std) ** 2 for gap in gaps) / 2


PATH = [
    Bound("sum of suprema", "path", "right", _suprema, "adaptive composition"),
    Bound(
        "sum of suprema at twice the order",
        "path",
        "right",
        lambda i: 2 * _suprema(i),
        "divergences grow with the order",
    ),
    Bound("composed moments", "path", "right", _composed(), "Hölder's inequality from the last step back"),
    Bound(
        "composed moments, released orders",
        "path",
        "right",
        _composed(order_map="released"),
        "orders larger than needed",
    ),
    Bound(
        "the better of two",
        "path",
        "right",
        lambda i: min(_suprema(i), _composed()(i)),
        "both hold",
    ),
    *(
        Bound(f"sum of suprema, {size} low", "path", size, _where(lambda i: True, scale, _suprema), "scaled")
        for size, scale in _SCALES.items()
    ),
    Bound("order dropped", "path", "gross", composition.suprema(order=lambda a: 1.0), "a dropped order"),
    Bound("last step forgotten", "path", "gross", composition.suprema(last=1), "range one too short"),
    Bound("a-1 for a", "path", "gross", composition.suprema(order=lambda a: a - 1), "off by one"),
    Bound("largest step for the sum", "path", "gross", _largest_step_only, "max for sum"),
    Bound("steps at order a throughout", "path", "gross", composition.by_map(lambda b, p: b), "a dropped order"),
    Bound(
        "expectations under the other law",
        "path",
        "gross",
        composition.by_map(composition.hoelder, law="q"),
        "one side for both",
    ),
    Bound("orders counted from the start", "path", "gross", _composed(placement="start"), "index reversed"),
    Bound(
        "exponent without the power",
        "path",
        "gross",
        lambda i: composition.composed()(i) / i.power,
        "a lost factor",
    ),
    Bound(
        "average of the steps' divergences",
        "path",
        "gross",
        lambda i: composition.mean_of_plain_sums(i) if i.linear else math.inf,
        "a mean for a moment",
    ),
    Bound(
        "variance for deviation",
        "path",
        "gross",
        lambda i: _suprema(replace(i, noise_std=i.noise_std**2)),
        "std for variance",
    ),
    Bound("5% low from four steps on", "path", "5%", _where(lambda i: i.steps >= 4, 0.95, _suprema), "in a corner"),
    Bound("2% low above order 3", "path", "2%", _where(lambda i: i.order > 3, 0.98, _suprema), "in a corner"),
    Bound("1% low above noise 2", "path", "1%", _where(lambda i: i.noise_std > 2, 0.99, _suprema), "in a corner"),
]

# --- adapted shifts: a two-sided delta


def _ends(instance: AdaptedInstance) -> tuple[float, float, float, float]:
    """Means and variances of both ends, by plain recursion."""
    found: list[float] = []
    for factors, offsets in (
        (instance.base_factors, instance.base_offsets),
        (instance.reference_factors, instance.reference_offsets),
    ):
        mean = variance = 0.0
        for factor, offset, std in zip(factors, offsets, instance.noise_std, strict=True):
            mean, variance = factor * mean + offset, factor**2 * variance + std**2
        found += [float(mean), float(variance)]
    return found[0], found[1], found[2], found[3]


def _known_gap(
    scale: Callable[[AdaptedInstance], float] = lambda i: 1.0, power: float = 0.5
) -> Callable[[AdaptedInstance], Log]:
    """Exact where only offsets differ; elsewhere Pinsker's inequality, by the smaller of both divergences."""

    def promise(i: AdaptedInstance) -> Log:
        mean_p, var_p, mean_q, var_q = _ends(i)
        if np.array_equal(i.base_factors, i.reference_factors):
            return Log(_privacy(scale(i) * abs(mean_p - mean_q) / var_p**power * _UP, i.epsilon))
        gap = (mean_p - mean_q) ** 2
        twice = min(v / w + gap / w - 1 - math.log(v / w) for v, w in ((var_p, var_q), (var_q, var_p)))
        return Log(min(0.0, 0.5 * math.log(max(twice, 0.0) / 4 + 1e-12)))

    return promise


ADAPTED = [
    Bound("known gap, or Pinsker", "adapted", "right", _known_gap(), "exact for offsets; total variation otherwise"),
    *(
        Bound(f"known gap, mu {size} low", "adapted", size, _known_gap(lambda i, scale=scale: scale), "scaled")  # type: ignore[misc]
        for size, scale in _SCALES.items()
    ),
    Bound("variance for deviation", "adapted", "gross", _known_gap(power=1.0), "std for variance"),
    Bound("one start for two", "adapted", "gross", _known_gap(lambda i: 0.5), "a lost factor 2"),
    Bound(
        "mu 5% low from two steps on",
        "adapted",
        "5%",
        _known_gap(lambda i: 0.95 if i.steps > 1 else 1.0),
        "in a corner",
    ),
]

BOUNDS: tuple[Bound, ...] = (*CONTRACTIVE, *RIDGE, *GAUSSIAN_RENYI, *CLIPPED_CHAIN, *PATH, *ADAPTED)
