"""What is promised: the formulas of the papers; numbers in, numbers out.

`bounds.RidgeUnlearner`, the scikit-learn estimator above them, is loaded when first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bounds.estimator import RidgeUnlearner

__all__ = ["RidgeUnlearner"]


def __getattr__(name: str) -> Any:
    if name != "RidgeUnlearner":
        raise AttributeError(f"module 'bounds' has no attribute {name!r}")
    from bounds.estimator import RidgeUnlearner

    return RidgeUnlearner


def __dir__() -> list[str]:
    return sorted([*globals(), "RidgeUnlearner"])
