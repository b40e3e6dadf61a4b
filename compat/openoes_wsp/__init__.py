"""OpenOES for custodians: credit requests, settlement, pledges and the vault, over Heliograph's settlement."""

from openoes_core.reports import SettlementConfirmation, SettlementReport

from openoes_wsp.client import WSPClient
from openoes_wsp.credit import CreditRequestManager
from openoes_wsp.credit_request import CreditRequest, CreditResponse
from openoes_wsp.pledge_request import PledgeRequest, PledgeResponse
from openoes_wsp.pledges import PledgeManager
from openoes_wsp.settlement import SettlementClient
from openoes_wsp.vault import LobsterBasketPolicy, VaultManager
from openoes_wsp.vault_asset import VaultAsset

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
