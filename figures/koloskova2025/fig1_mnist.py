"""Figure 1 on MNIST: test accuracy against compute for every unlearning method."""

from __future__ import annotations

from typing import Any

from .. import saved
from ..gallery import About, Arrays, Progress
from . import _runs, fig1
from .fig1 import caption, draw

__all__ = ["ABOUT", "SETTINGS", "caption", "data", "draw"]

NAME = "clipping_cpu_mnist"
ABOUT = About(
    id="koloskova2025/fig1_mnist",
    shows="Test accuracy against compute for all unlearning methods on MNIST, with the noise-only control",
    original="Figure 1, on MNIST",
    statement="koloskova2025.noise_only",
    needs="saved results",
    minutes=0.1,
    results=saved.files(NAME),
    origin=f"unlearncheck deep clipping --scale cpu --data mnist --data-dir DIR --out {saved.FOLDER}",
)
SETTINGS = _runs.SETTINGS


def data(settings: Any, dataset: Any, progress: Progress) -> Arrays:
    """Tuned test accuracies (methods, budgets, seeds)."""
    return fig1.accuracies(NAME)
