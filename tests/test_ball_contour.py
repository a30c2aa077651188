"""What a certified interval rests on: each bound, each ball and each bracket, and mutants that must not pass."""

import json
from pathlib import Path

import numpy as np
import pytest
from flint import acb, arb, arb_mat, ctx
from mpmath import mp, mpf

from linear import _ball_contour, _ball_hockey_stick, _ball_linalg
from linear._ball_contour import Integrand
from linear._ball_linalg import DiagonalPair, as_balls, diagonalise
from linear.enclosure import enclose_pair

CASE = json.loads((Path(__file__).parent / "reference" / "enclosure.json").read_text())[3]
PAIR = np.array(CASE["mean"]), np.diag(CASE["variance"]), np.zeros(3), np.eye(3)


def holds(interval, value=CASE["forward"]):
    """Whether the interval holds the value, digits known to 1e-18."""
    with mp.workdps(30):
        return mpf(interval[0]) - 1e-18 <= mpf(value) <= mpf(interval[1]) + 1e-18


def uncertified(mean=PAIR[0], cov_p=PAIR[1], cov_q=PAIR[3]):
    """The interval as found at 256 bits, however wide."""
    with ctx.workprec(256):
        balls = diagonalise(as_balls(mean, "mean"), as_balls(cov_p, "cov_p"), as_balls(cov_q, "cov_q"))
        return interval_of(balls)


def interval_of(balls):
    with ctx.workprec(256):
        return [float(end) for end in _ball_hockey_stick.log_hockey_stick(balls, arb(CASE["epsilon"]))]


def test_unharmed():
    assert holds(enclose_pair(*PAIR, CASE["epsilon"]))


# Mutants: the intervals are too narrow to hold a wrong answer -----------------------------------------------------


@pytest.mark.parametrize("amount", [1e-10, -1e-10])
def test_a_shifted_cumulant_is_caught(monkeypatch, amount):
    value = _ball_hockey_stick._Cumulant.value
    monkeypatch.setattr(_ball_hockey_stick._Cumulant, "value", lambda self, u: value(self, u) + amount)
    assert not holds(enclose_pair(*PAIR, CASE["epsilon"]))


@pytest.mark.parametrize("name", ["bends", "curvatures", "slope", "poles"])
def test_a_wrong_integrand_is_caught(monkeypatch, name):
    def wrong(**numbers):
        value, off = numbers[name], 1 + arb(1e-9)
        numbers[name] = value * off if isinstance(value, arb) else type(value)([value[0] * off, *value[1:]])
        return Integrand(**numbers)

    monkeypatch.setattr(_ball_hockey_stick, "Integrand", wrong)
    assert not holds(enclose_pair(*PAIR, CASE["epsilon"]))


# What the certificate rests on ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "corners", [[0j, 4j, 30 + 40j, 90 + 160j], [0j, 0.3 + 1j, -1 + 3j, 2 + 8j, 30j, 100 + 180j]], ids=str
)
def test_any_path_gives_the_same_interval(monkeypatch, corners):
    """Cauchy: the plan is a choice of speed; a silly one may widen the interval, never move it."""
    monkeypatch.setattr(_ball_contour, "descend", lambda landscape: corners)
    lower, upper = uncertified()
    assert holds((lower, upper))
    assert upper - lower < 1e-3


def test_a_path_cut_short_widens_the_interval(monkeypatch):
    """What is cut off is paid for: without the bound on it, the truncated integral excludes the truth."""
    descend = _ball_contour.descend
    monkeypatch.setattr(_ball_contour, "descend", lambda landscape: descend(landscape)[:-4])
    with pytest.raises(FloatingPointError, match="wider than"):
        enclose_pair(*PAIR, CASE["epsilon"])
    assert holds(uncertified())
    monkeypatch.setattr(Integrand, "straight_up", lambda self, start: arb(0))
    assert not holds(uncertified())


def some_integrand(bends, curvatures, columns=1):
    return Integrand(
        slope=arb(0.3),
        bends=[arb(b) for b in bends],
        curvatures=[arb(a) for a in curvatures],
        poles=(arb(5.0), arb(2.0)),
        columns=columns,
    )


def direct(f, s):
    """The definition of f, in complex doubles."""
    bends, curvatures = ([float(x) for x in numbers] for numbers in (f.bends, f.curvatures))
    exponent, product = float(f.slope) * s, 1.0 + 0j
    for a, b in zip(curvatures, bends, strict=True):
        exponent += a * s * s / (1 - b * s)
        product *= np.exp(-f.columns / 2 * np.log(1 - b * s))
    return np.exp(exponent) * product / ((1 + s / float(f.poles[0])) * (1 + s / float(f.poles[1])))


@pytest.mark.parametrize("start", [0.5 + 2j, -1.5 + 4j, 3 + 0.7j, -4 + 1j])
@pytest.mark.parametrize(
    ("bends", "curvatures"), [([0.5, -0.4], [0.1, 0.2]), ([1.0, -0.7], [9.0, 3.0]), ([0.0], [0.4])]
)
def test_bound_straight_up(start, bends, curvatures):
    f = some_integrand(bends, curvatures)
    bound = float(f.straight_up(start))
    heights = np.concatenate([[0], np.geomspace(1e-3, 1e7, 4000)])
    size = np.abs(direct(f, start + 1j * heights))
    assert np.sum(np.diff(heights) * np.minimum(size[1:], size[:-1])) <= bound
    assert np.exp(f.landscape.logs(np.array([start]))[1][0]) == pytest.approx(bound, rel=1e-9)


def test_the_rise_beyond_a_singularity_is_needed():
    """Past the essential singularity at 1, |f| is tiny near the axis and grows on the way up."""
    f = some_integrand([1.0], [9.0])
    start, grid = 1.5 + 0.2j, np.linspace(0.0, 50.0, 5001)
    size = np.abs(direct(f, start + 1j * grid))
    integral = np.sum(size) * (grid[1] - grid[0])
    without_rise = float(abs(f.numerator(acb(start)))) * 10 / 0.2
    assert without_rise < integral / 2 < float(f.straight_up(start))


@pytest.mark.parametrize("columns", [1, 2, 3])
def test_balls_hold_the_integrand(columns):
    """The mean value form and the direct one, on balls of all sizes, on both sides of every scale."""
    rng = np.random.default_rng(columns)
    f = some_integrand([0.5, -0.4, 1e-9], [0.1, 0.2, 0.05], columns)
    held = 0
    for _ in range(300):
        centre = complex(rng.normal() * 4, rng.uniform(0.01, 8))
        radius = centre.imag * 10 ** rng.uniform(-6, 0)
        image = f.enclosure(acb(arb(centre.real, radius), arb(centre.imag, 0.99 * radius)), True)
        inside = centre + radius * complex(rng.uniform(-1, 1), rng.uniform(-0.99, 0.99))
        value = f.enclosure(acb(inside), True)
        assert complex(value.mid()) == pytest.approx(direct(f, inside), rel=1e-9)
        if image.is_finite():
            assert image.overlaps(value)
            held += 1
    assert held > 200


def test_no_finite_value_where_f_is_not_analytic():
    f = some_integrand([0.5, -0.4], [0.1, 0.2])
    around = [acb(arb(x, 0.1), arb(0.0, 0.1)) for x in (3.0, 1.95, -2.05, -2.5, 0.0)]
    assert [f.enclosure(ball, True).is_finite() for ball in around] == [False, False, False, False, True]


def test_a_poor_basis_costs_width_not_truth(monkeypatch):
    """Residuals are measured: the interval widens to hold the value that the perturbed numbers alone exclude."""
    basis = np.array([[1.0, 0, 0], [2, 1, 0], [-1, 3, 1]])
    laws = basis @ PAIR[0], basis @ PAIR[1] @ basis.T, basis @ basis.T
    proposed = _ball_linalg._proposed_basis
    widths = []
    for noise in (1e-9, 1e-7, 1e-5):

        def rough(cov_p, cov_q, noise=noise):
            rows = proposed(cov_p, cov_q).tolist()
            return arb_mat(
                [[x * (1 + noise * ((i + 2 * j) % 3 - 1)) for j, x in enumerate(r)] for i, r in enumerate(rows)]
            )

        monkeypatch.setattr(_ball_linalg, "_proposed_basis", rough)
        with ctx.workprec(256):
            balls = diagonalise(*(as_balls(x, "law") for x in laws))
        lower, upper = interval_of(balls)
        assert holds((lower, upper))
        widths.append(upper - lower)
        trusting = DiagonalPair([x.mid() for x in balls.excess], [n.mid() for n in balls.gap], 1, arb(0))
        assert not holds(interval_of(trusting))
    assert 1e-9 < widths[0] < widths[1] < widths[2] < 1.0


@pytest.mark.parametrize("d", [1, 3, 8])
def test_basis_resolves_clusters(d):
    """Eigenvalues equal, or one part in 10^14 apart, in a dense basis: residuals at the working precision."""
    rng = np.random.default_rng(d)
    root = np.tril(rng.integers(-3, 4, size=(d, d)), -1) + 3.0 * np.eye(d)
    cov_q = root @ root.T
    bump = rng.normal(size=(d, d)) * 1e-14
    for cov_p in (2 * cov_q, 0.5 * cov_q + bump + bump.T):
        with ctx.workprec(256):
            pair = diagonalise(as_balls(np.ones(d), "gap"), as_balls(cov_p, "p"), as_balls(cov_q, "q"))
            assert float(pair.slack.rad()) < 1e-65
            assert max(float(x.rad()) for x in pair.excess) < 1e-65
        exact = (cov_p == 2 * cov_q).all()
        assert all(x.contains(1) if exact else abs(x + 0.5) < 1e-12 for x in pair.excess)


def test_bracket_of_a_misscaled_basis(monkeypatch):
    """In one dimension the bracket must hold the true ratio and gap; here only cov_q is far from the identity."""
    scale = 1 + 1e-3
    monkeypatch.setattr(_ball_linalg, "_proposed_basis", lambda cov_p, cov_q: arb_mat([[scale]]))
    with ctx.workprec(256):
        pair = diagonalise(arb_mat([[3, 4]]), arb_mat([[1024]]), arb_mat([[1]]))
    assert pair.excess[0].contains(1023)
    assert pair.gap[0].contains(25)
    rho = scale**2 - 1
    assert float(pair.slack.rad()) == pytest.approx(np.log((1 + rho) / (1 - rho)), rel=1e-7)
    assert (pair.slack.mid(), pair.columns) == (0, 2)


def test_bracket_of_a_basis_that_misses_cov_p(monkeypatch):
    """A turned basis: in it Q is exact and P is not diagonal, relative to its own small eigenvalue."""
    turn = 1e-3
    basis = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    monkeypatch.setattr(_ball_linalg, "_proposed_basis", lambda cov_p, cov_q: arb_mat(basis.tolist()))
    cov_p = np.diag([0.5, 0.25])
    with ctx.workprec(256):
        pair = diagonalise(arb_mat([[3], [4]]), as_balls(cov_p, "cov_p"), as_balls(np.eye(2), "cov_q"))
    turned = basis.T @ cov_p @ basis
    size = np.sqrt(np.diag(turned))
    relative = turned / np.outer(size, size) - np.eye(2)
    rho = np.linalg.norm(relative)
    assert float(pair.slack.rad()) == pytest.approx(np.log((1 + rho) / (1 - rho)), rel=1e-7)


def test_slack_widens_the_interval(monkeypatch):
    """Slack s: every log t within 2 s, and the value itself within s."""
    slack, epsilon = 1e-3, CASE["epsilon"]
    exact = [arb(x) - 1 for x in CASE["variance"]], [arb(m) ** 2 for m in CASE["mean"]]
    lower, upper = interval_of(DiagonalPair(*exact, 1, arb(0, slack)))
    assert lower <= enclose_pair(*PAIR, epsilon + 2 * slack)[0] - slack
    assert upper >= enclose_pair(*PAIR, epsilon - 2 * slack)[1] + slack
    assert upper - lower < 20 * slack
    monkeypatch.setattr(_ball_hockey_stick, "_at_saddle", lambda cumulant, u: arb(-1))
    assert interval_of(DiagonalPair(*exact, 1, arb(0, slack))) == pytest.approx([-1 - slack, -1 + slack], rel=1e-9)
