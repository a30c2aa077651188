"""Certified epsilon of every MNIST training point by adapted shifts and by other certificates, over the exact one."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ..gallery import ROOT, About, Arrays, Found, Progress
from .looseness import ratios_to_exact

_RESULTS = "figures/ours/data/adapted_mnist.npz"
_METHODS = ("unlearning_only", "hull", "coupling", "adapted")
_COMMAND = (
    "unlearncheck adapted --data mnist --data-dir FOLDER --ridge 0.8 --noise 1e-3 "
    f"--methods coupling hull unlearning_only --out {_RESULTS}"
)
ABOUT = About(
    id="ours/adapted_mnist",
    shows="Certified over exact epsilon of every MNIST training point: adapted shifts and other certificates",
    original="ours",
    statement="adapted",
    needs="saved results",
    minutes=0.1,
    results=(_RESULTS,),
    origin=_COMMAND,
)
SETTINGS: dict[str, dict[str, float | int | str]] = {"full": {}, "smoke": {}}


def data(settings: Any, dataset: Any, progress: Progress) -> Arrays:
    """Exact and certified epsilons by point, as the command saved them."""
    with np.load(ROOT.parent / _RESULTS, allow_pickle=False) as saved:
        return {name: saved[name] for name in ("exact", "guaranteed", "delta", *_METHODS)}


def draw(found: Found) -> Figure:
    """Ratio against the exact epsilon, one mark per point and method; the medians at the right."""
    return ratios_to_exact(found["exact"], {method: found[method] for method in _METHODS}, found.number("delta"), 3.3)


def caption(found: Found) -> str:
    """All parameters."""
    exact = found["exact"]
    sharp, guaranteed = (float(np.median(found[name] / exact)) for name in ("adapted", "guaranteed"))
    return (
        f"Each mark: one of the first {len(exact):,} rows of MNIST's test part, which train here; its certified two-sided "
        f"epsilon over the exact one, both at delta = {found.number('delta'):g} (half of it for sensitivities where these are "
        f"random). At the right: medians; adapted shifts {sharp:.4f}, by the Chernoff bound alone {guaranteed:.3f}. Ridge on "
        "raw pixels, one-hot targets, penalty 0.8 (not divided by n), step size 1/L, T = 300 learning and K = 30 unlearning "
        "steps, injected noise 0.001 per step."
    )
