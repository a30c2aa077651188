"""Adapted shifts: a certificate for any noisy training loop, from one coupled run with and without the point.

Setting. Base X_{k+1} = phi_k(X_k) + sig_k xi_k and reference X'_{k+1} = phi'_k(X'_k) + sig_k xi'_k, k < N, from one
start; P, Q the laws of X_N, X'_N. The maps are any measurable functions; data-independent randomness (batches) is
conditioned on, the same for both. A plan chooses shifts w_k from the noise of steps before k alone (it is predictable;
w_k = 0 where sig_k = 0). With the noise of X run

    Y_0 = X_0,   Y_{k+1} = phi'_k(Y_k) + w_k + sig_k xi_k,   and see to it that Y_N = X_N (the last shift closes the gap),
    B = sum_k |w_k|^2 / sig_k^2,   L = sum_k <w_k, xi_k> / sig_k + B / 2.

Two theorems, both derived here.

Truncated. P(S) <= e^eps Q(S) + d_mu(eps) + Pr_X[B > mu^2] for every mu >= 0. (Drop the shifts once the budget passes
mu^2: what is left equals Y on {B <= mu^2}, and its path is mu-GDP against that of X', for the log-ratio is a martingale
with conditionally Gaussian increments, filled up to variance mu^2 by one independent step.) The reverse direction needs
a plan run from X' through the maps phi, and its own tail.

Paths. H_{e^eps}(P||Q) <= E_X (1 - e^{eps - L})_+ and H_{e^eps}(Q||P) <= E_{X'} (1 - e^{eps + L})_+, with one plan for both.
(L is the log-likelihood ratio of the path of Y to that of X'; Y ends where X ends, and a path says more than its end.
Under X' the same L is had by running Y on fresh noise eta and X on eta - w / sig.) There is no mu to choose and no
event to pay for, so this is never worse than the first: E_X (1 - e^{eps-L})_+ <= d_mu(eps) + Pr_X[B > mu^2].

Sure consequences: if B <= mu^2 always, (P, Q) is mu-GDP both ways; KL(P||Q) <= E[B] / 2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from bounds import _checks, gaussian_dp

Array = NDArray[np.float64]

_UP = 1 + 1e-9  # the inverse incomplete beta function is good to a few 1e-11, relative


def log_delta(mu: float, log_tail: float, epsilon: float) -> float:
    """log of d_mu(epsilon) + tail, rounded up and at most 0: what a budget of at most mu^2 outside a tail promises.

    mu : nonnegative; log_tail : log Pr[B > mu^2] or an upper bound on it; epsilon : any finite real.
    """
    if not log_tail <= 0:
        raise ValueError(f"log_tail = {log_tail!r}: must be the logarithm of a probability")
    total = float(np.logaddexp(float(gaussian_dp.log_delta(mu, epsilon)), log_tail))
    return min(0.0, total if math.isinf(total) else total + 4e-16 * (1 + abs(total)))


def delta(mu: float, tail: float, epsilon: float) -> float:
    """d_mu(epsilon) + tail, rounded up."""
    tail = _checks.number("tail", tail, "[0, 1]")
    return min(1.0, (float(gaussian_dp.delta(mu, epsilon)) + tail) * (1 + 4e-16))


def epsilon(mu: float, tail: float, delta: float) -> float:
    """The smallest epsilon at which `delta(mu, tail, epsilon)` is at most delta; infinite where the tail exceeds it."""
    delta = _checks.number("delta", delta, "(0, 1)")
    left = (delta - _checks.number("tail", tail, "[0, 1]")) * (1 - 4e-16)
    return float(gaussian_dp.epsilon(mu, left)) if left > 0 else math.inf


def tail_limit(exceeded: int, runs: int, confidence: float) -> float:
    """Upper confidence limit of a probability seen `exceeded` times in `runs` (Clopper and Pearson 1934), rounded up."""
    exceeded, runs = _checks.count("exceeded", exceeded), _checks.count("runs", runs, least=1)
    if exceeded >= runs:
        return 1.0
    confidence = _checks.number("confidence", confidence, "(0, 1)")
    return min(1.0, float(special.betaincinv(exceeded + 1, runs - exceeded, confidence)) * _UP)


def mean_limit(values: ArrayLike, confidence: float) -> float:
    """Upper confidence limit of the mean of independent values in [0, 1], rounded up.

    The largest q with R kl(mean, q) <= log(1 / (1 - confidence)), kl of two coins (Hoeffding 1963, theorem 1): the
    Chernoff bound of a coin holds for every variable in [0, 1]. Its resolution is log(1 / (1 - confidence)) / R.
    """
    sample = _checks.array("values", values, "[0, 1]", ndim=1)
    confidence = _checks.number("confidence", confidence, "(0, 1)")
    mean, allowed = float(sample.mean()), -math.log1p(-confidence) / len(sample)

    def distance(q: float) -> float:
        return float(special.rel_entr(mean, q) + special.rel_entr(1 - mean, 1 - q))

    low, high = mean, 1.0
    for _ in range(200):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if distance(middle) <= allowed else (low, middle)
    return min(1.0, high * (1 + 1e-12))


@dataclass(frozen=True)
class StatisticalCertificate:
    """An upper bound on epsilon at `delta` that is wrong with probability at most 1 - `confidence`.

    Truncated theorem: `mu`, chosen on runs that are not among the `runs` counted, and `tail`, the upper limit of
    Pr[B > mu^2] at that confidence.
    """

    mu: float
    tail: float
    runs: int
    confidence: float

    def delta(self, epsilon: float) -> float:
        return delta(self.mu, self.tail, epsilon)

    def epsilon(self, at_delta: float) -> float:
        return epsilon(self.mu, self.tail, at_delta)


def truncated_certificate(
    choosing: ArrayLike, counting: ArrayLike, *, delta: float, confidence: float = 0.99
) -> StatisticalCertificate:
    """Choose mu on the budgets `choosing`, then limit Pr[B > mu^2] on the independent budgets `counting`.

    mu is the one with the smallest epsilon at `delta` as the first half sees it; only the second half is counted, so
    the choice costs nothing. One direction; for the other run the plan from X' (see the module).
    """
    first = np.sort(_checks.array("choosing", choosing, "[0, inf]", ndim=1))
    second = _checks.array("counting", counting, "[0, inf]", ndim=1)
    best, chosen = math.inf, float(np.sqrt(first[-1])) if np.isfinite(first[-1]) else math.inf
    ranks = np.unique(np.concatenate([np.arange(min(len(first), 20)), np.geomspace(1, len(first), 30).astype(int) - 1]))
    for above in ranks:
        # a little room above the budget of that rank, for the next half's may lie just beyond it
        candidate = float(np.sqrt(first[len(first) - 1 - above])) * 1.01
        if not math.isfinite(candidate):
            continue
        seen = int(np.sum(first > candidate**2))
        value = epsilon(candidate, tail_limit(seen, len(second), confidence), delta)
        if value < best:
            best, chosen = value, candidate
    exceeded = int(np.sum(~(second <= chosen**2)))
    return StatisticalCertificate(chosen, tail_limit(exceeded, len(second), confidence), len(second), confidence)


def path_delta(log_ratios: ArrayLike, epsilon: float, *, confidence: float = 0.99) -> float:
    """Upper limit of E (1 - e^{epsilon - L})_+ from independent log-likelihood ratios L of the paths.

    Forward with L drawn under X; reverse with -L drawn under X'. Wrong with probability at most 1 - confidence, for an
    epsilon fixed beforehand.
    """
    ratios = _checks.array("log_ratios", log_ratios, "[-inf, inf]", ndim=1)
    return mean_limit(-np.expm1(np.minimum(epsilon - ratios, 0.0)), confidence)


def path_epsilon(choosing: ArrayLike, counting: ArrayLike, *, delta: float, confidence: float = 0.99) -> float:
    """An epsilon at which the divergence is at most `delta`, but for probability 1 - confidence; infinite if none.

    The independent log ratios `choosing` fix a growing sequence of candidates; the i-th is held against `counting` at the
    i-th share (1 - confidence) / 2^i, and the first that holds is returned.
    """
    first = _checks.array("choosing", choosing, "[-inf, inf]", ndim=1)
    second = _checks.array("counting", counting, "[-inf, inf]", ndim=1)
    delta, confidence = _checks.number("delta", delta, "(0, 1)"), _checks.number("confidence", confidence, "(0, 1)")
    if mean_limit(np.zeros(len(second)), 0.5 + 0.5 * confidence) > delta:
        return math.inf  # too few runs to tell so small a delta from zero
    share = 0.5 + 0.5 * confidence
    top = float(np.max(np.abs(first[np.isfinite(first)]), initial=0.0)) + 1e-12
    low, high = 0.0, top
    for _ in range(40):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if path_delta(first, middle, confidence=share) <= delta else (middle, high)
    # Wide strides: every step halves the share, and with few runs a small share sees nothing.
    candidate, stride = high, 0.1 * high + 0.02 * top
    for place in range(1, 41):
        if path_delta(second, candidate, confidence=1 - (1 - confidence) / 2.0**place) <= delta:
            return candidate
        candidate += stride
    return math.inf
