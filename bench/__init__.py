"""Benchmarks: our figures as ratios to the barest code that does the same I/O, in the same run."""
