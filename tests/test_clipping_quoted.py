"""The quoted constants 9, 18, 72 and the Rényi detour, judged by the exact trade-off of two Gaussians."""

import itertools
import math

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bounds import gaussian_dp
from bounds.clipping import gradient_clipping_delta, gradient_clipping_noise, gradient_clipping_total_variation
from bounds.clipping_quoted import quoted_delta, quoted_noise, quoted_steps
from bounds.output_perturbation import output_perturbation_noise
from bounds.renyi_route import renyi_epsilon, renyi_log_delta, renyi_mu
from linear.scalar_chain import threshold_policy

SHORT = {"radius": 1.0, "clip": 1.0, "step_size": 0.1, "penalty": 0.0, "steps": 10}
LONG = {"radius": 20.0, "clip": 10.0, "step_size": 0.01, "penalty": 50.0, "steps": 11}


def true_delta(form: str, epsilon: float, delta: float, arguments: dict, certifier: str = "pair") -> float:
    noise = quoted_noise(epsilon=epsilon, delta=delta, form=form, **arguments)
    return gradient_clipping_delta(epsilon=epsilon, noise_std=noise, certifier=certifier, **arguments)


@pytest.mark.parametrize(("epsilon", "nine", "eighteen"), [(0.5, 10.1792, 14.3956), (1, 5.08961, 7.19779)])
def test_constants_over_displacement(epsilon: float, nine: float, eighteen: float) -> None:
    for form, needed in (("9", nine), ("18", eighteen)):
        noise = quoted_noise(epsilon=epsilon, delta=1e-5, form=form, **SHORT)
        assert noise * math.sqrt(10) / (2 * (1.0 + 0.1 * 10)) == pytest.approx(needed, rel=2e-6)


@pytest.mark.parametrize(("epsilon", "ratio"), [(0.5, 2.0955), (1.0, 1.8612), (10.0, 1.0366)])
def test_variance_of_nine_over_exact(epsilon: float, ratio: float) -> None:
    exact = gradient_clipping_noise(epsilon=epsilon, delta=1e-5, **SHORT)
    nine = quoted_noise(epsilon=epsilon, delta=1e-5, form="9", **SHORT)
    assert (nine / exact) ** 2 == pytest.approx(ratio, rel=5e-5)


def test_seventy_two_by_hand_and_over_exact() -> None:
    noise = quoted_noise(epsilon=1.0, delta=1e-5, form="72", **LONG)
    assert noise == pytest.approx(math.sqrt(72 * 0.5 * math.log(1e5)) * (20 * 0.5**11 + 0.2), rel=1e-12)
    assert noise / gradient_clipping_noise(epsilon=1.0, delta=1e-5, **LONG) == pytest.approx(3.152, abs=5e-4)


@pytest.mark.parametrize(("delta", "limit"), [(1e-5, 10.984), (1e-3, 8.901)])
def test_nine_for_the_pair_is_false_above_a_limit(delta: float, limit: float) -> None:
    one = SHORT | {"steps": 1}
    assert true_delta("9", limit - 0.001, delta, one) < delta < true_delta("9", limit + 0.001, delta, one)
    for epsilon in np.geomspace(1e-3, limit - 0.001, 40):
        assert true_delta("9", epsilon, delta, one) < delta
    # one step attains the bound, so the chain itself breaks the promise
    epsilon = 3 * math.log(1e5)
    noise = quoted_noise(epsilon=epsilon, delta=1e-5, form="9", **one)
    exact = threshold_policy(radius=1.0, shift=0.1, factor=1.0, steps=1, noise_std=noise, epsilon=epsilon)
    assert exact == pytest.approx(0.0339, abs=5e-5)
    # at T steps it needs the linear displacement, whatever T: the same limit
    assert true_delta("9", limit + 0.001, delta, SHORT) > delta


def test_which_constants_are_safe_up_to_three_logs() -> None:
    for delta in (0.1, 1e-3, 1e-5, 1e-12):
        for share in np.geomspace(1e-3, 1.0, 25):
            epsilon = 3 * math.log(1 / delta) * share
            assert true_delta("18", epsilon, delta, SHORT) <= delta
            assert true_delta("9", epsilon, delta, SHORT, "noise_only") <= delta
            assert true_delta("72", epsilon, delta, LONG) <= delta
    assert true_delta("18", 40 * math.log(1e5), 1e-5, SHORT) > 1e-5
    assert true_delta("9", 12 * math.log(1e5), 1e-5, SHORT, "noise_only") > 1e-5
    # 72 needs rho^(2T) <= 1/2: with a small product and a small drift it is too small
    small = {"radius": 1.0, "clip": 1e-3, "step_size": 0.1, "penalty": 0.01, "steps": 1}
    assert true_delta("72", 1.0, 1e-5, small) > 1e-5


def test_total_variation_to_the_control_at_nine() -> None:
    noise = quoted_noise(epsilon=1.0, delta=1e-5, form="9", **SHORT)
    assert gradient_clipping_total_variation(**SHORT, noise_std=noise) == pytest.approx(0.03918, abs=5e-6)


def test_best_total_variance_is_4_41_times_classical_output_perturbation() -> None:
    nine = quoted_noise(epsilon=0.5, delta=1e-5, form="9", **SHORT)
    classical = output_perturbation_noise(epsilon=0.5, delta=1e-5, radius=1.0, form="classical")
    assert 10 * nine**2 / classical**2 == pytest.approx(4.41, abs=5e-3)
    # at radius = step_size clip steps, the closed form 36 L radius clip step_size / epsilon^2
    assert nine**2 == pytest.approx(36 * math.log(1e5) * 0.1 / 0.25, rel=1e-12)


def test_quoted_inversions() -> None:
    for form, arguments in (("9", SHORT), ("18", SHORT), ("72", LONG)):
        for delta in (0.9, 1e-5, 1e-200):
            noise = quoted_noise(epsilon=2.0, delta=delta, form=form, **arguments)
            back = quoted_delta(epsilon=2.0, noise_std=noise, form=form, **arguments)
            assert back == pytest.approx(delta, rel=1e-11)
        known = {key: value for key, value in arguments.items() if key != "steps"}
        for steps in (1, 4, 10):
            noise = quoted_noise(epsilon=2.0, delta=1e-5, form=form, steps=steps, **known)
            found = quoted_steps(epsilon=2.0, delta=1e-5, form=form, noise_std=noise, **known)
            assert found == steps
        with pytest.raises(ValueError, match="at no steps"):
            quoted_steps(epsilon=2.0, delta=1e-5, form=form, noise_std=0.1, **known)


@pytest.mark.parametrize(("form", "penalty"), [("9", 1.0), ("18", 1.0), ("72", 0.0), ("36", 0.0)])
def test_forms_have_their_case(form: str, penalty: float) -> None:
    with pytest.raises(ValueError, match=r"penalty = |form = '36'"):
        quoted_noise(epsilon=1.0, delta=1e-5, form=form, **SHORT | {"penalty": penalty})


# --- the Rényi route ------------------------------------------------------------------------------------------------


def exact_route(mu: float, delta: float, order: mp.mpf) -> mp.mpf:
    return order * mp.mpf(mu) ** 2 / 2 + mp.log(1 - 1 / order) - (mp.log(delta) + mp.log(order)) / (order - 1)


def test_renyi_numbers_with_and_without_the_order() -> None:
    mu = math.sqrt(2.0)
    assert gaussian_dp.epsilon(mu, 1e-5) == pytest.approx(6.57297, abs=5e-6)
    assert gaussian_dp.epsilon(mu / 2, 1e-5) == pytest.approx(2.94323, abs=5e-6)
    assert renyi_epsilon(mu=mu, delta=1e-5) > 6.57
    # the released code puts in r = mu^2 / 2 = 1 for order * r, and order 1000 then gives
    slip = 1.0 + math.log(0.999) - (math.log(1e-5) + math.log(1000)) / 999
    assert slip == pytest.approx(1.0036, abs=5e-5)
    # which would need 5.276 times the noise
    assert mu / gaussian_dp.mu(1.0036, 1e-5) == pytest.approx(5.276, rel=5e-3)
    assert mu / gaussian_dp.mu(1.0, 1e-5) == pytest.approx(5.276, abs=5e-4)


@given(mu=st.floats(1e-3, 30.0), log_delta=st.floats(-200.0, -0.05))
def test_route_is_the_best_order_and_never_below_the_exact_curve(mu: float, log_delta: float) -> None:
    delta = math.exp(log_delta)
    epsilon = renyi_epsilon(mu=mu, delta=delta)
    assert epsilon >= gaussian_dp.epsilon(mu, delta) * (1 - 1e-9) - 1e-12
    with mp.workdps(30):
        orders = [1 + mp.exp(mp.mpf(x)) for x in np.linspace(-25, 40, 300)]
        values = [exact_route(mu, delta, order) for order in orders]
        best = values.index(min(values))
        assert 0 < best < len(orders) - 1
        low, high = mp.log(orders[best - 1] - 1), mp.log(orders[best + 1] - 1)
        for _ in range(60):  # golden section
            a, b = high - (high - low) * mp.phi**-1, low + (high - low) * mp.phi**-1
            smaller = exact_route(mu, delta, 1 + mp.exp(a)) < exact_route(mu, delta, 1 + mp.exp(b))
            low, high = (low, b) if smaller else (a, high)
        truth = max(exact_route(mu, delta, 1 + mp.exp(low)), mp.mpf(0))
        assert truth * (1 - mp.mpf(10) ** -20) <= epsilon <= float(truth) * (1 + 1e-9) + 1e-12


@given(epsilon=st.floats(0.05, 40.0), log_delta=st.floats(-200.0, -0.5))
def test_the_three_questions_agree(epsilon: float, log_delta: float) -> None:
    delta = math.exp(log_delta)
    mu = renyi_mu(epsilon=epsilon, delta=delta)
    assert mu <= gaussian_dp.mu(epsilon, delta)
    back = renyi_epsilon(mu=mu, delta=delta)
    assert epsilon * (1 - 1e-9) <= back <= epsilon * (1 + 1e-9) + 1e-12
    log = renyi_log_delta(mu=mu, epsilon=epsilon)
    assert log == pytest.approx(log_delta, rel=1e-7, abs=1e-7)
    assert log >= gaussian_dp.log_delta(mu, epsilon)


def test_route_at_the_ends() -> None:
    assert renyi_log_delta(mu=100.0, epsilon=0.1) <= 0.0
    assert renyi_log_delta(mu=1e-3, epsilon=0.1) >= gaussian_dp.log_delta(1e-3, 0.1)
    logs = [renyi_log_delta(mu=1.0, epsilon=e) for e in (0.5, 1.0, 2.0, 4.0)]
    assert all(b < a for a, b in itertools.pairwise(logs))
    for bad in ({"mu": 0.0, "delta": 0.1}, {"mu": 1.0, "delta": 0.0}, {"mu": 1.0, "delta": 1.0}):
        with pytest.raises(ValueError, match=" = "):
            renyi_epsilon(**bad)
