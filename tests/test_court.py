"""The court's own rules, on toy claims whose verdicts are known: a check that could not fail would show here."""

import json
import math
from dataclasses import dataclass

import mpmath
import numpy as np
import pytest

from paper_checks import codec
from paper_checks.claim import Claim, Mutant
from paper_checks.court import Court, combine
from paper_checks.legs import Comparison, Sample, Sampled, Symbolic
from paper_checks.verdict import Evidence, InvalidPromise, Log, Truth, log_promise, show_log


@dataclass(frozen=True)
class Number:
    x: float
    kind: str = "number"


def numbers(court, rng):
    yield Number(1.0)
    for value in rng.uniform(0.5, 4.0, 20 * court.effort):
        yield Number(float(value))


def square(case):
    return Truth.of(case.x**2, 1e-14)


def claim(promise, relation="upper", expected="survived", mutants=(), **options):
    leg = Comparison(instances=numbers, truth=square, relation=relation, **options)
    return Claim(
        id="toy.square",
        source="toy",
        statement="x^2",
        provenance="derived",
        against="x^2",
        expected=expected,
        promise=promise,
        legs=(leg,),
        mutants=mutants,
    )


def test_a_true_bound_survives_and_its_closest_approach_is_the_largest_ratio():
    verdict = Court().try_claim(claim(lambda case: case.x**2 + 1))
    cases = [case.x for case in numbers(Court(), Court().rng("toy.square", "exact"))]
    assert verdict.status == "survived"
    assert verdict.closest == pytest.approx(max(x * x / (x * x + 1) for x in cases), rel=1e-12)


def test_a_wrong_bound_is_refuted_with_the_instance():
    verdict = Court().try_claim(claim(lambda case: case.x))
    assert verdict.status == "refuted"
    found = verdict.counterexample
    assert found is not None and found.truth.lower > found.log_promised


def test_a_violation_within_the_error_of_the_truth_is_undecided_not_refuted_and_not_a_pass():
    loose = Comparison(instances=numbers, truth=lambda case: Truth.of(case.x**2, 1e-3))
    barely = loose.run(lambda case: case.x**2 * (1 - 1e-4), Court())
    assert barely.status == "undecided"
    clearly = loose.run(lambda case: case.x**2 * (1 - 1e-2), Court())
    assert clearly.status == "refuted"


def test_a_tight_claim_fails_when_the_bound_is_only_valid():
    assert Court().try_claim(claim(lambda case: 2 * case.x**2, "tight")).status == "refuted"
    reached_once = claim(lambda case: case.x**2 * (1 if case.x == 1.0 else 2), "tight")
    assert Court().try_claim(reached_once).status == "survived"


def test_equality_fails_on_either_side():
    assert Court().try_claim(claim(lambda case: case.x**2, "equal")).status == "survived"
    assert Court().try_claim(claim(lambda case: 1.01 * case.x**2, "equal")).status == "refuted"
    assert Court().try_claim(claim(lambda case: 0.99 * case.x**2, "equal")).status == "refuted"


def test_a_refutation_the_rigorous_truth_does_not_confirm_is_undecided():
    unconfirmed = claim(lambda case: 0.99 * case.x**2, certify=lambda case: Truth.of(0.9 * case.x**2, 0.0))
    assert Court().try_claim(unconfirmed).status == "undecided"
    confirmed = claim(lambda case: 0.99 * case.x**2, certify=square)
    verdict = Court().try_claim(confirmed)
    assert verdict.status == "refuted" and verdict.counterexample.certified


def test_counterexamples_are_shrunk_while_they_refute():
    def rounder(case):
        if case.x != math.ceil(case.x):
            yield Number(float(math.ceil(case.x)))

    wrong = claim(lambda case: case.x if case.x > 1 else case.x**2, simplify=rounder)
    verdict = Court().try_claim(wrong)
    assert verdict.counterexample.instance.x == round(verdict.counterexample.instance.x)


def test_mutants_are_tried_on_the_same_instances_and_survivors_are_not_as_expected():
    wrong = Mutant(name="lost square", promise=lambda case: case.x)
    right = Mutant(name="harmless", promise=lambda case: case.x**2 + 2)
    verdict = Court().try_claim(claim(lambda case: case.x**2 + 1, mutants=(wrong, right)))
    assert [mutant.killed for mutant in verdict.mutants] == [True, False]
    assert not verdict.as_expected
    explained = Mutant(name="harmless", promise=lambda case: case.x**2 + 2, true_because="larger")
    assert Court().try_claim(claim(lambda case: case.x**2 + 1, mutants=(wrong, explained))).as_expected


def test_a_mutant_said_to_be_true_that_is_killed_is_not_as_expected():
    lie = Mutant(name="lost square", promise=lambda case: case.x, true_because="so they say")
    assert not Court().try_claim(claim(lambda case: case.x**2 + 1, mutants=(lie,))).as_expected


@pytest.mark.parametrize("value", [math.nan, -1.0, 1j, "three", None, np.ones(2), True, Log(math.nan)])
def test_what_is_no_bound_is_reported_as_such_with_the_instance(value):
    with pytest.raises(InvalidPromise):
        log_promise(value)
    verdict = Court().try_claim(claim(lambda case: value))
    assert verdict.status == "invalid" and "Number" in verdict.evidence[0].note


def test_logs_carry_promises_below_the_smallest_float():
    assert log_promise(Log(-5e4)) == -5e4
    assert log_promise(0.0) == -math.inf
    with mpmath.workdps(30):
        number = mpmath.exp(mpmath.mpf(-50677.189582762))
        assert abs(mpmath.mpf(show_log(-50677.189582762)) / number - 1) < 1e-8


def test_the_same_seed_gives_the_same_verdict_whatever_ran_before():
    first = Court(seed=3).try_claim(claim(lambda case: case.x**2 + 1))
    court = Court(seed=3)
    court.try_claim(claim(lambda case: case.x))
    assert court.try_claim(claim(lambda case: case.x**2 + 1)).closest == first.closest
    assert Court(seed=4).try_claim(claim(lambda case: case.x**2 + 1)).closest != first.closest


def test_sampled_legs_refute_only_beyond_the_whole_interval():
    def draw(court, rng, false_alarm):
        return Number(1.0), Sample(math.log(0.9), math.log(1.1), 100, 0.1)

    leg = Sampled(draw=draw)
    assert leg.run(lambda case: 1.0, Court()).status == "survived"
    assert leg.run(lambda case: 0.8, Court()).status == "refuted"
    both = Sampled(draw=draw, relation="equal")
    assert both.run(lambda case: 1.2, Court()).status == "refuted"


def test_symbolic_legs_prove_or_name_what_fails():
    good, bad = ("one", lambda: True), ("two", lambda: False)
    assert Symbolic(identities=(good,)).run(None, Court()).status == "proved"
    failed = Symbolic(identities=(good, bad)).run(None, Court())
    assert failed.status == "refuted" and "two" in failed.note


def test_one_doubtful_leg_decides_against_a_pass():
    def leg(status):
        return Evidence("leg", status)

    assert combine((leg("proved"), leg("proved"))) == "proved"
    assert combine((leg("proved"), leg("survived"))) == "survived"
    assert combine((leg("survived"), leg("undecided"))) == "undecided"
    assert combine((leg("undecided"), leg("refuted"))) == "refuted"


def test_instances_survive_json_to_the_last_bit():
    case = Number(0.1 + 0.2)
    with pytest.raises(ValueError, match="instances hold only types of"):
        codec.decode(codec.encode(case))
    from paper_checks.families.contractive import ContractiveInstance

    instance = ContractiveInstance(np.array([0.1, 1 / 3]), np.array([1e-300, 2.0]), np.array([1.0, 0.5]))
    again = codec.decode(json.loads(json.dumps(codec.encode(instance))))
    for name in ("sensitivity", "noise_std", "contraction"):
        np.testing.assert_array_equal(getattr(again, name), getattr(instance, name))
    assert codec.decode(json.loads(json.dumps(codec.encode([math.inf, -math.inf])))) == [math.inf, -math.inf]


def test_bad_budgets_are_refused():
    with pytest.raises(ValueError, match="budget = 'huge'"):
        Court(budget="huge")
    with pytest.raises(ValueError, match="false_alarm"):
        Court(false_alarm=0.0)
