"""Model clipping: the recursion against the two-point chain in ball arithmetic, its looser forms, and inversions."""

import itertools
import math

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr

from bounds import gaussian_dp
from bounds import model_clipping as module
from bounds.model_clipping import (
    model_clipping,
    model_clipping_log_delta,
    model_clipping_noise,
    model_clipping_noise_first,
    model_clipping_start,
    model_clipping_steps,
    model_clipping_total_variation,
)
from linear.solvable_chains import two_point_chain

BUDGET = {"epsilon": 1.0, "delta": 1e-5}
UNIT = {"radius": 1.0, "noise_std": 1.0}
BOUNDS = ("recursion", "contraction", "dobrushin")


def test_worked_examples() -> None:
    values = [model_clipping(epsilon=1.0, **UNIT, steps=t) for t in (1, 2, 3)]
    assert values == pytest.approx([0.509862, 0.216031, 0.0648574], rel=2e-6)
    assert [model_clipping_steps(**BUDGET, **UNIT, bound=b) for b in BOUNDS] == [6, 18, 31]
    weak = {"radius": 1.0, "noise_std": 2 / 3.9}
    assert [model_clipping_steps(**BUDGET, **weak, bound=b) for b in BOUNDS] == [36, 134, 220]
    two = [model_clipping_noise(**BUDGET, radius=1.0, steps=2, bound=b) for b in BOUNDS]
    assert two == pytest.approx([2.334706, 4.476476, 252.3], rel=1e-4)
    assert two[:2] == pytest.approx([2.334706, 4.476476], rel=2e-7)
    five = [model_clipping_noise(**BUDGET, radius=1.0, steps=5, bound=b) for b in BOUNDS]
    assert five == pytest.approx([1.055910, 2.171755, 7.958], rel=1e-4)
    assert five[:2] == pytest.approx([1.055910, 2.171755], rel=3e-7)


@given(
    epsilon=st.one_of(st.just(0.0), st.floats(1e-6, 30.0)),
    radius=st.floats(0.05, 3.0),
    noise_std=st.floats(0.2, 3.0),
    steps=st.integers(1, 12),
    start=st.one_of(st.none(), st.tuples(st.floats(0.1, 10.0), st.floats(0.5, 3.0))),
)
def test_recursion_is_the_two_point_chain_and_never_below(
    epsilon: float, radius: float, noise_std: float, steps: int, start: tuple[float, float] | None
) -> None:
    ball = {"epsilon": epsilon, "radius": radius, "noise_std": noise_std, "steps": steps}
    initial, places = 1.0, {}
    if start is not None:
        initial = model_clipping_start(epsilon=epsilon, initial_radius=start[0], initial_noise_std=start[1])
        places = {"initial_radius": start[0], "initial_noise_std": start[1]}
    promised = model_clipping_log_delta(**ball, initial_delta=initial)
    if promised < -1e3 or initial < 1e-300:
        return  # beyond the digits of the chain, or of initial_delta
    exact = two_point_chain(**ball, **places)
    assert exact.log_delta <= promised + exact.relative_error
    # what roundings cost: a few units of the last place per step, each step doubling those before where it squares
    assert promised - exact.log_delta <= 1e-11 * max(1.0, -promised)


def test_deep_recursion_stays_an_upper_bound() -> None:
    """Down to exp(-5e5): against the recursion itself in 400 digits."""
    log = model_clipping_log_delta(epsilon=1.0, **UNIT, steps=12)
    with mp.workdps(400):
        delta, raised = mp.mpf(1), mp.mpf(1)
        for _ in range(12):
            raised = mp.log1p(mp.expm1(1) / delta)
            a = 1 - raised / 2
            density = mp.exp(-a * a / 2) / mp.sqrt(2 * mp.pi)
            delta *= mp.ncdf(a) - mp.exp(raised) * mp.ncdf(a - 2) if raised < 300 else density * fraction(a)
        truth = float(mp.log(delta))
    assert truth < -1e5
    assert truth <= log <= truth * (1 - 1e-9)


def fraction(a: mp.mpf) -> mp.mpf:
    """m(-a) - m(2 - a) for Mills' ratio m far in the tail, by its asymptotic series."""

    def mills(x: mp.mpf) -> mp.mpf:
        term, total = 1 / x, mp.mpf(0)
        for k in range(60):
            total += term
            term *= -(2 * k + 1) / x**2
        return total

    return mills(-a) - mills(2 - a)


@given(epsilon=st.one_of(st.floats(1e-200, 1e-3), st.floats(1e-3, 600.0)), log=st.floats(-1e3, -1e-12))
def test_the_raised_epsilon_is_rounded_down_and_by_little(epsilon: float, log: float) -> None:
    log_odds = epsilon + math.log(-math.expm1(-epsilon))
    raised = module._raised(epsilon, log_odds, log)
    with mp.workdps(800):
        truth = mp.log1p(mp.expm1(epsilon) / mp.exp(log))
        assert raised <= truth
        assert truth - raised <= 1e-12 * truth


@given(epsilon=st.floats(0.01, 5.0), ratio=st.floats(0.1, 6.0), steps=st.integers(1, 20), initial=st.floats(1e-8, 1.0))
def test_recursion_below_contraction_below_dobrushin(epsilon: float, ratio: float, steps: int, initial: float) -> None:
    ball = {"epsilon": epsilon, "radius": 0.5 * ratio, "noise_std": 1.0, "steps": steps, "initial_delta": initial}
    logs = [model_clipping_log_delta(**ball, bound=b) for b in BOUNDS]
    assert all(a <= b + 1e-12 * abs(b) for a, b in itertools.pairwise(logs))
    theta = gaussian_dp.log_delta(ratio, epsilon)
    assert logs[1] == pytest.approx(math.log(initial) + steps * theta, rel=1e-12)
    assert logs[2] == pytest.approx(math.log(initial) + steps * gaussian_dp.log_delta(ratio, 0.0), rel=1e-12)
    if initial < 1.0 or steps > 1:
        assert logs[0] < logs[1]


def test_theta_is_accurate_where_it_is_small() -> None:
    # 2 Phi(r/2) - 1 at r = 0.2, by its Taylor series
    value = model_clipping(epsilon=0.0, radius=0.1, noise_std=1.0, steps=1, bound="dobrushin")
    x = 0.1
    series = 2 / math.sqrt(2 * math.pi) * (x - x**3 / 6 + x**5 / 40 - x**7 / 336 + x**9 / 3456)
    assert value == pytest.approx(series, rel=1e-11)


@given(
    epsilon=st.floats(0.05, 8.0),
    log_delta=st.floats(-40.0, -0.5),
    steps=st.integers(1, 12),
    bound=st.sampled_from(BOUNDS),
    initial=st.sampled_from([1.0, 0.9, 1e-3]),
)
def test_noise_certifies_and_is_least(epsilon: float, log_delta: float, steps: int, bound: str, initial: float) -> None:
    budget = {"epsilon": epsilon, "delta": math.exp(log_delta)}
    kind = {"radius": 2.0, "steps": steps, "initial_delta": initial, "bound": bound}
    noise = model_clipping_noise(**budget, **kind)
    if initial <= budget["delta"]:
        assert noise == 0.0
        return
    assert model_clipping(epsilon=epsilon, noise_std=noise, **kind) <= budget["delta"]
    assert model_clipping(epsilon=epsilon, noise_std=noise * (1 - 1e-9), **kind) > budget["delta"]


@given(
    epsilon=st.floats(0.05, 8.0),
    log_delta=st.floats(-40.0, -0.5),
    noise_std=st.floats(0.3, 5.0),
    bound=st.sampled_from(BOUNDS),
    initial=st.sampled_from([1.0, 0.9, 1e-3]),
)
def test_steps_are_enough_and_least(
    epsilon: float, log_delta: float, noise_std: float, bound: str, initial: float
) -> None:
    delta = math.exp(log_delta)
    kind = {"epsilon": epsilon, "radius": 1.0, "noise_std": noise_std, "initial_delta": initial, "bound": bound}
    steps = model_clipping_steps(delta=delta, **kind, at_most=10**7)
    assert model_clipping(steps=steps, **kind) <= delta
    if steps > 1:
        assert model_clipping(steps=steps - 1, **kind) > delta * (1 - 1e-13)


def test_too_many_steps_are_refused() -> None:
    for bound in BOUNDS:
        with pytest.raises(ValueError, match="more than at_most = 50 steps"):
            model_clipping_steps(**BUDGET, radius=1.0, noise_std=0.2, bound=bound, at_most=50)


def test_noise_may_change_over_time() -> None:
    same = model_clipping(epsilon=1.0, radius=1.0, noise_std=[1.5] * 4, steps=4)
    assert same == pytest.approx(model_clipping(epsilon=1.0, radius=1.0, noise_std=1.5, steps=4), rel=1e-12)
    # by hand for two steps
    first = gaussian_dp.delta(2 / 1.5, 1.0)
    second = gaussian_dp.delta(2 / 0.7, math.log1p(math.expm1(1.0) / first))
    both = model_clipping(epsilon=1.0, radius=1.0, noise_std=[1.5, 0.7], steps=2)
    assert both == pytest.approx(first * second, rel=1e-12)


def test_noise_before_the_projection() -> None:
    kind = {"epsilon": 1.0, "initial_radius": 3.0, "radius": 1.0, "clip": 2.0, "step_size": 0.1, "noise_std": 2.0}
    one = model_clipping_noise_first(**kind, steps=1)
    assert one == pytest.approx(gaussian_dp.delta(2 * (3.0 + 0.2) / 2.0, 1.0), rel=1e-12)
    three = model_clipping_noise_first(**kind, steps=3)
    later = model_clipping(epsilon=1.0, radius=1.2, noise_std=2.0, steps=2, initial_delta=one)
    assert three == pytest.approx(later, rel=1e-12)
    shrunk = model_clipping_noise_first(**kind, steps=1, penalty=5.0)
    assert shrunk == pytest.approx(gaussian_dp.delta(2 * (1.5 + 0.2) / 2.0, 1.0), rel=1e-12)


def test_noise_before_the_projection_bounds_a_chain_on_the_line() -> None:
    """Two starts, drifts apart, noise, projection: by integration over the two atoms and the inside."""
    radius, drift, noise, weight = 1.0, 0.2, 1.0, math.e
    edges = np.linspace(-radius, radius, 2001)
    centres = np.r_[-radius, 0.5 * (edges[:-1] + edges[1:]), radius]

    def projected(position: np.ndarray) -> np.ndarray:
        return np.diff(ndtr((np.r_[-np.inf, edges, np.inf] - position[..., None]) / noise), axis=-1)

    p, q = projected(np.array([3.0 + drift, -3.0 - drift]))
    for _ in range(2):
        kernel = projected(centres + np.where(p > weight * q, drift, -drift))
        p, q = p @ kernel, q @ kernel
    exact = np.maximum(p - weight * q, 0).sum()
    promised = model_clipping_noise_first(
        epsilon=1.0, initial_radius=3.0, radius=1.0, clip=2.0, step_size=0.1, noise_std=1.0, steps=3
    )
    assert 0.02 * promised < exact < promised


def test_total_variation_after_the_last_step() -> None:
    assert model_clipping_total_variation(radius=1.0, noise_std=0.5) == pytest.approx(2 * ndtr(1.0) - 1, rel=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epsilon": -0.1}, r"epsilon = -0\.1"),
        ({"radius": 0.0}, r"radius = 0\.0"),
        ({"noise_std": 0.0}, r"noise_std = 0\.0"),
        ({"steps": 0}, "steps = 0"),
        ({"initial_delta": 0.0}, r"initial_delta = 0\.0"),
        ({"initial_delta": 1.5}, r"initial_delta = 1\.5"),
        ({"bound": "plain"}, "bound = 'plain'"),
    ],
)
def test_bad_input(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        model_clipping(**{"epsilon": 1.0, **UNIT, "steps": 3, **change})
    kind = {"epsilon": 1.0, "initial_radius": 3.0, "radius": 1.0, "clip": 2.0, "step_size": 0.1, "noise_std": 2.0}
    if set(change) <= set(kind) | {"steps", "bound"}:
        with pytest.raises(ValueError, match=message):
            model_clipping_noise_first(**{**kind, "steps": 2, **change})
    with pytest.raises(ValueError, match="below 1"):
        model_clipping_noise_first(**kind, steps=2, penalty=10.0)
