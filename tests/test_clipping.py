"""Promises for clipped noisy fine-tuning: against the exact chains, 60-digit arithmetic, and numbers worked by hand."""

import itertools
import math
from fractions import Fraction

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import ndtr

from bounds import _outward, clipping, gaussian_dp, model_clipping, output_perturbation
from bounds.clipping import (
    gradient_clipping,
    gradient_clipping_best_prefix,
    gradient_clipping_delta,
    gradient_clipping_noise,
    gradient_clipping_noise_for_mu,
    gradient_clipping_optimal_steps,
    gradient_clipping_shifts,
    gradient_clipping_steps,
    gradient_clipping_total_variation,
    output_perturbation_noise,
)
from linear.scalar_chain import threshold_policy_value
from linear.solvable_chains import linear_loss

BUDGET = {"epsilon": 1.0, "delta": 1e-5}
SHORT = {"radius": 1.0, "clip": 1.0, "step_size": 0.1, "penalty": 0.0, "steps": 10}
LONG = {"radius": 20.0, "clip": 10.0, "step_size": 0.01, "penalty": 50.0, "steps": 11}


def without(arguments: dict, *names: str) -> dict:
    return {key: value for key, value in arguments.items() if key not in names}


def exact_mu(arguments: dict, noise_std: float, sides: int = 2) -> mp.mpf:
    """mu = displacement / (noise sqrt V), summed term by term in 60 digits."""
    rho = 1 - mp.mpf(arguments["step_size"]) * mp.mpf(arguments["penalty"])
    powers = [rho**k for k in range(arguments["steps"])]
    moved = arguments["radius"] * rho ** arguments["steps"]
    moved += mp.mpf(arguments["step_size"]) * arguments["clip"] * mp.fsum(powers)
    return sides * moved / (noise_std * mp.sqrt(mp.fsum(p**2 for p in powers)))


settings = st.fixed_dictionaries(
    {
        "radius": st.floats(0.01, 30.0),
        "clip": st.floats(0.0, 30.0),
        "step_size": st.floats(1e-3, 0.3),
        "penalty": st.one_of(st.just(0.0), st.floats(1e-12, 3.3)),
        "steps": st.integers(1, 8),
    }
)
noise_levels = st.floats(0.1, 10.0)


# --- gradient clipping ----------------------------------------------------------------------------------------------


def test_worked_examples() -> None:
    assert gaussian_dp.mu(**BUDGET) == pytest.approx(0.2680511, rel=2e-7)
    two = {"radius": 2.0, "clip": 1.0, "step_size": 1.0, "penalty": 0.0, "steps": 2}
    assert gradient_clipping(**two, noise_std=1.0) == pytest.approx(8 / math.sqrt(2))
    assert gradient_clipping_noise(**BUDGET, **two) == pytest.approx(21.103639, rel=1e-7)
    assert gradient_clipping_noise(**BUDGET, **LONG) == pytest.approx(1.3547998, rel=1e-7)
    assert gradient_clipping_noise(**BUDGET, **SHORT) == pytest.approx(4.7189172, rel=1e-7)
    assert gradient_clipping_noise(**BUDGET, **SHORT) == pytest.approx(4.71892, rel=1e-6)
    square_sum = sum(0.25**k for k in range(11))
    assert gradient_clipping(**LONG, noise_std=1.0) * math.sqrt(square_sum) == pytest.approx(0.41933594, rel=1e-7)
    # a linear loss at the calibrated noise: half the mu, and (0.468710, 1e-5)
    mu = linear_loss(radius=1.0, shift=0.1, factor=1.0, steps=10, noise_std=4.7189172)
    assert gaussian_dp.epsilon(mu, 1e-5) == pytest.approx(0.468710, rel=1e-5)


@pytest.mark.parametrize(("epsilon", "needed"), [(0.5, 7.03183), (1.0, 3.73063), (10.0, 0.499889)])
def test_noise_over_displacement(epsilon: float, needed: float) -> None:
    noise = gradient_clipping_noise(epsilon=epsilon, delta=1e-5, **SHORT)
    assert noise * math.sqrt(10) / (2 * (1.0 + 0.1 * 10)) == pytest.approx(needed, rel=2e-6)


def test_noise_against_the_exact_chain_at_the_same_budget() -> None:
    for arguments, exact, ratio in ((SHORT, 2.85011, 2.741), (LONG, 0.380457, 12.68)):
        assert (gradient_clipping_noise(**BUDGET, **arguments) / exact) ** 2 == pytest.approx(ratio, rel=5e-4)


@given(arguments=settings, noise_std=noise_levels, epsilon=st.floats(0.0, 4.0))
def test_never_below_the_exact_chain(arguments: dict, noise_std: float, epsilon: float) -> None:
    """The plain bound, the best prefix, and noise that changes over time, against the threshold policy."""
    shift = arguments["step_size"] * arguments["clip"]
    factor = 1 - arguments["step_size"] * arguments["penalty"]
    truth = {"radius": arguments["radius"], "shift": shift, "factor": factor, "epsilon": epsilon}
    for shape in (1.0, np.linspace(1.5, 0.5, arguments["steps"])):
        noise = noise_std * shape
        promised = gaussian_dp.log_delta(gradient_clipping(**arguments, noise_std=noise), epsilon)
        prefix = gaussian_dp.log_delta(gradient_clipping_best_prefix(**arguments, noise_std=noise), epsilon)
        assert prefix <= promised + 1e-12 * abs(promised)
        if prefix > -200:
            exact = threshold_policy_value(steps=arguments["steps"], noise_std=noise, **truth)
            assert exact.log_delta <= prefix + exact.relative_error + 1e-12 * abs(prefix)


def test_attained_by_one_step_only() -> None:
    for steps in (1, 2, 3):
        arguments = LONG | {"steps": steps}
        noise = gradient_clipping_noise(**BUDGET, **arguments)
        exact = threshold_policy_value(
            radius=20.0, shift=0.1, factor=0.5, steps=steps, noise_std=noise, epsilon=1.0
        ).delta
        assert exact <= 1e-5 * (1 + 1e-9)
        assert (exact > 1e-5 * (1 - 1e-9)) == (steps == 1)


@given(arguments=settings, noise_std=noise_levels)
def test_noise_only_is_attained_by_a_linear_loss_and_half_of_pair(arguments: dict, noise_std: float) -> None:
    shift = arguments["step_size"] * arguments["clip"]
    factor = 1 - arguments["step_size"] * arguments["penalty"]
    exact = linear_loss(
        radius=arguments["radius"],
        shift=shift,
        factor=factor,
        steps=arguments["steps"],
        noise_std=noise_std,
        against="noise",
    )
    half = gradient_clipping(**arguments, noise_std=noise_std, certifier="noise_only")
    assert half == pytest.approx(exact, rel=1e-12)
    assert gradient_clipping(**arguments, noise_std=noise_std) == pytest.approx(2 * half, rel=1e-12)


precise = st.fixed_dictionaries(
    {
        "radius": st.floats(1e-3, 1e3),
        "clip": st.one_of(st.just(0.0), st.floats(1e-3, 1e3)),
        "step_size": st.sampled_from([1.0, 0.1, 0.37, 1e-6]),
        "penalty": st.sampled_from([0.0, 1e-300, 1e-9, 0.123, 0.49999, 0.5000001, 0.9999999, 2.702702702]),
        "steps": st.sampled_from([1, 2, 7, 60, 500]),
    }
).filter(lambda arguments: arguments["step_size"] * arguments["penalty"] < 1)


def off_side(arguments: dict, noise_std: float) -> float:
    with mp.workdps(60):
        truth = exact_mu(arguments, noise_std)
        return float((mp.mpf(gradient_clipping(**arguments, noise_std=noise_std)) - truth) / truth)


@given(arguments=precise, noise_std=noise_levels)
def test_mu_is_rounded_up_and_by_little(arguments: dict, noise_std: float) -> None:
    off = off_side(arguments, noise_std)
    assert off >= 0
    forgotten = -arguments["steps"] * math.log1p(-arguments["step_size"] * arguments["penalty"])
    # without a drift, an exponent of some hundreds has an error of its own, and beyond 700 there is only a bound
    assert off < 1e-13 or (arguments["clip"] == 0.0 and (off < 1e-14 * forgotten or forgotten > 690))


def test_what_is_left_of_the_start_is_rounded_up_when_almost_nothing_is() -> None:
    """Without a drift mu is the power of 1 - step_size penalty: of a factor near 0, and a high power."""
    start = {"radius": 1.0, "clip": 0.0}
    for penalty in (2.702702702, 2.7027027027, 2.70270270270):
        assert 0 <= off_side(start | {"step_size": 0.37, "penalty": penalty, "steps": 1}, 1.0) < 1e-13
    for penalty in np.random.default_rng(3).uniform(0.2, 0.7, 40):
        off = off_side(start | {"step_size": 1.0, "penalty": float(penalty), "steps": 500}, 1.0)
        assert 0 <= off < 1e-12


def test_without_allowance_rounding_would_go_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_outward, "_ROUND", 0.0)
    rng = np.random.default_rng(1)
    wrong = [off_side(LONG | {"clip": float(c), "penalty": float(p)}, 1.0) < 0 for c, p in rng.uniform(1, 90, (60, 2))]
    assert any(wrong)


@given(arguments=settings, epsilon=st.floats(0.1, 20.0), log_delta=st.floats(-60.0, -1.0))
def test_calibrated_noise_certifies_and_is_least(arguments: dict, epsilon: float, log_delta: float) -> None:
    budget = {"epsilon": epsilon, "delta": math.exp(log_delta)}
    profile = np.linspace(1.0, 0.3, arguments["steps"])
    for certifier in ("pair", "noise_only"):
        for shape in (None, profile):
            arguments_ = {**arguments, "certifier": certifier}
            noise = gradient_clipping_noise(**budget, **arguments_, profile=shape)
            allowed = gaussian_dp.mu(**budget)
            assert gradient_clipping(**arguments_, noise_std=noise) <= allowed
            assert gradient_clipping(**arguments_, noise_std=noise * (1 - 1e-11)) > allowed
            certified = gradient_clipping_delta(epsilon=epsilon, **arguments_, noise_std=noise)
            assert certified <= budget["delta"] * (1 + 1e-13 * (1 - log_delta))
            if shape is not None:
                np.testing.assert_allclose(noise / noise[0], profile, rtol=1e-14)


def test_noise_for_mu_with_a_constant_profile_is_plain() -> None:
    plain = gradient_clipping_noise_for_mu(mu=0.7, **LONG)
    shaped = gradient_clipping_noise_for_mu(mu=0.7, **LONG, profile=np.full(11, 3.0))
    np.testing.assert_allclose(shaped, np.full(11, plain), rtol=1e-11)


@pytest.mark.parametrize("certifier", ["pair", "noise_only"])
@pytest.mark.parametrize("falling", [True, False])
def test_schedules_are_paid_for_by_the_best_feasible_shifts(certifier: str, falling: bool) -> None:
    """Against a general-purpose solver of: minimise |a / noise|^2 with z_t >= 0, z_T = 0."""
    steps, factor, sides = 6, 0.8, 2.0 if certifier == "pair" else 1.0
    noise = np.array([3.0, 2.5, 2.0, 0.5, 0.4, 0.3])[:: 1 if falling else -1]
    arguments = {"radius": 0.3, "clip": 2.0, "step_size": 0.25, "penalty": 0.8, "steps": steps}
    shifts = gradient_clipping_shifts(**arguments, noise_std=noise, certifier=certifier)
    mu = gradient_clipping(**arguments, noise_std=noise, certifier=certifier)
    assert math.sqrt(np.square(shifts / noise).sum()) == pytest.approx(mu, rel=1e-12)

    def distances(a: np.ndarray) -> np.ndarray:
        z, out = sides * 0.3, []
        for shift in a:
            z = factor * z + sides * 0.5 - shift
            out.append(z)
        return np.array(out)

    assert distances(shifts).min() > -1e-12
    assert abs(distances(shifts)[-1]) < 1e-12
    # In units of the noise the objective is a plain square; distances are affine in the shifts.
    at_zero = distances(np.zeros(steps))
    slopes = np.column_stack([distances(unit * noise) - at_zero for unit in np.eye(steps)])
    solved = minimize(
        lambda y: np.square(y).sum(),
        np.full(steps, sides * 0.5) / noise,
        jac=lambda y: 2 * y,
        constraints=[
            {"type": "ineq", "fun": lambda y: (at_zero + slopes @ y)[:-1], "jac": lambda y: slopes[:-1]},
            {"type": "eq", "fun": lambda y: (at_zero + slopes @ y)[-1:], "jac": lambda y: slopes[-1:]},
        ],
        method="SLSQP",
        options={"maxiter": 500, "ftol": 1e-11},
    )
    assert solved.success
    assert math.sqrt(solved.fun) == pytest.approx(mu, rel=1e-6)
    back = 0.8 ** np.arange(steps - 1, -1, -1)
    displacement = sides * (0.3 * 0.8**6 + 0.5 * back.sum())
    chord = displacement / math.sqrt(np.square(noise * back).sum())
    assert (mu > chord * 1.01) == falling
    # for the pair the chord is a bound all the same, through the best prefix
    if certifier == "pair":
        assert gradient_clipping_best_prefix(**arguments, noise_std=noise) <= chord * (1 + 1e-12)


def test_the_chord_is_no_bound_against_noise_only_when_noise_falls() -> None:
    """After much noise a drift rounds the model to a lattice; little noise follows; data-free runs are elsewhere."""
    drift, noise = 0.5, np.array([20.0, 0.02])
    arguments = {"radius": 0.1, "clip": 1.0, "step_size": drift, "penalty": 0.0, "steps": 2}
    chord = (0.1 + 2 * drift) / math.sqrt(np.square(noise).sum())
    # the event: within 4 noise units of the lattice of spacing 2 drift
    caught = 2 * ndtr(4.0) - 1
    lattice = np.arange(-200, 201) * 2 * drift
    spread = math.sqrt(np.square(noise).sum())
    stray = (ndtr((lattice + 4 * noise[1]) / spread) - ndtr((lattice - 4 * noise[1]) / spread)).sum()
    exact = caught - math.e * stray
    assert exact > gaussian_dp.delta(chord, 1.0)
    assert exact <= gradient_clipping_delta(epsilon=1.0, **arguments, noise_std=noise, certifier="noise_only")


def test_best_prefix_stops_where_noise_is_least() -> None:
    arguments = SHORT | {"steps": 40}
    assert gradient_clipping_best_prefix(**arguments, noise_std=1.0) == gradient_clipping(**SHORT, noise_std=1.0)
    many = gradient_clipping_best_prefix(**arguments, noise_std=np.ones(40))
    assert many == pytest.approx(gradient_clipping(**SHORT, noise_std=1.0), rel=1e-12)
    assert gradient_clipping(**arguments, noise_std=1.0) > many * 1.2


@given(
    radius=st.floats(0.05, 20.0), clip=st.floats(0.2, 5.0), step_size=st.floats(0.05, 0.5), penalty=st.floats(0.0, 1.9)
)
def test_optimal_steps_by_exhaustion(radius: float, clip: float, step_size: float, penalty: float) -> None:
    arguments = {"radius": radius, "clip": clip, "step_size": step_size, "penalty": penalty}
    best = gradient_clipping_optimal_steps(**arguments)
    mus = [gradient_clipping(**arguments, steps=steps, noise_std=1.0) for steps in range(1, 2500)]
    if best is None:
        assert penalty * radius >= clip * (1 - 1e-12)
        assert all(b <= a * (1 + 1e-13) for a, b in itertools.pairwise(mus))
    elif best < 2400:
        assert mus[best - 1] <= min(mus) * (1 + 1e-13)


def test_optimal_steps_without_penalty_and_what_they_cost() -> None:
    assert gradient_clipping_optimal_steps(**without(SHORT, "steps")) == 10
    assert gradient_clipping_optimal_steps(radius=1.0, clip=0.0, step_size=0.1, penalty=0.0) is None
    assert gradient_clipping_optimal_steps(radius=1.0, clip=1.0, step_size=0.1, penalty=1.0) is None
    # with the same calibration: per step 2 / sqrt(T) of output perturbation, in total variance four times as much
    single = output_perturbation_noise(**BUDGET, radius=1.0)
    for steps in (2, 4, 10):
        noise = gradient_clipping_noise(**BUDGET, **SHORT | {"step_size": 1.0 / steps, "steps": steps})
        assert noise / single == pytest.approx(2 / math.sqrt(steps), rel=1e-12)
        assert (noise < single * (1 - 1e-9)) == (steps > 4)


def test_continuous_in_the_penalty_at_zero() -> None:
    noise = [gradient_clipping_noise(**BUDGET, **SHORT | {"penalty": p}) for p in (0.0, 1e-320, 1e-100, 1e-9)]
    np.testing.assert_allclose(noise, noise[0], rtol=1e-8)


@given(arguments=settings, epsilon=st.floats(0.2, 5.0), noise_std=st.floats(0.1, 30.0))
def test_least_steps_are_enough_and_least(arguments: dict, epsilon: float, noise_std: float) -> None:
    known = without(arguments, "steps")
    allowed = gaussian_dp.mu(epsilon, 1e-5)
    try:
        steps = gradient_clipping_steps(epsilon=epsilon, delta=1e-5, **known, noise_std=noise_std)
    except ValueError:
        best = gradient_clipping_optimal_steps(**known)
        for tried in (1, 2, 5, 20, 100, 10_000) if best is None else (best,):
            assert gradient_clipping(**known, steps=tried, noise_std=noise_std) > allowed
        return
    assert gradient_clipping(**known, steps=steps, noise_std=noise_std) <= allowed
    for fewer in {steps - 1, steps // 2, 1} - {0, steps}:
        assert gradient_clipping(**known, steps=fewer, noise_std=noise_std) > allowed


def test_total_variation_to_the_data_free_control() -> None:
    noise = gradient_clipping_noise(**BUDGET, **LONG)
    assert gradient_clipping_total_variation(**LONG, noise_std=noise) == pytest.approx(0.05343, abs=5e-6)
    less = gradient_clipping_noise(**BUDGET, **LONG, certifier="noise_only")
    assert gradient_clipping_total_variation(**LONG, noise_std=less) == pytest.approx(0.10662, abs=5e-6)
    assert (noise / less) ** 2 == pytest.approx(4.0)
    # attained by a linear loss: means m apart, TV = 2 Phi(m/2) - 1
    m = linear_loss(radius=20.0, shift=0.1, factor=0.5, steps=11, noise_std=noise, against="noise")
    assert gradient_clipping_total_variation(**LONG, noise_std=noise) == pytest.approx(2 * ndtr(m / 2) - 1, rel=1e-10)


# --- output perturbation and groups ---------------------------------------------------------------------------------


def test_output_perturbation_numbers() -> None:
    assert output_perturbation_noise(**BUDGET, radius=1.0) == pytest.approx(7.461264, rel=1e-7)
    assert output_perturbation_noise(**BUDGET, radius=1.0, form="classical") == pytest.approx(9.6896, rel=1e-5)
    assert output_perturbation_noise(**BUDGET, radius=1.0, certifier="noise_only") == pytest.approx(7.461264 / 2)
    for epsilon, needed in ((0.5, 9.68961), (1.0, 4.84481), (10.0, 0.484481)):
        noise = output_perturbation_noise(epsilon=epsilon, delta=1e-5, radius=0.5, form="classical")
        assert noise == pytest.approx(needed, rel=2e-6)


def test_classical_output_perturbation_fails_above_8_42() -> None:
    def true_delta(epsilon: float) -> float:
        noise = output_perturbation_noise(epsilon=epsilon, delta=1e-5, radius=3.0, form="classical")
        return output_perturbation.output_perturbation_delta(epsilon=epsilon, radius=3.0, noise_std=noise)

    assert true_delta(8.4195) < 1e-5 < true_delta(8.4205)
    assert all(true_delta(epsilon) < 1e-5 for epsilon in np.geomspace(1e-3, 8.4195, 60))


@given(epsilon=st.floats(0.05, 30.0), log_delta=st.floats(-80.0, -0.1), radius=st.floats(0.01, 100.0))
def test_output_perturbation_round_trips(epsilon: float, log_delta: float, radius: float) -> None:
    delta = math.exp(log_delta)
    for form, certifier in itertools.product(("analytic", "classical"), ("pair", "noise_only")):
        kind = {"radius": radius, "certifier": certifier, "form": form}
        noise = output_perturbation_noise(epsilon=epsilon, delta=delta, **kind)
        back = output_perturbation.output_perturbation_delta(epsilon=epsilon, noise_std=noise, **kind)
        assert back == pytest.approx(delta, rel=1e-11)
        more = output_perturbation.output_perturbation_delta(epsilon=epsilon, noise_std=noise * (1 + 1e-9), **kind)
        assert more < delta


def test_output_perturbation_total_variation() -> None:
    value = output_perturbation.output_perturbation_total_variation(radius=2.0, noise_std=4.0)
    assert value == pytest.approx(2 * ndtr(0.25) - 1, rel=1e-12)
    assert output_perturbation.output_perturbation(radius=2.0, noise_std=4.0) == pytest.approx(1.0)


def test_group_numbers_and_the_released_slip() -> None:
    group = {"epsilon": 50.0, "delta": 1e-5, "size": 225}
    assert clipping.record_privacy(**group)[1] == pytest.approx(4.799672e-28, rel=1e-6)
    assert clipping.record_privacy(**group, form="weak")[1] == pytest.approx(1.070541e-29, rel=1e-6)
    # the released code takes log(e^x - 1) for x - 1 (so its delta per record is e^e' - 1 over e^(50 - 1)), e' = 50/225
    own = 50 / 225
    slip = 1e-5 * math.exp(own - 1 - 49)
    assert clipping.group_privacy(epsilon=own, delta=slip, size=225)[1] == pytest.approx(5.0185e-5, rel=1e-4)
    assert clipping.group_privacy(epsilon=own, delta=slip, size=225, form="weak")[1] == pytest.approx(2.25e-3, rel=1e-3)


@given(
    epsilon=st.one_of(st.just(0.0), st.floats(1e-12, 300.0)),
    log_delta=st.floats(-600.0, -1.0),
    size=st.sampled_from([1, 2, 3, 10, 225, 10_000]),
    form=st.sampled_from(["tight", "weak"]),
)
def test_groups_are_rounded_to_the_safe_side(epsilon: float, log_delta: float, size: int, form: str) -> None:
    delta = math.exp(log_delta)
    with mp.workdps(80):
        e = mp.mpf(epsilon)
        tight = mp.expm1(size * e) / mp.expm1(e) if epsilon else mp.mpf(size)
        factor = tight if form == "tight" else size * mp.exp((size - 1) * e)
        group_epsilon, grown = clipping.group_privacy(epsilon=epsilon, delta=delta, size=size, form=form)
        assert group_epsilon >= size * e
        assert min(factor * delta, 1) <= grown <= min(float(factor * delta * (1 + mp.mpf(10) ** -11)), 1.0)
        own, log_own = clipping.record_log_delta(epsilon=epsilon, delta=delta, size=size, form=form)
        own_exact = mp.mpf(epsilon) / size
        assert own <= own_exact
        tight = mp.expm1(e) / mp.expm1(own_exact) if epsilon else mp.mpf(size)
        needed = mp.log(delta) - mp.log(tight if form == "tight" else size * mp.exp((size - 1) * own_exact))
        assert needed - mp.mpf("1e-11") <= log_own <= needed
        assert clipping.record_privacy(epsilon=epsilon, delta=delta, size=size, form=form)[1] <= mp.exp(log_own)


def test_group_formula_is_attained_by_bernoulli_laws() -> None:
    delta, growth, size = Fraction(1, 1000), Fraction(5, 4), 6
    laws = [Fraction(0)]
    for _ in range(size):
        laws.append(delta + growth * laws[-1])
    assert laws[-1] < Fraction(1, 4)

    def divergence(p: Fraction, q: Fraction, weight: Fraction) -> Fraction:
        return max(Fraction(0), p - weight * q) + max(Fraction(0), (1 - p) - weight * (1 - q))

    for p, q in itertools.pairwise(laws):
        assert max(divergence(p, q, growth), divergence(q, p, growth)) == delta
    exact = divergence(laws[-1], laws[0], growth**size)
    promised = clipping.group_privacy(epsilon=math.log(1.25), delta=1e-3, size=size)[1]
    assert promised == pytest.approx(float(exact), rel=1e-13)


# --- bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"radius": 0.0}, r"radius = 0\.0"),
        ({"clip": -1.0}, r"clip = -1\.0"),
        ({"step_size": 0.0}, r"step_size = 0\.0"),
        ({"step_size": 0.1, "penalty": 10.0}, r"step_size \* penalty"),
        ({"step_size": 0.5, "penalty": 2.0}, r"step_size \* penalty"),
        ({"penalty": -1.0}, r"penalty = -1\.0"),
        ({"steps": 0}, "steps = 0"),
        ({"noise_std": 0.0}, r"noise_std = 0\.0"),
        ({"noise_std": [1.0, 2.0]}, "noise_std has shape"),
        ({"certifier": "both"}, "certifier = 'both'"),
    ],
)
def test_bad_input(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gradient_clipping(**{**SHORT, "noise_std": 1.0, **change})
    if "certifier" not in change:
        with pytest.raises(ValueError, match=message):
            gradient_clipping_best_prefix(**{**SHORT, "noise_std": 1.0, **change})
    if "noise_std" not in change:
        with pytest.raises(ValueError, match=message):
            gradient_clipping_noise(**{**SHORT, **BUDGET, **change})


@pytest.mark.parametrize("delta", [0.0, 1.0, -0.1, math.nan])
def test_delta_must_lie_strictly_between_0_and_1(delta: float) -> None:
    bad = {"epsilon": 1.0, "delta": delta}
    ball = {"radius": 1.0}
    for call in (
        lambda: gradient_clipping_noise(**bad, **SHORT),
        lambda: gradient_clipping_steps(**bad, **without(SHORT, "steps"), noise_std=1.0),
        lambda: output_perturbation_noise(**bad, **ball),
        lambda: model_clipping.model_clipping_noise(**bad, **ball, steps=2),
        lambda: model_clipping.model_clipping_steps(**bad, **ball, noise_std=1.0),
    ):
        with pytest.raises(ValueError, match="delta = "):
            call()


def test_no_number_of_steps_is_enough() -> None:
    with pytest.raises(ValueError, match="no number of steps"):
        gradient_clipping_steps(**BUDGET, **without(SHORT, "steps"), noise_std=4.7)
    assert gradient_clipping_steps(**BUDGET, **without(SHORT, "steps"), noise_std=4.72) == 10
    with pytest.raises(ValueError, match="no number of steps"):
        # with a penalty the noise falls towards 2 clip / (penalty mu) in the end, never below
        gradient_clipping_steps(**BUDGET, radius=20.0, clip=10.0, step_size=0.01, penalty=50.0, noise_std=1.29)
