"""Results kept with the package: read, told in the report as Markdown and HTML, numbers unchanged."""

import json
import re

import pytest

from paper_checks import html_measured, html_report, measured, power
from paper_checks.court import Court
from paper_checks.report import markdown

MATRIX = {
    "version": "1",
    "kinds": ["factor lost", "sign"],
    "explanations": {
        "same": "changes nothing",
        "looser": "nowhere below",
        "slack": "only in the slack",
        "open": "not explained",
    },
    "total": {"killed": 5, "no bound": 1, "same": 2, "looser": 1, "slack": 1, "open": 0},
    "claims": {
        "a.b": {
            "kinds": {"factor lost": {"killed": 3, "no bound": 1, "looser": 1}, "sign": {"same": 2}},
            "survivors": [{"kind": "factor lost", "where": "f: a < b -> a", "outcome": "looser"}],
        },
        "a.c": {
            "kinds": {"sign": {"killed": 2, "slack": 1}},
            "survivors": [
                {"kind": "sign", "where": "g: x - y -> x + y", "outcome": "slack", "closest": 0.25, "below_by": 3.0}
            ],
        },
    },
}
POWER = power.record(
    [
        power.Outcome("path", "order dropped", "gross", "refuted", 3, 0.1, None, 0, "n=1"),
        power.Outcome("path", "nearly right", "1%", "survived", 900, 30.0, 0.99, 0),
        power.Outcome("path", "sum", "right", "survived", 500, 5.0, 1.0, 0),
    ],
    seconds=30.0,
    right_seconds=5.0,
    seed=0,
)
ENDURANCE = {"refuted": 0, "bounds": [1, 2, 3], "searched_seconds": 10007.2, "trials": 1234567, "jobs": 16}


def test_cells_count_what_changes_something():
    kinds = MATRIX["claims"]["a.b"]["kinds"]
    assert (
        measured.cell(kinds["factor lost"]) == "4/5"
        and measured.cell(kinds["sign"]) == "="
        and measured.cell(None) == ""
    )
    assert measured.caught(MATRIX["total"]) == (6, 8)


def test_only_what_is_kept_is_read(tmp_path):
    assert measured.load("power", tmp_path) is None and measured.all_kept(tmp_path) == {}
    (tmp_path / "endurance.json").write_text(json.dumps(ENDURANCE))
    assert measured.all_kept(tmp_path) == {"endurance": ENDURANCE}


def test_markdown_has_the_tables_and_every_survivor_with_its_reason():
    text = "\n".join(measured.markdown({"power": POWER, "endurance": ENDURANCE, "automatic_mutants": MATRIX}))
    assert "| path | 2 | 1 | 0.10 | 0.10 |" in text and "| error 1% | 1 | 0 |  |  |" in text
    assert "0 of 1." in text and "10,007 s" in text and "1,234,567 instances" in text
    assert "| a.b | 4/5 | = |" in text and "| a.c |  | 2/3 |" in text
    assert (
        "- a.c: sign, `g: x - y -> x + y`: only in the slack; truth/mutant at most 0.25, bound/mutant up to 3" in text
    )


def test_the_page_shows_both_and_links_to_claims_it_holds():
    page = html_report.page(
        {
            "version": "1", "budget": "quick", "seed": 0, "false_alarm": 1e-6, "verdicts": [], "data": None,
            "measured": {"power": POWER, "endurance": ENDURANCE, "automatic_mutants": MATRIX},
        }
    )  # fmt: skip
    assert 'href="#automatic"' in page and 'href="#power"' in page
    assert "of 8 that change what is\npromised, 6 were caught" in page and "a &lt; b -&gt; a" in page
    assert re.search(r'<th scope="row">error 1%</th><td class="number">1</td><td class="number">0</td>', page)
    assert "order dropped" in page and page.count('class="status loose"') == 1
    part = html_measured.mutant_matrix(MATRIX, {"a.b"})
    assert '<a href="#claim-a.b">' in part and "#claim-a.c" not in part
    bare = html_report.page(
        {"version": "1", "budget": "quick", "seed": 0, "false_alarm": 1e-6, "verdicts": [], "data": None}
    )
    assert 'id="power"' not in bare and 'href="#automatic"' not in bare


def test_the_report_says_what_is_kept(monkeypatch):
    monkeypatch.setattr(measured, "all_kept", lambda: {"power": POWER})
    assert "## How much the search finds" in markdown([], Court())


@pytest.mark.parametrize("name", list(measured.COMMANDS))
def test_kept_results_are_small_and_whole(name):
    found = measured.load(name)
    if found is None:
        pytest.skip("not kept")
    assert (measured.FOLDER / f"{name}.json").stat().st_size < 400_000
    assert measured.markdown(measured.all_kept())
    if name == "power":
        assert found["right"]["refuted"] == 0 and found["right"]["bounds"] >= 20
        total = next(row for row in found["rows"] if row["of"] == "all")
        assert total["wrong"] >= 40 and total["refuted"] == total["wrong"]
    if name == "endurance":
        assert found["refuted"] == 0 and found["searched_seconds"] >= 10_000
