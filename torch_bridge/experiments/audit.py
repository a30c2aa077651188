"""`deep audit`: how far apart are unlearned and reference models at least, point by point, and do hard points show more?

Many models are trained by Langevin steps on all points, from one and the same initialisation, as in the ridge theory: the
noise alone hides a point. For each audited point they are fine-tuned without it (the
unlearned models); as many others are trained without it from the start and continue alike (the reference). A linear
score on the logits of a few probes tells them apart, and `torch_bridge.audit` turns counts into lower bounds: on mu, on
epsilon, on delta. Two halves of the reference models are audited as well: there is nothing to find there.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from torch_bridge import difficulty, statistics
from torch_bridge.audit import Audit, audit_samples
from torch_bridge.batches import FullBatch
from torch_bridge.experiments.problem import Problem, accuracy, mask_without, problem_of
from torch_bridge.experiments.rows import train_rows
from torch_bridge.experiments.store import Arrays, Store, Tick
from torch_bridge.gradients import gradient_norms
from torch_bridge.privacy_loss import privacy_loss
from torch_bridge.steps import StepRule
from torch_bridge.training import Phase, Plan, Record

Array = NDArray[np.float64]
SCORES = ("privacy_loss", "average_gradient_norm", "error_norm", "learning_slowness")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that decides the result.

    runs: models of each kind and point. points: audited ones, crowded towards the hard end of the privacy loss.
    at: unlearning steps after which to audit, the last of them the budget. measured: runs whose gradient norms count.
    neighbours, test_probes: probes beside the point itself.
    """

    data: str = "digits"
    net: str = "mlp"
    hidden: int = 8
    rows: int | None = 150
    test_rows: int | None = 200
    runs: int = 400
    points: int = 16
    learn_steps: int = 100
    at: tuple[int, ...] = (0, 5, 20)
    step_size: float = 0.5
    temperature: float = 0.01
    penalty: float = 0.003
    order: float = 2.0
    thinning: int = 5
    measured: int = 20
    neighbours: int = 3
    test_probes: int = 4
    epsilon: float = 1.0
    delta: float = 1e-5
    confidence: float = 0.95
    shrinkage: float = 0.1
    at_once: int = 400
    device: str = "cpu"


SCALES = {
    "smoke": Settings(rows=60, test_rows=60, hidden=6, runs=60, points=3, learn_steps=30, at=(0, 5), measured=5),
    "cpu": Settings(),
    "paper": Settings(
        data="cifar10", net="cifar", rows=5_000, test_rows=1_000, runs=1_000, points=20, learn_steps=2_000,
        at=(0, 10, 100), step_size=0.05, temperature=0.002, penalty=5e-4, thinning=50, at_once=50,
    ),
}  # fmt: skip


def run(settings: Settings, data_dir: str | None, store: Store) -> tuple[dict[str, Any], Arrays]:
    """All stages, and what they say: (numbers, arrays)."""
    problem = problem_of(settings, data_dir)
    trained = store.stage("train", partial(_train, problem, settings))
    scores, path_mu = _scores(trained, problem, settings)
    points = difficulty.equal_groups(scores["privacy_loss"], size=1, groups=settings.points, crowding=2.0)[:, 0]
    samples = [
        store.stage(f"point_{point}", partial(_samples, problem, settings, trained, int(point), number))
        for number, point in enumerate(points)
    ]
    return _report(problem, settings, trained, scores, path_mu, points, samples)


def _phase(settings: Settings, steps: int) -> Phase:
    rule = StepRule.langevin(step_size=settings.step_size, temperature=settings.temperature, penalty=settings.penalty)
    return Phase(steps=steps, rule=rule, batches=FullBatch())


def _train(problem: Problem, settings: Settings, tick: Tick) -> Arrays:
    """The models of all points; for the first few of them norms, confidence and errors of every point on the way."""
    network, train = problem.network, problem.train
    plan = Plan(phases=(_phase(settings, settings.learn_steps),))

    def watched(vectors: Tensor) -> Tensor:
        probabilities = torch.softmax(network.outputs(vectors, train.inputs), dim=2)
        own = probabilities.gather(2, train.targets.expand(len(vectors), -1)[..., None])[..., 0]
        onehot = torch.nn.functional.one_hot(train.targets, probabilities.shape[2])
        error = torch.linalg.vector_norm(probabilities - onehot, dim=2)
        return torch.stack([gradient_norms(network, vectors, train), own, error], dim=2)

    start = network.initial(0)
    common: dict[str, Any] = {"tick": tick, "at_once": settings.at_once}
    some = train_rows(
        network,
        train,
        plan,
        seeds=range(settings.measured),
        starts=start.expand(settings.measured, -1),
        records=lambda piece: {"watched": Record(watched, settings.thinning)},
        **common,
    )
    others = range(settings.measured, settings.runs)
    rest = train_rows(network, train, plan, seeds=others, starts=start.expand(len(others), -1), **common)
    vectors = torch.cat([some.vectors, rest.vectors])
    values = some.records["watched"].astype(np.float32)
    return {
        "vectors": vectors.cpu().numpy(),
        "steps": some.steps["watched"],
        "norms": values[..., 0],
        "confidence": values[..., 1],
        "error": values[..., 2],
        "test_accuracy": accuracy(network, vectors, problem.test).cpu().numpy(),
    }


def _scores(trained: Arrays, problem: Problem, settings: Settings) -> tuple[dict[str, Array], Array]:
    """Difficulty of all points, and the mu that composing the measured norms suggests for the whole path (an estimate)."""
    kept = trained["steps"] < settings.learn_steps
    norms = np.moveaxis(trained["norms"][kept], 1, 0).astype(float)
    noise = float(_phase(settings, 0).rule.noise_std)  # type: ignore[arg-type]
    loss = privacy_loss(
        norms,
        order=settings.order,
        step_weight=settings.step_size / len(problem.labels),
        noise_std=noise,
        recorded=trained["steps"][kept],
        steps=settings.learn_steps,
    ).values
    early = int(np.argmin(np.abs(trained["steps"] - 0.1 * settings.learn_steps)))
    scores = {
        "privacy_loss": loss,
        "average_gradient_norm": difficulty.average_gradient_norm(norms),
        "error_norm": trained["error"][early].astype(float).mean(axis=0),
        "learning_slowness": difficulty.learning_slowness(np.moveaxis(trained["confidence"], 1, 0).astype(float)),
    }
    # Full batch: P = order * mu^2 / 2.
    return scores, np.sqrt(2 * loss / settings.order)


def _samples(problem: Problem, settings: Settings, trained: Arrays, point: int, number: int, tick: Tick) -> Arrays:
    """Probe logits (times, runs, numbers) of unlearned and reference models of one point."""
    network = problem.network
    probes = _probes(problem, settings, point)
    members = mask_without(len(problem.labels), np.array([[point]])).expand(settings.runs, -1)
    last = settings.at[-1]
    every = int(np.gcd.reduce([step for step in settings.at if step] or [1]))

    def logits(vectors: Tensor) -> Tensor:
        return network.outputs(vectors, probes).flatten(1)

    unlearned = train_rows(
        network,
        problem.train,
        Plan(phases=(_phase(settings, last),)),
        seeds=[1_000_000 * (number + 1) + run for run in range(settings.runs)],
        starts=torch.as_tensor(trained["vectors"]).to(network.device),
        tick=tick,
        members=members,
        records=lambda piece: {"logits": Record(logits, every)},
        at_once=settings.at_once,
    )
    # Independent of the trained models: seeds of their own.
    seeds = [1_000_000 * (number + 1) + 500_000 + run for run in range(settings.runs)]
    without = train_rows(
        network,
        problem.train,
        Plan(phases=(_phase(settings, settings.learn_steps),)),
        seeds=seeds,
        starts=network.initial(0).expand(settings.runs, -1),
        tick=tick,
        members=members,
        at_once=settings.at_once,
    )
    reference = train_rows(
        network,
        problem.train,
        Plan(phases=(_phase(settings, last),)),
        seeds=[seed + 250_000 for seed in seeds],
        starts=without.vectors,
        tick=tick,
        members=members,
        records=lambda piece: {"logits": Record(logits, every)},
        at_once=settings.at_once,
    )
    chosen = [int(np.flatnonzero(unlearned.steps["logits"] == step)[0]) for step in settings.at]
    return {
        "unlearned": unlearned.records["logits"][chosen].astype(np.float32),
        "reference": reference.records["logits"][chosen].astype(np.float32),
    }


def _probes(problem: Problem, settings: Settings, point: int) -> Tensor:
    """The point, its nearest training rows, and the first test rows."""
    rows = problem.train.inputs.flatten(1)
    distances = torch.linalg.vector_norm(rows - rows[point], dim=1)
    near = torch.argsort(distances)[: 1 + settings.neighbours]
    return torch.cat([problem.train.inputs[near], problem.test.inputs[: settings.test_probes]])


def _report(
    problem: Problem,
    settings: Settings,
    trained: Arrays,
    scores: dict[str, Array],
    path_mu: Array,
    points: NDArray[np.int64],
    samples: list[Arrays],
) -> tuple[dict[str, Any], Arrays]:
    options: dict[str, Any] = {
        "epsilon": settings.epsilon,
        "delta": settings.delta,
        "confidence": settings.confidence,
        "shrinkage": settings.shrinkage,
    }
    audits: list[list[Audit]] = []
    nulls: list[Audit] = []
    for one in samples:
        audits.append([audit_samples(p, q, **options) for p, q in zip(one["unlearned"], one["reference"], strict=True)])
        half = settings.runs // 2
        nulls.append(audit_samples(one["reference"][-1][:half], one["reference"][-1][half:], **options))
    mu = np.array([[a.mu for a in row] for row in audits])
    estimated = np.array([[a.estimated_mu for a in row] for row in audits])
    epsilons = np.array([[a.epsilon for a in row] for row in audits])
    own = {name: values[points] for name, values in scores.items()}
    numbers: dict[str, Any] = {
        "problem": problem.description,
        "never_a_certificate": "lower bounds only: what these runs and this score could show",
        "test_accuracy": statistics.t_interval(trained["test_accuracy"].astype(float)).as_json(),
        "at": list(settings.at),
        "points": [
            {
                "index": int(point),
                "label": int(problem.labels[point]),
                **{name: float(values[i]) for name, values in own.items()},
                "path_mu_estimate": float(path_mu[point]),
                "audits": [a.as_json() for a in audits[i]],
                "null": nulls[i].as_json(),
            }
            for i, point in enumerate(points)
        ],
        "most_mu": audits[0][0].most_mu,
        "null_positive": int(sum(a.mu > 0 or a.delta > 0 or a.epsilon > 0 for a in nulls)),
        "null_tried": len(nulls),
        "null_expected_at_most": len(nulls) * (1 - settings.confidence),
        "audited_above_path_estimate": int((mu > path_mu[points][:, None]).sum()),
        "correlations": {
            f"{name}~{kind}_at_{step}": _correlation(own[name], values[:, j])
            for name in SCORES
            for kind, values in (("audited_mu", mu), ("estimated_mu", estimated))
            for j, step in enumerate(settings.at)
        },
    }
    arrays: Arrays = {
        "points": points.astype(np.int32),
        "audited_mu": mu,
        "estimated_mu": estimated,
        "audited_epsilon": epsilons,
        "null_mu": np.array([a.mu for a in nulls]),
        "null_estimated_mu": np.array([a.estimated_mu for a in nulls]),
        "path_mu_estimate": path_mu[points],
    }
    arrays |= {f"score_{name}": values for name, values in own.items()}
    return numbers, arrays


def _correlation(x: Array, y: Array) -> dict[str, float | None]:
    return statistics.rank_correlation(x, y).as_json()


def summary(numbers: dict[str, Any]) -> list[str]:
    """What to print at the end."""
    times = ", ".join(map(str, numbers["at"]))
    lines = [numbers["problem"], f"lower bounds on mu (never a certificate), after {times} steps, and of the null:"]
    for row in numbers["points"]:
        bounds = " ".join(f"{a['mu']:6.3f}" for a in row["audits"])
        loss, null = row["privacy_loss"], row["null"]["mu"]
        lines.append(f"  point {row['index']:5d}  privacy loss {loss:9.3g}  {bounds}  null {null:.3f}")
    found = numbers["correlations"][f"privacy_loss~estimated_mu_at_{numbers['at'][0]}"]
    if found["value"] is not None:
        words = f"{found['value']:.2f} [{found['lower']:.2f}, {found['upper']:.2f}]"
        lines.append(f"privacy loss against estimated mu, rank correlation {words}")
    return lines
