"""Every theory on many training points of one data set: computed, summarised, saved."""

from __future__ import annotations

import csv
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO, StringIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray

import linear
from linear.datasets import Dataset

from .case import Array, Budget, Uniform, build, uniform_facts
from .catalogue import EXACT, THEORIES
from .renyi import per_instance_slope

# As in the docket: phase lengths as reported second-hand for the ridge experiments, step size 1 / smoothness.
LEARN_STEPS, UNLEARN_STEPS = 300, 30
NOISE = 1e-2
RIDGE = 1.0
# Small enough that on digits even the exact laws need more than the schedule gives.
EPSILON, DELTA = 0.1, 1e-5
QUESTIONS = ("noise", "steps")
_PER_CHUNK = 2
_PER_INSTANCE = tuple(theory.name for theory in THEORIES if theory.per_instance)


@dataclass(frozen=True, eq=False)
class Comparison:
    """What each theory asks for: `noise` and `steps` (points, theories), columns in the order of `names`.

    losses (points,): per-instance Rényi loss over the order; leverages (points,). Everything may be inf, nothing nan.
    """

    data: str
    settings: dict[str, float]
    names: tuple[str, ...]
    indices: NDArray[np.int64]
    leverages: Array
    losses: Array
    noise: Array
    steps: Array

    def column(self, question: str, name: str) -> Array:
        """One theory's answers to "noise" or "steps", (points,)."""
        values: Array = getattr(self, question)[:, self.names.index(name)]
        return values

    def ratios(self, question: str, name: str) -> Array:
        """Answers over the exact ones; 1 where neither needs anything, inf where only the theory does."""
        return ratio(self.column(question, name), self.column(question, EXACT.name))


def ratio(asked: Array, exact: Array) -> Array:
    """asked / exact without nan: 0/0 is 1, x/0 and inf/anything are inf."""
    safe = np.divide(asked, exact, out=np.full(asked.shape, np.inf), where=(exact > 0) & np.isfinite(asked))
    return np.where((asked == 0) & (exact == 0), 1.0, safe)


def quartiles(values: Array) -> tuple[float, float, float]:
    """Lower quartile, median, upper quartile as actual values of the sample, so that infinities stay infinities."""
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75], method="inverted_cdf")
    return float(low), float(middle), float(high)


def spread(problem: linear.RidgeProblem, count: int | None) -> NDArray[np.int64]:
    """`count` rows evenly spread over the ranking by leverage, lowest and highest included; None for all."""
    if count is None or count >= problem.n_points:
        return np.arange(problem.n_points)
    order = np.argsort(problem.leverage(), kind="stable")
    return np.sort(order[np.unique(np.linspace(0, len(order) - 1, count).round().astype(int))])


def default_problem(dataset: Dataset, ridge: float = RIDGE) -> linear.RidgeProblem:
    """The ridge problem of a data set's training rows."""
    return linear.RidgeProblem(dataset.train_features, dataset.train_targets, ridge=ridge)


def default_schedule(problem: linear.RidgeProblem, **changes: float) -> linear.Schedule:
    """Step size 1 / smoothness and the module's phases and noise, unless changed."""
    given = {
        "step_size": 1 / problem.smoothness,
        "learn_steps": LEARN_STEPS,
        "unlearn_steps": UNLEARN_STEPS,
        "learn_noise": NOISE,
        "unlearn_noise": NOISE,
    }
    return linear.Schedule(**{**given, **changes})  # type: ignore[arg-type]


class Row(NamedTuple):
    """One training point's answers, theories in the order of _PER_INSTANCE."""

    point: int
    loss: float
    noise: list[float]
    steps: list[float]


def _chunk(
    problem: linear.RidgeProblem,
    schedule: linear.Schedule,
    chunk: Sequence[int],
    budget: Budget,
    uniform: Uniform,
) -> list[Row]:
    rows = []
    for index in chunk:
        case = build(problem, schedule, index, budget=budget, uniform=uniform)
        own = [theory for theory in THEORIES if theory.per_instance]
        noise, steps = [theory.noise(case) for theory in own], [theory.steps(case) for theory in own]
        rows.append(Row(index, per_instance_slope(case), noise, steps))
    return rows


def compare(
    problem: linear.RidgeProblem,
    schedule: linear.Schedule,
    *,
    budget: Budget,
    points: int | None,
    data: str,
    jobs: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Ask every theory about `points` rows (None: all). progress(done, total) is called after every few rows.

    Interrupted (Ctrl-C) after at least one row it returns what is finished; the settings then say "interrupted": 1.
    """
    started = time.perf_counter()
    indices = spread(problem, points)
    leverages = problem.leverage()
    uniform = uniform_facts(problem, schedule, budget)
    chunks = [[int(i) for i in part] for part in np.array_split(indices, -(-len(indices) // _PER_CHUNK))]
    work = (delayed(_chunk)(problem, schedule, chunk, budget, uniform) for chunk in chunks)
    rows: list[Row] = []
    interrupted = False
    try:
        for done in Parallel(n_jobs=jobs, return_as="generator")(work):
            rows += done
            if progress is not None:
                progress(len(rows), len(indices))
    except KeyboardInterrupt:
        if not rows:
            raise
        interrupted = True
    finished = np.array([row.point for row in rows])
    common = build(problem, schedule, rows[0].point, budget=budget, uniform=uniform)
    columns: dict[str, list[Array]] = {question: [] for question in QUESTIONS}
    for theory in THEORIES:
        for question in QUESTIONS:
            if theory.per_instance:
                place = _PER_INSTANCE.index(theory.name)
                answers = np.array([getattr(row, question)[place] for row in rows])
            else:
                answers = np.full(len(rows), getattr(theory, question)(common))
            columns[question].append(answers)
    settings = {
        "epsilon": budget.epsilon,
        "delta": budget.delta,
        "delta_s": budget.delta_s,
        "n_points": problem.n_points,
        "n_features": problem.n_features,
        "n_outputs": problem.n_outputs,
        "ridge": problem.ridge,
        "step_size": schedule.step_size,
        "learn_steps": schedule.learn_steps,
        "unlearn_steps": schedule.unlearn_steps,
        "learn_noise": schedule.learn_noise,
        "unlearn_noise": schedule.unlearn_noise,
        "largest_gradient": uniform.gradient,
        "smoothness": uniform.smoothness,
        "interrupted": float(interrupted),
        "seconds": time.perf_counter() - started,
    }
    return Comparison(
        data=data,
        settings=settings,
        names=tuple(theory.name for theory in THEORIES),
        indices=finished,
        leverages=leverages[finished],
        losses=np.array([row.loss for row in rows]),
        noise=np.column_stack(columns["noise"]),
        steps=np.column_stack(columns["steps"]),
    )


def save(result: Comparison, stem: Path, markdown: str, fits: Mapping[str, Array] | None = None) -> list[Path]:
    """Write stem.npz, stem.csv and stem.md, each by way of a temporary name; returns the paths.

    `fits`: per theory the number of steps that its fitted law predicts at each point; the residuals are saved.
    """
    residuals = {name: result.column("steps", name) - values for name, values in (fits or {}).items()}
    stem.parent.mkdir(parents=True, exist_ok=True)
    packed = BytesIO()
    np.savez(
        packed,
        data=np.array(result.data),
        settings=np.array(json.dumps(result.settings)),
        names=np.array(result.names),
        indices=result.indices,
        leverages=result.leverages,
        losses=result.losses,
        noise=result.noise,
        steps=result.steps,
        **{f"residuals_{name}": values for name, values in residuals.items()},  # type: ignore[arg-type]
    )
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    fields = [f"{question}:{name}" for question in QUESTIONS for name in result.names]
    writer.writerow(["index", "leverage", "loss", *fields, *(f"residual:{name}" for name in residuals)])
    for row in range(len(result.indices)):
        values = [result.leverages[row], result.losses[row], *result.noise[row], *result.steps[row]]
        values += [each[row] for each in residuals.values()]
        writer.writerow([int(result.indices[row]), *(repr(float(value)) for value in values)])
    contents = {".npz": packed.getvalue(), ".csv": text.getvalue().encode(), ".md": markdown.encode()}
    paths = []
    for suffix, content in contents.items():
        path = stem.with_name(stem.name + suffix)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_bytes(content)
        temporary.replace(path)
        paths.append(path)
    return paths


def load(path: Path) -> Comparison:
    """A comparison saved by `save`; ValueError naming the file when it is not one."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            result = Comparison(
                data=str(stored["data"]),
                settings=json.loads(str(stored["settings"])),
                names=tuple(str(name) for name in stored["names"]),
                indices=stored["indices"],
                leverages=stored["leverages"],
                losses=stored["losses"],
                noise=stored["noise"],
                steps=stored["steps"],
            )
    except (KeyError, ValueError, OSError, EOFError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise ValueError(f"{path}: must be the .npz of a comparison ({error})") from error
    shape = (len(result.indices), len(result.names))
    if result.noise.shape != shape or result.steps.shape != shape:
        raise ValueError(f"{path}: noise {result.noise.shape} and steps {result.steps.shape} must both be {shape}")
    return result
