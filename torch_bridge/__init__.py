"""What is true on deep nets: the same quantities and algorithms on any `torch.nn.Module`, by measurement.

The one floor that needs torch (`pip install 'unlearncheck[torch]'`), loaded at the first use of a name below. A model
and its loss become a `Network`: a function of one flat parameter vector. Many runs train at once as the rows of a matrix,
each with its own seed, and a row does not depend on the others. Nothing measured here is a certificate, except where a
result says so. The modules that only count and compare (`statistics`, `privacy_loss`, `difficulty`, `barriers`,
`unlearning_steps`, `membership`, `audit`) work on arrays and do without torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch_bridge.batches import FullBatch, PoissonBatches, ShuffledBatches
    from torch_bridge.gradients import example_gradients, gradient_norms
    from torch_bridge.implementation import ImplementationReport, check_implementation
    from torch_bridge.network import Examples, Network
    from torch_bridge.steps import StepRule, project
    from torch_bridge.training import Phase, Plan, Record, Run, Start, train

_HOMES = {
    "batches": ("FullBatch", "PoissonBatches", "ShuffledBatches"),
    "gradients": ("example_gradients", "gradient_norms"),
    "implementation": ("ImplementationReport", "check_implementation"),
    "network": ("Examples", "Network"),
    "steps": ("StepRule", "project"),
    "training": ("Phase", "Plan", "Record", "Run", "Start", "train"),
}

__all__ = [
    "Examples",
    "FullBatch",
    "ImplementationReport",
    "Network",
    "Phase",
    "Plan",
    "PoissonBatches",
    "Record",
    "Run",
    "ShuffledBatches",
    "Start",
    "StepRule",
    "check_implementation",
    "example_gradients",
    "gradient_norms",
    "project",
    "train",
]


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            try:
                found = getattr(importlib.import_module(f"torch_bridge.{module}"), name)
            except ImportError as error:
                raise ImportError("torch_bridge needs torch: pip install 'unlearncheck[torch]'") from error
            globals()[name] = found
            return found
    raise AttributeError(f"module 'torch_bridge' has no attribute {name!r}")
