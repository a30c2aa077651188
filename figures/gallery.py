"""What a picture is: `about` says what it shows, `data` computes, `draw` only draws; and how its numbers are kept.

Every file figures/<paper>/<figure>.py holds

    ABOUT     : About
    SETTINGS  : {"full": {...}, "smoke": {...}}, the parameters its numbers depend on
    data(settings, dataset, progress) -> {name: array}
    draw(found) -> matplotlib figure
    caption(found) -> text with every parameter
    TABLE     : optional, names of arrays of one length that make a .csv

Numbers are kept beside the picture as .npz and used again while their inputs are the same: the settings, the data set
and the sources that compute.
"""

from __future__ import annotations

import csv
import hashlib
import importlib
import json
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from linear.datasets import Dataset

Settings = Mapping[str, float | int | str]
Arrays = dict[str, NDArray[Any]]
Progress = Callable[[int, int], None]
Scale = Literal["full", "smoke"]

ROOT = Path(__file__).parent
_LARGEST_KEPT = 120_000  # bytes
_COMPUTING = ("linear", "bounds")  # packages whose sources are part of every figure's inputs


@dataclass(frozen=True, kw_only=True)
class About:
    """id: paper/figure; shows: in one line; original: the paper's figure, or "ours"; statement: id or start of the ids
    of the claims it belongs to; needs: "nothing", "data set", or "saved results"; minutes: on digits, two cores;
    results: files of saved results, relative to the top of the project; origin: the command that makes them.
    """

    id: str
    shows: str
    original: str
    statement: str
    needs: Literal["nothing", "data set", "saved results"]
    minutes: float
    results: tuple[str, ...] = ()
    origin: str = ""

    def missing(self) -> str:
        """Why it cannot be drawn here; empty if it can."""
        if all((ROOT.parent / name).is_file() for name in self.results):
            return ""
        return f"no saved results; `{self.origin}` makes them"


@dataclass(frozen=True, eq=False)
class Found:
    """A picture's numbers with what they were computed from; indexing gives an array."""

    arrays: Arrays
    settings: Settings
    data: str

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.arrays[name]

    def number(self, name: str) -> float:
        """A setting, or an array of one entry, as a float."""
        return float(self.settings[name]) if name in self.settings else float(self.arrays[name])


@dataclass(frozen=True)
class Undrawn:
    """A figure of a paper that is not drawn, and why."""

    id: str
    original: str
    reason: str


UNDRAWN = (
    Undrawn("benarroch2026/fig6", "Figure 6", "its caption was not public when this was written"),
    Undrawn("benarroch2026/fig7_11", "Figures 7-11", "nothing of these figures was public when this was written"),
)


@cache
def catalogue() -> dict[str, Any]:
    """Module of every figure by id, papers and figures in alphabetical order, ours last."""
    found = {}
    package = importlib.import_module("figures")
    folders = [entry.name for entry in pkgutil.iter_modules(package.__path__) if entry.ispkg]
    for folder in sorted(folders, key=lambda name: (name == "ours", name)):
        inside = importlib.import_module(f"figures.{folder}")
        for entry in pkgutil.iter_modules(inside.__path__):
            module = importlib.import_module(f"figures.{folder}.{entry.name}")
            if hasattr(module, "ABOUT"):
                if module.ABOUT.id != f"{folder}/{entry.name}":
                    raise ValueError(f"ABOUT.id = {module.ABOUT.id!r}: must be {folder}/{entry.name}, where it is")
                found[module.ABOUT.id] = module
    return found


def settings_of(module: Any, scale: Scale, changes: Mapping[str, str] | None = None) -> Settings:
    """The parameters at this scale, some changed. Raises ValueError for a name that is not there or a wrong value."""
    given: dict[str, float | int | str] = dict(module.SETTINGS[scale])
    for name, text in (changes or {}).items():
        if name not in given:
            raise ValueError(f"set = {name!r}: {module.ABOUT.id} has {', '.join(given) or 'no settings'}")
        kind = type(given[name])
        try:
            given[name] = kind(text)
        except ValueError:
            raise ValueError(f"set {name} = {text!r}: must be of type {kind.__name__}") from None
    return given


def collect(
    module: Any, settings: Settings, dataset: Dataset | None, stem: Path, progress: Progress
) -> tuple[Found, str, bool]:
    """The numbers of a figure, computed or read again from stem.npz; with their inputs' hash and whether read."""
    wanted = inputs_hash(module, settings, dataset)
    path = stem.with_name(stem.name + ".npz")
    kept = load(path, wanted)
    if kept is not None:
        return kept, wanted, True
    arrays = {name: np.asarray(array) for name, array in module.data(settings, dataset, progress).items()}
    found = Found(arrays, settings, f"{dataset.name}: {dataset.description}" if dataset is not None else "")
    store(found, stem, wanted, getattr(module, "TABLE", ()))
    return found, wanted, False


def inputs_hash(module: Any, settings: Settings, dataset: Dataset | None) -> str:
    """SHA-256 of all that the numbers depend on."""
    digest = hashlib.sha256(json.dumps([module.ABOUT.id, dict(settings)], sort_keys=True).encode())
    own = Path(module.__file__)
    for path in (own, *sorted(own.parent.glob("_*.py"))):
        digest.update(path.read_bytes())
    digest.update(_sources().encode())
    for name in module.ABOUT.results:
        digest.update((ROOT.parent / name).read_bytes())
    if dataset is not None:
        digest.update(_data_hash(dataset).encode())
    return digest.hexdigest()


@cache
def _sources() -> str:
    digest = hashlib.sha256((ROOT / "ridge_setting.py").read_bytes())
    for package in _COMPUTING:
        for path in sorted((ROOT.parent / package).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


@cache
def _data_hash(dataset: Dataset) -> str:
    digest = hashlib.sha256(f"{dataset.name} {dataset.description}".encode())
    for array in (dataset.train_features, dataset.train_labels, dataset.test_features, dataset.test_labels):
        digest.update(repr((array.shape, array.dtype.str)).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def store(found: Found, stem: Path, inputs: str, table: tuple[str, ...]) -> None:
    """Write stem.npz and, for a table, stem.csv; each under a temporary name first."""
    from . import style

    packed = BytesIO()
    notes = {"inputs": inputs, "settings": json.dumps(dict(found.settings)), "data": found.data}
    np.savez_compressed(packed, **found.arrays, **{f"_{name}": np.array(text) for name, text in notes.items()})  # type: ignore[arg-type]
    style.write(stem.with_name(stem.name + ".npz"), packed.getvalue())
    if table:
        text = StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(table)
        writer.writerows(zip(*(found[name].tolist() for name in table), strict=True))
        style.write(stem.with_name(stem.name + ".csv"), text.getvalue().encode())


def keep(name: str, drawing: Path) -> Path:
    """Put a PNG beside its figure's source; ValueError where it is too large for the repository."""
    from . import style

    content = drawing.read_bytes()
    if len(content) > _LARGEST_KEPT:
        raise ValueError(f"{name}: the PNG has {len(content):,} bytes: must be at most {_LARGEST_KEPT:,} to be kept")
    path = ROOT / f"{name}.png"
    style.write(path, content)
    return path


def load(path: Path, inputs: str | None = None) -> Found | None:
    """Numbers kept by `store`; None when there are none, they are damaged, or they belong to other inputs."""
    try:
        with np.load(path, allow_pickle=False) as kept:
            if inputs is not None and str(kept["_inputs"]) != inputs:
                return None
            arrays = {name: kept[name] for name in kept.files if not name.startswith("_")}
            return Found(arrays, json.loads(str(kept["_settings"])), str(kept["_data"]))
    except FileNotFoundError:
        return None
    except Exception:  # zipfile, zlib and numpy raise nearly anything on a damaged file; the numbers are made again
        return None


def picture(module: Any, found: Found, stem: Path, inputs: str) -> list[Path]:
    """Draw, put the caption under it and save as PNG and SVG; the PNG knows its caption and its inputs' hash."""
    from . import style

    caption = module.caption(found)
    with style.applied():
        figure = style.finished(module.draw(found), caption)
        facts = {
            "Title": module.ABOUT.shows,
            "Description": caption,
            "Statement": module.ABOUT.statement,
            "Inputs": inputs,
        }
        return style.save(figure, stem, facts)
