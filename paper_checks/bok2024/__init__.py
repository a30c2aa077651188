"""Bok, Su, Altschuler 2024, Shifted Interpolation for Differential Privacy (arXiv 2403.00278)."""
