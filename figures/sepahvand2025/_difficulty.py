"""What the pictures of `unlearncheck deep difficulty` share: names, looks, the settings in words."""

from __future__ import annotations

from typing import Any

from .. import saved, style
from ..gallery import Arrays

NAME = "difficulty_cpu"
RESULTS = saved.files(NAME)
ORIGIN = f"unlearncheck deep difficulty --scale cpu --out {saved.FOLDER}"
SETTINGS: dict[str, dict[str, float | int | str]] = {"full": {}, "smoke": {}}
SCORES = {
    "privacy_loss": "privacy loss",
    "average_gradient_norm": "average gradient norm",
    "error_norm": "error norm (EL2N), early",
    "learning_slowness": "slow learning",
    "random": "random groups",
    "gradient_norm_early": "gradient norm (GraNd), early",
    "final_loss": "loss at the end",
}
ALGORITHMS = {"sgld": ("SGLD", style.CLAIM, "o"), "plain": ("plain fine-tuning", style.OTHER, "^")}


def facts(numbers: dict[str, Any]) -> Arrays:
    """Settings and problem, kept with a figure's numbers."""
    return {"facts": saved.text({"settings": numbers["settings"], "problem": numbers["problem"]})}


def describe(facts: Any) -> str:
    """The experiment in words."""
    found = saved.parsed(facts)
    s = found["settings"]
    data = found["problem"].split(";")[0].strip(". ")
    return (
        f"Data: {data}; a network ({s['net']}) with {s['hidden']} hidden units, {s['seeds']} seeds, {s['learn_steps']} learning "
        f"and up to {s['unlearn_steps']} unlearning steps of size {s['step_size']:g}, temperature {s['temperature']:g}, penalty "
        f"{s['penalty']:g}, Poisson batches of rate {s['rate']:g}; groups of {s['group_size']} points"
    )
