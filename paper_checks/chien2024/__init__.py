"""Chien, Wang, Chen, Li 2024, Langevin Unlearning (arXiv 2401.10371) and Certified Machine Unlearning via Noisy SGD.

Both are read from their released code; the texts were not available.
"""
