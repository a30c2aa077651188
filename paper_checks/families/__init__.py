"""Families of instances: what is drawn, what is true of it, and how sure that is."""

from . import adapted, clipped_chain, contractive, gaussian_renyi, path, ridge
from .base import Family, get, names, register, strategy

__all__ = [
    "Family",
    "adapted",
    "clipped_chain",
    "contractive",
    "gaussian_renyi",
    "get",
    "names",
    "path",
    "register",
    "ridge",
    "strategy",
]
