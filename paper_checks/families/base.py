"""What a family of instances must offer to `falsify`, and the register of families by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from hypothesis import strategies
from numpy.typing import NDArray

from ..verdict import Truth

Array = NDArray[np.float64]


class Family:
    """Subclass this to put bounds on trial over instances of your own; only `sample` and `truth` are needed.

    name: what a caller writes; holds: what an instance holds; returns: which number a claim must return; truth_is: how
    the truth is computed and its error; tight_on: on which instances bounds are known to be attained; tolerance: by how
    much (in the natural logarithm) the truth must exceed a claim before it counts.

    An instance is any object; a `kind` attribute (a word or two) lets reports say what was tried.
    """

    name: str = ""
    holds: str = ""
    returns: str = ""
    truth_is: str = ""
    tight_on: str = ""
    tolerance: float = 1e-9

    def sample(self, rng: np.random.Generator) -> Any:
        """One random instance."""
        raise NotImplementedError(f"family {type(self).__name__}: sample(rng) is needed")

    def truth(self, instance: Any) -> Truth:
        """The true value on the instance as an interval of natural logarithms; fast."""
        raise NotImplementedError(f"family {type(self).__name__}: truth(instance) is needed")

    def certify(self, instance: Any) -> Truth:
        """The same, rigorous: what a refutation must pass. Default: `truth`."""
        return self.truth(instance)

    def edge_cases(self) -> list[Any]:
        """Instances tried first: small, round, and those on which bounds are tight."""
        return []

    def simplify(self, instance: Any) -> Iterator[Any]:
        """Simpler instances, the simplest first; a counterexample is shrunk through them."""
        return iter(())

    def coordinates(self, instance: Any) -> Array | None:
        """The instance's continuous parameters as unconstrained reals, for local search; None where there are none."""
        return None

    def with_coordinates(self, instance: Any, coordinates: Array) -> Any:
        """The inverse of `coordinates`, the discrete parts kept."""
        raise NotImplementedError(f"family {type(self).__name__}: with_coordinates is needed with coordinates")

    def strategy(self) -> strategies.SearchStrategy[Any]:
        """The family as a hypothesis strategy; default: instances sampled from a drawn seed (no shrinking inside)."""
        return strategies.integers(0, 2**32 - 1).map(lambda seed: self.sample(np.random.default_rng(seed)))


_FAMILIES: dict[str, Family] = {}


def register(family: Family) -> Family:
    """Make a family known to `falsify` by its name. Raises ValueError for an empty name or one already taken."""
    if not family.name:
        raise ValueError("name = '': a family needs a name")
    known = _FAMILIES.get(family.name)
    if known is not None and type(known) is not type(family):
        raise ValueError(f"name = {family.name!r}: another family has this name")
    _FAMILIES[family.name] = family
    return family


def get(family: str | Family) -> Family:
    """The family of that name, or the family itself. Raises ValueError naming the known families."""
    if isinstance(family, Family):
        return family
    if family not in _FAMILIES:
        raise ValueError(f"family = {family!r}: must be one of {', '.join(sorted(_FAMILIES))}")
    return _FAMILIES[family]


def strategy(family: str | Family) -> strategies.SearchStrategy[Any]:
    """The family's instances as a hypothesis strategy, to draw from in property tests of one's own; they shrink.

    Raises ValueError naming the known families.
    """
    return get(family).strategy()


def names() -> list[str]:
    """Names of all registered families."""
    return sorted(_FAMILIES)
