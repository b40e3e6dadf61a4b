"""Simulated venues on real sockets, speaking the real protocols."""
