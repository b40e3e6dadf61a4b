"""Redis Mirror CE wsp: `openoes_wsp` under its older name; the objects are the same."""

from openoes_wsp import (
    CreditRequest,
    CreditRequestManager,
    CreditResponse,
    LobsterBasketPolicy,
    PledgeManager,
    PledgeRequest,
    PledgeResponse,
    SettlementClient,
    SettlementConfirmation,
    SettlementReport,
    VaultAsset,
    VaultManager,
    WSPClient,
)

__all__ = [
    "CreditRequest",
    "CreditRequestManager",
    "CreditResponse",
    "LobsterBasketPolicy",
    "PledgeManager",
    "PledgeRequest",
    "PledgeResponse",
    "SettlementClient",
    "SettlementConfirmation",
    "SettlementReport",
    "VaultAsset",
    "VaultManager",
    "WSPClient",
]
