"""Checks of somebody's own training loop against the step that the theorems are about.

`check_implementation(step_function, rule, network, examples)` begins runs of the loop, with numbers of its own choosing
(clips that bite and clips that do not, large and small noise), and compares them with `StepRule`. Deterministic checks
compare to rounding; statistical ones share one probability of a false alarm and say what deviation they would see.

The loop is handed over as a function that begins a run: `step_function(rule, seed)` returns `step(vector, inputs,
targets)`, which makes the next step of that run and returns the new vector (d,). How the run keeps its noise, its
momentum or its epochs is its own business: that is what is checked.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from bounds._checks import choice, count, number
from torch_bridge.gradients import clipped_sum
from torch_bridge.network import Examples, Network
from torch_bridge.steps import StepRule

Step = Callable[[Tensor, Tensor, Tensor], Tensor]
StepFunction = Callable[[StepRule, int], Step]

_CHECKS = 8  # statistical checks that share the false-alarm probability
_MISSED = 0.01  # "would see" means: missed with at most this probability, roughly


@dataclass(frozen=True)
class Finding:
    """One check: whether it passed, what was seen, and what it would have seen."""

    name: str
    passed: bool
    seen: str
    would_see: str


@dataclass(frozen=True)
class ImplementationReport:
    """All findings; `passed` if every check did. A pass is evidence from these inputs, not a proof."""

    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        return all(finding.passed for finding in self.findings)

    @property
    def failures(self) -> dict[str, Finding]:
        """The checks that did not pass, by name."""
        return {finding.name: finding for finding in self.findings if not finding.passed}

    def __getitem__(self, name: str) -> Finding:
        return next(finding for finding in self.findings if finding.name == name)

    def __str__(self) -> str:
        rows = []
        for finding in self.findings:
            rows.append(f"{'ok  ' if finding.passed else 'FAIL'} {finding.name}: {finding.seen}")
            rows.append(f"       would see: {finding.would_see}")
        return "\n".join(rows)


def check_implementation(
    step_function: StepFunction,
    rule: StepRule,
    network: Network,
    examples: Examples,
    *,
    reduction: Literal["mean", "sum"] = "mean",
    steps: int | None = None,
    epoch: int | None = None,
    false_alarm: float = 1e-8,
    tolerance: float | None = None,
    seed: int = 0,
) -> ImplementationReport:
    """Compares a training loop with `rule`, one property at a time.

    Parameters
    ----------
    step_function : `step_function(rule, seed)` begins a run and returns `step(vector, inputs, targets) -> vector`.
    rule : the step that is meant. Its step size, penalty, clip, example_clip and radius say which features the loop
        has; the checks change their sizes so that each of them matters. Constant step size and noise.
    network, examples : the model whose gradients the loop uses, and a few examples (at least 2, at most about 100).
    reduction : "mean" if the loop averages the gradients of the examples it is given, "sum" if it adds them up.
    steps : noisy steps that are compared with each other, at least 4; by default 24, and up to 400 for small models.
    epoch : steps after which the loop may begin a new epoch; at least two epochs are then run.
    false_alarm : probability that a right loop fails any of the statistical checks.
    tolerance : relative, of the deterministic checks; by default 1e-9 for float64, 1e-3 for float32.

    Returns
    -------
    ImplementationReport, with the findings "deterministic", "memory", "reduction", "gradient", "clip", "penalty",
    "projection" (as far as the rule has them), and "noise_size", "noise_every_tensor",
    "noise_across_tensors", "noise_fresh", "noise_per_run", "noise_normal", "noise_after_projection".
    """
    for name in ("step_size", "noise_std"):
        if isinstance(getattr(rule, name), tuple):
            raise ValueError(f"rule.{name}: must be constant")
    number("false_alarm", false_alarm, "(0, 1)")
    if steps is None:
        steps = max(24, min(400, 20_000 // network.size))
    steps = max(count("steps", steps, least=4), 2 * count("epoch", epoch or 0))
    if len(examples.inputs) < 2:
        raise ValueError("examples: must be at least 2")
    exact = network.dtype == torch.float64
    probe = _Probe(
        step_function,
        rule,
        network,
        examples.to(network.device),
        choice("reduction", reduction, ("mean", "sum")),
        (1e-9 if exact else 1e-3) if tolerance is None else number("tolerance", tolerance, "(0, 1)"),
        seed,
    )
    findings = [probe.deterministic(), probe.memory(), probe.gradient(), probe.reduction_check()]
    if rule.clip is not None or rule.example_clip is not None:
        findings.append(probe.clip())
    if rule.penalty > 0:
        findings.append(probe.penalty())
    if rule.radius is not None:
        findings.append(probe.projection())
    findings += _noise_findings(probe, steps, false_alarm / _CHECKS)
    return ImplementationReport(tuple(findings))


@dataclass(frozen=True, eq=False)
class _Probe:
    """The loop, and the step it should make without noise."""

    step_function: StepFunction
    rule: StepRule
    network: Network
    examples: Examples
    reduction: str
    tolerance: float
    seed: int

    def begin(self, rule: StepRule, run: int = 0) -> Step:
        step = self.step_function(rule, self.seed + run)
        if not callable(step):
            raise TypeError(f"step_function returned {step!r}: must return a function that makes one step")
        return step

    def step(self, step: Step, vector: Tensor, examples: Examples | None = None) -> Tensor:
        """One step of the loop; the loop gets copies, and must give back a finite vector of the same kind."""
        inputs, targets = self.examples if examples is None else examples
        moved = step(vector.clone(), inputs.clone(), targets.clone())
        if not isinstance(moved, Tensor) or moved.shape != vector.shape:
            raise TypeError(f"step returned {moved!r:.60}: must be a tensor of shape {tuple(vector.shape)}")
        moved = moved.detach().to(vector.device)
        if not bool(torch.isfinite(moved).all()):
            raise FloatingPointError("step returned numbers that are not finite")
        return moved

    def quiet(self, **changes: object) -> StepRule:
        """The rule without noise, and without the features that are not named, so that one is seen at a time."""
        plain = replace(self.rule, noise_std=0.0, penalty=0.0, clip=None, example_clip=None, radius=None)
        # A feature that is switched off is one that cannot matter: loops need not know None.
        vast = {name: 1e12 for name in ("clip", "example_clip", "radius") if getattr(self.rule, name) is not None}
        return replace(plain, **{**vast, **changes})  # type: ignore[arg-type]

    def vector(self, kind: int = 0) -> Tensor:
        """A point with a gradient worth the name: standard normal entries / 2 are far from any minimum."""
        source = torch.Generator().manual_seed(self.seed * 1000 + kind)
        drawn = torch.randn(self.network.size, generator=source, dtype=torch.float64) / 2
        return drawn.to(self.network.device, self.network.dtype)

    def gradients(self, vector: Tensor, rule: StepRule, examples: Examples | None = None) -> Tensor:
        given = self.examples if examples is None else examples
        weight = 1.0 / len(given.inputs) if self.reduction == "mean" else 1.0
        weights = torch.full((1, len(given.inputs)), weight, dtype=vector.dtype, device=vector.device)
        if rule.example_clip is not None:
            return clipped_sum(self.network, vector[None], given, weights, rule.example_clip)
        return self.network.gradients(vector[None], given, weights)

    def expected(self, rule: StepRule, vector: Tensor, examples: Examples | None = None) -> Tensor:
        return rule.move(vector[None], self.gradients(vector, rule, examples))[0]

    def off(self, found: Tensor, expected: Tensor, start: Tensor) -> float:
        """How far a step is from the expected one, relative to how far that moves."""
        scale = float((expected - start).double().norm()) + float(torch.finfo(start.dtype).eps) * float(start.norm())
        return float((found - expected).double().norm()) / max(scale, 1e-300)

    # ------------------------------------------------------------------------------------------- without noise

    def deterministic(self) -> Finding:
        """The same seed twice is the same run; without that nothing below could be repeated."""
        vector, rule = self.vector(), replace(self.rule, noise_std=0.1)
        first, second = (self._two_steps(rule, vector) for _ in range(2))
        gap = float((first - second).abs().max())
        # Accelerators may add in another order every time; a processor may not.
        relative = 16 * torch.finfo(vector.dtype).eps if vector.device.type == "cpu" else self.tolerance
        allowed = relative * float(first.abs().max())
        return Finding(
            "deterministic",
            gap <= allowed,
            f"two runs with one seed differ by {gap:.2g}",
            f"any difference above {allowed:.1g}, such as random numbers from elsewhere",
        )

    def _two_steps(self, rule: StepRule, vector: Tensor) -> Tensor:
        step = self.begin(rule)
        return self.step(step, self.step(step, vector))

    def memory(self) -> Finding:
        """A second step must be what a new run would do from there: no momentum, no averaging, no running state."""
        rule, vector, other = self.quiet(), self.vector(1), self.vector(2)
        step = self.begin(rule)
        self.step(step, vector)
        second = self.step(step, other)
        fresh = self.step(self.begin(rule), other)
        off = self.off(second, fresh, other)
        return Finding(
            "memory",
            off <= self.tolerance,
            f"a second step differs from a first one from the same place by {off:.2g} of its length",
            f"momentum or any state outside the accounting that changes a step by {self.tolerance:.0e} of its length",
        )

    def gradient(self) -> Finding:
        """Plain descent: step size and gradient."""
        rule, vector = self.quiet(), self.vector(3)
        off = self.off(self.step(self.begin(rule), vector), self.expected(rule, vector), vector)
        return self._compared("gradient", off, "a wrong step size or a wrong gradient")

    def reduction_check(self) -> Finding:
        """All examples twice: a mean stays the same, a sum doubles."""
        rule, vector = self.quiet(), self.vector(4)
        twice = Examples(*(torch.cat([part, part]) for part in self.examples))
        once = self.step(self.begin(rule), vector) - vector
        doubled = self.step(self.begin(rule), vector, twice) - vector
        ratio = float(torch.dot(once.double(), doubled.double()) / once.double().norm() ** 2)
        wanted = 1.0 if self.reduction == "mean" else 2.0
        return Finding(
            "reduction",
            abs(ratio - wanted) <= 10 * self.tolerance,
            f"with every example twice the step is {ratio:.6g} times as long; {self.reduction}: {wanted:g}",
            "a mean for a sum, a sum for a mean, a weighting by the batch size",
        )

    def clip(self) -> Finding:
        """A clip that bites hard and one that does not bite; the gradient's tensors are of different lengths."""
        vector, worst, said = self.vector(5), 0.0, ""
        plain = self.quiet()
        for name in ("clip", "example_clip"):
            if getattr(self.rule, name) is None:
                continue
            norm = self._gradient_norm(name, vector, plain)
            for share in (0.3, 3.0):
                rule = self.quiet(**{name: share * norm})
                found, expected = self.step(self.begin(rule), vector), self.expected(rule, vector)
                off = self.off(found, expected, vector)
                if off > worst:
                    worst = off
                    length = float((found - vector).norm() / (expected - vector).norm())
                    said = f" ({name} at {share} of the norm; the step has {length:.4g} of the length it should)"
        return self._compared(
            "clip", worst, "clipping tensor by tensor, per example for per batch, or not at all", said
        )

    def penalty(self) -> Finding:
        """Far from 0 with a hard clip: a penalty inside the clip loses its factor 1 - step_size * penalty."""
        vector = 10 * self.vector(6)
        worst = 0.0
        for share in (0.01, None):
            changes: dict[str, object] = {"penalty": self.rule.penalty}
            for name in ("clip", "example_clip"):
                if getattr(self.rule, name) is not None and share is not None:
                    changes[name] = share * self._gradient_norm(name, vector, self.quiet())
            rule = self.quiet(**changes)
            worst = max(worst, self.off(self.step(self.begin(rule), vector), self.expected(rule, vector), vector))
        return self._compared("penalty", worst, "a penalty inside the clip, missing, doubled or halved")

    def projection(self) -> Finding:
        """The whole model on a ball that is smaller than it, and on one that is larger."""
        vector, worst = self.vector(7), 0.0
        norm = float(vector.norm())
        for radius in (0.3 * norm, 3.0 * norm):
            rule = self.quiet(radius=radius)
            worst = max(worst, self.off(self.step(self.begin(rule), vector), self.expected(rule, vector), vector))
        return self._compared(
            "projection", worst, "a projection of each tensor, of the step, or on the sphere from inside"
        )

    def _gradient_norm(self, name: str, vector: Tensor, rule: StepRule) -> float:
        if name == "clip":
            return float(self.gradients(vector, replace(rule, example_clip=None))[0].norm())
        one = self.examples.take(torch.tensor([0], device=self.examples.inputs.device))
        return float(self.gradients(vector, replace(rule, example_clip=None), one)[0].norm())

    def _compared(self, name: str, off: float, fault: str, said: str = "") -> Finding:
        return Finding(
            name,
            off <= self.tolerance,
            f"the step is off by {off:.2g} of its length{said}",
            f"{fault}, if it changes the step by {self.tolerance:.0e} of its length",
        )

    # ---------------------------------------------------------------------------------------------- with noise

    def noise(self, steps: int, std: float, run: int = 0, **changes: object) -> NDArray[np.float64]:
        """Noise of successive steps, in units of `std`, (steps, d): steps less what the loop does without noise.

        All start from one point, and what happens without noise is asked of the loop itself, so that its other faults
        do not disturb.
        """
        loud = self.quiet(noise_std=std, **changes)
        vector = self.vector(8)
        still = self.step(self.begin(replace(loud, noise_std=0.0), run), vector)
        step = self.begin(loud, run)
        made = torch.stack([self.step(step, vector) for _ in range(steps)])
        return (made - still).double().cpu().numpy() / std


def _noise_findings(probe: _Probe, steps: int, alarm: float) -> list[Finding]:
    rule = probe.rule
    # A std that is neither 1 nor 1 * step_size, at a point that is comparable with it, so that rounding is harmless.
    std = 0.37
    step_size = float(rule.step_size) if rule.step_size not in (0.0, 1.0) else 0.5  # type: ignore[arg-type]
    noise = probe.noise(steps, std, step_size=step_size)
    other = probe.noise(2, std, run=1, step_size=step_size)
    findings = [
        _size(noise, std, step_size, alarm),
        _tensors(noise, probe.network, alarm),
        _across(noise, probe.network, alarm),
        _fresh(noise, alarm),
        _per_run(noise, other, alarm),
        _normal(noise, alarm),
    ]
    if rule.radius is not None:
        findings.append(_after_projection(probe, steps, alarm))
    return findings


def _size(noise: NDArray[np.float64], std: float, step_size: float, alarm: float) -> Finding:
    """Sum of squares against chi-square."""
    low, high = _chi_square(noise.size, alarm)
    square = float(np.sum(noise**2))
    ratio = math.sqrt(square / noise.size)
    hints = {
        "the noise is multiplied by the step size": step_size,
        "the variance is used as a standard deviation": std,
        "the root of the standard deviation is used": std**-0.5,
        "the noise is that of Langevin dynamics, times sqrt(2 step_size)": math.sqrt(2 * step_size),
        "noise is missing": 0.0,
    }
    hint = next((f": {text}" for text, value in hints.items() if abs(ratio - value) < 0.03 * max(value, 0.1)), "")
    passed = low <= square <= high
    width = _relative_width(noise.size, alarm)
    return Finding(
        "noise_size",
        passed,
        f"its standard deviation is {ratio:.5g} of what it should be{'' if passed else hint}",
        f"a standard deviation off by {width:.2%}",
    )


def _tensors(noise: NDArray[np.float64], network: Network, alarm: float) -> Finding:
    """The same for every tensor."""
    wrong = []
    share = alarm / len(network.shapes)
    for name, part in network.slices():
        low, high = _chi_square(noise[:, part].size, share)
        square = float(np.sum(noise[:, part] ** 2))
        if not low <= square <= high:
            wrong.append(f"{name}: {math.sqrt(square / noise[:, part].size):.4g}")
    smallest = min(noise[:, part].size for _, part in network.slices())
    return Finding(
        "noise_every_tensor",
        not wrong,
        "relative size " + ", ".join(wrong) if wrong else f"right in all {len(network.shapes)} tensors",
        f"noise missing in a tensor, or off by {_relative_width(smallest, share):.1%} in the smallest one",
    )


def _across(noise: NDArray[np.float64], network: Network, alarm: float) -> Finding:
    """Entries of one tensor against those in the same places of another, over all steps."""
    parts = list(network.slices())
    pairs = [(i, j) for i in range(len(parts)) for j in range(i)]
    worst, limit_there, said = 0.0, 1.0, "there is one tensor only"
    passed = True
    for i, j in pairs:
        width = min(parts[i][1].stop - parts[i][1].start, parts[j][1].stop - parts[j][1].start)
        first, second = (noise[:, part.start : part.start + width].ravel() for _, part in (parts[i], parts[j]))
        limit = _correlation_limit(first.size, alarm / len(pairs))
        correlation = abs(float(first @ second)) / max(float(np.linalg.norm(first) * np.linalg.norm(second)), 1e-300)
        passed = passed and correlation <= limit
        if correlation / limit >= worst / limit_there:
            worst, limit_there, said = correlation, limit, f"{parts[i][0]} and {parts[j][0]}: {correlation:.4g}"
    return Finding("noise_across_tensors", passed, f"correlation {said}", f"there, one above {limit_there:.3g}")


def _fresh(noise: NDArray[np.float64], alarm: float) -> Finding:
    """Correlations of all pairs of steps: r^2 of independent normal vectors is Beta(1/2, (d-1)/2)."""
    steps, size = noise.shape
    rows = noise / np.maximum(np.linalg.norm(noise, axis=1, keepdims=True), 1e-300)
    gram = np.abs(rows @ rows.T) - np.eye(steps)
    limit = _correlation_limit(size, alarm / (steps * (steps - 1) / 2))
    first, second = divmod(int(np.argmax(gram)), steps)
    return Finding(
        "noise_fresh",
        bool(gram.max() <= limit),
        f"the noise of steps {first + 1} and {second + 1} has correlation {gram.max():.4g}",
        f"a correlation of any two of {steps} steps above {limit:.3g}",
    )


def _per_run(noise: NDArray[np.float64], other: NDArray[np.float64], alarm: float) -> Finding:
    """The noise of a run with another seed, against every step."""
    rows, others = (part / np.maximum(np.linalg.norm(part, axis=1, keepdims=True), 1e-300) for part in (noise, other))
    limit = _correlation_limit(noise.shape[1], alarm / (len(noise) * len(other)))
    largest = float(np.max(np.abs(rows @ others.T)))
    return Finding(
        "noise_per_run",
        largest <= limit,
        f"two runs with different seeds have noise of correlation {largest:.4g}",
        f"a correlation above {limit:.3g}",
    )


def _normal(noise: NDArray[np.float64], alarm: float) -> Finding:
    """Kolmogorov-Smirnov distance to the normal law, by the Dvoretzky-Kiefer-Wolfowitz-Massart inequality."""
    scale = max(float(np.sqrt(np.mean(noise**2))), 1e-300)
    values = np.sort(noise.ravel()) / scale
    place = stats.norm.cdf(values)
    grid = np.arange(len(values) + 1) / len(values)
    distance = float(max(np.max(grid[1:] - place), np.max(place - grid[:-1])))
    # The scale is fitted, so that a wrong one is not reported twice. That moves the normal distribution function by at
    # most max x phi(x) = phi(1) per unit of the logarithm of the scale, which has a share of the alarm of its own.
    low, high = _chi_square(noise.size, alarm / 2)
    fitted = float(stats.norm.pdf(1.0)) * max(abs(math.log(low / noise.size)), math.log(high / noise.size)) / 2
    limit = math.sqrt(math.log(4 / alarm) / (2 * len(values))) + fitted
    return Finding(
        "noise_normal",
        distance <= limit,
        f"its distribution function is {distance:.4g} from the normal one",
        f"a distance well above {limit:.3g} (uniform noise: 0.057; Laplace noise: 0.062)",
    )


def _after_projection(probe: _Probe, steps: int, alarm: float) -> Finding:
    """A small ball and much noise: the result must leave the ball by as much as the noise says."""
    size = probe.network.size
    std = 1.0
    radius = 0.1 * math.sqrt(size)
    noise = probe.noise(steps, std, radius=radius)
    low, high = _chi_square(noise.size, alarm)
    square = float(np.sum(noise**2))
    return Finding(
        "noise_after_projection",
        low <= square <= high,
        f"on a ball a tenth as large as the noise its size is {math.sqrt(square / noise.size):.4g} of what it should be",
        f"noise that is projected away, or off by {_relative_width(noise.size, alarm):.2%}",
    )


def _chi_square(count: int, alarm: float) -> tuple[float, float]:
    return float(stats.chi2.ppf(alarm / 2, count)), float(stats.chi2.isf(alarm / 2, count))


def _relative_width(count: int, alarm: float) -> float:
    """Relative deviation of a standard deviation that is missed with probability about `_MISSED`."""
    return float(stats.norm.isf(alarm / 2) + stats.norm.isf(_MISSED)) / math.sqrt(2 * count)


def _correlation_limit(size: int, alarm: float) -> float:
    return math.sqrt(float(stats.beta.isf(alarm, 0.5, (size - 1) / 2)))
