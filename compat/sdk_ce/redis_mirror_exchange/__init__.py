"""Redis Mirror CE exchange: `openoes_exchange` under its older name; the objects are the same."""

from openoes_exchange import (
    AccountEntry,
    AccountIntegration,
    CreditInventory,
    CreditInventoryEntry,
    CreditInventoryManager,
    CreditInventoryProcessor,
    CreditManager,
    CreditValidator,
    ExchangeClient,
    SettlementConfirmation,
    SettlementManager,
    SettlementReport,
)

__all__ = [
    "AccountEntry",
    "AccountIntegration",
    "CreditInventory",
    "CreditInventoryEntry",
    "CreditInventoryManager",
    "CreditInventoryProcessor",
    "CreditManager",
    "CreditValidator",
    "ExchangeClient",
    "SettlementConfirmation",
    "SettlementManager",
    "SettlementReport",
]
