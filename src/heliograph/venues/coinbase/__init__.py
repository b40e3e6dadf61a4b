"""Coinbase, by its Advanced Trade interfaces."""
