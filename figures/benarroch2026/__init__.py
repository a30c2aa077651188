"""Benarroch, Atif, Cappe 2026: the figures."""
