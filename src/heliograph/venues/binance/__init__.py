"""Binance: spot, USD-M futures, COIN-M futures."""
