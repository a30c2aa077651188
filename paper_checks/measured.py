"""What was measured once and is kept with the package: the power of the search, its long run, the automatic mutants.

Each file names the command that makes it anew; the report shows what is there.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "results"
COMMANDS = {
    "power": "unlearncheck power --out paper_checks/results/power.json",
    "endurance": "unlearncheck power --endurance 10000 --out paper_checks/results/endurance.json",
    "automatic_mutants": "unlearncheck mutate --out paper_checks/results/automatic_mutants.json",
}
# What outcomes of an automatic mutant count as caught.
CAUGHT = ("killed", "no bound")


def load(name: str, folder: Path = FOLDER) -> dict[str, Any] | None:
    """The results of that name as JSON data; None where none are kept."""
    path = folder / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def all_kept(folder: Path = FOLDER) -> dict[str, Any]:
    """Everything kept, by name."""
    return {name: found for name in COMMANDS if (found := load(name, folder)) is not None}


def caught(counts: dict[str, int]) -> tuple[int, int]:
    """Of the mutants with these outcomes: how many were caught, and how many change what is promised."""
    return sum(counts.get(name, 0) for name in CAUGHT), sum(counts.values()) - counts.get("same", 0)


def cell(counts: dict[str, int] | None) -> str:
    """A cell of the matrix: caught/changing; "=" where no alteration changes anything, empty where there is none."""
    if counts is None:
        return ""
    killed, changing = caught(counts)
    return f"{killed}/{changing}" if changing else "="


def seconds(value: float | None) -> str:
    """A time for a table; empty where there is none."""
    return "" if value is None else f"{value:.2f}"


def group_name(row: dict[str, Any]) -> str:
    """How a row of the power table is called."""
    if row["of"] == "all":
        return "all"
    return str(row["of"]) if row["by"] == "family" or row["of"] == "gross" else f"error {row['of']}"


def long_run(found: dict[str, Any]) -> str:
    """The long search in one sentence."""
    return (
        f"{found['refuted']} false refutations of {len(found['bounds'])} right bounds in {found['searched_seconds']:,.0f} s of "
        f"search ({found['trials']:,} instances, {found['jobs']} workers)."
    )


def explanation(survivor: dict[str, Any], explanations: dict[str, str]) -> str:
    """Why a mutant survived, with the numbers that show it."""
    text = explanations[survivor["outcome"]]
    if "closest" in survivor:
        text += f"; truth/mutant at most {survivor['closest']:.4g}"
    if "below_by" in survivor:
        text += f", bound/mutant up to {survivor['below_by']:.4g}"
    return text


def markdown(kept: dict[str, Any]) -> list[str]:
    """The kept results as Markdown lines."""
    lines: list[str] = []
    if "power" in kept:
        lines += _power_lines(kept["power"], kept.get("endurance"))
    if "automatic_mutants" in kept:
        lines += _mutant_lines(kept["automatic_mutants"])
    return lines


def _power_lines(found: dict[str, Any], endurance: dict[str, Any] | None) -> list[str]:
    right = found["right"]
    lines = [
        "## How much the search finds",
        "",
        f"Wrong bounds, at most {found['seconds']:g} s each (`{COMMANDS['power']}`):",
        "",
        "| bounds | wrong | refuted | median seconds | longest |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {group_name(row)} | {row['wrong']} | {row['refuted']} | {seconds(row['median_seconds'])} "
        f"| {seconds(row['longest_seconds'])} |"
        for row in found["rows"]
    ]
    lines += ["", f"Right bounds refuted: {right['refuted']} of {right['bounds']}."]
    if endurance is not None:
        lines.append(f"Long run: {long_run(endurance)}")
    return [*lines, ""]


def _mutant_lines(found: dict[str, Any]) -> list[str]:
    kinds = found["kinds"]
    total = found["total"]
    lines = [
        "## Automatic mutants",
        "",
        f"One alteration at a time (`{COMMANDS['automatic_mutants']}`): of {caught(total)[1]} that change what is "
        f"promised, {caught(total)[0]} were caught by the claim's own check; cells show caught/changing, = where none does.",
        "",
        "| claim | " + " | ".join(kinds) + " |",
        "|---|" + "---|" * len(kinds),
    ]
    for claim, entry in found["claims"].items():
        lines.append(f"| {claim} | " + " | ".join(cell(entry["kinds"].get(kind)) for kind in kinds) + " |")
    lines += ["", "Survivors, with why:", ""]
    for claim, entry in found["claims"].items():
        for survivor in entry["survivors"]:
            why = explanation(survivor, found["explanations"])
            lines.append(f"- {claim}: {survivor['kind']}, `{survivor['where']}`: {why}")
    return [*lines, ""]
