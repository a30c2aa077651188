"""`deep difficulty`: which points are hard to unlearn, and do privacy losses know? (Sepahvand et al. 2025, claims R27-R30)

Models are trained by noisy SGD (Langevin steps on Poisson batches) from several seeds. Every training point gets its
scores. For every score the points are sorted and groups of one size are cut from the easiest to the hardest; for each
group models are retrained without it (the oracles, same seeds), and the trained models are fine-tuned on the rest, with
noise ("sgld") and without ("plain"), until the group's mean confidence is the oracles'. On the way: loss barriers between
original, unlearned and retrained models, and a membership attack per point.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from torch_bridge import difficulty, membership, statistics
from torch_bridge.barriers import barrier, line_losses
from torch_bridge.batches import PoissonBatches
from torch_bridge.experiments.problem import Problem, accuracy, label_probabilities, mask_without, problem_of
from torch_bridge.experiments.rows import train_rows
from torch_bridge.experiments.store import Arrays, Store, Tick
from torch_bridge.gradients import gradient_norms
from torch_bridge.privacy_loss import PrivacyLoss, privacy_loss
from torch_bridge.steps import StepRule
from torch_bridge.training import Phase, Plan, Record, Start
from torch_bridge.unlearning_steps import steps_to_unlearn

Array = NDArray[np.float64]
SCORES = ("privacy_loss", "average_gradient_norm", "error_norm", "learning_slowness", "random")
ALGORITHMS = ("sgld", "plain")
SETS = ("forget", "retain", "test")
PAIRINGS = ("same_seed", "other_seed")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that decides the result. `early` is the share of training at which EL2N and GraNd look.

    margin: on the group's mean confidence (probability of the own label). group_size: of every group. barrier_rows:
    retained examples on which barriers are measured.
    """

    data: str = "digits"
    net: str = "mlp"
    hidden: int = 32
    rows: int | None = None
    test_rows: int | None = None
    seeds: int = 8
    learn_steps: int = 600
    unlearn_steps: int = 1000
    step_size: float = 0.5
    temperature: float = 0.01
    penalty: float = 0.003
    rate: float = 0.05
    order: float = 8.0
    thinning: int = 30
    early: float = 0.1
    groups: int = 8
    group_size: int = 60
    margin: float = 0.02
    record_every: int = 20
    barrier_points: int = 21
    barrier_rows: int = 300
    at_once: int = 256
    device: str = "cpu"


SCALES = {
    "smoke": Settings(
        hidden=12, rows=400, seeds=5, learn_steps=120, unlearn_steps=60, rate=0.1, thinning=20, groups=4, group_size=20,
        margin=0.08, record_every=10, barrier_rows=60,
    ),
    "cpu": Settings(),
    "paper": Settings(
        data="cifar10", net="cifar", seeds=5, learn_steps=40_000, unlearn_steps=10_000, step_size=0.05, temperature=0.002,
        penalty=5e-4, rate=128 / 50_000, thinning=400, groups=10, group_size=500, record_every=100, barrier_rows=5_000,
        at_once=50,
    ),
}  # fmt: skip


def run(settings: Settings, data_dir: str | None, store: Store) -> tuple[dict[str, Any], Arrays]:
    """All stages, and what they say: (numbers, arrays)."""
    problem = problem_of(settings, data_dir)
    trained = store.stage("train", partial(_train, problem, settings))
    losses = _privacy_losses(trained, problem, settings)
    scores = _scores(trained, problem, settings, losses["used"].values)
    groups = np.stack(
        [
            difficulty.equal_groups(scores[name], size=settings.group_size, groups=settings.groups, crowding=2.0)
            for name in SCORES
        ]
    )
    flat = groups.reshape(-1, settings.group_size)
    oracles = store.stage("retrain", partial(_retrain, problem, settings, flat))
    unlearned = {
        name: store.stage(f"unlearn_{name}", partial(_unlearn, problem, settings, flat, trained, name))
        for name in ALGORITHMS
    }
    lines = store.stage("barriers", partial(_barriers, problem, settings, flat, trained, oracles, unlearned))
    return _report(problem, settings, losses, scores, groups, trained, oracles, unlearned, lines)


# ---------------------------------------------------------------------------------------------------------- stages


def _rule(settings: Settings, algorithm: str = "sgld") -> StepRule:
    temperature = settings.temperature if algorithm == "sgld" else 0.0
    return StepRule.langevin(step_size=settings.step_size, temperature=temperature, penalty=settings.penalty)


def _phase(settings: Settings, steps: int, algorithm: str = "sgld") -> Phase:
    return Phase(steps=steps, rule=_rule(settings, algorithm), batches=PoissonBatches(rate=settings.rate))


def _train(problem: Problem, settings: Settings, tick: Tick) -> Arrays:
    """The original models, with norms, probabilities and correctness of all points along the way."""
    network, train = problem.network, problem.train

    def watched(vectors: Tensor) -> Tensor:
        outputs = network.outputs(vectors, train.inputs)
        probabilities = torch.softmax(outputs, dim=2)
        own = probabilities.gather(2, train.targets.expand(len(vectors), -1)[..., None])[..., 0]
        onehot = torch.nn.functional.one_hot(train.targets, outputs.shape[2])
        error = torch.linalg.vector_norm(probabilities - onehot, dim=2)
        right = (outputs.argmax(dim=2) == train.targets).to(own.dtype)
        return torch.stack([gradient_norms(network, vectors, train), own, right, error], dim=2)

    run = train_rows(
        network,
        train,
        Plan(start=Start(kind="fresh"), phases=(_phase(settings, settings.learn_steps),)),
        seeds=range(settings.seeds),
        tick=tick,
        records=lambda piece: {"watched": Record(watched, settings.thinning)},
        at_once=settings.at_once,
    )
    watched_values = run.records["watched"].astype(np.float32)
    steps = run.steps["watched"]
    return {
        "vectors": run.vectors.cpu().numpy(),
        "steps": steps,
        "norms": watched_values[..., 0],
        "confidence": watched_values[..., 1],
        "right": watched_values[..., 2],
        "error": watched_values[..., 3],
        "test_probability": label_probabilities(network, run.vectors, problem.test).cpu().numpy(),
        "accuracy": np.stack([accuracy(network, run.vectors, part).cpu().numpy() for part in (train, problem.test)]),
    }


def _retrain(problem: Problem, settings: Settings, groups: NDArray[np.int64], tick: Tick) -> Arrays:
    """For every group, models trained without it: their vectors and their probabilities on the group."""
    repeated = np.repeat(groups, settings.seeds, axis=0)
    run = train_rows(
        problem.network,
        problem.train,
        Plan(start=Start(kind="fresh"), phases=(_phase(settings, settings.learn_steps),)),
        seeds=list(range(settings.seeds)) * len(groups),
        tick=tick,
        members=mask_without(len(problem.labels), repeated),
        at_once=settings.at_once,
    )
    own = _on_groups(problem, run.vectors, repeated)
    return {
        "vectors": run.vectors.cpu().numpy(),
        "forget": own.cpu().numpy(),
        "test_probability": label_probabilities(problem.network, run.vectors, problem.test).cpu().numpy(),
        "test_accuracy": accuracy(problem.network, run.vectors, problem.test).cpu().numpy(),
    }


def _unlearn(
    problem: Problem, settings: Settings, groups: NDArray[np.int64], trained: Arrays, algorithm: str, tick: Tick
) -> Arrays:
    """The original models fine-tuned without each group, and the group's probabilities along the way."""
    repeated = np.repeat(groups, settings.seeds, axis=0)
    offset = 10_000 * (1 + ALGORITHMS.index(algorithm))

    def records(piece: slice) -> dict[str, Record]:
        own = repeated[piece]
        return {"forget": Record(lambda vectors: _on_groups(problem, vectors, own), settings.record_every)}

    run = train_rows(
        problem.network,
        problem.train,
        Plan(phases=(_phase(settings, settings.unlearn_steps, algorithm),)),
        seeds=[offset + row for row in range(len(repeated))],
        starts=torch.as_tensor(trained["vectors"]).to(problem.network.device).repeat(len(groups), 1),
        tick=tick,
        members=mask_without(len(problem.labels), repeated),
        records=records,
        at_once=settings.at_once,
    )
    return {
        "vectors": run.vectors.cpu().numpy(),
        "forget": run.records["forget"].astype(np.float32),
        "steps": run.steps["forget"],
        "test_probability": label_probabilities(problem.network, run.vectors, problem.test).cpu().numpy(),
        "test_accuracy": accuracy(problem.network, run.vectors, problem.test).cpu().numpy(),
    }


def _on_groups(problem: Problem, vectors: Tensor, groups: NDArray[np.int64]) -> Tensor:
    """Probability (R, size) that each model gives the own label of the points of its own group (R, size)."""
    chosen = torch.as_tensor(groups).to(vectors.device)
    inputs, targets = problem.train.inputs[chosen], problem.train.targets[chosen]
    outputs = problem.network.outputs(vectors, inputs, batched=True)
    return torch.softmax(outputs, dim=2).gather(2, targets[..., None])[..., 0]


def _barriers(
    problem: Problem,
    settings: Settings,
    groups: NDArray[np.int64],
    trained: Arrays,
    oracles: Arrays,
    unlearned: dict[str, Arrays],
    tick: Tick,
) -> Arrays:
    """Losses (points, groups, seeds, sets) on the lines from the oracles to the original and the unlearned models."""
    rows, seeds = len(groups), settings.seeds
    retained = np.arange(len(problem.labels))
    shared = np.random.default_rng(0).permutation(retained)[: settings.barrier_rows + settings.group_size]
    ends = {"original": np.tile(trained["vectors"], (rows, 1))} | {
        name: unlearned[name]["vectors"] for name in ALGORITHMS
    }
    repeated = np.repeat(groups, seeds, axis=0)
    # The retained sample of a group leaves the group's own points out.
    others = np.stack([shared[~np.isin(shared, group)][: settings.barrier_rows] for group in repeated])
    network, found, done = problem.network, {}, 0

    def mean_losses(vectors: Tensor) -> Array:
        nonlocal done
        done += 1
        tick(done, len(PAIRINGS) * len(ends) * settings.barrier_points)
        parts = [
            -torch.log(_on_groups(problem, vectors, chosen).clamp(min=1e-30)).mean(dim=1)
            for chosen in (repeated, others)
        ]
        parts.append(network.losses(vectors, problem.test).mean(dim=1))
        return torch.stack(parts, dim=1).cpu().numpy().astype(float)

    second = oracles["vectors"].reshape(rows, seeds, -1)
    for pairing in PAIRINGS:
        # The oracle of the same seed shares the initialisation; that of the next seed shares nothing.
        other = second if pairing == "same_seed" else np.roll(second, 1, axis=1)
        oracle = torch.as_tensor(other.reshape(rows * seeds, -1)).to(network.device)
        for name, vectors in ends.items():
            first = torch.as_tensor(vectors).to(network.device)
            losses = line_losses(mean_losses, first, oracle, points=settings.barrier_points)
            found[f"{name}_{pairing}"] = losses.reshape(settings.barrier_points, rows, seeds, len(SETS))
    return found


# ---------------------------------------------------------------------------------------------------------- scores


def _privacy_losses(trained: Arrays, problem: Problem, settings: Settings) -> dict[str, PrivacyLoss]:
    """The privacy loss in use, and the same points at other orders and noises, for the stability of the ranking."""
    rule = _rule(settings)
    kept = trained["steps"] < settings.learn_steps
    norms = np.moveaxis(trained["norms"][kept], 1, 0).astype(float)
    common: dict[str, Any] = {
        "step_weight": settings.step_size / (settings.rate * len(problem.labels)),
        "rate": settings.rate,
        "recorded": trained["steps"][kept],
        "steps": settings.learn_steps,
    }
    noise = float(rule.noise_std)  # type: ignore[arg-type]
    return {
        "used": privacy_loss(norms, order=settings.order, noise_std=noise, **common),
        "order_2": privacy_loss(norms, order=2.0, noise_std=noise, **common),
        "order_32": privacy_loss(norms, order=32.0, noise_std=noise, **common),
        "noise_x10": privacy_loss(norms, order=settings.order, noise_std=10 * noise, **common),
        "noise_x100": privacy_loss(norms, order=settings.order, noise_std=100 * noise, **common),
        "one_run": privacy_loss(norms[:1], order=settings.order, noise_std=noise, **common),
        "other_run": privacy_loss(norms[1:2], order=settings.order, noise_std=noise, **common),
    }


def _scores(trained: Arrays, problem: Problem, settings: Settings, privacy: Array) -> dict[str, Array]:
    norms = np.moveaxis(trained["norms"], 1, 0).astype(float)
    early = int(np.argmin(np.abs(trained["steps"] - settings.early * settings.learn_steps)))
    return {
        "privacy_loss": privacy,
        "average_gradient_norm": difficulty.average_gradient_norm(norms),
        "gradient_norm_early": difficulty.gradient_norm_early(norms, step=early),
        # EL2N from the recorded norms of softmax - one-hot.
        "error_norm": trained["error"][early].astype(float).mean(axis=0),
        "learning_slowness": difficulty.learning_slowness(np.moveaxis(trained["confidence"], 1, 0).astype(float)),
        "final_loss": -np.log(np.maximum(trained["confidence"][-1].astype(float), 1e-30)).mean(axis=0),
        "random": np.random.default_rng(1).random(len(problem.labels)),
    }


# ---------------------------------------------------------------------------------------------------------- report


def _report(
    problem: Problem,
    settings: Settings,
    losses: dict[str, PrivacyLoss],
    scores: dict[str, Array],
    groups: NDArray[np.int64],
    trained: Arrays,
    oracles: Arrays,
    unlearned: dict[str, Arrays],
    lines: Arrays,
) -> tuple[dict[str, Any], Arrays]:
    shape = (len(SCORES), settings.groups, settings.seeds)
    group_privacy = scores["privacy_loss"][groups].mean(axis=2)
    oracle_confidence = oracles["forget"].reshape(*shape, -1).astype(float).mean(axis=3)
    barriers = {name: barrier(values.reshape(len(values), *shape, len(SETS))) for name, values in lines.items()}
    arrays: Arrays = {
        "groups": groups.astype(np.int32),
        "group_privacy_loss": group_privacy,
        "oracle_confidence": oracle_confidence,
        "privacy_loss_variants": np.stack([losses[name].values for name in losses]),
    }
    arrays |= {f"score_{name}": values for name, values in scores.items()}
    for name, both in barriers.items():
        arrays[f"barrier_chord_{name}"], arrays[f"barrier_change_{name}"] = both.above_chord, both.change
        # The lines of the groups found by privacy loss, mean over seeds.
        arrays[f"line_{name}"] = lines[name].reshape(len(lines[name]), *shape, len(SETS))[:, 0].mean(axis=2)
    numbers: dict[str, Any] = {
        "problem": problem.description,
        "accuracy": {
            "train": statistics.t_interval(trained["accuracy"][0].astype(float)).as_json(),
            "test": statistics.t_interval(trained["accuracy"][1].astype(float)).as_json(),
            "retrained_test": statistics.t_interval(
                oracles["test_accuracy"].reshape(-1, settings.seeds).mean(axis=0).astype(float)
            ).as_json(),
        },
        "privacy_loss": losses["used"].as_json(),
        "scores": list(SCORES),
        "score_correlations": {
            f"{a}~{b}": statistics.rank_correlation(scores[a], scores[b], resamples=400).as_json()
            for i, a in enumerate(scores)
            for b in list(scores)[:i]
        },
        "ranking_stability": {
            name: statistics.rank_correlation(losses["used"].values, losses[name].values, resamples=400).as_json()
            for name in losses
            if name not in ("used", "other_run")
        }
        | {
            "between_two_runs": statistics.rank_correlation(
                losses["one_run"].values, losses["other_run"].values, resamples=400
            ).as_json()
        },
        "algorithms": {},
    }
    for name in ALGORITHMS:
        found, more = _unlearning(settings, groups, group_privacy, oracle_confidence, unlearned[name])
        numbers["algorithms"][name] = found | _attack(settings, groups, trained, oracles, unlearned[name])
        arrays |= {f"{key}_{name}": value for key, value in more.items()}
    numbers["barriers"] = {pairing: _barrier_numbers(group_privacy, barriers, pairing) for pairing in PAIRINGS}
    return numbers, arrays


def _unlearning(
    settings: Settings, groups: NDArray[np.int64], group_privacy: Array, oracle: Array, run: Arrays
) -> tuple[dict[str, Any], Arrays]:
    """Steps of every group, the laws they follow, and which score finds the slowest group."""
    shape = (len(SCORES), settings.groups, settings.seeds)
    curves = np.moveaxis(run["forget"].astype(float).mean(axis=2).reshape(-1, *shape), 0, -1)
    per_run, of_mean, unclear = np.full(shape, np.nan), np.full(shape[:2], np.nan), 0
    for where in np.ndindex(shape[:2]):
        try:
            found = steps_to_unlearn(curves[where], run["steps"], oracle[where], margin=settings.margin)
        except ValueError:  # the oracles differ too much among themselves for this margin
            unclear += 1
            continue
        per_run[where], of_mean[where] = found.steps, found.of_mean
    clear = ~np.isnan(of_mean)
    numbers: dict[str, Any] = {
        "budget": settings.unlearn_steps,
        "unclear_groups": unclear,
        "censored_groups": int(np.isinf(of_mean[clear]).sum()),
        "done_at_once": int((of_mean[clear] == 0).sum()),
        "steps_vs_privacy_loss": statistics.rank_correlation(group_privacy[clear], of_mean[clear]).as_json(),
        "test_accuracy": statistics.t_interval(
            run["test_accuracy"].reshape(-1, settings.seeds).mean(axis=0).astype(float)
        ).as_json(),
    }
    try:
        numbers["law"] = statistics.compare_laws(group_privacy[clear], of_mean[clear]).as_json()
        shuffled = np.random.default_rng(2).permutation(group_privacy[clear])
        numbers["law_of_shuffled_losses"] = statistics.compare_laws(shuffled, of_mean[clear]).as_json()
    except ValueError as error:
        numbers["law"] = {"not_fitted": str(error)}
    hardest = np.minimum(per_run[:, -1], settings.unlearn_steps)  # censored runs at the budget: differences only shrink
    numbers["hardest_group"] = {
        name: {
            "steps_of_mean_curve": float(of_mean[i, -1]),
            "steps": _interval(hardest[i]),
            "censored_runs": int(np.isinf(per_run[i, -1]).sum()),
            "privacy_loss_minus_this": _interval(hardest[0] - hardest[i]),
            "shared_with_privacy_loss": float(np.isin(groups[i, -1], groups[0, -1]).mean()),
            "oracle_confidence": float(oracle[i, -1].mean()),
            "confidence_at_start": float(curves[i, -1, :, 0].mean()),
            "confidence_at_end": float(curves[i, -1, :, -1].mean()),
        }
        for i, name in enumerate(SCORES)
    }
    arrays = {
        "steps_per_run": per_run,
        "steps_of_mean": of_mean,
        "curves": curves.mean(axis=2),
        "curve_steps": run["steps"],
    }
    return numbers, arrays


def _attack(
    settings: Settings, groups: NDArray[np.int64], trained: Arrays, oracles: Arrays, run: Arrays
) -> dict[str, Any]:
    """Loss-threshold attack on every group before and after, and on the oracles, where there is nothing to find."""
    shape = (len(SCORES), settings.groups, settings.seeds)

    def losses(probabilities: NDArray[Any]) -> Array:
        return np.asarray(-np.log(np.maximum(probabilities.astype(float), 1e-30)))

    before = losses(run["forget"][0]).reshape(*shape, -1)
    after = losses(run["forget"][-1]).reshape(*shape, -1)
    ideal = losses(oracles["forget"]).reshape(*shape, -1)
    test_before = losses(trained["test_probability"])
    test_after = losses(run["test_probability"]).reshape(*shape, -1)
    test_ideal = losses(oracles["test_probability"]).reshape(*shape, -1)
    table: list[dict[str, Any]] = []
    raised, lowered, points = 0, 0, 0
    for group in range(settings.groups):
        attacks = {
            "before": membership.loss_threshold(before[0, group], test_before),
            "after": membership.loss_threshold(after[0, group], test_after[0, group]),
            "retrained": membership.loss_threshold(ideal[0, group], test_ideal[0, group]),
        }
        table.append(
            {name: {"balanced_accuracy": found.balanced_accuracy, "auc": found.auc} for name, found in attacks.items()}
        )
        change = attacks["after"].member_rate - attacks["before"].member_rate
        raised, lowered, points = (
            raised + int((change > 0).sum()),
            lowered + int((change < 0).sum()),
            points + len(change),
        )
    means = {
        name: float(np.mean([row[name]["balanced_accuracy"] for row in table]))
        for name in ("before", "after", "retrained")
    }
    least = 2 * 0.5**settings.seeds * points
    return {
        "membership": {
            "groups_by_privacy_loss": table,
            "mean_balanced_accuracy": means,
            "points": points,
            "called_member_more_often_after": raised,
            "called_member_less_often_after": lowered,
            "note": f"per point a sign test over {settings.seeds} seeds, times {points} points, is never below {least:.2g}",
        }
    }


def _barrier_numbers(group_privacy: Array, barriers: dict[str, Any], pairing: str) -> dict[str, Any]:
    """Correlation of barriers with group privacy loss, and their change by unlearning, per reading and set."""
    found: dict[str, Any] = {}
    for reading in ("above_chord", "change"):
        values = {name: getattr(barriers[f"{name}_{pairing}"], reading) for name in ("original", *ALGORITHMS)}
        for k, which in enumerate(SETS):
            start = values["original"][..., k]
            found[f"{reading}_{which}"] = {
                "original_mean": float(start.mean()),
                "original_hardest_group": float(start[0, -1].mean()),
                "original_easiest_group": float(start[0, 0].mean()),
                "original_vs_privacy_loss": statistics.rank_correlation(
                    group_privacy.ravel(), start.mean(axis=2).ravel()
                ).as_json(),
                "random_groups_vs_their_number": statistics.rank_correlation(
                    np.arange(group_privacy.shape[1]).astype(float), start[SCORES.index("random")].mean(axis=1)
                ).as_json(),
                # Over seeds: mean over groups, unlearned minus original.
                "change_by_sgld": _interval((values["sgld"][..., k] - start).mean(axis=(0, 1))),
                "change_by_plain": _interval((values["plain"][..., k] - start).mean(axis=(0, 1))),
                "sgld_minus_plain": _interval((values["sgld"][..., k] - values["plain"][..., k]).mean(axis=(0, 1))),
            }
    return found


def _interval(values: Array) -> dict[str, float | None]:
    if not np.isfinite(values).all():
        return statistics.Estimate(math.nan, math.nan, math.nan, 0.95).as_json()
    return statistics.t_interval(values).as_json()


def summary(numbers: dict[str, Any]) -> list[str]:
    """What to print at the end."""
    lines = [numbers["problem"], f"test accuracy {_show(numbers['accuracy']['test'])}"]
    for name, found in numbers["algorithms"].items():
        lines.append(
            f"{name}: steps to unlearn against privacy loss, rank correlation {_show(found['steps_vs_privacy_loss'])}"
        )
        for score, hardest in found["hardest_group"].items():
            lines.append(f"  hardest group by {score}: {_show(hardest['steps'])} steps of {found['budget']}")
    for reading, words in (("above_chord", "above the chord"), ("change", "as a change of loss")):
        found = numbers["barriers"]["same_seed"][f"{reading}_forget"]["original_vs_privacy_loss"]
        lines.append(f"barrier on the forget set {words} against privacy loss: {_show(found)}")
    return lines


def _show(found: dict[str, Any]) -> str:
    if found["value"] is None:
        return "not defined"
    return f"{found['value']:.3g} [{found['lower']:.3g}, {found['upper']:.3g}]"
