"""The report: JSON for machines, Markdown for people, tables for the terminal; written whole or not at all."""

from __future__ import annotations

import json
import math
import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.console import Console

from . import measured
from .claim import Claim
from .codec import encode
from .court import Court
from .docket import Docket
from .html_report import page
from .svg_plot import thin
from .terminal import plain_table
from .verdict import Counterexample, Evidence, Verdict, show_log

MARKS = {"proved": "green", "survived": "green", "refuted": "red", "undecided": "yellow", "invalid": "yellow"}


def package_version() -> str:
    """The installed distribution's version, or "unknown" in a bare checkout."""
    try:
        return version("unlearncheck")
    except PackageNotFoundError:
        return "unknown"


def write_text(path: Path, text: str) -> None:
    """Write under a temporary name, then rename: a reader never sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def counterexample_record(
    claim_id: str, found: Counterexample, leg: str | None = None, mutant: str | None = None
) -> dict[str, Any]:
    """A counterexample as JSON-ready data that `replay` can run again."""
    return {
        "claim": claim_id,
        "leg": leg,
        "mutant": mutant,
        "instance": encode(found.instance),
        "shown": str(found.instance),
        "log_promised": encode(found.log_promised),
        "log_truth": [encode(found.truth.lower), encode(found.truth.upper)],
        "direction": found.direction,
        "certified": found.certified,
        "version": package_version(),
    }


def verdict_record(claim: Claim, verdict: Verdict) -> dict[str, Any]:
    """One verdict as JSON-ready data."""
    found = verdict.counterexample
    return {
        "id": claim.id,
        "source": claim.source,
        "statement": claim.statement,
        "reading": claim.reading,
        "provenance": claim.provenance,
        "against": claim.against,
        "status": verdict.status,
        "expected": claim.expected,
        "as_expected": verdict.as_expected,
        "trials": verdict.trials,
        "closest": encode(verdict.closest),
        "why": claim.why,
        "repair": claim.repair,
        "counterexample": counterexample_record(claim.id, found, verdict.refuting_leg) if found else None,
        "mutants": [
            {
                "name": mutant.name,
                "status": mutant.status,
                "killed": mutant.killed,
                "true_because": mutant.true_because,
                "note": mutant.note,
            }
            for mutant in verdict.mutants
        ],
        "evidence": [evidence_record(leg, found) for leg in verdict.evidence],
        "seconds": round(verdict.seconds, 3),
    }


def evidence_record(leg: Evidence, found: Counterexample | None) -> dict[str, Any]:
    """One leg as JSON-ready data; `pairs`: some of its (log promise, log truth), enough for a plot."""
    return {
        "leg": leg.leg,
        "status": leg.status,
        "trials": leg.trials,
        "closest": encode(leg.closest),
        "nearest": "" if leg.nearest is None else str(leg.nearest),
        "refutes": found is not None and leg.counterexample is found,
        "note": leg.note,
        "kinds": leg.kinds,
        "pairs_seen": len(leg.pairs),
        "pairs": encode(thin(leg.pairs)),
    }


def docket_record(docket: Docket) -> dict[str, Any]:
    """The data set's table as JSON-ready data."""
    return {
        "data": docket.data,
        "points": len(docket.indices),
        "delta": docket.delta,
        "delta_s": docket.delta_s,
        "ridge": docket.problem.ridge,
        "step_size": docket.schedule.step_size,
        "learn_steps": docket.schedule.learn_steps,
        "unlearn_steps": docket.schedule.unlearn_steps,
        "learn_noise": docket.schedule.learn_noise,
        "unlearn_noise": docket.schedule.unlearn_noise,
        "index": docket.indices.tolist(),
        "leverage": encode(docket.leverage.tolist()),
        "exact_epsilon": encode(docket.exact.tolist()),
        "certified_epsilon": {method: encode(values.tolist()) for method, values in docket.certified.items()},
        "ratio_min_median_max": {method: list(row) for method, row in docket.ratios().items()},
        "seconds": round(docket.seconds, 2),
    }


def tally(verdict: Verdict) -> str:
    """Mutants killed/total, with those that are true marked."""
    true = sum(bool(mutant.true_because) for mutant in verdict.mutants)
    return f"{verdict.killed}/{len(verdict.mutants)}" + (f" ({true} true)" if true else "")


def closest_text(verdict: Verdict) -> str:
    if verdict.status == "refuted" and verdict.counterexample is not None:
        margin = verdict.counterexample.margin
        return f"x{margin:.4g}" if margin < 1e6 else "xinf"
    return "" if verdict.closest is None else f"{verdict.closest:.6g}"


def print_verdicts(console: Console, outcomes: list[tuple[Claim, Verdict]]) -> None:
    """The verdict table on the terminal."""
    table = plain_table("Verdicts")
    table.add_column("claim", overflow="fold")
    table.add_column("verdict")
    table.add_column("truth/promise", justify="right")
    table.add_column("tried", justify="right")
    table.add_column("mutants", justify="right")
    for claim, verdict in outcomes:
        status = f"[{MARKS[verdict.status]}]{verdict.status}[/]"
        if not verdict.as_expected:
            status += " [bold red](!)[/]"
        table.add_row(claim.id, status, closest_text(verdict), str(verdict.trials), tally(verdict))
    console.print(table)
    for claim, verdict in outcomes:
        found = verdict.counterexample
        if verdict.status == "refuted" and found is not None:
            console.print(f"[red]refuted[/] {claim.id}: {claim.why}", highlight=False)
            console.print(f"  {found}", highlight=False, markup=False)
        if not verdict.as_expected:
            survivors = [m.name for m in verdict.mutants if not m.accounted]
            console.print(
                f"[bold red](!)[/] {claim.id}: {verdict.status}, expected {claim.expected}"
                + (f"; mutants not accounted for: {'; '.join(survivors)}" if survivors else ""),
                highlight=False,
            )
            for leg in verdict.evidence:
                if leg.note:
                    console.print(f"    {leg.leg}: {leg.note}", highlight=False, markup=False)


def print_docket(console: Console, docket: Docket) -> None:
    """The looseness table on the terminal."""
    points = f"{len(docket.indices)} training points, {docket.data}"
    table = plain_table(f"Certified / exact epsilon at delta={docket.delta:g}, {points}")
    for column in ("method", "least", "median", "largest", "median epsilon"):
        table.add_column(column, justify="left" if column == "method" else "right")
    table.add_row("exact", "1", "1", "1", f"{_median(docket.exact):.4g}")
    for method, (least, median, largest) in docket.ratios().items():
        values = docket.certified[method]
        table.add_row(method, f"{least:.4g}", f"{median:.4g}", f"{largest:.4g}", f"{_median(values):.4g}")
    console.print(table)


def _median(values: Any) -> float:
    ordered = sorted(float(value) for value in values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else 0.5 * (ordered[middle - 1] + ordered[middle])


def markdown(outcomes: list[tuple[Claim, Verdict]], court: Court) -> str:
    """The whole report as Markdown."""
    lines = [
        "# Theorems on trial",
        "",
        f"unlearncheck {package_version()}, budget {court.budget}, seed {court.seed}, one false-alarm budget of "
        f"{court.false_alarm:g} for all Monte Carlo parts.",
        "",
        "`proved`: symbolically or certified over the stated domain. `survived`: no violation found, the closest "
        "approach is the largest truth/promise. `refuted`: by the counterexample printed; xF is the factor by which "
        "the truth exceeds the promise. `undecided`: numerical or statistical error too large to say.",
        "",
        "| claim | verdict | expected | truth/promise | instances | mutants killed |",
        "|---|---|---|---|---|---|",
    ]
    for claim, verdict in outcomes:
        lines.append(
            f"| {claim.id} | {verdict.status} | {claim.expected} | {closest_text(verdict)} | {verdict.trials} "
            f"| {tally(verdict)} |"
        )
    if court.docket is not None:
        lines += ["", *_docket_lines(court.docket)]
    lines += ["", *measured.markdown(measured.all_kept()), "## Statement by statement", ""]
    for claim, verdict in outcomes:
        lines += _statement_lines(claim, verdict)
    return "\n".join(lines) + "\n"


def _docket_lines(docket: Docket) -> list[str]:
    s = docket.schedule
    lines = [
        f"## Certified against exact epsilon: {len(docket.indices)} training points",
        "",
        f"{docket.data} Ridge {docket.problem.ridge:g}, step size 1/L = {s.step_size:.4g}, T={s.learn_steps}, "
        f"K={s.unlearn_steps}, injected noise {s.learn_noise:g} (learning) and {s.unlearn_noise:g} (unlearning); "
        f"delta = {docket.delta:g}, of which delta_s = {docket.delta_s:g} for the sensitivity event.",
        "",
        "| method | least ratio | median ratio | largest ratio | median epsilon |",
        "|---|---|---|---|---|",
        f"| exact | 1 | 1 | 1 | {_median(docket.exact):.4g} |",
    ]
    for method, (least, median, largest) in docket.ratios().items():
        middle = _median(docket.certified[method])
        lines.append(f"| {method} | {least:.4g} | {median:.4g} | {largest:.4g} | {middle:.4g} |")
    return lines


def _statement_lines(claim: Claim, verdict: Verdict) -> list[str]:
    lines = [f"### {claim.id}: {verdict.status}", "", f"*{claim.source}* ({claim.provenance})", ""]
    lines.append(claim.statement)
    if claim.reading:
        lines.append(f"Reading: {claim.reading}")
    lines += [f"Held against: {claim.against}", ""]
    for leg in verdict.evidence:
        detail = f"- {leg.leg}: {leg.status}, {leg.trials} instances"
        if leg.closest is not None and math.isfinite(leg.closest):
            detail += f", closest approach {leg.closest:.9g}"
            if leg.nearest is not None:
                detail += f" at {leg.nearest}"
        lines.append(detail + (f"; {leg.note}" if leg.note else ""))
    found = verdict.counterexample
    if found is not None:
        lines.append(
            f"- counterexample: {found.instance}: promised {show_log(found.log_promised)}, true "
            f"{show_log(found.truth.lower)}" + (" (certified)" if found.certified else "")
        )
    for mutant in verdict.mutants:
        outcome = "killed" if mutant.killed else mutant.status
        extra = f" (true: {mutant.true_because})" if mutant.true_because else ""
        lines.append(f"- mutant `{mutant.name}`: {outcome}{extra}")
    if claim.why:
        lines.append(f"- {claim.why}")
    if claim.repair:
        lines.append(f"- repaired by `{claim.repair}`")
    return [*lines, ""]


def save(out: Path, outcomes: list[tuple[Claim, Verdict]], court: Court) -> list[Path]:
    """Write report.json, report.md, report.html and one replayable JSON per counterexample; returns their paths."""
    report = {
        "version": package_version(),
        "budget": court.budget,
        "seed": court.seed,
        "false_alarm": court.false_alarm,
        "verdicts": [verdict_record(claim, verdict) for claim, verdict in outcomes],
        "data": docket_record(court.docket) if court.docket is not None else None,
        "measured": measured.all_kept(),
    }
    paths = [out / "report.json", out / "report.md", out / "report.html"]
    write_text(paths[0], json.dumps(report, indent=1) + "\n")
    write_text(paths[1], markdown(outcomes, court))
    write_text(paths[2], page(report, out.name if out.is_absolute() else out.as_posix()))
    for claim, verdict in outcomes:
        if verdict.counterexample is not None:
            path = out / "counterexamples" / f"{claim.id}.json"
            record = counterexample_record(claim.id, verdict.counterexample, verdict.refuting_leg)
            write_text(path, json.dumps(record) + "\n")
            paths.append(path)
    return paths
