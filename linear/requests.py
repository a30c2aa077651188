"""Several rows deleted, together or one request after another: exact laws against the chain that saw none of them.

A chain learns for T steps on all the rows. Request r names one row or several; serving it is K noisy steps on the rows
that no request so far has named. What is promised after request r is judged against the *reference after r requests*:
T + r K steps with the same noises, all on the rows that are left. So it is a promise to everyone deleted so far at
once: nothing, not even what several of them share, can be told of them from the current weights.

Two other references would promise less. A history that lacks only the rows of one request (and serves the others alike)
gives a promise to each request alone; it never decays, since what comes later treats both chains alike, but it does
not add up: both of two copies of a row can be hidden from such a test while the pair of them is not. And the chain that
is trained afresh on what is left, with no later steps, is another law altogether, as for a single deletion.

The requests are fixed beforehand: they may depend on the data, not on the noise, hence not on published weights. And
the promise is on the weights after the last request alone; who also has the weights of before it has weights made
with the rows it names.
"""

from __future__ import annotations

from collections.abc import Sequence

from numpy.typing import ArrayLike

from linear import _checks
from linear._deletion import Deletion, Requests
from linear.gaussian_pair import GaussianPair
from linear.langevin import pair_of
from linear.ridge import RidgeProblem
from linear.schedule import Schedule

__all__ = ["Requests", "batch_deletion_pair", "sequential_deletion_pair"]


def batch_deletion_pair(problem: RidgeProblem, schedule: Schedule, indices: Sequence[int]) -> GaussianPair:
    """The unlearned law P against the reference law Q for several rows deleted together.

    P: learn on all the rows, then unlearn without those of `indices`. Q: all steps without them. For one row this is
    `linear.deletion_pair`, with its accuracy and its errors.
    """
    groups = _checks.requests("indices", [indices], problem.n_points)
    return pair_of(Deletion.of_requests(problem, schedule, groups))


def sequential_deletion_pair(
    problem: RidgeProblem,
    schedule: Schedule,
    requests: Requests,
    *,
    unlearn_noise: ArrayLike | None = None,
) -> GaussianPair:
    """The law P after several requests against the reference law Q that saw none of their rows.

    Parameters
    ----------
    requests : in order; each one row (an int) or several that are deleted together. No row twice.
    unlearn_noise : injected noise of the K steps of each request, one number or (R,); by default the schedule's.

    Errors and accuracy as in `linear.deletion_pair`. Derived here (`linear/_gap.py`).
    """
    return pair_of(Deletion.of_requests(problem, schedule, requests, unlearn_noise))
