"""Mironov 2017, Rényi Differential Privacy (arXiv 1702.07476); conversions also after Canonne, Kamath, Steinke 2020."""
