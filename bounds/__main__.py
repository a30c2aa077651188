"""``python -m bounds certify``: the certificate, and the noise, for deleting one training point of a data set."""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

import linear
from bounds.deletion import METHODS, SHARES, Certificate, calibrate, certify
from linear.datasets import Dataset, load


def parser() -> argparse.ArgumentParser:
    """The command line of `certify`."""
    top = argparse.ArgumentParser(
        prog="python -m bounds",
        description="Certificates for deleting one training point from ridge regression trained by Langevin dynamics.",
    )
    verbs = top.add_subparsers(dest="verb", required=True)
    certify_parser = verbs.add_parser("certify", help="certificate and noise for one deletion")
    add_problem_options(certify_parser)
    add_schedule_options(certify_parser)
    add = certify_parser.add_argument
    add("--index", type=int, required=True, help="training point to delete, counted from 0")
    add("--epsilon", type=float, default=1.0)
    add("--delta", type=float, default=1e-5)
    add("--method", choices=METHODS, default="best")
    add("--unlearn-noise", type=float, help="certify this noise instead of finding the smallest that is enough")
    add("--out", type=Path, default=Path("certificate.json"), help="where the certificate is written, as JSON")
    add("--run", action="store_true", help="also learn and unlearn with fresh noise, and save the weights as .npz")
    add("--seed", type=int, help="seed of --run, for a repeatable trial; a real deletion needs fresh randomness")
    return top


def add_problem_options(command: argparse.ArgumentParser) -> None:
    """The options that say which ridge problem, shared by every command on one."""
    add = command.add_argument
    add("--data", default="digits", help="digits (default), mnist, openml-mnist, or a .npz with features and targets")
    add("--data-dir", type=Path, help="folder of the original MNIST IDX files, for --data mnist")
    add("--ridge", type=float, default=1.0, help="penalty, not divided by the number of points")


def add_schedule_options(command: argparse.ArgumentParser) -> None:
    """The options that say how it is learned and unlearned, but for the unlearning noise."""
    add = command.add_argument
    add("--steps", type=int, default=300, help="learning steps T")
    add("--unlearn-steps", type=int, default=30, help="unlearning steps K")
    add("--step-size", type=float, help="default 1/L, L the largest curvature")
    add("--noise", type=float, default=0.01, help="learning noise per step (read by --convention)")
    add("--convention", choices=("injected", "langevin", "gradient"), default="injected")


def problem_of(options: argparse.Namespace) -> tuple[Dataset, linear.RidgeProblem]:
    """The data and the problem that the options name."""
    dataset = load(options.data, options.data_dir)
    return dataset, linear.RidgeProblem(dataset.train_features, dataset.train_targets, ridge=options.ridge)


def schedule_of(options: argparse.Namespace, problem: linear.RidgeProblem, unlearn_noise: float) -> linear.Schedule:
    """The schedule that the options name, with this unlearning noise (read by --convention)."""
    return linear.Schedule(
        step_size=options.step_size if options.step_size is not None else 1 / problem.smoothness,
        learn_steps=options.steps,
        unlearn_steps=options.unlearn_steps,
        learn_noise=options.noise,
        unlearn_noise=unlearn_noise,
        convention=options.convention,
    )


def inputs_hash(problem: linear.RidgeProblem) -> str:
    """SHA-256 of the problem's arrays and penalty."""
    digest = hashlib.sha256()
    for array in (problem.features, problem.targets, problem.initial, np.array([problem.ridge])):
        digest.update(repr(array.shape).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def record(
    problem: linear.RidgeProblem,
    schedule: linear.Schedule,
    index: int,
    certificate: Certificate,
    epsilon: float,
    delta: float,
) -> dict[str, Any]:
    """The certificate as JSON-ready data: what was certified, for which inputs, by which version."""
    try:
        installed = version("unlearncheck")
    except PackageNotFoundError:
        installed = "unknown"
    return {
        "unlearncheck": installed,
        "inputs_sha256": inputs_hash(problem),
        "points": problem.n_points,
        "features": problem.n_features,
        "outputs": problem.n_outputs,
        "ridge": problem.ridge,
        "index": index,
        "step_size": schedule.step_size,
        "learn_steps": schedule.learn_steps,
        "unlearn_steps": schedule.unlearn_steps,
        "learn_noise": schedule.learn_noise,
        "unlearn_noise": schedule.unlearn_noise,
        "method": certificate.method,
        "delta_s": certificate.delta_s,
        "delta": delta,
        "epsilon": epsilon,
        "scope": "one deletion; two-sided; over the noise of learning and unlearning; the noise depends on the data",
    }


def run_chain(problem: linear.RidgeProblem, schedule: linear.Schedule, index: int, seed: int | None) -> dict[str, Any]:
    """Learn on all rows, unlearn without row `index`, with fresh noise; the weights after each phase."""
    rng = np.random.default_rng(seed)
    weights = problem.initial.copy()
    phases = (
        ("learned", problem, schedule.learn_steps, schedule.learn_noise),
        ("unlearned", problem.without(index), schedule.unlearn_steps, schedule.unlearn_noise),
    )
    saved = {}
    for name, rows, steps, noise in phases:
        for _ in range(steps):
            gradient = rows.features.T @ (rows.features @ weights - rows.targets) + rows.ridge * weights
            weights = weights - schedule.step_size * gradient + noise * rng.standard_normal(weights.shape)
        saved[name] = weights
    return saved


def _replace_with(path: Path, write: Any) -> None:
    """Write under a temporary name in the same folder, then rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    write(temporary)
    os.replace(temporary, path)


def accuracy(dataset: Dataset, weights: np.ndarray) -> str:
    """Test accuracy, or test mean squared error where the targets are no classes."""
    if dataset.test_features is None or len(dataset.test_features) == 0:
        return "no test rows"
    predicted = dataset.test_features @ weights
    if dataset.classes is not None:
        hits = dataset.classes[np.argmax(predicted, axis=1)] == dataset.test_labels
        return f"test accuracy {float(np.mean(hits)):.4f}"
    return f"test mean squared error {float(np.mean((predicted - dataset.test_targets) ** 2)):.6g}"


def candidates(
    problem: linear.RidgeProblem, schedule: linear.Schedule, options: argparse.Namespace
) -> Iterator[Certificate]:
    """The certificate for every share of delta that calibration tries."""
    for share in SHARES:
        yield certify(problem, schedule, options.index, delta_s=share * options.delta, method=options.method)


def run(options: argparse.Namespace) -> int:
    """Certify (and with --run perform) one deletion; returns the exit status."""
    dataset, problem = problem_of(options)
    if not 0 <= options.index < problem.n_points:
        raise ValueError(f"index = {options.index}: must be at least 0 and below {problem.n_points}, the points")
    schedule = schedule_of(options, problem, options.unlearn_noise or 0.0)
    wanted = {"epsilon": options.epsilon, "delta": options.delta, "method": options.method}
    waiting, epsilon, certificate = Console(stderr=True), options.epsilon, None
    if options.unlearn_noise is None:
        with waiting.status("finding the smallest noise that certifies the target"):
            schedule = schedule.with_unlearn_noise(calibrate(problem, schedule, options.index, **wanted))
            tried = candidates(problem, schedule, options)
            certificate = next((one for one in tried if one.holds(epsilon, math.log(options.delta))), None)
    if certificate is None:
        with waiting.status("certifying"):
            tried = candidates(problem, schedule, options)
            epsilon, certificate = min(((one.epsilon(options.delta), one) for one in tried), key=lambda pair: pair[0])
    found = record(problem, schedule, options.index, certificate, epsilon, options.delta)
    print(
        f"data          {dataset.name}, {problem.n_points} points, {problem.n_features} features; {dataset.description}"
    )
    print(f"delete        training point {options.index}")
    print(f"schedule      T={schedule.learn_steps}, K={schedule.unlearn_steps}, step size {schedule.step_size:.6g}")
    print(f"learn noise   {schedule.learn_noise:.9g} per step (injected)")
    print(f"unlearn noise {schedule.unlearn_noise:.9g} per step (injected)")
    print(f"certificate   epsilon {found['epsilon']:.9g} at delta {options.delta:g}, both directions, {options.method}")
    _replace_with(options.out, lambda path: path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8"))
    print(f"written       {options.out}")
    if options.run:
        weights = run_chain(problem, schedule, options.index, options.seed)
        target = options.out.with_suffix(".npz")
        _replace_with(target, lambda path: _save(path, weights))
        print(f"weights       {target} (learned: {accuracy(dataset, weights['learned'])}; ", end="")
        print(f"unlearned: {accuracy(dataset, weights['unlearned'])})")
    print("The noise depends on the data: publishing it tells something of the deleted point.")
    return 0


def _save(path: Path, weights: dict[str, np.ndarray]) -> None:
    with path.open("wb") as file:
        np.savez(file, learned=weights["learned"], unlearned=weights["unlearned"])


def main(arguments: list[str] | None = None) -> int:
    """Entry point; a wrong call ends in exit status 2 with one line saying what is wrong."""
    options = parser().parse_args(arguments)
    try:
        return run(options)
    except (ValueError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
