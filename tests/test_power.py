"""The power benchmark: what it holds, that wrong bounds fall and right ones stand, and its long search."""

import json
import math

import pytest

from paper_checks import cli, falsify, families, power
from paper_checks.power_bounds import BOUNDS, SIZES


def of(size):
    return [pytest.param(bound, id=f"{bound.family}: {bound.name}") for bound in BOUNDS if bound.size == size]


def test_enough_bounds_over_all_families_and_sizes():
    wrong = [bound for bound in BOUNDS if bound.size != "right"]
    right = [bound for bound in BOUNDS if bound.size == "right"]
    assert len(wrong) >= 40 and len(right) >= 20
    assert {bound.family for bound in wrong} == {bound.family for bound in right} == set(families.names())
    assert {bound.size for bound in wrong} == set(SIZES)
    assert len({(bound.family, bound.name) for bound in BOUNDS}) == len(BOUNDS)
    assert all(bound.why for bound in BOUNDS)


@pytest.mark.parametrize("bound", of("5%"))
def test_five_percent_on_tight_instances_is_refuted(bound):
    verdict = falsify(bound, family=bound.family, trials=3000)
    assert verdict.status == "refuted" and verdict.counterexample.certified
    assert verdict.counterexample.margin > 1.001


@pytest.mark.parametrize("bound", [b for b in BOUNDS if b.size == "gross"][::6], ids=lambda b: f"{b.family}: {b.name}")
def test_natural_mistakes_are_refuted(bound):
    assert falsify(bound, family=bound.family, trials=3000).status == "refuted"


@pytest.mark.parametrize("bound", of("right"))
def test_right_bounds_stand(bound):
    verdict = falsify(bound, family=bound.family, trials=60, seed=11)
    assert verdict.status == "survived", verdict
    assert 0 < verdict.closest <= 1 + 2e-9


def test_a_bound_whose_arithmetic_gives_out_promises_nothing():
    bound = BOUNDS[0]
    assert power.Bound("x", "contractive", "right", lambda i: 1 / 0, "")(None) == math.inf
    assert bound.why


def outcome(family, size, status, seconds, name="a"):
    return power.Outcome(family, name, size, status, 10, seconds, 0.5, 0)


def test_the_table_counts_and_times_by_family_and_size():
    rows = power.table(
        [
            outcome("path", "5%", "refuted", 1.0),
            outcome("path", "1%", "survived", 30.0),
            outcome("ridge", "5%", "refuted", 3.0),
            outcome("ridge", "right", "survived", 5.0),
        ]
    )
    found = {(row["by"], row["of"]): row for row in rows}
    assert found["size", "5%"] == {
        "by": "size", "of": "5%", "wrong": 2, "refuted": 2, "median_seconds": 2.0, "longest_seconds": 3.0
    }  # fmt: skip
    assert found["size", "1%"]["refuted"] == 0 and found["size", "1%"]["median_seconds"] is None
    assert found["family", "path"]["wrong"] == 2 and found["size", "all"]["wrong"] == 3


def test_the_long_search_adds_up_and_saves_what_it_did(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(power, "_SLICE", 0.6)
    monkeypatch.setattr(power, "BOUNDS", tuple(b for b in BOUNDS if b.family == "path"))
    out = tmp_path / "deep" / "endurance.json"
    found = power.endure(2.0, jobs=1, wall=60.0, seed=4, out=out, slice_seconds=0.6)
    saved = json.loads(out.read_text())
    assert saved["searched_seconds"] == found["searched_seconds"] >= 2.0
    assert saved["searched_seconds"] == pytest.approx(sum(b["seconds"] for b in saved["bounds"]), abs=0.5)
    assert saved["refuted"] == 0 and saved["trials"] == sum(b["trials"] for b in saved["bounds"]) > 0
    # In turn: no bound is searched a second time before all have been once.
    searches = [b["searches"] for b in saved["bounds"]]
    assert max(searches) - min(searches) <= 1 <= sum(searches)


def test_long_searches_made_apart_are_put_together(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(power, "BOUNDS", tuple(b for b in BOUNDS if b.family == "path"))
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    parts = [
        power.endure(0.7, jobs=1, wall=60, seed=seed, out=file, slice_seconds=0.6)
        for seed, file in zip((0, 100), files, strict=True)
    ]
    assert cli.main(["power", "--merge", *map(str, files), "--out", str(tmp_path / "both.json")]) == 0
    both = json.loads((tmp_path / "both.json").read_text())
    for key in ("searched_seconds", "trials", "refuted"):
        assert both[key] == pytest.approx(sum(part[key] for part in parts), abs=0.11)
    assert sum(b["searches"] for b in both["bounds"]) == sum(b["searches"] for part in parts for b in part["bounds"])
    assert cli.main(["power", "--merge", str(files[0]), str(files[0])]) == 2
    assert "the same seeds" in capsys.readouterr().err


def test_the_long_search_stops_at_the_clock_and_reports_a_false_refutation(tmp_path, monkeypatch, capsys):
    lie = power.Bound("a lie", "contractive", "right", lambda instance: 1e-3, "called right, and wrong")
    monkeypatch.setattr(power, "BOUNDS", (lie,))
    call = ["power", "--endurance", "1000", "--wall", "1.5", "--jobs", "1", "--out", str(tmp_path / "e.json")]
    assert cli.main(call) == 1
    saved = json.loads((tmp_path / "e.json").read_text())
    assert saved["wall_seconds"] < 5 and saved["refuted"] >= 1 and saved["bounds"][0]["counterexamples"]
    capsys.readouterr()


def test_the_command_measures_prints_and_fails_when_a_wrong_bound_stands(tmp_path, monkeypatch, capsys):
    good = next(b for b in BOUNDS if b.name == "optimal shifts, 5% low")
    right = next(b for b in BOUNDS if b.name == "every gap paid at once")
    missed = power.Bound("too large to be caught", "contractive", "1%", lambda instance: 1e300, "")
    out = tmp_path / "power.json"
    call = ["power", "--seconds", "1", "--right-seconds", "0.6", "--jobs", "1", "--out", str(out)]
    monkeypatch.setattr(power, "BOUNDS", (good, right))
    assert cli.main(call) == 0
    assert "0 of 1 right bounds refuted" in capsys.readouterr().out
    monkeypatch.setattr(power, "BOUNDS", (good, missed, right))
    assert cli.main(call) == 1
    assert "not as it should be" in capsys.readouterr().out
    saved = json.loads(out.read_text())
    assert [row["refuted"] for row in saved["rows"] if row["of"] == "all"] == [1]
    assert cli.main(["power", "--seconds", "0"]) == 2
    capsys.readouterr()
