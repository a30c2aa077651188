"""Two Gaussian laws, exactly: hockey-stick divergences, trade-off curve, Rényi divergences, certified intervals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from linear._checks import frozen, integer, real_array
from linear.contour import Curve, Estimate
from linear.divergences import Divergences, within_tolerance
from linear.whitened import EPS, FloatArray, Whitened, definite_root, whiten, whiten_again, whiten_diagonal

_SYMMETRY = 1e-10
_ANY_SHAPE = tuple(range(9))
_STEPS = 100
_NEWTON_STEPS = 40  # then the bracket is halved: far beyond the tail the slope may be all rounding
Found = TypeVar("Found", bound=Estimate)


class GaussianPair:
    """Two laws P and Q on R^(d, C): C independent Gaussian columns that share one covariance.

    Parameters
    ----------
    mean_p, mean_q : (d,) or (d, C)
    cov_p, cov_q : (d, d)
        Symmetric, positive definite. ``cov_p`` may have coordinates of variance exactly zero (rows of zeros); P and Q
        are mutually singular then.

    Raises
    ------
    TypeError, ValueError
        For arrays that are not real, finite and of matching shapes, and covariances that are not symmetric, or not
        positive definite to double precision.

    Notes
    -----
    The inputs are taken as exact, and every method keeps an account of its error: the rounding of each sum, the last
    change of the quadrature, and what the rounding of the whitened numbers makes of the result. A logarithm or a
    divergence is returned if that is at most 1e-9, or 1e-12 of its size where that is more; failing this, the pair is
    whitened once more in multiprecision; failing this too, FloatingPointError says so. The account is an estimate;
    ``enclosure`` certifies.

    ``reverse=True`` exchanges P and Q: forward is the divergence of P from Q.
    """

    mean_p: FloatArray
    cov_p: FloatArray
    mean_q: FloatArray
    cov_q: FloatArray
    _whitened: Whitened
    _divergences: Divergences
    _transform: FloatArray | None

    def __init__(self, mean_p: ArrayLike, cov_p: ArrayLike, mean_q: ArrayLike, cov_q: ArrayLike) -> None:
        self._set_laws(mean_p, cov_p, mean_q, cov_q)
        if self._singular:
            random = np.diag(self.cov_p) > 0.0
            definite_root("cov_p", self.cov_p[np.ix_(random, random)])
            definite_root("cov_q", self.cov_q)
            return
        laws = self._laws()
        with np.errstate(all="ignore"):  # what overflows is found not to be finite
            diagonal, swapped = whiten_diagonal(*laws), whiten_diagonal(*laws[2:], *laws[:2])
            if diagonal is None:
                self._whitened, self._transform = whiten(*laws)
            else:
                self._whitened = diagonal
            self._divergences = Divergences(self._whitened, swapped)

    @classmethod
    def from_whitened(
        cls, whitened: Whitened, mean_p: ArrayLike, cov_p: ArrayLike, mean_q: ArrayLike, cov_q: ArrayLike
    ) -> GaussianPair:
        """A pair whose whitened numbers are known better than rounded means and covariances can tell.

        Divergences follow ``whitened``; ``sample`` and ``enclosure`` follow the means and covariances.
        """
        pair = cls.__new__(cls)
        pair._set_laws(mean_p, cov_p, mean_q, cov_q)
        columns = pair._laws()[0].shape[1]
        if whitened.columns != columns:
            raise ValueError(f"whitened.columns = {whitened.columns}: must be {columns}, the columns of mean_p")
        pair._singular = False
        pair._whitened = whitened
        pair._divergences = Divergences(whitened)
        return pair

    def _set_laws(self, mean_p: ArrayLike, cov_p: ArrayLike, mean_q: ArrayLike, cov_q: ArrayLike) -> None:
        self.mean_p = real_array("mean_p", mean_p, dimensions=(1, 2))
        self.mean_q = real_array("mean_q", mean_q, dimensions=(1, 2))
        if self.mean_p.size == 0:
            raise ValueError(f"mean_p has shape {self.mean_p.shape}: must not be empty")
        if self.mean_q.shape != self.mean_p.shape:
            raise ValueError(f"mean_q has shape {self.mean_q.shape}: must be {self.mean_p.shape}, that of mean_p")
        self.cov_p = _covariance("cov_p", cov_p, len(self.mean_p))
        self.cov_q = _covariance("cov_q", cov_q, len(self.mean_p))
        self._singular = bool((np.diag(self.cov_p) == 0.0).any())
        self._transform = None

    def _laws(self) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        order = len(self.mean_p)
        return self.mean_p.reshape(order, -1), self.cov_p, self.mean_q.reshape(order, -1), self.cov_q

    @property
    def whitened(self) -> Whitened:
        """The numbers the divergences come from. ValueError where P has a coordinate of variance zero."""
        if self._singular:
            raise ValueError("cov_p has a zero on its diagonal: P has no density, so the pair no whitened form")
        return self._whitened

    def log_hockey_stick(self, epsilon: ArrayLike, reverse: bool = False) -> Any:
        """Natural logarithm of ``H_{e^epsilon}(P||Q) = sup_S P(S) - e^epsilon Q(S)``, -inf where that is zero.

        For any real epsilon, scalar or array; the result has its shape. By a contour integral, in closed form if the
        covariances are equal, and for epsilon < 0 by
        ``H_{e^epsilon}(P||Q) = 1 - e^epsilon + e^epsilon H_{e^-epsilon}(Q||P)`` (all terms are positive).
        FloatingPointError where the error may exceed 1e-9 and 1e-12 of the logarithm.
        """
        values = real_array("epsilon", epsilon, dimensions=_ANY_SHAPE)
        if self._singular:
            return _shaped(np.zeros(values.shape))
        flat = values.ravel()
        result = self._accurate("epsilon", flat, lambda exact: exact.log_hockey_stick(flat, reverse))
        return _shaped(result.value.reshape(values.shape))

    def delta(self, epsilon: ArrayLike) -> Any:
        """The larger of both directions: the least delta for which P and Q are (epsilon, delta)-close."""
        values = real_array("epsilon", epsilon, dimensions=_ANY_SHAPE)
        if self._singular:
            return _shaped(np.ones(values.shape))
        flat = values.ravel()
        result = self._accurate("epsilon", flat, lambda exact: exact.log_delta(flat))
        return _shaped(np.exp(result.value).reshape(values.shape))

    def epsilon(self, delta: ArrayLike) -> Any:
        """The smallest epsilon >= 0 with ``delta(epsilon) <= delta``, rounded up by the estimated error.

        delta in [0, 1], scalar or array; inf where no epsilon will do.
        """
        values = real_array("delta", delta, dimensions=_ANY_SHAPE)
        outside = (values < 0.0) | (values > 1.0)
        if outside.any():
            raise ValueError(f"delta = {values[outside].flat[0]}: must lie between 0 and 1")
        each = [self._epsilon(float(one)) for one in values.ravel()]
        return _shaped(np.array(each).reshape(values.shape))

    def tradeoff(self, alpha: ArrayLike, reverse: bool = False) -> Any:
        """``T(P, Q)(alpha) = inf {1 - E_Q f : 0 <= f <= 1, E_P f <= alpha}``, by the Neyman-Pearson test.

        alpha in [0, 1], scalar or array. The tolerance holds for the logarithm of the result.
        """
        values = real_array("alpha", alpha, dimensions=_ANY_SHAPE)
        outside = (values < 0.0) | (values > 1.0)
        if outside.any():
            raise ValueError(f"alpha = {values[outside].flat[0]}: must lie between 0 and 1")
        if self._singular:
            return _shaped(np.zeros(values.shape))
        flat = values.ravel()
        result = self._accurate("alpha", flat, lambda exact: exact.log_tradeoff(flat, reverse))
        return _shaped(np.exp(result.value).reshape(values.shape))

    def renyi(self, order: ArrayLike, reverse: bool = False) -> Any:
        """``log E_Q (dP/dQ)^order / (order - 1)`` for order > 0, inf where it is infinite.

        Order 1 is the Kullback-Leibler divergence, order inf the supremum of ``log dP/dQ``.
        """
        values = np.asarray(order)
        endless = np.isposinf(values) if values.dtype.kind in "buif" else np.zeros(values.shape, dtype=bool)
        values = np.where(endless, np.inf, real_array("order", np.where(endless, 1.0, values), dimensions=_ANY_SHAPE))
        if (values <= 0.0).any():
            raise ValueError(f"order = {values.min()}: must be positive")
        if self._singular:
            return _shaped(np.full(values.shape, np.inf))
        flat = values.ravel()
        result = self._accurate("order", flat, lambda exact: exact.renyi(flat, reverse))
        return _shaped(result.value.reshape(values.shape))

    def kl(self, reverse: bool = False) -> float:
        """The Kullback-Leibler divergence ``E_P log dP/dQ``."""
        return float(self.renyi(1.0, reverse))

    def sample(self, size: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """Independent draws of P and of Q, each (size, d) or (size, d, C)."""
        count = integer("size", size, minimum=1)
        shape = (count, *self.mean_p.shape)
        draws = []
        for mean, cov in ((self.mean_p, self.cov_p), (self.mean_q, self.cov_q)):
            random = np.diag(cov) > 0.0
            root = np.zeros_like(cov)
            root[np.ix_(random, random)] = definite_root("a covariance", cov[np.ix_(random, random)])
            noise = rng.standard_normal(shape)
            draws.append(mean + np.einsum("ij,nj...->ni...", root, noise, optimize=True))
        return draws[0], draws[1]

    def enclosure(self, epsilon: float, reverse: bool = False) -> tuple[float, float]:
        """A certified interval for ``log_hockey_stick(epsilon, reverse)``, with ends rounded outward to doubles."""
        from linear.enclosure import enclose_pair

        mean_p, cov_p, mean_q, cov_q = self._laws()
        return enclose_pair(mean_p, cov_p, mean_q, cov_q, epsilon, reverse=reverse)

    def _accurate(
        self,
        name: str,
        arguments: FloatArray,
        evaluate: Callable[[Divergences], Found],
        good: Callable[[Found], NDArray[np.bool_]] = lambda found: within_tolerance(found.value, found.error),
    ) -> Found:
        """Values within tolerance, after a second whitening if need be; FloatingPointError if that is not enough."""
        while True:
            with np.errstate(all="ignore"):  # what is not finite is not within tolerance
                found = evaluate(self._divergences)
                poor = ~good(found)
            if not poor.any():
                return found
            if self._transform is None:
                break
            self._whitened = whiten_again(self._transform, *self._laws())
            self._divergences = Divergences(self._whitened)
            self._transform = None
        worst = int(np.flatnonzero(poor)[0])
        value, error = found.value[worst], found.error[worst]
        if np.isfinite(error):
            reason = f"found {value:.6g}, but it may be off by {error:.2g}: more than 1e-9 and 1e-12 of it"
        else:
            reason = "the result hangs on the rounding of the laws, or the integral did not converge"
        raise FloatingPointError(f"{name} = {arguments[worst]}: {reason}")

    def _epsilon(self, delta: float) -> float:
        if delta == 1.0 or (not self._singular and self._divergences.equal):
            return 0.0
        # One of two different Gaussian laws has an unbounded density in the other: no epsilon makes delta zero.
        if delta == 0.0 or self._singular:
            return np.inf
        # The direction without an upper end first: at its epsilon the other one mostly has nothing left.
        with np.errstate(all="ignore"):
            first = bool(np.isfinite(self._divergences.supremum(False).value[0]))
            return self._raised(self._raised(0.0, delta, first), delta, not first)

    def _raised(self, start: float, delta: float, reverse: bool) -> float:
        """The smallest epsilon from start on where, in one direction, log H plus its error is at most log delta."""
        target, low, high, epsilon = np.log(delta), start, np.inf, start
        typical = self._divergences.typical(reverse)
        for step in range(_STEPS):
            at = self._curve(epsilon, reverse, target)
            error, slope = float(at.error[0]), float(at.slope[0])
            excess = float(at.value[0]) + error - target
            if excess <= 0.0:
                high = epsilon
                if epsilon == start or excess >= -3.0 * error - 4.0 * EPS * abs(target):
                    return high
            else:
                low = epsilon
            newton = epsilon - (excess + error) / slope if slope < 0.0 else np.nan
            if not np.isfinite(high):
                # Where H is still 1 but for rounding its slope says nothing of how far the target is.
                newton = min(newton, 8.0 * max(low, typical))
            if low < newton < high and step < _NEWTON_STEPS:
                epsilon = newton
            elif not np.isfinite(high):
                epsilon = 8.0 * max(low, typical)
            elif 4.0 * low < high:
                epsilon = np.sqrt(max(low, 1e-6 * high)) * np.sqrt(high)
            else:
                epsilon = 0.5 * (low + high)
            if epsilon in (low, high):
                return high
        raise FloatingPointError(f"delta = {delta}: the search for epsilon stopped between {low} and {high}")

    def _curve(self, epsilon: float, reverse: bool, floor: float) -> Curve:
        where = np.array([epsilon])

        def evaluate(exact: Divergences) -> Curve:
            return exact.hockey_stick(where, reverse, floor)

        def good(curve: Curve) -> NDArray[np.bool_]:
            """The logarithm within tolerance, or near enough for an inverse to 1e-10 of itself."""
            enough = np.isfinite(curve.error) & (curve.error <= 1e-10 * epsilon * np.abs(curve.slope))
            return within_tolerance(curve.value, curve.error) | enough

        return self._accurate("epsilon", where, evaluate, good)


def _covariance(name: str, value: ArrayLike, order: int) -> FloatArray:
    cov = real_array(name, value, dimensions=(2,))
    if cov.shape != (order, order):
        raise ValueError(f"{name} has shape {cov.shape}: must be {(order, order)}, the rows of mean_p twice")
    variance = np.diag(cov)
    if (variance < 0.0).any():
        raise ValueError(f"{name} has {variance.min()} on its diagonal: a variance must not be negative")
    deviation = np.sqrt(variance)
    if (np.abs(cov - cov.T) > _SYMMETRY * deviation[:, None] * deviation).any():
        raise ValueError(f"{name} must be symmetric; its largest asymmetry is {np.abs(cov - cov.T).max()}")
    if cov[variance == 0.0].any():
        raise ValueError(f"{name} has a variance of zero but covariances that are not: must be positive semidefinite")
    return cov if (cov == cov.T).all() else frozen(0.5 * (cov + cov.T))


def _shaped(values: FloatArray) -> Any:
    """A scalar for a scalar."""
    return values[()] if values.ndim == 0 else values
