"""Stores the numbers of every picture at smoke scale, as they are when this is run: python tests/reference/figures.py.

A change of a stored number is news: look at the picture and say why before storing it anew.
"""

import json
import sys
import tempfile
from pathlib import Path


def main() -> None:
    """Compute all and write figures.json."""
    sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]
    from test_figures import DRAWABLE, nothing, summary

    from figures import gallery
    from linear.datasets import load

    digits, stored = load("digits", None), {}
    for name in DRAWABLE:
        module = gallery.catalogue()[name]
        if module.ABOUT.needs == "saved results":  # their numbers are in the repository already
            continue
        dataset = digits if module.ABOUT.needs == "data set" else None
        with tempfile.TemporaryDirectory() as folder:
            settings = gallery.settings_of(module, "smoke")
            found, _, _ = gallery.collect(module, settings, dataset, Path(folder) / "a", nothing)
        stored[name] = {key: summary(found[key]) for key in sorted(found.arrays)}
        print(name, file=sys.stderr)
    path = Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
