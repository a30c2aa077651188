"""The gallery's pictures inside the report: each under the first claim it belongs to, its bytes within the page."""

from __future__ import annotations

from base64 import b64encode
from functools import cache
from html import escape

from figures.stored import Stored, stored_pictures

from .registry import all_claims


@cache
def _by_claim() -> dict[str, list[Stored]]:
    """Claim id to the pictures shown there: of the claims a picture belongs to, the first in the registry has it."""
    found: dict[str, list[Stored]] = {}
    for picture in stored_pictures():
        owner = next((claim for claim in all_claims() if picture.belongs_to([claim])), None)
        if owner is not None:
            found.setdefault(owner, []).append(picture)
    return found


def pictures(claim_id: str) -> str:
    """The pictures of a claim as HTML, empty if there are none."""
    return "\n".join(
        f'<figure class="picture"><img alt="{escape(picture.title)}" loading="lazy" '
        f'src="data:image/png;base64,{b64encode(picture.content).decode()}">'
        f"<figcaption>{escape(picture.caption)}</figcaption></figure>"
        for picture in _by_claim().get(claim_id, ())
    )
