"""What the paper measures on deep networks, held against our own measurement on a small one.

The public statements name SVHN and CIFAR-10; what was measured here is a one-hidden-layer network on scikit-learn digits
(`unlearncheck deep difficulty --scale cpu`). The verdict is that measurement's: it carries to other networks only as far
as one believes it does. Thresholds were fixed before the runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from torch_bridge.saved import Saved
from torch_bridge.statistics import Estimate, compare_laws, rank_correlation

from ..claim import Claim, Mutant
from ..legs import Measured

SOURCE = "Sepahvand et al. 2025, experiments (public statements about the figures)"
RESULTS = "difficulty_cpu"
SHUFFLES = 200
Statistic = Callable[[Saved], Estimate]


def _estimate(found: dict[str, Any]) -> Estimate:
    values = {name: np.nan if value is None else float(value) for name, value in found.items()}
    return Estimate(**values)


def _negative(found: Estimate) -> Estimate:
    return Estimate(-found.value, -found.upper, -found.lower, found.confidence)


def _steps(algorithm: str) -> Callable[[Saved], tuple[np.ndarray, np.ndarray]]:
    """(group privacy losses, steps of the mean curve), all groups of all scores; +inf where the budget was too short."""

    def data(saved: Saved) -> tuple[np.ndarray, np.ndarray]:
        losses, steps = saved.arrays["group_privacy_loss"], saved.arrays[f"steps_of_mean_{algorithm}"]
        kept = ~np.isnan(steps)
        return losses[kept].astype(float), steps[kept].astype(float)

    return data


def steps_grow(algorithm: str, sign: float = 1.0) -> Statistic:
    def statistic(saved: Saved) -> Estimate:
        losses, steps = _steps(algorithm)(saved)
        return rank_correlation(sign * losses, steps)

    return statistic


def steps_grow_shuffled(algorithm: str) -> Statistic:
    """The same after the losses were dealt out anew, over many deals."""

    def statistic(saved: Saved) -> Estimate:
        losses, steps = _steps(algorithm)(saved)
        rng = np.random.default_rng(0)
        dealt = [rank_correlation(rng.permutation(losses), steps, resamples=100).value for _ in range(SHUFFLES)]
        lower, upper = np.quantile(dealt, [0.025, 0.975])
        return Estimate(float(np.mean(dealt)), float(lower), float(upper), 0.95)

    return statistic


def law_gain(algorithm: str, first: str = "log", second: str = "line") -> Statistic:
    """1 - (left-out error of the first law) / (of the second): positive where the first predicts better."""

    def statistic(saved: Saved) -> Estimate:
        found = compare_laws(*_steps(algorithm)(saved))
        ratio = found.log_over_line if "line" in (first, second) else found.log_over_power
        if first != "log":
            return Estimate(1 - 1 / ratio.value, 1 - 1 / ratio.lower, 1 - 1 / ratio.upper, ratio.confidence)
        return Estimate(1 - ratio.value, 1 - ratio.upper, 1 - ratio.lower, ratio.confidence)

    return statistic


def slower(other: str, algorithm: str = "sgld", sign: float = 1.0) -> Statistic:
    """Steps of the hardest group by privacy loss minus those of the hardest by `other`, paired over seeds."""

    def statistic(saved: Saved) -> Estimate:
        found = _estimate(saved.numbers["algorithms"][algorithm]["hardest_group"][other]["privacy_loss_minus_this"])
        return found if sign > 0 else _negative(found)

    return statistic


def barriers_grow(reading: str, pairing: str = "same_seed", shuffled: bool = False) -> Statistic:
    """Rank correlation of the forget-set barrier, original to retrained, with the group's privacy loss."""

    def statistic(saved: Saved) -> Estimate:
        losses = saved.arrays["group_privacy_loss"].ravel().astype(float)
        heights = saved.arrays[f"barrier_{reading}_original_{pairing}"][..., 0].mean(axis=2).ravel().astype(float)
        if np.ptp(heights) == 0.0:
            return Estimate(0.0, 0.0, 0.0, 0.95)  # no barrier anywhere: it does not grow
        if not shuffled:
            return rank_correlation(losses, heights)
        rng = np.random.default_rng(0)
        dealt = [rank_correlation(rng.permutation(losses), heights, resamples=100).value for _ in range(SHUFFLES)]
        lower, upper = np.quantile(dealt, [0.025, 0.975])
        return Estimate(float(np.mean(dealt)), float(lower), float(upper), 0.95)

    return statistic


def barrier_fall(reading: str, change: str, sign: float = -1.0) -> Statistic:
    """How much lower the forget-set barrier is after unlearning, mean over groups, interval over seeds."""

    def statistic(saved: Saved) -> Estimate:
        found = _estimate(saved.numbers["barriers"]["same_seed"][f"{reading}_forget"][change])
        return _negative(found) if sign < 0 else found

    return statistic


def _claim(name: str, statement: str, statistic: Statistic, **more: Any) -> Claim:
    above = more.pop("above", 0.0)
    mutants = tuple(
        Mutant(name=words, leg=Measured(results=RESULTS, statistic=wrong, above=above))
        for words, wrong in more.pop("mutants", ())
    )
    return Claim(
        id=f"sepahvand2025.deep_nets.{name}",
        source=SOURCE,
        statement=statement,
        provenance="paper",
        against="saved measurement: one hidden layer, digits; retrained oracles, 8 seeds",
        legs=(Measured(results=RESULTS, statistic=statistic, above=above),),
        mutants=mutants,
        **more,
    )


ALGORITHM_WORDS = {"sgld": "noisy fine-tuning", "plain": "plain fine-tuning"}

CLAIMS = (
    *(
        _claim(
            f"steps_grow.{name}",
            f"Groups with more privacy loss take more steps to unlearn by {words}.",
            steps_grow(name),
            reading="rank correlation over groups above 0.4",
            above=0.4,
            expected="undecided",
            why="",
            mutants=(
                ("losses dealt out at random", steps_grow_shuffled(name)),
                ("more privacy loss, fewer steps", steps_grow(name, sign=-1.0)),
            ),
        )
        for name, words in ALGORITHM_WORDS.items()
    ),
    *(
        _claim(
            f"log_law.{name}",
            f"Steps to unlearn a group by {words} follow log(a x + b) of its privacy loss rather than a line.",
            law_gain(name),
            reading="the logarithm predicts left-out groups better than a line",
            expected="undecided",
            why="",
            mutants=(("a line predicts better", law_gain(name, "line", "log")),),
        )
        for name, words in ALGORITHM_WORDS.items()
    ),
    _claim(
        "slower_groups",
        "The hardest group by privacy loss unlearns more slowly than the hardest by mean gradient norm.",
        slower("average_gradient_norm"),
        reading="equal group sizes; steps of the hardest group, paired over seeds, censored runs counted at the budget",
        expected="undecided",
        why="",
        mutants=(("random groups are slower", slower("random", sign=-1.0)),),
    ),
    _claim(
        "barriers.above_chord",
        "Harder groups have higher loss barriers between the original and the retrained model.",
        barriers_grow("chord"),
        reading="barrier above the chord (B1), same initialisation; rank correlation with privacy loss above 0.4",
        above=0.4,
        expected="refuted",
        why="",
    ),
    _claim(
        "barriers.change_of_loss",
        "Harder groups have higher loss barriers between the original and the retrained model.",
        barriers_grow("change"),
        reading="largest change of loss on the line (B2), same initialisation; rank correlation with privacy loss above 0.4",
        above=0.4,
        expected="survived",
        why="",
        mutants=(
            ("B1 read as B2", barriers_grow("chord")),
            ("losses dealt out at random", barriers_grow("change", shuffled=True)),
        ),
    ),
    _claim(
        "barriers.noise_lowers",
        "Noisy steps lower the barrier.",
        barrier_fall("change", "change_by_sgld"),
        reading="B2 on the forget set, after the budget of noisy fine-tuning against before",
        expected="survived",
        why="",
        mutants=(("noisy steps raise it", barrier_fall("change", "change_by_sgld", sign=1.0)),),
    ),
    _claim(
        "barriers.noise_lowers_more",
        "Noisy steps lower the barrier more than as many plain steps.",
        barrier_fall("change", "sgld_minus_plain"),
        reading="B2 on the forget set, after equally many steps",
        expected="undecided",
        why="",
        mutants=(("plain steps lower it and noisy ones do not", barrier_fall("change", "change_by_plain", sign=1.0)),),
    ),
)
