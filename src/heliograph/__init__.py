"""Heliograph: custody-mirrored trading on one backbone."""

__version__ = "0.1.0"
