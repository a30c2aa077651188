"""Audits: how far apart unlearned and reference models are AT LEAST, from samples of both. Never a certificate.

Runs are split three ways. On the first part a linear score is fitted to what the models say on a few probes (the linear
distinguisher of Benarroch et al. 2026); the rest goes to `linear.audit`, which chooses a threshold on one half and
measures on the other. The bounds hold with the stated confidence together, whatever the laws; they can be far too low:
the score may be poor, and a few hundred runs cannot show a large mu or any tiny delta (see `Audit.most_mu`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from bounds._checks import FloatArray, array, number
from linear import audit as limits

_BOUNDS = 5  # statements that share the failure probability


@dataclass(frozen=True, eq=False)
class Audit:
    """Lower bounds that hold together with probability `confidence`.

    mu: on every mu for which the two laws are mu-Gaussian-DP. delta: on the two-sided delta at `at_epsilon`. epsilon: on
    the two-sided epsilon at `at_delta`. most_mu: what perfectly separated scores of so many runs would have shown.
    estimated_mu: the plain gap of the held-out scores in units of their spread, an ESTIMATE without any confidence.
    runs: (unlearned, reference) in all; measured: those on which the counts were made. direction: of the score.
    """

    mu: float
    delta: float
    epsilon: float
    at_epsilon: float
    at_delta: float
    confidence: float
    most_mu: float
    estimated_mu: float
    runs: tuple[int, int]
    measured: tuple[int, int]
    direction: FloatArray

    def as_json(self) -> dict[str, object]:
        """Everything but the direction, for a results file."""
        return {name: value for name, value in vars(self).items() if name != "direction"}


def audit_samples(
    unlearned: ArrayLike,
    reference: ArrayLike,
    *,
    epsilon: float = 1.0,
    delta: float = 1e-5,
    confidence: float = 0.95,
    fit_share: float = 1 / 3,
    shrinkage: float = 0.1,
    seed: int = 0,
) -> Audit:
    """Lower bounds on mu, on delta at `epsilon` and on epsilon at `delta`, two-sided, from models' probe outputs.

    Parameters
    ----------
    unlearned, reference : (R, ...) and (R', ...), one model per row, e.g. logits (R, probes, classes); at least 12 of
        each. Rows i of both may depend on each other when R = R' (same seed), else the samples must be independent;
        rows of one sample must be independent of each other: no shared training run.
    epsilon, delta : where delta and epsilon are bounded.
    fit_share : of the runs on which the score is fitted, in (0, 1).
    shrinkage : of `linear.audit.linear_score`.
    seed : of the split.
    """
    unlearned, reference = _runs("unlearned", unlearned), _runs("reference", reference)
    if unlearned.shape[1] != reference.shape[1]:
        raise ValueError(f"reference has {reference.shape[1]} numbers per model: must have {unlearned.shape[1]}")
    epsilon, delta = number("epsilon", epsilon, "[0, inf)"), number("delta", delta, "[0, 1)")
    confidence, fit_share = number("confidence", confidence, "(0, 1)"), number("fit_share", fit_share, "(0, 1)")
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(unlearned))
    # Runs that share a seed must land in the same part.
    other = order if len(reference) == len(unlearned) else rng.permutation(len(reference))
    unlearned, reference = unlearned[order], reference[other]
    fitted_p, fitted_q = (max(2, round(fit_share * len(rows))) for rows in (unlearned, reference))
    score = limits.linear_score(unlearned[:fitted_p], reference[:fitted_q], shrinkage=shrinkage)
    p, q = score(unlearned[fitted_p:]), score(reference[fitted_q:])
    if min(len(p), len(q)) < 4:
        raise ValueError(
            f"fit_share = {fit_share!r}: leaves {len(p)} and {len(q)} runs to measure on; must be at least 4"
        )
    each = 1 - (1 - confidence) / _BOUNDS
    # A threshold's bound on mu is the same in both directions.
    gdp = limits.mu_lower_bound(p, q, each)
    deltas = [limits.hockey_stick_lower_bound(a, b, epsilon, each).delta for a, b in ((p, q), (-q, -p))]
    epsilons = [limits.epsilon_lower_bound(a, b, delta, each).epsilon for a, b in ((p, q), (-q, -p))]
    best = [float(limits.clopper_pearson(0, n, 1 - (1 - each) / 2, "upper")) for n in (gdp.trials_p, gdp.trials_q)]
    spread = np.sqrt((p.var(ddof=1) + q.var(ddof=1)) / 2)
    return Audit(
        mu=gdp.mu,
        delta=max(deltas),
        epsilon=max(epsilons),
        at_epsilon=epsilon,
        at_delta=delta,
        confidence=confidence,
        most_mu=max(0.0, float(-special.ndtri(best).sum())),
        estimated_mu=float(abs(p.mean() - q.mean()) / spread) if spread > 0 else 0.0,
        runs=(len(unlearned), len(reference)),
        measured=(gdp.trials_p, gdp.trials_q),
        direction=score.direction,
    )


def _runs(name: str, samples: ArrayLike) -> FloatArray:
    values = array(name, samples, "(-inf, inf)")
    if values.ndim < 2 or len(values) < 12 or values[0].size == 0:
        raise ValueError(f"{name} has shape {values.shape}: must be (R, ...) with at least 12 models and some outputs")
    return values.reshape(len(values), -1)
