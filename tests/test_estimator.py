"""The scikit-learn estimator that forgets: scikit-learn's own checks, and what its certificates promise."""

import math
import pickle
import subprocess
import sys

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator, check_estimators_data_not_an_array

import linear
from bounds import RidgeUnlearner

# scikit-learn's checks that do not run, and why; anything else that is skipped or fails is a failure here.
NOT_APPLICABLE = {
    "check_array_api_input": "needs SCIPY_ARRAY_API and an array-API library; the estimator works on NumPy arrays",
    "check_regressor_data_not_an_array": "half of it needs pandas; the half that does not is run below",
}


def data(seed=0, n=60, p=4, outputs=None):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, p))
    shape = (p,) if outputs is None else (p, outputs)
    targets = features @ rng.normal(size=shape)
    return features, targets + 0.1 * rng.normal(size=targets.shape)


def quick(**changes):
    return RidgeUnlearner(**{"learn_steps": 40, "unlearn_steps": 5, "random_state": 0, **changes})


@pytest.mark.parametrize(
    "estimator", [RidgeUnlearner(), RidgeUnlearner(learn_steps=100, method="coupling")], ids=["default", "coupling"]
)
def test_scikit_learn_checks(estimator):
    results = check_estimator(estimator, on_fail=None, on_skip=None)
    failed = {r["check_name"]: r["exception"] for r in results if r["status"] in ("failed", "xfail")}
    skipped = {r["check_name"] for r in results if r["status"] == "skipped"}
    assert failed == {}
    assert skipped <= set(NOT_APPLICABLE)
    assert sum(r["status"] == "passed" for r in results) >= 50


def test_the_half_of_the_skipped_check_that_applies():
    features, targets = data()
    check_estimators_data_not_an_array("RidgeUnlearner", RidgeUnlearner(), features, targets, "NotAnArray")


def test_importing_bounds_stays_light():
    code = "import bounds, sys; assert not {'sklearn', 'linear', 'scipy'} & set(sys.modules); bounds.RidgeUnlearner"
    subprocess.run([sys.executable, "-c", code], check=True)
    import bounds

    assert "RidgeUnlearner" in dir(bounds)
    with pytest.raises(AttributeError, match="module 'bounds' has no attribute 'Other'"):
        bounds.Other  # noqa: B018


def test_it_learns_the_ridge_solution_up_to_its_noise():
    features, targets = data(outputs=2)
    model = quick(learn_noise=0.0, learn_steps=2000).fit(features, targets)
    problem = linear.RidgeProblem(features, targets, ridge=1.0)
    np.testing.assert_allclose(model.coef_, problem.minimiser.T, rtol=1e-9)
    assert model.score(features, targets) > 0.99
    one = quick(learn_noise=0.0, learn_steps=2000).fit(features, targets[:, 0])
    np.testing.assert_allclose(one.coef_, problem.minimiser[:, 0], rtol=1e-9)
    assert one.predict(features).shape == (60,)


def test_it_works_in_scikit_learn_tools():
    features, targets = data()
    model = make_pipeline(StandardScaler(), quick())
    assert cross_val_score(model, features, targets, cv=3).min() > 0.9
    assert clone(quick(ridge=2.0)).get_params()["ridge"] == 2.0


def test_forgetting_is_certified_and_true():
    features, targets = data(outputs=2)
    model = quick(learn_noise=0.02).fit(features, targets)
    for index, epsilon in ((3, 1.0), ([10, 11], 0.5), (0, 2.0)):
        before = model.coef_
        certificate = model.forget(index, epsilon=epsilon, delta=1e-4)
        assert certificate.holds(epsilon, math.log(1e-4))
        assert not np.array_equal(model.coef_, before)
        exact = linear.sequential_deletion_pair(
            linear.RidgeProblem(features, targets, ridge=1.0),
            linear.Schedule(
                step_size=model.step_size_, learn_steps=40, unlearn_steps=5, learn_noise=0.02, unlearn_noise=0.0
            ),
            model.forgotten_,
            unlearn_noise=model.unlearn_noise_,
        )
        assert float(exact.delta(epsilon)) <= 1e-4
    assert model.forgotten_ == [(3,), (10, 11), (0,)]


def test_the_second_request_is_charged_for_the_first():
    """Two copies of a row: the second deletion must hide what both taught."""
    features, targets = data(n=12)
    features[1], targets[1] = features[0], targets[0]
    both = quick(learn_noise=0.0).fit(features, targets)
    both.forget(0, epsilon=1.0, delta=1e-3)
    both.forget(1, epsilon=1.0, delta=1e-3)
    alone = quick(learn_noise=0.0).fit(np.delete(features, 0, 0), np.delete(targets, 0, 0))
    alone.forget(0, epsilon=1.0, delta=1e-3)
    assert both.unlearn_noise_[1] > 1.2 * alone.unlearn_noise_[0]


def test_a_request_that_needs_no_noise():
    """The learning noise suffices at some shares of delta for the sensitivity event, not at others."""
    features, targets = data()
    model = quick().fit(features, targets)
    certificate = model.forget(1, epsilon=1.0, delta=1e-3)
    assert model.unlearn_noise_ == [0.0]
    assert certificate.holds(1.0, math.log(1e-3))


def test_after_forgetting_the_weights_follow_the_rows_left():
    features, targets = data(n=30)
    targets = targets.copy()
    targets[5] = 40.0
    model = quick(learn_noise=1e-4, learn_steps=400, unlearn_steps=400).fit(features, targets)
    model.forget(5, epsilon=2.0, delta=1e-3)
    left = linear.RidgeProblem(features, targets, ridge=1.0).without(5).minimiser[:, 0]
    learned = linear.RidgeProblem(features, targets, ridge=1.0).minimiser[:, 0]
    assert np.linalg.norm(model.coef_ - left) < 0.05 * np.linalg.norm(learned - left)


def test_randomness():
    features, targets = data()
    first, second = quick().fit(features, targets), quick().fit(features, targets)
    np.testing.assert_array_equal(first.coef_, second.coef_)
    first.forget(0, epsilon=1.0, delta=1e-3)
    second.forget(0, epsilon=1.0, delta=1e-3)
    np.testing.assert_array_equal(first.coef_, second.coef_)
    fresh = [quick(random_state=None).fit(features, targets).coef_ for _ in range(2)]
    assert not np.array_equal(*fresh)
    np.random.seed(0)  # noqa: NPY002 - the global stream must have no say
    again = quick(random_state=None).fit(features, targets).coef_
    np.random.seed(0)  # noqa: NPY002
    assert not np.array_equal(again, quick(random_state=None).fit(features, targets).coef_)
    state = [quick(random_state=np.random.RandomState(3)).fit(features, targets).coef_ for _ in range(2)]
    np.testing.assert_array_equal(*state)
    loaded = pickle.loads(pickle.dumps(first))
    loaded.forget(1, epsilon=1.0, delta=1e-3)
    first.forget(1, epsilon=1.0, delta=1e-3)
    np.testing.assert_array_equal(loaded.coef_, first.coef_)


def test_refitting_starts_afresh():
    features, targets = data()
    model = quick().fit(features, targets)
    learned = model.coef_
    model.forget(0, epsilon=1.0, delta=1e-3)
    model.fit(features, targets)
    np.testing.assert_array_equal(model.coef_, learned)
    assert model.forgotten_ == [] and model.unlearn_noise_ == []


@pytest.mark.parametrize(
    ("index", "target", "error", "message"),
    [
        (4, {}, ValueError, "index = 4: was forgotten before"),
        ([1, 4], {}, ValueError, "index = 4: was forgotten before"),
        (60, {}, ValueError, r"= 60: must be below 60"),
        (-1, {}, ValueError, "= -1: must be at least 0"),
        ([1, 1], {}, ValueError, "names point 1 twice"),
        ([], {}, TypeError, "index = .*: must be a row number or a sequence"),
        (1.0, {}, TypeError, "index = 1.0: must be a row number or a sequence"),
        (1, {"epsilon": -1.0}, ValueError, "epsilon = -1.0: must be finite and not negative"),
        (1, {"delta": 0.0}, ValueError, "delta = 0.0: must lie strictly between 0 and 1"),
    ],
)
def test_refusals_leave_the_model_as_it_was(index, target, error, message):
    features, targets = data()
    model = quick().fit(features, targets)
    model.forget(4, epsilon=1.0, delta=1e-3)
    weights, noise = model.coef_, list(model.unlearn_noise_)
    with pytest.raises(error, match=message):
        model.forget(index, **{"epsilon": 1.0, "delta": 1e-3, **target})
    np.testing.assert_array_equal(model.coef_, weights)
    assert model.forgotten_ == [(4,)] and model.unlearn_noise_ == noise


def test_bad_parameters_and_too_early_calls():
    features, targets = data()
    with pytest.raises(NotFittedError):
        RidgeUnlearner().forget(0, epsilon=1.0, delta=1e-3)
    assert not hasattr(RidgeUnlearner(), "coef_")
    with pytest.raises(ValueError, match="method = 'least': must be one of"):
        quick(method="least").fit(features, targets)
    with pytest.raises(ValueError, match="unlearn_steps = 0: must be at least 1"):
        quick(unlearn_steps=0).fit(features, targets)
    with pytest.raises(ValueError, match="ridge = 0"):
        quick(ridge=0.0).fit(features, targets)
