"""Benarroch, Atif, Cappe 2026, Certified Per-Instance Unlearning Using Individual Sensitivity Bounds, arXiv 2602.15602."""
