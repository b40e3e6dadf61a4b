"""OpenOES for exchanges: credit, accounts and settlement reports, over Heliograph's settlement."""

from openoes_core.reports import SettlementConfirmation, SettlementReport

from openoes_exchange.accounts import AccountEntry, AccountIntegration
from openoes_exchange.client import ExchangeClient
from openoes_exchange.credit import CreditManager
from openoes_exchange.inventory import CreditInventory, CreditInventoryManager, CreditValidator
from openoes_exchange.inventory_processor import CreditInventoryEntry, CreditInventoryProcessor
from openoes_exchange.settlement import SettlementManager

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
