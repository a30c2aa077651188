"""`deep clipping`: accuracy against compute for every unlearning method (Koloskova et al. 2025), with the control.

Protocol. Training rows are split by seed into validation, forget and retain; the test rows are used once, to report. A
budget B is a number of epochs over the retained rows, noisy steps included, and every budget has a learning-rate
schedule of its own horizon. All methods end with the same kind of noiseless fine-tuning, are tuned over equally many
settings on validation, per budget, and share splits and batch orders (paired). Compute-to-target is the least budget,
interpolated in log B, at which the mean test accuracy reaches a target. The control has seen no data before its
fine-tuning: what a certified method gains over it is bounded by total variation (`bounds.clipping`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bounds import clipping as clipping_bounds
from bounds import gaussian_dp
from bounds import output_perturbation as output_bounds
from torch_bridge import methods, statistics
from torch_bridge.batches import ShuffledBatches
from torch_bridge.experiments.problem import Problem, load_problem
from torch_bridge.experiments.store import Arrays, Store, Tick
from torch_bridge.methods import Method
from torch_bridge.network import Examples
from torch_bridge.training import Phase, Plan, Record, Start, train

Array = NDArray[np.float64]
METHODS = (
    "retrain",
    "fine_tune",
    "gradient_clipping",
    "control_of_gradient_clipping",
    "output_perturbation",
    "control_of_output_perturbation",
    "model_clipping",
    "dp_sgd",
)
CERTIFIED = ("gradient_clipping", "output_perturbation", "model_clipping")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that decides the result.

    budgets: epochs. peaks: of the one-cycle fine-tuning, tuned by every method; fine_tune, which has nothing else to
    tune, takes `more_peaks`. clipping: (radius, clip, step_size, penalty, steps) of gradient clipping. models:
    (noise_std, radius) of model clipping. radii: of output perturbation. scales: of the fresh initialisation of
    retraining; 1 is the layers' own. private: (clip, step_size) of DP-SGD, trained for `private_epochs`, for groups of
    `private_forget` of the rows at `private_epsilon`.
    """

    data: str = "digits"
    net: str = "mlp"
    hidden: int = 32
    rows: int | None = None
    test_rows: int | None = None
    seeds: int = 5
    validation: float = 0.1
    forget: float = 0.1
    batch: int = 64
    train_epochs: float = 16.0
    train_peak: float = 1.0
    epsilon: float = 1.0
    delta: float = 1e-5
    budgets: tuple[float, ...] = (0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.7, 8.0)
    peaks: tuple[float, ...] = (0.3, 1.0)
    more_peaks: tuple[float, ...] = (0.01, 0.03, 0.1, 0.2, 0.3, 1.0)
    scales: tuple[float, ...] = (0.5, 1.0, 2.0)
    clipping: tuple[tuple[float, float, float, float, int], ...] = (
        (0.01, 10.0, 1e-4, 750.0, 6),
        (0.01, 100.0, 1e-4, 10.0, 1),
        (1.0, 5.0, 1e-3, 500.0, 12),
    )
    models: tuple[tuple[float, float], ...] = ((0.03, 0.03), (0.1, 0.1), (0.1, 0.195))
    radii: tuple[float, ...] = (0.003, 0.01, 0.03)
    private: tuple[tuple[float, float], ...] = ((0.5, 1.0), (0.5, 4.0), (0.1, 4.0))
    private_epochs: float = 8.0
    private_epsilon: float = 50.0
    private_forget: float = 0.005
    targets: tuple[float, ...] = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9)
    sweep: tuple[float, ...] = (0.1, 1.0, 10.0, 50.0)
    sweep_budget: float = 2.0
    curve_every: float = 0.25
    features: int | None = 512
    transfer_budgets: tuple[float, ...] = (1.0, 2.0, 4.0)
    device: str = "cpu"


SCALES = {
    "smoke": Settings(
        rows=500, test_rows=200, hidden=16, seeds=5, train_epochs=6, budgets=(1.0, 2.0), peaks=(1.0,), more_peaks=(0.1, 0.3),
        scales=(1.0, 2.0), clipping=((0.01, 10.0, 1e-4, 750.0, 2), (0.01, 100.0, 1e-4, 10.0, 1)),
        models=((0.1, 0.1), (0.03, 0.03)), radii=(0.01, 0.03), private=((0.5, 1.0), (0.5, 4.0)), private_epochs=1,
        targets=(0.3, 0.5), sweep=(1.0, 10.0), sweep_budget=1.0, features=64, transfer_budgets=(1.0,),
    ),
    "cpu": Settings(),
    "paper": Settings(
        data="cifar10", net="cifar", batch=128, train_epochs=50, train_peak=0.1,
        budgets=(4, 5.7, 8, 11.3, 16, 22.6, 32, 50), peaks=(0.05, 0.1), more_peaks=(0.003, 0.01, 0.03, 0.05, 0.1, 0.2),
        clipping=((0.1, 100.0, 1e-4, 50.0, 10), (5.0, 10.0, 1e-3, 50.0, 93), (20.0, 10.0, 1e-2, 50.0, 11)),
        models=((0.2, 0.2), (0.5, 0.5), (0.5, 0.975)), radii=(0.01, 0.1, 1.0), private_epochs=50,
        targets=(0.3, 0.4, 0.5, 0.6), sweep_budget=16, curve_every=1, features=512, transfer_budgets=(8, 16, 32, 50),
    ),
}  # fmt: skip

# What changes with the data of a scale: the network and batches of the paper, and shorter budgets.
FOR_DATA: dict[tuple[str, str], dict[str, Any]] = {
    ("cpu", "mnist"): {
        "net": "mnist",
        "batch": 128,
        "train_epochs": 8.0,
        "private_epochs": 2.0,
        "budgets": (0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0),
        "sweep_budget": 1.0,
        "features": None,
    },
}


def run(settings: Settings, data_dir: str | None, store: Store) -> tuple[dict[str, Any], Arrays]:
    """All stages, and what they say: (numbers, arrays)."""
    load = partial(
        load_problem,
        settings.data,
        data_dir,
        rows=settings.rows,
        test_rows=settings.test_rows,
        device=settings.device,
    )
    problem = load(net=settings.net, hidden=settings.hidden)
    numbers, arrays, setup = _compare(problem, settings, settings.budgets, METHODS, store, "")
    more, more_arrays = _sweep_and_curves(setup, numbers, store)
    numbers |= more
    arrays |= more_arrays
    if settings.features is not None:
        moved = load(net="head", random_features=settings.features)
        found, kept, _ = _compare(moved, settings, settings.transfer_budgets, METHODS, store, "transfer_")
        numbers["transfer"] = found | {
            "note": "NOT a reproduction: fixed random features stand in for a pretrained backbone, which is not at hand"
        }
        arrays |= {f"transfer_{name}": value for name, value in kept.items()}
    return numbers, arrays


# ----------------------------------------------------------------------------------------------------------- set-up


@dataclass(frozen=True, eq=False)
class Setup:
    """What all methods share: splits by seed as masks (seeds, n), the trained models, how many steps an epoch has."""

    problem: Problem
    settings: Settings
    retain: Tensor
    validation: Tensor
    original: Tensor
    private: list[Tensor]
    private_methods: list[Method]

    @property
    def epoch(self) -> float:
        """Steps per epoch over the retained rows."""
        return int(self.retain[0].sum()) / self.settings.batch

    @property
    def seeds(self) -> list[int]:
        """Of the unlearning runs: batches and noise, other ones than in training."""
        return [1000 + seed for seed in range(self.settings.seeds)]

    def steps(self, budget: float) -> int:
        """Steps a budget buys, at least 1."""
        return max(1, round(budget * self.epoch))


@dataclass(frozen=True)
class Candidate:
    """One setting of one method: how it is made around its fine-tuning, and where its runs start."""

    label: str
    peak: float
    noisy_steps: int
    make: Callable[[Phase], Method]
    start: Callable[[Setup], Tensor | None]


def _splits(problem: Problem, settings: Settings) -> tuple[Tensor, Tensor, Tensor]:
    """Masks (seeds, n): retain, validation, forget."""
    total = len(problem.labels)
    held, gone = round(settings.validation * total), round(settings.forget * total)
    masks = torch.zeros((3, settings.seeds, total), dtype=torch.bool)
    for seed in range(settings.seeds):
        order = torch.as_tensor(np.random.default_rng([7, seed]).permutation(total))
        masks[1, seed, order[:held]] = True
        masks[2, seed, order[held : held + gone]] = True
        masks[0, seed, order[held + gone :]] = True
    return masks[0], masks[1], masks[2]


def _private_methods(settings: Settings, size: int) -> list[Method]:
    rate = settings.batch / size
    return [
        methods.dp_training(
            epsilon=settings.private_epsilon,
            delta=settings.delta,
            group=max(1, round(settings.private_forget * size)),
            examples=size,
            clip=clip,
            step_size=step_size,
            steps=max(1, round(settings.private_epochs / rate)),
            rate=rate,
        )
        for clip, step_size in settings.private
    ]


def _prepare(problem: Problem, settings: Settings, tick: Tick) -> Arrays:
    """The models to unlearn from, trained on retain and forget rows, plainly and privately; their test accuracy."""
    retain, _, forget = _splits(problem, settings)
    members = retain | forget
    size = int(members[0].sum())
    steps = max(1, round(settings.train_epochs * size / settings.batch))
    phase = methods.finish(steps=steps, peak=settings.train_peak, batches=ShuffledBatches(size=settings.batch))
    plans = [Plan(start=Start(kind="fresh"), phases=(phase,)), *(m.plan for m in _private_methods(settings, size))]
    vectors = []
    for number, plan in enumerate(plans):
        made = train(problem.network, problem.train, plan, seeds=range(settings.seeds), members=members)
        vectors.append(made.vectors)
        tick(number + 1, len(plans))
    accuracies = [_accuracies(problem, one, problem.test) for one in vectors]
    return {"vectors": torch.stack(vectors).cpu().numpy(), "accuracy": np.stack(accuracies)}


def _candidates(setup: Setup) -> dict[str, list[Candidate]]:
    """All settings of all methods: equally many of each."""
    settings = setup.settings
    batches = ShuffledBatches(size=settings.batch)
    budget: dict[str, Any] = {"epsilon": settings.epsilon, "delta": settings.delta}
    found: dict[str, list[Candidate]] = {name: [] for name in METHODS}

    def original(setup: Setup) -> Tensor:
        return setup.original

    def nothing(setup: Setup) -> None:
        return None

    for peak in settings.peaks:
        for scale in settings.scales:

            def scaled(setup: Setup, scale: float = scale) -> Tensor:
                network = setup.problem.network
                return torch.stack([scale * network.initial(seed) for seed in setup.seeds])

            # Start from what is given, so that the initialisation can be scaled; it has seen no data.
            found["retrain"].append(Candidate(f"scale {scale:g}", peak, 0, _retrain, scaled))
        for radius, clip, step_size, penalty, steps in settings.clipping:
            make = partial(
                methods.gradient_clipping,
                **budget,
                radius=radius,
                clip=clip,
                step_size=step_size,
                penalty=penalty,
                steps=steps,
                batches=batches,
            )
            label = f"radius {radius:g}, clip {clip:g}, step {step_size:g}, penalty {penalty:g}, {steps} steps"
            found["gradient_clipping"].append(Candidate(label, peak, steps, partial(_after, make), original))
            # The control makes no gradient steps before its fine-tuning, and gets no more compute for that.
            control = partial(_control, make)
            found["control_of_gradient_clipping"].append(Candidate(label, peak, steps, control, nothing))
        for radius in settings.radii:
            make = partial(methods.output_perturbation, **budget, radius=radius)
            found["output_perturbation"].append(
                Candidate(f"radius {radius:g}", peak, 0, partial(_after, make), original)
            )
            control = partial(_control, make)
            found["control_of_output_perturbation"].append(Candidate(f"radius {radius:g}", peak, 0, control, nothing))
        for noise, radius in settings.models:
            make = partial(
                methods.model_clipping,
                **budget,
                radius=radius,
                noise_std=noise,
                step_size=0.1,
                penalty=0.0,
                batches=batches,
            )
            steps = make().noisy_steps
            label = f"noise {noise:g}, radius {radius:g}, {steps} steps"
            found["model_clipping"].append(Candidate(label, peak, steps, partial(_after, make), original))
        for number, (clip, step_size) in enumerate(settings.private):

            def private(setup: Setup, number: int = number) -> Tensor:
                return setup.private[number]

            found["dp_sgd"].append(Candidate(f"clip {clip:g}, step {step_size:g}", peak, 0, methods.fine_tune, private))
    found["fine_tune"] = [
        Candidate(f"peak {peak:g}", peak, 0, methods.fine_tune, original) for peak in settings.more_peaks
    ]
    return found


def _after(make: Callable[..., Method], after: Phase) -> Method:
    return make(after=after)


def _control(make: Callable[..., Method], after: Phase) -> Method:
    return methods.noise_only(make(after=after))


def _retrain(after: Phase) -> Method:
    return Method(name="retrain", plan=Plan(phases=(after,)), epsilon=0.0, delta=0.0)


# -------------------------------------------------------------------------------------------------------- the grid


def _one(
    setup: Setup, candidate: Candidate, budget: float, records: dict[str, Record] | None = None
) -> tuple[Tensor, dict[str, tuple[Array, Array]]] | None:
    """Final vectors (seeds, d) and records (steps, values), or None where the noisy steps alone exceed the budget."""
    left = setup.steps(budget) - candidate.noisy_steps
    if left < 1:
        return None
    after = methods.finish(steps=left, peak=candidate.peak, batches=ShuffledBatches(size=setup.settings.batch))
    plan = candidate.make(after).plan
    made = train(
        setup.problem.network,
        setup.problem.train,
        plan,
        seeds=setup.seeds,
        starts=candidate.start(setup),
        members=setup.retain,
        records=records,
    )
    found = {name: (made.record_steps[name].numpy(), values.numpy()) for name, values in made.records.items()}
    return made.vectors, found


def _grid(setup: Setup, candidates: list[Candidate], budgets: tuple[float, ...], tick: Tick) -> Arrays:
    """Accuracies (settings, budgets, seeds) on validation and test; NaN where a budget is too small."""
    shape = (len(candidates), len(budgets), setup.settings.seeds)
    validation, test = np.full(shape, np.nan), np.full(shape, np.nan)
    for i, candidate in enumerate(candidates):
        for j, budget in enumerate(budgets):
            made = _one(setup, candidate, budget)
            if made is not None:
                validation[i, j] = _accuracies(setup.problem, made[0], setup.problem.train, setup.validation)
                test[i, j] = _accuracies(setup.problem, made[0], setup.problem.test)
            tick(i * len(budgets) + j + 1, len(candidates) * len(budgets))
    return {"validation": validation, "test": test}


def _accuracies(problem: Problem, vectors: Tensor, examples: Examples, masks: Tensor | None = None) -> Array:
    """Share of right answers (R,), on the examples of each row's mask."""
    right = problem.network.outputs(vectors, examples.inputs).argmax(dim=2) == examples.targets
    if masks is None:
        return right.double().mean(dim=1).cpu().numpy()
    used = masks.to(right.device)
    return ((right & used).sum(dim=1) / used.sum(dim=1)).double().cpu().numpy()


def _compare(
    problem: Problem, settings: Settings, budgets: tuple[float, ...], names: tuple[str, ...], store: Store, prefix: str
) -> tuple[dict[str, Any], Arrays, Setup]:
    """The grid of all methods, the tuned accuracies, the control, and compute to target."""
    prepared = store.stage(f"{prefix}train", partial(_prepare, problem, settings))
    retain, validation, forget = _splits(problem, settings)
    models = [torch.as_tensor(one).to(problem.network.device) for one in prepared["vectors"]]
    private = _private_methods(settings, int((retain | forget)[0].sum()))
    setup = Setup(problem, settings, retain, validation, models[0], models[1:], private)
    candidates = _candidates(setup)
    grids = {name: store.stage(f"{prefix}{name}", partial(_grid, setup, candidates[name], budgets)) for name in names}
    tuned: dict[str, Array] = {}
    table: dict[str, dict[str, Any]] = {}
    for name, grid in grids.items():
        means = np.nan_to_num(grid["validation"].mean(axis=2), nan=-1.0)
        best = means.argmax(axis=0)
        tuned[name] = grid["test"][best, np.arange(len(budgets))]
        table[name] = {
            "test": [_interval(values) for values in tuned[name]],
            "chosen": [f"{candidates[name][i].label}; peak {candidates[name][i].peak:g}" for i in best],
            "settings_tried": len(candidates[name]),
        }
    own = [i for i, candidate in enumerate(candidates["retrain"]) if candidate.label == "scale 1"]
    default = grids["retrain"]["validation"][own].mean(axis=2).argmax(axis=0)
    tuned["retrain_default_init"] = grids["retrain"]["test"][own][default, np.arange(len(budgets))]
    table["retrain_default_init"] = {"test": [_interval(values) for values in tuned["retrain_default_init"]]}
    table["dp_sgd"]["training"] = [
        {"clip": clip, "step_size": step_size, "noise_std": method.noise_std, "steps": method.noisy_steps}
        for method, (clip, step_size) in zip(setup.private_methods, settings.private, strict=True)
    ]
    order = [*names, "retrain_default_init"]
    numbers = {
        "problem": problem.description,
        "budgets": list(budgets),
        "steps_per_epoch": setup.epoch,
        "original_test": _interval(prepared["accuracy"][0]),
        "private_test": [_interval(values) for values in prepared["accuracy"][1:]],
        "methods": table,
        "against_control": _against_control(setup, candidates, grids, budgets),
        "compute_to_target": _compute_to_target(settings.targets, budgets, {name: tuned[name] for name in order}),
    }
    arrays: Arrays = {"test": np.stack([tuned[name] for name in order])}
    for name in names:
        arrays[f"grid_test_{name}"], arrays[f"grid_validation_{name}"] = grids[name]["test"], grids[name]["validation"]
    numbers["method_order"] = order
    return numbers, arrays, setup


def _against_control(
    setup: Setup, candidates: dict[str, list[Candidate]], grids: dict[str, Arrays], budgets: tuple[float, ...]
) -> list[dict[str, Any]]:
    """Per setting: the noise, the guarantee, and the gain over the control beside what total variation allows."""
    settings, rows = setup.settings, []
    after = methods.finish(steps=1)
    for name in ("gradient_clipping", "output_perturbation"):
        for i, candidate in enumerate(candidates[name]):
            method = candidate.make(after)
            gain = grids[name]["test"][i] - grids[f"control_of_{name}"]["test"][i]
            finite = np.isfinite(gain).all(axis=1)
            if name == "gradient_clipping":
                radius, clip, step_size, penalty, steps = settings.clipping[i % len(settings.clipping)]
                allowed = clipping_bounds.gradient_clipping_total_variation(
                    radius=radius,
                    clip=clip,
                    step_size=step_size,
                    penalty=penalty,
                    steps=steps,
                    noise_std=method.noise_std,
                )
            else:
                radius = settings.radii[i % len(settings.radii)]
                allowed = output_bounds.output_perturbation_total_variation(radius=radius, noise_std=method.noise_std)
            rows.append(
                {
                    "method": name,
                    "setting": candidate.label,
                    "peak": candidate.peak,
                    "noise_std": method.noise_std,
                    "noisy_steps": method.noisy_steps,
                    "mu": method.mu,
                    "certifier": method.certifier,
                    "total_variation_allows": allowed,
                    # Mean over the budgets, per seed; then over seeds.
                    "gain": _interval(gain[finite].mean(axis=0)) if finite.any() else None,
                    "largest_gain_at_a_budget": float(gain[finite].mean(axis=1).max()) if finite.any() else None,
                }
            )
    return rows


def _compute_to_target(
    targets: tuple[float, ...], budgets: tuple[float, ...], tuned: dict[str, Array], resamples: int = 1000
) -> dict[str, Any]:
    """Least budget by method and target, and its ratio to retraining's, with bootstrap intervals over the seeds."""
    grid = np.log(np.array(budgets))
    seeds = next(iter(tuned.values())).shape[1]
    chosen = np.random.default_rng(5).integers(0, seeds, (resamples, seeds))

    def reached(means: Array, target: float) -> Array:
        """(…, budgets) -> (…): log of the least budget from which on the curve is reached, interpolated; inf if never."""
        above = means >= target
        first = np.argmax(above, axis=-1)
        before = np.maximum(first - 1, 0)
        high, low = (np.take_along_axis(means, k[..., None], -1)[..., 0] for k in (first, before))
        with np.errstate(invalid="ignore", divide="ignore"):
            share = np.where(first > 0, (target - low) / (high - low), 1.0)
        at = grid[before] + np.clip(share, 0.0, 1.0) * (grid[first] - grid[before])
        return np.where(above.any(axis=-1), at, np.inf)

    found: dict[str, Any] = {}
    for target in targets:
        row = {}
        for name, values in tuned.items():
            means = np.nan_to_num(values, nan=-1.0)
            point = float(np.exp(reached(means.mean(axis=1), target)))
            entry: dict[str, Any] = {"epochs": point, "at_smallest_budget": bool(means.mean(axis=1)[0] >= target)}
            for rival in ("retrain", "retrain_default_init"):
                mine = reached(means[:, chosen].mean(axis=2).T, target)
                other = reached(np.nan_to_num(tuned[rival], nan=-1.0)[:, chosen].mean(axis=2).T, target)
                finite = np.isfinite(mine) & np.isfinite(other)
                if finite.mean() > 0.95:
                    ratios = np.exp(mine[finite] - other[finite])
                    base = float(np.exp(reached(np.nan_to_num(tuned[rival], nan=-1.0).mean(axis=1), target)))
                    lower, upper = np.quantile(ratios, [0.025, 0.975])
                    entry[f"ratio_to_{rival}"] = {
                        "value": point / base,
                        "lower": float(lower),
                        "upper": float(upper),
                        "confidence": 0.95,
                    }
            row[name] = entry
        found[f"{target:g}"] = row
    return found


# ------------------------------------------------------------------------------------------------- sweep and curves


def _sweep_and_curves(setup: Setup, numbers: dict[str, Any], store: Store) -> tuple[dict[str, Any], Arrays]:
    """Accuracy against epsilon at one budget, and single runs of the longest horizon, watched along the way."""
    settings = setup.settings
    candidates = _candidates(setup)
    last = len(settings.budgets) - 1
    position = int(np.argmin(np.abs(np.array(settings.budgets) - settings.sweep_budget)))

    def chosen(name: str, budget: int) -> Candidate:
        label = numbers["methods"][name]["chosen"][budget]
        return next(c for c in candidates[name] if f"{c.label}; peak {c.peak:g}" == label)

    def sweep(tick: Tick) -> Arrays:
        """Every epsilon tuned anew on validation, over the settings as they are and with as much noise as at `epsilon`."""
        values = np.full((len(settings.sweep), len(CERTIFIED), settings.seeds), np.nan)
        noise = np.full(values.shape[:2], np.nan)
        for i, epsilon in enumerate(settings.sweep):
            for j, name in enumerate(CERTIFIED):
                best = -1.0
                for changed in _with_epsilon(setup, epsilon):
                    for candidate in _candidates(changed)[name]:
                        made = _one(changed, candidate, settings.budgets[position])
                        if made is None:
                            continue
                        problem = setup.problem
                        score = _accuracies(problem, made[0], problem.train, setup.validation).mean()
                        if score > best:
                            best, values[i, j] = score, _accuracies(problem, made[0], problem.test)
                            noise[i, j] = candidate.make(methods.finish(steps=1)).noise_std
                tick(i * len(CERTIFIED) + j + 1, len(settings.sweep) * len(CERTIFIED))
        return {"test": values, "noise": noise}

    def curves(tick: Tick) -> Arrays:
        every = max(1, round(settings.curve_every * setup.epoch))
        found: Arrays = {}
        for j, name in enumerate(METHODS):
            watched = Record(
                lambda vectors: torch.as_tensor(_accuracies(setup.problem, vectors, setup.problem.test)), every
            )
            made = _one(setup, chosen(name, last), settings.budgets[last], {"test": watched})
            if made is not None:
                found[f"steps_{name}"], found[f"test_{name}"] = made[1]["test"]
            tick(j + 1, len(METHODS))
        return found

    swept, watched = store.stage("sweep", sweep), store.stage("curves", curves)
    table = [
        {
            "epsilon": epsilon,
            "methods": {
                name: {"test": _interval(swept["test"][i, j]), "noise_std": float(swept["noise"][i, j])}
                for j, name in enumerate(CERTIFIED)
            },
        }
        for i, epsilon in enumerate(settings.sweep)
    ]
    arrays = {f"curve_{name}": value for name, value in watched.items()}
    arrays["sweep_test"] = swept["test"]
    facts = {"epsilon_sweep": {"budget": settings.budgets[position], "rows": table}}
    return facts, arrays


def _with_epsilon(setup: Setup, epsilon: float) -> list[Setup]:
    """The settings at another epsilon: as they are, and with radii and clips grown so that the noise stays what it was."""
    settings = setup.settings
    growth = float(gaussian_dp.mu(epsilon, settings.delta) / gaussian_dp.mu(settings.epsilon, settings.delta))
    grown = replace(
        settings,
        epsilon=epsilon,
        radii=tuple(growth * radius for radius in settings.radii),
        clipping=tuple((growth * c0, growth * c1, g, penalty, t) for c0, c1, g, penalty, t in settings.clipping),
    )
    return [replace(setup, settings=one) for one in (replace(settings, epsilon=epsilon), grown)]


def _interval(values: Array) -> dict[str, float | None]:
    if not np.isfinite(values).all():
        return statistics.Estimate(math.nan, math.nan, math.nan, 0.95).as_json()
    return statistics.t_interval(values).as_json()


def summary(numbers: dict[str, Any]) -> list[str]:
    """What to print at the end."""
    lines = [numbers["problem"], "budgets (epochs): " + ", ".join(f"{b:g}" for b in numbers["budgets"])]
    for name in numbers["method_order"]:
        means = [entry["value"] for entry in numbers["methods"][name]["test"]]
        lines.append(f"  {name:32}" + " ".join("    -" if m is None else f"{m:.3f}" for m in means))
    for target, row in numbers["compute_to_target"].items():
        ratio = row["gradient_clipping"].get("ratio_to_retrain")
        if ratio is not None:
            lines.append(
                f"target {target}: gradient clipping / retraining = {ratio['value']:.2f} [{ratio['lower']:.2f}, "
                f"{ratio['upper']:.2f}] of the compute"
            )
    return lines
