"""Sepahvand et al. 2025: the figures."""
