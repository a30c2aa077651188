"""`falsify`: wrong bounds are refuted with small certified instances, right ones never; the search is reproducible."""

import json
import math
import time

import numpy as np
import pytest

from bounds.interpolation import optimal_shifts
from paper_checks import Truth, cli, falsify, families
from paper_checks.families.contractive import ContractiveInstance


def hull(instance):
    return optimal_shifts(instance.sensitivity, instance.noise_std, instance.contraction).mu


def test_the_true_worst_case_survives_and_is_reached():
    verdict = falsify(hull, family="contractive", trials=2000)
    assert verdict.status == "survived"
    assert verdict.closest == pytest.approx(1.0, abs=1e-9)
    assert verdict.trials >= 2000


@pytest.mark.parametrize("factor", [0.95, 0.99, 1 - 1e-6])
def test_bounds_slightly_too_low_are_refuted_and_certified(factor):
    verdict = falsify(lambda instance: factor * hull(instance), family="contractive", trials=2000)
    assert verdict.status == "refuted" and verdict.counterexample.certified
    assert verdict.counterexample.truth.lower > verdict.counterexample.log_promised


@pytest.mark.parametrize(
    "wrong",
    [
        lambda i: float(np.sum(i.sensitivity)) / float(np.max(i.noise_std)),
        lambda i: optimal_shifts(i.sensitivity, i.noise_std, i.contraction).lower,
        lambda i: hull(ContractiveInstance(i.sensitivity, i.noise_std, i.contraction * 0.9)),
        lambda i: hull(ContractiveInstance(i.sensitivity, i.noise_std**2, i.contraction)),
    ],
)
def test_natural_mistakes_are_refuted_by_few_steps(wrong):
    verdict = falsify(wrong, family="contractive", trials=3000)
    assert verdict.status == "refuted"
    assert verdict.counterexample.instance.steps <= 3


def test_a_mistake_in_a_rare_corner_is_found_by_the_local_search():
    def narrow(instance):
        # Wrong only for two-step chains whose noise ratio lies in a narrow band.
        if np.any(instance.noise_std == 0):
            return math.inf
        ratio = instance.noise_std[0] / instance.noise_std[-1]
        low = instance.steps == 2 and 4.9 < ratio < 5.1 and np.all(instance.sensitivity > 0)
        return hull(instance) * (0.9 if low else 1.0 + 0.02 * abs(math.log(ratio / 5)) if instance.steps == 2 else 1.1)

    assert falsify(narrow, family="contractive", trials=20_000, seconds=60).status == "refuted"


def test_the_same_seed_and_trials_give_the_same_outcome_for_any_number_of_workers():
    def loose(instance):
        return (1.01 + 0.01 * abs(math.sin(7 * instance.sensitivity[0]))) * hull(instance) + 1e-3

    first = falsify(loose, family="contractive", trials=600, seed=5)
    second = falsify(loose, family="contractive", trials=600, seed=5)
    assert (first.trials, first.closest) == (second.trials, second.closest)
    assert falsify(loose, family="contractive", trials=600, seed=6).closest != first.closest


def test_a_claim_that_is_no_bound_is_reported_with_the_instance():
    def broken(instance):
        raise KeyError("oops")

    verdict = falsify(broken, family="contractive", trials=10)
    assert verdict.status == "invalid" and "KeyError" in str(verdict) and "N=1" in str(verdict)
    assert falsify(lambda i: -1.0, family="contractive", trials=10).status == "invalid"
    assert falsify(lambda i: np.ones(2), family="contractive", trials=10).status == "invalid"


def test_a_violation_that_cannot_be_certified_is_undecided():
    class Doubtful(families.Family):
        name = "doubtful"

        def sample(self, rng):
            return float(rng.random())

        def truth(self, instance):
            return Truth.of(1.0)

        def certify(self, instance):
            return Truth.of(0.5)

    assert falsify(lambda x: 0.9, family=Doubtful(), trials=50).status == "undecided"


def test_the_time_budget_is_kept():
    started = time.monotonic()
    falsify(lambda instance: 1.5 * hull(instance), family="contractive", seconds=1.0)
    assert time.monotonic() - started < 4.0


def test_registered_claims_may_be_tried_by_id_and_families_by_name():
    assert falsify("bok2024.optimal_shifts", family="contractive", trials=300).status == "survived"
    with pytest.raises(ValueError, match="claim = 'nobody'"):
        falsify("nobody", family="contractive")
    with pytest.raises(ValueError, match="family = 'nowhere': must be one of"):
        falsify(hull, family="nowhere")
    with pytest.raises(ValueError, match="seconds = 0"):
        falsify(hull, family="contractive", seconds=0)


def test_the_command_refutes_saves_and_replays(tmp_path, capsys):
    source = tmp_path / "my_bounds.py"
    source.write_text(
        "def my_mu(instance):\n    return instance.sensitivity.sum() / instance.noise_std.max()\n\n"
        "def huge(instance):\n    return 1e9\n"
    )
    out = tmp_path / "found.json"
    call = ["falsify", f"{source}:my_mu", "--family", "contractive", "--seconds", "20", "--out", str(out)]
    assert cli.main(call) == 1
    printed = capsys.readouterr().out
    assert "refuted" in printed and f"unlearncheck replay {out}" in printed
    assert cli.main(["replay", str(out)]) == 0
    assert "certified" in capsys.readouterr().out
    saved = json.loads(out.read_text())
    assert saved["family"] == "contractive"
    assert cli.main(["falsify", f"{source}:huge", "--family", "contractive", "--trials", "100"]) == 0
    assert cli.main(["falsify", f"{source}:none", "--family", "contractive"]) == 2
    assert cli.main(["falsify", "missing.py:none", "--family", "contractive"]) == 2
    capsys.readouterr()


def test_families_reach_their_own_truth_and_shrink_to_smaller_instances():
    family = families.get("contractive")
    rng = np.random.default_rng(0)
    for _ in range(50):
        instance = family.sample(rng)
        fast, sure = family.truth(instance), family.certify(instance)
        assert abs(fast.lower - sure.lower) < 1e-9 or fast.lower == sure.lower
        again = family.with_coordinates(instance, family.coordinates(instance))
        np.testing.assert_allclose(again.noise_std, instance.noise_std, rtol=1e-12)
        for smaller in family.simplify(instance):
            assert smaller.steps <= instance.steps
