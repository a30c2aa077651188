"""What is true on deep nets: the same quantities and algorithms on any `torch.nn.Module`, by measurement.

The one floor that needs torch (`pip install 'unlearncheck[torch]'`). A model and its loss become a `Network`: a
function of one flat parameter vector. Many runs train at once as the rows of a matrix, each with its own seed, and a
row does not depend on the others. Nothing measured here is a certificate, except where a result says so.
"""

try:
    import torch as _torch  # noqa: F401
except ImportError as error:  # pragma: no cover - exercised in a subprocess
    raise ImportError("torch_bridge needs torch: pip install 'unlearncheck[torch]'") from error

from torch_bridge.batches import FullBatch, PoissonBatches, ShuffledBatches
from torch_bridge.gradients import example_gradients, gradient_norms
from torch_bridge.implementation import ImplementationReport, check_implementation
from torch_bridge.network import Examples, Network
from torch_bridge.steps import StepRule, project
from torch_bridge.training import Phase, Plan, Record, Run, Start, train

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
