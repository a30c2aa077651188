"""The shifted-step lemma: any feasible way to pay a gap back is a Gaussian-DP bound."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..claim import Claim, Mutant
from ..court import Court
from ..families import contractive
from ..legs import Comparison
from ..verdict import Truth


@dataclass(frozen=True, eq=False)
class PaidChain:
    """A contractive chain and the share of the open gap that is paid at every step (the last pays all)."""

    chain: contractive.ContractiveInstance
    shares: NDArray[np.float64]
    kind: str = "random shares"

    def __str__(self) -> str:
        return f"{self.chain}, shares paid ({', '.join(f'{share:.6g}' for share in self.shares)})"


def paid(
    *,
    open_gap: Callable[[float, float, float], float] = lambda gap, factor, new: factor * gap + new,
    after: Callable[[float, float, float], float] = lambda opened, payment, new: opened - payment,
    price: Callable[[float, float], float] = lambda payment, noise: (payment / noise) ** 2,
    last_share: float = 1.0,
) -> Callable[[PaidChain], float]:
    """mu of the chain's payments; the mutants alter one ingredient each."""

    def promise(instance: PaidChain) -> float:
        chain, gap, total = instance.chain, 0.0, 0.0
        shares = instance.shares.copy()
        shares[-1] = last_share
        rows = zip(chain.sensitivity, chain.noise_std, chain.contraction, shares, strict=True)
        for new, noise, factor, share in rows:
            opened = open_gap(gap, factor, new)
            payment = share * opened
            total += price(payment, noise) if payment > 0 else 0.0
            gap = after(opened, payment, new)
        return math.sqrt(total) * (1 + 1e-14)

    return promise


def chains(court: Court, rng: np.random.Generator) -> Iterator[PaidChain]:
    """Edge cases and random chains; shares at random, nothing until the end, and the shares of the optimal plan."""
    for chain in contractive.instances(40 * court.effort, rng):
        if np.any(chain.noise_std == 0):
            continue
        for kind in ("random shares", "all at the end", "as the noise goes"):
            shares = rng.random(chain.steps)
            if kind == "all at the end":
                shares = np.zeros(chain.steps)
            elif kind == "as the noise goes":
                reach = np.append(np.cumprod(chain.contraction[:0:-1])[::-1], 1.0)
                weight = (reach * chain.noise_std) ** 2
                shares = weight / np.maximum(np.cumsum(weight[::-1])[::-1], 1e-300)
            shares[-1] = 1.0
            yield PaidChain(chain, shares, kind)


def truth(instance: PaidChain) -> Truth:
    return contractive.truth(instance.chain)


CLAIMS = (
    Claim(
        id="bok2024.shifted_step",
        source="Bok, Su, Altschuler 2024, shifted-step lemma and its composition",
        statement=(
            "If z_k = c_k z_{k-1} + s_k - a_k >= 0, z_0 = z_N = 0, then X_N and X'_N satisfy T(X_N, X'_N) >= G(mu) "
            "with mu^2 = sum_k a_k^2 / sigma_k^2."
        ),
        provenance="derived",
        against="the exact Gaussian trade-off of the worst scalar linear pair of the same instance",
        promise=paid(),
        legs=(Comparison(instances=chains, truth=truth, relation="tight"),),
        expected="survived",
        why="Tight: on instances with one segment, shifts in proportion to the noise reach the worst pair.",
        mutants=(
            Mutant(name="sigma for sigma^2", promise=paid(price=lambda a, noise: a * a / noise)),
            Mutant(name="gap left open at the end", promise=paid(last_share=0.5)),
            Mutant(
                name="new gap forgotten in the step it appears",
                promise=paid(open_gap=lambda gap, factor, new: factor * gap, after=lambda o, a, new: o - a + new),
            ),
            Mutant(name="factor applied twice", promise=paid(open_gap=lambda gap, c, new: c * c * gap + new)),
            Mutant(name="lost factor 2 in the shift", promise=paid(price=lambda a, noise: (a / (2 * noise)) ** 2)),
        ),
    ),
)
