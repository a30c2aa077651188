"""What is true: ridge regression under Langevin dynamics, exact Gaussian laws, exact divergences."""

from linear.gaussian_pair import GaussianPair
from linear.krylov import KrylovCoordinates, krylov_coordinates
from linear.langevin import ExactLaws, deletion_pair, exact_law_map, exact_laws, whitened_gap
from linear.residuals import reference_residual_moments, residual_moments
from linear.ridge import RidgeProblem
from linear.schedule import Schedule
from linear.simulation import simulate

__all__ = [
    "ExactLaws",
    "GaussianPair",
    "KrylovCoordinates",
    "RidgeProblem",
    "Schedule",
    "deletion_pair",
    "exact_law_map",
    "exact_laws",
    "krylov_coordinates",
    "reference_residual_moments",
    "residual_moments",
    "simulate",
    "whitened_gap",
]
