"""bounds.sensitivity: quantiles of residual norms against Arb and mpmath, and the union bound."""

import json
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from flint import acb, arb, ctx
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ncx2

from bounds import sensitivity
from bounds.sensitivity import allocate_tail, central_radius, residual_quantile, sensitivities

REFERENCE = json.loads((Path(__file__).parent / "reference" / "sensitivity.json").read_text(encoding="utf-8"))


class Case(NamedTuple):
    mean: float
    std: float
    dof: int
    tail: float  # a probability or, if negative, the logarithm of one

    @property
    def log_tail(self) -> arb:
        return arb(self.tail) if self.tail < 0 else arb(self.tail).log()

    @property
    def tail_argument(self) -> dict[str, float]:
        return {"log_tail" if self.tail < 0 else "tail": self.tail}


def enclosed_tail(radius: arb, mean: arb, dof: int, upper: bool, log_size: arb) -> arb:
    """A ball around P(|R| > radius), or P(|R| <= radius), for standard deviation 1 and a tail of size e^log_size.

    From the density r^(C/2) a^(1 - C/2) exp(-(r - a)^2 / 2) [exp(-a r) I_{C/2-1}(a r)] of |R|; what is left out of the
    range of integration is below e^-80 of the tail by P(|R| > a + sqrt C + x) <= exp(-x^2/2) (Laurent and Massart)
    and P(|R| <= a - x) <= exp(-x^2/2).
    """
    half = arb(dof) / 2
    if dof == 1:
        near, other = (radius - mean) / arb(2).sqrt(), (radius + mean) / arb(2).sqrt()
        return (near.erfc() + other.erfc()) / 2 if upper else (near.erf() + other.erf()) / 2
    if mean == 0:
        square = radius * radius / 2
        return square.gamma_upper(half, regularized=1) if upper else square.gamma_lower(half, regularized=1)

    def density(t: acb, analytic: bool) -> acb:
        if analytic and not t.real > 0:
            return acb("nan")
        gauss = (-((t - mean) ** 2) / 2).exp()
        return t * (t / mean) ** (half - 1) * gauss * (mean * t).bessel_i(half - 1, scaled=True)

    far = (2 * (80 - log_size)).sqrt()
    edges = (radius, mean + arb(dof).sqrt() + far) if upper else ((mean - far).max(arb(0)), radius)
    size = log_size.exp()
    left_out = size * (-arb(80)).exp()
    value = acb.integral(density, *edges, rel_tol=2.0**-60, abs_tol=size * arb(2) ** -60).real
    return value + left_out.union(arb(0))


def exceeds(radius: float, case: Case, shrink: float = 0.0) -> bool:
    """Whether radius * (1 - shrink) is at least the quantile, decided by Arb; an undecided comparison is an error."""
    at = arb(radius) * (1 - arb(shrink)) / arb(case.std)
    centre, log_tail = arb(case.mean) / arb(case.std), case.log_tail
    if log_tail < -0.69:
        left, right = enclosed_tail(at, centre, case.dof, True, log_tail), log_tail.exp()
    else:
        right = -log_tail.expm1()
        left, right = right, enclosed_tail(at, centre, case.dof, False, right.log())
    assert (left <= right) or (left > right), f"undecided at radius {radius} of {case}"
    return bool(left <= right)


@pytest.fixture(autouse=True)
def precision():
    before, ctx.prec = ctx.prec, 200
    yield
    ctx.prec = before


def random_cases(count: int, dof: int) -> list[Case]:
    rng = np.random.default_rng([20, dof])
    cases = []
    for _ in range(count):
        std = 10 ** rng.uniform(-3, 1)
        mean = 0.0 if rng.random() < 0.15 else std * 10 ** rng.uniform(-3, 2.5)
        tails = [rng.uniform(0.01, 0.99), 10 ** rng.uniform(-300, -1), 1 - 10 ** rng.uniform(-14, -2)]
        tail = float(rng.choice([*tails, -(10 ** rng.uniform(0, 4))]))
        cases.append(Case(float(mean), float(std), dof, tail))
    return cases


@pytest.mark.parametrize("dof", [1, 2, 3, 10, 11, 100])
def test_never_below_the_quantile_and_within_2e_12_of_it(dof: int) -> None:
    for case in random_cases(40, dof):
        radius = float(residual_quantile(case.mean, case.std, dof, **case.tail_argument))
        assert exceeds(radius, case), case
        assert not exceeds(radius, case, shrink=2e-12), case


@pytest.mark.parametrize("row", REFERENCE, ids=lambda row: f"{row['dof']}-{row['mean_norm']}-{row['tail']}")
def test_reference_values(row: dict) -> None:
    case = Case(float(row["mean_norm"]), 1.0, row["dof"], float(row["tail"]))
    value = residual_quantile(case.mean, case.std, case.dof, **case.tail_argument)
    excess = float(arb(float(value)) / arb(row["quantile"]) - 1)
    assert 0 <= excess <= 2e-12


def test_published_values() -> None:
    assert residual_quantile(0.9, 0.1, 10, 1e-6) == pytest.approx(1.4149052150469, abs=1e-12)
    assert residual_quantile(2.0, 1.0, 1, 0.01) == pytest.approx(4.3263478787502, abs=1e-12)
    radii = {"random": 6.87679310918, "steps": 6.87737208391, "listed": 6.87794906573}
    for count, radius in radii.items():
        assert central_radius(10, allocate_tail(2.5e-4, 300, count)) == pytest.approx(radius, abs=1e-11)


def test_closed_forms_two_components_and_huge_noncentrality() -> None:
    log_tails = -np.geomspace(1e-9, 1e11, 41)
    assert central_radius(2, log_tail=log_tails) == pytest.approx(np.sqrt(-2 * log_tails), rel=1e-12)
    # |R| = |m| + a standard normal + O(1 / |m|) far from the origin
    from_normal = 1e10 + 4.753424308822899
    assert residual_quantile(1e10, 1.0, 10, 1e-6) == pytest.approx(from_normal, rel=3e-15)
    assert residual_quantile(1.0, 1e-300, 10, 1e-6) == pytest.approx(1.0, rel=1e-14)
    assert residual_quantile(1.0, 1e-300, 10, 1e-6) >= 1.0


def test_no_noise_gives_the_mean_exactly() -> None:
    means = np.array([0.0, 0.1, 3.0])
    assert np.array_equal(residual_quantile(means, 0.0, 4, 1e-6), means)
    mixed = residual_quantile(means, [0.0, 1.0, 0.0], 4, 1e-6)
    assert np.array_equal(mixed[[0, 2]], means[[0, 2]]) and mixed[1] > 5


def test_broadcasting_and_order_of_a_large_array() -> None:
    rng = np.random.default_rng(3)
    means, dofs = rng.uniform(0, 3, (70, 1, 40)), np.array([1, 2, 9])[:, None]
    whole = residual_quantile(means, 0.3, dofs, 1e-5)
    assert whole.shape == (70, 3, 40)
    for place in [(0, 0, 0), (69, 2, 39), (33, 1, 7), (50, 0, 20)]:
        alone = residual_quantile(means[place[0], 0, place[2]], 0.3, int(dofs[place[1], 0]), 1e-5)
        assert np.ndim(alone) == 0
        assert whole[place] == pytest.approx(float(alone), rel=1e-12)
    assert residual_quantile(np.zeros((0, 3)), 1.0, 2, 0.1).shape == (0, 3)


@given(
    mean=st.floats(0, 50),
    std=st.floats(1e-3, 10),
    dof=st.integers(1, 60),
    log_tail=st.floats(-1000, -1e-6),
    more=st.floats(1e-3, 3),
)
def test_monotone_and_equivariant(mean: float, std: float, dof: int, log_tail: float, more: float) -> None:
    base = residual_quantile(mean, std, dof, log_tail=log_tail)
    slack = 1 - 2e-12
    assert residual_quantile(8 * mean, 8 * std, dof, log_tail=log_tail) == 8 * base
    assert residual_quantile(mean + more, std, dof, log_tail=log_tail) >= base * slack
    if base >= mean:
        # The ball of radius base then holds the mean, so it only shrinks when seen in units of a larger std.
        assert residual_quantile(mean, std + more, dof, log_tail=log_tail) >= base * slack
    assert residual_quantile(mean, std, dof + 1, log_tail=log_tail) >= base * slack
    assert residual_quantile(mean, std, dof, log_tail=log_tail * (1 + more)) >= base * slack
    assert residual_quantile(mean, std, dof, log_tail=log_tail) <= (
        (mean + std * (math.sqrt(dof) + math.sqrt(-2 * log_tail))) * (1 + 1e-12)
    )


def test_allocate_tail_counts_the_random_steps() -> None:
    assert [allocate_tail(0.3, 4, count) for count in ("random", "steps", "listed")] == [0.3 / 3, 0.3 / 4, 0.3 / 5]
    assert allocate_tail(0.3, 4) == 0.3 / 3
    assert allocate_tail(0.3, 1) == 0.3
    assert allocate_tail(0.3, 0) == 0.3


def test_sensitivities_against_scipy() -> None:
    rng = np.random.default_rng(4)
    means, variances = rng.uniform(0.1, 2, (3, 6)), rng.uniform(0.01, 0.5, (3, 6))
    variances[:, 0] = 0
    rows = np.array([0.5, 1.0, 2.0])
    for count, events in (("random", 5), ("steps", 6), ("listed", 7)):
        value = sensitivities(
            step_size=0.2, row_norm=rows, mean_norms=means, variances=variances, dof=4, delta_s=0.01, count=count
        )
        later = np.sqrt(variances[:, 1:] * ncx2.isf(0.01 / events, 4, means[:, 1:] ** 2 / variances[:, 1:]))
        expected = 0.2 * rows[:, None] * np.hstack([means[:, :1], later])
        assert value == pytest.approx(expected, rel=1e-9)
        assert np.all(value[:, 0] >= 0.2 * rows * means[:, 0])


def test_sensitivities_without_learning_noise_are_the_known_differences() -> None:
    means = np.array([1.0, 0.5, 0.25])
    value = sensitivities(step_size=0.5, row_norm=2.0, mean_norms=means, variances=0.0, dof=3, delta_s=1e-3)
    assert value == pytest.approx(means, rel=1e-15)


def test_budgets_below_the_smallest_double() -> None:
    value = sensitivities(
        step_size=0.5, row_norm=2.0, mean_norms=0.0, variances=[0.0, 1.0, 4.0, 1.0], dof=2, log_delta_s=-2000.0
    )
    radius = math.sqrt(2 * (2000 + math.log(3)))
    assert value == pytest.approx([0, radius, 2 * radius, radius], rel=1e-12)


def test_more_random_steps_than_paid_for_are_refused() -> None:
    numbers = {"step_size": 0.1, "row_norm": 1.0, "mean_norms": np.ones(4), "dof": 2, "delta_s": 0.1}
    with pytest.raises(ValueError, match="4 of 4 steps are random, but count = 'random' pays for 3"):
        sensitivities(variances=np.ones(4), **numbers)
    assert sensitivities(variances=np.ones(4), count="steps", **numbers).shape == (4,)


@pytest.mark.statistical
def test_union_bound_is_attained_by_independent_steps() -> None:
    """With independent residuals the failure is 1 - (1 - delta_s / 3)^3; a count off by one moves it by 60 sigma."""
    rng = np.random.default_rng(5)
    runs, delta_s, steps, dof = 400_000, 0.2, 4, 3
    means, variances = np.array([0.7, 0.4, 1.0, 0.2]), np.array([0.0, 0.3, 0.2, 0.5])
    bounds = sensitivities(step_size=0.5, row_norm=1.5, mean_norms=means, variances=variances, dof=dof, delta_s=delta_s)
    residuals = rng.standard_normal((runs, steps, dof)) * np.sqrt(variances)[:, None]
    residuals[..., 0] += means
    differences = 0.5 * 1.5 * np.linalg.norm(residuals, axis=-1)
    failed = int(np.any(differences > bounds, axis=1).sum())
    probability = 1 - (1 - delta_s / 3) ** 3
    assert abs(failed - runs * probability) < 5.8 * math.sqrt(runs * probability * (1 - probability))
    assert failed < runs * delta_s


def test_an_inaccurate_integral_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = sensitivity._contour_tails
    monkeypatch.setattr(
        sensitivity, "_contour_tails", lambda *arguments: honest(*arguments)._replace(error=np.full(1, 1e-7))
    )
    with pytest.raises(FloatingPointError, match="not accurate enough"):
        residual_quantile(1.0, 1.0, 3, 1e-3)


BAD = [
    ({"mean_norm": -1.0}, ValueError, "mean_norm = -1.0"),
    ({"mean_norm": math.nan}, ValueError, "mean_norm = nan"),
    ({"std": math.inf}, ValueError, "std = inf"),
    ({"dof": 2.5}, ValueError, "dof = 2.5: must be a positive integer"),
    ({"dof": 0}, ValueError, "dof = 0.0"),
    ({"tail": 0.0}, ValueError, "tail = 0.0"),
    ({"tail": 1.0}, ValueError, "tail = 1.0"),
    ({"tail": None}, ValueError, "give exactly one"),
    ({"log_tail": -3.0}, ValueError, "give exactly one"),
    ({"tail": None, "log_tail": 0.0}, ValueError, "log_tail = 0.0"),
    ({"std": "1"}, TypeError, "std"),
]


@pytest.mark.parametrize(("change", "error", "message"), BAD)
def test_bad_quantile_arguments(change: dict, error: type[Exception], message: str) -> None:
    numbers = {"mean_norm": 1.0, "std": 1.0, "dof": 2, "tail": 0.1} | change
    with pytest.raises(error, match=message):
        residual_quantile(**numbers)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"step_size": 0.0}, "step_size = 0.0"),
        ({"row_norm": -1.0}, "row_norm = -1.0"),
        ({"variances": [-1.0, 0.0]}, "variances"),
        ({"mean_norms": 1.0, "variances": 0.0}, "the last axis must be the learning steps"),
        ({"delta_s": 1.0}, "delta_s = 1.0"),
        ({"delta_s": None}, "give exactly one"),
        ({"log_delta_s": -1.0}, "give exactly one"),
        ({"delta_s": None, "log_delta_s": 0.5}, "log_delta_s = 0.5"),
        ({"count": "all"}, "count = 'all'"),
    ],
)
def test_bad_sensitivity_arguments(change: dict, message: str) -> None:
    numbers = {"step_size": 0.1, "row_norm": 1.0, "mean_norms": [1.0, 1.0], "variances": [0.0, 1.0], "dof": 2}
    with pytest.raises(ValueError, match=message):
        sensitivities(**(numbers | {"delta_s": 0.1} | change))


def test_bad_allocation_arguments() -> None:
    with pytest.raises(ValueError, match=r"delta_s = 1\.5"):
        allocate_tail(1.5, 3)
    with pytest.raises(ValueError, match="learn_steps = -1"):
        allocate_tail(0.1, -1)
    with pytest.raises(TypeError, match=r"learn_steps = 3\.0"):
        allocate_tail(0.1, 3.0)
