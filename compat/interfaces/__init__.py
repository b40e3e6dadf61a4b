"""The OHLCV connector's document: its entry points, over Heliograph."""
