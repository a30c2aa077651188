"""Families of instances: what is drawn, what is true of it, and how sure that is."""

from . import contractive, ridge
from .base import Family, get, names, register

__all__ = ["Family", "contractive", "get", "names", "register", "ridge"]
