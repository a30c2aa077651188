"""Remark 4.5: the exact minimiser after a deletion, and what moving to it does and does not give."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import sympy

import linear
from linear.langevin import exact_law_map

from ..algebra import vanishes
from ..claim import Claim, Mutant
from ..court import Court
from ..families import ridge
from ..families.ridge import RidgeInstance
from ..legs import Comparison, Symbolic
from ..verdict import Truth


def problems(court: Court, rng: np.random.Generator) -> Iterator[RidgeInstance]:
    for instance in ridge.instances(60 * court.effort, rng):
        if float(instance.problem.leverage([instance.index])[0]) < 0.999:
            yield instance


def true_size(instance: RidgeInstance) -> Truth:
    """|W*_{-i} - W*| by solving both normal equations by least squares on the stacked data."""
    problem = instance.problem

    def solve(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        root = math.sqrt(problem.ridge) * np.eye(problem.n_features)
        stacked = np.vstack([x, root]), np.vstack([y, np.zeros((problem.n_features, problem.n_outputs))])
        return np.linalg.lstsq(*stacked, rcond=None)[0]

    kept = np.arange(problem.n_points) != instance.index
    moved = solve(problem.features[kept], problem.targets[kept]) - solve(problem.features, problem.targets)
    size = float(np.linalg.norm(moved))
    scale = float(np.linalg.norm(problem.minimiser)) + size
    return Truth.of(size, min(0.5, 1e-11 * scale / size)) if size > 0 else Truth(-math.inf, -math.inf)


def sherman_morrison(leverage_sign: float = -1.0, *, reduced: bool = False, plain: bool = False) -> Callable:
    """|H^{-1} x (x'W* - y')| / (1 - h), one ingredient altered."""

    def promise(instance: RidgeInstance) -> float:
        problem, x = instance.problem, instance.problem.features[instance.index]
        hessian = problem.features.T @ problem.features + problem.ridge * np.eye(problem.n_features)
        weights = np.linalg.solve(hessian, problem.features.T @ problem.targets)
        leverage = float(x @ np.linalg.solve(hessian, x))
        if reduced:
            hessian = hessian - np.outer(x, x)
        direction = np.linalg.solve(hessian, x)
        residual = x @ weights - problem.targets[instance.index]
        size = float(np.linalg.norm(direction) * np.linalg.norm(residual))
        return size if plain else size / (1 + leverage_sign * leverage)

    return promise


def symbolic_step(sign: int) -> sympy.Expr:
    """First coordinate of W*_{-i} - W* - H^{-1} x (x'W* - y)/(1 -+ h), two features, everything symbolic."""
    a, b, d, x1, x2, y, b1, b2 = sympy.symbols("a b d x1 x2 y b1 b2")
    hessian, x, right = sympy.Matrix([[a, b], [b, d]]), sympy.Matrix([x1, x2]), sympy.Matrix([b1, b2])
    weights = hessian.LUsolve(right)
    without = (hessian - x * x.T).LUsolve(right - y * x)
    leverage = (x.T * hessian.LUsolve(x))[0]
    claimed = hessian.LUsolve(x) * ((x.T * weights)[0] - y) / (1 + sign * leverage)
    return sympy.together((without - weights - claimed)[0])


def shifted_law(instance: RidgeInstance) -> Truth:
    """Hockey-stick at eps = 0 (total variation) between the learned law moved by W*_{-i} - W* and the reference law.

    No unlearning step, so that both are the laws after T learning steps.
    """
    learned = _after_learning(instance)
    laws = linear.langevin.exact_laws(instance.problem, learned, instance.index)
    move = instance.problem.leave_one_out_minimiser(instance.index) - instance.problem.minimiser
    pair = linear.GaussianPair(laws.mean_p + move, laws.cov_p, laws.mean_q, laws.cov_q)
    return Truth.of_log(float(pair.log_hockey_stick(0.0)), 1e-9)


def _after_learning(instance: RidgeInstance) -> linear.Schedule:
    s = instance.schedule
    return linear.Schedule(
        step_size=s.step_size,
        learn_steps=s.learn_steps,
        unlearn_steps=0,
        learn_noise=s.learn_noise,
        unlearn_noise=0.0,
    )


def mapped_deviation(*, inverse: bool = True, shift: bool = True) -> Callable[[RidgeInstance], Truth]:
    """Largest deviation, relative to the reference law's scale, of the mapped learned law from the reference law."""

    def truth(instance: RidgeInstance) -> Truth:
        matrix, offset = exact_law_map(instance.problem, instance.schedule, instance.index)
        if not inverse:
            matrix = np.asarray(np.linalg.inv(matrix), dtype=np.float64)
        if not shift:
            offset = np.zeros_like(offset)
        learned = linear.langevin.exact_laws(instance.problem, _after_learning(instance), instance.index)
        target = linear.langevin.exact_laws(instance.problem, instance.schedule, instance.index)
        mean = matrix @ learned.mean_p + offset - target.mean_q
        covariance = matrix @ learned.cov_p @ matrix.T - target.cov_q
        scale = np.linalg.norm(target.cov_q)
        size = np.linalg.norm(covariance) / scale + np.linalg.norm(mean) / (
            np.linalg.norm(target.mean_q) + math.sqrt(scale)
        )
        return Truth.of(float(size), 0.0)

    return truth


CLAIMS = (
    Claim(
        id="benarroch2026.remark_4_5.exact_point",
        source="Benarroch, Atif, Cappe 2026, Remark 4.5 (formula derived here)",
        statement="W*_{-i} - W* = H^{-1} x (x'W* - y')/(1 - h), h = x'H^{-1}x.",
        provenance="derived",
        against="two least-squares solutions of the stacked problems",
        promise=sherman_morrison(),
        legs=(
            Comparison(instances=problems, truth=true_size, relation="equal", tolerance=1e-7),
            Symbolic(identities=(("two features, all entries symbolic", vanishes(lambda: symbolic_step(-1))),)),
        ),
        expected="survived",
        mutants=(
            Mutant(name="1+h for 1-h", promise=sherman_morrison(1.0)),
            Mutant(name="1-h dropped", promise=sherman_morrison(plain=True)),
            Mutant(name="Hessian without the row", promise=sherman_morrison(reduced=True)),
        ),
    ),
    Claim(
        id="benarroch2026.remark_4_5.moved_law",
        source="Benarroch, Atif, Cappe 2026, Remark 4.5, read as a statement on the noisy weights",
        statement="Adding W*_{-i} - W* to the learned weights gives exactly the law of learning without the point.",
        provenance="reconstructed",
        against="the total variation between the moved law and the reference law, exact",
        promise=lambda instance: 0.0,
        legs=(Comparison(instances=problems, truth=shifted_law),),
        expected="refuted",
        why="It moves the minimiser, not the law: the covariances differ, and so do the means before convergence.",
        repair="benarroch2026.remark_4_5.exact_law_map",
    ),
    Claim(
        id="benarroch2026.remark_4_5.exact_law_map",
        source="derived here, as the repair of Remark 4.5",
        statement="W -> m' + S'^{1/2} S_T^{-1/2} (W - mu_T) carries the learned law N(mu_T, S_T) exactly to N(m', S').",
        provenance="derived",
        against="mean and covariance of the mapped law, to rounding",
        promise=lambda instance: 1e-8,
        legs=(Comparison(instances=problems, truth=mapped_deviation()),),
        expected="survived",
        mutants=(
            Mutant(name="inverse map", leg=Comparison(instances=problems, truth=mapped_deviation(inverse=False))),
            Mutant(name="mean not moved", leg=Comparison(instances=problems, truth=mapped_deviation(shift=False))),
        ),
    ),
)
