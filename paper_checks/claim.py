"""A claim: what a statement promises in one reading, how it is tried, and the mistakes its trial must catch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from .verdict import Evidence, Log, Status

if TYPE_CHECKING:
    from .court import Court

Promise = Callable[[Any], "float | Log"]
Provenance = Literal["paper", "reconstructed", "derived", "public code"]


class Leg(Protocol):
    """One way of trying a claim: exact comparison, symbolic identity, or sampling the real algorithm."""

    @property
    def name(self) -> str: ...

    def run(self, promise: Promise | None, court: Court) -> Evidence: ...


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """The statement with one natural mistake; the claim's own legs must refute it.

    name: the mistake in words. promise: the mistaken promise; or leg: a whole mistaken leg (symbolic identities).
    true_because: set when the altered statement is in fact true; it must then survive.
    """

    name: str
    promise: Promise | None = None
    leg: Leg | None = None
    true_because: str = ""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One reading of one statement.

    id: ``paper.statement.reading``; source: paper and statement number; statement: the mathematics, readable as
    text; reading: which of the possible readings; provenance: how the form is known; against: the truth it is
    held against; expected: the verdict the maintainers stand for (a change of it is news); why: what a refutation
    shows, or why a bound is tight; repair: id of the claim that mends a refuted one.
    """

    id: str
    source: str
    statement: str
    provenance: Provenance
    against: str
    expected: Status
    legs: tuple[Leg, ...]
    promise: Promise | None = None
    reading: str = ""
    mutants: tuple[Mutant, ...] = ()
    why: str = ""
    repair: str = ""

    @property
    def paper(self) -> str:
        return self.id.split(".", 1)[0]
