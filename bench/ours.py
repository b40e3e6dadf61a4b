"""Heliograph's side of each pair: the feed as users run it, every safety feature on."""
