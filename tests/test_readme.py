"""What the README shows is what one gets: its Python blocks print what stands below them, its commands exist."""

import contextlib
import io
import re
from pathlib import Path

import pytest

from paper_checks import cli, pages
from paper_checks.registry import all_claims

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHARP_EDGES = (ROOT / "paper_checks" / "SHARP_EDGES.md").read_text(encoding="utf-8")
EXAMPLES = [
    found
    for page in (README, SHARP_EDGES)
    for found in re.findall(r"```python\n(.*?)```\s+prints\s+```text\n(.*?)```", page, flags=re.DOTALL)
]


@pytest.mark.parametrize("place", range(len(EXAMPLES)))
def test_python_examples_print_what_is_shown(place):
    code, shown = EXAMPLES[place]
    if "torch" in code:
        pytest.importorskip("torch")
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


def test_claims_named_on_the_page_of_sharp_edges_exist():
    named = re.findall(r"`((?:benarroch|koloskova|sepahvand|chien|thudi|bok)\d{4}\.[\w.]+)`", SHARP_EDGES)
    assert named
    for name in named:
        assert any(claim.startswith(name) for claim in all_claims()), name


def test_generated_pages_are_up_to_date():
    stale = [path for path, text in pages.pages().items() if path.read_text(encoding="utf-8") != text]
    assert not stale, "run `unlearncheck docs`"


def test_every_link_of_the_pages_leads_somewhere():
    for path, text in pages.pages().items():
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
            assert (path.parent / target).exists(), (path, target)
