"""`RidgeUnlearner`: a scikit-learn regressor that forgets training points on request, with a certificate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

import linear
from bounds.deletion import REQUEST_METHODS, Certificate, calibrate_requests

Array = NDArray[np.float64]


class RidgeUnlearner(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """Ridge regression by Langevin dynamics (noisy gradient steps) that can forget its training points.

    `fit` makes `learn_steps` steps from zero on |XW - y|^2 / 2 + (ridge / 2) |W|^2, a sum and not a mean, without an
    intercept (add a column of ones to have one; it is penalised like the others). `forget` finds the smallest noise
    that certifies the request and makes `unlearn_steps` steps with it on the rows that are left.

    Parameters
    ----------
    ridge : the penalty, positive, not divided by the number of rows.
    step_size : of every step; 1 / L by default, L the largest curvature of the training data.
    learn_steps, unlearn_steps : of `fit`, and of every call of `forget`; at least 1 each.
    learn_noise : standard deviation of what is added to every weight at each learning step.
    method : certificate, one of `bounds.deletion.REQUEST_METHODS`; "best" takes the smallest.
    random_state : None (fresh noise from the operating system), a seed, a `numpy.random.Generator` or a `RandomState`.
        With a seed the whole run can be repeated, by anyone who knows it: a real deletion needs None.

    Attributes
    ----------
    coef_ : (p,), or (C, p) for targets (n, C): the current weights.
    n_features_in_, feature_names_in_ : as usual.
    step_size_ : the step size used.
    forgotten_ : the requests served, a list of tuples of row numbers (those of `fit`).
    unlearn_noise_ : the noise of each. It depends on the data, the forgotten rows included: publishing it, or the
        certificate, tells something of them.

    Notes
    -----
    The promise of `forget` is on the weights it leaves, against a run that never had any of the rows forgotten so far
    and makes the same later steps: who sees the weights can tell the two apart no better than (epsilon, delta) allows,
    in both directions. It is for requests that do not depend on the noise: somebody who names rows after looking at the
    weights is not covered. It does not cover weights published before: those of before the request know the rows.

    The training rows are kept for later requests; those that were forgotten are kept too, since the certificate of the
    next request is about them as well. `pickle` the estimator only where the data may go.
    """

    def __init__(
        self,
        ridge: float = 1.0,
        *,
        step_size: float | None = None,
        learn_steps: int = 300,
        unlearn_steps: int = 30,
        learn_noise: float = 0.01,
        method: str = "best",
        random_state: Any = None,
    ) -> None:
        self.ridge = ridge
        self.step_size = step_size
        self.learn_steps = learn_steps
        self.unlearn_steps = unlearn_steps
        self.learn_noise = learn_noise
        self.method = method
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> RidgeUnlearner:
        """Learn from X (n, p) and y (n,) or (n, C). Raises ValueError for bad data or parameters."""
        features, targets = validate_data(self, X, y, dtype=np.float64, multi_output=True, y_numeric=True)
        if self.method not in REQUEST_METHODS:
            raise ValueError(f"method = {self.method!r}: must be one of {', '.join(REQUEST_METHODS)}")
        for name in ("learn_steps", "unlearn_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)!r}: must be at least 1")
        problem = linear.RidgeProblem(features, targets, ridge=self.ridge)
        self.step_size_ = 1 / problem.smoothness if self.step_size is None else self.step_size
        self._schedule = linear.Schedule(
            step_size=self.step_size_,
            learn_steps=self.learn_steps,
            unlearn_steps=self.unlearn_steps,
            learn_noise=self.learn_noise,
            unlearn_noise=0.0,
        )
        self._problem = problem
        self._rng = _generator(self.random_state)
        self._flat = np.ndim(targets) == 1
        self.forgotten_: list[tuple[int, ...]] = []
        self.unlearn_noise_: list[float] = []
        self._weights = self._steps(problem, problem.initial, self.learn_steps, self.learn_noise)
        return self

    @property
    def coef_(self) -> Array:
        """The current weights, (p,) or (C, p)."""
        check_is_fitted(self, "_problem")
        return np.array(self._weights[:, 0] if self._flat else self._weights.T)

    def predict(self, X: ArrayLike) -> Array:
        """X W, (n,) or (n, C)."""
        check_is_fitted(self, "_problem")
        features = validate_data(self, X, dtype=np.float64, reset=False)
        predicted: Array = features @ self._weights
        return predicted[:, 0] if self._flat else predicted

    def forget(self, index: int | Sequence[int], *, epsilon: float, delta: float) -> Certificate:
        """Forget one training row, or several at once, and return the certificate that now holds.

        index : row numbers of the data given to `fit`, counted from 0. epsilon, delta : what is promised for all the
        rows forgotten so far, those of earlier calls included, whatever those calls promised then.

        Raises NotFittedError before `fit`; ValueError for a row that is not there or was forgotten before, or a target
        that no noise certifies. The weights are changed only if the request can be served.
        """
        check_is_fitted(self, "_problem")
        group = tuple(int(row) for row in np.atleast_1d(_rows(index)))
        gone = {row for rows in self.forgotten_ for row in rows}
        again = sorted(gone & set(group))
        if again:
            raise ValueError(f"index = {again[0]}: was forgotten before")
        requests = [*self.forgotten_, group]
        noise, certificate = calibrate_requests(
            self._problem,
            self._schedule,
            requests,
            epsilon=epsilon,
            delta=delta,
            earlier_noise=self.unlearn_noise_,
            method=self.method,
        )
        left = self._problem.without_rows(sorted(gone | set(group)))
        self._weights = self._steps(left, self._weights, self.unlearn_steps, noise)
        self.forgotten_, self.unlearn_noise_ = requests, [*self.unlearn_noise_, noise]
        return certificate

    def _steps(self, rows: linear.RidgeProblem, weights: Array, steps: int, noise: float) -> Array:
        for _ in range(steps):
            gradient = rows.features.T @ (rows.features @ weights - rows.targets) + rows.ridge * weights
            weights = weights - self.step_size_ * gradient + noise * self._rng.standard_normal(weights.shape)
        return weights


def _rows(index: int | Sequence[int]) -> NDArray[np.integer]:
    rows = np.asarray(index)
    if rows.dtype.kind not in "iu" or rows.ndim > 1 or rows.size == 0:
        raise TypeError(f"index = {index!r}: must be a row number or a sequence of them")
    return rows


def _generator(random_state: Any) -> np.random.Generator:
    """Fresh noise for None; a stream that belongs to the seed, Generator or RandomState otherwise."""
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(random_state.randint(2**32, size=4, dtype=np.uint32))
    return np.random.default_rng(random_state)
