"""All claims: every module of a paper's folder lists its own in ``CLAIMS``; this collects them."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from .claim import Claim


@cache
def all_claims() -> dict[str, Claim]:
    """Claim by id, in the order of papers and statements."""
    root = importlib.import_module("paper_checks")
    claims: dict[str, Claim] = {}
    for folder in pkgutil.iter_modules(root.__path__):
        if not folder.ispkg or folder.name == "families":
            continue
        package = importlib.import_module(f"paper_checks.{folder.name}")
        for entry in pkgutil.iter_modules(package.__path__):
            module = importlib.import_module(f"paper_checks.{folder.name}.{entry.name}")
            for claim in getattr(module, "CLAIMS", ()):
                if claim.id in claims:
                    raise ValueError(f"id = {claim.id!r}: two claims carry it")
                claims[claim.id] = claim
    return claims


def select(paper: str | None = None, statement: str | None = None) -> list[Claim]:
    """The claims of one paper and/or whose id contains `statement`.

    Raises ValueError when nothing fits, naming what there is.
    """
    claims = list(all_claims().values())
    papers = sorted({claim.paper for claim in claims})
    if paper is not None:
        if paper not in papers:
            raise ValueError(f"paper = {paper!r}: must be one of {', '.join(papers)}")
        claims = [claim for claim in claims if claim.paper == paper]
    if statement is not None:
        claims = [claim for claim in claims if statement in claim.id]
        if not claims:
            raise ValueError(f"statement = {statement!r}: no claim's id contains it; --list shows all ids")
    return claims
