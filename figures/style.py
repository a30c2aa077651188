"""One look for all pictures: sizes, colours that survive colour blindness and a grey print, deterministic bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.text import Text
from PIL import Image, PngImagePlugin

WIDTH = 7.2  # inches in print
SMALLEST = 8.0  # points: no text is smaller
_DPI = 200
_LINE = 0.148  # inches per line of the caption

# Told apart by lightness alone: nearly black, dark, middle, light.
INK = "#1a1a1a"
TRUTH = "#1a1a1a"
CLAIM = "#0b4f8a"
OTHER = "#d1661c"
THIRD = "#5b8fbb"
GREY = "#7a7a7a"
PALE = "#b8b8b8"
FAINT = "#e3e3e3"
HEAT = "cividis"  # lightness grows evenly, also for the colour-blind

_RC: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": SMALLEST,
    "axes.titlesize": 9.0,
    "axes.titlelocation": "left",
    "axes.labelsize": SMALLEST,
    "axes.linewidth": 0.6,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.3,
    "lines.markersize": 4.0,
    "xtick.labelsize": SMALLEST,
    "ytick.labelsize": SMALLEST,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.frameon": False,
    "legend.fontsize": SMALLEST,
    "text.color": INK,
    "savefig.dpi": _DPI,
    # Text as outlines: the same picture whatever fonts the viewer has.
    "svg.fonttype": "path",
    "svg.hashsalt": "unlearncheck",
    "path.simplify": False,
}


@contextmanager
def applied() -> Iterator[None]:
    """The style, for everything drawn inside."""
    given: dict[Any, Any] = dict(matplotlib.rcParamsDefault)
    given.update(_RC, backend="Agg")
    with plt.rc_context(given):
        yield


def canvas(height: float, rows: int = 1, columns: int = 1, **options: Any) -> tuple[Figure, Any]:
    """A figure of full width and its axes, (rows, columns) squeezed as by `subplots`; the layout finds the margins."""
    figure, axes = plt.subplots(rows, columns, figsize=(WIDTH, height), layout="constrained", **options)
    return figure, axes


def title(figure: Figure, text: str) -> None:
    """What the picture says, in one line over it."""
    figure.suptitle(text, x=0.008, ha="left", fontsize=9.5, weight="bold")


def finished(figure: Figure, text: str) -> Figure:
    """The drawing with the caption under it, the page as much taller."""
    lines = _wrapped(figure, text)
    room = _LINE * len(lines) + 0.12
    width, height = figure.get_size_inches()
    figure.set_size_inches(width, height + room)
    share = room / (height + room)
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.set(rect=(0, share, 1, 1 - share))  # type: ignore[call-arg]
    figure.text(0.008, 0.05 / (height + room), "\n".join(lines), fontsize=SMALLEST, va="bottom", linespacing=1.25)
    return figure


def _wrapped(figure: Figure, text: str) -> list[str]:
    """The text in lines that fit the width of the page."""
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    font = FontProperties(size=SMALLEST)
    most = (WIDTH - 0.12) * figure.dpi
    lines, line = [], ""
    # No line ends next to a sign of equality.
    for word in text.replace(" = ", "\u00a0=\u00a0").split(" "):
        longer = f"{line} {word}" if line else word
        if line and renderer.get_text_width_height_descent(longer, font, ismath=False)[0] > most:
            lines.append(line)
            line = word
        else:
            line = longer
    return [*lines, line]


def _settle(figure: Figure) -> None:
    """Find the layout once and round it: its solver's last digits vary, and names inside an SVG are made from them."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axis in figure.axes:
        left, bottom, width, height = (round(float(value), 6) for value in axis.get_position(original=True).bounds)
        axis.set_position((left, bottom, width, height))
    for words in figure.texts:
        across, up = words.get_position()
        words.set_position((round(float(across), 6), round(float(up), 6)))


def _refuse_small_text(figure: Figure) -> None:
    """ValueError where a text is smaller than SMALLEST; labels of ticks exist only once the figure has been laid out."""
    for words in figure.findobj(Text):
        if words.get_text() and words.get_visible() and float(words.get_fontsize()) < SMALLEST:
            raise ValueError(f"text {words.get_text()!r} is smaller than {SMALLEST:g} points")


def save(figure: Figure, stem: Path, facts: dict[str, str]) -> list[Path]:
    """Write stem.png (256 colours, `facts` in its text chunks) and stem.svg; the same figure gives the same bytes."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    raw, vector, picture = BytesIO(), BytesIO(), BytesIO()
    _settle(figure)
    _refuse_small_text(figure)
    figure.savefig(raw, format="png", dpi=_DPI)
    figure.savefig(vector, format="svg", metadata={"Date": None, "Creator": "unlearncheck"})
    plt.close(figure)
    notes = PngImagePlugin.PngInfo()
    for name, value in facts.items():
        notes.add_itxt(name, value)
    with Image.open(raw) as full:
        few = full.convert("RGB").quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        few.save(picture, format="PNG", optimize=True, pnginfo=notes, dpi=(_DPI, _DPI))
    paths = []
    for suffix, content in ((".png", picture.getvalue()), (".svg", vector.getvalue())):
        path = stem.with_name(stem.name + suffix)
        write(path, content)
        paths.append(path)
    return paths


def write(path: Path, content: bytes) -> None:
    """Write under a temporary name in the same folder, then rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_bytes(content)
    temporary.replace(path)


def label(axis: Axes, text: str, at: tuple[float, float], color: str = INK, **options: Any) -> None:
    """A direct label at a point in data coordinates, moved by `offset` points (default a little to the right)."""
    offset = options.pop("offset", (4, 0))
    given = {"va": "center", "ha": "left", "fontsize": SMALLEST, **options}
    axis.annotate(text, at, offset, textcoords="offset points", color=color, **given)


def spaced(values: Sequence[float], gap: float, most: float = np.inf) -> list[float]:
    """The values moved so that neighbours are at least `gap` apart and none is above `most`, in their order (for labels)."""
    order = np.argsort(values, kind="stable")
    placed = np.asarray(values, dtype=float)[order]
    for _ in range(200):
        moved = False
        for k in range(len(placed) - 1):
            lack = gap - (placed[k + 1] - placed[k])
            if lack > 1e-9:
                placed[k] -= lack / 2
                placed[k + 1] += lack / 2
                moved = True
        if not moved:
            break
    ceiling = most
    for k in range(len(placed) - 1, -1, -1):
        placed[k] = min(placed[k], ceiling)
        ceiling = placed[k] - gap
    back = np.empty_like(placed)
    back[order] = placed
    return [float(value) for value in back]
