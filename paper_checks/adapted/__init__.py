"""Adapted shifts, derived for this project: the theorem, its plans, tails and statistical certificates."""
