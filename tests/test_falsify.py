"""`falsify`: wrong bounds are refuted with small certified instances, right ones never; the search is reproducible."""

import json
import math
import time

import numpy as np
import pytest

from bounds.interpolation import optimal_shifts
from paper_checks import Log, Truth, cli, falsify, families, replay
from paper_checks.evolution import climb
from paper_checks.families.contractive import ContractiveInstance
from paper_checks.verdict import show_digits


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
    second = falsify(loose, family="contractive", trials=600, seed=5, jobs=2)
    assert first.trials == second.trials == 600
    assert str(first) == str(second) and first.evidence[0].pairs == second.evidence[0].pairs
    assert falsify(loose, family="contractive", trials=600, seed=6).evidence[0].pairs != first.evidence[0].pairs


def test_a_claim_that_is_no_bound_is_reported_with_the_instance():
    def broken(instance):
        raise KeyError("oops")

    verdict = falsify(broken, family="contractive", trials=10)
    assert verdict.status == "invalid" and "KeyError" in str(verdict) and "N=1" in str(verdict)
    assert "gave no bound" in str(verdict)


@pytest.mark.parametrize(
    "value",
    [-1.0, math.nan, np.ones(2), np.array([1.0]), 1j, np.complex64(1), "1", np.bool_(True), None, [1.0]],
    ids=repr,
)
def test_what_is_not_one_real_number_is_no_bound(value):
    verdict = falsify(lambda i: value, family="contractive", trials=10)
    assert verdict.status == "invalid" and "one real number" in verdict.note and "N=1" in verdict.note


def test_numbers_beyond_every_float_are_bounds():
    assert falsify(lambda i: 10**400, family="contractive", trials=10).status == "survived"
    assert falsify(lambda i: np.float32(1e30), family="contractive", trials=10).status == "survived"


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


@pytest.mark.parametrize("name", ["contractive", "ridge", "clipped_chain", "path"])
def test_the_time_budget_is_kept(name):
    started = time.monotonic()
    falsify(lambda instance: Log(800.0), family=name, seconds=1.0)
    spent = time.monotonic() - started
    # One slow instance may be under way when the time is up; a busy machine may halt us, but not by much.
    assert 0.95 <= spent < 1.6


def test_a_slow_claim_does_not_overrun_its_budget():
    def slow(instance):
        time.sleep(0.02)
        return 2 * hull(instance)

    started = time.monotonic()
    verdict = falsify(slow, family="contractive", seconds=2.0)
    assert verdict.status == "survived" and 1.9 < time.monotonic() - started < 2.4


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
    replayed = capsys.readouterr().out
    assert "certified" in replayed and "(saved 0.5)" in replayed
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


def test_what_replay_prints_does_not_depend_on_the_last_bits(tmp_path, capsys):
    """Another machine's libraries round the last bits of promise and truth differently; the digits printed stay."""
    promise = lambda instance: 0.9 * hull(instance)  # noqa: E731
    verdict = falsify(promise, family="contractive", trials=200)
    found = verdict.counterexample
    lines = set()
    for nudge in (-3, 0, 3):
        truth = Truth(found.truth.lower + nudge * 1e-16, found.truth.upper + nudge * 1e-16)
        lines.add((show_digits(truth), replay._promised(found.log_promised + nudge * 1e-15)))
    assert len(lines) == 1


@pytest.mark.parametrize(
    ("lower", "upper", "shown"),
    [
        (0.0, 0.0, "1"),
        (-4e-16, 4e-16, "1"),
        (math.log(2) - 1e-9, math.log(2) + 1e-9, "2"),
        (math.log(math.pi) - 1e-6, math.log(math.pi) + 1e-6, "3.142"),
        (-5000.0, -5000.0 + 1e-9, "3.369694e-2172"),
        (-math.inf, -math.inf, "0"),
        (709.0, math.inf, "at least 8.21840746e+307"),
        (0.0, 1.0, "between 1 and 2.71828182846"),
    ],
)
def test_only_settled_digits_are_shown(lower, upper, shown):
    assert show_digits(Truth(lower, upper)) == shown


def test_the_nearest_instance_of_a_survivor_is_made_readable():
    verdict = falsify(lambda i: 1.01 * hull(i), family="contractive", trials=400)
    assert verdict.closest == pytest.approx(1 / 1.01, rel=1e-9)
    assert str(verdict.evidence[0].nearest) == "N=1, sensitivity (1), noise (1), contraction (1)"


def test_evolution_finds_the_top_of_a_slanted_ridge_and_a_narrow_band_is_refuted():
    def value(x):
        return -(1e4 * (x[0] + x[1] - 3) ** 2) - (x[0] - x[1] - 1) ** 2

    search = climb(np.zeros(2), 0.5, np.random.default_rng(0))
    point = next(search)
    for _ in range(600):
        point = search.send(value(point))
    assert point == pytest.approx([2, 1], abs=1e-3)

    def narrow(instance):
        # 1% too low in a band of ratios of noise far from where sampling goes, sloping towards it from everywhere.
        if instance.steps < 2 or np.any(instance.noise_std == 0):
            return math.inf
        off = abs(math.log(instance.noise_std[0] / instance.noise_std[-1]) - 9)
        return hull(instance) * (0.99 if off < 0.05 else 1.0 + 0.05 * min(off, 20))

    assert falsify(narrow, family="contractive", trials=20_000, seconds=60).status == "refuted"


def test_a_scheduler_needs_its_backend():
    with pytest.raises(ValueError, match="the Dask backend needs an address"):
        falsify(hull, family="contractive", backend="dask")
    with pytest.raises(ValueError, match="jobs = 0"):
        falsify(hull, family="contractive", jobs=0)


def test_a_bound_from_a_file_travels_to_worker_processes(tmp_path, capsys):
    source = tmp_path / "bounds_of_mine.py"
    source.write_text("def half(x):\n    return x / 2\n\ndef my_mu(i):\n    return 2 * half(1e6)\n")
    call = ["falsify", f"{source}:my_mu", "--family", "contractive", "--trials", "60", "--jobs", "2"]
    assert cli.main(call) == 0
    assert "survived after 60" in capsys.readouterr().out


def test_a_dask_cluster_gives_the_same_as_one_process():
    distributed = pytest.importorskip("distributed")

    def loose(instance):
        return 1.01 * hull(instance) + 1e-3

    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
    ) as cluster:
        address = cluster.scheduler_address
        far = falsify(loose, family="contractive", trials=300, seed=3, backend="dask", scheduler=address)
    near = falsify(loose, family="contractive", trials=300, seed=3)
    assert str(far) == str(near) and far.evidence[0].pairs == near.evidence[0].pairs
