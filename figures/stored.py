"""The pictures kept in the repository, with what their own text chunks say of them; nothing here draws."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parent


@dataclass(frozen=True)
class Stored:
    """id: paper/figure; statement: id, or start of the ids, of the claims it belongs to; content: the PNG's bytes."""

    id: str
    title: str
    caption: str
    statement: str
    content: bytes

    def belongs_to(self, claim_ids: Iterable[str]) -> bool:
        """Whether it belongs to one of these claims."""
        return bool(self.statement) and any(claim.startswith(self.statement) for claim in claim_ids)


def stored_pictures(root: Path = ROOT) -> list[Stored]:
    """Every figures/<paper>/<figure>.png that carries a caption, in the order of their ids."""
    found = []
    for path in sorted(root.glob("*/*.png")):
        if path.parent.name == "out":
            continue
        with Image.open(path) as picture:
            notes = dict(getattr(picture, "text", {}))
        if "Description" in notes:
            name = f"{path.parent.name}/{path.stem}"
            title, statement = notes.get("Title", name), notes.get("Statement", "")
            found.append(Stored(name, title, notes["Description"], statement, path.read_bytes()))
    return found
