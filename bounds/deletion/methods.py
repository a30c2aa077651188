"""The ways to certify one deletion. Each gives, per direction, an upper bound on the log hockey-stick at any epsilon.

forward: unlearned from reference, P(X in S) <= e^eps P(X' in S) + delta; reverse: the roles exchanged.

For a bound through clipped sensitivities the repaired form of Theorem 4.3 is used. Clip the one-step difference at s_k
along the chain that serves as base; the clipped chain is mu-GDP against the other with no conditioning, and equals the
base outside an event of probability delta_s. Base X gives the forward direction with d_mu + delta_s. The reverse
direction follows with base X' and sensitivities sized along X' (variant V2: d_mu' + delta_s), or from the forward
chain with tail delta_s e^-eps (variant V1: P(X' in S) <= e^eps P(X^ in S) + d_mu and P(X^ in S) <= P(X in S) + tail).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from .. import coupling, gaussian_dp, interpolation, sensitivity
from .facts import DeletionFacts, Residuals

Array = NDArray[np.float64]
Base = Literal["learned", "reference"]

# Rounding of the few float operations behind a mu or a delta, many times over; it only ever enlarges a promise.
_UP = 1 + 1e-12


class Method(Protocol):
    """Upper bounds on the log hockey-stick in both directions.

    mu: nan where there is no single parameter; floor: the bounds never fall below it, whatever epsilon.
    """

    @property
    def mu(self) -> float: ...

    @property
    def floor(self) -> float: ...

    def forward(self, epsilon: float) -> float: ...

    def reverse(self, epsilon: float) -> float: ...


def log_add(first: float, second: float) -> float:
    """log(e^first + e^second), rounded up."""
    total = float(np.logaddexp(first, second))
    return total if math.isinf(total) else total + 4e-16 * (1 + abs(total))


def _log_delta(mu: float, epsilon: float) -> float:
    return float(gaussian_dp.log_delta(mu, epsilon))


def sensitivities(facts: DeletionFacts, base: Base, log_tail: float) -> Array:
    """s_k, k = 0..T-1, exceeded anywhere with probability at most e^log_tail along the base chain."""
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
            found = facts.step_size * facts.row_norm * residuals.norms * _UP
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
    def floor(self) -> float:
        return self.log_delta_s

    @cached_property
    def mu(self) -> float:
        facts = self.facts
        steps = sensitivities(facts, "learned", self.log_delta_s)
        if facts.learn_steps == 0 or facts.contraction > 1:
            # The closed form is for contractive chains; with no learning noise to use, optimal shifts are P1's.
            return _optimal(facts, steps, learn_noise=0.0)
        return interpolation.unlearning_only(
            sensitivity=steps,
            contraction=facts.contraction,
            unlearn_steps=facts.unlearn_steps,
            unlearn_noise=facts.unlearn_noise,
        )

    def forward(self, epsilon: float) -> float:
        kept = math.log1p(-math.exp(self.log_delta_s))
        return log_add(kept + _log_delta(self.mu, epsilon), self.log_delta_s)

    reverse = forward


@dataclass(frozen=True, eq=False)
class Clipped:
    """A bound through sensitivities clipped along a base chain, made two-sided by the repaired theorem."""

    facts: DeletionFacts
    log_delta_s: float

    @property
    def floor(self) -> float:
        return self.log_delta_s

    def parameter(self, base: Base, log_tail: float) -> float:
        """mu of the clipped chain with the given base and total tail probability."""
        raise NotImplementedError

    @cached_property
    def forward_mu(self) -> float:
        return self.parameter("learned", self.log_delta_s)

    @cached_property
    def reverse_mu(self) -> float:
        return self.parameter("reference", self.log_delta_s)

    @property
    def mu(self) -> float:
        """The larger of the two directions' parameters: with delta_s it serves both."""
        return max(self.forward_mu, self.reverse_mu)

    def forward(self, epsilon: float) -> float:
        return log_add(_log_delta(self.forward_mu, epsilon), self.log_delta_s)

    def from_reference(self, epsilon: float) -> float:
        """Variant V2 of the reverse direction."""
        return log_add(_log_delta(self.reverse_mu, epsilon), self.log_delta_s)

    def reverse(self, epsilon: float) -> float:
        from_reference = self.from_reference(epsilon)
        # V1 can only help where the reference chain's parameter is the larger one.
        if self.reverse_mu <= self.forward_mu:
            return from_reference
        if self.log_delta_s == -math.inf:
            return self.forward(epsilon)
        smaller_tail = self.parameter("learned", self.log_delta_s - max(epsilon, 0.0))
        from_learned = log_add(_log_delta(smaller_tail, epsilon), self.log_delta_s)
        return min(from_reference, from_learned)


@dataclass(frozen=True, eq=False)
class Hull(Clipped):
    """Proposition 4.2 with the optimal shifts over the whole horizon (greatest convex minorant)."""

    def parameter(self, base: Base, log_tail: float) -> float:
        return _optimal(self.facts, sensitivities(self.facts, base, log_tail), self.facts.learn_noise)


@dataclass(frozen=True, eq=False)
class WholeHorizon(Clipped):
    """Reading P2, the closed form with one shift over the whole horizon.

    It is a bound only where the hull has one segment; elsewhere its mu is raised to the hull's, the smallest
    parameter that is one.
    """

    def parameter(self, base: Base, log_tail: float) -> float:
        facts = self.facts
        steps = sensitivities(facts, base, log_tail)
        hull = _optimal(facts, steps, facts.learn_noise)
        if facts.learn_steps == 0 or facts.contraction > 1:
            return hull
        chord = interpolation.whole_horizon(
            sensitivity=steps,
            contraction=facts.contraction,
            unlearn_steps=facts.unlearn_steps,
            learn_noise=facts.learn_noise,
            unlearn_noise=facts.unlearn_noise,
        )
        return max(chord, hull)


@dataclass(frozen=True, eq=False)
class DirectionAware(Clipped):
    """Derived here: split the one-step difference into its mean and a clipped centred part.

    The mean part is undone by the least-norm open-loop control, the centred part zeta_k of step k by the least-norm
    control on steps >= k, which may depend on zeta_k since X_k is past. By Minkowski the controls of every path have
    norm at most mu = |S'^{-1/2}(m - m')| + eta sum_{k=1}^{T-1} q_k |V_k^{-1/2} R_k x|, R_k the map from after step k
    to the end, V_k the covariance that the noise of steps >= k has there (V_0 = S'), q_k the radius zeta_k is clipped
    at. A surely bounded control norm gives mu-GDP.
    """

    def parameter(self, base: Base, log_tail: float) -> float:
        facts = self.facts
        mean, per_step = self._reference_side if base == "learned" else self._learning_side
        if not facts.random_steps:
            return mean * _UP
        variances = getattr(facts, base).variances[1:]
        per_tail = log_tail - math.log(facts.learn_steps - 1)
        radius = sensitivity.central_radius(facts.outputs, log_tail=per_tail)
        return float(mean + facts.step_size * radius * np.sum(np.sqrt(variances) * per_step[1:])) * _UP

    @cached_property
    def _reference_side(self) -> tuple[float, Array]:
        """(mean term, |V_k^{-1/2} R_k x| for k = 0..T-1) with controls through the reference maps (diagonal)."""
        facts = self.facts
        learn = facts.learn_steps
        gap = facts.decay[:, None] * facts.mean_gap
        mean = _whitened_norm(gap, facts.reference_variance)
        remaining = facts.learn_variance[:, :0:-1]
        variance = facts.learn_noise**2 * facts.decay[:, None] ** 2 * remaining
        variance = variance + (facts.unlearn_noise**2 * facts.unlearn_variance)[:, None]
        arrived = (facts.decay * facts.row)[:, None] * facts.powers[:, :learn][:, ::-1]
        return mean, np.sqrt(_ratio_sum(arrived**2, variance))

    @cached_property
    def _learning_side(self) -> tuple[float, Array]:
        """The same with base X' and controls through the learning maps, which do not commute with the reference's."""
        facts = self.facts
        learn, outputs = facts.learn_steps, facts.outputs
        full_row = facts.overlap.T @ facts.row
        powers = facts.full_factors[:, None] ** np.arange(learn)
        sums = np.cumsum(powers**2, axis=1)
        carried = facts.decay[:, None] * facts.overlap
        unlearned = np.diag(facts.unlearn_noise**2 * facts.unlearn_variance)
        norms = np.empty(learn)
        mean = math.inf
        for k in range(learn):
            left = learn - 1 - k
            covariance = facts.learn_noise**2 * (carried * sums[:, left]) @ carried.T + unlearned
            arrived = carried @ (full_row * powers[:, left])
            sides = arrived[:, None]
            if k == 0:
                sides = np.hstack([sides, facts.decay[:, None] * facts.mean_gap])
            squares = _inverse_forms(covariance, sides)
            norms[k] = math.sqrt(squares[0])
            if k == 0:
                mean = math.sqrt(float(np.sum(squares[1 : 1 + outputs])))
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
    mu: float = math.nan
    floor: float = -math.inf

    @cached_property
    def _gap_law(self) -> tuple[Array, Array] | None:
        """(shift_squared, variances) of the whitened gap in a basis where its columns are uncorrelated."""
        facts = self.facts
        spread = facts.unlearn_noise * np.sqrt(facts.unlearn_variance)
        moved = facts.decay != 0
        if np.any(spread[moved] == 0):
            return None
        scale = np.divide(facts.decay, spread, out=np.zeros_like(spread), where=moved)
        arrivals = scale[:, None] * facts.row[:, None] * facts.powers[:, : facts.learn_steps][:, ::-1]
        covariance = facts.step_size**2 * arrivals @ self._residual_covariance @ arrivals.T
        variances, basis = np.linalg.eigh(0.5 * (covariance + covariance.T))
        shift = basis.T @ (scale[:, None] * facts.mean_gap)
        return np.sum(shift**2, axis=1) * _UP, np.maximum(variances, 0)

    @cached_property
    def _residual_covariance(self) -> Array:
        """Covariance over learning steps of one column of the residual's noise, (T, T), a sum of positive terms."""
        facts = self.facts
        learn = facts.learn_steps
        full_row = facts.overlap.T @ facts.row
        lagged = (full_row**2) @ facts.full_factors[:, None] ** np.arange(2 * learn)
        covariance = np.zeros((learn, learn))
        for k in range(learn - 1):
            covariance[k + 1, 1:] = covariance[k, :-1] + lagged[k : k + learn - 1]
        return facts.learn_noise**2 * covariance

    def forward(self, epsilon: float) -> float:
        if self._gap_law is None:
            return 0.0
        shift_squared, variances = self._gap_law
        value = float(coupling.log_expected_delta(shift_squared, variances, self.facts.outputs, epsilon))
        # E d_nu grows with the shifts but not always with the variances, so the rounding of these (some 1e-13 relative)
        # is met in the result: the logarithm moves by at most about (1 + |log|) times a relative change of them.
        return value if math.isinf(value) else value + 1e-11 * (1 + abs(value))

    reverse = forward


@dataclass(frozen=True, eq=False)
class Best:
    """In each direction the smallest of several valid bounds."""

    methods: tuple[Method, ...]

    @property
    def floor(self) -> float:
        return min(method.floor for method in self.methods)

    def certifies(self, epsilon: float, log_delta: float) -> bool:
        """Whether in each direction some method is at most log_delta; dear ones are asked last, if at all."""
        return any(method.forward(epsilon) <= log_delta for method in self.methods) and any(
            method.reverse(epsilon) <= log_delta for method in self.methods
        )

    @property
    def mu(self) -> float:
        return min(method.mu for method in self.methods if not math.isnan(method.mu))

    def forward(self, epsilon: float) -> float:
        return min(method.forward(epsilon) for method in self.methods)

    def reverse(self, epsilon: float) -> float:
        best = min(method.reverse(epsilon) for method in self.methods if not isinstance(method, Clipped))
        for method in self.methods:
            if isinstance(method, Clipped):
                # Neither variant can fall below both of these, and V1 is dear to evaluate.
                least = min(method.forward(epsilon), method.from_reference(epsilon))
                if least < best:
                    best = min(best, method.reverse(epsilon))
        return best


def _optimal(facts: DeletionFacts, steps: Array, learn_noise: float) -> float:
    """mu of the optimal shifts over both phases."""
    noise = np.repeat([learn_noise, facts.unlearn_noise], [facts.learn_steps, facts.unlearn_steps])
    gaps = np.concatenate([steps, np.zeros(facts.unlearn_steps)])
    return interpolation.optimal_shifts(gaps, noise, facts.contraction).mu


def _whitened_norm(gap: Array, variance: Array) -> float:
    return math.sqrt(float(np.sum(_ratio_sum(gap**2, variance[:, None]))))


def _ratio_sum(squares: Array, variances: Array) -> Array:
    """Column sums of squares/variances, 0/0 counting 0 and x/0 infinity."""
    ratio = np.divide(squares, variances, out=np.full(squares.shape, np.inf), where=variances > 0)
    total: Array = np.sum(np.where(squares == 0, 0.0, ratio), axis=0)
    return total


def _inverse_forms(covariance: Array, sides: Array) -> Array:
    """Diagonal of sides' covariance^{-1} sides, rounded up; infinite where the covariance is singular or nearly so.

    Coordinates may differ by hundreds of decades (a^K underflows long before the noise does), so they are scaled to
    unit variance first; what is left is as well conditioned as the correlations. A Cholesky solve then errs by at
    most about p eps / (smallest pivot) relative.
    """
    spread = np.sqrt(np.diag(covariance))
    alive = spread > 0
    forms: Array = np.where(np.any(sides[~alive] != 0, axis=0), np.inf, 0.0)
    scaled = covariance[np.ix_(alive, alive)] / np.outer(spread[alive], spread[alive])
    try:
        factor = np.linalg.cholesky(scaled)
    except np.linalg.LinAlgError:
        return np.where(np.any(sides != 0, axis=0), np.inf, 0.0)
    pivot = float(np.min(np.diag(factor), initial=1.0)) ** 2
    error = 8 * len(scaled) * np.finfo(float).eps / pivot
    if error > 1e-3:
        return np.where(np.any(sides != 0, axis=0), np.inf, 0.0)
    whitened = solve_triangular(factor, sides[alive] / spread[alive, None], lower=True, check_finite=False)
    forms += np.sum(whitened**2, axis=0) * (1 + error)
    return forms
