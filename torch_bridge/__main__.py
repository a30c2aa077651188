"""``unlearncheck deep difficulty|clipping|sandwich|audit``: the papers' experiments with networks, measured."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import sys
import time
from pathlib import Path

EXPERIMENTS = {
    "difficulty": "which points are hard to unlearn: privacy loss, other scores, steps, barriers, membership",
    "clipping": "accuracy against compute for all unlearning methods, with the noise-only control",
    "sandwich": "epsilon of single points from below (audit) and above (adapted shifts), for SGLD and clipped runs",
    "audit": "how far apart unlearned and reference models are at least, point by point",
}
SCALES = ("smoke", "cpu", "paper")


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    top = argparse.ArgumentParser(
        prog="unlearncheck deep",
        description="Experiments of the papers on small networks; results are one JSON and one .npz file.",
        epilog="experiments: " + "; ".join(f"{name}: {what}" for name, what in EXPERIMENTS.items()),
    )
    add = top.add_argument
    add("experiment", choices=tuple(EXPERIMENTS))
    add("--scale", choices=SCALES, default="smoke", help="smoke: seconds; cpu: minutes; paper: a GPU and your data")
    add("--data", help="digits, mnist, cifar10, cifar100, svhn, or an .npz of features and labels; default by scale")
    add("--data-dir", help="folder of the data's files (mnist, cifar10, cifar100, svhn)")
    add("--net", choices=("mlp", "mnist", "cifar", "head"), help="network; default by scale")
    add("--seeds", type=int, help="independent runs of everything; default by scale")
    add("--device", default="cpu", help="cpu or cuda")
    add("--threads", type=int, default=1, help="CPU threads (default 1: the nets are tiny)")
    add("--out", default="results", help="folder of the result files (default: results)")
    add("--work", default=None, help="folder of finished stages, to resume from (default: OUT/stages)")
    return top


def main(arguments: list[str] | None = None) -> int:
    """Runs one experiment; exit status 2 for what cannot be run."""
    given = parser().parse_args(arguments)
    try:
        import torch
    except ImportError:
        print("error: `unlearncheck deep` needs torch: pip install 'unlearncheck[torch]'", file=sys.stderr)
        return 2
    from rich.console import Console

    from torch_bridge.experiments.store import Store, save_results

    module = importlib.import_module(f"torch_bridge.experiments.{given.experiment}")
    changes = {name: getattr(given, name) for name in ("data", "net", "seeds") if getattr(given, name) is not None}
    known = {field.name for field in dataclasses.fields(module.SCALES[given.scale])}
    if unknown := [f"--{name}" for name in changes if name not in known]:
        print(f"error: {given.experiment} has no option {', '.join(unknown)}", file=sys.stderr)
        return 2
    usual = getattr(module, "FOR_DATA", {}).get((given.scale, given.data), {})
    settings = dataclasses.replace(module.SCALES[given.scale], **(usual | changes), device=given.device)
    torch.set_num_threads(max(1, given.threads))
    console = Console(stderr=True)
    started = time.monotonic()
    try:
        work = given.work or str(Path(given.out) / "stages")
        store = Store(work, given.experiment, settings, console)
        numbers, arrays = module.run(settings, given.data_dir, store)
    except (ValueError, TypeError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    command = "unlearncheck deep " + " ".join(_words(given))
    header = {
        "experiment": given.experiment,
        "scale": given.scale,
        "command": command,
        "settings": settings,
        "seconds": store.seconds | {"this_command": time.monotonic() - started},
        "torch": torch.__version__,
        "device": given.device,
    }
    name = f"{given.experiment}_{given.scale}" + (f"_{changes['data']}" if "data" in changes else "")
    paths = save_results(given.out, name, header | numbers, arrays)
    for line in module.summary(numbers):
        print(line)
    print(f"written: {paths[0]}, {paths[1]}")
    return 0


def _words(given: argparse.Namespace) -> list[str]:
    """The options that decide the result; folders of this machine stay out of the file."""
    words = [given.experiment, "--scale", given.scale]
    for name in ("data", "net", "seeds"):
        if getattr(given, name) is not None:
            words += [f"--{name}", str(getattr(given, name))]
    if given.data_dir is not None:
        words += ["--data-dir", "FOLDER"]
    if given.device != "cpu":
        words += ["--device", given.device]
    return words


if __name__ == "__main__":
    sys.exit(main())
