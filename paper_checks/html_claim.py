"""One claim's section of the HTML report: statement, evidence with its plots, counterexample, mutants."""

from __future__ import annotations

import math
import re
from html import escape
from typing import Any

from .codec import decode
from .html_pictures import pictures
from .readable_math import to_html
from .svg_plot import Marked, Pair, scatter
from .verdict import show_log

Record = dict[str, Any]


def anchor(claim_id: str) -> str:
    """The section's id within the page."""
    return "claim-" + re.sub(r"[^\w.-]", "-", claim_id)


def breakable(claim_id: str) -> str:
    """The id, escaped, with places where a narrow column may break it."""
    return re.sub(r"([._])", r"\1<wbr>", escape(claim_id))


def icon(name: str) -> str:
    return f'<svg class="icon" aria-hidden="true" focusable="false"><use href="#icon-{name}"/></svg>'


def status_badge(status: str) -> str:
    """A verdict as shape, word and colour."""
    return f'<span class="status {escape(status)}">{icon(escape(status))}{escape(status)}</span>'


def factor(found: Record) -> float:
    """By what factor the truth's safe end lies beyond the promise."""
    promised = decode(found["log_promised"])
    lower, upper = (decode(end) for end in found["log_truth"])
    gap = promised - upper if found["direction"] == "below" else lower - promised
    return math.exp(min(gap, 700.0))


def ratio_text(record: Record) -> tuple[str, float]:
    """The verdict's truth/promise as text and as a number to sort by: a violation's factor, or the closest approach."""
    found = record["counterexample"]
    if record["status"] == "refuted" and found:
        beyond = factor(found)
        return (f"×{beyond:.4g}" if beyond < 1e6 else "×∞"), beyond
    closest = decode(record["closest"])
    return ("", -1.0) if closest is None else (f"{closest:.6g}", min(closest, 1e308))


def section(record: Record, known: set[str], folder: str) -> str:
    """The claim's section. known: ids with a section on the page; folder: where the report is, for its commands."""
    figures = "".join(_figure(leg, record) for leg in record["evidence"])
    found = record["counterexample"]
    parts = [
        f'<section class="claim" id="{anchor(record["id"])}" tabindex="-1">',
        f'<div class="title"><h3>{breakable(record["id"])}</h3> {status_badge(record["status"])}{_alarm(record)}</div>',
        f'<p class="statement">{to_html(record["statement"])}</p>',
        "<div>",
        _facts(record, known),
        "<h4>Evidence</h4>",
        f'<ul class="legs">{"".join(_leg(leg) for leg in record["evidence"])}</ul>',
        _counterexample(record["id"], found, folder) if found else "",
        _mutants(record["mutants"]),
        "</div>",
        f"<div>{figures}</div>",
        pictures(record["id"]),
        "</section>",
    ]
    return "\n".join(part for part in parts if part)


def _alarm(record: Record) -> str:
    if record["as_expected"]:
        return ""
    if record["status"] != record["expected"]:
        return f' <span class="alarm">not as expected: {escape(record["expected"])}</span>'
    return ' <span class="alarm">not as expected: a mutant is not accounted for</span>'


def _facts(record: Record, known: set[str]) -> str:
    rows = [
        ("Source", escape(record["source"])),
        ("Reading", to_html(record["reading"])),
        ("Provenance", escape(record["provenance"])),
        ("Held against", to_html(record["against"])),
        ("Why", to_html(record["why"])),
    ]
    repair = record["repair"]
    if repair:
        name = breakable(repair)
        rows.append(("Repaired by", f'<a href="#{anchor(repair)}">{name}</a>' if repair in known else name))
    items = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in rows if value)
    return f'<dl class="facts">{items}</dl>'


def _leg(leg: Record) -> str:
    text = f"{status_badge(leg['status'])} {escape(leg['leg'])}, {leg['trials']} tried"
    closest = decode(leg["closest"])
    if closest is not None and math.isfinite(closest):
        text += f"; closest approach truth/promise {closest:.9g}"
        if leg["nearest"]:
            text += f" at {escape(leg['nearest'])}"
    if len(leg["kinds"]) > 1:
        text += "; kinds: " + ", ".join(f"{escape(kind)} ({count})" for kind, count in leg["kinds"].items())
    if leg["note"]:
        text += f'<br><span class="note">{to_html(leg["note"])}</span>'
    return f"<li>{text}</li>"


def _figure(leg: Record, record: Record) -> str:
    """Promise against truth over the leg's instances, with the closest approach and the violation marked."""
    pairs: list[Pair] = [(promise, truth) for promise, truth in leg["pairs"]]
    closest, violation = None, None
    found = record["counterexample"]
    if found and leg["refutes"]:
        lower, upper = (decode(end) for end in found["log_truth"])
        truth = lower if found["direction"] == "above" else upper
        violation = Marked(
            (decode(found["log_promised"]), truth),
            f"broken by ×{factor(found):.4g}" if factor(found) < 1e6 else "promised far less",
        )
    elif pairs:
        nearest = _closest(pairs)
        closest = Marked(nearest, f"closest {math.exp(min(nearest[1] - nearest[0], 700.0)):.6g}")
    plot = scatter(pairs, closest=closest, violation=violation)
    if not plot:
        return ""
    caption = [f"Leg “{escape(leg['leg'])}”: truth against promise"]
    if leg["pairs_seen"] > len(pairs):
        caption.append(f"{len(pairs)} of {leg['pairs_seen']} instances drawn")
    elif pairs:
        caption.append(f"{len(pairs)} instances")
    else:
        caption.append("the counterexample alone")
    if pairs:
        gaps = [truth - promise for promise, truth in pairs]
        farthest = min(gaps) / math.log(10)
        if max(map(abs, gaps)) < 1e-6:
            caption.append(f"all on the diagonal to {max(map(abs, gaps)):.1g} relative")
        elif farthest < -0.05:
            caption.append(f"the loosest promise is {_times(-farthest)} the truth")
    return f"<figure>{plot}<figcaption>{'; '.join(caption)}.</figcaption></figure>"


def _closest(pairs: list[Pair]) -> Pair:
    """The pair of the largest truth/promise; of many that are as close but for rounding, the middle one."""
    best = max(truth - promise for promise, truth in pairs)
    as_close = sorted(pair for pair in pairs if pair[1] - pair[0] >= best - 1e-9)
    return as_close[len(as_close) // 2]


def _times(decades: float) -> str:
    if decades > 1e5:
        return "more than 10<sup>100000</sup> times"
    return f"{10**decades:.3g} times" if decades < 4 else f"10<sup>{decades:.0f}</sup> times"


def _counterexample(claim_id: str, found: Record, folder: str) -> str:
    lower, upper = (decode(end) for end in found["log_truth"])
    relation = "exceeds" if found["direction"] == "above" else "stays below"
    how = "certified in ball arithmetic or exact form" if found["certified"] else "in float64, beyond its stated error"
    ends = [f'<span class="whole">{end}</span>' for end in dict.fromkeys((show_log(lower), show_log(upper)))]
    true = ends[0] if len(ends) == 1 else f"between {ends[0]} and {ends[1]}"
    file = f"counterexamples/{claim_id}.json"
    return (
        f'<div class="box"><h4>Counterexample</h4><p>{escape(found["shown"])}</p>'
        f'<dl class="facts"><dt>promised</dt><dd>{show_log(decode(found["log_promised"]))}</dd>'
        f"<dt>true</dt><dd>{true}</dd></dl>"
        f"<p>The truth {relation} the promise by the factor <b>{factor(found):.6g}</b>, {how}.</p>"
        f"<p><code>unlearncheck replay {escape(folder)}/{escape(file)}</code> "
        f'(<a href="{escape(file)}">file</a>)</p></div>'
    )


def mutant_outcome(mutant: Record) -> tuple[str, str, str]:
    """(icon, class, word) for what became of a mutant: killed, true, survived, undecided ..."""
    if mutant["killed"]:
        said_true = bool(mutant["true_because"])
        return ("invalid", "loose", "killed but said true") if said_true else ("proved", "killed", "killed")
    if mutant["true_because"]:
        return "true", "soft", "true"
    return "invalid", "loose", mutant["status"]


def mutant_chip(mutant: Record, *, word: bool) -> str:
    """The outcome as shape and word; without `word` only for the eye, the word stays for screen readers."""
    shape, kind, outcome = mutant_outcome(mutant)
    visible = escape(outcome) if word else f'<span class="hidden">{escape(outcome)}</span>'
    return f'<span class="status {kind}">{icon(shape)}{visible}</span>'


def _mutants(mutants: list[Record]) -> str:
    if not mutants:
        return ""
    rows = []
    for mutant in mutants:
        detail = mutant["true_because"] or mutant["note"]
        shown = f' <span class="note">{to_html(detail)}</span>' if detail else ""
        rows.append(f"<li>{mutant_chip(mutant, word=True)} <b>{to_html(mutant['name'])}</b>{shown}</li>")
    killed = sum(bool(mutant["killed"]) for mutant in mutants)
    return f'<h4>Mutants: {killed} of {len(mutants)} killed</h4><ul class="mutants">{"".join(rows)}</ul>'
