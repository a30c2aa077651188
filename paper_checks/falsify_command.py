"""``unlearncheck falsify FILE.py:FUNCTION --family NAME``: put a bound from a file, or a registered claim, on trial."""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import families
from .codec import encode
from .falsify import falsify
from .report import package_version, write_text
from .verdict import Verdict


def parser() -> argparse.ArgumentParser:
    """The command line of `falsify`."""
    known = "\n".join(
        f"  {name}: an instance holds {family.holds};\n    the claim returns {family.returns};\n    truth: {family.truth_is}"
        for name, family in ((name, families.get(name)) for name in families.names())
    )
    top = argparse.ArgumentParser(
        prog="unlearncheck falsify",
        description="Search for an instance on which the truth exceeds what a bound promises.",
        epilog=f"families:\n{known}\n\nExit status: 0 survived, 1 refuted, 3 undecided or no bound at all, 2 wrong call.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("claim", help="FILE.py:FUNCTION, or the id of a registered claim")
    top.add_argument("--family", required=True, choices=families.names())
    top.add_argument("--seconds", type=float, default=30.0)
    top.add_argument("--trials", type=int, help="stop after so many instances (reproducible for a seed)")
    top.add_argument("--seed", type=int, default=0)
    top.add_argument("--jobs", type=int, default=1, help="worker processes; the outcome does not depend on it")
    top.add_argument("--backend", help="joblib backend; `dask` runs on a cluster (extra [cluster])")
    top.add_argument(
        "--scheduler", help="address of the Dask scheduler, tcp://HOST:PORT; its workers have one thread each"
    )
    top.add_argument(
        "--out", type=Path, default=Path("found.json"), help="where a counterexample is saved (found.json)"
    )
    return top


def load_function(reference: str) -> Callable[[Any], Any] | str:
    """The function named FILE.py:FUNCTION, or the text itself when it names no file (a registered claim's id).

    Raises ValueError when the file or the function is not there.
    """
    path, colon, name = reference.rpartition(":")
    if not colon or not path.endswith(".py"):
        return reference
    if not Path(path).is_file():
        raise ValueError(f"claim = {reference!r}: there is no file {path!r}")
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Worker processes find the function again under its module's name.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    function = getattr(module, name, None)
    if not callable(function):
        raise ValueError(f"claim = {reference!r}: {path!r} has no function {name!r}")
    found: Callable[[Any], Any] = function
    return found


def record(reference: str, family: str, verdict: Verdict) -> dict[str, Any]:
    """The counterexample as JSON-ready data for `replay`."""
    found = verdict.counterexample
    assert found is not None
    return {
        "claim": reference,
        "family": family,
        "instance": encode(found.instance),
        "shown": str(found.instance),
        "log_promised": encode(found.log_promised),
        "log_truth": [encode(found.truth.lower), encode(found.truth.upper)],
        "direction": found.direction,
        "certified": found.certified,
        "version": package_version(),
    }


def main(arguments: list[str] | None = None) -> int:
    """Entry point; a wrong call ends in exit status 2 with one line saying what is wrong."""
    options = parser().parse_args(arguments)
    try:
        claim = load_function(options.claim)
        verdict = falsify(
            claim,
            family=options.family,
            seconds=options.seconds,
            seed=options.seed,
            trials=options.trials,
            jobs=options.jobs,
            backend=options.backend,
            scheduler=options.scheduler,
        )
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(verdict)
    if verdict.status == "refuted":
        write_text(options.out, json.dumps(record(options.claim, options.family, verdict)) + "\n")
        print(f"  replay with: unlearncheck replay {options.out}")
    return {"survived": 0, "refuted": 1}.get(verdict.status, 3)


if __name__ == "__main__":
    sys.exit(main())
