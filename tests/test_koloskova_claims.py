"""The claims on clipped fine-tuning, one by one at the quick budget, and the family `clipped_chain` behind them."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from fractions import Fraction

import mpmath as mp
import numpy as np
import pytest

from bounds import clipping
from paper_checks import cli, clipping_tables, codec, falsify, families
from paper_checks.court import Court
from paper_checks.families import clipped_chain
from paper_checks.families.clipped_chain import ClippedChain
from paper_checks.koloskova2025 import _settings, released_accounting
from paper_checks.legs import Comparison, Sampled
from paper_checks.registry import select

# Those about networks rest on saved measurements: test_measured_claims.py.
CLAIMS = {claim.id: claim for claim in select(paper="koloskova2025") if ".deep_nets." not in claim.id}
FAMILY = families.get("clipped_chain")


def true_bound(instance: ClippedChain) -> float:
    return clipping.gradient_clipping_delta(
        epsilon=instance.epsilon,
        radius=instance.radius,
        clip=instance.clip,
        step_size=instance.step_size,
        penalty=instance.penalty,
        steps=instance.steps,
        noise_std=instance.noise_std,
    )


def a_twentieth_short(instance: ClippedChain) -> float:
    return 0.95 * true_bound(instance)


def wrong_for_several_steps(instance: ClippedChain) -> float:
    return true_bound(instance) if instance.steps == 1 else 0.95 * true_bound(instance)


def wrong_with_a_drift(instance: ClippedChain) -> float:
    """Half the displacement wherever there are two steps and a drift: only the quadrature can refute this."""
    if instance.steps == 1 or instance.clip == 0:
        return true_bound(instance)
    return true_bound(replace(instance, noise_std=5 * instance.noise_std))


@pytest.mark.parametrize("name", CLAIMS)
def test_claim_ends_as_the_maintainers_stand_for(name: str) -> None:
    verdict = Court().try_claim(CLAIMS[name])
    surviving = [mutant.name for mutant in verdict.mutants if not mutant.accounted]
    assert verdict.status == CLAIMS[name].expected, [leg.note for leg in verdict.evidence]
    assert not surviving
    if CLAIMS[name].expected == "refuted":
        assert CLAIMS[name].repair in CLAIMS
        found = verdict.counterexample
        assert found is not None
        assert found.margin > 1.0
        refuting = next(leg for leg in CLAIMS[name].legs if leg.name == verdict.refuting_leg)
        assert isinstance(refuting, Comparison)  # only such a counterexample can be replayed
        again = codec.decode(json.loads(json.dumps(codec.encode(found.instance))))
        assert str(again) == str(found.instance)
    else:
        assert CLAIMS[name].mutants


def test_every_claim_has_its_statement_in_words() -> None:
    assert len(CLAIMS) >= 21
    for claim in CLAIMS.values():
        assert claim.source.startswith("Koloskova et al. 2025")
        assert claim.statement.endswith(".")
        assert claim.against


@pytest.mark.statistical
@pytest.mark.parametrize("name", ["fresh_noise.released_code", "fresh_noise.reused_vector"])
def test_runs_alone_refute_the_reused_vector(name: str) -> None:
    claim = CLAIMS[f"koloskova2025.{name}"]
    court = Court()
    found = next(leg for leg in claim.legs if isinstance(leg, Sampled)).run(claim.promise, court)
    assert found.status == "refuted"


def test_the_released_code_reports_these_numbers() -> None:
    """1.0036 for r = 1; exact epsilons 6.57297 (two starts) and 2.94323 (data-free), by the curve itself."""
    assert released_accounting.reported_epsilon(1.0, 1e-5) == pytest.approx(1.0036, abs=5e-5)
    assert [entry.steps for entry in _settings.RELEASED] == [10, 5, 11, 6, 1]
    for square, epsilon in ((2.0, 6.57297), (0.5, 2.94323)):
        found = released_accounting.exact_epsilon(released_accounting.Curve(math.sqrt(square), 1e-5))
        assert math.exp(found.upper) == pytest.approx(epsilon, abs=5e-6)


def test_the_family_is_known_by_name_and_describes_itself() -> None:
    assert "clipped_chain" in families.names()
    for text in (FAMILY.holds, FAMILY.returns, FAMILY.truth_is, FAMILY.tight_on):
        assert text


def test_gaussian_instances_are_right_to_forty_digits() -> None:
    """mu and the curve again, in mpmath from the instance's exact doubles."""
    rng = np.random.default_rng(4)
    cases = [case for case in clipped_chain.instances(60, rng) if clipped_chain.is_gaussian(case)]
    assert len(cases) > 25
    with mp.workdps(40):
        for case in cases:
            rho = 1 - mp.mpf(case.step_size) * mp.mpf(case.penalty)
            shift = mp.mpf(case.step_size) * mp.mpf(case.clip) if case.steps == 1 else mp.mpf(0)
            squares = mp.fsum(rho ** (2 * k) for k in range(case.steps))
            mu = 2 * (case.radius * rho**case.steps + shift) / (case.noise_std * mp.sqrt(squares))
            a = mu / 2 - case.epsilon / mu
            log_delta = mp.log(mp.ncdf(a) - mp.exp(case.epsilon) * mp.ncdf(a - mu))
            for found in (FAMILY.truth(case), FAMILY.certify(case)):
                assert found.lower <= log_delta <= found.upper
                assert found.upper - found.lower < 1e-9


def test_the_quadrature_is_never_above_the_bound_and_strictly_below_with_a_drift() -> None:
    rng = np.random.default_rng(8)
    drifting = [case for case in clipped_chain.instances(60, rng) if not clipped_chain.is_gaussian(case)]
    assert len(drifting) > 20
    for case in drifting:
        assert FAMILY.truth(case).upper < math.log(true_bound(case)) + 1e-9
        linear_loss = clipped_chain.truth(replace(case, clip=0.0))
        assert FAMILY.truth(case).lower >= linear_loss.lower
    moderate = ClippedChain(1.0, 1.0, 0.5, 0.0, 3, 1.5, 0.5)
    assert FAMILY.truth(moderate).upper < math.log(true_bound(moderate)) - 0.05


def test_noise_for_a_given_displacement_and_its_sums() -> None:
    case = clipped_chain.at_mu(0.7, radius=3.0, clip=2.0, step_size=0.25, penalty=1.0, steps=7, epsilon=1.0)
    assert clipped_chain.displacement(case) == pytest.approx(0.7, rel=1e-14)
    assert case.sums == pytest.approx(
        (0.75**7, sum(0.75**k for k in range(7)), sum(0.75 ** (2 * k) for k in range(7))), rel=1e-14
    )
    # 0.1 * 7.0 as doubles is not 0.7: the factor comes from the exact product
    assert ClippedChain(1.0, 1.0, 0.1, 7.0, 1, 1.0, 1.0).exact_factor == 1 - Fraction(0.1) * 7


def test_coordinates_come_back_and_local_search_stays_inside() -> None:
    for case in clipped_chain.edge_cases():
        point = FAMILY.coordinates(case)
        back = FAMILY.with_coordinates(case, point)
        for name in ("radius", "clip", "penalty", "noise_std", "epsilon", "steps"):
            assert getattr(back, name) == pytest.approx(getattr(case, name), rel=1e-12)
        for change in (-40.0, 5.0, 60.0):
            moved = FAMILY.with_coordinates(case, point + change)
            assert moved.exact_factor > 0
            assert (moved.clip == 0) == (case.clip == 0)


def test_simpler_instances_are_allowed_and_end() -> None:
    case = ClippedChain(1.234, 0.567, 0.891, 0.333, 6, 1.777, 0.444)
    seen = 0
    while (simpler := next(FAMILY.simplify(case), None)) is not None:
        assert simpler.exact_factor > 0
        assert min(simpler.radius, simpler.step_size, simpler.noise_std, simpler.steps) > 0
        case, seen = simpler, seen + 1
        assert seen < 60
    assert case.steps == 1


@pytest.mark.parametrize("claim", [a_twentieth_short, wrong_for_several_steps, wrong_with_a_drift])
def test_a_planted_error_is_found_and_made_simple(claim) -> None:
    verdict = falsify(claim, family="clipped_chain", seconds=20, trials=60)
    assert verdict.status == "refuted"
    found = verdict.counterexample
    assert found is not None and found.certified
    assert found.truth.lower > math.log(claim(found.instance))
    if claim is a_twentieth_short:
        assert found.instance.steps == 1
    if claim is wrong_with_a_drift:
        assert found.instance.steps > 1 and found.instance.clip > 0


def test_the_true_bound_survives_the_search_and_is_reached() -> None:
    verdict = falsify(true_bound, family="clipped_chain", seconds=20, trials=250)
    assert verdict.status == "survived", verdict
    assert verdict.closest == pytest.approx(1.0, abs=1e-9)


def test_a_registered_claim_can_be_searched_by_its_id() -> None:
    verdict = falsify("koloskova2025.gradient_clipping.pair", family="clipped_chain", seconds=10, trials=30)
    assert verdict.status == "survived"


# --- the tables -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def budget() -> clipping_tables.Budget:
    return clipping_tables.Budget()


def test_looseness_at_known_settings(budget) -> None:
    """Exact noises .380457 and 2.85011 and variance ratios 12.68 and 2.741; the released code falls short of all."""
    rows = {row["setting"]: row for row in clipping_tables.looseness_rows(budget)}
    large, plain = rows["CIFAR, large ball"], rows["no penalty (not released)"]
    assert large["attained noise"] == pytest.approx(0.380457, abs=5e-7)
    assert large["Gaussian-DP"] ** 2 == pytest.approx(12.68, abs=5e-3)
    assert large["72"] / large["Gaussian-DP"] == pytest.approx(3.152, abs=5e-4)
    assert large["Gaussian-DP"] / large["released"] == pytest.approx(5.27, abs=0.02)
    assert plain["attained noise"] == pytest.approx(2.85011, abs=5e-6)
    assert plain["Gaussian-DP"] ** 2 == pytest.approx(2.741, abs=5e-4)
    assert plain["9"] / plain["Gaussian-DP"] == pytest.approx(5.08961 / 3.73063, rel=1e-5)
    assert rows["MNIST, one step"]["Gaussian-DP"] == pytest.approx(1.0, abs=1e-8)
    for row in rows.values():
        assert row["released"] < 1 <= row["Gaussian-DP"] * (1 + 1e-9) < row["Renyi"]


def test_distance_from_the_control(budget) -> None:
    row = {row["epsilon"]: row for row in clipping_tables.control_rows(budget.delta)}[1.0]
    assert row["certified for two starts"] == pytest.approx(0.05343, abs=5e-6)
    assert row["certified data-free"] == pytest.approx(0.10662, abs=5e-6)


def test_the_map_has_a_place_for_each_method(budget) -> None:
    left = clipping_tables.noise_left(budget)
    assert left.shape == (3, len(clipping_tables.PENALTIES), len(clipping_tables.STEPS), len(clipping_tables.RATIOS))
    assert set(left.argmin(axis=0).ravel()) == {0, 1, 2}
    # without a penalty gradient clipping never wins; one step of model clipping is output perturbation from its ball
    assert (left[0, 0] > left[2, 0]).all()
    np.testing.assert_allclose(left[1, :, 0], left[2, :, 0] * np.array(clipping_tables.RATIOS), rtol=1e-9)
    strong, long = clipping_tables.PENALTIES.index(0.5), clipping_tables.STEPS.index(64)
    assert (left[0, strong, long] < left[1:, strong, long].min(axis=0)).all()


def test_relative_to_the_model_only_model_clipping_gains(budget) -> None:
    rows = clipping_tables.relative_rows(budget)
    unit = rows[0]["output perturbation"]
    assert unit == pytest.approx(7.461263, abs=5e-7)
    gains = [unit / row["model clipping"] for row in rows]
    assert gains[0] == pytest.approx(1.0)
    assert gains[1] == pytest.approx(7.461263 / 2.334706, rel=1e-6)
    assert all(later > earlier for earlier, later in itertools.pairwise(gains))
    case = clipped_chain.at_mu(budget.mu, clip=0.3, penalty=0.2, steps=6, epsilon=1.0)
    last, total, squares = case.sums
    reached = case.radius * last + case.shift * total
    assert case.noise_std * math.sqrt(squares) / reached == pytest.approx(rows[3]["gradient clipping"], rel=1e-12)


def test_knowing_the_loss_is_worth_more_the_more_is_known(budget) -> None:
    for row in clipping_tables.ridge_rows(budget):
        names = ["this deletion, exact", "this deletion, certified", "any two starts, this loss"]
        exact, certified, loss = (row[name] for name in names)
        assert exact <= certified * (1 + 1e-8) < loss < row["any two starts, any loss"]
        assert loss < row["output perturbation"]


def test_command_prints_and_writes(tmp_path, capsys) -> None:
    assert cli.main(["clipping", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    for words in ("Noise over that", "noise-only control", "Least noise left", "Ridge"):
        assert words in printed
    with np.load(tmp_path / "clipping_map.npz") as saved:
        assert saved["noise_left"].shape[0] == len(saved["methods"])
        assert saved["noise_left"].shape[1:] == tuple(len(saved[name]) for name in ("penalties", "steps", "ratios"))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "clipping_control.csv",
        "clipping_looseness.csv",
        "clipping_map.npz",
        "clipping_relative.csv",
        "clipping_ridge.csv",
    ]
    with pytest.raises(SystemExit):
        cli.main(["clipping", "--delta", "0"])
    assert "delta = 0.0" in capsys.readouterr().err
