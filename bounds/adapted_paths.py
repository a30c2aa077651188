"""Adapted shifts for a deletion from ridge: the law of the whole shifted path, exactly, for many points at once.

Learning multiplies by M = I - eta H, the reference and all of unlearning by A = I - eta H_, M = A - eta x x'. The plan is
the certainty-equivalent one (`bounds.adapted_linear`): with V_k the covariance that the noise of steps >= k leaves at the
end and G_k the predicted final gap, the shift is sig_k^2 Phi_{k+1}' g_k, g_k = V_k^{-1} G_k, which ends at no gap. g is a
martingale (derived here): g_{k+1} = g_k + V_{k+1}^{-1} N_k xi_k, N_k = -sig_k A^K (A^n - M^n), n = T-1-k.

So along the path the innovations of the reference chain are eta = xi + S'g(xi), S_k = sig_k Phi_{k+1}: the shifted path Y
and the reference path X' are two Gaussian laws, N(s, (I+R)(I+R)') and N(0, I) per column, R strictly causal, and Y ends
where X ends. Both directions of the hockey-stick between the end points are at most that between the paths.

Two economies, both plans or errors that are accounted for. (1) The plan looks at the noise only at some instants, in
geometric progression of the steps left: a valid plan that wants a little more budget. (2) Innovations that matter to no
digit are left uncorrected: the end point is then off in total variation by at most half the root of what correcting them
in the last block would cost (Pinsker), which is returned and must be added to delta.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from bounds._gaussian_ratio import GaussianRatio

Array = NDArray[np.float64]

BLOCKS = 6
_DROPPED = 1e-19  # cost of the innovations left uncorrected, over all columns
_NOISE_FLOOR = 1e-15  # of an eigenvalue, relative to the largest, below which it is rounding
_SMALL = 120  # steps times dimensions up to which every step is kept, and nothing left out
_EQUAL = 1e-9  # |variance - 1| that counts as none; the error is accounted for


@dataclass(frozen=True)
class Deletions:
    """What the plan needs to know of m deletions, in coordinates where the reference step is diagonal.

    unlearn_noise : one for all, or (m,). factors, full_factors : (m, d), eigenvalues of A and of M. row : (m, d), x in
    the eigenbasis of A. overlap : (m, d, d), A's eigenbasis (rows) against M's. gap : (m, d, C), E X_T - E X'_T at the
    end of learning.
    """

    step_size: float
    learn_steps: int
    unlearn_steps: int
    learn_noise: float
    unlearn_noise: float | Array
    factors: Array
    full_factors: Array
    row: Array
    overlap: Array
    gap: Array


@dataclass(frozen=True)
class PathLaws:
    """m pairs (shifted path, reference path), the budget's law, and what was left out.

    ratio : likelihood ratio of the paths. left_out : (m,), in total variation. budget : (m,), E[B]. weights, pulls,
    base : B = base + sum_j weights_j |zeta_j|^2 + 2 sum_j <pulls_j, zeta_j>, zeta_j standard normal in C columns; pulls
    (m, q) holds the norms.
    """

    ratio: GaussianRatio
    left_out: Array
    weights: Array
    pulls: Array
    base: Array

    @property
    def budget(self) -> Array:
        """E[B]."""
        total: Array = self.base + self.ratio.columns * self.weights.sum(1)
        return total


def instants(learn_steps: int, unlearn_steps: int, blocks: int) -> NDArray[np.intp]:
    """Steps at which the plan takes stock, the first 0 and the last learn_steps - 1 (the last innovation is before)."""
    last = max(learn_steps - 1, 0)
    if blocks >= last + 1:
        return np.arange(last + 1)
    left = np.geomspace(learn_steps + unlearn_steps, unlearn_steps + 1, blocks)
    starts = np.round(learn_steps + unlearn_steps - left).astype(int)
    return np.unique(np.concatenate([[0], np.clip(starts, 0, last), [last]]))


Products = tuple[list[Array], list[Array]]


def path_laws(deletions: Deletions, blocks: int = BLOCKS, known: Products | None = None) -> PathLaws:
    """The laws under the plan that takes stock `blocks` times (at every step where there are few), see the module.

    known : `products` of the same learning phase, with any unlearning noise.
    """
    horizon, dimensions = deletions.learn_steps + deletions.unlearn_steps, deletions.factors.shape[1]
    if horizon * dimensions <= _SMALL and np.all(np.asarray(deletions.unlearn_noise) > 0):
        return _step_by_step(deletions)
    starts = instants(deletions.learn_steps, deletions.unlearn_steps, blocks)
    return _Plan(deletions, starts).laws(products(deletions, blocks) if known is None else known)


def products(deletions: Deletions, blocks: int = BLOCKS) -> Products:
    """What the learning phase contributes, per block but the last, each (m, d, d): sums over its steps of E E' and of
    -A^n E', E = A^n - M^n, n the steps left to learn; no step's noise, nothing of unlearning.
    """
    of = deletions
    starts = instants(of.learn_steps, of.unlearn_steps, blocks)
    points, dimensions = of.factors.shape
    last = len(starts) - 1
    squares = [np.zeros((points, dimensions, dimensions)) for _ in range(last)]
    crosses = [np.zeros((points, dimensions, dimensions)) for _ in range(last)]
    gap = np.zeros((points, dimensions, dimensions))  # A^n - M^n, rows in A's basis, columns in M's
    powers, arrived = np.ones_like(of.factors), np.einsum("mij,mi->mj", of.overlap, of.row)
    for n in range(of.learn_steps if last and of.learn_noise > 0 else 0):
        block = int(np.searchsorted(starts, of.learn_steps - 1 - n, side="right")) - 1
        if n > 0 and block < last:
            turned = gap.transpose(0, 2, 1)
            squares[block] += gap @ turned
            crosses[block] -= powers[:, :, None] * (of.overlap @ turned)
        gap = of.factors[:, :, None] * gap + of.step_size * of.row[:, :, None] * arrived[:, None, :]
        powers, arrived = powers * of.factors, arrived * of.full_factors
    return squares, crosses


def _step_by_step(of: Deletions) -> PathLaws:
    """The plan that looks at every step, all noise kept: eigenvalues of (N d, N d) matrices, no products squared."""
    points, d, columns = of.gap.shape
    learn, horizon = of.learn_steps, of.learn_steps + of.unlearn_steps
    noise = np.broadcast_to(np.asarray(of.unlearn_noise, dtype=float), (points,))[:, None]
    std = [np.full((points, 1), of.learn_noise)] * learn + [noise] * of.unlearn_steps
    left = of.factors[None] ** np.arange(horizon, -1, -1)[:, None, None]  # Phi_k, diagonal
    variance = np.zeros((horizon + 1, points, d))
    for k in range(horizon - 1, -1, -1):
        variance[k] = variance[k + 1] + (std[k] * left[k + 1]) ** 2
    # innovations N_j, from the last learning step back; rows in A's basis, columns in M's
    innovations = np.zeros((horizon, points, d, d))
    gap, arrived = np.zeros((points, d, d)), np.einsum("mij,mi->mj", of.overlap, of.row)
    for n in range(learn):
        innovations[learn - 1 - n] = -(of.learn_noise * of.factors**of.unlearn_steps)[:, :, None] * gap
        gap = of.factors[:, :, None] * gap + of.step_size * of.row[:, :, None] * arrived[:, None, :]
        arrived = arrived * of.full_factors
    response = np.zeros((points, horizon, d, horizon, d))
    mean = np.zeros((points, horizon, d, columns))
    turned = of.overlap.transpose(0, 2, 1)
    final = left[of.learn_steps][:, :, None] * of.gap
    for k in range(horizon):
        spread = std[k] * left[k + 1]
        mean[:, k] = turned @ (_quotient(spread, variance[0])[:, :, None] * final)
        for j in range(min(k, learn)):
            weight = _quotient(spread, variance[j + 1])
            response[:, k, :, j] = turned @ (weight[:, :, None] * innovations[j])
    forth, known = response.reshape(points, horizon * d, -1), mean.reshape(points, horizon * d, columns)
    back = forth.transpose(0, 2, 1)
    weights, basis = np.linalg.eigh(back @ forth)
    pulls = np.linalg.norm(basis.transpose(0, 2, 1) @ (back @ known), axis=2)
    excess, frame = np.linalg.eigh(forth + back + forth @ back)
    squares = np.sum((frame.transpose(0, 2, 1) @ known) ** 2, axis=2)
    still = np.abs(excess) <= 1e-13  # not told from 0; what that may move is left out, in total variation (`_merge`)
    random = np.any(forth, axis=(1, 2))
    unknown = np.sqrt(columns * np.sum(np.where(still, np.maximum(excess**2, 1e-30), 0.0), axis=1) / 7)
    ratio = GaussianRatio(
        np.where(still, 0.0, squares),
        np.where(still, 0.0, np.maximum(excess, -1 + 1e-15)),
        np.sum(np.where(still, squares, 0.0), axis=1),
        columns,
    )
    if not np.any(ratio.excess):
        ratio = GaussianRatio(np.zeros((points, 0)), np.zeros((points, 0)), ratio.plain, columns)
    base = np.sum(known**2, axis=(1, 2))
    left_out = np.where(random, unknown, 0.0)
    return PathLaws(ratio, left_out, np.maximum(weights, 0.0), pulls, base)


def _quotient(top: Array, bottom: Array) -> Array:
    """top / bottom with 0/0 = 0 and x/0 infinite."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.where(top == 0, 0.0, top / bottom)


def _scaled(left: Array, matrix: Array, right: Array) -> Array:
    return left[:, :, None] * matrix * right[:, None, :]


class _Plan:
    """One plan for m deletions; block b is steps starts[b] .. starts[b+1]-1, the last reaches to the end."""

    def __init__(self, deletions: Deletions, starts: NDArray[np.intp]) -> None:
        self.of = deletions
        self.starts = starts
        of = deletions
        # Without noise in unlearning the end of learning is what is judged: processing it further cannot hurt.
        noise = np.broadcast_to(np.asarray(of.unlearn_noise, dtype=float), of.factors.shape[:1])[:, None]
        self.decay = np.where(noise == 0, 1.0, of.factors**of.unlearn_steps)
        gains = np.zeros((of.learn_steps + 1, *of.factors.shape))
        powers = np.ones_like(of.factors)
        for n in range(of.learn_steps):
            gains[n + 1] = gains[n] + powers**2
            powers = powers * of.factors
        unlearned = np.zeros_like(of.factors)
        powers = np.ones_like(of.factors)
        for _ in range(of.unlearn_steps):
            unlearned = unlearned + powers**2
            powers = powers * of.factors
        # V at the start of every block; zero after the last
        learned = of.learn_noise**2 * self.decay**2
        left = [learned * gains[of.learn_steps - start] + noise**2 * unlearned for start in starts]
        self.variance = [*left, np.zeros_like(left[0])]
        # spent in a block, without cancellation where it is all learning
        self.spent = [
            learned * (gains[of.learn_steps - a] - gains[of.learn_steps - b]) for a, b in pairwise(starts)
        ] + [left[-1]]

    def laws(self, known: Products) -> PathLaws:
        of = self.of
        points, dimensions = of.factors.shape
        columns = of.gap.shape[2]
        whitened = _quotient(self.decay[:, :, None] * of.gap, np.sqrt(self.variance[0])[:, :, None])
        vacuous = ~np.all(np.isfinite(whitened), axis=(1, 2))
        base = np.where(vacuous, np.inf, np.sum(whitened**2, axis=(1, 2)))
        whitened = np.where(np.isfinite(whitened), whitened, 0.0)
        last = len(self.starts) - 1
        if last == 0 or of.learn_noise == 0:
            empty = np.zeros((points, 0))
            return PathLaws(GaussianRatio(empty, empty, base, columns), np.zeros(points), empty, empty, base)
        factors, tilts, dropped = self._innovations(*known)
        width = [part.shape[2] for part in factors]
        ends = np.cumsum([0, *width])
        size = int(ends[-1])
        # gram: sum_b G_b' dV_b G_b; causal: Z'R; pulled: R's; seen: Z's
        gram, causal = np.zeros((points, size, size)), np.zeros((points, size, size))
        pulled, seen = np.zeros((points, size, columns)), np.zeros((points, size, columns))
        seen_so_far = np.zeros((points, dimensions, 0))
        for b in range(last + 1):
            share = np.sqrt(_quotient(self.spent[b], self.variance[0]))
            start = share[:, :, None] * whitened
            spent = np.sqrt(self.spent[b])
            if b > 0:
                steps = spent[:, :, None] * seen_so_far
                gram[:, : ends[b], : ends[b]] += steps.transpose(0, 2, 1) @ steps
                pulled[:, : ends[b]] += steps.transpose(0, 2, 1) @ start
            if b < last:
                block = slice(ends[b], ends[b + 1])
                tilt = tilts[b].transpose(0, 2, 1)
                seen[:, block] = tilt @ _quotient(whitened, np.sqrt(self.variance[0])[:, :, None])
                if b > 0:
                    causal[:, block, : ends[b]] = tilt @ seen_so_far
                root = np.sqrt(self.variance[b + 1])
                seen_so_far = np.concatenate([seen_so_far, _quotient(factors[b], root[:, :, None])], axis=2)
        return self._assemble(gram, causal, pulled, seen, base, dropped, columns)

    def _innovations(self, squares: list[Array], crosses: list[Array]) -> tuple[list[Array], list[Array], Array]:
        """Per block, whitened by the V after it: factors (m, d, r) of the innovation, its tilts (m, d, r), the cost left.

        The tilt is the covariance of the block's noise, as the end point sees it, with the innovation's coordinates.
        """
        of = self.of
        points, dimensions = of.factors.shape
        last = len(self.starts) - 1
        scale = of.learn_noise * self.decay
        factors, tilts = [], []
        cost = np.zeros(points)
        columns = of.gap.shape[2]
        allowed = _DROPPED / (columns * last)
        for b in range(last):
            weight = _quotient(scale, np.sqrt(self.variance[b + 1]))
            values, vectors = np.linalg.eigh(_scaled(weight, squares[b], weight))
            values = np.maximum(values, 0.0)
            # ascending: what may be dropped comes first
            late = np.einsum("mij,mi->mj", vectors**2, _quotient(self.variance[b + 1], self.variance[last]))
            costs = np.cumsum(values * late, axis=1)
            keep = dimensions - int(np.min(np.sum(costs <= allowed, axis=1)))
            # What eigh cannot tell from rounding is not looked at, point by point, and charged as if it were all there.
            floor = values[:, -1:] * _NOISE_FLOOR
            seen = values > floor
            keep = max(1, min(keep, int(np.max(np.sum(seen, axis=1), initial=0))))
            seen[:, : dimensions - keep] = False
            cost += columns * np.sum(np.where(seen, 0.0, np.maximum(values, floor) * late), axis=1)
            root = np.sqrt(np.where(seen, values, 0.0)[:, -keep:])
            vectors = np.where(seen[:, None, -keep:], vectors[:, :, -keep:], 0.0)
            factors.append(vectors * root[:, None, :])
            turned = scale[:, :, None] * (crosses[b] @ ((scale * _quotient(weight, scale))[:, :, None] * vectors))
            tilts.append(_quotient(turned, np.broadcast_to(root[:, None, :], turned.shape)))
        return factors, tilts, cost

    def _assemble(
        self, gram: Array, causal: Array, pulled: Array, seen: Array, base: Array, dropped: Array, columns: int
    ) -> PathLaws:
        """Eigenvalues of the paths' covariance, in the span of the innovations that matter and of what they move."""
        weights, basis = np.linalg.eigh(gram)
        back = basis.transpose(0, 2, 1)
        budget_pulls = np.linalg.norm(back @ pulled, axis=2)
        floor = _NOISE_FLOOR * np.maximum(weights[:, -1:], 1e-300)
        size = int(np.max(np.sum(weights > floor, axis=1), initial=1))
        dropped = dropped + columns * np.sum(np.maximum(weights[:, : gram.shape[1] - size], floor), axis=1)
        causal = (back @ causal @ basis)[:, -size:, -size:]
        pulled, seen = (back @ pulled)[:, -size:], (back @ seen)[:, -size:]
        rest = np.eye(size) * np.maximum(weights[:, None, -size:], 0.0) - causal.transpose(0, 2, 1) @ causal
        values, turn = np.linalg.eigh(0.5 * (rest + rest.transpose(0, 2, 1)))
        kept = values > floor
        dropped = dropped + columns * np.sum(np.where(kept, 0.0, np.maximum(values, floor)), axis=1)
        root = np.sqrt(np.where(kept, values, 0.0))
        # what the innovations move outside themselves: J = root turn'
        move = root[:, :, None] * turn.transpose(0, 2, 1)
        outside = turn.transpose(0, 2, 1) @ (pulled - causal.transpose(0, 2, 1) @ seen)
        outside = np.where(kept[:, :, None], outside / np.where(kept, root, 1.0)[:, :, None], 0.0)
        cross = (np.eye(size) + causal) @ move.transpose(0, 2, 1)
        inner = causal + causal.transpose(0, 2, 1) + causal @ causal.transpose(0, 2, 1)
        lower = move @ move.transpose(0, 2, 1)
        excess = np.concatenate(
            [np.concatenate([inner, cross], axis=2), np.concatenate([cross.transpose(0, 2, 1), lower], axis=2)], axis=1
        )
        variances, frame = np.linalg.eigh(excess)
        shift = frame.transpose(0, 2, 1) @ np.concatenate([seen, outside], axis=1)
        squares = np.sum(shift**2, axis=2)
        plain = np.maximum(base - squares.sum(1), 0.0)
        ratio, merged = _merge(GaussianRatio(squares, np.maximum(variances, -1 + 1e-15), plain, columns))
        left_out = 0.5 * np.sqrt(dropped) + merged
        return PathLaws(ratio, left_out, np.maximum(weights, 0.0), budget_pulls, base)


def _merge(ratio: GaussianRatio) -> tuple[GaussianRatio, Array]:
    """The law with variances next to 1 set to 1, and by how much that moves it in total variation.

    KL(N(0, 1+x) || N(0, 1)) = (x - log(1+x)) / 2 <= x^2 / 4 + O(x^3), so by Pinsker sqrt(C sum x^2 / 8), with a margin.
    """
    order = np.argsort(-np.abs(ratio.excess), axis=1)
    excess, shift = (np.take_along_axis(part, order, axis=1) for part in (ratio.excess, ratio.shift))
    small = np.abs(excess) <= _EQUAL
    keep = int(np.max(np.sum(~small, axis=1), initial=0))
    rest = excess[:, keep:]
    plain = ratio.plain + shift[:, keep:].sum(1)
    moved = np.sqrt(ratio.columns * np.sum(rest**2, axis=1) / 7)
    return GaussianRatio(shift[:, :keep], excess[:, :keep], plain, ratio.columns), moved
