"""Kraken: spot, public market data."""
