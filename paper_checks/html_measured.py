"""The HTML report's parts on what was measured once: the power of the search, and the automatic mutants."""

from __future__ import annotations

from html import escape
from typing import Any

from .html_claim import anchor, breakable, icon
from .measured import COMMANDS, caught, cell, explanation, group_name, long_run, seconds

Record = dict[str, Any]


def power_part(found: Record, endurance: Record | None) -> str:
    """Wrong bounds refuted by family and by size of error; right ones left standing."""
    rows = "".join(
        f'<tr><th scope="row">{escape(group_name(row))}</th><td class="number">{row["wrong"]}</td>'
        f'<td class="number">{row["refuted"]}</td><td class="number">{seconds(row["median_seconds"])}</td>'
        f'<td class="number">{seconds(row["longest_seconds"])}</td></tr>'
        for row in found["rows"]
    )
    names = ("wrong", "refuted", "median s", "longest s")
    headers = "".join(f'<th scope="col" class="number">{name}</th>' for name in names)
    right = found["right"]
    long = f" Long run: {escape(long_run(endurance))}" if endurance is not None else ""
    outcomes = "".join(_outcome(outcome) for outcome in found["outcomes"])
    return f"""<h2 id="power">How much the search finds</h2>
<p>Bounds written for the purpose, each searched like a user's own for at most {found["seconds"]:g} s.
Right bounds refuted: {right["refuted"]} of {right["bounds"]}.{long}</p>
<div class="scroll"><table class="ratios power"><thead><tr><th scope="col">bounds</th>{headers}</tr></thead>
<tbody>{rows}</tbody></table></div>
<details><summary>All {len(found["outcomes"])} bounds</summary>
<div class="scroll" tabindex="0" role="region" aria-label="All bounds"><table class="outcomes"><thead><tr>
<th scope="col">bound</th><th scope="col">family</th><th scope="col">error</th><th scope="col">outcome</th>
<th scope="col" class="number">s</th></tr></thead><tbody>{outcomes}</tbody></table></div></details>
<p class="soft">Made by <code>{escape(COMMANDS["power"])}</code></p>"""


def _outcome(outcome: Record) -> str:
    good = (outcome["status"] == "refuted") != (outcome["size"] == "right")
    shape = icon("proved" if good else "invalid")
    kind = "killed" if good else "loose"
    return (
        f'<tr><th scope="row">{escape(outcome["name"])}</th><td>{breakable(outcome["family"])}</td>'
        f'<td>{escape(outcome["size"])}</td><td><span class="status {kind}">{shape}{escape(outcome["status"])}</span></td>'
        f'<td class="number">{seconds(outcome["seconds"])}</td></tr>'
    )


def mutant_matrix(found: Record, known: set[str]) -> str:
    """Claim against kind of automatic mutant: caught of made; then every survivor with why it survived."""
    kinds, total = found["kinds"], found["total"]
    headers = "".join(f'<th scope="col" class="column">{escape(kind)}</th>' for kind in kinds)
    rows = "\n".join(_row(claim, entry, kinds, known) for claim, entry in found["claims"].items())
    killed, changing = caught(total)
    listed = ", ".join(
        f"{total[name]} {escape(name)} ({escape(text)})" for name, text in found["explanations"].items() if total[name]
    )
    return f"""<h2 id="automatic">Automatic mutants</h2>
<p>One alteration at a time, in a claim's formula, in what it reads or in what it returns: of {changing} that change what is
promised, {killed} were caught by the claim's own check. Survivors: {listed}.
<span class="soft">A cell says caught/changing; =: none changes anything; blank: there is no such place to alter.</span></p>
<div class="scroll" tabindex="0" role="region" aria-label="Claim against automatic mutants"><table class="matrix automatic">
<thead><tr><th scope="col">claim</th>{headers}</tr></thead>
<tbody>
{rows}
</tbody></table></div>
<details><summary>Every survivor and why</summary>
{"".join(_survivors(claim, entry, found["explanations"]) for claim, entry in found["claims"].items())}
</details>
<p class="soft">Made by <code>{escape(COMMANDS["automatic_mutants"])}</code></p>"""


def _row(claim: str, entry: Record, kinds: list[str], known: set[str]) -> str:
    cells = []
    for kind in kinds:
        counts = entry["kinds"].get(kind)
        if counts is None:
            cells.append('<td class="cell"></td>')
            continue
        killed, changing = caught(counts)
        state = "loose" if counts.get("open") else ("killed" if 0 < killed == changing else "soft")
        cells.append(f'<td class="cell {state}">{cell(counts)}</td>')
    name = breakable(claim)
    shown = f'<a href="#{anchor(claim)}">{name}</a>' if claim in known else name
    return f'<tr><th scope="row">{shown}</th>{"".join(cells)}</tr>'


def _survivors(claim: str, entry: Record, explanations: dict[str, str]) -> str:
    if not entry["survivors"]:
        return ""
    items = "".join(
        f"<li>{escape(survivor['kind'])}: <code>{escape(survivor['where'])}</code> "
        f'<span class="note">{escape(explanation(survivor, explanations))}</span></li>'
        for survivor in entry["survivors"]
    )
    return f'<h4>{breakable(claim)}</h4><ul class="mutants">{items}</ul>'
