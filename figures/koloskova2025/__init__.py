"""Koloskova et al. 2025: the figures."""
