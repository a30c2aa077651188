"""``unlearncheck compare``: one ridge problem, every theory.

For many training points: the noise each theory asks for at fixed steps and the steps at fixed noise, at one
(epsilon, delta); the logarithmic law of the steps; the released noise table computed again; with --slack, which
step of the Rényi proofs costs what.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from bounds import log_law
from bounds.deletion.theories import case as cases
from bounds.deletion.theories import comparison
from bounds.deletion.theories.catalogue import THEORIES
from bounds.deletion.theories.comparison import Comparison
from linear.datasets import load

from . import sigma_table, slack, terminal

DEFAULT_POINTS = {"digits": 40}
_FEW = 10  # points of data sets with more features than digits
# The laws that are fitted: the number of steps of the exact laws and of the reading that states the law.
_FITTED = ("exact", "per_instance_renyi")
TableRows = tuple[list[str], list[list[str]]]


def parser() -> argparse.ArgumentParser:
    """The command line of the comparison."""
    top = argparse.ArgumentParser(
        prog="unlearncheck compare",
        description="The noise and the unlearning steps that every theory asks for, on one ridge problem.",
        epilog="Exit status: 0 done, 1 interrupted (what was finished is saved), 2 wrong call.",
    )
    top.add_argument("--data", default="digits", help="digits (default), mnist, openml-mnist, or a .npz file")
    top.add_argument("--data-dir", type=Path, help="folder of the original MNIST IDX files, for --data mnist")
    top.add_argument("--points", help="training points, spread by leverage, or 'all' (default 40 on digits, else 10)")
    top.add_argument("--epsilon", type=float, default=comparison.EPSILON)
    top.add_argument("--delta", type=float, default=comparison.DELTA)
    top.add_argument("--ridge", type=float, default=comparison.RIDGE, help="penalty, not divided by n")
    top.add_argument("--learn-steps", type=int, default=comparison.LEARN_STEPS)
    top.add_argument("--unlearn-steps", type=int, default=comparison.UNLEARN_STEPS, help="for the noise question")
    top.add_argument("--noise", type=float, default=comparison.NOISE, help="injected; unlearning's for the steps")
    top.add_argument("--slack", action="store_true", help="also where the slack of the Rényi proofs goes")
    top.add_argument("--order", type=float, default=8.0, help="Rényi order of the slack table")
    top.add_argument("--out", type=Path, default=Path("reports"), help="folder for results, tables and figure")
    top.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="worker processes")
    return top


def number(value: float) -> str:
    """Four digits; infinity as such."""
    if math.isinf(value):
        return "inf"
    return f"{value:,.0f}" if value == round(value) and abs(value) < 1e9 else f"{value:.4g}"


def answers(result: Comparison, question: str) -> TableRows:
    """Header and rows of one question's table: quartiles, the ratio to exact, the points without an answer."""
    rows = []
    for theory in THEORIES:
        values, ratios = result.column(question, theory.name), result.ratios(question, theory.name)
        low, middle, high = comparison.quartiles(values)
        rows.append(
            [
                theory.label,
                number(middle),
                f"{number(low)} .. {number(high)}",
                number(comparison.quartiles(ratios)[1]),
                f"{int((values == math.inf).sum())} / {len(values)}",
            ]
        )
    return ["theory", "median", "quartiles", "times exact", "infinite"], rows


def laws(result: Comparison) -> tuple[dict[str, log_law.LogLaw], TableRows]:
    """The fitted laws that can be fitted, and their table."""
    found, rows = {}, []
    for name in _FITTED:
        try:
            law = log_law.fit(result.losses, result.column("steps", name))
        except ValueError as error:
            rows.append([name, "not fitted", str(error), "", "", ""])
            continue
        found[name] = law
        formula = "no bend: a line fits as well"
        if law.bends:
            formula = f"{law.scale:.4g} (log(x + {law.shift:.3g}) + {law.log_slope:.4g})"
        rows.append(
            [name, formula, number(law.rms), number(law.linear_rms), number(law.spread), f"{law.explained:.4f}"]
        )
    return found, (["steps by", "C log(A x + B)", "rms residual", "of a line", "of a constant", "explained"], rows)


def noise_table() -> TableRows:
    """The released noise table, with the entries that miss their own target."""
    rows = [
        [
            f"{entry.size}",
            number(entry.target),
            f"{entry.steps}",
            f"{entry.stored:.5g}",
            f"{entry.reached:.5g}",
            f"{entry.needed:.5g}",
            "yes" if entry.meets else f"NO: needs {entry.needed / entry.stored:.2f} times as much",
        ]
        for entry in sigma_table.entries()
    ]
    return ["n", "epsilon", "steps", "stored sigma", "epsilon reached", "sigma needed", "meets it"], rows


def print_table(console: Console, title: str, table: TableRows) -> None:
    drawn = terminal.plain_table(title)
    for position, name in enumerate(table[0]):
        drawn.add_column(name, justify="left" if position == 0 else "right")
    for row in table[1]:
        drawn.add_row(*(escape(cell) for cell in row))
    console.print(drawn)


def markdown_table(title: str, table: TableRows) -> str:
    lines = [f"## {title}", "", "| " + " | ".join(table[0]) + " |", "|" + "---|" * len(table[0])]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in table[1]]
    return "\n".join([*lines, ""])


def heading(result: Comparison) -> str:
    """What was compared, in one paragraph."""
    s = result.settings
    return (
        f"{result.data}; {len(result.indices)} of {s['n_points']:.0f} rows, {s['n_features']:.0f} features, "
        f"{s['n_outputs']:.0f} outputs; penalty {s['ridge']:g}, step size {s['step_size']:.4g}, {s['learn_steps']:.0f} "
        f"learning steps with noise {s['learn_noise']:g}; target epsilon = {s['epsilon']:g}, delta = {s['delta']:g} in "
        f"both directions, of which {s['delta_s']:g} for sensitivities; largest gradient M = {s['largest_gradient']:.4g}"
    )


def theories_text() -> str:
    """Each theory's source, adjacency and assumptions."""
    lines = ["## What each theory is given", ""]
    for theory in THEORIES:
        lines.append(f"- **{theory.label}** ({theory.source}). Adjacency: {theory.adjacency}. {theory.assumptions}")
    lines += [
        "",
        "Each is asked about the unlearned law against the one that retrains without the row and continues. Theories "
        "that need bounded gradients are applied to the chain whose one-step differences are clipped where the true "
        "ones go with probability at most delta_s e^-epsilon; both directions then hold at the full (epsilon, delta).",
        "",
    ]
    return "\n".join(lines)


def slack_tables(case: cases.Case, order: float) -> list[tuple[str, TableRows]]:
    """Where the slack goes, for one row."""
    links, steps, terms = slack.chains(case, order=order)
    rows = [[link.chain, link.what, number(link.value), number(link.factor)] for link in links]
    finite, tried = slack.moments_finite(case)
    distances = [
        [f"D_{4 * order - 1:g}(retrained, stationary)", number(terms.away), "finite from any point start"],
        [
            f"D_{2 * order - 1:g}(stationary, retrained), irreducible",
            number(terms.back),
            f"finite from {number(terms.learn_steps_needed)} learning steps on",
        ],
        ["composition by Gaussian moments", "", f"finite at {finite} of {tried} orders"],
    ]
    title = f"Where the slack goes: row {case.index}, order {order:g}, {steps} unlearning steps"
    return [
        (title, (["chain", "link", "divergence", "factor"], rows)),
        ("The stationarity terms", (["term", "value", "when finite"], distances)),
    ]


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Compare, print, save and draw; returns the exit status."""
    few = DEFAULT_POINTS.get(arguments.data, _FEW)
    points = few if arguments.points is None else _points(arguments.points)
    budget = cases.Budget(arguments.epsilon, arguments.delta, arguments.delta / 2)
    dataset = load(arguments.data, arguments.data_dir)
    problem = comparison.default_problem(dataset, arguments.ridge)
    schedule = comparison.default_schedule(
        problem,
        learn_steps=arguments.learn_steps,
        unlearn_steps=arguments.unlearn_steps,
        learn_noise=arguments.noise,
        unlearn_noise=arguments.noise,
    )
    with terminal.progress_bar(console) as bar:
        task = bar.add_task("training points, every theory", total=None)
        result = comparison.compare(
            problem,
            schedule,
            budget=budget,
            points=points,
            data=f"{Path(arguments.data).stem}: {dataset.description}",
            jobs=arguments.jobs,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    fitted, law_rows = laws(result)
    tables = [
        (f"Unlearning noise at {schedule.unlearn_steps} unlearning steps", answers(result, "noise")),
        (f"Unlearning steps at noise {schedule.unlearn_noise:g}", answers(result, "steps")),
        ("Steps against per-instance loss x: a logarithmic law?", law_rows),
        ("Released noise table of Langevin unlearning, computed again", noise_table()),
    ]
    if arguments.slack:
        uniform = cases.uniform_facts(problem, schedule, budget)
        hardest = int(result.indices[result.leverages.argmax()])
        case = cases.build(problem, schedule, hardest, budget=budget, uniform=uniform)
        tables += slack_tables(case, arguments.order)
    console.print(heading(result), highlight=False, markup=False)
    for title, table in tables:
        print_table(console, title, table)
    text = "\n".join(
        ["# Every theory on one ridge problem", "", heading(result), ""]
        + [markdown_table(title, table) for title, table in tables]
        + [theories_text()]
    )
    predictions = {name: law.predict(result.losses) for name, law in fitted.items()}
    stem = arguments.out / f"compare-{Path(arguments.data).stem}"
    paths = comparison.save(result, stem, text, predictions)

    from figures.ours import every_theory

    paths += every_theory.redraw(result, stem)
    console.print(
        f"{len(result.indices)} points in {result.settings['seconds']:.1f} s; "
        + ", ".join(str(path) for path in paths),
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    if result.settings["interrupted"]:
        console.print("interrupted: only the finished points are in", highlight=False)
        return 1
    return 0


def _points(text: str) -> int | None:
    if text == "all":
        return None
    if not (text.isdecimal() and int(text) > 0):
        raise ValueError(f"points = {text!r}: must be a positive whole number or 'all'")
    return int(text)


def main(arguments: list[str] | None = None) -> int:
    """Entry point; a wrong call ends in exit status 2 with one line saying what is wrong."""
    try:
        return run(parser().parse_args(arguments), terminal.console())
    except (ValueError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted before any point was finished", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
