"""The HTML page: readable mathematics, plots whose points stand where their numbers say, nothing fetched."""

import json
import math
import re
import statistics
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from figures.stored import Stored, stored_pictures
from paper_checks import html_claim, html_pictures, html_report, report, svg_plot
from paper_checks.claim import Claim, Mutant
from paper_checks.court import Court
from paper_checks.legs import Comparison
from paper_checks.readable_math import GREEK, to_html
from paper_checks.registry import all_claims
from paper_checks.verdict import Counterexample, Evidence, Log, MutantResult, Truth, Verdict

VOID = {"meta", "link", "br", "wbr", "input", "img", "hr"}


class Page(HTMLParser):
    """Elements, texts and open tags of a document; an end tag that closes nothing, or something else, is an error."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == [], f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> inside {self.open}"
        self.open.pop()

    def handle_data(self, data):
        if not {"style", "script"} & set(self.open):
            self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    def of_class(self, name):
        return [attributes for _, attributes in self.elements if name in (attributes.get("class") or "").split()]


# --- readable mathematics


def i(letters):
    return f"<i>{letters}</i>"


@pytest.mark.parametrize(
    ("plain", "html"),
    [
        ("c^{2K}", "<i>c</i><sup>2<i>K</i></sup>"),
        ("sigma_U^2", "<i>σ</i><sub><i>U</i></sub><sup>2</sup>"),
        ("delta_s <= eps", "<i>δ</i><sub><i>s</i></sub> ≤ <i>ε</i>"),
        ("sqrt((1-c)/(1+c)) L", '√<span class="root">(1−<i>c</i>)/(1+<i>c</i>)</span> <i>L</i>'),
        ("sum_{k<T} s_k", "∑<sub><i>k</i>&lt;<i>T</i></sub> <i>s</i><sub><i>k</i></sub>"),
        ("H_{e^eps}(P||Q)", "<i>H</i><sub><i>e</i><sup><i>ε</i></sup></sub>(<i>P</i>‖<i>Q</i>)"),
        ("X'_N", "<i>X</i>′<sub><i>N</i></sub>"),
        ("W*_{-i} - W*", "<i>W</i><sup>*</sup><sub>−<i>i</i></sub> − <i>W</i><sup>*</sup>"),
        ("P(X' in S)", "<i>P</i>(<i>X</i>′ ∈ <i>S</i>)"),
        ("|m_k|^2", "|<i>m</i><sub><i>k</i></sub>|<sup>2</sup>"),
        ("max_a {(a - x)_+}", "max<sub><i>a</i></sub> {(<i>a</i> − <i>x</i>)<sub>+</sub>}"),
        ("x'H^{-1}x", "<i>x</i>′<i>H</i><sup>−1</sup><i>x</i>"),
        ("a * b", "<i>a</i> · <i>b</i>"),
        ("W -> W - eta grad F", "<i>W</i> → <i>W</i> − <i>η</i> ∇<i>F</i>"),
        ("k = 1..T-1", "<i>k</i> = 1…<i>T</i>−1"),
        ("Phi(-eps/mu)", "Φ(−<i>ε</i>/<i>μ</i>)"),
        ("3LD/n", "3<i>LD</i>/<i>n</i>"),
    ],
)
def test_formulas_are_typeset(plain, html):
    assert to_html(plain) == html


@pytest.mark.parametrize(
    ("plain", "html"),
    [
        ("a gap of one diameter", "a gap of one diameter"),
        ("A gap (a late one) opens", "A gap (a late one) opens"),
        ("P2's hull, the rest's steps' noises", "P2’s hull, the rest’s steps’ noises"),
        ("X's law", f"{i('X')}’s law"),
        ("two-sided, mu-GDP, m-strongly", f"two-sided, {i('μ')}-GDP, {i('m')}-strongly"),
        ("i.e. a step_size of theorem_4_3", "i.e. a step_size of theorem_4_3"),
        ("(i) holds, (ii) fails", "(i) holds, (ii) fails"),
        ("some in all", "some in all"),
        ("exp(-50000) and 1e-9", "exp(−50000) and 1e-9"),
        ("x^ and {open and sqrt(1", f"{i('x')}^ and {{open and sqrt(1"),
        ('<b> & "quotes"', f"&lt;{i('b')}&gt; &amp; &quot;quotes&quot;"),
    ],
)
def test_prose_and_what_is_not_recognised_stay_as_written(plain, html):
    assert to_html(plain) == html


@given(st.lists(st.from_regex(r"[a-z]{2,9}", fullmatch=True), max_size=8).filter(lambda w: not set(w) & {*GREEK}))
def test_plain_words_are_left_alone(words):
    assert to_html(" ".join(words)) == " ".join(words)


PARTS = [*"aAxXT2'*_^{}()[]|<>=-+/&\"., é", "sqrt(", "eps", "sum_", "_{", "^{"]


@given(st.lists(st.sampled_from(PARTS), max_size=40))
def test_any_text_becomes_well_formed_html_with_no_other_tags(parts):
    text = "".join(parts)
    page = Page(to_html(text))
    assert {tag for tag, _ in page.elements} <= {"i", "sub", "sup", "span"}
    # Letters and digits all survive, in order, except those of the names that become signs.
    kept = re.sub(r"sqrt|sum|eps", "", re.sub(r"\W|_", "", text))
    assert re.sub(r"[∑ε\W_]|sqrt|sum|eps", "", page.text) == kept


def test_nesting_of_any_depth_is_survived():
    for opening, closing in (("x^{", "}"), ("sqrt(", ")")):
        deep = opening * 3000 + "y" + closing * 3000
        assert "y" in Page(to_html(deep)).text


def test_no_registered_statement_keeps_a_mark_of_plain_text():
    for claim in all_claims().values():
        for text in (claim.statement, claim.reading, *(mutant.name for mutant in claim.mutants)):
            shown = Page(to_html(text)).text
            assert not re.search(r"[_^]|<=|>=|sqrt|\bsum_|->|\b(?:eps|sigma|delta|mu)\b", shown), (claim.id, shown)


# --- plots


def test_thinning_keeps_the_closest_and_the_farthest_and_drops_what_cannot_be_drawn():
    rng = np.random.default_rng(1)
    pairs = [
        (float(x), float(x - gap)) for x, gap in zip(rng.normal(size=3000), rng.exponential(size=3000), strict=True)
    ]
    gaps = sorted(truth - promise for promise, truth in pairs)
    drawn = svg_plot.thin([*pairs, (math.inf, 0.0), (0.0, -math.inf), (math.nan, 0.0)], 100)
    kept = [truth - promise for promise, truth in drawn]
    assert len(drawn) == 100 and set(drawn) <= set(pairs)
    assert kept == sorted(kept) and kept[0] == gaps[0] and kept[-1] == gaps[-1]
    assert abs(statistics.median(kept) - statistics.median(gaps)) < 0.05
    assert sorted(svg_plot.thin(pairs[:50], 100)) == sorted(pairs[:50])
    with pytest.raises(ValueError, match="at_most = 1"):
        svg_plot.thin(pairs, 1)


def value_of(label):
    power = re.fullmatch(r"(?:(\d)·)?10<tspan[^>]*>(.*)</tspan>", label)
    if power is None:
        return math.log10(float(label))
    return math.log10(int(power[1] or 1)) + float(power[2].replace("−", "-"))


@given(st.floats(-1e5, 1e3), st.floats(0.8, 1e5), st.integers(3, 8))
def test_ticks_lie_inside_and_say_where_they_are(low, span, at_most):
    ticks = svg_plot.log_ticks(low, low + span, at_most)
    assert 1 <= len(ticks) <= at_most + 1
    for place, label in ticks:
        assert low <= place <= low + span
        assert value_of(label) == pytest.approx(place, abs=1e-9)


def test_ticks_of_a_monstrous_range_are_few_and_short():
    ticks = svg_plot.log_ticks(-2.3e12, 0.0, 5)
    assert 2 <= len(ticks) <= 6
    assert all(len(re.sub("<.*?>", "", label)) < 9 for _, label in ticks)


finite = st.floats(-1e4, 1e3)


def dots(svg):
    found = re.search(r'class="dots" d="([^"]*)"', svg)
    return [tuple(map(float, dot.split())) for dot in re.findall(r"M([^h]*)h0", found[1])] if found else []


def diagonal(svg):
    left, bottom, right, top = map(float, re.search(r'class="diagonal" d="M(\S+) (\S+)L(\S+) (\S+)"', svg).groups())
    return lambda x: bottom + (x - left) / (right - left) * (top - bottom)


@given(st.lists(st.tuples(finite, st.floats(0.0, 50.0)), min_size=1, max_size=30))
def test_points_stand_on_their_side_of_the_diagonal_and_inside_the_frame(draws):
    pairs = [(promise, promise - gap) for promise, gap in draws]
    worst = max(draws)[0]
    svg = svg_plot.scatter(pairs, violation=svg_plot.Marked((worst, worst + 3.0), "broken by ×20"))
    Page(svg)
    line = diagonal(svg)
    for x, y in dots(svg):
        assert 52 <= x <= 346 and 24 <= y <= 290
        assert y >= line(x) - 0.2
    x, y = map(float, re.search(r'class="violation" d="M(\S+) (\S+)l', svg).groups())
    assert y + 6 <= line(x + 6) + 0.2  # y grows downwards: above the diagonal


def test_a_point_stands_where_the_ticks_say():
    pairs = [(math.log(10.0**-k), math.log(10.0 ** -(k + 1))) for k in range(0, 9, 2)]
    svg = svg_plot.scatter(pairs)
    ticks = {
        value_of(label): float(x)
        for x, label in re.findall(r'<text x="([^"]*)" y="307" text-anchor="middle">(.*?)</text>', svg)
    }
    (first, at_first), (second, at_second) = sorted(ticks.items())[:: len(ticks) - 1]
    for x, k in zip(sorted(x for x, _ in dots(svg)), range(8, -1, -2), strict=True):
        assert x == pytest.approx(at_first + (-k - first) * (at_second - at_first) / (second - first), abs=0.15)


def test_truths_far_below_all_promises_do_not_press_the_others_together():
    near = [(math.log(0.5) - 0.1 * k, math.log(0.5) - 0.1 * k - 0.3) for k in range(20)]
    svg = svg_plot.scatter([*near, (-1.0, -40_000.0)])
    heights = [y for _, y in dots(svg)]
    assert len(heights) == len(near) and max(heights) - min(heights) > 50
    assert 'class="below"' in svg and "truth lies lower" in svg
    assert "truth lies lower" not in svg_plot.scatter(near)


def test_a_few_promises_in_another_world_do_not_press_the_others_together():
    near = [(-0.1 * k, -0.1 * k - 0.3) for k in range(60)]
    svg = svg_plot.scatter([*near, (-40_000.0, -40_000.0), (-50_000.0, -60_000.0)])
    heights = [y for _, y in dots(svg)][: len(near)]
    assert max(heights) - min(heights) > 100
    for x in re.findall(r"M(\S+) \d+h6", re.search(r'class="below" d="([^"]*)"', svg)[1]):
        assert 49 <= float(x) <= 346


def test_marks_carry_a_label_inside_the_picture():
    for promise, truth in [(0.0, -0.01), (-20.0, -20.01), (-10.0, -10.01)]:
        pairs = [(0.0, -1.0), (-20.0, -21.0)]
        svg = svg_plot.scatter(pairs, closest=svg_plot.Marked((promise, truth), "closest 0.990050"))
        x, y, anchor = re.search(r'<text x="(\S+)" y="(\S+)" text-anchor="(\w+)" class="mark">', svg).groups()
        width = 6.6 * len("closest 0.990050")
        left = float(x) - {"start": 0, "middle": width / 2, "end": width}[anchor]
        assert left >= 52 and left + width <= 360
        assert 24 < float(y) < 290


def test_nothing_to_draw_gives_no_plot():
    assert svg_plot.scatter([]) == ""
    assert svg_plot.scatter([(math.inf, 0.0)], violation=svg_plot.Marked((-math.inf, 0.0), "x")) == ""
    assert svg_plot.strips({"hull": [math.nan, math.inf, 0.0]}) == ""


def test_strips_show_the_median_where_the_axis_says():
    values = [1.5, 2.0, 40.0, 3.0, 7.0, math.inf, math.nan]
    svg = svg_plot.strips({"hull": values, "a < b": [1.0, 1.1]})
    page = Page(svg)
    ticks = {
        value_of(label): float(x)
        for x, label in re.findall(r'<text x="([\d.]+)%" y="\d+" text-anchor="middle">(.*?)</text>', svg)
    }
    (first, at_first), (second, at_second) = sorted(ticks.items())[:: len(ticks) - 1]
    median = float(page.of_class("median")[0]["x1"].rstrip("%"))
    assert median == pytest.approx(
        at_first + (math.log10(3) - first) * (at_second - at_first) / (second - first), abs=0.05
    )
    assert "hull median 3" in page.text and "a < b median 1.05" in page.text
    assert svg.count("M", svg.index('class="ticks"'), svg.index("/>", svg.index('class="ticks"'))) == 5


# --- the page


@dataclass(frozen=True)
class Number:
    x: float
    kind: str = "number"


def numbers(court, rng):
    yield Number(1.0)
    for value in rng.uniform(0.5, 4.0, 20):
        yield Number(float(value))


LEG = Comparison(instances=numbers, truth=lambda case: Truth.of(case.x**2, 1e-14))
BASE = Claim(
    id="toy.square",
    source="Toy 2026, Lemma 1",
    statement="mu <= sqrt(x^4) for every x, with c^{2K} <b>no</b> {{body}} harm",
    reading="R1",
    provenance="derived",
    against="x^2 & nothing else",
    expected="survived",
    promise=lambda case: case.x**2 + 1,
    legs=(LEG,),
    mutants=(
        Mutant(name="lost square", promise=lambda case: case.x),
        Mutant(name="larger", promise=lambda case: case.x**2 + 2, true_because="it is only looser"),
    ),
)
WRONG = replace(
    BASE,
    id="foil.linear",
    expected="refuted",
    promise=lambda case: case.x if case.x > 1 else Log(0.5),
    provenance="public code",
    repair="toy.square",
    why="x < x^2 beyond 1.",
    mutants=(Mutant(name="lost square", promise=lambda case: case.x, true_because="so they say"),),
)


def docket():
    """What the report reads of a docket; one certificate is infinite."""
    rng = np.random.default_rng(5)
    exact = np.exp(rng.normal(size=240))
    certified = {"hull": exact * rng.uniform(2, 30, 240), "best": exact * rng.uniform(1, 3, 240)}
    certified["hull"][3] = math.inf
    table = {
        name: (float((values / exact).min()), float(np.median(values / exact)), float((values / exact).max()))
        for name, values in certified.items()
    }
    return SimpleNamespace(
        data="digits: <small> pictures",
        problem=SimpleNamespace(ridge=1.0),
        schedule=SimpleNamespace(
            step_size=1e-3, learn_steps=300, unlearn_steps=30, learn_noise=0.01, unlearn_noise=0.01
        ),
        delta=1e-5,
        delta_s=5e-6,
        indices=np.arange(240),
        leverage=np.linspace(0.01, 0.2, 240),
        exact=exact,
        certified=certified,
        ratios=lambda: table,
        seconds=1.0,
    )


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "reports"
    court = Court(seed=2)
    outcomes = [(claim, court.try_claim(claim)) for claim in (BASE, WRONG)]
    # Instances of these toy claims belong to the test, so their counterexample is saved as what is common to all.
    claim, verdict = outcomes[1]
    found = replace(verdict.counterexample, instance=[verdict.counterexample.instance.x])
    leg = replace(
        verdict.evidence[0], counterexample=found, pairs=((0.1, 0.0), (0.2, -0.5)), nearest=Number(1.0), closest=0.9
    )
    outcomes[1] = (claim, replace(verdict, evidence=(leg,)))
    court.docket = docket()
    paths = report.save(out, outcomes, court)
    return SimpleNamespace(out=out, paths=paths, outcomes=outcomes, text=(out / "report.html").read_text("utf-8"))


def test_the_page_is_saved_beside_the_json_and_made_from_it_alone(saved):
    assert saved.out / "report.html" in saved.paths
    record = json.loads((saved.out / "report.json").read_text("utf-8"))
    assert html_report.page(record, "reports") == saved.text


def test_the_page_is_well_formed_and_its_links_lead_somewhere(saved):
    page = Page(saved.text)
    names = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(names) == len(set(names))
    targets = [attributes["href"] for tag, attributes in page.elements if tag in ("a", "use")]
    assert targets
    for target in targets:
        if target.startswith("#"):
            assert target[1:] in names
        else:
            assert (saved.out / target).is_file()
    labels = {attributes["for"] for attributes in page.all("label")}
    fields = page.all("input") + page.all("select")
    assert {field["id"] for field in fields} == labels


def test_the_page_fetches_nothing(saved):
    page = Page(saved.text)
    policy = next(meta["content"] for meta in page.all("meta") if "Content-Security" in (meta.get("http-equiv") or ""))
    assert policy.startswith("default-src 'none';")
    inline = r'src="data:image/png;base64,[A-Za-z0-9+/=]*"'
    assert not re.search(r"https?:|@import|url\(|//[a-z]", re.sub(inline, "", saved.text))
    assert len(re.findall(inline, saved.text)) == len(page.all("img"))
    elsewhere = [attributes for tag, attributes in page.elements if tag != "img"]
    assert not [attributes for attributes in elsewhere if {"src", "srcset", "action"} & attributes.keys()]
    assert {tag for tag, _ in page.elements}.isdisjoint({"link", "iframe", "object", "embed"})


def test_pictures_stand_once_under_the_first_claim_they_belong_to(monkeypatch):
    kept = [
        Stored("ours/a", "A & b", "A caption.", "bok2024", b"png"),
        Stored("ours/b", "B", "Another.", "", b"png"),
        Stored("ours/c", "C", "A third.", "nowhere.at_all", b"png"),
    ]
    monkeypatch.setattr(html_pictures, "stored_pictures", lambda: kept)
    html_pictures._by_claim.cache_clear()
    try:
        shown = {claim: html_pictures.pictures(claim) for claim in all_claims()}
    finally:
        html_pictures._by_claim.cache_clear()
    first = next(claim for claim in all_claims() if claim.startswith("bok2024"))
    assert [claim for claim, text in shown.items() if text] == [first]
    assert 'alt="A &amp; b"' in shown[first] and "A caption." in shown[first] and "cG5n" in shown[first]


def test_the_pictures_of_the_repository_are_small():
    sizes = [len(picture.content) for picture in stored_pictures()]
    assert max(sizes) <= 120_000 and sum(sizes) <= 3_000_000


def test_statuses_are_said_in_words_and_shapes_not_by_colour_alone(saved):
    for status in ("survived", "refuted"):
        assert re.search(rf'href="#icon-{status}"/></svg>{status}</span>', saved.text)
    shapes = set(re.findall(r'<symbol id="icon-(\w+)"', saved.text))
    assert {*report.MARKS, "true"} <= shapes


def test_a_refuted_claim_shows_both_numbers_the_factor_and_how_to_replay_it(saved):
    part = saved.text[saved.text.index('id="claim-foil.linear"') :]
    shown = Page(part[: part.index("</section>")].split(">", 1)[1]).text
    found = saved.outcomes[1][1].counterexample
    assert f"promised{math.exp(found.log_promised):.12g}" in shown
    assert f"{math.exp(found.truth.lower):.12g}" in shown
    assert f"by the factor {found.margin:.6g}" in shown
    assert "unlearncheck replay reports/counterexamples/foil.linear.json" in shown
    assert "broken by ×" in shown and 'class="violation"' in part
    assert "Repaired bytoy.square" in shown


def test_a_surviving_claim_shows_its_closest_approach_in_the_plot_and_in_words(saved):
    part = saved.text[saved.text.index('id="claim-toy.square"') : saved.text.index('id="claim-foil.linear"')]
    closest = saved.outcomes[0][1].closest
    assert f"closest {closest:.6g}</text>" in part
    assert f"truth/promise {closest:.9g}" in part
    assert len(dots(part)) == 21


def test_mutants_are_killed_true_or_not_accounted_for(saved):
    text = Page(saved.text).text
    assert "1 of 2 killed" in text and "it is only looser" in text
    assert "killed but said true lost square" in text  # the foil's mutant is refuted although it was said to be true
    column = re.search(r'<th scope="col" class="column">(.*?)</th>', saved.text)
    assert column[1] == "lost square"  # made in both claims, so it has a column; "larger" stands in its row
    rows = re.findall(r'<td class="cell">(.*?)</td><td class="own">(.*?)</td>', saved.text)
    assert len(rows) == 2 and all("killed" in cell for cell, _ in rows)
    assert "larger" in rows[0][1] and "larger" not in rows[1][1]


def test_a_mutant_nobody_caught_is_marked():
    survivor = html_claim.mutant_outcome({"killed": False, "true_because": "", "status": "survived"})
    assert survivor == ("invalid", "loose", "survived")
    assert html_claim.mutant_outcome({"killed": True, "true_because": "", "status": "refuted"})[2] == "killed"


def test_what_is_not_as_expected_stands_out(saved):
    page = Page(saved.text)
    expected = {row["data-section"]: row["data-expected"] for row in page.all("tr") if "data-section" in row}
    assert expected == {"claim-toy.square": "as expected", "claim-foil.linear": "not as expected"}
    assert "1 of 2 verdicts are as expected" in page.text
    assert len(page.of_class("alarm")) == 3  # header, row, section


def test_filters_and_script_agree_with_the_page(saved):
    page = Page(saved.text)
    script = saved.text[saved.text.index('"use strict"') :]
    kinds = re.findall(r'"(\w+)"', re.search(r"kinds = \[(.*?)\]", script)[1])
    names = {field.get("name") for field in page.all("select")}
    assert set(kinds) == names
    rows = [row for row in page.all("tr") if "data-section" in row]
    for kind in kinds:
        field = saved.text[saved.text.index(f'<select id="{kind}"') :]
        offered = set(re.findall(r'<option value="([^"]*)"', field[: field.index("</select>")]))
        assert {row[f"data-{kind}"] for row in rows} <= offered
    for row in rows:
        assert any(section["id"] == row["data-section"] for section in page.all("section"))
    for name in re.findall(r'getElementById\("(\w+)"\)', script):
        assert f'id="{name}"' in saved.text


def test_columns_of_the_verdict_table_sort_by_numbers(saved):
    table = saved.text[saved.text.index('<table class="verdicts"') :]
    table = table[: table.index("</table>")]
    headers = re.findall(r'<th scope="col"[^>]*class="(\w*)"><button type="button">', table)
    for row in re.findall(r'<tr role="row" data-.*?</tr>', table, re.DOTALL):
        cells = re.findall(r"<t[hd] [^>]*>", row)
        assert len(cells) == len(headers)
        for kind, cell in zip(headers, cells, strict=True):
            if kind == "number":
                assert math.isfinite(float(re.search(r'data-sort="([^"]*)"', cell)[1]))


def test_the_data_table_holds_the_ratios_and_medians(saved):
    data = docket()
    part = saved.text[saved.text.index('id="data"') : saved.text.index('id="mutants"')]
    best = data.certified["best"] / data.exact
    wanted = [best.min(), np.median(best), best.max(), np.median(data.certified["best"])]
    row = re.search(r'<th scope="row">best</th>(.*?)</tr>', part)[1]
    assert re.findall(r">([^<]+)</td>", row) == [f"{value:.4g}" for value in wanted]
    assert re.search(r'<th scope="row">hull</th>.*?>inf</td>', part)
    assert 'class="strips"' in part and "digits: &lt;small&gt; pictures" in part


def test_every_training_point_has_its_dot_and_the_hardest_are_listed_first(saved):
    data = docket()
    part = saved.text[saved.text.index('id="data"') : saved.text.index('id="mutants"')]
    panels = re.findall(r'<figure class="panel"><figcaption>(\w+)</figcaption>(.*?)</figure>', part, re.DOTALL)
    assert [name for name, _ in panels] == ["hull", "best"]
    for name, panel in panels:
        shown = panel.count("h0") + panel.count("l-3 6z")
        # The infinite certificate has no place, and dots on one spot of the paper are drawn once.
        assert 0.9 * 240 < shown <= 240 - (name == "hull")
    table = part[part.index("Hardest to forget") :]
    listed = [int(point) for point in re.findall(r'<th scope="row">(\d+)</th>', table)]
    assert listed == np.argsort(-data.exact)[:10].tolist()
    first = re.search(r'<th scope="row">\d+</th>(.*?)</tr>', table)[1]
    hardest = listed[0]
    values = [
        data.leverage[hardest],
        data.exact[hardest],
        data.certified["hull"][hardest],
        data.certified["best"][hardest],
    ]
    assert re.findall(r">([^<]+)</td>", first) == [f"{values[0]:.3g}", *(f"{value:.4g}" for value in values[1:])]


def test_text_from_outside_cannot_become_markup():
    evil = """<script>alert('x')</script>" onload="x' {{style}} {{body}} </style>"""
    leg = Evidence(evil, "refuted", 3, 0.5, evil, Counterexample(evil, -1.0, Truth(0.0, 0.0)), evil, {evil: 1, "b": 2})
    mutants = (MutantResult(evil, "survived", "", None, evil), MutantResult("m", "survived", evil))
    claim = replace(
        BASE, source=evil, statement=evil, reading=evil, provenance=evil, against=evil, why=evil, repair=evil
    )
    verdict = Verdict(claim.id, "refuted", "survived", (leg,), mutants, 0.0, evil)
    clean = report.verdict_record(BASE, Verdict(BASE.id, "survived", "survived"))
    record = {
        "version": evil,
        "budget": evil,
        "seed": 0,
        "false_alarm": 1e-6,
        "verdicts": [report.verdict_record(claim, verdict)],
        "data": None,
    }
    page = Page(html_report.page(record, evil))
    usual = Page(html_report.page({**record, "verdicts": [clean], "version": "1", "budget": "quick"}))
    assert len(page.all("script")) == len(usual.all("script")) == 1
    assert len(page.all("style")) == 1
    assert not [attributes for _, attributes in page.elements if any(name.startswith("on") for name in attributes)]
    assert page.text.count("alert(") >= 8
    assert page.text.count("{{body}}") >= 8
    names = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(names) == len(set(names))


def test_a_leg_that_compares_nothing_and_a_promise_of_zero_do_not_break_the_page():
    found = Counterexample("x", -math.inf, Truth(-5.0, -4.0))
    legs = (Evidence("symbolic", "proved", 2, note="a; b"), Evidence("exact", "refuted", 1, counterexample=found))
    verdict = Verdict(BASE.id, "refuted", "refuted", legs)
    part = html_claim.section(report.verdict_record(BASE, verdict), set(), "reports")
    page = Page(part)
    assert "promised0" in page.text and not page.of_class("plot")
    assert "between 0.00673794699909 and 0.0183156388887" in page.text


def test_an_equality_missed_from_below_is_measured_from_the_other_end():
    found = Counterexample("x", 1.0, Truth(-0.5, 0.25), "below")
    leg = Evidence("exact", "refuted", 1, counterexample=found)
    record = report.verdict_record(BASE, Verdict(BASE.id, "refuted", "survived", (leg,)))
    assert html_claim.factor(record["counterexample"]) == pytest.approx(found.margin, rel=1e-12)
    shown = Page(html_claim.section(record, set(), "reports")).text
    assert f"stays below the promise by the factor {math.exp(0.75):.6g}" in shown
    assert "not as expected: survived" in shown


def test_a_repair_that_is_not_on_the_page_is_named_but_not_linked():
    record = report.verdict_record(WRONG, Verdict(WRONG.id, "refuted", "refuted"))
    assert not Page(html_claim.section(record, {WRONG.id}, "reports")).all("a")
    assert Page(html_claim.section(record, {WRONG.id, BASE.id}, "reports")).all("a") == [{"href": "#claim-toy.square"}]
