"""The certificate of one deletion from ridge, and the noise it needs: the theory modules applied to `linear`."""

from .calibrate import SHARES, calibrate
from .certificate import METHODS, Certificate, certify, certify_each

__all__ = ["METHODS", "SHARES", "Certificate", "calibrate", "certify", "certify_each"]
