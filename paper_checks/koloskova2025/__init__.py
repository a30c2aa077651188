"""Koloskova, Allouah, Jha, Guerraoui, Koyejo 2025, Certified Unlearning for Neural Networks, ICML, arXiv 2506.06985."""
