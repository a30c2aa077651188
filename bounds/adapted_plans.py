"""Plans and their budgets along any pair of noisy loops (see `bounds.adapted`).

A plan is an object with one method, `shift(step)`, that returns w_k from what is known before the noise of step k is
drawn. `accumulate` runs the pair with a plan, many runs side by side, and returns the budgets B and the log ratios L.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bounds import _checks

Array = NDArray[np.float64]
StepMap = Callable[[int, Array], Array]


class PeekError(ValueError):
    """A plan asked for noise that it may not know yet."""


class Past:
    """The standard normals of the steps before the present one, by number; later ones raise PeekError."""

    def __init__(self, drawn: Sequence[Array]) -> None:
        self._drawn = drawn
        self._known = len(drawn)

    def __len__(self) -> int:
        return self._known

    def __getitem__(self, step: int) -> Array:
        if not 0 <= step < self._known:
            raise PeekError(
                f"step = {step}: a plan at step {self._known} may know the noise of steps 0 to {self._known - 1} only"
            )
        return self._drawn[step]


@dataclass(frozen=True)
class Step:
    """What a plan may know at step k; the states have shape (runs, ...).

    number : k. noise_std : (N,). base, follower : X_k, Y_k. base_next, follower_next : phi_k(X_k), phi'_k(Y_k), where
    both go without noise. difference : e_k = phi_k(X_k) - phi'_k(X_k). past : the noise so far.
    """

    number: int
    noise_std: Array
    base: Array
    follower: Array
    base_next: Array
    follower_next: Array
    reference: StepMap
    past: Past

    @property
    def gap(self) -> Array:
        """The shift that would close the gap at once."""
        return self.base_next - self.follower_next

    @property
    def difference(self) -> Array:
        """e_k = phi_k(X_k) - phi'_k(X_k), found when asked for."""
        return self.base_next - self.reference(self.number, self.base)

    @property
    def left(self) -> int:
        """Steps after this one."""
        return len(self.noise_std) - 1 - self.number


class Plan(Protocol):
    """A rule for the shifts."""

    def shift(self, step: Step) -> Array: ...


@dataclass(frozen=True)
class Spread:
    """For any model: of the present gap the share sig_k^2 / sum_{j>=k} sig_j^2, as for steps that move gaps unchanged."""

    def shift(self, step: Step) -> Array:
        weights = step.noise_std[step.number :] ** 2
        return step.gap * (weights[0] / weights.sum())


@dataclass(frozen=True)
class Contracting:
    """For steps that shrink gaps by about `factor`: the share tau_k / sum_{j>=k} tau_j, tau_k = (factor^{N-1-k} sig_k)^2."""

    factor: float

    def share(self, step: Step) -> float:
        powers = self.factor ** np.arange(step.left, -1, -1)
        tau = (powers * step.noise_std[step.number :]) ** 2
        return float(tau[0] / tau.sum()) if tau[0] > 0 else 0.0

    def shift(self, step: Step) -> Array:
        return step.gap * self.share(step)


@dataclass(frozen=True)
class Forecasting:
    """As Contracting, of the present gap plus the differences still to come while the maps differ.

    `differing` steps have different maps (the learning steps); each coming difference is foreseen as the present one,
    and a shift now meets a difference at step j as factor^{-(j-k)} of it.
    """

    factor: float
    differing: int

    def shift(self, step: Step) -> Array:
        coming = max(self.differing - 1 - step.number, 0)
        worth = float(np.sum(self.factor ** -np.arange(1.0, coming + 1))) if coming else 0.0
        return (step.gap + worth * step.difference) * Contracting(self.factor).share(step)


@dataclass(frozen=True)
class AtTheEnd:
    """All shifts from step `start` on (the unlearning phase), evenly as `Contracting`; before it none."""

    factor: float
    start: int

    def shift(self, step: Step) -> Array:
        if step.number < self.start:
            return np.zeros_like(step.gap)
        return Contracting(self.factor).shift(step)


@dataclass(frozen=True)
class Accumulated:
    """One independent entry per run: `budgets` (runs,), B; `log_ratios` (runs,), L under the law run; `ends`, X_N."""

    budgets: Array
    log_ratios: Array
    ends: Array


def accumulate(
    base: StepMap,
    reference: StepMap,
    noise_std: ArrayLike,
    start: Array,
    plan: Plan,
    rng: np.random.Generator,
    *,
    under: Literal["base", "reference"] = "base",
) -> Accumulated:
    """Run X and its follower Y with a plan and add up what the shifts cost.

    base, reference : (k, states) -> states, the maps phi_k and phi'_k on states of shape (runs, ...), without noise.
    noise_std : (N,). start : (runs, ...), the common start. under : the law of the runs: "base" gives X fresh noise (the
    budgets and ratios of the forward direction); "reference" gives Y fresh noise (-L serves the reverse direction).

    The shift of the last noisy step is not the plan's: it closes the gap. Where the maps go on to differ without noise
    the gap opens again; such runs have an infinite budget.
    """
    std = _checks.array("noise_std", noise_std, "[0, inf)", ndim=1)
    _checks.choice("under", under, ("base", "reference"))
    noisy = np.flatnonzero(std > 0)
    final = int(noisy[-1]) if noisy.size else -1
    x, y = np.array(start, dtype=float), np.array(start, dtype=float)
    runs, axes = len(x), tuple(range(1, x.ndim))
    budgets, martingale = np.zeros(runs), np.zeros(runs)
    drawn: list[Array] = []
    for k in range(len(std)):
        x_next, y_next = base(k, x), reference(k, y)
        if std[k] == 0:
            x, y = x_next, y_next
            drawn.append(np.zeros_like(x))
            continue
        if k == final:
            w = x_next - y_next
        else:
            step = Step(k, std, x, y, x_next, y_next, reference, Past(tuple(drawn)))
            w = np.asarray(plan.shift(step), dtype=float)
            if w.shape != x.shape:
                raise ValueError(f"shift has shape {w.shape}: must be that of the states, {x.shape}")
        fresh = rng.standard_normal(x.shape)
        noise = fresh if under == "base" else fresh - w / std[k]
        budgets += np.sum(w * w, axis=axes) / std[k] ** 2
        martingale += np.sum(w * noise, axis=axes) / std[k]
        x = x_next + std[k] * noise
        y = y_next + w + std[k] * noise if k != final else x.copy()
        drawn.append(noise)
    apart = np.any((x != y).reshape(runs, -1), axis=1)
    budgets = np.where(apart | ~np.isfinite(budgets), np.inf, budgets)
    lost = np.inf if under == "base" else -np.inf  # a run whose ends differ promises nothing, in either direction
    return Accumulated(budgets, np.where(np.isfinite(budgets), martingale + 0.5 * budgets, lost), x)


class Linearised:
    """The linear plan of `bounds.adapted_linear` for maps that are nearly affine along a path known beforehand.

    base_path, reference_path : (N+1, D), the loops without noise. base_step, reference_step : (D, D), symmetric, the
    derivatives of a learning step with and without the point; after `differing` steps both are reference_step. The
    prediction uses them, the theorem does not: a poor derivative costs budget and nothing else. `telling` (D,) is the
    direction in which the two ends differ most against their noise, known before any run.
    """

    def __init__(
        self,
        base_path: Array,
        reference_path: Array,
        base_step: Array,
        reference_step: Array,
        noise_std: Array,
        differing: int,
    ) -> None:
        self._given = (base_path, reference_path, base_step, reference_step, noise_std, differing)
        factors, basis = np.linalg.eigh(reference_step)
        full, turn = np.linalg.eigh(base_step)
        self._basis, self._turn = basis, turn
        self._std = np.asarray(noise_std, dtype=float)
        self._mixed = basis.T @ turn
        self._factors, self._full = factors, full
        self._differing = differing
        self._base, self._reference = base_path @ basis, reference_path @ basis
        horizon = len(self._std)
        left = factors[None, :] ** np.arange(horizon, -1, -1)[:, None]  # Phi_k, diagonal
        variance = np.zeros_like(left)
        for k in range(horizon - 1, -1, -1):
            variance[k] = variance[k + 1] + (self._std[k] * left[k + 1]) ** 2
        self._phi = left
        with np.errstate(divide="ignore", invalid="ignore"):
            gains = self._std[:, None] ** 2 * left[1:] / variance[:-1]
        self._gains = np.where(variance[:-1] > 0, gains, 0.0)

        spread = np.maximum(variance[0], 1e-300)
        self.telling = basis @ ((self._base[-1] - self._reference[-1]) / spread)

    def exchanged(self) -> Linearised:
        """The plan from X' through the maps of X.

        Its products of learning and unlearning steps do not commute; they are taken as if all steps were the reference's,
        the forecast keeping the difference: a little more budget.
        """
        base_path, reference_path, base_step, reference_step, noise_std, differing = self._given
        return Linearised(reference_path, base_path, reference_step, base_step, noise_std, differing)

    def shift(self, step: Step) -> Array:
        k, shape = step.number, step.base.shape
        x = step.base.reshape(len(step.base), -1) @ self._basis
        y = step.follower.reshape(len(step.follower), -1) @ self._basis
        phi = self._phi[k]
        gap = phi * (x - y - (self._base[k] - self._reference[k])) + (self._base[-1] - self._reference[-1])
        if k < self._differing:
            # (Psi_k - Phi_k) applied to how far X has strayed
            strayed = x - self._base[k]
            learn = self._differing - k
            moved = ((strayed @ self._mixed) * self._full**learn) @ self._mixed.T - strayed * self._factors**learn
            gap = gap + self._phi[self._differing] * moved
        shift: Array = (gap * self._gains[k]) @ self._basis.T
        return shift.reshape(shape)
