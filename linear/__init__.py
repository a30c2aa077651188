"""What is true: ridge regression under Langevin dynamics, exact Gaussian laws, exact divergences."""

from linear.every_noise import deletion_noises
from linear.every_point import DeletionEpsilons, DeletionProfile, deletion_epsilons, deletion_profile
from linear.gaussian_pair import GaussianPair
from linear.krylov import KrylovCoordinates, krylov_coordinates
from linear.langevin import ExactLaws, deletion_pair, exact_law_map, exact_laws, whitened_gap
from linear.requests import batch_deletion_pair, sequential_deletion_pair
from linear.residuals import (
    deletion_residual_moments,
    reference_residual_moments,
    residual_moments,
    residual_norms,
)
from linear.ridge import RidgeProblem
from linear.schedule import Schedule
from linear.simulation import simulate, simulate_requests

__all__ = [
    "DeletionEpsilons",
    "DeletionProfile",
    "ExactLaws",
    "GaussianPair",
    "KrylovCoordinates",
    "RidgeProblem",
    "Schedule",
    "batch_deletion_pair",
    "deletion_epsilons",
    "deletion_noises",
    "deletion_pair",
    "deletion_profile",
    "deletion_residual_moments",
    "exact_law_map",
    "exact_laws",
    "krylov_coordinates",
    "reference_residual_moments",
    "residual_moments",
    "residual_norms",
    "sequential_deletion_pair",
    "simulate",
    "simulate_requests",
    "whitened_gap",
]
