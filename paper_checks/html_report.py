"""The report as one self-contained HTML page: built from the JSON report alone, nothing is fetched from anywhere."""

from __future__ import annotations

import math
import re
import statistics
from collections import Counter
from html import escape
from importlib.resources import files
from typing import Any

from .codec import decode
from .html_claim import anchor, breakable, icon, mutant_chip, ratio_text, section, status_badge
from .html_measured import mutant_matrix, power_part
from .readable_math import to_html
from .svg_plot import scatter, strips

Record = dict[str, Any]

# The most telling first; also the order in which the table sorts them.
_STATUSES = ("refuted", "undecided", "invalid", "survived", "proved")


def page(report: Record, folder: str = "reports") -> str:
    """The whole page. report: what report.json holds; folder: where it is kept, for the replay commands."""
    verdicts, data = report["verdicts"], report["data"]
    parts = [
        _verdict_part(verdicts),
        _data_part(data) if data else "",
        _mutant_part(verdicts),
        *_measured_parts(report.get("measured", {}), {entry["id"] for entry in verdicts}),
        '<h2 id="statements">Statement by statement</h2>',
        *(section(record, {entry["id"] for entry in verdicts}, folder) for record in verdicts),
    ]
    filled = {
        "title": f"Theorems on trial: {escape(_tally_text(verdicts))}",
        "style": _resource("_html_style.css"),
        "header": _header(report),
        "data_link": '<a href="#data">Certified against exact</a>' if data else "",
        "measured_links": _measured_links(report.get("measured", {})),
        "body": "\n".join(part for part in parts if part),
    }
    # One pass, so that nothing a statement contains is taken for a slot.
    return re.sub(r"\{\{(\w+)\}\}", lambda slot: filled[slot.group(1)], _resource("_html_template.html"))


def _measured_parts(measured: Record, known: set[str]) -> list[str]:
    parts = []
    if "automatic_mutants" in measured:
        parts.append(mutant_matrix(measured["automatic_mutants"], known))
    if "power" in measured:
        parts.append(power_part(measured["power"], measured.get("endurance")))
    return parts


def _measured_links(measured: Record) -> str:
    automatic = '<a href="#automatic">Automatic mutants</a>' if "automatic_mutants" in measured else ""
    return automatic + ('<a href="#power">Power</a>' if "power" in measured else "")


def _resource(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _tally_text(verdicts: list[Record]) -> str:
    counts = Counter(record["status"] for record in verdicts)
    return ", ".join(f"{counts[status]} {status}" for status in _STATUSES if counts[status]) or "no verdict"


def _header(report: Record) -> str:
    verdicts, data = report["verdicts"], report["data"]
    counts = Counter(record["status"] for record in verdicts)
    tiles = "".join(
        f"<li><b>{counts[status]}</b> {status_badge(status)}</li>" for status in _STATUSES if counts[status]
    )
    good = sum(bool(record["as_expected"]) for record in verdicts)
    alarm = "" if good == len(verdicts) else f' <span class="alarm">{len(verdicts) - good} not</span>'
    facts = [
        ("Version", f"unlearncheck {escape(report['version'])}"),
        ("Budget, seed", f"{escape(report['budget'])}, {report['seed']}"),
        ("False alarms", f"one budget of {report['false_alarm']:g} for all Monte Carlo parts together"),
        ("Data", escape(data["data"]) if data else "none"),
    ]
    rows = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts)
    return (
        f'<ul class="counts">{tiles}</ul><p>{good} of {len(verdicts)} verdicts are as expected, their mutants all '
        f'accounted for.{alarm}</p><dl class="facts">{rows}</dl>'
    )


_COLUMNS = (
    ("claim", ""),
    ("verdict", ""),
    ("expected", ""),
    ("truth/promise", "number"),
    ("instances", "number"),
    ("mutants killed", "number"),
    ("provenance", ""),
)


def _verdict_part(verdicts: list[Record]) -> str:
    headers = "".join(
        f'<th scope="col" role="columnheader" class="{kind}"><button type="button">{name}</button></th>'
        for name, kind in _COLUMNS
    )
    rows = "\n".join(_verdict_row(record) for record in verdicts)
    return f"""<h2 id="verdicts">Verdicts</h2>
<p class="soft"><b>proved</b>: symbolically, or certified over the stated domain. <b>survived</b>: no violation found;
truth/promise is the closest approach, 1 where the bound is attained. <b>refuted</b>: by the counterexample shown; ×F is
the factor by which the truth exceeds the promise. <b>undecided</b>: the error is too large to say; never a pass.</p>
{_filters(verdicts)}
<p class="soft" id="shown" role="status"></p>
<div class="scroll"><table class="verdicts" role="table"><thead role="rowgroup"><tr role="row">{headers}</tr></thead>
<tbody role="rowgroup">
{rows}
</tbody></table></div>"""


def _filters(verdicts: list[Record]) -> str:
    choices = {
        "paper": sorted({_paper(record) for record in verdicts}),
        "status": [status for status in _STATUSES if any(record["status"] == status for record in verdicts)],
        "provenance": sorted({record["provenance"] for record in verdicts}),
        "expected": ["as expected", "not as expected"],
    }
    fields = ['<div><label for="search">search</label><input id="search" name="search" type="search"></div>']
    for name, values in choices.items():
        options = "".join(f'<option value="{escape(value)}">{escape(value)}</option>' for value in values)
        fields.append(
            f'<div><label for="{name}">{name}</label><select id="{name}" name="{name}"><option value="">all</option>'
            f"{options}</select></div>"
        )
    fields.append('<button type="reset">Show all</button>')
    return f'<form class="filters" aria-label="Filter the claims">{"".join(fields)}</form>'


def _paper(record: Record) -> str:
    return str(record["id"]).split(".", 1)[0]


def _expectation(record: Record) -> str:
    return "as expected" if record["as_expected"] else "not as expected"


def _verdict_row(record: Record) -> str:
    shown, closeness = ratio_text(record)
    order = _STATUSES.index(record["status"])
    expected = _expectation(record)
    if not record["as_expected"]:
        expected = f'<span class="alarm">not as expected</span> ({escape(record["expected"])})'
    killed, total = sum(bool(mutant["killed"]) for mutant in record["mutants"]), len(record["mutants"])
    true = sum(bool(mutant["true_because"]) for mutant in record["mutants"])
    mutants = (f"{killed}/{total}" + (f" ({true} true)" if true else "")) if total else ""
    text = " ".join(record[key] for key in ("id", "source", "statement", "reading", "against", "why"))
    claim = breakable(record["id"])
    return (
        f'<tr role="row" data-section="{anchor(record["id"])}" data-paper="{escape(_paper(record))}" '
        f'data-status="{escape(record["status"])}" data-provenance="{escape(record["provenance"])}" '
        f'data-expected="{_expectation(record)}" data-text="{escape(text)}">'
        f'<th scope="row" role="rowheader"><a href="#{anchor(record["id"])}">{claim}</a></th>'
        f'<td role="cell" data-sort="{order}">{status_badge(record["status"])}</td>'
        f'<td role="cell">{expected}</td>'
        f'<td role="cell" class="number" data-label="truth/promise" data-sort="{closeness:.17g}">{shown}</td>'
        f'<td role="cell" class="number" data-label="instances" data-sort="{record["trials"]}">{record["trials"]}</td>'
        f'<td role="cell" class="number" data-label="mutants" data-sort="{killed}">{mutants}</td>'
        f'<td role="cell" data-label="provenance">{escape(record["provenance"])}</td></tr>'
    )


def _data_part(data: Record) -> str:
    """Certified against exact epsilon, per method: a table of ratios and a strip per method."""
    exact = [decode(value) for value in data["exact_epsilon"]]
    certified = {name: [decode(value) for value in values] for name, values in data["certified_epsilon"].items()}
    ratios = {
        name: [value / truth if truth > 0 else math.nan for value, truth in zip(values, exact, strict=True)]
        for name, values in certified.items()
    }
    rows = [_ratio_row("exact", [1.0], exact)]
    rows += [_ratio_row(name, ratios[name], values) for name, values in certified.items()]
    names = ("least ratio", "median ratio", "largest ratio", "median ε")
    headers = "".join(f'<th scope="col" class="number">{name}</th>' for name in names)
    plot = strips(ratios)
    figure = (
        f'<figure><div class="strip-frame">{plot}</div><figcaption>Every tick is one training point (or an evenly '
        f"spaced rank of them); the bar below spans the 5th to the 95th percentile, the long line is the median, the "
        f"dashed line at 1 is the exact value.</figcaption></figure>"
        if plot
        else ""
    )
    return f"""<h2 id="data">Certified against exact epsilon: {data["points"]} training points</h2>
<p>{escape(data["data"])} Ridge {data["ridge"]:g}, step size {data["step_size"]:.4g}, <i>T</i> = {data["learn_steps"]},
<i>K</i> = {data["unlearn_steps"]}, injected noise {data["learn_noise"]:g} (learning) and {data["unlearn_noise"]:g}
(unlearning); δ = {data["delta"]:g}, of which {data["delta_s"]:g} for the sensitivity event.</p>
<div class="scroll"><table class="ratios"><thead><tr><th scope="col">method</th>{headers}</tr></thead>
<tbody>{"".join(rows)}</tbody></table></div>
{figure}
{_every_point_part(data, exact, certified)}"""


_HARDEST = 10


def _every_point_part(data: Record, exact: list[float], certified: dict[str, list[float]]) -> str:
    """Exact against certified epsilon of every point, a panel per method; and the points that are hardest to forget."""
    panels = []
    for name, values in certified.items():
        pairs = [(math.log(value), math.log(truth)) for value, truth in zip(values, exact, strict=True) if truth > 0]
        plot = scatter(pairs)
        if plot:
            panels.append(f'<figure class="panel"><figcaption>{escape(name)}</figcaption>{plot}</figure>')
    if not panels:
        return ""
    hardest = sorted(range(len(exact)), key=lambda place: -exact[place])[:_HARDEST]
    headers = "".join(f'<th scope="col" class="number">{escape(name)}</th>' for name in certified)
    rows = "".join(
        f'<tr><th scope="row">{data["index"][place]}</th>'
        f'<td class="number">{decode(data["leverage"][place]):.3g}</td>'
        f'<td class="number">{exact[place]:.4g}</td>'
        + "".join(f'<td class="number">{values[place]:.4g}</td>' for values in certified.values())
        + "</tr>"
        for place in hardest
    )
    return f"""<h3>Every training point: exact and certified ε</h3>
<p class="soft">Exact ε (up) against certified ε (right) at δ = {data["delta"]:g}, one dot for each of the
{data["points"]} points; the distance to the diagonal is what the certificate gives away.</p>
<div class="panels">{"".join(panels)}</div>
<h3>Hardest to forget</h3>
<div class="scroll"><table class="ratios"><thead><tr><th scope="col">point</th><th scope="col" class="number">leverage</th>
<th scope="col" class="number">exact ε</th>{headers}</tr></thead><tbody>{rows}</tbody></table></div>"""


def _ratio_row(name: str, ratios: list[float], values: list[float]) -> str:
    known = [ratio for ratio in ratios if not math.isnan(ratio)]
    cells = [min(known), statistics.median(known), max(known)] if known else [math.nan] * 3
    shown = "".join(f'<td class="number">{value:.4g}</td>' for value in [*cells, statistics.median(values)])
    return f'<tr><th scope="row">{breakable(name)}</th>{shown}</tr>'


_LEGEND = (
    f'<span class="killed">{icon("proved")}killed</span>, {icon("true")}survives and is known to be true, '
    f'<span class="loose">{icon("invalid")}not accounted for</span>.'
)


def _mutant_part(verdicts: list[Record]) -> str:
    """Claim against mutant: a column for every mistake made in two claims or more, the others listed in their row."""
    tried = [record for record in verdicts if record["mutants"]]
    if not tried:
        return ""
    uses = Counter(mutant["name"] for record in tried for mutant in record["mutants"])
    shared = [name for name, count in uses.most_common() if count > 1]
    total = sum(uses.values())
    killed = sum(bool(mutant["killed"]) for record in tried for mutant in record["mutants"])
    true = sum(bool(mutant["true_because"]) for record in tried for mutant in record["mutants"])
    headers = "".join(f'<th scope="col" class="column">{to_html(name)}</th>' for name in shared)
    own_header = '<th scope="col">mistakes of this claim alone</th>'
    rows = "\n".join(_matrix_row(record, shared) for record in tried)
    harmless = f", {true} are known to be true" if true else ""
    return f"""<h2 id="mutants">Claim against mutant</h2>
<p>{killed} of {total} deliberate mistakes were refuted by the claim's own check{harmless}.
<span class="soft">{_LEGEND} A blank cell: the mistake does not apply.</span></p>
<div class="scroll" tabindex="0" role="region" aria-label="Claim against mutant"><table class="matrix">
<thead><tr><th scope="col">claim</th>{headers}{own_header}</tr></thead>
<tbody>
{rows}
</tbody></table></div>"""


def _matrix_row(record: Record, shared: list[str]) -> str:
    by_name = {mutant["name"]: mutant for mutant in record["mutants"]}
    cells = "".join(
        f'<td class="cell">{mutant_chip(by_name[name], word=False) if name in by_name else ""}</td>' for name in shared
    )
    own = "".join(
        f'<span class="chip">{mutant_chip(mutant, word=False)}{to_html(mutant["name"])}</span> '
        for mutant in record["mutants"]
        if mutant["name"] not in shared
    )
    claim = f'<a href="#{anchor(record["id"])}">{breakable(record["id"])}</a>'
    return f'<tr><th scope="row">{claim}</th>{cells}<td class="own">{own}</td></tr>'
