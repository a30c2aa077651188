"""What the README shows is what one gets: its Python blocks print what stands below them, its commands exist."""

import contextlib
import io
import re
from pathlib import Path

import pytest

from paper_checks import cli
from paper_checks.registry import all_claims

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```\s+prints\s+```text\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.parametrize("place", range(len(EXAMPLES)))
def test_python_examples_print_what_is_shown(place):
    code, shown = EXAMPLES[place]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    assert printed.getvalue().strip() == shown.strip()


def test_there_is_an_example_to_test():
    assert EXAMPLES


def test_every_verb_and_claim_the_readme_names_exists():
    for verb in re.findall(r"unlearncheck ([a-z]+)", README):
        assert verb in cli.VERBS, verb
    for name in re.findall(r"counterexamples/([\w.]+)\.json", README):
        assert name in all_claims(), name
