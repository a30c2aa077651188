"""Certificates of deletions from ridge, and the noise they need: the theory modules applied to `linear`."""

from .calibrate import SHARES, calibrate, calibrate_all
from .certificate import (
    METHODS,
    Certificate,
    Certificates,
    certify,
    certify_all,
    certify_all_each,
    certify_each,
    epsilon_each,
)
from .requests import REQUEST_METHODS, calibrate_requests, certify_requests, certify_requests_each
from .uniform import sensitivity_map, uniform_noise

__all__ = [
    "METHODS",
    "REQUEST_METHODS",
    "SHARES",
    "Certificate",
    "Certificates",
    "calibrate",
    "calibrate_all",
    "calibrate_requests",
    "certify",
    "certify_all",
    "certify_all_each",
    "certify_each",
    "certify_requests",
    "certify_requests_each",
    "epsilon_each",
    "sensitivity_map",
    "uniform_noise",
]
