"""The families: their hypothesis strategies as a user draws from them, worst cases that are reached, rigorous truths."""

import math
from dataclasses import replace

import hypothesis
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bounds import gaussian_dp, interpolation, renyi_dp
from linear import enclosed_chain
from linear.enclosed_chain import enclose_thresholds
from linear.scalar_chain import threshold_policy_value
from paper_checks import Log, falsify, families
from paper_checks.benarroch2026.theorem_4_3 import p1
from paper_checks.families import clipped_chain, contractive, gaussian_renyi, path, ridge

BUILT_IN = ["clipped_chain", "contractive", "gaussian_renyi", "path", "ridge"]


# --- a user's own property tests


@given(families.strategy("contractive"))
def test_a_user_can_test_a_bound_of_their_own_on_drawn_instances(instance):
    def my_mu(instance):  # the optimal shifts, by hand: least slope first
        return interpolation.optimal_shifts(instance.sensitivity, instance.noise_std, instance.contraction).mu

    truth = families.get("contractive").truth(instance)
    mu = my_mu(instance)
    assert mu == 0 or truth.lower <= math.log(mu) + 1e-9


def test_drawn_instances_shrink_to_small_round_ones():
    def find(strategy, wanted):
        return hypothesis.find(strategy, wanted, settings=settings(max_examples=50, database=None))

    smallest = find(families.strategy("contractive"), lambda i: i.steps >= 2 and i.sensitivity[-1] > 0)
    assert smallest.steps == 2 and smallest.noise_std.tolist() == [1, 1] and smallest.sensitivity[0] == 0
    smallest = find(families.strategy("ridge"), lambda i: i.problem.n_features == 2 and i.schedule.learn_noise > 0)
    assert smallest.problem.n_points == 1 and smallest.schedule.learn_steps == smallest.schedule.unlearn_steps == 1
    assert find(families.strategy("path"), lambda i: i.steps > 1).steps == 2
    assert len(find(families.strategy("gaussian_renyi"), lambda i: i.order > 1.2).p.mean) == 1


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_strategy_draws_instances_with_a_truth_and_something_to_climb_on(name):
    family = families.get(name)
    seen, known = [], 0

    @settings(max_examples=40)
    @given(families.strategy(name))
    def draw(instance):
        nonlocal known
        seen.append(instance.kind)
        assert str(instance)
        again = family.with_coordinates(instance, family.coordinates(instance))
        assert len(family.coordinates(again)) == len(family.coordinates(instance))
        try:
            truth = family.truth(instance)
        except FloatingPointError:
            return
        known += 1
        assert truth.lower <= truth.upper

    draw()
    assert known >= 0.9 * len(seen) and "drawn" in seen


@pytest.mark.parametrize("name", BUILT_IN)
def test_families_say_what_they_hold_and_where_bounds_are_tight(name):
    family = families.get(name)
    for word in ("Instance:", "The claim returns", "Truth:", "rror:" if name != "path" else "error", "Tight:"):
        assert word in (family.__doc__ or ""), word
    assert family.holds and family.returns and family.truth_is and family.tight_on


# --- worst cases


def test_contractive_reaches_the_hull_to_nine_digits_from_below_and_above():
    rng = np.random.default_rng(5)
    for instance in [*contractive.edge_cases(), *(contractive.sample(rng) for _ in range(200))]:
        mu = interpolation.optimal_shifts(instance.sensitivity, instance.noise_std, instance.contraction).mu
        factors = contractive.worst_factors(instance)
        assert np.all(factors <= instance.contraction)
        # The pair itself, simulated in its law: gap over deviation.
        gap = variance = 0.0
        for s, std, c in zip(instance.sensitivity, instance.noise_std, factors, strict=True):
            gap, variance = c * gap + s, c * c * variance + std * std
        reached = gap / math.sqrt(variance) if variance else (math.inf if gap else 0.0)
        assert reached == pytest.approx(mu, rel=1e-9)


def test_some_contractive_instances_need_smaller_factors_than_allowed():
    instance = contractive.ContractiveInstance(
        np.array([0.1, 0.2, 1, 0]), np.array([1, 1, 1, 0.5]), np.array([1, 0.9, 0.9, 0.9])
    )
    assert np.any(contractive.worst_factors(instance) < instance.contraction)
    # Reference values of the derivation: hull 0.90230313276428, one shift 0.75701377905847.
    assert contractive.worst_parameter(instance) == pytest.approx(0.90230313276428, rel=1e-13)


def test_ridge_is_attained_where_learning_is_noiseless_and_reaches_its_corners():
    family = families.get("ridge")
    rng = np.random.default_rng(0)
    drawn = [family.sample(rng) for _ in range(200)]
    assert family.edge_cases()[0].kind == "noiseless learning"
    assert family.truth(family.edge_cases()[0]).upper == pytest.approx(p1()(family.edge_cases()[0]).value, abs=1e-9)
    assert {"noiseless learning", "leverage one"} <= {instance.kind for instance in drawn}
    assert max(i.problem.leverage([i.index])[0] for i in drawn) > 0.99 and max(i.epsilon for i in drawn) == 100
    promise = p1()
    lone = [i for i in drawn if i.kind == "noiseless learning" and i.problem.n_points == 1]
    ratios = [family.truth(i).upper - promise(i).value for i in lone]
    assert len(lone) >= 5 and max(ratios) == pytest.approx(0, abs=1e-6)


def test_collinear_triples_of_one_covariance_attain_the_weak_triangle():
    def promise(instance):
        a = instance.order
        first, second = renyi_dp.triangle_orders(order=a)
        return renyi_dp.weak_triangle(
            order=a, first=instance.p.renyi(instance.r, first), second=instance.r.renyi(instance.q, second)
        )

    family = families.get("gaussian_renyi")
    tight = [i for i in family.edge_cases() if i.kind == "attaining"]
    assert len(tight) >= 4
    for instance in tight:
        assert family.truth(instance).lower == pytest.approx(math.log(promise(instance)), abs=1e-12)


# --- the rigorous value of a threshold policy


CHAINS = [
    replace(instance, epsilon=epsilon)
    for instance in clipped_chain.edge_cases()
    if not clipped_chain.is_gaussian(instance) and instance.steps <= 3
    for epsilon in (0.0, 1.5)
]


@pytest.mark.parametrize("instance", CHAINS, ids=str)
def test_the_drift_that_pushes_apart_is_enclosed_around_the_quadrature(instance):
    fast, sure = clipped_chain.truth(instance), clipped_chain.certify(instance)
    assert sure.upper - sure.lower < 1e-11
    assert fast.lower <= sure.upper and sure.lower <= fast.upper


def test_two_steps_against_an_integral_by_mpmath():
    from mpmath import mp, mpf, ncdf, npdf, quad

    thresholds, epsilon = (0.3, 0.9), 0.2
    found = enclose_thresholds(
        radius=1.0, shift=0.25, factor=0.5, noise_std=1.5, epsilon=epsilon, thresholds=np.array(thresholds)
    )
    with mp.workdps(30):

        def beyond(start):
            def density(y):
                after = mpf("0.5") * y + (mpf("0.25") if y > thresholds[0] else -mpf("0.25"))
                return npdf(y, start, mpf("1.5")) * ncdf((after - mpf(thresholds[1])) / mpf("1.5"))

            return quad(density, [-20, mpf(thresholds[0])]) + quad(density, [mpf(thresholds[0]), 20])

        exact = float(mp.log(beyond(mpf("0.75")) - mp.exp(mpf(epsilon)) * beyond(mpf("-0.75"))))
    assert found[0] <= exact <= found[1] or min(abs(exact - end) for end in found) < 1e-13
    assert found[1] - found[0] < 1e-12


@pytest.mark.parametrize("nodes", [8, 10, 12])
def test_too_few_nodes_widen_the_interval_and_never_lose_the_value(nodes, monkeypatch):
    arguments = {"radius": 1.0, "shift": 0.5, "factor": 0.8, "noise_std": 1.0, "epsilon": 1.0}
    thresholds = threshold_policy_value(steps=3, **arguments).thresholds
    best = enclose_thresholds(**arguments, thresholds=thresholds)
    monkeypatch.setattr(enclosed_chain, "_nodes", lambda depth: nodes)
    coarse = enclose_thresholds(**arguments, thresholds=thresholds)
    assert coarse[0] <= best[0] and best[1] <= coarse[1]
    assert coarse[1] - coarse[0] > 1e3 * (best[1] - best[0])


def test_mass_left_out_widens_the_interval_and_never_loses_the_value(monkeypatch):
    arguments = {"radius": 1.0, "shift": 0.5, "factor": 0.8, "noise_std": 1.0, "epsilon": 1.0}
    thresholds = threshold_policy_value(steps=3, **arguments).thresholds
    best = enclose_thresholds(**arguments, thresholds=thresholds)
    monkeypatch.setattr(enclosed_chain, "_NEGLIGIBLE", 8.0)
    coarse = enclose_thresholds(**arguments, thresholds=thresholds)
    assert coarse[0] <= best[0] and best[1] <= coarse[1]
    assert coarse[1] - coarse[0] > 1e3 * (best[1] - best[0])


def test_thresholds_that_attain_nothing_are_refused():
    with pytest.raises(FloatingPointError, match="cannot be told from zero"):
        enclose_thresholds(
            radius=1.0, shift=0.1, factor=1.0, noise_std=1.0, epsilon=1.0, thresholds=np.array([0.0, -8.0])
        )


def test_other_thresholds_attain_less():
    best = threshold_policy_value(radius=1.0, shift=0.5, factor=0.8, steps=3, noise_std=1.0, epsilon=1.0)
    arguments = {"radius": 1.0, "shift": 0.5, "factor": 0.8, "noise_std": 1.0, "epsilon": 1.0}
    top = enclose_thresholds(**arguments, thresholds=best.thresholds)
    for k in range(3):
        for move in (-0.3, 0.3):
            moved = best.thresholds.copy()
            moved[k] += move
            assert enclose_thresholds(**arguments, thresholds=moved)[1] < top[0]


# --- what a violation must pass


def test_a_bound_too_low_for_drifting_chains_only_is_refuted_and_certified():
    def promise(instance):
        # Right after one step and without a drift, far too low elsewhere.
        short = 1.0 if clipped_chain.is_gaussian(instance) else 0.35
        mu = short * clipped_chain.displacement(instance)
        return Log(float(gaussian_dp.log_delta(mu, instance.epsilon)))

    found = falsify(promise, family="clipped_chain", trials=500)
    assert found.status == "refuted" and found.counterexample.certified
    assert found.counterexample.instance.steps == 2 and found.counterexample.instance.clip > 0


def test_grids_alone_refute_nothing():
    bounded = path.switched(2, order=2.0, power=6.0)
    family = families.get("path")
    assert family.certify(bounded).lower < family.truth(bounded).lower
    assert family.certify(bounded).lower == pytest.approx(math.log(2.0 * bounded.gap(0, 0.0) ** 2 / 2), abs=1e-12)
    with pytest.raises(FloatingPointError, match="no rigorous truth"):
        family.certify(replace(bounded, start_std=0.5))

    class OneBoundedPath(families.Family):
        name = "one bounded path"

        def sample(self, rng):
            return bounded

        truth = staticmethod(path.truth)
        certify = staticmethod(path.certify)

    only = OneBoundedPath()
    true = math.exp(path.truth(bounded).lower)
    assert falsify(lambda i: 0.99 * true, family=only, trials=3).status == "undecided"
    assert falsify(lambda i: 0.1 * true, family=only, trials=3).status == "refuted"


@given(families.strategy("gaussian_renyi"))
def test_gaussian_truth_is_never_negative_and_grows_with_the_order(instance):
    higher = gaussian_renyi.truth(replace(instance, order=2 * instance.order))
    assert gaussian_renyi.truth(instance).lower <= higher.upper


@given(st.data())
def test_ridge_float_truth_lies_where_balls_say(data):
    instance = data.draw(families.strategy("ridge"))
    try:
        fast, sure = ridge.truth("both")(instance), ridge.certify("both")(instance)
    except FloatingPointError:
        return
    assert fast.lower <= sure.upper and sure.lower <= fast.upper
