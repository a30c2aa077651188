"""Sepahvand et al. 2025, Leveraging Per-Instance Privacy for Machine Unlearning (ICML 2025).

Its text, constants and code were not available: what is tried are readings that fit its public statements.
"""
