"""The certificate of one deletion from ridge, and the noise it needs: the theory modules applied to `linear`."""

from .calibrate import SHARES, calibrate
from .certificate import METHODS, Certificate, certify, certify_each
from .requests import REQUEST_METHODS, calibrate_requests, certify_requests, certify_requests_each

__all__ = [
    "METHODS",
    "REQUEST_METHODS",
    "SHARES",
    "Certificate",
    "calibrate",
    "calibrate_requests",
    "certify",
    "certify_each",
    "certify_requests",
    "certify_requests_each",
]
