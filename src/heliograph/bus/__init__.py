"""Valkey, and nothing else in the house knows Valkey."""
