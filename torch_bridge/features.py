"""Features of any torch model, written as the .npz that `linear.datasets` reads: ridge on a pretrained backbone."""

from __future__ import annotations

import copy
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bounds._checks import choice, count
from torch_bridge.network import Examples

Batches = Iterable[tuple[Tensor, Tensor]]
Scaling = Literal["none", "unit_rows", "unit_ball"]


def extract_features(
    module: nn.Module,
    data: Examples | Batches,
    *,
    layer: str | None = None,
    batch_size: int = 256,
    device: torch.device | str | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.generic]]:
    """What a model makes of every example: features (n, p), and the targets as they came, (n,) or (n, C).

    The model is copied and put into evaluation mode, so dropout is off and batch statistics are the frozen ones. Outputs
    with more axes are flattened.

    Parameters
    ----------
    data : examples, or an iterable of (inputs, targets) batches such as a `torch.utils.data.DataLoader`.
    layer : name of the submodule whose output is taken (as in `named_modules`); None takes the model's own output.

    Raises
    ------
    ValueError : no such layer, a layer that is not reached exactly once, no examples, features that are not finite.
    """
    count("batch_size", batch_size, least=1)
    model = copy.deepcopy(module).eval()
    if device is not None:
        model = model.to(device)
    place = next((value.device for value in [*model.parameters(), *model.buffers()]), torch.device("cpu"))
    seen: list[Tensor] = []
    if layer is not None:
        named = dict(model.named_modules())
        if layer not in named:
            raise ValueError(f"layer = {layer!r}: must be one of {', '.join(filter(None, named))}")
        named[layer].register_forward_hook(lambda _layer, _given, made: seen.append(made))
    rows, targets = [], []
    with torch.no_grad():
        for inputs, wanted in _batches(data, batch_size):
            seen.clear()
            made = model(inputs.to(place))
            if layer is not None:
                if len(seen) != 1:
                    raise ValueError(f"layer = {layer!r} is reached {len(seen)} times by a forward pass: must be once")
                made = seen[0]
            if not isinstance(made, Tensor) or len(made) != len(inputs):
                raise ValueError(f"the output {made!r:.60} is no tensor with one row per example")
            rows.append(made.flatten(1).double().cpu().numpy())
            targets.append(wanted.cpu().numpy())
    if not rows:
        raise ValueError("data holds no examples: must hold at least one")
    features = np.concatenate(rows)
    if not np.isfinite(features).all():
        raise ValueError("the features are not finite")
    return features, np.concatenate(targets)


def save_features(
    path: str | Path,
    module: nn.Module,
    train: Examples | Batches,
    test: Examples | Batches | None = None,
    *,
    layer: str | None = None,
    scaling: Scaling = "unit_ball",
    batch_size: int = 256,
    device: torch.device | str | None = None,
) -> Path:
    """Extracts features and writes them where `linear.datasets.load_npz` and `unlearncheck ... --data` find them.

    Integer targets are stored as class labels, others as regression targets.

    Parameters
    ----------
    path : ends in .npz; written to a temporary name first and renamed.
    scaling : "unit_ball" divides all rows by the largest norm of a training row (the geometry stays as it is),
        "unit_rows" gives every row norm 1, "none" leaves them. Step sizes and sensitivities scale with the rows.
    """
    path = Path(path)
    if path.suffix != ".npz":
        raise ValueError(f"path = {str(path)!r}: must end in .npz")
    choice("scaling", scaling, ("none", "unit_rows", "unit_ball"))
    arrays: dict[str, Any] = {}
    largest = 1.0
    for prefix, data in (("", train), ("test_", test)):
        if data is None:
            continue
        features, targets = extract_features(module, data, layer=layer, batch_size=batch_size, device=device)
        norms = np.linalg.norm(features, axis=1)
        if scaling == "unit_rows":
            features = features / np.maximum(norms, np.finfo(float).tiny)[:, None]
        elif scaling == "unit_ball":
            largest = float(norms.max()) if prefix == "" else largest
            features = features / (largest or 1.0)
        kind = "labels" if targets.dtype.kind in "biu" else "targets"
        arrays[f"{prefix}features"] = features
        arrays[f"{prefix}{kind}"] = targets
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as stream:
            np.savez_compressed(stream, **arrays)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return path


def _batches(data: Examples | Batches, size: int) -> Batches:
    if not isinstance(data, Examples):
        return data
    return (
        (data.inputs[start : start + size], data.targets[start : start + size])
        for start in range(0, len(data.inputs), size)
    )
