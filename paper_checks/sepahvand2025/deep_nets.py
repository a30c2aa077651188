"""What the paper measures on deep networks: open here until networks are trained and measured."""

from __future__ import annotations

from ..claim import Claim
from ..legs import Unmeasured

SOURCE = "Sepahvand et al. 2025, experiments (public statements about the figures)"
NEEDS = "needs trained networks, retrained oracles and several seeds; nothing here has measured it"


def _open(name: str, statement: str) -> Claim:
    return Claim(
        id=f"sepahvand2025.deep_nets.{name}",
        source=SOURCE,
        statement=statement,
        provenance="paper",
        against="measurement on deep networks",
        legs=(Unmeasured(reason=NEEDS),),
        expected="undecided",
        why="Not tried, so not decided; it counts as no pass.",
    )


CLAIMS = (
    _open(
        "log_law",
        "Steps to unlearn a group follow log(a x + b) of its privacy loss, for noisy and for plain fine-tuning.",
    ),
    _open(
        "slower_groups", "Privacy loss finds groups that unlearn more slowly than those the mean gradient norm finds."
    ),
    _open("barriers", "Harder groups have higher loss barriers to the retrained model; noisy steps lower them."),
)
