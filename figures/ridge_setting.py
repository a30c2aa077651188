"""The ridge problem that the pictures share: a data set's training rows, the phases and noise of the experiments."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from joblib import Parallel, delayed

import linear
from bounds.deletion.theories import comparison
from linear.datasets import Dataset

from .gallery import Progress, Settings

Item = TypeVar("Item")
Result = TypeVar("Result")
JOBS = 2
_FEW = 4  # items that are not worth starting a second process for

# Phase lengths and noise as in the court: T and K as reported second-hand for the ridge experiments, step 1/L.
RIDGE: dict[str, float | int | str] = {
    "ridge": comparison.RIDGE,
    "learn_steps": comparison.LEARN_STEPS,
    "unlearn_steps": comparison.UNLEARN_STEPS,
    "learn_noise": comparison.NOISE,
    "unlearn_noise": comparison.NOISE,
}
SMOKE: dict[str, float | int | str] = {**RIDGE, "learn_steps": 12, "unlearn_steps": 3}


def problem_and_schedule(settings: Settings, dataset: Dataset) -> tuple[linear.RidgeProblem, linear.Schedule]:
    """Ridge on the training rows with step size 1 / smoothness."""
    problem = comparison.default_problem(dataset, float(settings["ridge"]))
    names = ("learn_steps", "unlearn_steps", "learn_noise", "unlearn_noise")
    return problem, comparison.default_schedule(problem, **{name: settings[name] for name in names})  # type: ignore[arg-type]


def describe(settings: Settings, data: str, step_size: float) -> str:
    """The parameters of `problem_and_schedule` in words; those that `settings` lacks are left out."""
    phases = f"T = {settings['learn_steps']} learning"
    if "unlearn_steps" in settings:
        phases += f" and K = {settings['unlearn_steps']} unlearning"
    noise = f"{settings['learn_noise']:g} (learning)"
    if "unlearn_noise" in settings:
        noise += f" and {settings['unlearn_noise']:g} (unlearning)"
    return (
        f"Ridge on {data.strip('. ')}; penalty {settings['ridge']:g} (not divided by n), step size 1/L = {step_size:.3g}, "
        f"{phases} steps, injected noise {noise} per step"
    )


def learning_only(settings: Settings) -> Settings:
    """The settings without those of unlearning, for pictures in which it plays no part or is what is asked for."""
    return {name: value for name, value in settings.items() if not name.startswith("unlearn_")}


def each(work: Callable[[Item], Result], items: Sequence[Item], progress: Progress) -> list[Result]:
    """work(item) for all items in order, on two processes."""
    results: list[Result] = []
    jobs = JOBS if len(items) > _FEW else 1
    produced: Iterator[Result] = Parallel(n_jobs=jobs, return_as="generator")(delayed(work)(item) for item in items)
    for result in produced:
        results.append(result)
        progress(len(results), len(items))
    return results
