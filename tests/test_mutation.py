"""Automatic mutants: what is altered, that it is altered for everybody and undone, and what survivors are told to be."""

import json
import math
from dataclasses import dataclass

import pytest

from bounds import renyi_dp
from paper_checks import cli, measured, mutate, mutation
from paper_checks.claim import Claim
from paper_checks.families import clipped_chain, ridge
from paper_checks.koloskova2025 import gradient_clipping
from paper_checks.legs import Comparison
from paper_checks.mironov2017 import weak_triangle
from paper_checks.registry import all_claims
from paper_checks.verdict import Truth, log_promise

CASE = clipped_chain.edge_cases()[9]


def by_where(mutants):
    return {mutant.where: mutant for mutant in mutants}


def test_the_formula_of_a_closure_and_of_the_theory_below_it_is_altered_one_node_at_a_time():
    own = by_where(mutation.of_formula(gradient_clipping.form()))
    assert "mu: sides * distance -> distance" in own and "mu: case.shift * total -> case.shift" in own
    theory = by_where(mutation.of_formula(gradient_clipping.promised(gradient_clipping.pair_mu)))
    assert any(where.startswith(("gradient_clipping:", "_distances:")) for where in theory)
    lambdas = by_where(mutation.of_formula(weak_triangle.triangle()))
    assert "the promise: 2 * a -> a" in lambdas and "the promise: 2 * a - 1 -> 2 * a" in lambdas
    # No check of an argument and no outward rounding is taken for part of the formula.
    assert not any("_UP" in where or "number(" in where.split("->")[0][:20] for where in {**own, **theory})


def test_only_what_runs_is_altered():
    claim = all_claims()["koloskova2025.group_privacy.formula"]
    instance = mutate._cases(claim, 0)[0].instance
    everything = by_where(mutation.of_formula(claim.promise))
    run = by_where(mutation.of_formula(claim.promise, [instance]))
    # The other form of the formula stands in a branch of its own.
    assert run and set(run) < set(everything)


def test_a_mutant_lives_in_its_block_only_and_for_everybody():
    promise = gradient_clipping.form()
    value = promise(CASE)
    mutant = by_where(mutation.of_formula(promise))["mu: sides * distance -> distance"]
    assert mutant.kind == "factor lost"
    with mutant.alive() as mistaken:
        assert mistaken(CASE) == pytest.approx(value / 2, rel=1e-14) and promise(CASE) == mistaken(CASE)
    assert promise(CASE) == value
    with pytest.raises(KeyError), mutant.alive():
        raise KeyError
    assert promise(CASE) == value

    # A function of the theory, seen through its module by all its callers.
    order = 3.0
    before = renyi_dp.symmetric_triangle(order=order, first=1.0, second=2.0)
    claim = all_claims()["chien2024.symmetric_triangle"]
    altered = [
        m for m in mutation.of_formula(claim.promise) if m.where.startswith("symmetric_triangle: first + second")
    ]
    with altered[0].alive():
        assert renyi_dp.symmetric_triangle(order=order, first=1.0, second=2.0) != before
    assert renyi_dp.symmetric_triangle(order=order, first=1.0, second=2.0) == before


def test_two_lambdas_on_one_line_are_told_apart():
    first, second = weak_triangle.triangle(first=lambda a: 3 * a, second=lambda a: 5 * a).__closure__[1:3]
    assert {first.cell_contents(1.0), second.cell_contents(1.0)} == {3.0, 5.0}
    for cell in (first, second):
        function = cell.cell_contents
        node = mutation._node_of(mutation._tree(__file__), function.__code__)
        assert str(int(function(1.0))) in __import__("ast").unparse(node)


def test_numbers_read_and_returned_are_altered():
    instance = ridge.edge_cases()[0]
    seen = []

    def promise(read):
        seen.append((read.schedule.unlearn_noise, read.schedule.unlearn_steps, read.epsilon, read.delta_s))
        return 4.0

    found = by_where(mutation.of_numbers(promise, instance))
    noise, steps, epsilon = instance.schedule.unlearn_noise, instance.schedule.unlearn_steps, instance.epsilon
    for where, place, value in (
        ("read: unlearn_noise^2 for unlearn_noise", 0, noise**2),
        ("read: one unlearning step more", 1, steps + 1),
        ("read: 2 epsilon for epsilon", 2, 2 * epsilon),
        ("read: delta_s^2 for delta_s", 3, instance.delta_s**2),
    ):
        found[where].promise(instance)
        assert seen[-1][place] == value
    values = {where: math.exp(log_promise(found[where].promise(instance))) for where in found if "promise" in where}
    assert values == pytest.approx({"half the promise": 2, "the promise squared": 16, "the root of the promise": 2})


def test_a_fresh_instance_remembers_nothing():
    instance = ridge.edge_cases()[0]
    instance.log_hockey_stick("forward")
    instance.shared["note"] = 1
    again = mutation.fresh(instance)
    assert again.problem is instance.problem and not again._known and not again.shared
    case = clipped_chain.edge_cases()[0]
    clipped_chain.truth(case)
    assert not mutation.fresh(case)._known and mutation.fresh(case) == case


# --- fates


@dataclass(frozen=True)
class Number:
    """x, its truth x, and how far above it the claim promises."""

    x: float
    slack: float
    kind: str = "number"


def claim_of(promise, relation="upper"):
    numbers = [Number(1.0, 1.0), Number(2.0, 1.5), Number(5.0, 3.0)]
    leg = Comparison(instances=lambda court, rng: numbers, truth=lambda n: Truth.of(n.x), relation=relation)
    return Claim(
        id="toy",
        source="",
        statement="",
        provenance="derived",
        against="",
        expected="survived",
        legs=(leg,),
        promise=promise,
    )


@pytest.mark.parametrize(
    ("mistaken", "outcome"),
    [
        (lambda n: 0.9 * n.x * n.slack, "killed"),
        (lambda n: math.nan, "no bound"),
        (lambda n: 1 / 0, "no bound"),
        (lambda n: next(x for x in iter(int, 1) if x), "no bound"),
        (lambda n: n.x * n.slack * (1 + 1e-12), "same"),
        (lambda n: 2 * n.x * n.slack, "looser"),
        (lambda n: n.x * n.slack**0.5, "slack"),
        (lambda n: n.x * (n.slack if n.slack < 2 else 2.0), "slack"),
    ],
)
def test_fates_are_told_apart(mistaken, outcome, monkeypatch):
    monkeypatch.setattr(mutate, "_PATIENCE", 0.2)
    claim = claim_of(lambda n: n.x * n.slack)
    fate = mutate._fate(claim, mutation.AutoMutant("sign", "here", mistaken), mutate._cases(claim, 0))
    assert fate.outcome == outcome
    if outcome == "slack":
        assert fate.closest < 1 < fate.below_by


def test_a_survivor_below_an_attained_bound_is_open():
    # The truth's error covers the mutant, the comparison cannot refute it, and nothing shows it to be true.
    claim = claim_of(lambda n: n.x)
    vague = Comparison(
        instances=lambda court, rng: [Number(1.0, 1.0)],
        truth=lambda n: Truth(-0.5, 0.5),
        relation="upper",
        tolerance=0.2,
    )
    cases = [mutate._Case(vague, Number(1.0, 1.0), Truth(-0.5, 0.5), 1.0)]
    fate = mutate._fate(claim, mutation.AutoMutant("sign", "here", lambda n: math.exp(-0.4)), cases)
    assert fate.outcome == "open"
    assert mutate.record([fate], 0)["total"]["open"] == 1


def test_real_claims_catch_gross_alterations_and_explain_the_rest():
    found = mutate.fates("mironov2017.weak_triangle", most=8)
    assert sum(fate.outcome == "killed" for fate in found) >= 6
    assert not [fate for fate in found if fate.outcome == "open"]
    assert {"halved", "order or budget"} <= {fate.kind for fate in found}


def test_the_command_saves_the_matrix_and_counts_add_up(tmp_path, capsys):
    out = tmp_path / "m.json"
    call = ["mutate", "--statement", "group_privacy.formula", "--most", "6", "--jobs", "1", "--out", str(out)]
    assert cli.main(call) == 0
    assert "Automatic mutants by kind" in capsys.readouterr().out
    saved = json.loads(out.read_text())
    counted = [
        count for entry in saved["claims"].values() for kind in entry["kinds"].values() for count in kind.values()
    ]
    assert sum(counted) == sum(saved["total"].values()) > 6
    assert cli.main(["mutate", "--statement", "nothing of the kind"]) == 2
    assert cli.main(["mutate", "--most", "1"]) == 2
    capsys.readouterr()


def test_claims_that_fail_or_compare_nothing_are_left_alone():
    claims = all_claims()
    assert not mutate.tried(claims["bok2024.merging_step"])
    assert not mutate.tried(claims["benarroch2026.proposition_4_2.p2_any"])
    assert mutate.tried(claims["benarroch2026.proposition_4_2.p1"])


def test_every_kept_survivor_is_explained():
    kept = measured.load("automatic_mutants")
    if kept is None:
        pytest.skip("no matrix is kept")
    assert kept["total"]["open"] == 0
    assert set(kept["claims"]) <= set(all_claims())
    for entry in kept["claims"].values():
        for survivor in entry["survivors"]:
            assert measured.explanation(survivor, kept["explanations"])
            assert survivor["outcome"] != "slack" or survivor.get("closest", 0) <= 1 + 1e-6
