"""The OHLCV connector's document: what its programmatic example imports, over Heliograph."""
