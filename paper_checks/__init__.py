"""The court: one file per statement, families of instances, verdicts and the report."""

from .falsify import falsify
from .verdict import Log, Truth, Verdict

__all__ = ["Log", "Truth", "Verdict", "falsify"]
