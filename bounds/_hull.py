"""The greatest convex minorant behind the optimal shifts, in linear time and without powers of the contraction.

Step k contributes u_k = R_k s_k and tau_k = (R_k sigma_k)^2, R_k = c_{k+1} ... c_N, with partial sums U and t. The
optimal shifts follow the greatest convex minorant of the points (t_k, U_k). A run of steps is kept as a block
(p, q, r): its increments of U and t divided by R and R^2 at its own end, and the product r of its contractions, so that

    (p1, q1, r1) followed by (p, q, r)   is   (p1 r + p, q1 r^2 + q, r1 r),

and the slope of the first is at least that of the second iff p1 / q1 >= (p / q) r: then they belong to one segment, and
merging such neighbours in any order ends at the minorant.

Rounding (u = 2^-53, all terms nonnegative). By induction on the merges, a block of n steps has r within (n - 1) u, p
within 2(n - 1) u and q within (3n - 2) u, relative, so p / sqrt(q) is within 3.5 n u and the root of the sum of p^2 / q
over the segments of N steps within (4N + 8) u. A comparison of slopes is within 6 n u for n steps in all. Merging only
beyond that leaves too many segments, never too few, and a merge can only lower the sum, so what is rounded up by
(4N + 8) u is safe; what a needless segment adds is of second order in 8 n u.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bounds._checks import FloatArray

Indices = NDArray[np.intp]

_U = 2.0**-53
_ROUND = 1.0  # multiplies every allowance for rounding; the tests set it to 0 and must see wrong sides
_NOISE_POWER = 480  # the squares stay normal numbers
_FALL = 400.0  # what underflows must not be blown up again afterwards


class Segments(NamedTuple):
    """The segments of the minorant, in units of 2^sensitivity_power and 2^noise_power."""

    starts: Indices  # first step of each segment
    stop: int  # one past the last step of the last segment
    p: FloatArray
    q: FloatArray
    r: FloatArray
    sensitivity_power: int
    noise_power: int
    lost: float  # bound on what underflow has taken from mu

    @property
    def ends(self) -> Indices:
        """Last step of each segment."""
        return np.append(self.starts[1:], self.stop)[: self.starts.size] - 1


def segments(
    sensitivity: FloatArray, noise_std: FloatArray, contraction: FloatArray, *, merge_ties: bool = False
) -> Segments:
    """The segments of the greatest convex minorant.

    With ``merge_ties`` slopes that rounding cannot tell apart are merged, otherwise they are kept apart.

    Raises
    ------
    FloatingPointError : if the noise spans more than 480 powers of two, or contractions above 1 make the products leave
        the range of doubles.
    """
    # c = 0 forgets all that came before.
    zeros = np.flatnonzero(contraction == 0.0)
    first = int(zeros[-1]) if zeros.size else 0
    s, noise, r = sensitivity[first:], noise_std[first:], contraction[first:]
    if (r[1:] > 1.0).any():
        height = np.cumsum(np.log(r[1:]))
        if (np.maximum.accumulate(np.maximum(height, 0.0)) - height).max() > _FALL:
            raise FloatingPointError("contraction: with values above 1, no product of others may fall below e^-400")

    s_power, noise_power = int(np.frexp(s.max())[1]), int(np.frexp(noise.max())[1])
    noise = np.ldexp(noise, -noise_power)
    positive = noise[noise > 0.0]
    least = float(positive.min()) if positive.size else 1.0
    if least < 2.0**-_NOISE_POWER:
        raise FloatingPointError(f"noise_std: positive values span more than a factor 2^{_NOISE_POWER}")
    with np.errstate(over="ignore", invalid="ignore"):
        p, q, r, starts = _merged(
            np.ldexp(s, -s_power),
            noise * noise,
            r,
            np.arange(first, contraction.size),
            contraction.size,
            (-8.0 if merge_ties else 8.0) * _U * _ROUND,
            contraction.size,
        )
    if not (np.isfinite(p).all() and np.isfinite(q).all()):
        raise FloatingPointError("contraction: products above 1 leave the range of doubles")
    stop = contraction.size
    if p[-1] == 0.0 and q[-1] == 0.0:  # without noise and sensitivity, nothing happens to the divergence
        stop = int(starts[-1])
        p, q, r, starts = p[:-1], q[:-1], r[:-1], starts[:-1]
    return Segments(starts, stop, p, q, r, s_power, noise_power, _lost(s, least))


def optima(sensitivity: FloatArray, noise_std: FloatArray, contraction: FloatArray) -> FloatArray:
    """`optimum` of the `segments` of many chains at once, (m,), from (m, N) arrays.

    The chains are laid end to end and merged as one, except that nothing merges across an end.
    """
    count, steps = sensitivity.shape
    with np.errstate(divide="ignore"):
        noise_power = np.frexp(noise_std.max(axis=1, initial=0.0))[1]
        s_power = np.frexp(sensitivity.max(axis=1, initial=0.0))[1]
        noise = np.ldexp(noise_std, -noise_power[:, None])
        least = np.where(noise > 0.0, noise, np.inf).min(axis=1, initial=1.0)
    alone = (least < 2.0**-_NOISE_POWER) | np.any((contraction == 0.0) | (contraction > 1.0), axis=1)
    found = np.empty(count)
    for k in np.flatnonzero(alone):
        found[k] = optimum(segments(sensitivity[k], noise_std[k], contraction[k]))
    kept = np.flatnonzero(~alone)
    if kept.size:
        single, mu = _single_segments(sensitivity[kept], noise_std[kept], contraction[kept])
        found[kept[single]] = mu[single]
        kept = kept[~single]
    if not kept.size:
        return found
    p, q, _, starts = _merged(
        np.ldexp(sensitivity[kept], -s_power[kept, None]).ravel(),
        (noise[kept] ** 2).ravel(),
        contraction[kept].ravel(),
        np.arange(kept.size * steps),
        kept.size * steps,
        8.0 * _U * _ROUND,
        steps,
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        part = np.where(p > 0.0, p / np.sqrt(q), 0.0)  # infinite without noise, which only a last block is
        chain = starts // steps
        first = np.flatnonzero(np.diff(chain, prepend=-1))
        top = np.maximum.reduceat(part, first)
        root = top * np.sqrt(np.add.reduceat((part / top[chain]) ** 2, first))
    mu = np.where(top > 0.0, root, 0.0) * (1.0 + _U * _ROUND * (4.0 * steps + 8.0))
    lost = np.where(sensitivity[kept].any(axis=1), float(steps) ** 3 * 2.0**-1070 / least[kept], 0.0)
    with np.errstate(over="ignore"):
        mu = np.ldexp(mu + _ROUND * lost, s_power[kept] - noise_power[kept])
    found[kept] = np.where(np.isinf(top), np.inf, mu)
    return found


def _single_segments(
    sensitivity: FloatArray, noise_std: FloatArray, contraction: FloatArray
) -> tuple[NDArray[np.bool_], FloatArray]:
    """Which chains have one segment beyond rounding, and mu = U_N / sqrt(t_N) rounded up (of use for those alone).

    That is so iff U_k / t_k >= U_N / t_N for all k. Every R_k, U_k and t_k is within 2 N u of the truth.
    """
    steps = sensitivity.shape[1]
    rest = np.ones(sensitivity.shape)
    rest[:, :-1] = np.cumprod(contraction[:, :0:-1], axis=1)[:, ::-1]
    with np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore"):
        reached = np.cumsum(rest * sensitivity, axis=1)
        spread = np.cumsum((rest * noise_std) ** 2, axis=1)
        slack = 1.0 + 16.0 * steps * _U * _ROUND
        above = reached[:, :-1] * spread[:, -1:] >= reached[:, -1:] * spread[:, :-1] * slack
        mu = reached[:, -1] / np.sqrt(spread[:, -1]) * (1.0 + _U * _ROUND * (8.0 * steps + 16.0))
        normal = (rest.min(axis=1) > 1e-100) & (spread[:, -1] > 1e-200) & (reached[:, -1] > 1e-100)
        normal &= (spread[:, -1] < 1e100) & (reached[:, -1] < 1e100)
    return above.all(axis=1) & normal, mu


def optimum(hull: Segments) -> float:
    """mu = root of the sum of p^2 / q, rounded up."""
    if hull.q.size and hull.q[-1] == 0.0:
        return np.inf
    part = hull.p / np.sqrt(hull.q)
    top = part.max(initial=0.0)
    root = top * np.sqrt(np.sum((part / top) ** 2)) if top > 0.0 else 0.0
    return _unscaled(hull, root * (1.0 + _U * _ROUND * (4.0 * hull.stop + 8.0)) + _ROUND * hull.lost)


def chord(hull: Segments) -> float:
    """mu of a single segment through all steps, rounded down; 0 where its products leave the range of doubles."""
    p, q, r = hull.p, hull.q, hull.r
    with np.errstate(over="ignore", invalid="ignore"):
        while p.size > 1:
            odd = p.size % 2  # the first block waits
            left, right = slice(odd, None, 2), slice(odd + 1, None, 2)
            p = np.append(p[:odd], p[left] * r[right] + p[right])
            q = np.append(q[:odd], q[left] * (r[right] * r[right]) + q[right])
            r = np.append(r[:odd], r[left] * r[right])
    if not p.size or p[0] == 0.0 or not np.isfinite(p[0]) or not np.isfinite(q[0]):
        return 0.0
    if q[0] == 0.0:
        return np.inf
    root = float(p[0] / np.sqrt(q[0]))
    return max(_unscaled(hull, root * (1.0 - _U * _ROUND * (4.0 * hull.stop + 8.0)) - _ROUND * hull.lost), 0.0)


def shifts(hull: Segments, noise_std: FloatArray, contraction: FloatArray) -> FloatArray:
    """The shifts a_k = slope * sigma_k^2 * (product of the contractions after k, to the end of its segment)."""
    start, stop = (int(hull.starts[0]) if hull.starts.size else hull.stop), hull.stop
    lengths = hull.ends - hull.starts + 1
    slope = np.divide(hull.p, hull.q, out=np.zeros_like(hull.p), where=hull.q > 0.0)
    noise = np.ldexp(noise_std[start:stop], -hull.noise_power)
    steps_left = np.repeat(hull.ends, lengths) - np.arange(start, stop)
    # after[k] is the product of the next min(reach, steps left) contractions; double the reach.
    after = np.where(steps_left > 0, np.append(contraction[start + 1 : stop], 1.0), 1.0)
    reach = 1
    while reach < lengths.max(initial=0):
        further = np.append(after[reach:], np.ones(reach))
        after = after * np.where(steps_left > reach, further, 1.0)
        reach *= 2
    values = np.zeros_like(noise_std)
    values[start:stop] = np.ldexp(np.repeat(slope, lengths) * after * noise * noise, hull.sensitivity_power)
    if hull.starts.size and hull.q[-1] == 0.0:  # all that is left goes into the last, noiseless step
        values[stop - 1] = np.ldexp(hull.p[-1], hull.sensitivity_power)
    return values


def _merged(
    p: FloatArray, q: FloatArray, r: FloatArray, starts: Indices, stop: int, tie: float, chain: int
) -> tuple[FloatArray, FloatArray, FloatArray, Indices]:
    """Merge neighbours in rounds, many disjoint pairs at once, for as long as that pays; then one by one.

    Every `chain` steps a new chain begins; blocks of two chains are no neighbours.
    """
    while True:
        slope = np.divide(p, q, out=np.full_like(p, np.inf), where=q > 0.0)
        length = np.diff(starts, append=stop)
        limit = slope[1:] * r[1:] * (1.0 + tie * (length[:-1] + length[1:]))
        steeper = ((slope[:-1] >= limit) | (q[:-1] == 0.0)) & (starts[1:] % chain != 0)
        place = np.arange(p.size - 1)
        in_run = place - np.maximum.accumulate(np.where(steeper, -1, place))
        left = np.flatnonzero(steeper & (in_run % 2 == 1))
        if 16 * left.size < p.size or p.size < 64:
            return _merged_singly(p, q, r, starts, stop, tie, np.flatnonzero(steeper), chain)
        right, keep = left + 1, np.ones(p.size, dtype=bool)
        keep[left] = False
        p, q, r, starts = p.copy(), q.copy(), r.copy(), starts.copy()
        p[right] += p[left] * r[right]
        q[right] += q[left] * (r[right] * r[right])
        r[right] *= r[left]
        starts[right] = starts[left]
        p, q, r, starts = p[keep], q[keep], r[keep], starts[keep]


def _merged_singly(
    p: FloatArray,
    q: FloatArray,
    r: FloatArray,
    starts: Indices,
    stop: int,
    tie: float,
    steeper: Indices,
    chain: int,
) -> tuple[FloatArray, FloatArray, FloatArray, Indices]:
    """The same on linked lists; ``steeper`` are the blocks at least as steep as their right neighbours."""
    if not steeper.size:
        return p, q, r, starts
    ps, qs, rs, begins = p.tolist(), q.tolist(), r.tolist(), [*starts.tolist(), stop]
    count = len(ps)
    before, after, alive = list(range(-1, count - 1)), list(range(1, count + 1)), [True] * count

    def merges(left: int, right: int) -> bool:
        if left < 0 or right >= count or begins[right] % chain == 0:
            return False
        if not qs[left]:
            return True
        if not qs[right]:
            return False
        steps = begins[after[right]] - begins[left]
        return ps[left] / qs[left] >= ps[right] / qs[right] * rs[right] * (1.0 + tie * steps)

    for block in steeper.tolist():
        here = block
        while alive[here]:
            if merges(here, after[here]):
                left, here = here, after[here]
            elif merges(before[here], here):
                left = before[here]
            else:
                break
            ps[here] += ps[left] * rs[here]
            qs[here] += qs[left] * (rs[here] * rs[here])
            rs[here] *= rs[left]
            begins[here] = begins[left]
            alive[left] = False
            before[here] = before[left]
            if before[left] >= 0:
                after[before[left]] = here
    kept = np.flatnonzero(alive)
    return np.array(ps)[kept], np.array(qs)[kept], np.array(rs)[kept], np.array(begins)[kept]


def _lost(sensitivity: FloatArray, least_noise: float) -> float:
    """What underflow can take from mu: at most n^2 2^-1074 from each of at most n values of p."""
    return float(sensitivity.size) ** 3 * 2.0**-1070 / least_noise if sensitivity.any() else 0.0


def _unscaled(hull: Segments, mu: float) -> float:
    with np.errstate(over="ignore"):
        return float(np.ldexp(mu, hull.sensitivity_power - hull.noise_power))
