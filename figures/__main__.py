"""``unlearncheck figures``: compute and draw every picture that this machine can, or list them."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from linear.datasets import Dataset, load
from paper_checks import terminal

from . import gallery


def parser() -> argparse.ArgumentParser:
    """The command line of the gallery."""
    top = argparse.ArgumentParser(
        prog="unlearncheck figures",
        description="Draw the figures of the papers, and ours. Numbers are kept beside the pictures and used again.",
        epilog="Exit status: 0 all drawn that can be, 1 some failed or the run was interrupted, 2 wrong call.",
    )
    top.add_argument("ids", nargs="*", metavar="ID", help="paper/figure, or a paper (default: all)")
    top.add_argument("--list", action="store_true", help="list all figures, also those that are not drawn, and stop")
    top.add_argument("--data", default="digits", help="digits (default), mnist, openml-mnist, or a .npz file")
    top.add_argument("--data-dir", type=Path, help="folder of the original MNIST IDX files, for --data mnist")
    top.add_argument("--scale", choices=("full", "smoke"), default="full", help="smoke: tiny, to see that all work")
    top.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="change a setting of the named figures"
    )
    top.add_argument("--keep", action="store_true", help="also put the PNG beside the figure's source, for the pages")
    top.add_argument("--out", type=Path, default=Path("figures/out"), help="folder for pictures and numbers")
    return top


def chosen(ids: list[str]) -> dict[str, Any]:
    """The modules asked for; ValueError naming what there is for an unknown id, the reason for one not drawn."""
    every = gallery.catalogue()
    if not ids:
        return every
    found = {}
    for wanted in ids:
        fitting = {name: module for name, module in every.items() if wanted in (name, name.split("/")[0])}
        if not fitting:
            for entry in gallery.UNDRAWN:
                if entry.id == wanted:
                    raise ValueError(f"{wanted} is not drawn: {entry.reason}")
            raise ValueError(f"id = {wanted!r}: must be one of {', '.join(every)}")
        found.update(fitting)
    return found


def show_list(console: Console) -> None:
    """Every figure with the paper's own, its statement, the data it needs and the minutes it takes."""
    table = terminal.plain_table("Figures")
    table.add_column("id", no_wrap=True)
    for name in ("figure", "belongs to", "needs"):
        table.add_column(name, overflow="fold")
    table.add_column("minutes", justify="right")
    for name, module in gallery.catalogue().items():
        about = module.ABOUT
        lacking = about.missing()
        minutes = "-" if lacking else f"{about.minutes:g}"
        table.add_row(name, about.original, about.statement or "-", lacking or about.needs, minutes)
    for entry in gallery.UNDRAWN:
        table.add_row(entry.id, entry.original, "-", f"not drawn: {entry.reason}", "-")
    console.print(table)


def changes(texts: list[str]) -> dict[str, str]:
    """NAME=VALUE pairs."""
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise ValueError(f"set = {text!r}: must be NAME=VALUE")
        pairs[name] = value
    return pairs


def run(options: argparse.Namespace, console: Console) -> int:
    """Draw what is asked for; returns the exit status."""
    if options.list:
        show_list(console)
        return 0
    modules = chosen(options.ids)
    changed = changes(options.set)
    if changed and not options.ids:
        raise ValueError("--set changes a figure's settings: name the figure")
    settings = {name: gallery.settings_of(module, options.scale, changed) for name, module in modules.items()}
    dataset: Dataset | None = None
    if any(module.ABOUT.needs == "data set" for module in modules.values()):
        dataset = load(options.data, options.data_dir)
    drawn, reasons = 0, {}
    started = time.perf_counter()
    with terminal.progress_bar(console) as bar:
        total = bar.add_task("figures", total=len(modules))
        for name, module in modules.items():
            lacking = module.ABOUT.missing()
            if lacking:
                reasons[name] = f"not drawn: {lacking}"
                bar.advance(total)
                continue
            begun = time.perf_counter()
            task = bar.add_task(f"  {name}", total=None)
            rows = dataset if module.ABOUT.needs == "data set" else None
            stem = options.out / name
            try:
                found, inputs, kept = gallery.collect(
                    module,
                    settings[name],
                    rows,
                    stem,
                    lambda done, of, task=task: bar.update(task, completed=done, total=of),  # type: ignore[misc]
                )
                drawing = gallery.picture(module, found, stem, inputs)[0]
                if options.keep:
                    gallery.keep(name, drawing)
            except (ValueError, FloatingPointError) as error:
                reasons[name] = f"FAILED: {error}"
            else:
                drawn += 1
                how = "numbers kept" if kept else f"{time.perf_counter() - begun:.1f} s"
                console.print(f"{stem}.png ({how})", highlight=False, markup=False, soft_wrap=True)
            bar.remove_task(task)
            bar.advance(total)
    for name, reason in reasons.items():
        console.print(f"{name}: {escape(reason)}", highlight=False, soft_wrap=True)
    console.print(
        f"{drawn} of {len(modules)} figures in {time.perf_counter() - started:.0f} s, in {options.out}",
        highlight=False,
        soft_wrap=True,
    )
    return 1 if any(reason.startswith("FAILED") for reason in reasons.values()) else 0


def main(arguments: list[str] | None = None) -> int:
    """Entry point; a wrong call ends in exit status 2 with one line saying what is wrong."""
    try:
        return run(parser().parse_args(arguments), terminal.console())
    except (ValueError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; what was finished is kept and used again", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
