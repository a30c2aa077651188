"""``unlearncheck VERB ...``: one console command with the verbs of the modules."""

from __future__ import annotations

import importlib
import sys

# verb -> (module with main(arguments), words put before the user's own, what it does)
VERBS: dict[str, tuple[str, tuple[str, ...], str]] = {
    "verify": ("paper_checks.__main__", (), "put the theorems on trial and write the report"),
    "replay": ("paper_checks.__main__", ("replay",), "run a saved counterexample again"),
    "falsify": ("paper_checks.falsify_command", (), "search for a counterexample to a bound of your own"),
    "power": ("paper_checks.power", (), "how many wrong bounds the search refutes, how fast, and no right one"),
    "mutate": ("paper_checks.mutate", (), "alter every claim's formula, and see whether its own check notices"),
    "certify": ("bounds.__main__", ("certify",), "certificate and noise for deleting one training point"),
    "adapted": ("paper_checks.adapted_points", (), "every training point by adapted shifts, beside the exact epsilon"),
    "profile": ("paper_checks.profile_command", (), "exact privacy of deleting each training point of a data set"),
    "plan": ("paper_checks.plan_command", (), "the noise that deleting each training point needs, by method"),
    "compare": ("paper_checks.compare", (), "the noise and the steps every theory asks for, on one ridge problem"),
    "clipping": ("paper_checks.clipping_tables", (), "clipped fine-tuning: certified against exact, who wins where"),
    "deep": ("torch_bridge.__main__", (), "the papers' experiments with networks: difficulty, clipping, audit"),
    "docs": ("paper_checks.pages", (), "write the pages of the papers and of the pictures"),
    "figures": ("figures.__main__", (), "draw the figures of the papers, and ours"),
}


def usage() -> str:
    """The list of verbs."""
    rows = [f"  {verb:10} {what}" for verb, (_, _, what) in VERBS.items()]
    return "\n".join(["usage: unlearncheck VERB [options]   (VERB --help for its options)", "", *rows])


def main(arguments: list[str] | None = None) -> int:
    """Hand the call to the verb's module; exit status 2 for an unknown verb."""
    given = sys.argv[1:] if arguments is None else arguments
    if not given or given[0] in ("-h", "--help"):
        print(usage())
        return 0 if given else 2
    if given[0] not in VERBS:
        print(f"error: verb = {given[0]!r}: must be one of {', '.join(VERBS)}\n\n{usage()}", file=sys.stderr)
        return 2
    module, words, _ = VERBS[given[0]]
    return int(importlib.import_module(module).main([*words, *given[1:]]))


if __name__ == "__main__":
    sys.exit(main())
