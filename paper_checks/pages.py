"""``unlearncheck docs``: the pages made from the registry, one per paper, and the page of all pictures.

Nothing on them is written by hand, so they cannot drift: the tests compare them with what this module makes, and try
every claim against the verdict the pages state.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import sys
from collections import Counter
from itertools import groupby
from pathlib import Path

from figures.stored import Stored, stored_pictures

from .claim import Claim
from .registry import all_claims
from .report import write_text

ROOT = Path(__file__).parent.parent
_NOTE = "*Made by `unlearncheck docs` from the registry; do not edit.*"
_HOW = {
    "paper": "seen in the paper's public text",
    "reconstructed": "reconstructed: the form was not seen",
    "derived": "derived here",
    "public code": "read in released code",
}


def pages() -> dict[Path, str]:
    """Path and text of every generated page."""
    claims = list(all_claims().values())
    pictures = stored_pictures()
    found = {}
    for paper, group in groupby(claims, key=lambda claim: claim.paper):
        found[ROOT / "paper_checks" / paper / "README.md"] = paper_page(paper, list(group), pictures)
    found[ROOT / "figures" / "README.md"] = gallery_page(pictures)
    return found


def paper_page(paper: str, claims: list[Claim], pictures: list[Stored]) -> str:
    """All statements of one paper: verdicts, errata, then each statement with its readings."""
    about = inspect.getdoc(importlib.import_module(f"paper_checks.{paper}")) or paper
    first, _, rest = about.partition("\n")
    counts = Counter(claim.expected for claim in claims)
    tally = ", ".join(f"{counts[status]} {status}" for status in dict.fromkeys(claim.expected for claim in claims))
    lines = [f"# {first.rstrip('.')}", "", *([rest.strip(), ""] if rest.strip() else []), _NOTE, ""]
    lines += [
        f"{len(claims)} claims ({tally}). A claim is one reading of one statement; the verdicts are those that",
        f"`unlearncheck verify --paper {paper}` and the tests end in.",
        "",
    ]
    wrong = [claim for claim in claims if claim.expected == "refuted"]
    if wrong:
        lines += ["## Found false, as read", ""]
        for claim in wrong:
            mended = f" Mended by {_link(claim.repair)}." if claim.repair else ""
            lines.append(f"- {_link(claim.id)} ({_HOW[claim.provenance]}): {_sentence(claim.why)}{mended}")
        lines.append("")
    for source, group in groupby(claims, key=lambda claim: claim.source):
        lines += [f"## {source}", ""]
        for claim in group:
            lines += _claim_lines(claim)
    shown = [picture for picture in pictures if picture.belongs_to([claim.id for claim in claims])]
    if shown:
        lines += ["## Pictures", ""]
        for picture in shown:
            place = f"../../figures/{picture.id}.png"
            lines += [f"![{picture.title}]({place})", "", picture.caption, ""]
    return "\n".join(lines).rstrip() + "\n"


def _claim_lines(claim: Claim) -> list[str]:
    lines = [f"### {claim.id}", "", claim.statement, "", f"- verdict: **{claim.expected}**"]
    if claim.reading:
        lines.append(f"- reading: {claim.reading}")
    lines += [f"- form: {_HOW[claim.provenance]}", f"- held against: {claim.against}"]
    if claim.why:
        lines.append(f"- {_sentence(claim.why)}")
    if claim.repair:
        lines.append(f"- mended by {_link(claim.repair)}")
    for mutant in claim.mutants:
        kept = f" (true: {mutant.true_because})" if mutant.true_because else ""
        lines.append(f"- must be caught: {mutant.name}{kept}" if not kept else f"- no mistake: {mutant.name}{kept}")
    return [*lines, ""]


def _sentence(text: str) -> str:
    text = " ".join(text.split())
    return text if not text or text.endswith((".", "!", "?")) else text + "."


def _link(claim_id: str) -> str:
    paper = claim_id.split(".", 1)[0]
    return f"[`{claim_id}`](../{paper}/README.md#{claim_id.replace('.', '')})"


def gallery_page(pictures: list[Stored]) -> str:
    """Every picture kept in the repository with its caption, and the figures that are not drawn, with the reason."""
    from figures import gallery

    by_id = {picture.id: picture for picture in pictures}
    lines = [
        "# The gallery",
        "",
        _NOTE,
        "",
        "    unlearncheck figures                 # all that can be drawn, into figures/out, with their numbers",
        "    unlearncheck figures --list          # what there is, what it needs, how long it takes",
        "    unlearncheck figures ours/looseness --set points=1500",
        "",
        "One file per figure: `data()` computes, `draw()` only draws. The same numbers give the same bytes.",
        "",
    ]
    absent = []
    for name, module in gallery.catalogue().items():
        about = module.ABOUT
        if name not in by_id:
            absent.append((name, about.original, about.missing() or "no picture of it is kept here"))
            continue
        claim = f"; belongs to `{about.statement}`" if about.statement else ""
        lines += [f"## {name}", "", f"{about.shows} ({about.original}{claim}).", ""]
        lines += [f"![{about.shows}]({name}.png)", "", by_id[name].caption, ""]
    absent += [(entry.id, entry.original, entry.reason) for entry in gallery.UNDRAWN]
    lines += ["## Not here", "", "| figure | of the paper | why |", "|---|---|---|"]
    lines += [f"| {name} | {original} | {reason} |" for name, original, reason in absent]
    return "\n".join(lines).rstrip() + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Write the pages, or with --check say which are out of date (exit status 1 if any is)."""
    top = argparse.ArgumentParser(prog="unlearncheck docs", description=__doc__)
    top.add_argument("--check", action="store_true", help="write nothing; say what is out of date")
    check = top.parse_args(arguments).check
    stale = 0
    for path, text in pages().items():
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale += 1
        if not check:
            write_text(path, text)
        print(f"{path.relative_to(ROOT)} {'is out of date' if check else 'written'}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
