"""I/O shells that can drive any venue: they act, and decide nothing."""
