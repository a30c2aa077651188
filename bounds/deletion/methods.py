"""The ways to certify a deletion. Each gives, per direction, an upper bound on the log hockey-stick at any epsilon.

forward: unlearned from reference, P(X in S) <= e^eps P(X' in S) + delta; reverse: the roles exchanged.

For a bound through clipped sensitivities the repaired form of Theorem 4.3 is used. Clip the one-step difference at s_k
along the chain that serves as base; the clipped chain is mu-GDP against the other with no conditioning, and equals the
base outside an event of probability delta_s. Base X gives the forward direction with d_mu + delta_s. The reverse
direction follows with base X' and sensitivities sized along X' (variant V2: d_mu' + delta_s), or from the forward
chain with tail delta_s e^-eps (variant V1: P(X' in S) <= e^eps P(X^ in S) + d_mu and P(X^ in S) <= P(X in S) + tail).

One deletion or many: facts have leading axes (none, or (m,) for many deletions), and every number below has that shape,
as has an epsilon that is not the same for all.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from .. import coupling, gaussian_dp, interpolation, sensitivity
from .facts import DeletionFacts, Residuals

Array = NDArray[np.float64]
Base = Literal["learned", "reference"]

# Rounding of the few float operations behind a mu or a delta, many times over; it only ever enlarges a promise.
_UP = 1 + 1e-12
_ROUNDS = 20  # of sizing the tail in V1 for the epsilon found last
AUDIBLE = 1e-100  # a smaller noise is none for the coupling: whitened by it, what unlearning shrinks may underflow
_TAILS_PER_OCTAVE = 4  # of epsilon, in variant V1 of many deletions at epsilons of their own


class Method(Protocol):
    """Upper bounds on the log hockey-stick in both directions, for all the deletions of some facts.

    mu (...): nan where there is no single parameter; floor (...): the bounds never fall below it, whatever epsilon.
    forward, reverse: (...) at one epsilon for all, or at one for each, (...). For facts of one deletion numbers will do.
    A method is made by a builder `(facts, log_delta_s) -> Method`, which `certificate` knows by name; one written for
    single deletions serves many through `each`. A method may offer its own inverses, `forward_epsilon(log_delta)` and
    `reverse_epsilon(log_delta)`; others are inverted by `solve.inverse`.
    """

    @property
    def mu(self) -> Any: ...

    @property
    def floor(self) -> Any: ...

    def forward(self, epsilon: Any) -> Any: ...

    def reverse(self, epsilon: Any) -> Any: ...


Builder = Callable[[DeletionFacts, float], Method]


@dataclass(frozen=True, eq=False)
class Each:
    """A method written for one deletion, applied to each of many."""

    methods: tuple[Method, ...]

    @property
    def mu(self) -> Array:
        return np.array([method.mu for method in self.methods])

    @property
    def floor(self) -> Array:
        return np.array([method.floor for method in self.methods])

    def forward(self, epsilon: Any) -> Array:
        epsilons = np.broadcast_to(epsilon, len(self.methods)).tolist()
        return np.array([one.forward(at) for one, at in zip(self.methods, epsilons, strict=True)])

    def reverse(self, epsilon: Any) -> Array:
        epsilons = np.broadcast_to(epsilon, len(self.methods)).tolist()
        return np.array([one.reverse(at) for one, at in zip(self.methods, epsilons, strict=True)])


def each(builder: Builder) -> Builder:
    """A builder for many deletions from one for single deletions."""

    def build(facts: DeletionFacts, log_delta_s: float) -> Method:
        if not facts.shape:
            return builder(facts, log_delta_s)
        return Each(tuple(builder(facts[k], log_delta_s) for k in range(facts.shape[0])))

    return build


def log_add(first: Any, second: Any) -> Any:
    """log(e^first + e^second), rounded up."""
    total = np.logaddexp(first, second)
    with np.errstate(invalid="ignore"):
        return np.where(np.isinf(total), total, total + 4e-16 * (1 + np.abs(total)))[()]


def sensitivities(facts: DeletionFacts, base: Base, log_tail: float) -> Array:
    """s_k, k = 0..T-1, shape (..., T), exceeded anywhere with probability at most e^log_tail along the base chain."""
    if (base, log_tail) not in facts.sensitivities:
        residuals: Residuals = getattr(facts, base)
        if facts.random_steps:
            found = sensitivity.sensitivities(
                step_size=facts.step_size,
                row_norm=facts.row_norm,
                mean_norms=residuals.norms,
                variances=residuals.variances,
                dof=facts.outputs,
                log_delta_s=log_tail,
            )
        else:
            found = facts.step_size * np.asarray(facts.row_norm)[..., None] * residuals.norms * _UP
        facts.sensitivities[base, log_tail] = found
    return facts.sensitivities[base, log_tail]


@dataclass(frozen=True, eq=False)
class UnlearningOnly:
    """Reading P1: all shifts in the unlearning phase. Two-sided as it stands: couple both chains by the learning
    noise; outside an event of probability delta_s their gap is at most z_T, and the K unlearning steps are mu-GDP
    from any such gap; the hockey-stick is jointly convex, so it is at most (1 - delta_s) d_mu + delta_s."""

    facts: DeletionFacts
    log_delta_s: float

    @property
    def floor(self) -> Array:
        return np.full(self.facts.shape, self.log_delta_s)

    @cached_property
    def mu(self) -> Any:
        facts = self.facts
        steps = sensitivities(facts, "learned", self.log_delta_s)
        if facts.learn_steps == 0:
            return _optimal(facts, steps, learn_noise=0.0)
        mu = interpolation.unlearning_only(
            sensitivity=steps,
            contraction=np.minimum(facts.contraction, 1.0),
            unlearn_steps=facts.unlearn_steps,
            unlearn_noise=facts.unlearn_noise,
        )
        # The closed form is for contractive chains; with no learning noise to use, optimal shifts are P1's.
        return _where_expanding(facts, mu, lambda: _optimal(facts, steps, learn_noise=0.0))

    def forward(self, epsilon: Any) -> Any:
        kept = math.log1p(-math.exp(self.log_delta_s))
        return log_add(kept + gaussian_dp.log_delta(self.mu, epsilon), self.log_delta_s)

    def forward_epsilon(self, log_delta: float) -> Any:
        kept = math.log1p(-math.exp(self.log_delta_s))
        return gaussian_dp.epsilon_from_log_delta(self.mu, min(_left(log_delta, self.log_delta_s) - kept, 0.0))

    reverse, reverse_epsilon = forward, forward_epsilon


@dataclass(frozen=True, eq=False)
class Clipped:
    """A bound through sensitivities clipped along a base chain, made two-sided by the repaired theorem."""

    facts: DeletionFacts
    log_delta_s: float

    @property
    def floor(self) -> Array:
        return np.full(self.facts.shape, self.log_delta_s)

    def parameter(self, base: Base, log_tail: float) -> Any:
        """mu of the clipped chain with the given base and total tail probability."""
        raise NotImplementedError

    @cached_property
    def forward_mu(self) -> Any:
        return self.parameter("learned", self.log_delta_s)

    @cached_property
    def reverse_mu(self) -> Any:
        return self.parameter("reference", self.log_delta_s)

    @property
    def mu(self) -> Any:
        """The larger of the two directions' parameters: with delta_s it serves both."""
        return np.maximum(self.forward_mu, self.reverse_mu)

    def forward(self, epsilon: Any) -> Any:
        return log_add(gaussian_dp.log_delta(self.forward_mu, epsilon), self.log_delta_s)

    def forward_epsilon(self, log_delta: float) -> Any:
        return gaussian_dp.epsilon_from_log_delta(self.forward_mu, _left(log_delta, self.log_delta_s))

    def from_reference(self, epsilon: Any) -> Any:
        """Variant V2 of the reverse direction."""
        return log_add(gaussian_dp.log_delta(self.reverse_mu, epsilon), self.log_delta_s)

    def from_learned(self, epsilon: Any) -> Any:
        """Variant V1 of the reverse direction; it may be below V2 only where the reference chain's mu is the larger.

        Many deletions at epsilons of their own share tails: each is sized for the next of a few epsilons, which a
        smaller tail pays for as well.
        """
        if self.log_delta_s == -math.inf:
            return self.forward(epsilon)
        return log_add(gaussian_dp.log_delta(self._sized_for(epsilon), epsilon), self.log_delta_s)

    def _sized_for(self, epsilon: Any) -> Any:
        """mu of the clipped learning chain with tail delta_s e^-epsilon; infinite where V1 is of no use anyway."""
        if np.ndim(epsilon) == 0:
            return self.parameter("learned", self.log_delta_s - max(float(epsilon), 0.0))
        found = np.full(np.shape(epsilon), np.inf)
        octaves = _TAILS_PER_OCTAVE * np.log2(np.maximum(epsilon, 1e-6))
        sizes = 2.0 ** (np.ceil(octaves) / _TAILS_PER_OCTAVE) * (1 + 1e-12)
        contested = (self.reverse_mu > self.forward_mu) & np.isfinite(epsilon)
        for size in np.unique(sizes[contested]).tolist():
            at = np.flatnonzero(contested & (sizes == size))
            found[at] = type(self)(self.facts[at], self.log_delta_s).parameter("learned", self.log_delta_s - size)
        return found

    def reverse_epsilon(self, log_delta: float) -> Any:
        left = _left(log_delta, self.log_delta_s)
        found = gaussian_dp.epsilon_from_log_delta(self.reverse_mu, left)
        if self.log_delta_s == -math.inf:
            return np.minimum(found, self.forward_epsilon(log_delta))
        # A tail sized for some epsilon serves all below it: every round is valid and none is above the one before.
        for _ in range(_ROUNDS if np.ndim(found) == 0 else 1):
            if not np.any((self.reverse_mu > self.forward_mu) & np.isfinite(found)):
                break
            better = gaussian_dp.epsilon_from_log_delta(self._sized_for(found), left)
            if not np.any(better < found * (1 - 1e-10)):
                break
            found = np.minimum(found, better)
        return found

    def reverse(self, epsilon: Any) -> Any:
        from_reference = self.from_reference(epsilon)
        if not np.any(self.reverse_mu > self.forward_mu):
            return from_reference
        return np.minimum(from_reference, self.from_learned(epsilon))


@dataclass(frozen=True, eq=False)
class Hull(Clipped):
    """Proposition 4.2 with the optimal shifts over the whole horizon (greatest convex minorant)."""

    def parameter(self, base: Base, log_tail: float) -> Any:
        return _optimal(self.facts, sensitivities(self.facts, base, log_tail), self.facts.learn_noise)


@dataclass(frozen=True, eq=False)
class WholeHorizon(Clipped):
    """Reading P2, the closed form with one shift over the whole horizon.

    It is a bound only where the hull has one segment; elsewhere its mu is raised to the hull's, the smallest
    parameter that is one.
    """

    def parameter(self, base: Base, log_tail: float) -> Any:
        facts = self.facts
        steps = sensitivities(facts, base, log_tail)
        hull = _optimal(facts, steps, facts.learn_noise)
        if facts.learn_steps == 0:
            return hull
        chord = interpolation.whole_horizon(
            sensitivity=steps,
            contraction=np.minimum(facts.contraction, 1.0),
            unlearn_steps=facts.unlearn_steps,
            learn_noise=facts.learn_noise,
            unlearn_noise=facts.unlearn_noise,
        )
        return _where_expanding(facts, np.maximum(chord, hull), lambda: hull)


@dataclass(frozen=True, eq=False)
class DirectionAware(Clipped):
    """Derived here: split the one-step difference into its mean and a clipped centred part.

    The mean part is undone by the least-norm open-loop control, the centred part zeta_k of step k by the least-norm
    control on steps >= k, which may depend on zeta_k since X_k is past. By Minkowski the controls of every path have
    norm at most mu = |S'^{-1/2}(m - m')| + eta sum_{k=1}^{T-1} q_k |V_k^{-1/2} R_k x|, R_k the map from after step k
    to the end, V_k the covariance that the noise of steps >= k has there (V_0 = S'), q_k the radius zeta_k is clipped
    at. A surely bounded control norm gives mu-GDP.
    """

    def parameter(self, base: Base, log_tail: float) -> Any:
        facts = self.facts
        # They depend on the facts alone, and are shared by all that ask for them.
        side = f"_{base}_controls"
        if side not in facts.__dict__:
            facts.__dict__[side] = self._reference_side() if base == "learned" else self._learning_side()
        mean, per_step = facts.__dict__[side]
        up = _UP * (1 + 4 * np.asarray(facts.missed))
        if not facts.random_steps:
            return (mean * up)[()]
        variances = getattr(facts, base).variances[..., 1:]
        per_tail = log_tail - math.log(facts.learn_steps - 1)
        radius = sensitivity.central_radius(facts.outputs, log_tail=per_tail)
        spread = np.sum(np.sqrt(variances) * per_step[..., 1:], axis=-1)
        return ((mean + facts.step_size * radius * spread) * up)[()]

    def _reference_side(self) -> tuple[Array, Array]:
        """(mean term, |V_k^{-1/2} R_k x| for k = 0..T-1) with controls through the reference maps (diagonal)."""
        # Gaps and variances as they were before the unlearning steps: a^K would be common to both, and may underflow.
        facts = self.facts
        added = facts.unlearning_seen[..., None]
        variance = facts.learn_noise**2 * facts.learn_variance[..., :0:-1] + added
        gap = _ratio_sum(facts.mean_gap**2, facts.learn_noise**2 * facts.learn_variance[..., -1:] + added)
        return np.sqrt(np.sum(gap, axis=-1)), np.sqrt(_ratio_sum(facts.arrivals**2, variance))

    def _learning_side(self) -> tuple[Array, Array]:
        """The same with base X' and controls through the learning maps, which do not commute with the reference's."""
        facts = self.facts
        learn, overlap = facts.learn_steps, facts.overlap
        norms = np.empty((*facts.shape, learn))
        mean = np.full(facts.shape, np.inf)
        power, total = np.ones(facts.full_factors.shape), np.zeros(facts.full_factors.shape)
        for k in range(learn - 1, -1, -1):
            total = total + power**2
            covariance = (overlap * (facts.learn_noise**2 * total[..., None, :])) @ np.swapaxes(overlap, -1, -2)
            sides = overlap @ (facts.full_row * power)[..., None]
            if k == 0:
                sides = np.concatenate([sides, facts.mean_gap], axis=-1)
            squares = _inverse_forms(covariance, facts.unlearning_seen, sides)
            norms[..., k] = np.sqrt(squares[..., 0])
            if k == 0:
                mean = np.sqrt(np.sum(squares[..., 1:], axis=-1))
            power = power * facts.full_factors
            power[np.abs(power) < 1e-150] = 0.0  # subnormal numbers are slow
        return mean, norms


@dataclass(frozen=True, eq=False)
class Coupling:
    """Derived here, from the proof of P1: H <= E d_nu(eps), nu the whitened gap under the coupling by learning noise.

    Given the learned weights and their coupled reference, the unlearning steps shift a Gaussian of covariance
    V = unlearn_noise^2 sum_{k<K} A^{2k} by A^K (X_T - X'_T); joint convexity averages over that Gaussian gap. It needs
    no delta_s and no contraction, and serves both directions.
    """

    facts: DeletionFacts
    log_delta_s: float = -math.inf

    @property
    def mu(self) -> Array:
        return np.full(self.facts.shape, np.nan)

    @property
    def floor(self) -> Array:
        return np.full(self.facts.shape, -np.inf)

    def forward(self, epsilon: Any) -> Any:
        facts, law = self.facts, self.facts.unit_gap_law
        noise = np.asarray(facts.unlearn_noise)
        if law is None:
            return np.zeros(facts.shape)[()]
        scale = np.where(noise >= AUDIBLE, noise, 1.0)[..., None] ** -2.0
        shift_squared, variances = law
        value = coupling.log_expected_delta(shift_squared * (scale * _UP), variances * scale, facts.outputs, epsilon)
        # E d_nu grows with the shifts but not always with the variances, so the rounding of these (some 1e-13 relative)
        # and what the Krylov space misses are met in the result: the logarithm moves by at most about (1 + |log|) times
        # a relative change of them.
        with np.errstate(invalid="ignore"):
            raised = value + (1e-11 + 8 * np.asarray(facts.missed)) * (1 + np.abs(value))
        return np.where(noise >= AUDIBLE, np.where(np.isinf(value), value, raised), 0.0)[()]

    def forward_epsilon(self, log_delta: float) -> Any:
        facts, law = self.facts, self.facts.unit_gap_law
        noise = np.asarray(facts.unlearn_noise)
        if law is None:
            return np.full(facts.shape, np.inf)[()]
        raise_by = 1e-11 + 8 * np.asarray(facts.missed)
        target = (log_delta - raise_by) / (1 - raise_by) * (1 + 1e-15)
        scale = np.where(noise >= AUDIBLE, noise, 1.0)[..., None] ** -2.0
        shift_squared, variances = law
        found = coupling.epsilon_for(shift_squared * (scale * _UP), variances * scale, facts.outputs, target)
        return np.where(noise >= AUDIBLE, found, np.inf)[()]

    reverse, reverse_epsilon = forward, forward_epsilon


@dataclass(frozen=True, eq=False)
class Best:
    """In each direction the smallest of several valid bounds."""

    methods: tuple[Method, ...]

    @property
    def floor(self) -> Any:
        return _least(method.floor for method in self.methods)

    def certifies(self, epsilon: Any, log_delta: float) -> Any:
        """Whether in each direction some method is at most log_delta; dear ones are asked last, if at all."""
        forward = reverse = np.zeros((), dtype=bool)
        for method in self.methods:
            if not np.all(forward):
                forward = forward | (method.forward(epsilon) <= log_delta)
        for method in self.methods:
            # Where a direction fails for good the other one does not matter.
            if np.any(forward & ~reverse):
                reverse = reverse | (method.reverse(epsilon) <= log_delta)
        return forward & reverse

    @property
    def mu(self) -> Any:
        return _least(method.mu for method in self.methods if not np.all(np.isnan(method.mu)))

    def forward(self, epsilon: Any) -> Any:
        return _least(method.forward(epsilon) for method in self.methods)

    def reverse(self, epsilon: Any) -> Any:
        best = _least(method.reverse(epsilon) for method in self.methods if not isinstance(method, Clipped))
        for method in self.methods:
            if isinstance(method, Clipped):
                # Neither variant can fall below both of these, and V1 is dear to evaluate.
                least = np.minimum(method.forward(epsilon), method.from_reference(epsilon))
                if np.any(least < best):
                    best = np.minimum(best, method.reverse(epsilon))
        return best


def _left(log_delta: float, log_delta_s: float) -> float:
    """log(delta - delta_s), rounded down by what `log_add` rounds up; -inf where nothing is left."""
    if log_delta_s >= log_delta:
        return -math.inf
    left = log_delta + math.log(-math.expm1(log_delta_s - log_delta)) if log_delta_s > -math.inf else log_delta
    # d log(delta - delta_s) = delta / (delta - delta_s) times d log delta.
    return left - 2e-15 * (1 + abs(log_delta)) * max(1.0, math.exp(log_delta - left))


def _least(values: Any) -> Any:
    found = None
    for value in values:
        found = value if found is None else np.minimum(found, value)
    return found


def _optimal(facts: DeletionFacts, steps: Array, learn_noise: float) -> Any:
    """mu of the optimal shifts over both phases."""
    noise = np.empty((*facts.shape, facts.learn_steps + facts.unlearn_steps))
    noise[..., : facts.learn_steps] = learn_noise
    noise[..., facts.learn_steps :] = np.asarray(facts.unlearn_noise)[..., None]
    gaps = np.concatenate([steps, np.zeros((*facts.shape, facts.unlearn_steps))], axis=-1)
    return interpolation.optimal_mu(gaps, noise, np.asarray(facts.contraction)[..., None])[()]


def _where_expanding(facts: DeletionFacts, contractive: Any, otherwise: Callable[[], Any]) -> Any:
    """The first where the contraction factor is at most 1, else the second, which is only made where needed."""
    expanding = np.asarray(facts.contraction) > 1
    return np.where(expanding, otherwise(), contractive)[()] if expanding.any() else contractive


def _ratio_sum(squares: Array, variances: Array) -> Array:
    """Sums of squares/variances over the last axis but one, 0/0 counting 0 and x/0 infinity."""
    ratio = np.divide(squares, variances, out=np.full(squares.shape, np.inf), where=variances > 0)
    total: Array = np.sum(np.where(squares == 0, 0.0, ratio), axis=-2)
    return total


def _inverse_forms(covariance: Array, added: Array, sides: Array) -> Array:
    """Diagonals of sides' (covariance + diag(added))^{-1} sides, (..., s), rounded up; infinite where it is nearly singular.

    What is added may be infinite, and differ by hundreds of decades between coordinates, so they are scaled to unit
    variance first; what is left is as well conditioned as the correlations. A Cholesky solve then errs by at most about
    k eps / (smallest pivot) relative.
    """
    rank = covariance.shape[-1]
    spread = np.sqrt(np.diagonal(covariance, axis1=-2, axis2=-1) + added)
    alive = spread > 0
    inverse = np.divide(1.0, spread, out=np.zeros_like(spread), where=alive)
    scaled = covariance * (inverse[..., :, None] * inverse[..., None, :])
    scaled[..., np.arange(rank), np.arange(rank)] = 1.0  # a coordinate without variance stands by itself
    used = np.any(sides != 0, axis=-2)
    forms = np.where(np.any((sides != 0) & ~alive[..., None], axis=-2), np.inf, 0.0)
    factor = _cholesky(scaled)
    pivot = np.min(np.diagonal(factor, axis1=-2, axis2=-1), axis=-1) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.where(pivot > 0, 8 * rank * np.finfo(float).eps / pivot, np.inf)
    good = error <= 1e-3
    factor = np.where(good[..., None, None], factor, np.eye(rank))
    whitened = np.linalg.solve(factor, inverse[..., None] * sides)
    forms = forms + np.sum(whitened**2, axis=-2) * (1 + np.where(good, error, 0.0))[..., None]
    return np.where(good[..., None], forms, np.where(used, np.inf, 0.0))


def _cholesky(matrices: Array) -> Array:
    """Cholesky factors, zero where there is none."""
    try:
        factors: Array = np.asarray(np.linalg.cholesky(matrices), dtype=np.float64)
        return factors
    except np.linalg.LinAlgError:
        if matrices.ndim == 2:
            return np.zeros_like(matrices)
        return np.stack([_cholesky(matrix) for matrix in matrices])
