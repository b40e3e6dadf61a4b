"""Simulated venues on real sockets, speaking the real protocols."""

from heliograph.sim.binance import SimulatedBinance
from heliograph.sim.faults import Fault, FaultKind
from heliograph.sim.ledger import Ledger
from heliograph.sim.venue import SimulatedVenue

__all__ = ["Fault", "FaultKind", "Ledger", "SimulatedBinance", "SimulatedVenue"]
