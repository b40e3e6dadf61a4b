"""Luno."""
